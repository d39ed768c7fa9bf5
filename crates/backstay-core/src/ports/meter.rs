//! Figures for monitoring that a store can give without reading history.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreError;
use crate::domain::job::{JobKind, StateName};

/// How many jobs of a kind are in a state that is not final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// The kind.
    pub kind: JobKind,
    /// The state.
    pub state: StateName,
    /// How many; never zero.
    pub count: u64,
    /// When the oldest of them was enqueued.
    pub oldest_at: Timestamp,
}

/// Gives figures.
#[async_trait]
pub trait MeterStore: Send + Sync {
    /// Returns how many jobs of each kind are in each state that is not final, by the words of kind and state.
    async fn queue_depth(&self) -> Result<Vec<QueueDepth>, StoreError>;
}
