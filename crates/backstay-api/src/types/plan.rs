//! Plans.

use std::collections::BTreeMap;

use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{self, Calendar, ScheduleState};
use backstay_core::domain::template::{Said, Templates};
use backstay_core::managers::fit::{FitWish, PlanWish};
use backstay_core::managers::plan::origins;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::job::EnqueuedView;
use super::retention::RetentionView;
use super::template::{BackupTermsView, SaidChange, SaidView, ScheduleView};
use super::wire::{WireError, change, parse, wrong};

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
    /// Name of the template whose values it takes where it says nothing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// When. Each part that is left out is the template's; without one, it is backed up by request alone.
    #[serde(default)]
    pub schedule: ScheduleView,
    /// How old the newest good snapshot of an item may be; the template's when left out, 26 hours without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// Which snapshots are kept; the template's rules when left out, all without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionView>,
    /// How its backups go about their work. Each part that is left out is the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupTermsView>,
}

impl PlanCreate {
    /// Returns what the plan says itself.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn said(&self) -> Result<Said, WireError> {
        let (schedule, retention, backup) = (Some(self.schedule.clone()), self.retention.clone(), self.backup.clone());
        SaidView { schedule, rpo_ms: self.rpo_ms, retention, backup }.read()
    }
}

/// A plan as it is to be, for a look at its window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanWished {
    /// Its name: of one that is there, or of one that is not.
    pub name: String,
    /// Id of its source; none for one that is not there yet, of which nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Name of its template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// When.
    #[serde(default)]
    pub schedule: ScheduleView,
}

/// A template as it is to be, for a look at the windows of plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateWished {
    /// Its name: of one that is there, or of one that is not.
    pub name: String,
    /// Name of the template above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
    /// When.
    #[serde(default)]
    pub schedule: ScheduleView,
}

/// What is to be declared of a tenant, for a look at the windows of its plans before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFit {
    /// Name of the tenant.
    pub tenant: String,
    /// Plans that are to be declared or changed.
    pub plans: Vec<PlanWished>,
    /// Templates that are to be declared or changed.
    #[serde(default)]
    pub templates: Vec<TemplateWished>,
    /// Names of plans that are to end.
    #[serde(default)]
    pub ending: Vec<String>,
}

impl PlanFit {
    /// Returns what is wished.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn read(&self) -> Result<FitWish, WireError> {
        let said =
            |schedule: &ScheduleView| SaidView { schedule: Some(schedule.clone()), ..SaidView::default() }.read();
        let mut wish = FitWish::default();
        for row in &self.plans {
            wish.plans.push(PlanWish {
                name: parse("name", &row.name)?,
                source_id: row.source_id.as_deref().map(|id| parse("source_id", id)).transpose()?,
                template: row.template.as_deref().map(|name| parse("template", name)).transpose()?,
                said: said(&row.schedule)?,
            });
        }
        for row in &self.templates {
            let above = row.above.as_deref().map(|name| parse("above", name)).transpose()?;
            wish.templates.push((parse("name", &row.name)?, above, said(&row.schedule)?));
        }
        wish.ending = self.ending.iter().map(|name| parse("ending", name)).collect::<Result<_, _>>()?;
        Ok(wish)
    }
}

/// Where plans that are to be cannot keep their windows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FitView {
    /// In words; none when all fit, and when nothing is known yet of how long they take.
    pub warnings: Vec<String>,
}

/// What is to change of a plan; what is left out stays, and of what is null the plan says nothing any more: its template
/// does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanUpdate {
    /// Its name, unique for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id of the repository where the next snapshots lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// Name of the template whose values it takes where it says nothing itself; null for none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<String>)]
    pub template: Option<Option<String>>,
    /// When; all that the plan says of it is replaced, and the parts that are left out are its template's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<ScheduleView>)]
    pub schedule: Option<Option<ScheduleView>>,
    /// How old the newest good snapshot of an item may be.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<u64>)]
    pub rpo_ms: Option<Option<u64>>,
    /// Which snapshots are kept; all rules are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<RetentionView>)]
    pub retention: Option<Option<RetentionView>>,
    /// How its backups go about their work; all that the plan says of it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "change")]
    #[schema(value_type = Option<BackupTermsView>)]
    pub backup: Option<Option<BackupTermsView>>,
}

impl PlanUpdate {
    /// Returns all that the plan says afterwards, when it said `was` before; none when that stays.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn said(&self, was: &Said) -> Result<Option<Said>, WireError> {
        let (schedule, retention, backup) = (self.schedule.clone(), self.retention.clone(), self.backup.clone());
        SaidChange { schedule, rpo_ms: self.rpo_ms, retention, backup }.over(was)
    }
}

