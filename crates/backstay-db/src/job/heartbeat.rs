//! One row an agent: until when its heartbeat keeps all its leases. An ended heartbeat is never revived while it still
//! has leases, because the rescuer may already be giving them away.

use std::time::Duration;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::job::Standing;
use backstay_core::ports::store::{AliveAgent, Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};

use crate::Database;
use crate::dialect::insert_unless_taken;
use crate::entity::{agent, job, lease};
use crate::error::{insert_error, store_error};
use crate::now::Now;
use crate::page::paged;
use crate::row::{Row, micros_of};

/// Returns the condition of an agent whose heartbeat has not ended at `now`. The only place that says so.
pub(super) fn is_alive(now: Expr) -> Expr {
    Expr::col((agent::Entity, agent::Column::ExpiresAt)).gt(now)
}

/// Returns the ids of all agents whose heartbeat has not ended at `now`.
pub(super) fn alive_agents(now: Expr) -> SelectStatement {
    Query::select().column(agent::Column::Id).from(agent::Entity).and_where(is_alive(now)).take()
}

/// Returns the agent of a lease, if its heartbeat has not ended at `now`: one look by its key, whatever rows are gone.
pub(super) fn alive_agent(now: Expr) -> SelectStatement {
    let same = Expr::col((agent::Entity, agent::Column::Id)).equals((lease::Entity, lease::Column::AgentId));
    Query::select().column(agent::Column::Id).from(agent::Entity).and_where(same).and_where(is_alive(now)).take()
}

/// Returns the ids of all jobs that an agent holds.
fn jobs_held(agent: &str) -> SelectStatement {
    Query::select().column(lease::Column::JobId).from(lease::Entity).and_where(lease::Column::AgentId.eq(agent)).take()
}

/// Begins or extends a heartbeat because its agent asks for work of some kinds, and returns the present moment; none when it ended
/// while the agent had leases.
pub(super) async fn begin(
    tx: &DatabaseTransaction,
    now: &Now,
    (agent, kinds): (AgentId, &[JobKind]),
    ttl: Duration,
) -> Result<Option<Timestamp>, StoreError> {
    let (id, backend) = (agent.to_string(), tx.get_database_backend());
    let kinds = agent::kinds_cell(kinds);
    let extend = |until: Expr| {
        let may_extend = is_alive(now.expr(backend)).or(Expr::exists(jobs_held(&id)).not());
        let update = agent::Entity::update_many()
            .col_expr(agent::Column::ExpiresAt, until)
            .col_expr(agent::Column::Kinds, Expr::val(kinds.as_str()));
        update.filter(agent::Column::Id.eq(&id)).filter(may_extend)
    };
    if backend.support_returning() {
        // The clock is read within the statement: one question less for whoever comes again.
        let until = now.expr(backend).add(micros_of(ttl));
        let extended = extend(until).exec_with_returning(tx).await.map_err(store_error)?;
        if let Some(row) = extended.first() {
            let moment = row.expires_at.saturating_sub(micros_of(ttl));
            return Ok(Some(Row::of("agent", &id).instant("expires_at", moment)?));
        }
    }
    let moment = now.read(tx).await?;
    let at = moment.as_microsecond();
    if !backend.support_returning() {
        let extended = extend(Expr::val(at + micros_of(ttl))).exec(tx).await.map_err(store_error)?;
        if extended.rows_affected == 1 {
            return Ok(Some(moment));
        }
    }
    let expires_at = at + micros_of(ttl);
    let row = agent::Model { id: id.clone(), first_seen_at: at, expires_at, kinds: Some(kinds.clone()) };
    let inserted = insert_unless_taken(tx, row.into_active_model()).await;
    let inserted = inserted.map_err(|error| insert_error(error, "agent", id))?;
    Ok(inserted.then_some(moment))
}

