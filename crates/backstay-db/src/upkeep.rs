//! What retention works on: a repository's snapshots, what holds them, and when repositories are looked at.

use async_trait::async_trait;
use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::attempt::{AttemptToken, LeaseKey};
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{JobId, PlanId, RepositoryId, SnapshotId};
use backstay_core::domain::job::{Instruction, Job, JobKind, StateName};
use backstay_core::domain::proof::{Proof, VerifyBudget};
use backstay_core::domain::repository::{Repository, RepositoryAccess, RepositoryEpoch};
use backstay_core::domain::snapshot::{Mark, Snapshot};
use backstay_core::ports::retention::{RetentionStore, Upkeep};
use backstay_core::ports::store::{Pruned, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::parent_lock;
use crate::entity::job::access_word;
use crate::entity::{job, lease, repository, snapshot, suspicion, upkeep};
use crate::error::{insert_error, store_error};
use crate::event::{event_append, tenant_locked};
use crate::history::rows_limit;
use crate::quota::{StoredChange, UsageChange, usage_move};
use crate::row::{Row, count_cell};

/// Snapshots that one statement names at most: databases have bounds for their parameters.
const IDS_MAX: usize = 500;

/// Returns the question for jobs of a repository that have not ended.
pub(crate) fn live_question(repository: RepositoryId, kinds: &[JobKind]) -> Select<job::Entity> {
    job::Entity::find()
        .filter(job::Column::RepositoryId.eq(repository.to_string()))
        .filter(job::Column::FinishedAt.is_null())
        .filter(job::Column::Kind.is_in(kinds.iter().map(|kind| kind.word())))
}

/// Returns the question for repositories that are due, the longest due first.
pub(crate) fn upkeep_question(now: Timestamp, rows_max: u32) -> Select<upkeep::Entity> {
    upkeep::Entity::find()
        .filter(upkeep::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(upkeep::Column::DueAt)
        .limit(rows_limit(rows_max))
}

/// Adds the row of a new repository, which is looked at at once.
pub(crate) async fn upkeep_add(tx: &DatabaseTransaction, repository: &Repository) -> Result<(), StoreError> {
    let due_at = repository.id.made_at().as_microsecond();
    let row = upkeep::Model { repository_id: repository.id.to_string(), due_at, pending_count: 0, settled_epoch: None };
    let insert = upkeep::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "upkeep of repository", repository.id.to_string()))
}

/// Writes what a prune removed of a repository.
pub(crate) async fn pruned_put(
    tx: &DatabaseTransaction,
    repository: &str,
    pruned: &Pruned,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut gone = 0;
    for ids in pruned.forgotten.chunks(IDS_MAX) {
        let forgotten = snapshot::Entity::update_many()
            .col_expr(snapshot::Column::ForgottenAt, Expr::val(now.as_microsecond()))
            .filter(snapshot::Column::RepositoryId.eq(repository))
            .filter(snapshot::Column::ForgottenAt.is_null())
            .filter(snapshot::Column::Id.is_in(ids.iter().map(ToString::to_string)));
        gone += forgotten.exec(tx).await.map_err(store_error)?.rows_affected;
    }
    let change = UsageChange { stored: StoredChange::After(pruned.stored), snapshots: -count_cell(gone) };
    usage_move(tx, repository, change).await?;
    // The prune has the repository alone, so the epoch is its own.
    let epoch = Query::select()
        .column(repository::Column::Epoch)
        .from(repository::Entity)
        .and_where(repository::Column::Id.eq(repository))
        .take();
    let pending = upkeep::Entity::update_many()
        .col_expr(upkeep::Column::PendingCount, Expr::val(i64::from(pruned.has_pending)))
        .col_expr(upkeep::Column::SettledEpoch, Expr::expr(epoch))
        .filter(upkeep::Column::RepositoryId.eq(repository));
    pending.exec(tx).await.map(drop).map_err(store_error)
}

