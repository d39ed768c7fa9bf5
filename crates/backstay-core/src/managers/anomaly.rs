//! Holds what a backup did against the ones before it, and lets a person lift what came of that.
//!
//! Its history are the item's succeeded backups into the same repository: snapshots may be forgotten by then. What is found is told
//! in the transaction that ends the job; a plan that is suspected keeps all it has until a person has looked.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use crate::domain::anomaly::{RUNS_MAX, RUNS_MIN, Suspicion, mass_change, unlike};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::PlanId;
use crate::domain::job::{Job, JobCounts, JobKind, StateName};
use crate::ports::store::{JobFilter, Page, StoreError};

/// What was found of a backup.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is told about it.
    pub(super) events: Vec<Event>,
    /// Why its plan keeps everything from now on; none when it does not.
    pub(super) suspicion: Option<Suspicion>,
}

/// Looks at what a backup counted.
pub(super) async fn look(context: &Context, job: &Job, counts: JobCounts, now: Timestamp) -> Result<Found, StoreError> {
    let before = runs_before(context, job).await?;
    if before.len() < RUNS_MIN {
        return Ok(Found::default());
    }
    let like = JobFilter { item_id: job.item_id, kind: Some(JobKind::Backup), ..JobFilter::default() };
    let others = context.jobs.job_durations(like, RUNS_MAX as u32).await?;
    let about = (job.tenant_id, Some(job.id), job.item_id);
    let event = |kind, words| context.event(kind, about, now, words);
    let took = took(context, job, now).await?;
    let said = unlike(&before, counts, (took, &others));
    let warned = said.into_iter().map(|unlike| event(EventKind::Warned, format!("unlike before: {}", unlike.words)));
    let mut found = Found { events: warned.collect(), suspicion: None };
    if let (Some(words), Some(plan_id)) = (mass_change(&before, counts), job.plan_id) {
        let told = format!("{words}; prunes keep all snapshots of its plan until a person lifts that");
        found.events.push(event(EventKind::Suspected, told));
        found.suspicion = Some(Suspicion { plan_id, job_id: job.id, at: now, message: words });
    }
    Ok(found)
}

/// Returns the item's runs into the same repository, newest first. A partial one counts: where something is never readable, all are,
/// and one that read far less than the others is odd among them and makes nothing usual.
async fn runs_before(context: &Context, job: &Job) -> Result<Vec<JobCounts>, StoreError> {
    let filter = JobFilter {
        tenant_id: Some(job.tenant_id),
        item_id: job.item_id,
        kind: Some(JobKind::Backup),
        state: Some(StateName::Succeeded),
        ..JobFilter::default()
    };
    let rows = context.jobs.job_list(filter, Page { before: None, rows_max: RUNS_MAX as u32 }).await?;
    let is_before = |row: &&Job| row.repository_id == job.repository_id && row.id != job.id;
    Ok(rows.iter().filter(is_before).map(|row| row.counts).collect())
}

/// Returns how long the newest attempt has been at work.
async fn took(context: &Context, job: &Job, now: Timestamp) -> Result<Option<Duration>, StoreError> {
    let attempts = context.history.attempt_list(job.id).await?;
    Ok(attempts.last().and_then(|attempt| Duration::try_from(now.duration_since(attempt.leased_at)).ok()))
}

/// Lifts what a plan is suspected of: prunes go on. Asking twice is asking once; returns whether there was anything to lift.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such plan.
pub async fn plan_clear(context: &Context, id: PlanId) -> Result<bool, StoreError> {
    let plan = context.declarations.plan_get(id).await?;
    let Some(suspicion) = of_plan(context, id).await? else { return Ok(false) };
    let words = format!("plan {} was looked at and is cleared: prunes go on", plan.name);
    let item_id = context.jobs.job_get(suspicion.job_id).await.ok().and_then(|job| job.item_id);
    let now = context.schedules.clock_read().await?;
    let event = context.event(EventKind::Cleared, (plan.tenant_id, None, item_id), now, words);
    context.retention.suspicion_clear(id, &event).await
}

/// Returns what a plan is suspected of; none when it is not.
///
/// # Errors
/// [`StoreError`].
pub async fn of_plan(context: &Context, id: PlanId) -> Result<Option<Suspicion>, StoreError> {
    Ok(context.retention.suspicion_list().await?.into_iter().find(|row| row.plan_id == id))
}
