//! Events.

use backstay_core::ports::store::ChainedEvent;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in the tenant's chain, from 1.
    pub sequence: i64,
    /// What happened, such as `enqueued` or `failed`.
    pub kind: String,
    /// When.
    pub at: String,
    /// Id of the job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Id of the item that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// In words.
    pub message: String,
    /// SHA-256 that chains it to the one before.
    pub hash: String,
}

impl From<&ChainedEvent> for EventView {
    fn from(row: &ChainedEvent) -> Self {
        let event = &row.event;
        Self {
            sequence: row.sequence,
            kind: event.kind.word().to_owned(),
            at: event.at.to_string(),
            job_id: event.job_id.map(|id| id.to_string()),
            item_id: event.item_id.map(|id| id.to_string()),
            message: event.message.clone(),
            hash: row.hash.clone(),
        }
    }
}

/// Which events are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct EventQuery {
    /// Name of the tenant; `default` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only events before this place in the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which events a stream begins with, or a look at the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct EventStreamQuery {
    /// Name of the tenant; `default` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only from this place in the chain on; from its beginning when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<i64>,
}