/// Marks the leases that an agent has had for a `ttl` and does not name when it asks for work: the answer that brought
/// them was lost, or it dropped them. The rescuer ends them. Younger ones may be on their way still.
pub(super) async fn disown(
    tx: &DatabaseTransaction,
    now: &Now,
    agent: AgentId,
    named: &[LeaseKey],
    ttl: Duration,
) -> Result<(), StoreError> {
    let query = lease::Entity::find().filter(lease::Column::AgentId.eq(agent.to_string()));
    let rows = query.filter(lease::Column::DisownedAt.is_null()).all(tx).await.map_err(store_error)?;
    let is_named =
        |row: &lease::Model| named.iter().any(|key| key.token.0 == row.token && key.job_id.to_string() == row.job_id);
    let unnamed: Vec<String> = rows.into_iter().filter(|row| !is_named(row)).map(|row| row.job_id).collect();
    if unnamed.is_empty() {
        return Ok(());
    }
    let at = now.read(tx).await?.as_microsecond();
    let disowned = lease::Entity::update_many()
        .col_expr(lease::Column::DisownedAt, Expr::val(at))
        .filter(lease::Column::JobId.is_in(unnamed))
        .filter(lease::Column::AgentId.eq(agent.to_string()))
        .filter(lease::Column::LeasedAt.lte(at.saturating_sub(micros_of(ttl))))
        .exec(tx)
        .await;
    disowned.map(drop).map_err(store_error)
}

/// Extends a heartbeat that has not ended, and returns what each lease is worth.
pub(super) async fn renew(
    db: &Database,
    agent: AgentId,
    leases: &[LeaseKey],
    ttl: Duration,
) -> Result<Vec<Standing>, StoreError> {
    let now = || db.now.expr(db.writer.get_database_backend());
    let renewed = agent::Entity::update_many()
        .col_expr(agent::Column::ExpiresAt, now().add(micros_of(ttl)))
        .filter(agent::Column::Id.eq(agent.to_string()))
        .filter(is_alive(now()))
        .exec(&db.writer)
        .await
        .map_err(store_error)?;
    if renewed.rows_affected == 0 || leases.is_empty() {
        return Ok(vec![Standing::Lost; leases.len()]);
    }
    let held = job::Entity::find()
        .filter(job::Column::Id.in_subquery(jobs_held(&agent.to_string())))
        .all(&db.reader)
        .await
        .map_err(store_error)?;
    let standing = |key: &LeaseKey| {
        let id = key.job_id.to_string();
        let own = held.iter().find(|job| job.id == id && job.attempt_token == key.token.0);
        own.map_or(Ok(Standing::Lost), standing_of)
    };
    leases.iter().map(standing).collect()
}

/// Returns what the lease of a job in this state is worth.
pub(super) fn standing_of(job: &job::Model) -> Result<Standing, StoreError> {
    Ok(match job.state_name()? {
        StateName::Leased => Standing::Held,
        StateName::Cancelling => Standing::Cancelling,
        _ => Standing::Lost,
    })
}

/// Ends a heartbeat now; one that has ended already stays where it ended.
pub(super) async fn retire(db: &Database, agent: AgentId) -> Result<(), StoreError> {
    let now = || db.now.expr(db.writer.get_database_backend());
    let ended = agent::Entity::update_many()
        .col_expr(agent::Column::ExpiresAt, now())
        .filter(agent::Column::Id.eq(agent.to_string()))
        .filter(is_alive(now()))
        .exec(&db.writer)
        .await;
    ended.map(drop).map_err(store_error)
}

/// Returns a page of the agents whose heartbeat has not ended.
pub(super) async fn page_alive(db: &Database, page: Page<AgentId>) -> Result<Vec<AliveAgent>, StoreError> {
    let now = db.now.expr(db.reader.get_database_backend());
    let query = paged(agent::Entity::find().filter(is_alive(now)), agent::Column::Id, &page);
    let rows = query.all(&db.reader).await.map_err(store_error)?;
    rows.iter().map(agent::Model::read).collect()
}
