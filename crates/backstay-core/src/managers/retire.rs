//! Retires what is no longer wanted: nothing new is made of it, and what it made stays.
//!
//! What is queued of a plan is cancelled; what an agent has goes on to its end. Snapshots of a retired plan stay until a
//! person says otherwise (decision 0028).

use super::context::Context;
use crate::domain::event::EventKind;
use crate::domain::job::{Job, StateName};
use crate::domain::name::Name;
use crate::ports::store::{JobFilter, Page, Retirable, StoreError};

/// Why something is not retired.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// What lives needs it: plans, of a storage repositories.
    #[error("the {noun} is in use by {}: {}", users(noun, by.len()), names(by))]
    InUse {
        /// Source, repository or storage.
        noun: &'static str,
        /// Who needs it.
        by: Vec<Name>,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn users(noun: &str, count: usize) -> &'static str {
    match (noun, count) {
        ("storage", 1) => "a repository",
        ("storage", _) => "repositories",
        (_, 1) => "a plan",
        _ => "plans",
    }
}

fn names(plans: &[Name]) -> String {
    plans.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

/// Retires a plan, a source, a repository or a storage, and cancels what is queued of it. Asking twice is asking once; a second one
/// also finishes what an earlier one left.
///
/// # Errors
/// [`RetireError::InUse`] when what lives needs it; [`StoreError::NotFound`] when there is no such thing.
pub async fn retire(context: &Context, what: Retirable) -> Result<(), RetireError> {
    let at = context.schedules.clock_read().await?;
    let by = context.declarations.retire(what, at).await?;
    if !by.is_empty() {
        let noun = match what {
            Retirable::Plan(_) => "plan",
            Retirable::Source(_) => "source",
            Retirable::Repository(_) => "repository",
            Retirable::Storage(_) => "storage",
        };
        return Err(RetireError::InUse { noun, by });
    }
    match what {
        Retirable::Plan(id) => {
            let filter = JobFilter { plan_id: Some(id), ..JobFilter::default() };
            cancel_waiting(context, filter, "its plan was retired").await?;
        }
        Retirable::Repository(id) => {
            if let Some(job) = context.retention.prune_live(id).await? {
                let job = context.jobs.job_get(job).await?;
                if is_waiting(&job) {
                    cancel(context, &job, "its repository was retired").await?;
                }
            }
        }
        Retirable::Source(_) | Retirable::Storage(_) => {}
    }
    Ok(())
}

fn is_waiting(job: &Job) -> bool {
    matches!(job.state.name(), StateName::Queued | StateName::Waiting | StateName::Parked)
}

/// Cancels the jobs of a filter that no agent has.
pub(super) async fn cancel_waiting(context: &Context, filter: JobFilter, why: &str) -> Result<(), StoreError> {
    for state in [StateName::Queued, StateName::Waiting, StateName::Parked] {
        let filter = JobFilter { state: Some(state), ..filter };
        let mut page = Page::first();
        loop {
            let jobs = context.jobs.job_list(filter, page).await?;
            for job in &jobs {
                cancel(context, job, why).await?;
            }
            let Some(last) = jobs.last().filter(|_| jobs.len() == page.rows_max as usize) else { break };
            page.before = Some(last.id);
        }
    }
    Ok(())
}

async fn cancel(context: &Context, job: &Job, why: &str) -> Result<(), StoreError> {
    let now = context.now();
    let words = format!("{} was cancelled before it began: {why}", job.kind().word());
    let cancelled = context.event(EventKind::Cancelled, (job.tenant_id, Some(job.id), job.item_id), now, words);
    match context.jobs.job_cancel(job.id, now, &cancelled).await {
        // It has ended meanwhile.
        Ok(_) | Err(StoreError::Move { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
