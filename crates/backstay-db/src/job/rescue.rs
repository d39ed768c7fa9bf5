//! Leases that are over: finding them, ending them; and waits that are over.

use std::time::Duration;

use backstay_core::domain::attempt::{AttemptEnd, LeaseKey};
use backstay_core::domain::job::StateName;
use backstay_core::ports::store::{LostLease, Rescue, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

use super::due::due_put;
use super::heartbeat::{alive_agents, is_alive};
use super::settle::lease_end;
use super::state::{job_locked, move_to, put_streak};
use crate::Database;
use crate::database::commit;
use crate::dialect::literal;
use crate::entity::{agent, job, job_due, lease};
use crate::error::store_error;
use crate::event::{event_append, tenant_locked};
use crate::history::rows_limit;
use crate::now::Now;
use crate::row::micros_of;

// What the bulk update of `wake` writes, asked of the core's table when this is compiled.
const _: () = assert!(StateName::Waiting.may_become(StateName::Queued));

/// Most jobs that one transaction wakes: a bound on how long it holds its locks.
const WAKE_ROWS_MAX: u64 = 200;

/// Returns the condition of a lease that is over at `now`: its agent's heartbeat has ended, its agent does not know of it,
/// or it made no progress within the stall limit.
fn is_over(now: &Now, db: &impl ConnectionTrait, stall_limit: Duration) -> Condition {
    let now = || now.expr(db.get_database_backend());
    Condition::any()
        .add(lease::Column::AgentId.not_in_subquery(alive_agents(now())))
        .add(lease::Column::DisownedAt.is_not_null())
        .add(Expr::col(lease::Column::ProgressedAt).lt(now().sub(micros_of(stall_limit))))
}

/// Returns leases that are over, longest without progress first.
pub(super) async fn list_lost(
    db: &Database,
    stall_limit: Duration,
    rows_max: u32,
) -> Result<Vec<LostLease>, StoreError> {
    let over = lease::Entity::find()
        .filter(is_over(&db.now, &db.reader, stall_limit))
        .order_by_asc(lease::Column::ProgressedAt)
        .limit(rows_limit(rows_max))
        .all(&db.reader)
        .await
        .map_err(store_error)?;
    let alive = agent::Entity::find()
        .filter(is_alive(db.now.expr(db.reader.get_database_backend())))
        .filter(agent::Column::Id.is_in(over.iter().map(|lease| &lease.agent_id)))
        .all(&db.reader)
        .await
        .map_err(store_error)?;
    let jobs = job::Entity::find()
        .filter(job::Column::Id.is_in(over.iter().map(|lease| &lease.job_id)))
        .all(&db.reader)
        .await
        .map_err(store_error)?;
    let mut lost = Vec::with_capacity(over.len());
    for lease in over {
        let Some(row) = jobs.iter().find(|row| row.id == lease.job_id && row.attempt_token == lease.token) else {
            // It was settled between these queries.
            continue;
        };
        let reason = if lease.disowned_at.is_some() {
            format!("its agent {} does not know of it", lease.agent_id)
        } else if alive.iter().any(|agent| agent.id == lease.agent_id) {
            format!("it made no progress for {} s", stall_limit.as_secs())
        } else {
            format!("the heartbeat of its agent {} ended", lease.agent_id)
        };
        match row.clone().read() {
            Ok(job) => lost.push(LostLease { job, reason }),
            // One bad row must not keep the others from being rescued.
            Err(error) => tracing::error!(job_id = row.id, error = %error, "a lost lease is passed over"),
        }
    }
    Ok(lost)
}

/// Ends a lease if it is over now; false when it is not, or is somebody else's by now.
pub(super) async fn rescue(
    tx: &DatabaseTransaction,
    now: &Now,
    key: LeaseKey,
    stall_limit: Duration,
    rows: &Rescue,
) -> Result<bool, StoreError> {
    let Rescue { state, streak, event } = rows;
    let tenant = tenant_locked(tx, event.tenant_id).await?;
    let lease = lease::Entity::find_by_id(key.job_id.to_string())
        .filter(lease::Column::Token.eq(key.token.0))
        .filter(is_over(now, tx, stall_limit))
        .lock_exclusive()
        .one(tx)
        .await
        .map_err(store_error)?;
    if lease.is_none() {
        return Ok(false);
    }
    let row = job_locked(tx, key.job_id).await?;
    let update = put_streak(move_to(&row, key.job_id, state)?, Some(*streak));
    let update = update.filter(job::Column::AttemptToken.eq(key.token.0));
    if update.exec(tx).await.map_err(store_error)?.rows_affected == 0 {
        return Ok(false);
    }
    due_put(tx, &row, state).await?;
    lease_end(tx, key, now.read(tx).await?, AttemptEnd::Lost, state.name()).await?;
    event_append(tx, &tenant, event).await?;
    Ok(true)
}

/// Queues waiting jobs whose time has come, each from the moment that it waited for.
pub(super) async fn wake(db: &Database) -> Result<u64, StoreError> {
    let mut woken = 0;
    loop {
        let count = db.retrying(|| wake_some(db)).await?;
        woken += count;
        if count < WAKE_ROWS_MAX {
            return Ok(woken);
        }
    }
}

/// Returns the question for waiting jobs whose time has come.
pub(crate) fn wake_question(now: Timestamp) -> Select<job_due::Entity> {
    job_due::Entity::find()
        .filter(Expr::col(job_due::Column::State).eq(literal(StateName::Waiting.word())))
        .filter(job_due::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(job_due::Column::DueAt)
        .limit(WAKE_ROWS_MAX)
}

/// Wakes a batch. What another replica is waking is passed over.
async fn wake_some(db: &Database) -> Result<u64, StoreError> {
    let tx = db.begin().await?;
    let now = db.now.read(&tx).await?;
    let due = wake_question(now)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(&tx)
        .await
        .map_err(store_error)?;
    if due.is_empty() {
        return Ok(0);
    }
    let ids = || due.iter().map(|due| &due.job_id);
    let woken = job::Entity::update_many()
        .col_expr(job::Column::State, Expr::val(StateName::Queued.word()))
        // In this order: MariaDB assigns from left to right.
        .col_expr(job::Column::NotBeforeAt, Expr::col(job::Column::WakeAt))
        .col_expr(job::Column::WakeAt, Expr::val(None::<i64>))
        .col_expr(job::Column::Message, Expr::val(None::<String>))
        .filter(job::Column::Id.is_in(ids()))
        .filter(job::Column::State.eq(StateName::Waiting.word()))
        .exec(&tx)
        .await
        .map_err(store_error)?;
    job_due::Entity::update_many()
        .col_expr(job_due::Column::State, Expr::val(StateName::Queued.word()))
        .filter(job_due::Column::JobId.is_in(ids()))
        .exec(&tx)
        .await
        .map_err(store_error)?;
    commit(tx).await?;
    Ok(woken.rows_affected)
}
