//! Answers "why": asks the stores for what the deciding functions were told, and has `domain::explain` say it in words.
//!
//! Nothing is decided here, and the cost of an answer is bounded: of the queue its first [`QUEUE_ROWS_MAX`] jobs, of an
//! item the newest backups, of a kind the newest durations. What lies beyond is said to lie beyond.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::anomaly;
use super::context::Context;
use super::fit::warnings;
use super::follow_up;
use super::forecast::{Ahead, expected};
use super::retention::verdict_of;
use super::{schedule, skipped};
use crate::domain::explain::{self, Place, Queue, Running};
use crate::domain::fairness::{Candidate, Rules};
use crate::domain::id::{JobId, PlanId, SnapshotId};
use crate::domain::item::Item;
use crate::domain::job::{Instruction, Job, JobKind, JobState, Outcome, Trigger};
use crate::domain::overlap::Meeting;
use crate::domain::plan::Plan;
use crate::domain::proof::{DrillRate, Slice};
use crate::domain::retention::Verdict;
use crate::domain::rpo::{Age, DURATION_UNKNOWN, DURATIONS_MAX, Forecast, age, expected_duration};
use crate::domain::rto::{self, RtoForecast};
use crate::domain::schedule::{Calendar, Due, Planned, ScheduleState, next};
use crate::domain::snapshot::Snapshot;
use crate::ports::schedule::ScheduledPlan;
use crate::ports::store::{JobFilter, Page, QueueLook, SnapshotFilter, StoreError};

/// Jobs of the queue that are looked at: enough for a night of most installations; each step of an estimate goes through
/// them all.
pub const QUEUE_ROWS_MAX: u32 = 300;

/// Starts of a plan that are named one by one.
const STARTS_SHOWN: usize = 5;

/// Items of a plan whose restore is forecast as a whole; each costs a question.
const RESTORE_ITEMS_MAX: usize = 200;

/// An answer: in words, with the values that programs want beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// When it was true, by the store's clock.
    pub at: Timestamp,
    /// In words.
    pub lines: Vec<String>,
    /// The next starts of a plan; none while it is paused.
    pub starts: Vec<Timestamp>,
    /// What holds a plan's starts back now.
    pub held: Option<String>,
    /// Where a plan and others that it may not overlap cannot keep their windows.
    pub warnings: Vec<String>,
    /// Where a queued job stands.
    pub place: Option<Place>,
    /// Whether more jobs wait than were looked at.
    pub has_more: bool,
    /// How long bringing back all that a plan protects is expected to take; none where nothing was measured.
    pub restore: Option<RtoForecast>,
    /// What is to be expected of an item, in each of its plans.
    pub forecasts: Vec<ItemForecast>,
    /// What retention says of a snapshot; none when no plan says anything.
    pub verdict: Option<Verdict<SnapshotId>>,
}

/// What is to be expected of an item in one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemForecast {
    /// The plan.
    pub plan_id: PlanId,
    /// Its name.
    pub plan_name: String,
    /// How old the newest good snapshot is.
    pub age: Age,
    /// What is to be expected.
    pub forecast: Forecast,
    /// How long bringing it back is expected to take; none where nothing was measured.
    pub restore: Option<RtoForecast>,
}

impl Explanation {
    const fn at(at: Timestamp) -> Self {
        Self {
            at,
            lines: Vec::new(),
            starts: Vec::new(),
            held: None,
            warnings: Vec::new(),
            place: None,
            has_more: false,
            restore: None,
            forecasts: Vec::new(),
            verdict: None,
        }
    }
}

