//! What retention keeps of each item, what a prune is told to forget, and when repositories are pruned.
//!
//! ```text
//!  upkeep due ──> anything to forget, or data of an earlier prune to remove? ──> a prune job
//!  prune leased ──> what no plan keeps, no person holds and no job wants, by the store's clock ──> its agent
//! ```
//!
//! All plans that put a source's items into a repository have a say: what one of them keeps, stays. A plan that was retired
//! keeps what was taken until then. Items whose plans are all gone keep everything. What a person wants forgotten goes in both
//! cases, unless more than a rule keeps it. The decision is made once the prune has the repository alone, never by an agent's
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::context::Context;
use super::request::{PRIORITY_REQUEST, repository_job};
use crate::domain::asking::Asking;
use crate::domain::attempt::AttemptToken;
use crate::domain::event::EventKind;
use crate::domain::id::{ItemId, PlanId, RepositoryId, SnapshotId};
use crate::domain::item::Item;
use crate::domain::job::{Forget, Instruction, Job, Trigger};
use crate::domain::plan::Plan;
use crate::domain::repository::Repository;
use crate::domain::retention::{Candidate, Preview, Reason, Verdict, keep, keep_unplanned};
use crate::domain::schedule::Calendar;
use crate::domain::snapshot::Snapshot;
use crate::ports::retention::Upkeep;
use crate::ports::store::{Enqueued, Page, StoreError};

/// How often a repository is looked at for what retention does not keep.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How soon a repository is looked at again that could not be, or whose tenant may start nothing now.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

/// Most repositories of one look; the next one takes the rest.
const LOOK_ROWS_MAX: u32 = 100;

/// How long a prune by schedule may stand behind backups: its place in a queue that is ordered by time to breach.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What a plan's retention says of one item.
#[derive(Debug, Clone)]
pub struct ItemRetention {
    /// The item.
    pub item: Item,
    /// Its snapshots in the plan's repository, with what keeps each; what is dropped goes with the next prune.
    pub preview: Preview<SnapshotId>,
}

/// What one look at repositories did.
#[derive(Debug, Default)]
pub struct Upkept {
    /// Repositories that were looked at.
    pub looked: u64,
    /// Prunes that were enqueued.
    pub started: u64,
    /// Repositories that could not be looked at, each with why.
    pub failed: Vec<(RepositoryId, StoreError)>,
}

/// Says for a page of a plan's items which of their snapshots stay, and by which rules of this and of other plans.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such plan.
pub async fn plan_retention(
    context: &Context,
    id: PlanId,
    page: Page<ItemId>,
) -> Result<Vec<ItemRetention>, StoreError> {
    let plan = context.declarations.plan_get(id).await?;
    let now = context.schedules.clock_read().await?;
    let plans = plans_of(context, &plan.repository_id, &plan).await?;
    let suspected = suspected(context).await?;
    let mut groups = groups_of(context, plan.repository_id).await?;
    let items = context.declarations.item_page(plan.source_id, page).await?;
    let of_item = |item: Item| {
        let snapshots = groups.remove(&item.id).unwrap_or_default();
        let preview = held_back(judge(&plans, &snapshots, &BTreeSet::new(), now), &plans, &suspected);
        ItemRetention { item, preview }
    };
    Ok(items.into_iter().map(of_item).collect())
}

/// Says what all plans together say of one snapshot, among the others of its item in its repository; none when no plan
/// says anything.
pub(super) async fn verdict_of(
    context: &Context,
    snapshot: &Snapshot,
    group: &[Snapshot],
    now: Timestamp,
) -> Result<Option<Verdict<SnapshotId>>, StoreError> {
    let source = context.declarations.item_get(snapshot.item_id).await?.source_id;
    let plans = context.declarations.plan_list(Some(snapshot.tenant_id)).await?;
    let same = |plan: &Plan| plan.source_id == source && plan.repository_id == snapshot.repository_id;
    let plans: Vec<Plan> = plans.into_iter().filter(same).collect();
    let preview = judge(&plans, group, &BTreeSet::new(), now);
    let preview = held_back(preview, &plans, &suspected(context).await?);
    Ok(preview.verdicts.into_iter().find(|verdict| verdict.id == snapshot.id))
}

