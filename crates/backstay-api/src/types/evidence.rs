//! Evidence.

use backstay_core::domain::evidence::{Evidence, file};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A record of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Id of the item.
    pub item_id: String,
    /// Name of the item.
    pub item_name: String,
    /// Id of the snapshot that was read.
    pub snapshot_id: String,
    /// Id of the job that read it.
    pub job_id: String,
    /// `proved` or `damaged`.
    pub verdict: String,
    /// Place in the item's chain, from 1.
    pub sequence: i64,
    /// SHA-256 of the record.
    pub hash: String,
    /// The installation's public key.
    pub public_key: String,
    /// When it was made.
    pub created_at: String,
    /// The record as a file: save it, and `backstay evidence verify FILE` needs no server.
    pub file: String,
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        let place = &evidence.place;
        Self {
            id: place.id.to_string(),
            tenant_id: place.tenant_id.to_string(),
            item_id: place.item_id.to_string(),
            item_name: place.item_name.clone(),
            snapshot_id: place.snapshot_id.to_string(),
            job_id: place.job_id.to_string(),
            verdict: evidence.verdict.word().to_owned(),
            sequence: place.sequence,
            hash: evidence.hash.clone(),
            public_key: evidence.public_key.clone(),
            created_at: evidence.created_at.to_string(),
            file: file(evidence),
        }
    }
}

/// Which evidence is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct EvidenceQuery {
    /// Only this item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
