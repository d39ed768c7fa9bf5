//! Writes what a tick starts of many plans in one transaction: a statement a table, however many plans there are.
//!
//! Whatever is in the way of one of them (another revision, a retired plan, a taken key) undoes all; who called tries
//! fewer. The order of locks is that of the single writes: tenants, by their ids, then schedules, then jobs.

use std::collections::{BTreeSet, HashMap};

use backstay_core::domain::event::Event;
use backstay_core::domain::id::PlanId;
use backstay_core::domain::job::{Job, StateName};
use backstay_core::ports::schedule::{ScheduledItem, Start};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Asterisk, CaseStatement, Expr, ExprTrait as _, Order, Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait, FromQueryResult,
    IntoActiveModel, PaginatorTrait as _, QueryFilter, QuerySelect,
};

use crate::Database;
use crate::database::commit;
use crate::dialect::{insert_unless_taken, is_among};
use crate::entity::{item, job, job_due, job_set, plan, plan_schedule, purge, snapshot};
use crate::error::{insert_error, is_taken, store_error};
use crate::event::{events_append, tenants_locked};
use crate::insert::{insert_rows, replace_rows, revise_rows};
use crate::job::{due_of, places_put};
use crate::row::Row;

/// Rows of one insert: all databases take as many values as their columns need.
const INSERT_ROWS: usize = 500;

/// An item with its plan.
#[derive(FromQueryResult)]
struct ItemRow {
    plan_id: String,
    id: String,
    source_id: String,
    name: String,
    name_hash: String,
    vanished_at: Option<i64>,
    newest_at: Option<i64>,
}

impl ItemRow {
    fn read(self) -> Result<ScheduledItem, StoreError> {
        let row = Row::of("plan", &self.plan_id);
        let plan_id = row.parse("id", &self.plan_id)?;
        let newest_at = row.instant_some("newest_at", self.newest_at)?;
        let Self { id, source_id, name, name_hash, vanished_at, .. } = self;
        let item = item::Model { id, source_id, name, name_hash, vanished_at }.read()?;
        Ok(ScheduledItem { plan_id, item, newest_at })
    }
}

/// Returns the question for the items of plans, each with the moment of its newest good snapshot as of `now`.
pub(crate) fn items_question(backend: DbBackend, plans: &[PlanId], now: Timestamp) -> SelectStatement {
    let of = |column| Expr::col((snapshot::Entity, column));
    // What `Snapshot::proved_at` says.
    let confirmed = of(snapshot::Column::ConfirmedAt).lte(now.as_microsecond());
    let later = of(snapshot::Column::ConfirmedAt).gt(of(snapshot::Column::TakenAt));
    let proved = CaseStatement::new()
        .case(confirmed.and(later), of(snapshot::Column::ConfirmedAt))
        .finally(of(snapshot::Column::TakenAt));
    let newest = Query::select()
        .expr(proved)
        .from(snapshot::Entity)
        .and_where(of(snapshot::Column::ItemId).equals((item::Entity, item::Column::Id)))
        .and_where(of(snapshot::Column::RepositoryId).equals((plan::Entity, plan::Column::RepositoryId)))
        .and_where(of(snapshot::Column::Good).eq(1))
        .and_where(of(snapshot::Column::TakenAt).lte(now.as_microsecond()))
        .and_where(of(snapshot::Column::ForgottenAt).is_null())
        .order_by((snapshot::Entity, snapshot::Column::TakenAt), Order::Desc)
        .order_by((snapshot::Entity, snapshot::Column::Id), Order::Desc)
        .limit(1)
        .take();
    Query::select()
        .expr_as(Expr::col((plan::Entity, plan::Column::Id)), "plan_id")
        .column((item::Entity, Asterisk))
        .expr_as(newest, "newest_at")
        .from(plan::Entity)
        .inner_join(
            item::Entity,
            Expr::col((item::Entity, item::Column::SourceId)).equals((plan::Entity, plan::Column::SourceId)),
        )
        .and_where(is_among(backend, plan::Column::Id, plans.iter().map(ToString::to_string)))
        .and_where(Expr::col((item::Entity, item::Column::VanishedAt)).is_null())
        .take()
}

impl Database {
    /// Returns the items of plans, as of a moment.
    pub(crate) async fn items_of_plans(
        &self,
        plans: &[PlanId],
        now: Timestamp,
    ) -> Result<Vec<ScheduledItem>, StoreError> {
        let backend = self.reader.get_database_backend();
        let statement = backend.build(&items_question(backend, plans, now));
        let rows = ItemRow::find_by_statement(statement).all(&self.reader).await.map_err(store_error)?;
        let mut items = rows.into_iter().map(ItemRow::read).collect::<Result<Vec<_>, _>>()?;
        items.sort_by(|a, b| (a.plan_id, &a.item.name).cmp(&(b.plan_id, &b.item.name)));
        Ok(items)
    }

