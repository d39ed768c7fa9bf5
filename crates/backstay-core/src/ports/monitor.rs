//! The store of monitors and of the pings that came for them.

use async_trait::async_trait;
use jiff::Timestamp;

use super::page::{NamedFilter, Page, all};
use super::store::StoreError;
use crate::domain::event::Event;
use crate::domain::id::{MonitorId, PingId, TenantId};
use crate::domain::monitor::{Monitor, Ping};
use crate::domain::name::Name;

/// What one write brings.
#[derive(Debug, Clone, Copy)]
pub struct MonitorWrite<'a> {
    /// The monitor as it is to be, in the place of its revision.
    pub row: &'a Monitor,
    /// The ping that made it so; none when none did.
    pub ping: Option<&'a Ping>,
    /// What is told of it; none for nothing.
    pub event: Option<&'a Event>,
}

/// Keeps monitors.
#[async_trait]
pub trait MonitorStore: Send + Sync {
    /// Adds a monitor; [`StoreError::Taken`] when its tenant has a living one of this name.
    async fn monitor_add(&self, row: &Monitor) -> Result<(), StoreError>;
    /// Returns a monitor, retired ones too.
    async fn monitor_get(&self, id: MonitorId) -> Result<Monitor, StoreError>;
    /// Returns the living monitor of a tenant that has this name; none when there is none.
    async fn monitor_find(&self, tenant: TenantId, name: &Name) -> Result<Option<Monitor>, StoreError>;
    /// Returns a page of living monitors.
    async fn monitor_page(&self, filter: &NamedFilter, page: Page<MonitorId>) -> Result<Vec<Monitor>, StoreError>;
    /// Returns all living monitors by name: of one tenant or all.
    async fn monitor_list(&self, tenant: Option<TenantId>) -> Result<Vec<Monitor>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let mut rows = all(|page| self.monitor_page(&filter, page), |row: &Monitor| row.id).await?;
        rows.sort_by_key(|row| (row.name.clone(), row.id));
        Ok(rows)
    }
    /// Writes a monitor with what made it so, all or nothing. False, and nothing is written, when its revision is another
    /// one. Of its pings the newest [`PINGS_KEPT`] stay. A retired one frees its name and is never due.
    ///
    /// [`PINGS_KEPT`]: crate::domain::monitor::PINGS_KEPT
    async fn monitor_put(&self, write: MonitorWrite<'_>) -> Result<bool, StoreError>;
    /// Returns living monitors that are due to be looked at by a moment, the longest due first.
    async fn monitor_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Monitor>, StoreError>;
    /// Returns a page of the pings of a monitor that are kept.
    async fn ping_page(&self, id: MonitorId, page: Page<PingId>) -> Result<Vec<Ping>, StoreError>;
    /// Returns the pings of a monitor that are kept, newest first.
    async fn ping_list(&self, id: MonitorId) -> Result<Vec<Ping>, StoreError> {
        all(|page| self.ping_page(id, page), |row: &Ping| row.id).await
    }
}
