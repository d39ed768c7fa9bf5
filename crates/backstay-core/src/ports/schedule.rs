//! The schedules' store: which plans are due, how far each is, and what holds starts back.
//!
//! Cost grows with what is due: a plan that rests is not looked at. A write names the revision that it saw, so two
//! replicas may tick at once. Who comes in: `managers::schedule` and the doors of a plan.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::page::{Page, all};
use super::store::StoreError;
use crate::domain::event::Event;
use crate::domain::id::{MaintenanceId, PlanId, TenantId};
use crate::domain::item::Item;
use crate::domain::job::Job;
use crate::domain::job_set::JobSet;
use crate::domain::plan::Plan;
use crate::domain::schedule::{Calendar, Maintenance, ScheduleState};

/// A plan with how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledPlan {
    /// What was declared.
    pub plan: Plan,
    /// How far it is.
    pub state: ScheduleState,
}

/// An item of a plan, as the plan starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledItem {
    /// The plan.
    pub plan_id: PlanId,
    /// The item; it has not vanished.
    pub item: Item,
    /// When its newest good snapshot in the plan's repository was taken.
    pub newest_at: Option<Timestamp>,
}

/// What a tick writes about one plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The plan's next state; its revision is the one that was seen.
    pub state: ScheduleState,
    /// The set that its jobs make up, when there are several; one that is there stays as it is.
    pub set: Option<JobSet>,
    /// The queued jobs that it starts, each with what is told of it.
    pub jobs: Vec<(Job, Event)>,
    /// What else is told.
    pub told: Vec<Event>,
}

/// What the store's clock says, and by how much it went back before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockLook {
    /// The present moment.
    pub now: Timestamp,
    /// By how much it went back so far, in all, as far as anybody saw and brought dates nearer for it.
    pub back: Duration,
}

/// A maintenance window with its id, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceRow {
    /// Its id.
    pub id: MaintenanceId,
    /// The window; one of everybody that has no end is the pause of the installation.
    pub window: Maintenance,
}

/// Schedules and what holds them back. `plan_add` of the declarations makes a plan's state, looked at at once.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// Returns the present moment by the clock that decides: the store's, whatever a replica believes.
    async fn clock_read(&self) -> Result<Timestamp, StoreError>;

    /// Returns the same, with how far it went back before: a step that another replica saw between is in that.
    async fn clock_look(&self) -> Result<ClockLook, StoreError>;

    /// Returns plans whose `next_due_at` is not after `now`, the longest due first. One that cannot be read is passed
    /// over and logged: it must not hold the others up. Where such rows fill a page they are put behind the others.
    async fn schedule_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<ScheduledPlan>, StoreError>;

    /// Returns how far a plan is.
    async fn schedule_get(&self, plan: PlanId) -> Result<ScheduleState, StoreError>;

    /// Puts a state in the place of the one with `state.revision` and adds the events with it; false, and nothing is
    /// written, when another revision is there. The new row has the next revision.
    async fn schedule_put(&self, state: &ScheduleState, told: &[Event]) -> Result<bool, StoreError>;

    /// Returns the items of these plans that have not vanished, each with its newest good snapshot as of a moment.
    async fn schedule_list_items(&self, plans: &[PlanId], now: Timestamp) -> Result<Vec<ScheduledItem>, StoreError>;

    /// Writes all of these starts; false, and nothing is written, when a state has another revision, a plan is retired,
    /// or a key of a job is taken.
    async fn schedule_start(&self, starts: &[Start]) -> Result<bool, StoreError>;

    /// Returns for how many of these writes, each of other tenants' plans, the store has room at once.
    fn schedule_start_width(&self) -> usize {
        1
    }

    /// Returns the plans of a tenant that keep out of one another's way, with those of their occurrences that wait.
    async fn schedule_list_waiting(&self, tenant: TenantId) -> Result<Vec<ScheduledPlan>, StoreError>;

    /// Has all plans looked at at once, and returns how many: their clock went back, or a window was taken away.
    async fn schedule_look_again(&self) -> Result<u64, StoreError>;

    /// Returns when the heartbeat that ends last does, over or not; none when there is no agent.
    async fn heartbeat_latest(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Brings nearer what a clock that went back by a length had dated in the future, as [`nearer`] says: when jobs may start
    /// and wake, when items, channels, repositories, proofs, monitors and messages are due. What was done later than now was
    /// done now, and no heartbeat lasts longer than [`LEASE_TTL`]. Returns how many rows that were; none, and nothing is
    /// written, when somebody did it since `seen`: each step is made once, however many see it. Purges stay as they are: what
    /// is destroyed too early is gone.
    ///
    /// [`nearer`]: crate::domain::schedule::nearer
    /// [`LEASE_TTL`]: crate::domain::lease::LEASE_TTL
    async fn dates_bring_nearer(&self, seen: ClockLook, by: Duration) -> Result<Option<u64>, StoreError>;

    /// Returns what holds starts back at a moment and later.
    async fn calendar_get(&self, now: Timestamp) -> Result<Calendar, StoreError>;

    /// Adds a maintenance window.
    async fn maintenance_add(&self, row: &MaintenanceRow) -> Result<(), StoreError>;

    /// Returns a page of the maintenance windows that are not over at a moment: those of a tenant and of everybody, or all.
    async fn maintenance_page(
        &self,
        now: Timestamp,
        tenant: Option<TenantId>,
        page: Page<MaintenanceId>,
    ) -> Result<Vec<MaintenanceRow>, StoreError>;

    /// Returns the maintenance windows that are not over at a moment, by their beginning.
    async fn maintenance_list(&self, now: Timestamp) -> Result<Vec<MaintenanceRow>, StoreError> {
        let mut rows = all(|page| self.maintenance_page(now, None, page), |row: &MaintenanceRow| row.id).await?;
        rows.sort_by_key(|row| (row.window.from, row.id));
        Ok(rows)
    }

    /// Takes a maintenance window away; [`StoreError::NotFound`] when there is none.
    async fn maintenance_remove(&self, id: MaintenanceId) -> Result<(), StoreError>;
}
