//! The store behind sweeps: it deletes rows of what is over, in small batches, so that none holds anything for long.
//!
//! Who comes in: `managers::sweep`.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreError;
use crate::domain::id::TenantId;
use crate::domain::sweep::Sweepable;

/// Deletes what is over. Each call is one transaction and safe to repeat, also by two at once.
#[async_trait]
pub trait SweepStore: Send + Sync {
    /// Deletes at most `rows_max` rows that were over before a moment, oldest first, and returns how many. History
    /// younger than [`HISTORY_MIN`](crate::domain::sweep::HISTORY_MIN) by the store's clock stays, whatever is asked.
    /// [`Sweepable::Events`] are [`SweepStore::event_sweep`]'s; none is deleted here.
    async fn rows_sweep(&self, what: Sweepable, before: Timestamp, rows_max: u32) -> Result<u64, StoreError>;

    /// Deletes at most `rows_max` of a tenant's events from the beginning of its chain that happened before a moment and
    /// are followed already, and returns how many. The last one's place and hash stay, so that the rest can be verified.
    async fn event_sweep(&self, tenant: TenantId, before: Timestamp, rows_max: u32) -> Result<u64, StoreError>;
}