/// A value that holds for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValueView {
    /// What holds, in words.
    pub value: String,
    /// Who said it: `plan`, `template NAME`, or `default`.
    pub said_by: String,
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
    /// Name of its template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// When.
    pub schedule: ScheduleView,
    /// How old the newest good snapshot of an item may be.
    pub rpo_ms: u64,
    /// Which snapshots are kept.
    #[serde(default)]
    pub retention: RetentionView,
    /// How its backups go about their work.
    #[serde(default)]
    pub backup: BackupTermsView,
    /// What the plan says itself of these.
    #[serde(default)]
    pub said: SaidView,
    /// Each value that holds, by its name, with who said it.
    #[serde(default)]
    pub origins: BTreeMap<String, ValueView>,
    /// When it was declared.
    pub created_at: String,
    /// When it was retired; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
}

impl PlanView {
    /// Returns the view of a plan, with the templates of its tenant.
    pub fn new(plan: &Plan, templates: &Templates) -> Self {
        let origin = |(name, value, said_by): (&str, String, String)| (name.to_owned(), ValueView { value, said_by });
        Self {
            template: plan.template.as_ref().map(ToString::to_string),
            said: (&plan.said).into(),
            origins: origins(plan, templates).into_iter().map(origin).collect(),
            id: plan.id.to_string(),
            tenant_id: plan.tenant_id.to_string(),
            name: plan.name.to_string(),
            source_id: plan.source_id.to_string(),
            repository_id: plan.repository_id.to_string(),
            schedule: (&plan.schedule).into(),
            rpo_ms: plan.rpo.as_millis() as u64,
            retention: (&plan.retention).into(),
            backup: (&plan.backup).into(),
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
    /// What will hold it back then, as far as is known now: a window, or that the plan is paused; none when nothing
    /// will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// What keeps the occurrences of a plan from starting that a person holds back.
const PAUSED: &str = "the plan is paused, so it is skipped";

/// Occurrences that a look at a schedule shows when nobody says how many.
const NEXT_SHOWN: u32 = 5;

/// Most occurrences that a look at a schedule shows: more is a calendar's work.
const NEXT_SHOWN_MAX: u32 = 100;

/// How far a look at a schedule goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct ScheduleQuery {
    /// How many of the next occurrences are shown, from 1 to 100; 5 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl ScheduleQuery {
    /// Returns how many occurrences are shown.
    ///
    /// # Errors
    /// None at all, or too many.
    pub fn count(&self) -> Result<usize, WireError> {
        match self.count.unwrap_or(NEXT_SHOWN) {
            count @ 1..=NEXT_SHOWN_MAX => Ok(count as usize),
            count => Err(wrong("count", format!("{count} is not between 1 and {NEXT_SHOWN_MAX}"))),
        }
    }
}

impl PlanScheduleView {
    /// Returns the view of a plan and its state at a moment, with what holds it back, and with `count` occurrences to come.
    pub fn new(plan: &Plan, state: &ScheduleState, calendar: &Calendar, now: Timestamp, count: usize) -> Self {
        let waiting = state.waiting.as_ref();
        let next = schedule::next(&state.planned(plan), now, count).into_iter();
        let paused = state.paused_at.map(|_| PAUSED.to_owned());
        let held = |at: Timestamp| calendar.held(plan.tenant_id, at).map(|held| held.reason);
        // As a tick does: what a window holds is skipped when that ends, if nobody let the plan go on by then.
        let then = |at: Timestamp| held(at).or_else(|| paused.clone());
        Self {
            paused_at: state.paused_at.map(|at| at.to_string()),
            held: held(now),
            last_planned_at: state.last_planned_at.map(|at| at.to_string()),
            waiting_planned_at: waiting.map(|waiting| waiting.planned_at.to_string()),
            waiting_until: waiting.filter(|_| state.skipped_before == 0).map(|waiting| waiting.start_by.to_string()),
            skipped_before: state.skipped_before,
            next: next
                .map(|(planned_at, start_at)| OccurrenceView {
                    planned_at: planned_at.to_string(),
                    start_at: start_at.to_string(),
                    held: then(start_at),
                })
                .collect(),
        }
    }
}

/// What became of a wish to back up a plan's items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanRequested {
    /// Id of the job set that the new jobs are members of; none for a plan of one item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<String>,
    /// One answer an item.
    pub items: Vec<EnqueuedView>,
}
