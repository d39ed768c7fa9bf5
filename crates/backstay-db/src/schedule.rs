//! How far schedules are, and what holds starts back.
//!
//! A tick asks for the plans whose moment has come, by an index that holds nothing else; a write names the revision that
//! it saw, so that of two replicas one writes.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{MaintenanceId, PlanId, TenantId};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{Calendar, OverlapKey, ScheduleState};
use backstay_core::ports::schedule::{ClockLook, MaintenanceRow, ScheduleStore, ScheduledItem, ScheduledPlan, Start};
use backstay_core::ports::store::{Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, JoinType, QueryFilter, QueryOrder, QuerySelect,
    RelationDef, Select,
};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::start_width;
use crate::entity::{maintenance, plan, plan_schedule};
use crate::error::{insert_error, store_error};
use crate::event::{event_append, tenant_locked};
use crate::history::rows_limit;
use crate::page::paged;

/// Returns the question for plans that are due, the longest due first.
pub(crate) fn due_question(now: Timestamp, rows_max: u32) -> Select<plan_schedule::Entity> {
    plan_schedule::Entity::find()
        .filter(plan_schedule::Column::NextDueAt.lte(now.as_microsecond()))
        .order_by_asc(plan_schedule::Column::NextDueAt)
        .limit(rows_limit(rows_max))
}

/// Returns the way from a plan's state to the plan.
fn to_plan() -> RelationDef {
    plan_schedule::Entity::belongs_to(plan::Entity).from(plan_schedule::Column::PlanId).to(plan::Column::Id).into()
}

/// A plan whose row cannot be read, with the revision of its state.
type Unread = (String, i64);

/// How long a plan that cannot be read stays behind the others: a newer replica may know what it says.
const UNREAD_REST: Duration = Duration::from_secs(60);

impl Database {
    /// Returns the states that a question finds with their plans, and plans that cannot be read, with their revisions: those
    /// are logged and passed over.
    async fn with_plans(
        &self,
        question: Select<plan_schedule::Entity>,
    ) -> Result<(Vec<ScheduledPlan>, Vec<Unread>), StoreError> {
        let found = question.join(JoinType::InnerJoin, to_plan()).select_also(plan::Entity).all(&self.reader).await;
        let (mut rows, mut unread) = (Vec::new(), Vec::new());
        for (state, plan) in found.map_err(store_error)? {
            let Some(plan) = plan else { continue };
            let (plan_id, revision) = (state.plan_id.clone(), state.revision);
            match read(plan, state) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    tracing::error!(plan_id, error = %error, "a plan is passed over: it cannot be read");
                    unread.push((plan_id, revision));
                }
            }
        }
        Ok((rows, unread))
    }

    /// Puts plans that cannot be read behind those that can: at the head of the line they would hold up all others.
    async fn put_behind(&self, unread: &[Unread], now: Timestamp) -> Result<(), StoreError> {
        let later = now.saturating_add(UNREAD_REST).unwrap_or(Timestamp::MAX);
        for (plan_id, revision) in unread {
            let update = plan_schedule::Entity::update_many()
                .col_expr(plan_schedule::Column::NextDueAt, Expr::val(later.as_microsecond()))
                .col_expr(plan_schedule::Column::Revision, Expr::val(revision + 1))
                .filter(plan_schedule::Column::PlanId.eq(plan_id))
                .filter(plan_schedule::Column::Revision.eq(*revision));
            update.exec(&self.writer).await.map_err(store_error)?;
        }
        Ok(())
    }

    async fn put_once(&self, state: &ScheduleState, told: &[Event]) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let tenant = match told.first() {
            Some(event) => Some(tenant_locked(&tx, event.tenant_id).await?),
            None => None,
        };
        if !put(&tx, state).await? {
            return Ok(false);
        }
        if let Some(tenant) = &tenant {
            for event in told {
                event_append(&tx, tenant, event).await?;
            }
        }
        commit(tx).await?;
        Ok(true)
    }
}

fn read(plan: plan::Model, state: plan_schedule::Model) -> Result<ScheduledPlan, StoreError> {
    Ok(ScheduledPlan { plan: plan.read()?, state: state.read()? })
}

/// Writes a state in the place of the one of its revision; false when that is gone.
async fn put(tx: &DatabaseTransaction, state: &ScheduleState) -> Result<bool, StoreError> {
    use plan_schedule::Column;
    let row = plan_schedule::Model::of(state);
    let update = plan_schedule::Entity::update_many()
        .col_expr(Column::LastPlannedAt, Expr::val(row.last_planned_at))
        .col_expr(Column::NextDueAt, Expr::val(row.next_due_at))
        .col_expr(Column::PausedAt, Expr::val(row.paused_at))
        .col_expr(Column::WaitingPlannedAt, Expr::val(row.waiting_planned_at))
        .col_expr(Column::WaitingNotBeforeAt, Expr::val(row.waiting_not_before_at))
        .col_expr(Column::WaitingStartByAt, Expr::val(row.waiting_start_by_at))
        .col_expr(Column::WaitingLateMs, Expr::val(row.waiting_late_ms))
        .col_expr(Column::WaitingMissed, Expr::val(row.waiting_missed))
        .col_expr(Column::SkippedBefore, Expr::val(row.skipped_before))
        .col_expr(Column::Revision, Expr::val(row.revision + 1))
        .filter(Column::PlanId.eq(&row.plan_id))
        .filter(Column::Revision.eq(row.revision));
    let done = update.exec(tx).await.map_err(store_error)?;
    Ok(done.rows_affected == 1)
}