/// Returns the plans that put the same source's items into a repository.
async fn plans_of(context: &Context, repository: &RepositoryId, plan: &Plan) -> Result<Vec<Plan>, StoreError> {
    let plans = context.declarations.plan_list(Some(plan.tenant_id)).await?;
    let same = |other: &Plan| other.source_id == plan.source_id && other.repository_id == *repository;
    Ok(plans.into_iter().filter(same).collect())
}

/// Returns the snapshots of a repository by item.
async fn groups_of(context: &Context, repository: RepositoryId) -> Result<BTreeMap<ItemId, Vec<Snapshot>>, StoreError> {
    let mut groups: BTreeMap<ItemId, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in context.retention.snapshot_list_whole(repository).await? {
        groups.entry(snapshot.item_id).or_default().push(snapshot);
    }
    Ok(groups)
}

/// Judges the snapshots of one item by all its plans: what one keeps, stays, and each says why. Without a plan that lives
/// all stay but those that a person wants forgotten.
fn judge(plans: &[Plan], snapshots: &[Snapshot], wanted: &BTreeSet<SnapshotId>, now: Timestamp) -> Preview<SnapshotId> {
    let lives = plans.iter().any(|plan| plan.retired_at.is_none());
    // What was taken until the newest retirement stays, whatever the plans that live say.
    let retired_at = plans.iter().filter_map(|plan| plan.retired_at).max().filter(|_| lives);
    let is_left = |row: &Snapshot| row.unwanted_at.is_none() && retired_at.is_some_and(|at| row.taken_at <= at);
    let candidate = |row: &Snapshot, zone: &TimeZone| Candidate {
        id: row.id,
        parent: row.parent_id,
        taken_at: row.taken_at.to_zoned(zone.clone()),
        tags: Vec::new(),
        is_good: row.is_good,
        is_pinned: row.pinned_at.is_some() || wanted.contains(&row.id) || is_left(row),
        is_held: row.held_at.is_some(),
        protected_until: row.protected_until,
        is_unwanted: row.unwanted_at.is_some(),
    };
    let group = |zone: TimeZone| snapshots.iter().map(|row| candidate(row, &zone)).collect::<Vec<_>>();
    let of_plan = |plan: &Plan| {
        let zone = TimeZone::get(plan.schedule.time_zone()).unwrap_or(TimeZone::UTC);
        keep(&plan.retention, &group(zone), now)
    };
    let mut previews = plans.iter().filter(|plan| plan.retired_at.is_none()).map(of_plan);
    let mut all = previews.next().unwrap_or_else(|| keep_unplanned(&group(TimeZone::UTC), now));
    for other in previews {
        for (verdict, also) in all.verdicts.iter_mut().zip(other.verdicts) {
            let more = also.reasons.into_iter().filter(|reason| !verdict.reasons.contains(reason)).collect::<Vec<_>>();
            verdict.reasons.extend(more);
        }
        all.dropped.retain(|id| other.dropped.contains(id));
    }
    let left: BTreeMap<SnapshotId, bool> =
        snapshots.iter().filter(|row| is_left(row)).map(|row| (row.id, row.pinned_at.is_some())).collect();
    for verdict in &mut all.verdicts {
        let Some(is_pinned) = left.get(&verdict.id) else { continue };
        verdict.reasons.retain(|reason| *is_pinned || *reason != Reason::Pinned);
        verdict.reasons.push(Reason::Retired);
    }
    all
}

/// Returns the plans that are suspected.
async fn suspected(context: &Context) -> Result<BTreeSet<PlanId>, StoreError> {
    Ok(context.retention.suspicion_list().await?.into_iter().map(|row| row.plan_id).collect())
}