/// Says what a plan's schedule does now and in the next month, and what holds it back.
///
/// # Errors
/// [`StoreError`].
pub async fn plan_explain(context: &Context, plan: &Plan, zone: &TimeZone) -> Result<Explanation, StoreError> {
    let now = context.schedules.clock_read().await?;
    let calendar = context.schedules.calendar_get(now).await?;
    let state = context.schedules.schedule_get(plan.id).await?;
    let mut said = Explanation::at(now);
    if let Some(at) = plan.retired_at {
        let at = explain::moment(at, zone);
        said.lines.push(format!("it was retired at {at}: nothing new is made of it, and what it made stays"));
        return Ok(said);
    }
    let mut planned = state.planned(plan);
    if let Some(waiting) = state.waiting {
        // It is the next one that is asked about beside it.
        planned = Planned { last: Some(waiting.planned_at), ..planned };
        said.lines.push(explain::waiting_words(&waiting, state.skipped_before, zone));
    }
    said.lines.extend(meets(context, plan, &state, &calendar, now, zone).await?);
    said.lines.extend(explain::plan(&planned, &calendar, now, zone));
    if let Some(at) = state.last_planned_at {
        said.lines.extend(skipped::of_plan(context, plan, at).await?);
    }
    said.lines.extend(follow_up::words(context, plan).await?);
    // A plan that is paused has none.
    if state.paused_at.is_none() {
        said.starts = next(&planned, now, STARTS_SHOWN).into_iter().map(|(_, start_at)| start_at).collect();
    }
    said.held = calendar.held(plan.tenant_id, now).map(|held| held.reason);
    if let Some(found) = anomaly::of_plan(context, plan.id).await? {
        let at = explain::moment(found.at, zone);
        said.lines.push(format!("prunes keep all its snapshots since {at}: {}", found.message));
        said.lines
            .push(format!("job {} found it; `backstay plan clear {}` lets prunes go on", found.job_id, plan.name));
    }
    said.restore = plan_restore(context, plan).await?;
    said.lines.extend(said.restore.map(|forecast| forecast.words()));
    said.warnings = warnings(context, plan, now).await?;
    said.lines.extend(said.warnings.iter().map(|words| format!("its window is too short: {words}")));
    Ok(said)
}