/// Adds the state of a new plan.
pub(crate) async fn schedule_add(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), StoreError> {
    let row = plan_schedule::Model::of(&ScheduleState::new(plan.id, plan.created_at));
    let insert = plan_schedule::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "schedule of plan", plan.id.to_string()))
}

/// Notes that a plan has another schedule.
pub(crate) async fn schedule_changed(
    tx: &DatabaseTransaction,
    (old, new): (&Plan, &Plan),
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = old.id;
    let row = plan_schedule::Entity::find_by_id(id.to_string()).lock_exclusive().one(tx).await.map_err(store_error)?;
    let state = found(row, "schedule of plan", id)?.read()?;
    put(tx, &state.rescheduled((old, new), now)).await.map(drop)
}

#[async_trait]
impl ScheduleStore for Database {
    async fn clock_read(&self) -> Result<Timestamp, StoreError> {
        self.now.read(&self.reader).await
    }

    async fn clock_look(&self) -> Result<ClockLook, StoreError> {
        self.look_at_clock().await
    }

    async fn schedule_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<ScheduledPlan>, StoreError> {
        loop {
            let (rows, unread) = self.with_plans(due_question(now, rows_max)).await?;
            // While they hold nobody up they stay: a newer replica may know what they say, and starts them in time.
            if unread.is_empty() || rows.len() + unread.len() < rows_max as usize {
                return Ok(rows);
            }
            self.put_behind(&unread, now).await?;
        }
    }

    async fn schedule_get(&self, plan: PlanId) -> Result<ScheduleState, StoreError> {
        let row = plan_schedule::Entity::find_by_id(plan.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "plan", plan)?.read()
    }

    async fn schedule_put(&self, state: &ScheduleState, told: &[Event]) -> Result<bool, StoreError> {
        self.retrying(|| self.put_once(state, told)).await
    }

    async fn schedule_list_items(&self, plans: &[PlanId], now: Timestamp) -> Result<Vec<ScheduledItem>, StoreError> {
        self.items_of_plans(plans, now).await
    }

    async fn schedule_start(&self, starts: &[Start]) -> Result<bool, StoreError> {
        self.retrying(|| self.start_once(starts)).await
    }

    fn schedule_start_width(&self) -> usize {
        start_width(self.writer.get_database_backend())
    }

    async fn schedule_list_waiting(&self, tenant: TenantId) -> Result<Vec<ScheduledPlan>, StoreError> {
        let waiting = plan_schedule::Entity::find()
            .filter(plan::Column::TenantId.eq(tenant.to_string()))
            .filter(plan_schedule::Column::WaitingPlannedAt.is_not_null());
        let (rows, _) = self.with_plans(waiting).await?;
        Ok(rows.into_iter().filter(|row| row.plan.schedule.overlap() == OverlapKey::Tenant).collect())
    }

    async fn schedule_look_again(&self) -> Result<u64, StoreError> {
        let update = plan_schedule::Entity::update_many()
            .col_expr(plan_schedule::Column::NextDueAt, Expr::val(0i64))
            .col_expr(plan_schedule::Column::Revision, Expr::col(plan_schedule::Column::Revision).add(1))
            .filter(plan_schedule::Column::NextDueAt.is_not_null());
        let done = update.exec(&self.writer).await.map_err(store_error)?;
        Ok(done.rows_affected)
    }

    async fn heartbeat_latest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.latest_heartbeat().await
    }

    async fn dates_bring_nearer(&self, seen: ClockLook, by: Duration) -> Result<Option<u64>, StoreError> {
        self.bring_nearer(seen, by).await
    }

    async fn calendar_get(&self, now: Timestamp) -> Result<Calendar, StoreError> {
        let rows = self.maintenance_list(now).await?;
        Ok(Calendar::of(rows.into_iter().map(|row| row.window), now))
    }

    async fn maintenance_add(&self, row: &MaintenanceRow) -> Result<(), StoreError> {
        let insert = maintenance::Entity::insert(maintenance::Model::of(row).into_active_model());
        let done = insert.exec_without_returning(&self.writer).await;
        done.map(drop).map_err(|error| insert_error(error, "maintenance window", row.id.to_string()))
    }

    async fn maintenance_page(
        &self,
        now: Timestamp,
        tenant: Option<TenantId>,
        page: Page<MaintenanceId>,
    ) -> Result<Vec<MaintenanceRow>, StoreError> {
        let open = Condition::any()
            .add(maintenance::Column::UntilAt.is_null())
            .add(maintenance::Column::UntilAt.gt(now.as_microsecond()));
        let mut query = maintenance::Entity::find().filter(open);
        if let Some(tenant) = tenant {
            let seen = Condition::any()
                .add(maintenance::Column::TenantId.is_null())
                .add(maintenance::Column::TenantId.eq(tenant.to_string()));
            query = query.filter(seen);
        }
        let rows = paged(query, maintenance::Column::Id, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(maintenance::Model::read).collect()
    }

    async fn maintenance_remove(&self, id: MaintenanceId) -> Result<(), StoreError> {
        let done = maintenance::Entity::delete_by_id(id.to_string()).exec(&self.writer).await.map_err(store_error)?;
        if done.rows_affected == 1 {
            return Ok(());
        }
        Err(StoreError::NotFound { noun: "maintenance window", key: id.to_string() })
    }
}