/// Keeps everything where one of the plans is suspected: what would go may be all that was not encrypted or deleted.
fn held_back(mut preview: Preview<SnapshotId>, plans: &[Plan], suspected: &BTreeSet<PlanId>) -> Preview<SnapshotId> {
    if plans.iter().any(|plan| suspected.contains(&plan.id)) {
        preview.dropped.clear();
        preview.verdicts.iter_mut().for_each(|verdict| verdict.reasons.push(Reason::Suspected));
    }
    preview
}

/// Returns what a prune of a repository forgets, children before the parents that they need.
pub(super) async fn forget_list(context: &Context, repository: &Repository) -> Result<Vec<Forget>, StoreError> {
    let now = context.schedules.clock_read().await?;
    let plans = context.declarations.plan_list(Some(repository.tenant_id)).await?;
    let plans: Vec<Plan> = plans.into_iter().filter(|plan| plan.repository_id == repository.id).collect();
    let groups = groups_of(context, repository.id).await?;
    let has_rule = plans.iter().any(|plan| plan.retired_at.is_none() && !plan.retention.has_no_rule());
    if !has_rule && groups.values().flatten().all(|row| row.unwanted_at.is_none()) {
        return Ok(Vec::new());
    }
    let wanted: BTreeSet<SnapshotId> =
        context.retention.snapshot_list_wanted(repository.id).await?.into_iter().collect();
    let suspected = suspected(context).await?;
    let mut forget = Vec::new();
    for (item, snapshots) in groups {
        let source = context.declarations.item_get(item).await?.source_id;
        let plans: Vec<Plan> = plans.iter().filter(|plan| plan.source_id == source).cloned().collect();
        let preview = held_back(judge(&plans, &snapshots, &wanted, now), &plans, &suspected);
        let names: BTreeMap<SnapshotId, &Snapshot> = snapshots.iter().map(|row| (row.id, row)).collect();
        forget.extend(preview.dropped.iter().filter_map(|id| {
            let row = names.get(id)?;
            Some(Forget { snapshot_id: row.id, foreign_id: row.foreign_id.clone() })
        }));
    }
    Ok(forget)
}

/// Makes sure that no prune which has begun forgets a snapshot: what is asked of it now would find it gone. One that
/// has not begun leaves what a job wants.
///
/// # Errors
/// [`StoreError::Busy`] names the prune.
pub(super) async fn stays(context: &Context, snapshot: &Snapshot) -> Result<(), StoreError> {
    let Some(prune) = context.retention.prune_live(snapshot.repository_id).await? else { return Ok(()) };
    if context.jobs.job_get(prune).await?.attempt_token == AttemptToken(0) {
        return Ok(());
    }
    let repository = context.declarations.repository_get(snapshot.repository_id).await?;
    let forget = forget_list(context, &repository).await?;
    if forget.iter().all(|row| row.snapshot_id != snapshot.id) {
        return Ok(());
    }
    let by = format!("prune {prune} has begun and forgets it, as no rule keeps it any more");
    Err(StoreError::Busy { noun: "snapshot", key: snapshot.id.to_string(), by })
}

/// Returns the snapshots of a repository that a prune does not forget.
pub(super) async fn others(
    context: &Context,
    repository: RepositoryId,
    forget: &[Forget],
) -> Result<Vec<Forget>, StoreError> {
    let goes: BTreeSet<SnapshotId> = forget.iter().map(|row| row.snapshot_id).collect();
    let rows = context.retention.snapshot_list_whole(repository).await?;
    let stays = rows.into_iter().filter(|row| !goes.contains(&row.id));
    Ok(stays.map(|row| Forget { snapshot_id: row.id, foreign_id: row.foreign_id }).collect())
}

