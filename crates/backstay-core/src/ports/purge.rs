//! The store behind purges of tenants: one row a tenant, and the chain of their records.

use async_trait::async_trait;

use super::store::StoreError;
use crate::domain::event::Event;
use crate::domain::id::{PurgeId, TenantId};
use crate::domain::purge::{Confirmed, Purge, PurgeRecord};

/// Keeps purges.
#[async_trait]
pub trait PurgeStore: Send + Sync {
    /// Returns a tenant's purge, as far as it is; none when none is announced.
    async fn purge_get(&self, tenant: TenantId) -> Result<Option<Purge>, StoreError>;
    /// Adds an announcement, and says whether it did: not when the tenant has a purge.
    async fn purge_add(&self, purge: &Purge) -> Result<bool, StoreError>;
    /// Drops an announcement, and says whether it did: not once it is confirmed, nor when it is another one.
    async fn purge_drop(&self, id: PurgeId) -> Result<bool, StoreError>;
    /// Notes that a purge is confirmed; the first one stays. From then on the store takes no new job of the tenant
    /// ([`StoreError::Purged`]).
    async fn purge_confirm(&self, id: PurgeId, confirmed: &Confirmed) -> Result<(), StoreError>;
    /// Returns the newest record of the installation; none if there is none.
    async fn purge_newest(&self) -> Result<Option<PurgeRecord>, StoreError>;
    /// Ends a confirmed purge with its record and tells of it, in one transaction. One that has a record stays as it is.
    /// [`StoreError::Taken`] when another record took its place in the chain; [`StoreError::Busy`] while an agent has a job
    /// of the tenant.
    async fn purge_end(&self, id: PurgeId, record: &PurgeRecord, event: &Event) -> Result<(), StoreError>;
}