/// Says what an occurrence that is due meets of its tenant's overlap key; nothing for a plan that overlaps itself alone.
async fn meets(
    context: &Context,
    plan: &Plan,
    state: &ScheduleState,
    calendar: &Calendar,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Option<String>, StoreError> {
    let Some(Due::Start(occurrence)) = state.look(plan, calendar, now) else { return Ok(None) };
    let row = ScheduledPlan { plan: plan.clone(), state: state.clone() };
    let meeting = schedule::meeting(context, &row, &occurrence, now).await?;
    let other = match meeting {
        Meeting::Waits { plan_id, .. } | Meeting::SkippedForAnother { plan_id } => plan_id,
        Meeting::Free | Meeting::SkippedForItself { .. } => plan.id,
    };
    let other = context.declarations.plan_get(other).await?;
    let is_silent = meeting == Meeting::Free;
    Ok((!is_silent).then(|| explain::meeting_words(&meeting, |_| format!("plan {}", other.name), zone)))
}

/// Returns what the drills of a plan's repository measured.
async fn drills(context: &Context, plan: &Plan) -> Result<Vec<DrillRate>, StoreError> {
    Ok(context.retention.proof_get(plan.repository_id).await?.drills)
}

/// Returns how long bringing back the newest good snapshots of all items of a plan takes; none where nothing was measured,
/// or with more items than are looked at: a time for a part of them would be taken for the whole.
async fn plan_restore(context: &Context, plan: &Plan) -> Result<Option<RtoForecast>, StoreError> {
    let items = context.declarations.item_list(plan.source_id).await?;
    let drills = drills(context, plan).await?;
    if items.len() > RESTORE_ITEMS_MAX || drills.is_empty() {
        return Ok(None);
    }
    let mut bytes = 0u64;
    for item in &items {
        let newest = context.history.snapshot_newest_good(item.id, plan.repository_id).await?;
        bytes = bytes.saturating_add(newest.map_or(0, |snapshot| snapshot.counts.bytes));
    }
    Ok(rto::forecast(&drills, bytes))
}

/// Says how old an item's newest good snapshot is in each of its plans, and what is to be expected.
///
/// # Errors
/// [`StoreError`].
pub async fn item_explain(context: &Context, item: &Item, zone: &TimeZone) -> Result<Explanation, StoreError> {
    let now = context.schedules.clock_read().await?;
    let source = context.declarations.source_get(item.source_id).await?;
    let plans = context.declarations.plan_list(Some(source.tenant_id)).await?;
    let lives = |plan: &Plan| plan.source_id == source.id && plan.retired_at.is_none();
    let plans: Vec<Plan> = plans.into_iter().filter(lives).collect();
    let mut said = Explanation::at(now);
    if let Some(at) = item.vanished_at {
        said.lines.push(format!("it was not found any more at {}: nothing backs it up", explain::moment(at, zone)));
    }
    if plans.is_empty() {
        said.lines.push("no plan backs it up".to_owned());
    }
    let mut ahead = Ahead::default();
    for plan in &plans {
        let newest = context.history.snapshot_newest_good(item.id, plan.repository_id).await?;
        let age = age(plan.rpo, plan.rpo_from(), newest.as_ref().map(|snapshot| snapshot.proved_at(now)), now);
        let expected = expected(context, plan.id, item.id).await?.unwrap_or(DURATION_UNKNOWN);
        let next = ahead.next_backup(context, plan, item, now).await?;
        let foreseen = next.forecast(age, expected, now);
        let restore = match &newest {
            Some(snapshot) => rto::forecast(&drills(context, plan).await?, snapshot.counts.bytes),
            None => None,
        };
        let restore_words = restore.map(|forecast| forecast.words());
        let skipped = match context.schedules.schedule_get(plan.id).await?.last_planned_at {
            Some(at) => skipped::of_item(context, (plan, item), at).await?,
            None => None,
        };
        let lines = explain::item(age, foreseen, now, zone)
            .into_iter()
            .chain([next.words(expected, zone)])
            .chain(skipped)
            .chain(restore_words);
        match plans.len() {
            1 => said.lines.extend(lines),
            _ => said.lines.extend(lines.map(|line| format!("plan {}: {line}", plan.name))),
        }
        let (plan_id, plan_name) = (plan.id, plan.name.to_string());
        said.forecasts.push(ItemForecast { plan_id, plan_name, age, forecast: foreseen, restore });
    }
    Ok(said)
}

/// Says why a job exists, what it does, and when it is expected to start.
///
/// # Errors
/// [`StoreError`].
pub async fn job_explain(context: &Context, job: &Job, zone: &TimeZone) -> Result<Explanation, StoreError> {
    let now = context.schedules.clock_read().await?;
    let mut said = Explanation::at(now);
    let is_due = matches!(job.state, JobState::Queued { not_before } if not_before <= now);
    let found = if is_due { QueueRead::read(context).await?.place(job.id, now) } else { Found::default() };
    said.lines = explain::job(&job.trigger, &job.state, found.place.as_ref(), now, zone);
    if let (Trigger::FollowUp(before), Some(first)) = (&job.trigger, said.lines.first_mut())
        && let Some(why) = follow_up::why(context, *before).await
    {
        *first = why;
    }
    if let (Instruction::Verify { slice: Some(slice), .. }, Some(why)) = (&job.instruction, said.lines.first_mut()) {
        let Slice { number, of } = slice;
        *why =
            format!("its repository's verify budget wants slice {number} of {of} read, and its item's restore drilled");
    }
    if let Some(streak) = job.streak.filter(|_| !job.state.name().is_final()) {
        let class = streak.class.word();
        said.lines.push(format!("it failed {} times in a row, {} times by {class}", streak.attempts, streak.count));
    }
    if is_due && found.place.is_none() && found.has_more {
        said.lines.push(format!("more than {QUEUE_ROWS_MAX} jobs come before it"));
    }
    if is_due && found.agents == 0 {
        said.lines.push("no agent is alive".to_owned());
    }
    if is_due && let Some(held) = context.schedules.calendar_get(now).await?.held(job.tenant_id, now) {
        said.lines
            .push(format!("no schedule starts anything now ({}); what is in the queue already goes on", held.reason));
    }
    (said.place, said.has_more) = (found.place, found.has_more);
    Ok(said)
}

/// What was found of a job in the queue.
#[derive(Default)]
pub(super) struct Found {
    pub(super) place: Option<Place>,
    has_more: bool,
    agents: usize,
}

/// The queue as it was read: what says where each of its due jobs stands.
pub(super) struct QueueRead {
    look: QueueLook,
    rules: Rules,
    agents: Vec<Vec<JobKind>>,
    lengths: HashMap<JobKind, Duration>,
}

impl QueueRead {
    /// Reads the queue. How many agents work at once, and at what, is taken from who is alive and from what runs, so that
    /// an expected start does not promise what no agent is there for.
    pub(super) async fn read(context: &Context) -> Result<Self, StoreError> {
        let look = context.jobs.queue_look(QUEUE_ROWS_MAX).await?;
        let (rules, _) = context.jobs.queue_rules_get().await?;
        let agents = context.jobs.agent_list_alive().await?.into_iter().map(|agent| agent.kinds).collect();
        let kinds: BTreeSet<&str> = look.kinds().map(JobKind::word).collect();
        let mut lengths: HashMap<JobKind, Duration> = HashMap::new();
        for kind in kinds.into_iter().filter_map(JobKind::from_word) {
            let mut newest = context
                .jobs
                .job_durations(JobFilter { kind: Some(kind), ..JobFilter::default() }, DURATIONS_MAX as u32)
                .await?;
            newest.reverse();
            lengths.insert(kind, expected_duration(&newest));
        }
        Ok(Self { look, rules, agents, lengths })
    }

    /// Says whether what was read tells of a due job: it is there, or lies beyond.
    pub(super) fn is_known(&self, job: JobId) -> bool {
        self.look.has_more || self.look.queued.iter().any(|queued| queued.job_id == job)
    }

    /// Returns where a due job stands. By the rules alone it might start now.
    pub(super) fn place(&self, job: JobId, now: Timestamp) -> Found {
        let Self { look, rules, agents, lengths } = self;
        let expected = |candidate: &Candidate| lengths.get(&candidate.kind).copied().unwrap_or(expected_duration(&[]));
        let running = look.running.iter().map(|(running, leased_at)| {
            let ends_at = leased_at.saturating_add(expected(running)).unwrap_or(Timestamp::MAX);
            Running { job: running.clone(), ends_at }
        });
        let running: Vec<Running> = running.collect();
        let queue = Queue { queued: &look.queued, running: &running, rules, agents, expected: &expected };
        Found { place: queue.place(job, now), has_more: look.has_more, agents: agents.len() }
    }
}

/// Snapshots whose forgetting is taken for granted, beside those that are unwanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ForgetWish {
    /// None.
    #[default]
    None,
    /// All of the item in the repository.
    All,
    /// These.
    These(BTreeSet<SnapshotId>),
}