impl Database {
    async fn clear_once(&self, plan: PlanId, event: &Event) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let tenant = tenant_locked(&tx, event.tenant_id).await?;
        let gone = suspicion::Entity::delete_by_id(plan.to_string()).exec(&tx).await.map_err(store_error)?;
        if gone.rows_affected == 0 {
            return Ok(false);
        }
        event_append(&tx, &tenant, event).await?;
        commit(tx).await?;
        Ok(true)
    }

    async fn mark_once(&self, id: SnapshotId, mark: Mark, is_set: bool) -> Result<Snapshot, StoreError> {
        let tx = self.begin().await?;
        let query = snapshot::Entity::find_by_id(id.to_string());
        let row = found(query.clone().one(&tx).await.map_err(store_error)?, "snapshot", id)?;
        // A prune that wants the repository alone waits here, or was given it before: then it is seen below.
        let lock = repository::Entity::find_by_id(&row.repository_id).lock(parent_lock(tx.get_database_backend()));
        lock.one(&tx).await.map_err(store_error)?;
        let alone = lease::Entity::find()
            .filter(lease::Column::RepositoryId.eq(&row.repository_id))
            .filter(lease::Column::RepositoryAccess.eq(access_word(RepositoryAccess::Alone)));
        if let Some(lease) = alone.one(&tx).await.map_err(store_error)? {
            let by = format!("job {} has its repository alone and may be removing it", lease.job_id);
            return Err(StoreError::Busy { noun: "snapshot", key: id.to_string(), by });
        }
        // Read again: it may have been forgotten while the lock was waited for.
        let row = found(query.clone().one(&tx).await.map_err(store_error)?, "snapshot", id)?;
        if row.forgotten_at.is_some() {
            return Err(StoreError::NotFound { noun: "snapshot", key: format!("{id} any more: it was forgotten") });
        }
        let (column, was) = match mark {
            Mark::Pin => (snapshot::Column::PinnedAt, row.pinned_at),
            Mark::Hold => (snapshot::Column::HeldAt, row.held_at),
            Mark::Unwanted => (snapshot::Column::UnwantedAt, row.unwanted_at),
        };
        if was.is_some() != is_set {
            let now = self.now.read(&tx).await?.as_microsecond();
            let update = snapshot::Entity::update_many()
                .col_expr(column, Expr::val(is_set.then_some(now)))
                .filter(snapshot::Column::Id.eq(id.to_string()));
            update.exec(&tx).await.map_err(store_error)?;
        }
        let row = found(query.one(&tx).await.map_err(store_error)?, "snapshot", id)?;
        commit(tx).await?;
        row.read()
    }
}

#[async_trait]
impl RetentionStore for Database {
    async fn snapshot_list_whole(&self, repository: RepositoryId) -> Result<Vec<Snapshot>, StoreError> {
        let query = snapshot::Entity::find()
            .filter(snapshot::Column::RepositoryId.eq(repository.to_string()))
            .filter(snapshot::Column::ForgottenAt.is_null())
            .order_by_asc(snapshot::Column::Id);
        let rows = query.all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(snapshot::Model::read).collect()
    }

    async fn snapshot_list_wanted(&self, repository: RepositoryId) -> Result<Vec<SnapshotId>, StoreError> {
        let kinds = [JobKind::Restore, JobKind::Verify, JobKind::Copy];
        let rows = live_question(repository, &kinds).all(&self.reader).await.map_err(store_error)?;
        let mut wanted = Vec::new();
        for row in rows {
            // One that cannot be read is an error: what it wants must not go.
            match row.read()?.instruction {
                Instruction::Restore { snapshot_id, .. } | Instruction::Verify { snapshot_id, .. } => {
                    wanted.push(snapshot_id);
                }
                Instruction::Backup | Instruction::Prune | Instruction::Discover { .. } => {}
            }
        }
        Ok(wanted)
    }

