//! Plans.

use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{self, Calendar, Rhythm, Schedule, ScheduleState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::EnqueuedView;
use super::retention::RetentionView;

/// When a plan's items are backed up: by `cron`, by `every_ms`, or by request alone when both are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleView {
    /// A cron expression of five fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// IANA name of the time zone in which the expression is read; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Longest delay that spreads the load; none when left out.
    #[serde(default)]
    pub jitter_ms: u64,
    /// Which running jobs an occurrence must not overlap: `plan` (when left out) or `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// How long after its moment an occurrence may still start on time; an hour when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_window_ms: Option<u64>,
    /// What becomes of what was missed: the newest is started `once`, marked late (when left out), or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
}

impl From<&Schedule> for ScheduleView {
    fn from(schedule: &Schedule) -> Self {
        let (cron, every_ms) = match schedule.rhythm() {
            Rhythm::OnRequest => (None, None),
            Rhythm::Every(every) => (None, Some(every.as_millis() as u64)),
            Rhythm::Cron(expression) => (Some(expression.clone()), None),
        };
        Self {
            cron,
            every_ms,
            time_zone: Some(schedule.time_zone().to_owned()),
            jitter_ms: schedule.jitter().as_millis() as u64,
            overlap: Some(schedule.overlap().word().to_owned()),
            start_window_ms: Some(schedule.start_window().as_millis() as u64),
            catch_up: Some(schedule.catch_up().word().to_owned()),
        }
    }
}

/// A plan to declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanCreate {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant.
    pub name: String,
    /// Id of the source that is read.
    pub source_id: String,
    /// Id of the repository where the snapshots lie.
    pub repository_id: String,
    /// When; by request alone when left out.
    #[serde(default)]
    pub schedule: ScheduleView,
    /// How old the newest good snapshot of an item may be.
    pub rpo_ms: u64,
    /// Which snapshots are kept; all when left out.
    #[serde(default)]
    pub retention: RetentionView,
}

/// What is to change of a plan; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanUpdate {
    /// Its name, unique for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id of the repository where the next snapshots lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// When; the whole schedule is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleView>,
    /// How old the newest good snapshot of an item may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// Which snapshots are kept; all rules are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionView>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Id of its source.
    pub source_id: String,
    /// Id of its repository.
    pub repository_id: String,
    /// When.
    pub schedule: ScheduleView,
    /// How old the newest good snapshot of an item may be.
    pub rpo_ms: u64,
    /// Which snapshots are kept.
    #[serde(default)]
    pub retention: RetentionView,
    /// When it was declared.
    pub created_at: String,
    /// When it was retired; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            tenant_id: plan.tenant_id.to_string(),
            name: plan.name.to_string(),
            source_id: plan.source_id.to_string(),
            repository_id: plan.repository_id.to_string(),
            schedule: (&plan.schedule).into(),
            rpo_ms: plan.rpo.as_millis() as u64,
            retention: (&plan.retention).into(),
            created_at: plan.created_at.to_string(),
            retired_at: plan.retired_at.map(|at| at.to_string()),
        }
    }
}

/// How far a plan's schedule is, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanScheduleView {
    /// Since when a person holds it back; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<String>,
    /// Why nothing of it may start now, in words; none when it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The planned instant of the newest occurrence that was started or skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_planned_at: Option<String>,
    /// The planned instant of an occurrence that waits for another plan's work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_planned_at: Option<String>,
    /// Until when it waits; none when nothing waits, or it waits as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_until: Option<String>,
    /// How many occurrences in a row were skipped for other plans.
    pub skipped_before: u32,
    /// What comes next, oldest first; empty for a plan on request.
    pub next: Vec<OccurrenceView>,
}

/// One moment that a schedule names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OccurrenceView {
    /// Its name: the planned instant.
    pub planned_at: String,
    /// When it starts: later by the plan's share of the jitter.
    pub start_at: String,
}

/// Occurrences that a look at a schedule shows.
const NEXT_SHOWN: usize = 5;

impl PlanScheduleView {
    /// Returns the view of a plan and its state at a moment, with what holds it back.
    pub fn new(plan: &Plan, state: &ScheduleState, calendar: &Calendar, now: Timestamp) -> Self {
        let waiting = state.waiting.as_ref();
        let next = schedule::next(&state.planned(plan), now, NEXT_SHOWN).into_iter();
        Self {
            paused_at: state.paused_at.map(|at| at.to_string()),
            held: calendar.held(plan.tenant_id, now).map(|held| held.reason),
            last_planned_at: state.last_planned_at.map(|at| at.to_string()),
            waiting_planned_at: waiting.map(|waiting| waiting.planned_at.to_string()),
            waiting_until: waiting.filter(|_| state.skipped_before == 0).map(|waiting| waiting.start_by.to_string()),
            skipped_before: state.skipped_before,
            next: next
                .map(|(planned_at, start_at)| OccurrenceView {
                    planned_at: planned_at.to_string(),
                    start_at: start_at.to_string(),
                })
                .collect(),
        }
    }
}

/// What became of a wish to back up a plan's items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanRequested {
    /// One answer an item.
    pub items: Vec<EnqueuedView>,
}
