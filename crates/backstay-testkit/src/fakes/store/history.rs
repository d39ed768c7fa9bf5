//! What happened, in memory.

use async_trait::async_trait;
use backstay_core::domain::attempt::Attempt;
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::id::{EvidenceId, ItemId, JobId, RepositoryId, SnapshotId, TenantId};
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::ports::store::{
    ChainedEvent, EvidenceFilter, HistoryStore, PAGE_ROWS_MAX, Page, SnapshotFilter, StoreError,
};
use jiff::Timestamp;

use super::declaration::found;
use super::{FakeStores, Rows};

/// Returns a page of rows, newest first.
pub(super) fn page_of<'a, T: Clone + 'a, I: Ord + Copy>(
    rows: impl Iterator<Item = &'a T>,
    id: impl Fn(&T) -> I,
    page: Page<I>,
) -> Vec<T> {
    let mut rows: Vec<T> = rows.filter(|row| page.before.is_none_or(|before| id(row) < before)).cloned().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(id(row)));
    rows.truncate(page.rows_max.min(PAGE_ROWS_MAX) as usize);
    rows
}

impl Rows {
    pub(super) fn newest_good(&self, item: ItemId, repository: RepositoryId, now: Timestamp) -> Option<&Snapshot> {
        let good = |row: &&Snapshot| {
            row.item_id == item
                && row.taken_at <= now
                && row.forgotten_at.is_none()
                && row.repository_id == repository
                && row.is_good
        };
        self.snapshots.iter().filter(good).max_by_key(|row| (row.taken_at, row.id))
    }
}

#[async_trait]
impl HistoryStore for FakeStores {
    async fn snapshot_get(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        self.read(|rows| found(rows.snapshots.iter().find(|row| row.id == id), "snapshot", id))
    }

    async fn snapshot_list(&self, filter: SnapshotFilter, page: Page<SnapshotId>) -> Result<Vec<Snapshot>, StoreError> {
        let shown = |row: &&Snapshot| {
            filter.tenant_id.is_none_or(|id| row.tenant_id == id)
                && filter.item_id.is_none_or(|id| row.item_id == id)
                && filter.repository_id.is_none_or(|id| row.repository_id == id)
                && row.forgotten_at.is_none()
        };
        Ok(self.read(|rows| page_of(rows.snapshots.iter().filter(shown), |row| row.id, page)))
    }

    async fn snapshot_newest_good(
        &self,
        item: ItemId,
        repository: RepositoryId,
    ) -> Result<Option<Snapshot>, StoreError> {
        let now = self.now();
        Ok(self.read(|rows| rows.newest_good(item, repository, now).cloned()))
    }

    async fn evidence_newest(&self, item: ItemId) -> Result<Option<Evidence>, StoreError> {
        Ok(self.read(|rows| rows.evidence.iter().rfind(|row| row.place.item_id == item).cloned()))
    }

    async fn evidence_list(&self, item: Option<ItemId>, rows_max: u32) -> Result<Vec<Evidence>, StoreError> {
        let shown = |row: &&Evidence| item.is_none_or(|id| row.place.item_id == id);
        let page = Page { before: None, rows_max };
        Ok(self.read(|rows| page_of(rows.evidence.iter().filter(shown), |row| row.place.id, page)))
    }

    async fn evidence_get(&self, id: EvidenceId) -> Result<Evidence, StoreError> {
        self.read(|rows| found(rows.evidence.iter().find(|row| row.place.id == id), "record of evidence", id))
    }

    async fn evidence_page(&self, filter: EvidenceFilter, page: Page<EvidenceId>) -> Result<Vec<Evidence>, StoreError> {
        let shown = |row: &&Evidence| {
            filter.tenant_id.is_none_or(|id| row.place.tenant_id == id)
                && filter.item_id.is_none_or(|id| row.place.item_id == id)
        };
        Ok(self.read(|rows| page_of(rows.evidence.iter().filter(shown), |row| row.place.id, page)))
    }

    async fn event_page(&self, tenant: TenantId, page: Page<i64>) -> Result<Vec<ChainedEvent>, StoreError> {
        let of_tenant = |row: &&ChainedEvent| row.event.tenant_id == tenant;
        Ok(self.read(|rows| page_of(rows.events.iter().filter(of_tenant), |row| row.sequence, page)))
    }

    async fn event_list(
        &self,
        tenant: TenantId,
        from_sequence: i64,
        rows_max: u32,
    ) -> Result<Vec<ChainedEvent>, StoreError> {
        let shown = |row: &&ChainedEvent| row.event.tenant_id == tenant && row.sequence >= from_sequence;
        let rows_max = rows_max.min(PAGE_ROWS_MAX) as usize;
        Ok(self.read(|rows| rows.events.iter().filter(shown).take(rows_max).cloned().collect()))
    }

    /// Nothing is swept here.
    async fn event_anchor(&self, _: TenantId) -> Result<Option<(i64, String)>, StoreError> {
        Ok(None)
    }

    async fn attempt_list(&self, job: JobId) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.read(|rows| rows.attempts.iter().filter(|row| row.key.job_id == job).cloned().collect()))
    }

    async fn attempt_list_many(&self, jobs: &[JobId]) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.read(|rows| rows.attempts.iter().filter(|row| jobs.contains(&row.key.job_id)).cloned().collect()))
    }
}