    /// Writes starts; false, and nothing is written, when something is in the way.
    pub(crate) async fn start_once(&self, starts: &[Start]) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let mut events: Vec<&Event> = Vec::new();
        for start in starts {
            events.extend(start.jobs.iter().map(|(_, event)| event));
            events.extend(&start.told);
        }
        tenants_locked(&tx, events.iter().map(|event| event.tenant_id).collect()).await?;
        if !states_put(&tx, starts).await? || !jobs_put(&tx, starts).await? {
            return Ok(false);
        }
        events_append(&tx, &events).await?;
        commit(tx).await?;
        for (job, _) in starts.iter().flat_map(|start| &start.jobs) {
            self.hints.came(&job.id.to_string(), job.breach_at.as_microsecond());
        }
        Ok(true)
    }
}

/// Puts the states of plans in the place of those of their revisions; false when one of these is gone.
async fn states_put(tx: &DatabaseTransaction, starts: &[Start]) -> Result<bool, StoreError> {
    use plan_schedule::Column;
    for some in starts.chunks(INSERT_ROWS) {
        let next = |start: &Start| {
            let row = plan_schedule::Model::of(&start.state);
            plan_schedule::Model { revision: row.revision + 1, ..row }
        };
        let rows: Vec<plan_schedule::Model> = some.iter().map(next).collect();
        if tx.get_database_backend() == DbBackend::Postgres {
            let rows: Vec<plan_schedule::ActiveModel> =
                rows.into_iter().map(IntoActiveModel::into_active_model).collect();
            let revised = revise_rows(tx, &rows, Column::PlanId, Column::Revision).await.map_err(store_error)?;
            if revised != some.len() as u64 {
                return Ok(false);
            }
            continue;
        }
        let there = plan_schedule::Entity::find()
            .filter(Column::PlanId.is_in(rows.iter().map(|row| &row.plan_id)))
            .lock_exclusive()
            .all(tx)
            .await
            .map_err(store_error)?;
        let there: HashMap<String, i64> = there.into_iter().map(|row| (row.plan_id, row.revision + 1)).collect();
        if rows.iter().any(|row| there.get(&row.plan_id) != Some(&row.revision)) {
            return Ok(false);
        }
        // All of them are there, and locked: each takes the place of one.
        let rows = rows.into_iter().map(IntoActiveModel::into_active_model).collect();
        replace_rows::<plan_schedule::ActiveModel>(tx, rows).await.map_err(store_error)?;
    }
    Ok(true)
}

/// Puts the jobs of starts in the queue; false when a plan is retired, its tenant purged, or a key of a job is taken.
async fn jobs_put(tx: &DatabaseTransaction, starts: &[Start]) -> Result<bool, StoreError> {
    let jobs: Vec<&Job> = starts.iter().flat_map(|start| start.jobs.iter().map(|(job, _)| job)).collect();
    if let Some(job) = jobs.iter().find(|job| job.state.name() != StateName::Queued) {
        return Err(StoreError::Move { job_id: job.id, from: job.state.name(), to: StateName::Queued });
    }
    let plans: BTreeSet<String> = jobs.iter().filter_map(|job| job.plan_id).map(|id| id.to_string()).collect();
    let wanted = plans.len() as u64;
    let live = plan::Entity::find()
        .filter(is_among(tx.get_database_backend(), plan::Column::Id, plans))
        .filter(plan::Column::RetiredMark.eq(""))
        .filter(Expr::exists(purged()).not());
    if live.count(tx).await.map_err(store_error)? != wanted {
        return Ok(false);
    }
    for set in starts.iter().filter_map(|start| start.set.as_ref()) {
        // One that is there was made by an occurrence that did not come to its end, and stays as it is.
        let inserted = insert_unless_taken(tx, job_set::Model::of(set).into_active_model()).await;
        inserted.map_err(|error| insert_error(error, "job set", set.id.to_string()))?;
    }
    for some in jobs.chunks(INSERT_ROWS) {
        let mut rows: Vec<job::Model> = some.iter().map(|job| job::Model::of(job)).collect();
        places_put(tx, &mut rows).await?;
        let due = rows.iter().zip(some).filter_map(|(row, job)| due_of(row, &job.state)).collect();
        if !insert_all::<job::ActiveModel>(tx, rows, "job").await?
            || !insert_all::<job_due::ActiveModel>(tx, due, "place in the queue").await?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the confirmed purge of a plan's tenant.
fn purged() -> SelectStatement {
    Query::select()
        .column(purge::Column::TenantId)
        .from(purge::Entity)
        .and_where(Expr::col((purge::Entity, purge::Column::TenantId)).equals((plan::Entity, plan::Column::TenantId)))
        .and_where(Expr::col((purge::Entity, purge::Column::ConfirmedAt)).is_not_null())
        .take()
}

/// Inserts rows; false when a key of one is taken: then the transaction must not be committed.
async fn insert_all<A>(
    tx: &DatabaseTransaction,
    rows: Vec<<A::Entity as EntityTrait>::Model>,
    noun: &'static str,
) -> Result<bool, StoreError>
where
    A: ActiveModelTrait,
    <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
{
    if rows.is_empty() {
        return Ok(true);
    }
    let rows = rows.into_iter().map(IntoActiveModel::into_active_model).collect();
    match insert_rows::<A>(tx, rows).await {
        Ok(()) => Ok(true),
        Err(error) if is_taken(&error) => Ok(false),
        Err(error) => Err(insert_error(error, noun, "of many")),
    }
}
