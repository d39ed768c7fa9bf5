//! Purges of tenants, in memory.

use async_trait::async_trait;
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{PurgeId, TenantId};
use backstay_core::domain::purge::{Confirmed, Purge, PurgeRecord};
use backstay_core::ports::purge::PurgeStore;
use backstay_core::ports::store::StoreError;

use super::{FakeStores, Rows};

impl Rows {
    fn purge_of(&mut self, id: PurgeId) -> Result<&mut Purge, StoreError> {
        let missing = || StoreError::NotFound { noun: "purge", key: id.to_string() };
        self.purges.values_mut().find(|row| row.id == id).ok_or_else(missing)
    }

    /// Refuses what is new of a tenant whose purge is confirmed.
    pub(super) fn purge_permit(&self, tenant: TenantId) -> Result<(), StoreError> {
        if self.purges.get(&tenant).is_none_or(|row| row.confirmed.is_none()) {
            return Ok(());
        }
        let name = self.tenants.get(&tenant).map(|row| row.name.to_string());
        Err(StoreError::Purged { tenant: name.unwrap_or_default() })
    }
}

#[async_trait]
impl PurgeStore for FakeStores {
    async fn purge_get(&self, tenant: TenantId) -> Result<Option<Purge>, StoreError> {
        Ok(self.read(|rows| rows.purges.get(&tenant).cloned()))
    }

    async fn purge_add(&self, purge: &Purge) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            if rows.purges.contains_key(&purge.tenant_id) {
                return Ok(false);
            }
            rows.purges.insert(purge.tenant_id, purge.clone());
            Ok(true)
        })
    }

    async fn purge_drop(&self, id: PurgeId) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let before = rows.purges.len();
            rows.purges.retain(|_, row| row.id != id || row.confirmed.is_some());
            Ok(rows.purges.len() < before)
        })
    }

    async fn purge_confirm(&self, id: PurgeId, confirmed: &Confirmed) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let row = rows.purge_of(id)?;
            row.confirmed.get_or_insert_with(|| confirmed.clone());
            Ok(())
        })
    }

    async fn purge_newest(&self) -> Result<Option<PurgeRecord>, StoreError> {
        let all = self.read(|rows| rows.purges.values().filter_map(|row| row.record.clone()).collect::<Vec<_>>());
        Ok(all.into_iter().max_by_key(|row| row.sequence))
    }

    async fn purge_end(&self, id: PurgeId, record: &PurgeRecord, event: &Event) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let tenant = rows.purge_of(id)?.tenant_id;
            let is_done = rows.purge_of(id)?.record.is_some();
            if is_done {
                return Ok(());
            }
            if let Some(job) =
                rows.leases.keys().find(|job| rows.jobs.get(job).is_some_and(|row| row.tenant_id == tenant))
            {
                let by = format!("job {job}");
                return Err(StoreError::Busy { noun: "tenant", key: tenant.to_string(), by });
            }
            let key = record.sequence;
            let is_taken = |row: &Purge| row.record.as_ref().is_some_and(|record| record.sequence == key);
            if rows.purges.values().any(is_taken) {
                return Err(StoreError::Taken { noun: "purge", key: key.to_string() });
            }
            rows.purge_of(id)?.record = Some(record.clone());
            rows.event_append(event);
            Ok(())
        })
    }
}
