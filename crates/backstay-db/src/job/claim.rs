//! Leases due jobs to an agent, in the order of their need.
//!
//! When tenants compete or caps are set, `turns` says whose turn it is.
//!
//! One transaction: the candidates are read from the hot table with their rows locked (what another claimer has locked is
//! passed over), each is moved from queued to leased under that very condition, and its lease, attempt and epoch are
//! written with it.
//!
//! A job that wants its repository alone waits until those who share it have ended. For
//! [`ALONE_PATIENCE`](backstay_core::domain::exclusion::ALONE_PATIENCE) later ones may overtake it; after that, those that
//! come after it in the queue's order wait until it has run, so that it gets its turn within the longest running job. The
//! rules are `core/domain/exclusion.rs`, which explanations ask too; the conditions in SQL say the same.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use backstay_core::domain::attempt::AttemptToken;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobKind, JobState, StateName};
use backstay_core::domain::repository::{RepositoryAccess, RepositoryEpoch};
use backstay_core::ports::store::{Claimed, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait as _, QueryFilter,
    QueryOrder, QuerySelect, Select,
};

use super::due::due_put;
use super::exclusion::{overtaken, padded};
use super::hint::Low;
use super::state::move_to;
use super::turns::line;
use crate::Database;
use crate::declaration::found;
use crate::dialect::{insert_unless_taken, is_among, literal, parent_lock};
use crate::entity::{attempt, checkpoint, job, job_due, lease, repository};
use crate::error::{insert_error, store_error};

/// Candidates read beyond those wanted: some may be passed over because an earlier one of the same claim excludes them,
/// or because their rows cannot be read. One bad row must not hold the queue up.
const CANDIDATES_SPARE: u64 = 16;

/// Leases up to `count_max` due jobs of these kinds, at a moment that the deciding clock told in this transaction.
pub(super) async fn claim(
    db: &Database,
    tx: &DatabaseTransaction,
    leased_at: Timestamp,
    agent: AgentId,
    kinds: &[JobKind],
    count_max: u32,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed = Vec::new();
    if count_max == 0 || kinds.is_empty() {
        return Ok(claimed);
    }
    let low = db.hints.low();
    let wish = Wish { db, tx, now: leased_at, agent, kinds, count_max, low: low.as_ref() };
    take(wish, &mut claimed).await?;
    if low.is_some() && claimed.len() < count_max as usize {
        // What is remembered does not decide that there is nothing more.
        take(Wish { low: None, ..wish }, &mut claimed).await?;
    }
    Ok(claimed)
}

/// Leases the jobs whose turn it is, until there are as many as are wanted.
async fn take(wish: Wish<'_>, claimed: &mut Vec<Claimed>) -> Result<(), StoreError> {
    let Wish { tx, now, agent, count_max, .. } = wish;
    let due = due(wish).await?;
    let theirs = is_among(tx.get_database_backend(), job::Column::Id, due.iter().map(|due| &due.job_id));
    let rows = job::Entity::find().filter(theirs).all(tx).await.map_err(store_error)?;
    let mut rows: HashMap<String, job::Model> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    for row in due.into_iter().filter_map(|due| rows.remove(&due.job_id)) {
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
        claimed.extend(claim_one(tx, agent, now, &row, job).await?);
    }
    Ok(())
}

/// What a claim looks for, and where.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) db: &'a Database,
    pub(super) tx: &'a DatabaseTransaction,
    /// When, by the deciding clock.
    pub(super) now: Timestamp,
    pub(super) agent: AgentId,
    pub(super) kinds: &'a [JobKind],
    pub(super) count_max: u32,
    /// Where the queue is believed to begin.
    pub(super) low: Option<&'a Low>,
}

/// Returns the hot rows of the jobs whose turn it is, locked.
async fn due(wish: Wish<'_>) -> Result<Vec<job_due::Model>, StoreError> {
    if let Some(due) = line(wish).await? {
        return Ok(due);
    }
    let began = Instant::now();
    let found = candidates(wish).await?;
    wish.db.looked(began.elapsed());
    Ok(found)
}

/// Returns the hot rows of due jobs whose repository is free for them, locked: by time to breach, then priority, then age.
/// The moment was read before by the deciding clock: a job that became due since then is leased the next time.
async fn candidates(wish: Wish<'_>) -> Result<Vec<job_due::Model>, StoreError> {
    let Wish { tx, now, kinds, low, .. } = wish;
    let (mut found, rows_max) = (Vec::new(), u64::from(wish.count_max) + CANDIDATES_SPARE);
    let mut question = question(now, kinds, rows_max);
    if let Some(low) = low {
        let line = in_line(free(named_question(low), now).all(tx).await.map_err(store_error)?, wish, low);
        let line: Vec<String> = line.into_iter().map(|row| row.job_id).collect();
        found = locked(tx, &line, rows_max as usize).await?;
        question = behind(question, low);
    }
    if (found.len() as u64) < rows_max {
        let locked = question.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        found.extend(locked.all(tx).await.map_err(store_error)?);
    }
    Ok(found)
}

