//! Leases due jobs to an agent, in the order of their need.
//!
//! One transaction: the candidates are read with their rows locked (what another claimer has locked is passed over),
//! each is moved from queued to leased under that very condition, and its lease, attempt and epoch are written with it.

use backstay_core::domain::attempt::AttemptToken;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobKind, JobState, StateName};
use backstay_core::domain::repository::{RepositoryAccess, RepositoryEpoch};
use backstay_core::ports::store::{Claimed, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait as _, QueryFilter,
    QueryOrder, QuerySelect,
};

use super::state::move_to;
use crate::declaration::found;
use crate::entity::{attempt, checkpoint, job, lease, repository};
use crate::error::{insert_error, store_error};
use crate::now::Now;

/// Candidates read beyond those wanted: some may be passed over because an earlier one of the same claim excludes them,
/// or because their rows cannot be read. One bad row must not hold the queue up.
const CANDIDATES_SPARE: u64 = 16;

/// Leases up to `count_max` due jobs of these kinds.
pub(super) async fn claim(
    tx: &DatabaseTransaction,
    now: &Now,
    agent: AgentId,
    kinds: &[JobKind],
    count_max: u32,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed = Vec::new();
    if count_max == 0 || kinds.is_empty() {
        return Ok(claimed);
    }
    let leased_at = now.read(tx).await?;
    for row in candidates(tx, now, kinds, u64::from(count_max) + CANDIDATES_SPARE).await? {
        if claimed.len() == count_max as usize {
            break;
        }
        let job = match row.clone().read() {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(job_id = row.id, error = %error, "a queued job is passed over: its row cannot be read");
                continue;
            }
        };
        claimed.extend(claim_one(tx, agent, leased_at, &row, job).await?);
    }
    Ok(claimed)
}

/// Returns due jobs whose repository is free for them: by time to breach, then priority, then age.
async fn candidates(
    tx: &DatabaseTransaction,
    now: &Now,
    kinds: &[JobKind],
    rows_max: u64,
) -> Result<Vec<job::Model>, StoreError> {
    let alone = RepositoryAccess::Alone;
    let excluding = Query::select()
        .column(lease::Column::JobId)
        .from(lease::Entity)
        .and_where(
            Expr::col((lease::Entity, lease::Column::RepositoryId)).equals((job::Entity, job::Column::RepositoryId)),
        )
        .and_where(
            Expr::col((lease::Entity, lease::Column::RepositoryAccess)).eq(job::access_word(alone)).or(Expr::col((
                job::Entity,
                job::Column::RepositoryAccess,
            ))
            .eq(job::access_word(alone))),
        )
        .take();
    job::Entity::find()
        .filter(job::Column::State.eq(StateName::Queued.word()))
        .filter(job::Column::Kind.is_in(kinds.iter().map(|kind| kind.word())))
        .filter(Expr::col((job::Entity, job::Column::NotBeforeAt)).lte(now.expr(tx.get_database_backend())))
        .filter(Expr::exists(excluding).not())
        .order_by_asc(job::Column::BreachAt)
        .order_by_desc(job::Column::Priority)
        .order_by_asc(job::Column::Id)
        .limit(rows_max)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(tx)
        .await
        .map_err(store_error)
}

/// Leases one job; none when its repository is held by an earlier job of the same claim, or the job was taken.
async fn claim_one(
    tx: &DatabaseTransaction,
    agent: AgentId,
    leased_at: Timestamp,
    row: &job::Model,
    job: Job,
) -> Result<Option<Claimed>, StoreError> {
    let access = row.access()?;
    let Some(repository) = repository_free(tx, row, access).await? else { return Ok(None) };
    let token = row.attempt_token + 1;
    let state = JobState::Leased { agent_id: agent };
    let moved = move_to(row, job.id, &state)?.col_expr(job::Column::AttemptToken, Expr::val(token)).exec(tx).await;
    if moved.map_err(store_error)?.rows_affected == 0 {
        return Ok(None);
    }
    lease_add(tx, agent, leased_at, row, token).await?;
    let epoch = epoch_of_lease(tx, repository, access).await?;
    let checkpoint = checkpoint::Entity::find_by_id(&row.id).one(tx).await.map_err(store_error)?;
    let checkpoint = checkpoint.map(checkpoint::Model::read).transpose()?;
    Ok(Some(Claimed { job: Job { state, attempt_token: AttemptToken(token), ..job }, epoch, checkpoint }))
}

/// Returns the job's repository, locked, if no lease excludes this access to it. This is the rule; the condition in
/// [`candidates`] only keeps excluded jobs from filling the list.
async fn repository_free(
    tx: &DatabaseTransaction,
    row: &job::Model,
    access: RepositoryAccess,
) -> Result<Option<repository::Model>, StoreError> {
    let query = repository::Entity::find_by_id(&row.repository_id).lock_exclusive();
    let repository = found(query.one(tx).await.map_err(store_error)?, "repository", &row.repository_id)?;
    let leases = lease::Entity::find().filter(lease::Column::RepositoryId.eq(&row.repository_id));
    let excluding = match access {
        RepositoryAccess::Alone => leases,
        RepositoryAccess::Shared => {
            leases.filter(lease::Column::RepositoryAccess.eq(job::access_word(RepositoryAccess::Alone)))
        }
    };
    let count = excluding.count(tx).await.map_err(store_error)?;
    Ok((count == 0).then_some(repository))
}

/// Writes the rows of a lease and of its attempt.
async fn lease_add(
    tx: &DatabaseTransaction,
    agent: AgentId,
    leased_at: Timestamp,
    row: &job::Model,
    token: i64,
) -> Result<(), StoreError> {
    let leased_at = leased_at.as_microsecond();
    let lease = lease::Model {
        job_id: row.id.clone(),
        token,
        agent_id: agent.to_string(),
        repository_id: row.repository_id.clone(),
        repository_access: row.repository_access.clone(),
        leased_at,
        progressed_at: leased_at,
        phase: None,
        files_done: 0,
        bytes_done: 0,
        files_total: None,
        bytes_total: None,
        unread_count: 0,
    };
    let insert = lease::Entity::insert(lease.into_active_model()).exec_without_returning(tx).await;
    insert.map_err(|error| insert_error(error, "lease", &row.id))?;
    let attempt = attempt::Model {
        job_id: row.id.clone(),
        token,
        agent_id: agent.to_string(),
        leased_at,
        ended_at: None,
        ending: None,
    };
    let insert = attempt::Entity::insert(attempt.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "attempt", &row.id))
}

/// Returns the epoch that the lease sees: grown by one when it holds the repository alone.
async fn epoch_of_lease(
    tx: &DatabaseTransaction,
    repository: repository::Model,
    access: RepositoryAccess,
) -> Result<RepositoryEpoch, StoreError> {
    if access == RepositoryAccess::Shared {
        return Ok(RepositoryEpoch(repository.epoch));
    }
    let epoch = repository.epoch + 1;
    repository::Entity::update_many()
        .col_expr(repository::Column::Epoch, Expr::val(epoch))
        .filter(repository::Column::Id.eq(&repository.id))
        .exec(tx)
        .await
        .map_err(store_error)?;
    Ok(RepositoryEpoch(epoch))
}
