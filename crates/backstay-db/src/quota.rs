//! What a tenant may store, and what each of its repositories stores: one small row each, so that asking reads no history.
//!
//! The row of a repository moves in the transaction that settles a job. Figures stay in their range, whatever an agent
//! says: a result must never be refused because a sum is too large.

use backstay_core::domain::id::TenantId;
use backstay_core::domain::quota::{Quota, Usage};
use backstay_core::domain::repository::Repository;
use backstay_core::ports::store::{StoreError, StoredAfter};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Select};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::is_among;
use crate::entity::{quota, repository_usage};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::row::count_cell;

/// What a settlement changes of what a repository stores.
#[derive(Clone, Copy)]
pub(crate) struct UsageChange {
    /// Bytes from now on.
    pub(crate) stored: StoredChange,
    /// Snapshots more.
    pub(crate) snapshots: i64,
}

/// What becomes of a repository's bytes.
#[derive(Clone, Copy)]
pub(crate) enum StoredChange {
    /// So many more.
    More(u64),
    /// What a prune says.
    After(StoredAfter),
}

/// Returns the question for what a tenant's repositories store.
pub(crate) fn usage_question(tenant: TenantId) -> Select<repository_usage::Entity> {
    repository_usage::Entity::find().filter(repository_usage::Column::TenantId.eq(tenant.to_string()))
}

/// Adds the row of a new repository, which stores nothing.
pub(crate) async fn usage_add(tx: &DatabaseTransaction, repository: &Repository) -> Result<(), StoreError> {
    let row = repository_usage::Model {
        repository_id: repository.id.to_string(),
        tenant_id: repository.tenant_id.to_string(),
        stored_bytes: 0,
        snapshot_count: 0,
    };
    let insert = repository_usage::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "usage of repository", repository.id.to_string()))
}

/// Moves what a repository stores.
pub(crate) async fn usage_move(
    tx: &DatabaseTransaction,
    repository: &str,
    change: UsageChange,
) -> Result<(), StoreError> {
    let query = repository_usage::Entity::find_by_id(repository).lock_exclusive();
    let row = found(query.one(tx).await.map_err(store_error)?, "usage of repository", repository)?;
    let bytes = match change.stored {
        StoredChange::More(bytes) => row.stored_bytes.saturating_add(count_cell(bytes)),
        StoredChange::After(StoredAfter::Less(bytes)) => row.stored_bytes.saturating_sub(count_cell(bytes)).max(0),
        StoredChange::After(StoredAfter::Is(bytes)) => count_cell(bytes),
    };
    let snapshots = row.snapshot_count.saturating_add(change.snapshots).max(0);
    let update = repository_usage::Entity::update_many()
        .col_expr(repository_usage::Column::StoredBytes, Expr::val(bytes))
        .col_expr(repository_usage::Column::SnapshotCount, Expr::val(snapshots))
        .filter(repository_usage::Column::RepositoryId.eq(repository));
    update.exec(tx).await.map(drop).map_err(store_error)
}

fn sum(rows: &[repository_usage::Model]) -> Result<Usage, StoreError> {
    rows.iter().try_fold(Usage::default(), |sum, row| {
        let one = row.read()?;
        Ok(Usage { bytes: sum.bytes.saturating_add(one.bytes), snapshots: sum.snapshots.saturating_add(one.snapshots) })
    })
}

impl Database {
    /// Returns what a tenant stores.
    pub(crate) async fn usage_of(&self, tenant: TenantId) -> Result<Usage, StoreError> {
        sum(&usage_question(tenant).all(&self.reader).await.map_err(store_error)?)
    }

    /// Returns what a tenant may store.
    pub(crate) async fn quota_of(&self, tenant: TenantId) -> Result<Quota, StoreError> {
        let row = quota::Entity::find_by_id(tenant.to_string()).one(&self.reader).await.map_err(store_error)?;
        row.map_or(Ok(Quota::default()), |row| row.read())
    }

    /// Sets what a tenant may store.
    pub(crate) async fn quota_put_once(
        &self,
        id: TenantId,
        seen: Option<Quota>,
        new: Quota,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        tenant_locked(&tx, id).await?;
        let there = quota::Entity::find_by_id(id.to_string()).one(&tx).await.map_err(store_error)?;
        let there = there.map(|row| row.read()).transpose()?.unwrap_or_default();
        if seen.is_some_and(|seen| seen != there) {
            return Ok(false);
        }
        let replace = OnConflict::column(quota::Column::TenantId)
            .update_columns([quota::Column::QuotaBytes, quota::Column::QuotaSnapshotCount])
            .to_owned();
        let insert = quota::Entity::insert(quota::Model::of(id, new).into_active_model()).on_conflict(replace);
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "quota of tenant", id.to_string()))?;
        commit(tx).await?;
        Ok(true)
    }

    /// Returns what each of these tenants may store and stores.
    pub(crate) async fn quotas(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Quota, Usage)>, StoreError> {
        let mut known = std::collections::BTreeMap::<TenantId, (Quota, Usage)>::new();
        let backend = self.reader.get_database_backend();
        let ids = || tenants.iter().map(ToString::to_string);
        let quotas = quota::Entity::find().filter(is_among(backend, quota::Column::TenantId, ids()));
        for row in quotas.all(&self.reader).await.map_err(store_error)? {
            known.entry(row.tenant()?).or_default().0 = row.read()?;
        }
        let usages =
            repository_usage::Entity::find().filter(is_among(backend, repository_usage::Column::TenantId, ids()));
        for row in usages.all(&self.reader).await.map_err(store_error)? {
            let (tenant, one) = (row.tenant()?, row.read()?);
            let sum = &mut known.entry(tenant).or_default().1;
            sum.bytes = sum.bytes.saturating_add(one.bytes);
            sum.snapshots = sum.snapshots.saturating_add(one.snapshots);
        }
        Ok(known.into_iter().map(|(tenant, (quota, usage))| (tenant, quota, usage)).collect())
    }
}
