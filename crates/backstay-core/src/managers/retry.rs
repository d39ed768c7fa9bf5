//! Tries again what was given up: a parked job goes on, a failed or cancelled one gets a successor.
//!
//! A parked job is lifted: it keeps its id, its attempts and its checkpoint, and begins a new row of failures. A job that
//! has ended stays as a fact; the same work is asked for again. Harm that a verify found is never tried away.

use super::context::Context;
use super::request::{backup_job, breach_of, newest_at};
use super::retention::prune_request;
use crate::domain::asking::Asking;
use crate::domain::attempt::AttemptToken;
use crate::domain::event::EventKind;
use crate::domain::id::JobId;
use crate::domain::job::{Instruction, Job, JobCounts, JobState, StateName, Trigger};
use crate::domain::plan::Plan;
use crate::managers::request::PRIORITY_REQUEST;
use crate::ports::store::{Enqueued, JobFilter, Page, StoreError};

/// Tries a job again and returns the id of the job that does so: its own, or its successor's.
///
/// # Errors
/// [`StoreError::Move`] for a job that goes on by itself, succeeded or found harm; [`StoreError::Taken`] when another
/// backup of its item is live.
pub async fn job_retry(context: &Context, asking: &Asking, id: JobId) -> Result<JobId, StoreError> {
    let job = context.jobs.job_get(id).await?;
    match job.state.name() {
        StateName::Parked => lift(context, &job, "a person asked for it").await.map(|()| id),
        StateName::Failed | StateName::Cancelled => again(context, asking, &job).await,
        from => Err(StoreError::Move { job_id: id, from, to: StateName::Queued }),
    }
}

/// Lifts the parked jobs of a plan that changed, and returns how many. One whose snapshots would lie in another
/// repository now, or whose item has another live backup, stays.
///
/// # Errors
/// [`StoreError`]; what was lifted stays lifted, and the same change made again finds the others.
pub async fn plan_lift(context: &Context, plan: &Plan) -> Result<u64, StoreError> {
    let filter = JobFilter { plan_id: Some(plan.id), state: Some(StateName::Parked), ..JobFilter::default() };
    let mut lifted = 0;
    let mut page = Page::first();
    loop {
        let jobs = context.jobs.job_list(filter, page).await?;
        for job in jobs.iter().filter(|job| job.repository_id == plan.repository_id) {
            match lift(context, job, "its plan changed").await {
                Ok(()) => lifted += 1,
                // Somebody was faster, or a newer backup of the item is at it.
                Err(StoreError::Move { .. } | StoreError::Taken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if jobs.len() < page.rows_max as usize {
            return Ok(lifted);
        }
        page.before = jobs.last().map(|job| job.id);
    }
}

/// Puts a parked job back in the queue.
pub(super) async fn lift(context: &Context, job: &Job, why: &str) -> Result<(), StoreError> {
    let now = context.schedules.clock_read().await?;
    let words = format!("{} is back in the queue: {why}", job.kind().word());
    let lifted = context.event(EventKind::Enqueued, (job.tenant_id, Some(job.id), job.item_id), now, words);
    context.jobs.job_lift(job.id, now, &lifted).await.map(drop)
}

/// Asks for the work of a job that has ended.
async fn again(context: &Context, asking: &Asking, job: &Job) -> Result<JobId, StoreError> {
    let (id, now) = (asking.job_id(&job.id.to_string()), asking.at());
    let taken = || StoreError::Taken { noun: "live backup of the item of job", key: job.id.to_string() };
    let next = match (&job.instruction, job.plan_id, job.item_id) {
        (Instruction::Prune, ..) => {
            let (Enqueued::New(id) | Enqueued::Overlaps(id) | Enqueued::Known(id)) =
                prune_request(context, asking, job.repository_id).await?;
            return Ok(id);
        }
        (Instruction::Backup, Some(plan), Some(item)) => {
            // As the plan is now: it may have changed because of what went wrong.
            let plan = context.declarations.plan_get(plan).await?;
            let item = context.declarations.item_get(item).await?;
            let newest_at = newest_at(context, &plan, &item).await?;
            backup_job(&plan, (&item, newest_at), (id, Trigger::Request, now))
        }
        _ => Job { breach_at: breach_of(&job.instruction, now), priority: 0, ..job.clone() },
    };
    let next = Job {
        id,
        trigger: Trigger::Request,
        priority: next.priority + PRIORITY_REQUEST,
        // It takes the place of the one before in the set.
        set: job.set,
        attempt_token: AttemptToken(0),
        streak: None,
        counts: JobCounts::default(),
        created_at: now,
        trace: asking.trace(),
        state: JobState::Queued { not_before: now },
        ..next
    };
    let words = format!("{} was asked for again, after job {}", next.kind().word(), job.id);
    let enqueued = context.event(EventKind::Enqueued, (next.tenant_id, Some(id), next.item_id), now, words);
    match context.jobs.job_enqueue(&next, &enqueued, None).await? {
        Enqueued::New(id) | Enqueued::Known(id) => Ok(id),
        Enqueued::Overlaps(_) => Err(taken()),
    }
}
