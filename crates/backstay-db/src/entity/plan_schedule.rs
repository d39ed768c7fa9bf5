//! How far a plan's schedule is, as a row.

use std::time::Duration;

use backstay_core::domain::schedule::{Occurrence, ScheduleState};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell, ms_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plan_schedule")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) plan_id: String,
    pub(crate) last_planned_at: Option<i64>,
    pub(crate) next_due_at: Option<i64>,
    pub(crate) paused_at: Option<i64>,
    pub(crate) waiting_planned_at: Option<i64>,
    pub(crate) waiting_not_before_at: Option<i64>,
    pub(crate) waiting_start_by_at: Option<i64>,
    pub(crate) waiting_late_ms: Option<i64>,
    pub(crate) waiting_missed: Option<i64>,
    pub(crate) skipped_before: i64,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(state: &ScheduleState) -> Self {
        let waiting = state.waiting.as_ref();
        Self {
            plan_id: state.plan_id.to_string(),
            last_planned_at: state.last_planned_at.map(|at| at.as_microsecond()),
            next_due_at: state.next_due_at.map(|at| at.as_microsecond()),
            paused_at: state.paused_at.map(|at| at.as_microsecond()),
            waiting_planned_at: waiting.map(|waiting| waiting.planned_at.as_microsecond()),
            waiting_not_before_at: waiting.map(|waiting| waiting.not_before.as_microsecond()),
            waiting_start_by_at: waiting.map(|waiting| waiting.start_by.as_microsecond()),
            waiting_late_ms: waiting.and_then(|waiting| waiting.late).map(ms_cell),
            waiting_missed: waiting.map(|waiting| i64::from(waiting.missed)),
            skipped_before: i64::from(state.skipped_before),
            revision: count_cell(state.revision),
        }
    }

    pub(crate) fn read(self) -> Result<ScheduleState, StoreError> {
        let row = Row::of("plan_schedule", &self.plan_id);
        let some = |column: &str, cell: Option<i64>| cell.map(|cell| row.instant(column, cell)).transpose();
        Ok(ScheduleState {
            plan_id: row.parse("plan_id", &self.plan_id)?,
            last_planned_at: some("last_planned_at", self.last_planned_at)?,
            next_due_at: some("next_due_at", self.next_due_at)?,
            paused_at: some("paused_at", self.paused_at)?,
            waiting: self.waiting(row)?,
            skipped_before: row.count_small("skipped_before", self.skipped_before)?,
            revision: row.count("revision", self.revision)?,
        })
    }

    fn waiting(&self, row: Row<'_>) -> Result<Option<Occurrence>, StoreError> {
        let Some(planned_at) = self.waiting_planned_at else { return Ok(None) };
        let at = |column: &str, cell: Option<i64>| row.instant(column, row.demanded(column, cell)?);
        let late = self.waiting_late_ms.map(|late| row.count("waiting_late_ms", late)).transpose()?;
        Ok(Some(Occurrence {
            planned_at: row.instant("waiting_planned_at", planned_at)?,
            not_before: at("waiting_not_before_at", self.waiting_not_before_at)?,
            start_by: at("waiting_start_by_at", self.waiting_start_by_at)?,
            late: late.map(Duration::from_millis),
            missed: row.count_small("waiting_missed", row.demanded("waiting_missed", self.waiting_missed)?)?,
        }))
    }
}