    async fn lease_list_over(&self, repository: RepositoryId, kinds: &[JobKind]) -> Result<Vec<LeaseKey>, StoreError> {
        let held = Query::select().column(lease::Column::JobId).from(lease::Entity).take();
        let query = live_question(repository, kinds)
            .filter(job::Column::AttemptToken.gt(0))
            .filter(job::Column::Id.not_in_subquery(held))
            .select_only()
            .columns([job::Column::Id, job::Column::AttemptToken]);
        let rows: Vec<(String, i64)> = query.into_tuple().all(&self.reader).await.map_err(store_error)?;
        let read = |(id, token): (String, i64)| {
            Ok(LeaseKey { job_id: Row::of("job", &id).parse("id", &id)?, token: AttemptToken(token) })
        };
        rows.into_iter().map(read).collect()
    }

    async fn prune_settled(&self, repository: RepositoryId) -> Result<RepositoryEpoch, StoreError> {
        let row = upkeep::Entity::find_by_id(repository.to_string()).one(&self.reader).await.map_err(store_error)?;
        Ok(RepositoryEpoch(row.and_then(|row| row.settled_epoch).unwrap_or_default()))
    }

    async fn prune_live(&self, repository: RepositoryId) -> Result<Option<JobId>, StoreError> {
        let live = StateName::ALL.iter().filter(|state| state.is_live()).map(|state| state.word());
        let query = live_question(repository, &[JobKind::Prune]).filter(job::Column::State.is_in(live));
        let row = query.one(&self.reader).await.map_err(store_error)?;
        row.map(|row| Row::of("job", &row.id).parse("id", &row.id)).transpose()
    }

    async fn snapshot_mark(&self, id: SnapshotId, mark: Mark, is_set: bool) -> Result<Snapshot, StoreError> {
        self.retrying(|| self.mark_once(id, mark, is_set)).await
    }

    async fn suspicion_list(&self) -> Result<Vec<Suspicion>, StoreError> {
        let rows = suspicion::Entity::find().all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(suspicion::Model::read).collect()
    }

    async fn suspicion_clear(&self, plan: PlanId, event: &Event) -> Result<bool, StoreError> {
        self.retrying(|| self.clear_once(plan, event)).await
    }

    async fn upkeep_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Upkeep>, StoreError> {
        let rows = upkeep_question(now, rows_max).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(upkeep::Model::read).collect()
    }

    async fn upkeep_put(&self, seen: &Upkeep, due_at: Timestamp) -> Result<bool, StoreError> {
        let update = upkeep::Entity::update_many()
            .col_expr(upkeep::Column::DueAt, Expr::val(due_at.as_microsecond()))
            .filter(upkeep::Column::RepositoryId.eq(seen.repository_id.to_string()))
            .filter(upkeep::Column::DueAt.eq(seen.due_at.as_microsecond()));
        let done = update.exec(&self.writer).await.map_err(store_error)?;
        Ok(done.rows_affected == 1)
    }

    async fn proof_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Proof>, StoreError> {
        self.proofs_due(now, rows_max).await
    }

    async fn proof_put(&self, seen: &Proof, next: &Proof) -> Result<bool, StoreError> {
        self.proof_move(seen, next).await
    }

    async fn proof_get(&self, repository: RepositoryId) -> Result<Proof, StoreError> {
        self.proof_of(repository).await
    }

    async fn proof_list(&self, repositories: &[RepositoryId]) -> Result<Vec<Proof>, StoreError> {
        self.proofs(repositories).await
    }

    async fn slice_open(&self, repository: RepositoryId) -> Result<Option<Job>, StoreError> {
        self.slice_job(repository).await
    }

    async fn budget_put(&self, repository: RepositoryId, budget: VerifyBudget) -> Result<(), StoreError> {
        self.retrying(|| self.budget_put_once(repository, budget)).await
    }
}