impl ForgetWish {
    /// Says whether it means a snapshot; never one that a person keeps.
    fn means(&self, row: &Snapshot) -> bool {
        let is_free = row.pinned_at.is_none() && row.held_at.is_none();
        is_free
            && match self {
                Self::None => false,
                Self::All => true,
                Self::These(ids) => ids.contains(&row.id),
            }
    }
}

/// Says which rules keep a snapshot, or when it goes; as if what is wished had been said.
///
/// # Errors
/// [`StoreError`].
pub async fn snapshot_explain(
    context: &Context,
    snapshot: &Snapshot,
    wish: &ForgetWish,
    zone: &TimeZone,
) -> Result<Explanation, StoreError> {
    let now = context.schedules.clock_read().await?;
    let show = |at: Timestamp| explain::moment(at, zone);
    let mut said = Explanation::at(now);
    let (taken, how) = (show(snapshot.taken_at), snapshot.outcome.word());
    said.lines.push(format!("it was taken at {taken} by job {}: {how}", snapshot.job_id));
    if let Some(at) = snapshot.forgotten_at {
        said.lines.push(format!("it was forgotten at {}: its row stays as a fact of the past", show(at)));
        return Ok(said);
    }
    if snapshot.outcome == Outcome::Partial && snapshot.is_good {
        said.lines.push("all that it misses is what its plan accepted when it was made: it counts as good".to_owned());
    }
    if let Some(at) = snapshot.confirmed_at {
        said.lines.push(format!("a backup found its item as it has it at {}, and published none", show(at)));
    }
    let since =
        [("pinned", snapshot.pinned_at), ("under a legal hold", snapshot.held_at), ("unwanted", snapshot.unwanted_at)];
    for (what, at) in since.into_iter().filter_map(|(what, at)| Some((what, at?))) {
        said.lines.push(format!("it is {what} since {}", show(at)));
    }
    let filter = SnapshotFilter {
        item_id: Some(snapshot.item_id),
        repository_id: Some(snapshot.repository_id),
        ..SnapshotFilter::default()
    };
    let mut page = Page::first();
    let mut group = Vec::new();
    loop {
        let rows = context.history.snapshot_list(filter, page).await?;
        let is_last = rows.len() < page.rows_max as usize;
        page.before = rows.last().map(|row| row.id);
        group.extend(rows);
        if is_last {
            break;
        }
    }
    for row in group.iter_mut().filter(|row| wish.means(row)) {
        row.unwanted_at = row.unwanted_at.or(Some(now));
    }
    said.verdict = verdict_of(context, snapshot, &group, now).await?;
    let Some(verdict) = &said.verdict else {
        said.lines.push("kept: no plan says anything of it".to_owned());
        return Ok(said);
    };
    said.lines.push(verdict.words());
    if !verdict.is_kept() {
        let wanted = context.retention.snapshot_list_wanted(snapshot.repository_id).await?.contains(&snapshot.id);
        said.lines.push(match wanted {
            true => "a job that has not ended reads it: it goes with the first prune after that".to_owned(),
            false => "it goes with the next prune of its repository".to_owned(),
        });
    }
    Ok(said)
}
