//! What happened: snapshots, evidence, events, attempts. Read only; `job/settle` adds the rows.

use async_trait::async_trait;
use backstay_core::domain::attempt::Attempt;
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::id::{EvidenceId, ItemId, JobId, RepositoryId, SnapshotId, TenantId};
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::ports::store::{
    ChainedEvent, EvidenceFilter, HistoryStore, PAGE_ROWS_MAX, Page, SnapshotFilter, StoreError,
};
use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::Database;
use crate::declaration::found;
use crate::dialect::is_among;
use crate::entity::{attempt, event, event_anchor, evidence, snapshot};
use crate::error::store_error;

/// Returns how many rows a page may have.
pub(crate) fn rows_limit(rows_max: u32) -> u64 {
    u64::from(rows_max.min(PAGE_ROWS_MAX))
}

/// Returns the question for a page of snapshots.
pub(crate) fn snapshot_question(filter: SnapshotFilter, page: Page<SnapshotId>) -> Select<snapshot::Entity> {
    let mut query = snapshot::Entity::find();
    if let Some(tenant) = filter.tenant_id {
        query = query.filter(snapshot::Column::TenantId.eq(tenant.to_string()));
    }
    if let Some(item) = filter.item_id {
        query = query.filter(snapshot::Column::ItemId.eq(item.to_string()));
    }
    if let Some(repository) = filter.repository_id {
        query = query.filter(snapshot::Column::RepositoryId.eq(repository.to_string()));
    }
    if let Some(before) = page.before {
        query = query.filter(snapshot::Column::Id.lt(before.to_string()));
    }
    query
        .filter(snapshot::Column::ForgottenAt.is_null())
        .order_by_desc(snapshot::Column::Id)
        .limit(rows_limit(page.rows_max))
}

/// Returns the question for an item's newest good snapshot, as of `now`.
pub(crate) fn newest_good_question(item: ItemId, repository: RepositoryId, now: Timestamp) -> Select<snapshot::Entity> {
    snapshot::Entity::find()
        .filter(snapshot::Column::ItemId.eq(item.to_string()))
        .filter(snapshot::Column::RepositoryId.eq(repository.to_string()))
        .filter(snapshot::Column::Good.eq(1))
        .filter(snapshot::Column::TakenAt.lte(now.as_microsecond()))
        .filter(snapshot::Column::ForgottenAt.is_null())
        .order_by_desc(snapshot::Column::TakenAt)
        .order_by_desc(snapshot::Column::Id)
        .limit(1)
}

/// Returns the question for a page of a tenant's events.
pub(crate) fn event_question(tenant: TenantId, from_sequence: i64, rows_max: u32) -> Select<event::Entity> {
    event::Entity::find()
        .filter(event::Column::TenantId.eq(tenant.to_string()))
        .filter(event::Column::Sequence.gte(from_sequence))
        .order_by_asc(event::Column::Sequence)
        .limit(rows_limit(rows_max))
}

/// Returns the question for a page of a tenant's events, newest first.
pub(crate) fn event_page_question(tenant: TenantId, page: Page<i64>) -> Select<event::Entity> {
    let mut query = event::Entity::find().filter(event::Column::TenantId.eq(tenant.to_string()));
    if let Some(before) = page.before {
        query = query.filter(event::Column::Sequence.lt(before));
    }
    query.order_by_desc(event::Column::Sequence).limit(rows_limit(page.rows_max))
}

#[async_trait]
impl HistoryStore for Database {
    async fn snapshot_get(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        let row = snapshot::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "snapshot", id)?.read()
    }

    async fn snapshot_list(&self, filter: SnapshotFilter, page: Page<SnapshotId>) -> Result<Vec<Snapshot>, StoreError> {
        let rows = snapshot_question(filter, page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(snapshot::Model::read).collect()
    }

    async fn snapshot_newest_good(
        &self,
        item: ItemId,
        repository: RepositoryId,
    ) -> Result<Option<Snapshot>, StoreError> {
        let now = self.now.read(&self.reader).await?;
        let row = newest_good_question(item, repository, now).one(&self.reader).await.map_err(store_error)?;
        row.map(snapshot::Model::read).transpose()
    }

    async fn evidence_newest(&self, item: ItemId) -> Result<Option<Evidence>, StoreError> {
        let query = evidence::Entity::find()
            .filter(evidence::Column::ItemId.eq(item.to_string()))
            .order_by_desc(evidence::Column::Sequence);
        let row = query.one(&self.reader).await.map_err(store_error)?;
        row.map(evidence::Model::read).transpose()
    }

    async fn evidence_list(&self, item: Option<ItemId>, rows_max: u32) -> Result<Vec<Evidence>, StoreError> {
        let query = match item {
            Some(item) => evidence::Entity::find()
                .filter(evidence::Column::ItemId.eq(item.to_string()))
                .order_by_desc(evidence::Column::Sequence),
            None => evidence::Entity::find().order_by_desc(evidence::Column::Id),
        };
        let rows = query.limit(rows_limit(rows_max)).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(evidence::Model::read).collect()
    }

    async fn evidence_get(&self, id: EvidenceId) -> Result<Evidence, StoreError> {
        let row = evidence::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "record of evidence", id)?.read()
    }

    async fn evidence_page(&self, filter: EvidenceFilter, page: Page<EvidenceId>) -> Result<Vec<Evidence>, StoreError> {
        let mut query = evidence::Entity::find();
        if let Some(tenant) = filter.tenant_id {
            query = query.filter(evidence::Column::TenantId.eq(tenant.to_string()));
        }
        if let Some(item) = filter.item_id {
            query = query.filter(evidence::Column::ItemId.eq(item.to_string()));
        }
        if let Some(before) = page.before {
            query = query.filter(evidence::Column::Id.lt(before.to_string()));
        }
        let query = query.order_by_desc(evidence::Column::Id).limit(rows_limit(page.rows_max));
        let rows = query.all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(evidence::Model::read).collect()
    }

    async fn event_page(&self, tenant: TenantId, page: Page<i64>) -> Result<Vec<ChainedEvent>, StoreError> {
        let rows = event_page_question(tenant, page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(event::Model::read).collect()
    }

    async fn event_list(
        &self,
        tenant: TenantId,
        from_sequence: i64,
        rows_max: u32,
    ) -> Result<Vec<ChainedEvent>, StoreError> {
        let rows = event_question(tenant, from_sequence, rows_max).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(event::Model::read).collect()
    }

    async fn event_anchor(&self, tenant: TenantId) -> Result<Option<(i64, String)>, StoreError> {
        let query = event_anchor::Entity::find_by_id(tenant.to_string());
        let row = query.one(&self.reader).await.map_err(store_error)?;
        Ok(row.map(|row| (row.sequence, row.hash)))
    }

    async fn attempt_list(&self, job: JobId) -> Result<Vec<Attempt>, StoreError> {
        self.attempt_list_many(&[job]).await
    }

    async fn attempt_list_many(&self, jobs: &[JobId]) -> Result<Vec<Attempt>, StoreError> {
        let theirs =
            is_among(self.reader.get_database_backend(), attempt::Column::JobId, jobs.iter().map(ToString::to_string));
        let query = attempt::Entity::find().filter(theirs).order_by_asc(attempt::Column::Token);
        let rows = query.all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(attempt::Model::read).collect()
    }
}
