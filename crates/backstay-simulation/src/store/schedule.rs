//! The schedules' store on the stage.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{MaintenanceId, PlanId, TenantId};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{Calendar, Occurrence, ScheduleState, jitter_of, next};
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::schedule::{ClockLook, MaintenanceRow, ScheduleStore, ScheduledItem, ScheduledPlan, Start};
use backstay_core::ports::store::{DeclarationStore as _, Page, StoreError};
use jiff::Timestamp;

use super::SteppedStore;
use crate::mutant::Mutant;

impl SteppedStore {
    /// Returns the state that a mutant writes who makes up for everything that was missed: when occurrences were passed
    /// over, the oldest of them waits for its turn.
    fn catching_up(&self, state: &ScheduleState) -> ScheduleState {
        let made = |plan_id| {
            let plan = self.stage.block(self.database.plan_get(plan_id)).ok()?;
            let before = self.stage.block(self.database.schedule_get(plan_id)).ok()?.last_planned_at?;
            // From its start on: `next` takes the jitter off again.
            let started = before.saturating_add(jitter_of(plan_id, plan.schedule.jitter())).ok()?;
            let missed = next(&state.planned(&plan), started, 1).first().map(|(planned_at, _)| *planned_at)?;
            let now = self.stage.now();
            let occurrence = Occurrence { planned_at: missed, not_before: now, start_by: now, late: None, missed: 0 };
            (missed > before && state.last_planned_at > Some(missed)).then(|| state.wait(occurrence, now))
        };
        made(state.plan_id).unwrap_or_else(|| state.clone())
    }
}

impl SteppedStore {
    /// Changes a plan as a mutant does who begins anew with each schedule: what waits is dropped.
    pub(super) async fn forgetting(&self, old: &Plan, new: &Plan) -> Result<bool, StoreError> {
        let is_done = self.database.plan_replace(old, new).await?;
        if is_done {
            let state = self.database.schedule_get(old.id).await?;
            self.database.schedule_put(&ScheduleState { waiting: None, ..state }, &[]).await?;
        }
        Ok(is_done)
    }
}

#[async_trait]
impl ScheduleStore for SteppedStore {
    async fn clock_read(&self) -> Result<Timestamp, StoreError> {
        if let Some(local) = &self.local {
            return Ok(local.now());
        }
        self.reads("clock_read", self.database.clock_read()).await
    }
    async fn clock_look(&self) -> Result<ClockLook, StoreError> {
        self.reads("clock_look", self.database.clock_look()).await
    }
    async fn schedule_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<ScheduledPlan>, StoreError> {
        self.writes("schedule_list_due", self.database.schedule_list_due(now, rows_max)).await
    }
    async fn schedule_get(&self, plan: PlanId) -> Result<ScheduleState, StoreError> {
        self.reads("schedule_get", self.database.schedule_get(plan)).await
    }
    async fn schedule_put(&self, state: &ScheduleState, told: &[Event]) -> Result<bool, StoreError> {
        if self.is(Mutant::DoubleCatchUp) {
            let state = self.catching_up(state);
            return self.writes("schedule_put", self.database.schedule_put(&state, told)).await;
        }
        self.writes("schedule_put", self.database.schedule_put(state, told)).await
    }
    async fn schedule_list_items(&self, plans: &[PlanId], now: Timestamp) -> Result<Vec<ScheduledItem>, StoreError> {
        self.reads("schedule_list_items", self.database.schedule_list_items(plans, now)).await
    }
    async fn schedule_start(&self, starts: &[Start]) -> Result<bool, StoreError> {
        if self.is(Mutant::DoubleCatchUp) {
            let late = |start: &Start| Start { state: self.catching_up(&start.state), ..start.clone() };
            let starts: Vec<Start> = starts.iter().map(late).collect();
            return self.writes("schedule_start", self.database.schedule_start(&starts)).await;
        }
        self.writes("schedule_start", self.database.schedule_start(starts)).await
    }
    async fn schedule_list_waiting(&self, tenant: TenantId) -> Result<Vec<ScheduledPlan>, StoreError> {
        self.reads("schedule_list_waiting", self.database.schedule_list_waiting(tenant)).await
    }
    async fn schedule_look_again(&self) -> Result<u64, StoreError> {
        self.writes("schedule_look_again", self.database.schedule_look_again()).await
    }
    async fn heartbeat_latest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.reads("heartbeat_latest", self.database.heartbeat_latest()).await
    }
    async fn dates_bring_nearer(&self, seen: ClockLook, by: Duration) -> Result<Option<u64>, StoreError> {
        self.writes("dates_bring_nearer", self.database.dates_bring_nearer(seen, by)).await
    }
    async fn calendar_get(&self, now: Timestamp) -> Result<Calendar, StoreError> {
        self.reads("calendar_get", self.database.calendar_get(now)).await
    }
    async fn maintenance_add(&self, row: &MaintenanceRow) -> Result<(), StoreError> {
        self.writes("maintenance_add", self.database.maintenance_add(row)).await
    }
    async fn maintenance_page(
        &self,
        now: Timestamp,
        tenant: Option<TenantId>,
        page: Page<MaintenanceId>,
    ) -> Result<Vec<MaintenanceRow>, StoreError> {
        self.reads("maintenance_page", self.database.maintenance_page(now, tenant, page)).await
    }
    async fn maintenance_remove(&self, id: MaintenanceId) -> Result<(), StoreError> {
        self.writes("maintenance_remove", self.database.maintenance_remove(id)).await
    }
}
