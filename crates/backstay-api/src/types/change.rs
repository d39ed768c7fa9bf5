//! Who asked for changes.

use backstay_core::domain::change::ChangeRecord;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A record of one request that could change something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// Its id.
    pub id: String,
    /// Its place in the installation's chain, from 1.
    pub sequence: i64,
    /// When.
    pub at: String,
    /// Id of the token; none for the installation's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The token's role.
    pub role: String,
    /// Id of the one tenant that the token reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Name of the operation.
    pub operation: String,
    /// Path that was called.
    pub path: String,
    /// Hash of the record before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<String>,
    /// SHA-256 of the record's text.
    pub hash: String,
    /// Signature of the record's text by the installation's key.
    pub signature: String,
}

impl From<&ChangeRecord> for ChangeView {
    fn from(record: &ChangeRecord) -> Self {
        let asked = &record.asked;
        Self {
            id: asked.id.to_string(),
            sequence: record.sequence,
            at: asked.at.to_string(),
            token_id: asked.token_id.map(|id| id.to_string()),
            role: asked.role.word().to_owned(),
            tenant_id: asked.tenant_id.map(|id| id.to_string()),
            operation: asked.operation.clone(),
            path: asked.path.clone(),
            previous_hash: record.previous_hash.clone(),
            hash: record.hash.clone(),
            signature: record.signature.clone(),
        }
    }
}
