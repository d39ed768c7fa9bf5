//! Has plans follow one another: judges who follows whom, and makes the jobs that follow a good backup.
//!
//! ```text
//!  a backup ends complete or unchanged ──> is it the last of its set? ──> a job an item of each plan that follows
//! ```
//!
//! The jobs are written in the transaction that ends the backup, so a dead attempt starts nothing; their ids follow from what
//! they follow, so that they are made once. A plan that is not started is told; that a set was never complete is not.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::context::Context;
use super::declaration::DeclareError;
use super::job::chain;
use super::quota::{PermitError, items_permit};
use super::request::backup_job;
use crate::domain::asking::Asking;
use crate::domain::backup::BackupTermsError;
use crate::domain::event::{Event, EventKind};
use crate::domain::follow_up::{self, FOLLOW_UPS_DEEP_MAX, FollowUpError, FollowUps};
use crate::domain::id::{JobId, PlanId, TenantId};
use crate::domain::item::Item;
use crate::domain::job::{Job, JobKind, JobState, Trigger};
use crate::domain::job_set::{JobSet, is_done};
use crate::domain::name::Name;
use crate::domain::plan::Plan;
use crate::domain::template::{Templates, settled};
use crate::ports::schedule::ScheduledItem;
use crate::ports::store::{FollowUp, FollowUpJob, NamedFilter, Page, StoreError};

/// Most jobs that are queued when one ends: it is one transaction, and other work of the tenant waits for it.
const JOBS_MAX: usize = 200;

/// Most jobs that are told to follow a job: a person reads them.
const SHOWN_MAX: usize = 100;

fn refused(error: FollowUpError) -> DeclareError {
    BackupTermsError::from(error).into()
}

/// Returns the plans of a tenant that live.
async fn live(context: &Context, tenant: TenantId) -> Result<Vec<Plan>, StoreError> {
    let mut plans = context.declarations.plan_list(Some(tenant)).await?;
    plans.retain(|plan| plan.retired_at.is_none());
    Ok(plans)
}

fn of_plans<'a>(plans: impl Iterator<Item = &'a Plan>) -> FollowUps {
    plans.map(|plan| (plan.name.clone(), plan.backup.follow_ups.clone())).collect()
}

/// Judges what follows a plan, and whom it follows by its name, where either changes.
///
/// # Errors
/// [`FollowUpError`], as what is wrong with the plan's backups; [`StoreError`].
pub(super) async fn judge(context: &Context, plan: &Plan, seen: Option<&Plan>) -> Result<(), DeclareError> {
    let renamed = seen.filter(|seen| seen.name != plan.name);
    let is_same = seen.is_some_and(|seen| seen.backup.follow_ups == plan.backup.follow_ups);
    if renamed.is_none() && (is_same || plan.backup.follow_ups.is_empty()) {
        return Ok(());
    }
    let plans = live(context, plan.tenant_id).await?;
    if let Some(seen) = renamed {
        let by: Vec<Name> = named_by(&plans, seen).map(|other| other.name.clone()).collect();
        if !by.is_empty() {
            return Err(refused(FollowUpError::Named { by }));
        }
    }
    let others = plans.iter().filter(|other| other.id != plan.id);
    follow_up::judge(&plan.name, &of_plans(others.chain([plan]))).map_err(refused)
}