/// Returns the rows that are known to be at the queue's beginning and are still wanted, in its order.
pub(super) async fn named(wish: Wish<'_>, low: &Low) -> Result<Vec<job_due::Model>, StoreError> {
    Ok(in_line(named_question(low).all(wish.tx).await.map_err(store_error)?, wish, low))
}

/// Returns the question for the rows that are known to be at the queue's beginning: by name alone. Anything that is
/// ordered, bounded or compared in SQL may be read from an index of that instead, whose beginning is what is to be passed
/// over.
pub(crate) fn named_question(low: &Low) -> Select<job_due::Entity> {
    let ids: BTreeSet<String> = low.ids.iter().cloned().collect();
    job_due::Entity::find().filter(job_due::Column::JobId.is_in(padded(&ids)))
}

/// Returns what [`queue`] would of some rows before the queue's known beginning, in its order.
fn in_line(mut rows: Vec<job_due::Model>, wish: Wish<'_>, low: &Low) -> Vec<job_due::Model> {
    let Wish { now, kinds, .. } = wish;
    rows.retain(|row| {
        let is_wanted = is_queued(row) && kinds.iter().any(|kind| kind.word() == row.kind);
        is_wanted && row.due_at <= now.as_microsecond() && row.breach_at < low.from
    });
    rows.sort_by(|a, b| {
        (a.breach_at, Reverse(a.priority), &a.job_id).cmp(&(b.breach_at, Reverse(b.priority), &b.job_id))
    });
    rows
}

pub(super) fn is_queued(row: &job_due::Model) -> bool {
    row.state == StateName::Queued.word()
}

/// Returns a question for the queue's first jobs behind those that are known by name.
pub(crate) fn behind(question: Select<job_due::Entity>, low: &Low) -> Select<job_due::Entity> {
    question.filter(job_due::Column::BreachAt.gte(low.from))
}

/// Locks as many rows of a line as are wanted, and passes over those that another claim has.
pub(super) async fn locked(
    tx: &DatabaseTransaction,
    line: &[String],
    count_max: usize,
) -> Result<Vec<job_due::Model>, StoreError> {
    let mut found = Vec::new();
    // A few more: one may turn out to be excluded by another of the same claim.
    for some in line.chunks(count_max + 2) {
        let rows = job_due::Entity::find()
            .filter(job_due::Column::JobId.is_in(some))
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(tx)
            .await
            .map_err(store_error)?;
        let rows = rows.into_iter().filter(is_queued);
        let mut rows: HashMap<String, job_due::Model> = rows.map(|row| (row.job_id.clone(), row)).collect();
        found.extend(some.iter().filter_map(|id| rows.remove(id)));
        if found.len() >= count_max {
            break;
        }
    }
    Ok(found)
}

/// Returns the claim's question, without its locks.
pub(crate) fn question(now: Timestamp, kinds: &[JobKind], rows_max: u64) -> Select<job_due::Entity> {
    free(queue(now, kinds, rows_max), now)
}

/// Returns those of some queued jobs whose repository is free for them.
fn free(queued: Select<job_due::Entity>, now: Timestamp) -> Select<job_due::Entity> {
    queued
        .filter(Expr::exists(excluding_leases()).not())
        .filter(Expr::exists(overlapping_leases()).not())
        .filter(Expr::exists(waiting_alone(now)).not())
}

