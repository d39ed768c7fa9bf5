//! Job sets: jobs that belong together, and what is missing of them.

use backstay_core::domain::job::Job;
use backstay_core::domain::job_set::{JobSet, is_complete, is_done};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::JobView;
use super::wire::instant_some;

/// A job set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSetView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name: that of the plan.
    pub name: String,
    /// How many members were asked for.
    pub wanted: u32,
    /// When it was made.
    pub created_at: String,
}

impl From<&JobSet> for JobSetView {
    fn from(set: &JobSet) -> Self {
        Self {
            id: set.id.to_string(),
            tenant_id: set.tenant_id.to_string(),
            name: set.name.to_string(),
            wanted: set.wanted,
            created_at: set.created_at.to_string(),
        }
    }
}

/// A member of a job set: the newest job in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSetMember {
    /// Id of the job.
    pub job_id: String,
    /// Name of its item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// Its state.
    pub state: String,
    /// How a success went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// When its newest attempt began; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// A job set with its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSetDetail {
    /// The set.
    pub set: JobSetView,
    /// Whether each member that was asked for has done all of its work.
    pub complete: bool,
    /// What is missing, in words; none when it is complete.
    pub missing: Vec<String>,
    /// Its members in their order.
    pub members: Vec<JobSetMember>,
}

impl JobSetDetail {
    /// Returns the view of a set with its members: each with its item's name and when its newest attempt began.
    pub fn new(set: &JobSet, members: Vec<(Job, Option<String>, Option<Timestamp>)>) -> Self {
        let states: Vec<_> = members.iter().map(|(job, ..)| (job.state.name(), job.state.outcome())).collect();
        let mut missing = Vec::new();
        for ((job, item_name, _), state) in members.iter().zip(&states) {
            if !is_done(*state) {
                let item = item_name.clone().unwrap_or_else(|| job.id.to_string());
                let how = match state {
                    (_, Some(outcome)) => outcome.word(),
                    (name, None) => name.word(),
                };
                missing.push(format!("{item} is {how}"));
            }
        }
        let absent = (set.wanted as usize).saturating_sub(members.len());
        if absent > 0 {
            let items = if absent == 1 { "one item was".to_owned() } else { format!("{absent} items were") };
            let why = "another backup was under way, or it is no longer known";
            missing.push(format!("{items} not begun with the others: {why}"));
        }
        let member = |(job, item_name, began_at): (Job, Option<String>, Option<Timestamp>)| {
            let view = JobView::new(&job, item_name);
            JobSetMember {
                job_id: view.id,
                item_name: view.item_name,
                state: view.state,
                outcome: view.outcome,
                began_at: instant_some(began_at),
                finished_at: view.finished_at,
            }
        };
        Self {
            complete: is_complete(set.wanted, &states),
            missing,
            set: set.into(),
            members: members.into_iter().map(member).collect(),
        }
    }
}