/// Judges what follows the plans of a tenant when these are its templates. A plan that is not there yet may come after them.
///
/// # Errors
/// As [`judge`].
pub(super) async fn judge_templates(
    context: &Context,
    tenant: TenantId,
    templates: &Templates,
) -> Result<(), DeclareError> {
    let plans = live(context, tenant).await?;
    let new = plans.iter().map(|plan| settled(plan, templates)).collect::<Result<Vec<Plan>, _>>()?;
    let all = of_plans(new.iter());
    for (new, _) in new.iter().zip(&plans).filter(|(new, old)| new.backup.follow_ups != old.backup.follow_ups) {
        match follow_up::judge(&new.name, &all) {
            Ok(()) | Err(FollowUpError::Unknown { .. }) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(())
}

/// Returns the plans that a plan follows.
fn named_by<'a>(plans: &'a [Plan], plan: &'a Plan) -> impl Iterator<Item = &'a Plan> {
    plans.iter().filter(|other| other.id != plan.id && other.backup.follow_ups.contains(&plan.name))
}

/// Returns what follows a job that ends so: nothing but after a backup by a plan that read all there was.
pub(super) async fn after(
    context: &Context,
    job: &Job,
    state: &JobState,
    now: Timestamp,
) -> Result<Vec<FollowUp>, StoreError> {
    let (JobKind::Backup, Some(plan_id)) = (job.kind(), job.plan_id) else { return Ok(Vec::new()) };
    if !is_done((state.name(), state.outcome())) {
        return Ok(Vec::new());
    }
    let plan = context.declarations.plan_get(plan_id).await?;
    if plan.backup.follow_ups.is_empty() || plan.retired_at.is_some() {
        return Ok(Vec::new());
    }
    let before = line_of(context, job).await?;
    let (mut found, mut left) = (Vec::with_capacity(plan.backup.follow_ups.len()), JOBS_MAX);
    for name in &plan.backup.follow_ups {
        let next = follow_up(context, (job, &plan), name, (&before, left), now).await?;
        left -= next.jobs.len();
        found.push(next);
    }
    Ok(found)
}

/// Returns the plans of a job and of those that it follows, as far as they are known.
async fn line_of(context: &Context, job: &Job) -> Result<BTreeSet<PlanId>, StoreError> {
    let mut plans: BTreeSet<PlanId> = job.plan_id.into_iter().collect();
    let mut trigger = job.trigger.clone();
    while let Trigger::FollowUp(id) = trigger {
        let before = match context.jobs.job_get(id).await {
            Ok(before) => before,
            // What was swept is so old that nothing goes in a circle over it.
            Err(StoreError::NotFound { .. }) => break,
            Err(error) => return Err(error),
        };
        if before.plan_id.is_some_and(|plan| !plans.insert(plan)) {
            break;
        }
        trigger = before.trigger;
    }
    Ok(plans)
}

/// Returns the plan of this name, if it lives.
async fn plan_named(context: &Context, tenant: TenantId, name: &Name) -> Result<Option<Plan>, StoreError> {
    let filter = NamedFilter { tenant_id: Some(tenant), name: Some(name.clone()), is_live: true };
    Ok(context.declarations.plan_page(&filter, Page::first()).await?.into_iter().next())
}

/// Returns what one plan does after a job of another one: so many jobs at the most, or why it does nothing.
async fn follow_up(
    context: &Context,
    (job, plan): (&Job, &Plan),
    name: &Name,
    (before, jobs_max): (&BTreeSet<PlanId>, usize),
    now: Timestamp,
) -> Result<FollowUp, StoreError> {
    let skipped = |why: &str| {
        let words = format!("plan {name} was not started after plan {}: {why}", plan.name);
        let told = Some(context.event(EventKind::Skipped, (job.tenant_id, None, None), now, words));
        FollowUp { told, ..FollowUp::default() }
    };
    let Some(next) = plan_named(context, plan.tenant_id, name).await? else {
        return Ok(skipped("there is no such plan any more; take it from the list"));
    };
    if before.contains(&next.id) || before.len() > FOLLOW_UPS_DEEP_MAX {
        return Ok(skipped("its plans follow one another in a circle, or too many do"));
    }
    if context.schedules.schedule_get(next.id).await?.paused_at.is_some() {
        return Ok(skipped("the plan is paused"));
    }
    let items = context.schedules.schedule_list_items(&[next.id], now).await?;
    if items.len() > jobs_max {
        let count = items.len();
        return Ok(skipped(&format!(
            "its {count} items are more than may be queued at once ({JOBS_MAX}); give it a schedule"
        )));
    }
    let places: Vec<_> = items.iter().map(|row| (row.item.id, next.repository_id)).collect();
    match items_permit(context, next.tenant_id, &places).await {
        Ok(()) => {}
        Err(PermitError::Quota(error)) => return Ok(skipped(&chain(&error))),
        Err(PermitError::Store(error)) => return Err(error),
    }
    let asking = asking_of(job, next.id);
    let wanted = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let set = (items.len() > 1).then(|| JobSet {
        id: asking.set_id(),
        tenant_id: next.tenant_id,
        name: next.name.clone(),
        wanted,
        created_at: now,
    });
    let of = |(place, row): (u32, &ScheduledItem)| {
        let id = asking.job_id(&row.item.id.to_string());
        let made = backup_job(&next, (&row.item, row.newest_at), (id, Trigger::FollowUp(job.id), now));
        let made = Job { set: set.as_ref().map(|set| (set.id, place)), trace: job.trace, ..made };
        told(context, made, &row.item, (&next, plan), now)
    };
    let jobs = (0..).zip(&items).map(of).collect();
    Ok(FollowUp { set, jobs, told: None })
}

/// Returns a job with what is told when it is queued, and when it is not.
fn told(context: &Context, job: Job, item: &Item, (next, plan): (&Plan, &Plan), now: Timestamp) -> FollowUpJob {
    let of = |kind, job_id, words| -> Event { context.event(kind, (job.tenant_id, job_id, job.item_id), now, words) };
    let words = format!("backup of {} by plan {} follows plan {}", item.name, next.name, plan.name);
    let enqueued = of(EventKind::Enqueued, Some(job.id), words.clone());
    let skipped = of(EventKind::Skipped, None, format!("{words}: skipped, another one of it is not finished"));
    FollowUpJob { job, enqueued, skipped }
}

/// Returns the items of a plan that are there.
async fn items_of(context: &Context, plan: &Plan) -> Result<Vec<Item>, StoreError> {
    let mut items = context.declarations.item_list(plan.source_id).await?;
    items.retain(|item| item.vanished_at.is_none());
    Ok(items)
}

/// Returns what the jobs of a plan that follow a job, or the set that it is of, have their ids from.
fn asking_of(job: &Job, next: PlanId) -> Asking {
    let (at, followed) = match job.set {
        // A member that was tried again is newer than the others.
        Some((set, _)) => (set.made_at(), set.to_string()),
        None => (job.id.made_at(), job.id.to_string()),
    };
    Asking::keyed(at, &followed, &next.to_string())
}

/// Returns the jobs that follow one that has ended, as far as its plan still names theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn jobs_after(context: &Context, job: &Job) -> Result<Vec<JobId>, StoreError> {
    let (JobKind::Backup, Some(plan_id)) = (job.kind(), job.plan_id) else { return Ok(Vec::new()) };
    if !is_done((job.state.name(), job.state.outcome())) {
        return Ok(Vec::new());
    }
    let plan = context.declarations.plan_get(plan_id).await?;
    let mut found = Vec::new();
    for name in &plan.backup.follow_ups {
        let Some(next) = plan_named(context, plan.tenant_id, name).await? else { continue };
        let asking = asking_of(job, next.id);
        for item in items_of(context, &next).await?.iter().take(SHOWN_MAX) {
            match context.jobs.job_get(asking.job_id(&item.id.to_string())).await {
                Ok(next) => found.push(next.id),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// Says whom a plan follows and what follows it, and what keeps it from that now.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn words(context: &Context, plan: &Plan) -> Result<Vec<String>, StoreError> {
    let plans = live(context, plan.tenant_id).await?;
    let mut lines = Vec::new();
    for name in &plan.backup.follow_ups {
        let held = match plans.iter().find(|other| other.name == *name) {
            None => ": there is no such plan any more, so nothing does",
            Some(next) if context.schedules.schedule_get(next.id).await?.paused_at.is_some() => {
                ": it is paused, and is passed over"
            }
            Some(_) => "",
        };
        lines.push(format!("plan {name} follows each backup of it that ends complete or unchanged{held}"));
    }
    lines.extend(named_by(&plans, plan).map(|before| format!("it follows good backups of plan {}", before.name)));
    Ok(lines)
}

/// Says whose job a job follows; none when that job is not known any more.
pub(super) async fn why(context: &Context, job: JobId) -> Option<String> {
    let before = context.jobs.job_get(job).await.ok()?;
    let plan = context.declarations.plan_get(before.plan_id?).await.ok()?;
    Some(format!("it follows job {job} of plan {}", plan.name))
}
