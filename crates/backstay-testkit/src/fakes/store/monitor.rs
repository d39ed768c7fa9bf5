//! Monitors and their pings, in memory.

use async_trait::async_trait;
use backstay_core::domain::id::{MonitorId, PingId, TenantId};
use backstay_core::domain::monitor::{Monitor, PINGS_KEPT, Ping};
use backstay_core::domain::name::Name;
use backstay_core::ports::monitor::{MonitorStore, MonitorWrite};
use backstay_core::ports::store::{NamedFilter, Page, StoreError};
use jiff::Timestamp;

use super::declaration::found;
use super::history::page_of;
use super::{FakeStores, Rows};

fn lives(row: &&Monitor) -> bool {
    row.retired_at.is_none()
}

impl Rows {
    fn ping_put(&mut self, ping: &Ping) {
        self.pings.push(ping.clone());
        let mut ids: Vec<_> =
            self.pings.iter().filter(|row| row.monitor_id == ping.monitor_id).map(|row| row.id).collect();
        ids.sort_unstable();
        let gone = ids.len().saturating_sub(PINGS_KEPT as usize);
        self.pings.retain(|row| !ids[..gone].contains(&row.id));
    }
}

#[async_trait]
impl MonitorStore for FakeStores {
    async fn monitor_add(&self, row: &Monitor) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let same = |one: &&Monitor| lives(one) && one.tenant_id == row.tenant_id && one.name == row.name;
            if rows.monitors.values().find(same).is_some() {
                return Err(StoreError::Taken { noun: "monitor", key: row.name.to_string() });
            }
            rows.monitors.insert(row.id, Monitor { revision: 1, ..row.clone() });
            Ok(())
        })
    }

    async fn monitor_get(&self, id: MonitorId) -> Result<Monitor, StoreError> {
        self.read(|rows| found(rows.monitors.get(&id), "monitor", id))
    }

    async fn monitor_find(&self, tenant: TenantId, name: &Name) -> Result<Option<Monitor>, StoreError> {
        let is_it = |row: &&Monitor| lives(row) && row.tenant_id == tenant && row.name == *name;
        Ok(self.read(|rows| rows.monitors.values().find(is_it).cloned()))
    }

    async fn monitor_page(&self, filter: &NamedFilter, page: Page<MonitorId>) -> Result<Vec<Monitor>, StoreError> {
        let shown = |row: &&Monitor| lives(row) && filter.shows(row.tenant_id, &row.name, true);
        Ok(self.read(|rows| page_of(rows.monitors.values().filter(shown), |row| row.id, page)))
    }

    async fn monitor_put(&self, write: MonitorWrite<'_>) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let Some(there) = rows.monitors.get_mut(&write.row.id).filter(|row| row.revision == write.row.revision)
            else {
                return Ok(false);
            };
            *there = Monitor { revision: write.row.revision + 1, ..write.row.clone() };
            if there.retired_at.is_some() {
                there.due_at = Timestamp::MAX;
            }
            if let Some(ping) = write.ping {
                rows.ping_put(ping);
            }
            if let Some(event) = write.event {
                rows.event_append(event);
            }
            Ok(true)
        })
    }

    async fn monitor_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Monitor>, StoreError> {
        let is_due = |row: &&Monitor| lives(row) && row.due_at <= now;
        let mut due: Vec<Monitor> = self.read(|rows| rows.monitors.values().filter(is_due).cloned().collect());
        due.sort_by_key(|row| row.due_at);
        due.truncate(rows_max as usize);
        Ok(due)
    }

    async fn ping_page(&self, id: MonitorId, page: Page<PingId>) -> Result<Vec<Ping>, StoreError> {
        let of_monitor = |row: &&Ping| row.monitor_id == id;
        Ok(self.read(|rows| page_of(rows.pings.iter().filter(of_monitor), |row| row.id, page)))
    }
}
