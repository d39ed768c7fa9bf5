//! Puts jobs in the queue: backups of a plan's items, restores and verifies of a snapshot. Cancels them.

use jiff::Timestamp;

use super::context::Context;
use super::quota::{PermitError, items_permit};
use super::retention::stays;
use crate::domain::asking::Asking;
use crate::domain::attempt::AttemptToken;
use crate::domain::event::EventKind;
use crate::domain::id::{JobId, JobSetId, PlanId, RepositoryId, SnapshotId, TenantId};
use crate::domain::item::Item;
use crate::domain::job::{Instruction, Job, JobCounts, JobState, Target, Trigger};
use crate::domain::job_set::JobSet;
use crate::domain::plan::{Plan, breach_at};
use crate::domain::repository::Repository;
use crate::domain::restore::RestoreTerms;
use crate::domain::sample::SampleRule;
use crate::domain::schedule::OverlapKey;
use crate::domain::snapshot::Snapshot;
use crate::ports::store::{Enqueued, StoreError};

/// Priority of a job that a person asked for: before those that a schedule made.
pub(super) const PRIORITY_REQUEST: i32 = 10;

/// Returns the set that the jobs of an asking make up when it asks for so many items; none for a single one.
pub fn set_of(asking: &Asking, items: usize) -> Option<JobSetId> {
    (items > 1).then(|| asking.set_id())
}

/// Asks for a backup of each item of a plan that is still there, and returns what became of each. Several make up one job
/// set ([`set_of`]).
///
/// # Errors
/// [`PermitError::Quota`] when the tenant has no room for any of them: nothing was enqueued. [`StoreError`]; items enqueued
/// before it stay so: asking again by the same asking finds them as its own, from another one as overlaps.
pub async fn plan_request(
    context: &Context,
    asking: &Asking,
    id: PlanId,
) -> Result<Vec<(Item, Enqueued)>, PermitError> {
    let plan = context.declarations.plan_get(id).await?;
    if plan.retired_at.is_some() {
        return Err(StoreError::Retired { noun: "plan", key: plan.name.to_string() }.into());
    }
    let mut items = context.declarations.item_list(plan.source_id).await?;
    items.retain(|item| item.vanished_at.is_none());
    let places: Vec<_> = items.iter().map(|item| (item.id, plan.repository_id)).collect();
    items_permit(context, plan.tenant_id, &places).await?;
    let set = set_of(asking, items.len());
    if let Some(id) = set {
        let wanted = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let set = JobSet { id, tenant_id: plan.tenant_id, name: plan.name.clone(), wanted, created_at: asking.at() };
        context.jobs.set_add(&set).await?;
    }
    let mut answers = Vec::with_capacity(items.len());
    for (place, item) in (0..).zip(items) {
        let enqueued = backup_request(context, asking, &plan, &item, set.map(|set| (set, place))).await?;
        answers.push((item, enqueued));
    }
    Ok(answers)
}

/// Asks for a backup of one item.
async fn backup_request(
    context: &Context,
    asking: &Asking,
    plan: &Plan,
    item: &Item,
    set: Option<(JobSetId, u32)>,
) -> Result<Enqueued, StoreError> {
    let now = asking.at();
    let id = asking.job_id(&item.id.to_string());
    let newest_at = newest_at(context, plan, item).await?;
    let job = Job { set, trace: asking.trace(), ..backup_job(plan, (item, newest_at), (id, Trigger::Request, now)) };
    let job = Job { priority: job.priority + PRIORITY_REQUEST, ..job };
    let about = (job.tenant_id, Some(job.id), job.item_id);
    let enqueued = context.event(EventKind::Enqueued, about, now, format!("backup of {} was asked for", item.name));
    let words = format!("backup of {} was asked for while another one of it is not finished", item.name);
    let skipped = context.event(EventKind::Skipped, (job.tenant_id, None, job.item_id), now, words);
    context.jobs.job_enqueue(&job, &enqueued, Some(&skipped)).await
}

/// Returns the moment that an item's newest good snapshot in its plan's repository proves.
pub(super) async fn newest_at(context: &Context, plan: &Plan, item: &Item) -> Result<Option<Timestamp>, StoreError> {
    let newest = context.history.snapshot_newest_good(item.id, plan.repository_id).await?;
    let now = context.schedules.clock_read().await?;
    Ok(newest.map(|snapshot| snapshot.proved_at(now)))
}

/// Returns the queued backup of an item, with the moment of its newest good snapshot, its own name, its cause and the
/// moment when it is enqueued.
pub(super) fn backup_job(
    plan: &Plan,
    (item, newest_at): (&Item, Option<Timestamp>),
    (id, trigger, now): (JobId, Trigger, Timestamp),
) -> Job {
    Job {
        plan_id: Some(plan.id),
        item_id: Some(item.id),
        trigger,
        breach_at: breach_at(plan.rpo, newest_at, plan.rpo_from()),
        priority: plan.backup.priority,
        overlap: plan.schedule.overlap(),
        ..queued_job((plan.tenant_id, plan.repository_id), (id, now), Instruction::Backup)
    }
}

