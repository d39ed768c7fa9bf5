//! Who asked for changes.

use backstay_core::domain::change::ChangeRecord;
use backstay_core::managers::access::ChainChecked;
use backstay_core::managers::event::EventsChecked;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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

/// From where on the chain is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct ChainQuery {
    /// Only from this place in the chain on; from its beginning when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<i64>,
    /// Public keys that signed before the present one, hexadecimal, oldest first, with commas between them: each is good until
    /// the next one has signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_keys: Option<String>,
}

/// What was found of a chain: of changes, or of a tenant's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainView {
    /// Records that are right.
    pub checked_count: u64,
    /// Place of the last event that was swept, from which the chain goes on; none while all are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_sequence: Option<i64>,
    /// Place of the last one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<i64>,
    /// Its hash: noted elsewhere, it shows when records behind it are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_hash: Option<String>,
    /// From where on to ask for more; none when the end was reached, or something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sequence: Option<i64>,
    /// The first place at which something is wrong; none when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_sequence: Option<i64>,
    /// What is wrong there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl From<EventsChecked> for ChainView {
    fn from(found: EventsChecked) -> Self {
        let (last_sequence, last_hash) = found.last.unzip();
        let (broken_sequence, fault) = found.broken.unzip();
        Self {
            checked_count: found.checked,
            swept_sequence: found.swept,
            last_sequence,
            last_hash,
            next_sequence: found.next,
            broken_sequence,
            problem: fault.map(|fault| fault.to_string()),
        }
    }
}

impl From<ChainChecked> for ChainView {
    fn from(found: ChainChecked) -> Self {
        let (last_sequence, last_hash) = found.last.unzip();
        Self {
            checked_count: found.checked,
            swept_sequence: None,
            last_sequence,
            last_hash,
            next_sequence: found.next,
            broken_sequence: found.broken.as_ref().map(|at| at.sequence),
            problem: found.broken.map(|at| at.fault.to_string()),
        }
    }
}