/// Asks for a prune of a repository; while one is live, that one is the answer.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such repository.
pub async fn prune_request(context: &Context, asking: &Asking, id: RepositoryId) -> Result<Enqueued, StoreError> {
    let repository = context.declarations.repository_get(id).await?;
    let prune = repository_job(&repository, (asking.job_id(&id.to_string()), asking.at()), Instruction::Prune);
    let job = Job { priority: PRIORITY_REQUEST, trace: asking.trace(), ..prune };
    let words = format!("prune of repository {} was asked for", repository.name);
    enqueue(context, &job, words).await
}

/// Enqueues the prunes that are due. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. A repository that cannot be looked at does not hold up the others.
pub async fn upkeep_tick(context: &Context) -> Result<Upkept, StoreError> {
    let now = context.schedules.clock_read().await?;
    let due = context.retention.upkeep_list_due(now, LOOK_ROWS_MAX).await?;
    let mut done = Upkept { looked: due.len() as u64, ..Upkept::default() };
    if due.is_empty() {
        return Ok(done);
    }
    let calendar = context.schedules.calendar_get(now).await?;
    for row in due {
        let wait = match upkeep_one(context, &calendar, &row, now).await {
            Ok(Looked::Started) => {
                done.started += 1;
                UPKEEP_EVERY
            }
            Ok(Looked::Nothing) => UPKEEP_EVERY,
            Ok(Looked::Held) => LOOK_AGAIN_AFTER,
            Err(error) => {
                done.failed.push((row.repository_id, error));
                LOOK_AGAIN_AFTER
            }
        };
        context.retention.upkeep_put(&row, now.saturating_add(wait).unwrap_or(Timestamp::MAX)).await?;
    }
    Ok(done)
}

enum Looked {
    Started,
    Nothing,
    Held,
}

async fn upkeep_one(
    context: &Context,
    calendar: &Calendar,
    row: &Upkeep,
    now: Timestamp,
) -> Result<Looked, StoreError> {
    let repository = context.declarations.repository_get(row.repository_id).await?;
    if repository.retired_at.is_some() {
        return Ok(Looked::Nothing);
    }
    if calendar.held(repository.tenant_id, now).is_some() {
        return Ok(Looked::Held);
    }
    let forget = forget_list(context, &repository).await?;
    if forget.is_empty() && !row.has_pending {
        return Ok(Looked::Nothing);
    }
    // Its id follows from the row: who does it again makes the same job. Its place in the queue does not: after a month of
    // downtime backups come first.
    let breach_at = now.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX);
    let asking = Asking::keyed(row.due_at, "upkeep", &repository.id.to_string());
    let job = repository_job(&repository, (asking.job_id("prune"), asking.at()), Instruction::Prune);
    let job = Job { trigger: Trigger::Occurrence(row.due_at), breach_at, ..job };
    let words = match forget.len() {
        0 => format!("prune of repository {} is due: data of an earlier one waits to be removed", repository.name),
        count => format!("prune of repository {} is due: retention keeps {count} snapshots no more", repository.name),
    };
    Ok(match enqueue(context, &job, words).await? {
        Enqueued::New(_) => Looked::Started,
        Enqueued::Overlaps(_) | Enqueued::Known(_) => Looked::Nothing,
    })
}

/// Puts a prune in the queue, unless one of the repository is live. Two that ask at once may both get theirs: the second
/// one finds nothing to do.
async fn enqueue(context: &Context, job: &Job, words: String) -> Result<Enqueued, StoreError> {
    if let Some(live) = context.retention.prune_live(job.repository_id).await?.filter(|live| *live != job.id) {
        return Ok(Enqueued::Overlaps(live));
    }
    // One of the upkeep is named by when it was due, which may be long ago.
    let now = context.schedules.clock_read().await?;
    let enqueued = context.event(EventKind::Enqueued, (job.tenant_id, Some(job.id), None), now, words);
    context.jobs.job_enqueue(job, &enqueued, None).await
}