/// Returns a queued job on a repository alone, with its own name and the moment when it is enqueued.
pub(super) fn repository_job(repository: &Repository, named: (JobId, Timestamp), instruction: Instruction) -> Job {
    queued_job((repository.tenant_id, repository.id), named, instruction)
}

/// Returns how urgent what somebody asked for is. A restore comes before all that is late: after an outage everything is,
/// and somebody waits for it.
pub(super) const fn breach_of(instruction: &Instruction, now: Timestamp) -> Timestamp {
    match instruction {
        Instruction::Restore { .. } => Timestamp::UNIX_EPOCH,
        _ => now,
    }
}

/// Returns a job that somebody asked for and that waits in the queue.
fn queued_job(
    (tenant_id, repository_id): (TenantId, RepositoryId),
    (id, now): (JobId, Timestamp),
    instruction: Instruction,
) -> Job {
    Job {
        id,
        tenant_id,
        plan_id: None,
        item_id: None,
        repository_id,
        set: None,
        instruction,
        trigger: Trigger::Request,
        breach_at: now,
        priority: 0,
        overlap: OverlapKey::Plan,
        attempt_token: AttemptToken(0),
        streak: None,
        counts: JobCounts::default(),
        created_at: now,
        trace: None,
        state: JobState::Queued { not_before: now },
    }
}

/// Asks for a restore of a snapshot to a target.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such snapshot, and [`StoreError::Busy`] when a prune
/// that has begun forgets it.
pub async fn restore_request(
    context: &Context,
    asking: &Asking,
    id: SnapshotId,
    target: Target,
    terms: RestoreTerms,
) -> Result<JobId, StoreError> {
    let snapshot = snapshot_there(context, id).await?;
    let instruction = Instruction::Restore { snapshot_id: id, target, terms };
    snapshot_request(context, asking, &snapshot, instruction).await
}

/// Asks for a verify of a snapshot by sample.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such snapshot, and [`StoreError::Busy`] when a prune
/// that has begun forgets it.
pub async fn verify_request(
    context: &Context,
    asking: &Asking,
    id: SnapshotId,
    sample: SampleRule,
) -> Result<JobId, StoreError> {
    let snapshot = snapshot_there(context, id).await?;
    let instruction = Instruction::Verify { snapshot_id: id, sample, slice: None };
    snapshot_request(context, asking, &snapshot, instruction).await
}

/// Returns a snapshot that was not forgotten.
pub(super) async fn snapshot_there(context: &Context, id: SnapshotId) -> Result<Snapshot, StoreError> {
    let snapshot = context.history.snapshot_get(id).await?;
    match snapshot.forgotten_at {
        None => Ok(snapshot),
        Some(at) => {
            Err(StoreError::NotFound { noun: "snapshot", key: format!("{id} any more: it was forgotten at {at:.0}") })
        }
    }
}

/// Enqueues a job on a snapshot: it never overlaps a backup and is never skipped for one.
async fn snapshot_request(
    context: &Context,
    asking: &Asking,
    snapshot: &Snapshot,
    instruction: Instruction,
) -> Result<JobId, StoreError> {
    stays(context, snapshot).await?;
    let now = asking.at();
    let of = (snapshot.tenant_id, snapshot.repository_id);
    let job = Job {
        item_id: Some(snapshot.item_id),
        breach_at: breach_of(&instruction, now),
        priority: PRIORITY_REQUEST,
        trace: asking.trace(),
        ..queued_job(of, (asking.job_id(&snapshot.id.to_string()), now), instruction)
    };
    let words = format!("{} of snapshot {} was asked for", job.kind().word(), short(&snapshot.foreign_id));
    let about = (job.tenant_id, Some(job.id), job.item_id);
    let enqueued = context.event(EventKind::Enqueued, about, now, words);
    match context.jobs.job_enqueue(&job, &enqueued, None).await? {
        Enqueued::New(id) | Enqueued::Overlaps(id) | Enqueued::Known(id) => Ok(id),
    }
}

/// Asks for a job's end and returns its new state.
///
/// # Errors
/// [`StoreError`], with [`StoreError::Move`] when the job has ended already.
pub async fn job_cancel(context: &Context, id: JobId) -> Result<JobState, StoreError> {
    let job = context.jobs.job_get(id).await?;
    let now = context.schedules.clock_read().await?;
    let words = format!("{} was cancelled before it began", job.kind().word());
    let cancelled = context.event(EventKind::Cancelled, (job.tenant_id, Some(id), job.item_id), now, words);
    context.jobs.job_cancel(id, now, &cancelled).await
}

/// Returns the eight digits by which people know a snapshot.
pub(super) fn short(foreign_id: &str) -> &str {
    foreign_id.get(..8).unwrap_or(foreign_id)
}