/// Returns the queue in its order, free or not.
pub(crate) fn queue(now: Timestamp, kinds: &[JobKind], rows_max: u64) -> Select<job_due::Entity> {
    job_due::Entity::find()
        .filter(job_due::Column::State.eq(StateName::Queued.word()))
        .filter(job_due::Column::Kind.is_in(kinds.iter().map(|kind| kind.word())))
        .filter(job_due::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(job_due::Column::BreachAt)
        .order_by_desc(job_due::Column::Priority)
        .order_by_asc(job_due::Column::JobId)
        .limit(rows_max)
}

/// Returns the leases that keep a candidate from its repository.
fn excluding_leases() -> SelectStatement {
    let alone = job::access_word(RepositoryAccess::Alone);
    let here = |column| Expr::col((job_due::Entity, column));
    let theirs = |column| Expr::col((lease::Entity, column));
    Query::select()
        .column(lease::Column::JobId)
        .from(lease::Entity)
        .and_where(theirs(lease::Column::RepositoryId).equals((job_due::Entity, job_due::Column::RepositoryId)))
        .and_where(
            theirs(lease::Column::RepositoryAccess).eq(alone).or(here(job_due::Column::RepositoryAccess).eq(alone)),
        )
        .take()
}

/// Returns the leases of a candidate's overlap key.
fn overlapping_leases() -> SelectStatement {
    Query::select()
        .column(lease::Column::JobId)
        .from(lease::Entity)
        .and_where(
            Expr::col((lease::Entity, lease::Column::OverlapKey))
                .equals((job_due::Entity, job_due::Column::OverlapKey)),
        )
        .take()
}

/// Returns the queued jobs that want the repository of a candidate alone, have been overtaken long enough, and come
/// before it in the queue's order. A restore overtakes them: somebody waits for it.
fn waiting_alone(now: Timestamp) -> SelectStatement {
    let other = |column| Expr::col((ALONE, column));
    let (from, until) = overtaken(now);
    Query::select()
        .column((ALONE, job_due::Column::JobId))
        .from_as(job_due::Entity, ALONE)
        .and_where(Expr::col((job_due::Entity, job_due::Column::Kind)).ne(JobKind::Restore.word()))
        .and_where(other(job_due::Column::RepositoryId).equals((job_due::Entity, job_due::Column::RepositoryId)))
        .and_where(other(job_due::Column::RepositoryAccess).eq(literal(job::access_word(RepositoryAccess::Alone))))
        .and_where(other(job_due::Column::State).eq(StateName::Queued.word()))
        .and_where(other(job_due::Column::DueAt).lte(until))
        .and_where(other(job_due::Column::DueAt).gt(from))
        .and_where(other(job_due::Column::JobId).not_equals((job_due::Entity, job_due::Column::JobId)))
        .and_where(other(job_due::Column::BreachAt).lte(Expr::col((job_due::Entity, job_due::Column::BreachAt))))
        .take()
}

/// The name under which the hot table is asked a second time.
const ALONE: &str = "alone";

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
    // The overlap key is unique among leases: who finds it taken leaves the job in the queue.
    if !lease_add(tx, agent, leased_at, row, token).await? {
        return Ok(None);
    }
    let state = JobState::Leased { agent_id: agent };
    let moved = move_to(row, job.id, &state)?.col_expr(job::Column::AttemptToken, Expr::val(token)).exec(tx).await;
    if moved.map_err(store_error)?.rows_affected == 0 {
        lease::Entity::delete_by_id(&row.id).exec(tx).await.map_err(store_error)?;
        return Ok(None);
    }
    due_put(tx, row, &state).await?;
    attempt_add(tx, agent, leased_at, row, token).await?;
    let epoch = epoch_of_lease(tx, repository, access).await?;
    // Nobody has stored one before the first attempt.
    let checkpoint = match row.attempt_token {
        0 => None,
        _ => checkpoint::Entity::find_by_id(&row.id).one(tx).await.map_err(store_error)?,
    };
    let checkpoint = checkpoint.map(checkpoint::Model::read).transpose()?;
    Ok(Some(Claimed { job: Job { state, attempt_token: AttemptToken(token), ..job }, epoch, checkpoint }))
}

/// Returns the job's repository, locked, if no lease excludes this access to it. This is the rule; the condition in
/// [`question`] only keeps excluded jobs from filling the list.
async fn repository_free(
    tx: &DatabaseTransaction,
    row: &job::Model,
    access: RepositoryAccess,
) -> Result<Option<repository::Model>, StoreError> {
    let query = repository::Entity::find_by_id(&row.repository_id).lock(parent_lock(tx.get_database_backend()));
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

/// Writes the row of a lease; false when one of the same overlap key, or of the same job, is there.
async fn lease_add(
    tx: &DatabaseTransaction,
    agent: AgentId,
    leased_at: Timestamp,
    row: &job::Model,
    token: i64,
) -> Result<bool, StoreError> {
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
        watched_count: 0,
        disowned_at: None,
        overlap_key: row.overlap_key.clone(),
        tenant_id: Some(row.tenant_id.clone()),
        kind: Some(row.kind.clone()),
        source_host: row.source_host.clone(),
        storage_endpoint: row.storage_endpoint.clone(),
    };
    let inserted = insert_unless_taken(tx, lease.into_active_model()).await;
    inserted.map_err(|error| insert_error(error, "lease", &row.id))
}

/// Writes the row of an attempt.
async fn attempt_add(
    tx: &DatabaseTransaction,
    agent: AgentId,
    leased_at: Timestamp,
    row: &job::Model,
    token: i64,
) -> Result<(), StoreError> {
    let leased_at = leased_at.as_microsecond();
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
