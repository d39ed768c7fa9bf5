//! Plans.

use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::EnqueuedView;

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
}

impl From<&Schedule> for ScheduleView {
    fn from(schedule: &Schedule) -> Self {
        let (cron, every_ms) = match schedule.rhythm() {
            Rhythm::OnRequest => (None, None),
            Rhythm::Every(every) => (None, Some(every.as_millis() as u64)),
            Rhythm::Cron(expression) => (Some(expression.clone()), None),
        };
        let overlap = match schedule.overlap() {
            OverlapKey::Plan => "plan",
            OverlapKey::Tenant => "tenant",
        };
        Self {
            cron,
            every_ms,
            time_zone: Some(schedule.time_zone().to_owned()),
            jitter_ms: schedule.jitter().as_millis() as u64,
            overlap: Some(overlap.to_owned()),
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
    /// When it was declared.
    pub created_at: String,
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
            created_at: plan.created_at.to_string(),
        }
    }
}

/// What became of a wish to back up a plan's items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanRequested {
    /// One answer an item.
    pub items: Vec<EnqueuedView>,
}
