//! Turns what is due by schedule into jobs: the tick of the scheduler, and the pause of a plan.
//!
//! ```text
//!  plans due ──look──> start ──> a job an item ─┬─> all in the queue: done
//!                │                              └─> an item or the overlap key is another plan's: waits, then skipped
//!                ├───> skip (paused, missed) ──> told, done
//!                └───> hold (maintenance) ─────> looked at when it ends, and now and then before
//! ```
//!
//! What stands in nobody's way is started together (`starts`); here is what goes one plan after the other.
//!
//! A tick may die anywhere and may run twice at once: a job's id follows from plan, item and planned instant, the store
//! keeps one job an occurrence, and what is told is written with the state that says it was.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::request::{backup_job, newest_at};
use super::starts::start_many;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{JobId, JobSetId, MaintenanceId, PlanId};
use crate::domain::item::Item;
use crate::domain::job::{Job, JobState, Trigger};
use crate::domain::job_set::JobSet;
use crate::domain::lease::LEASE_TTL;
use crate::domain::overlap::{Claimant, Key, Meeting, meet};
use crate::domain::plan::Plan;
use crate::domain::schedule::{
    Calendar, ClockJump, Due, MISSED_COUNTED_MAX, Maintenance, Occurrence, OverlapKey, ScheduleState, Skip, clock_jump,
    delay_words,
};
use crate::ports::schedule::{ClockLook, MaintenanceRow, ScheduledPlan};
use crate::ports::store::{Enqueued, StoreError};

/// Most plans of one look into the store: a bound on the memory of a tick, the next look takes the rest.
const TICK_ROWS_MAX: u32 = 200;

/// Most looks of one tick: a bound on its length after downtime, the next tick takes the rest.
const TICK_LOOKS_MAX: u32 = 50;

/// How often a person's pause is tried again beside a tick that writes the same row.
const PAUSE_TRIES: u32 = 8;

/// How often the clock is looked at again beside a replica that saw the same step: the second look sees that it is made.
const CLOCK_TRIES: u32 = 3;

/// What one tick did.
#[derive(Debug, Default)]
pub struct Ticked {
    /// The moment by the store's clock.
    pub at: Timestamp,
    /// Plans that were looked at.
    pub looked: u64,
    /// Jobs that were enqueued.
    pub started: u64,
    /// Occurrences, or items of them, that were skipped.
    pub skipped: u64,
    /// Occurrences that wait for another plan.
    pub waiting: u64,
    /// Plans that could not be worked on, each with why: they go to the end of the line.
    pub failed: Vec<(PlanId, StoreError)>,
}

/// Starts what is due. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. A plan that cannot be worked on does not hold up the others.
pub async fn tick(context: &Context) -> Result<Ticked, StoreError> {
    let now = context.schedules.clock_read().await?;
    let mut done = Ticked { at: now, ..Ticked::default() };
    let calendar = context.schedules.calendar_get(now).await?;
    if calendar.global_pause.is_some() {
        return Ok(done);
    }
    for _ in 0..TICK_LOOKS_MAX {
        let due = context.schedules.schedule_list_due(now, TICK_ROWS_MAX).await?;
        let is_last = due.len() < TICK_ROWS_MAX as usize;
        done.looked += due.len() as u64;
        for row in start_many(context, &calendar, &due, now, &mut done).await {
            if let Err(error) = tick_one(context, &calendar, row, now, &mut done).await {
                done.failed.push((row.plan.id, error));
                context.schedules.schedule_put(&row.state.held(None, now), &[]).await?;
            }
        }
        if is_last {
            break;
        }
    }
    Ok(done)
}

/// Does what is due of one plan.
async fn tick_one(
    context: &Context,
    calendar: &Calendar,
    row: &ScheduledPlan,
    now: Timestamp,
    done: &mut Ticked,
) -> Result<(), StoreError> {
    let ScheduledPlan { plan, state } = row;
    let (state, told) = match state.look(plan, calendar, now) {
        None => (state.rest(plan, now), Vec::new()),
        Some(Due::Hold { until, .. }) => (state.held(until, now), Vec::new()),
        Some(Due::Skip { planned_at, skip, missed }) => {
            done.skipped += 1;
            (state.done(plan, planned_at, now), vec![skip_event(context, plan, (planned_at, missed), &skip, now)])
        }
        Some(Due::Start(occurrence)) => start(context, row, occurrence, now, done).await?,
    };
    // False: another replica did it, or a person changed the plan meanwhile. It is looked at again.
    context.schedules.schedule_put(&state, &told).await.map(drop)
}

/// Starts an occurrence, lets it wait or skips it. Returns the plan's next state and what is told with it.
async fn start(
    context: &Context,
    row: &ScheduledPlan,
    occurrence: Occurrence,
    now: Timestamp,
    done: &mut Ticked,
) -> Result<(ScheduleState, Vec<Event>), StoreError> {
    let ScheduledPlan { plan, state } = row;
    match meeting(context, row, &occurrence, now).await? {
        Meeting::Waits { .. } => {
            done.waiting += 1;
            return Ok((state.wait(occurrence, now), Vec::new()));
        }
        Meeting::SkippedForAnother { plan_id } => {
            done.skipped += 1;
            let told = vec![skipped_for(context, plan, &occurrence, plan_id, now).await?];
            let skipped_before = state.skipped_before.saturating_add(1);
            return Ok((ScheduleState { skipped_before, ..state.done(plan, occurrence.planned_at, now) }, told));
        }
        Meeting::Free | Meeting::SkippedForItself { .. } => {}
    }
    let items = context.declarations.item_list(plan.source_id).await?;
    let (mut told, mut in_the_way) = (Vec::new(), None);
    let count = items.iter().filter(|item| item.vanished_at.is_none()).count();
    let set = occurrence_set(plan, &occurrence, count, now);
    if let Some(set) = &set {
        context.jobs.set_add(set).await?;
    }
    // The place of an item that is there does not change when this is done again and another one has vanished meanwhile.
    for (place, item) in (0..).zip(&items).filter(|(_, item)| item.vanished_at.is_none()) {
        let place = set.as_ref().map(|set| (set.id, place));
        match enqueue(context, plan, item, (&occurrence, place), now).await? {
            Enqueued::New(_) => done.started += 1,
            Enqueued::Known(_) => {}
            Enqueued::Overlaps(id) => {
                let other = context.jobs.job_get(id).await?;
                if other.plan_id == Some(plan.id) || other.plan_id.is_none() {
                    told.push(item_event(context, plan, item, &occurrence, "the one before it is not finished", now));
                } else {
                    in_the_way = other.plan_id;
                }
            }
        }
    }
    // An item that another plan backs up now is waited for like the work of the same overlap key.
    if let Some(other) = in_the_way {
        if now < occurrence.start_by || state.skipped_before > 0 {
            done.waiting += 1;
            return Ok((state.wait(occurrence, now), Vec::new()));
        }
        told.push(skipped_for(context, plan, &occurrence, other, now).await?);
        done.skipped += 1;
        let skipped_before = state.skipped_before.saturating_add(1);
        return Ok((ScheduleState { skipped_before, ..state.done(plan, occurrence.planned_at, now) }, told));
    }
    done.skipped += told.len() as u64;
    Ok((ScheduleState { skipped_before: 0, ..state.done(plan, occurrence.planned_at, now) }, told))
}

/// Returns what an occurrence meets of its overlap key. Work of its own plan is met item by item, where the queue's keys
/// tell it.
pub(super) async fn meeting(
    context: &Context,
    row: &ScheduledPlan,
    occurrence: &Occurrence,
    now: Timestamp,
) -> Result<Meeting, StoreError> {
    let ScheduledPlan { plan, state } = row;
    if plan.schedule.overlap() != OverlapKey::Tenant {
        return Ok(Meeting::Free);
    }
    let key = Key::Tenant(plan.tenant_id);
    let of = |plan_id, occurrence: &Occurrence, skipped_before| {
        let Occurrence { planned_at, not_before, start_by, .. } = *occurrence;
        Claimant { plan_id, key, planned_at, not_before, start_by, skipped_before }
    };
    let live = context.jobs.job_list_overlapping(plan.tenant_id).await?;
    let running: Vec<Claimant> = live
        .into_iter()
        .filter(|(plan_id, _)| *plan_id != plan.id)
        .map(|(plan_id, at)| Claimant { plan_id, key, planned_at: at, not_before: at, start_by: at, skipped_before: 0 })
        .collect();
    let waiting = context.schedules.schedule_list_waiting(plan.tenant_id).await?;
    let waiting: Vec<Claimant> = waiting
        .iter()
        .filter(|other| other.plan.id != plan.id)
        .filter_map(|other| Some(of(other.plan.id, &other.state.waiting?, other.state.skipped_before)))
        .collect();
    Ok(meet(&of(plan.id, occurrence, state.skipped_before), &running, &waiting, now))
}

/// Puts the backup of one item in the queue.
async fn enqueue(
    context: &Context,
    plan: &Plan,
    item: &Item,
    of: (&Occurrence, Option<(JobSetId, u32)>),
    now: Timestamp,
) -> Result<Enqueued, StoreError> {
    let newest_at = newest_at(context, plan, item).await?;
    let (job, event) = occurrence_job(context, plan, (item, newest_at), of, now);
    context.jobs.job_enqueue(&job, &event, None).await
}

/// Returns the backup of an item that an occurrence starts, and what is told with it. `newest_at` is the moment of the
/// item's newest good snapshot; the set is that of the occurrence, with the item's place in it.
pub(super) fn occurrence_job(
    context: &Context,
    plan: &Plan,
    (item, newest_at): (&Item, Option<Timestamp>),
    (occurrence, set): (&Occurrence, Option<(JobSetId, u32)>),
    now: Timestamp,
) -> (Job, Event) {
    let Occurrence { planned_at, not_before, late, missed, .. } = *occurrence;
    let id = occurrence_job_id(plan.id, item, planned_at);
    let mut job = backup_job(plan, (item, newest_at), (id, Trigger::Occurrence(planned_at), now));
    job.state = JobState::Queued { not_before: not_before.max(now) };
    job.set = set;
    let late = late.map_or_else(String::new, |late| format!(", {}", delay_words(late)));
    let missed = missed_words(missed);
    let words =
        format!("backup of {} is due by plan {}, planned for {planned_at:.0}{late}{missed}", item.name, plan.name);
    let event = context.event(EventKind::Enqueued, (job.tenant_id, Some(id), job.item_id), now, words);
    (job, event)
}

/// Returns the set that the jobs of an occurrence on so many items make up; none for a single one.
pub(super) fn occurrence_set(plan: &Plan, occurrence: &Occurrence, items: usize, now: Timestamp) -> Option<JobSet> {
    let id = JobSetId::new(occurrence.planned_at, drawn(plan.id, b"set", occurrence.planned_at));
    let wanted = u32::try_from(items).unwrap_or(u32::MAX);
    (items > 1).then(|| JobSet { id, tenant_id: plan.tenant_id, name: plan.name.clone(), wanted, created_at: now })
}

/// Returns the id of an occurrence's job on an item: the same whoever makes it and however often.
fn occurrence_job_id(plan: PlanId, item: &Item, planned_at: Timestamp) -> JobId {
    JobId::new(planned_at, drawn(plan, item.id.uuid().as_bytes(), planned_at))
}

/// Returns ten bytes that look random and are the same for the same occurrence of the same thing.
fn drawn(plan: PlanId, about: &[u8], planned_at: Timestamp) -> [u8; 10] {
    let hash = Sha256::new()
        .chain_update(plan.uuid().as_bytes())
        .chain_update(about)
        .chain_update(planned_at.as_microsecond().to_be_bytes())
        .finalize();
    let mut ten = [0; 10];
    ten.copy_from_slice(&hash[..10]);
    ten
}

/// Says which occurrence of a plan was not started. Explanations find what was told of it by these words.
pub(super) fn not_started(plan: &Plan, planned_at: Timestamp) -> String {
    format!("plan {} was not started at {planned_at:.0}", plan.name)
}

/// Says of which occurrence of a plan an item was left out, as [`not_started`] does.
pub(super) fn left_out(plan: &Plan, item: &Item, planned_at: Timestamp) -> String {
    format!("backup of {} by plan {}, planned for {planned_at:.0}", item.name, plan.name)
}

/// Says how many older occurrences are passed over with this one: none is lost without a word.
fn missed_words(missed: u32) -> String {
    match missed {
        0 => String::new(),
        MISSED_COUNTED_MAX => format!(", in the place of {MISSED_COUNTED_MAX} or more that were missed"),
        missed => format!(", in the place of {missed} more that were missed"),
    }
}

pub(super) fn skip_event(
    context: &Context,
    plan: &Plan,
    (planned_at, missed): (Timestamp, u32),
    skip: &Skip,
    now: Timestamp,
) -> Event {
    let why = match skip {
        Skip::Paused => "the plan is paused".to_owned(),
        Skip::Missed { late } => format!("it would be {} and the plan does not catch up", delay_words(*late)),
    };
    let words = format!("{}{}: {why}", not_started(plan, planned_at), missed_words(missed));
    context.event(EventKind::Skipped, (plan.tenant_id, None, None), now, words)
}

async fn skipped_for(
    context: &Context,
    plan: &Plan,
    occurrence: &Occurrence,
    other: PlanId,
    now: Timestamp,
) -> Result<Event, StoreError> {
    let other = context.declarations.plan_get(other).await?;
    let words = format!(
        "{}{}: plan {} worked until its start window ended at {:.0}",
        not_started(plan, occurrence.planned_at),
        missed_words(occurrence.missed),
        other.name,
        occurrence.start_by
    );
    Ok(context.event(EventKind::Skipped, (plan.tenant_id, None, None), now, words))
}

fn item_event(
    context: &Context,
    plan: &Plan,
    item: &Item,
    occurrence: &Occurrence,
    why: &str,
    now: Timestamp,
) -> Event {
    let words = format!(
        "{}{}, was skipped: {why}",
        left_out(plan, item, occurrence.planned_at),
        missed_words(occurrence.missed)
    );
    context.event(EventKind::Skipped, (plan.tenant_id, None, Some(item.id)), now, words)
}

/// What a person wants of a plan's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseWish {
    /// Its occurrences are skipped and told from now on.
    Pause,
    /// They start again; what was skipped is not made up for.
    Resume,
}

/// Holds a plan back or lets it go on, and returns its state. Asking twice is asking once.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such plan.
pub async fn plan_pause(context: &Context, id: PlanId, wish: PauseWish) -> Result<ScheduleState, StoreError> {
    let plan = context.declarations.plan_get(id).await?;
    if plan.retired_at.is_some() {
        return Err(StoreError::Retired { noun: "plan", key: plan.name.to_string() });
    }
    let mut tries_left = PAUSE_TRIES;
    loop {
        let now = context.schedules.clock_read().await?;
        let state = context.schedules.schedule_get(id).await?;
        if state.paused_at.is_some() == (wish == PauseWish::Pause) {
            return Ok(state);
        }
        let (kind, word, paused_at) = match wish {
            PauseWish::Pause => (EventKind::Paused, "paused", Some(now)),
            PauseWish::Resume => (EventKind::Resumed, "resumed", None),
        };
        let words = format!("plan {} was {word}", plan.name);
        let told = context.event(kind, (plan.tenant_id, None, None), now, words);
        let wished = state.paused(paused_at, now);
        if context.schedules.schedule_put(&wished, &[told]).await? {
            return context.schedules.schedule_get(id).await;
        }
        tries_left -= 1;
        if tries_left == 0 {
            return Err(StoreError::Unavailable("the plan's schedule is being written by others".into()));
        }
    }
}

/// Declares a time in which nothing starts: of one tenant or of everybody.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such tenant.
pub async fn maintenance_declare(context: &Context, window: Maintenance) -> Result<MaintenanceRow, StoreError> {
    let row = MaintenanceRow { id: MaintenanceId::new(context.now(), context.ten()), window };
    context.schedules.maintenance_add(&row).await?;
    Ok(row)
}

/// Takes a maintenance window away; what it held back is looked at at once. Where that cannot be written any more, or a
/// tick beside it still sees the window, it is looked at within
/// [`HELD_LOOK_MAX`](crate::domain::schedule::HELD_LOOK_MAX).
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is none.
pub async fn maintenance_end(context: &Context, id: MaintenanceId) -> Result<(), StoreError> {
    context.schedules.maintenance_remove(id).await?;
    context.schedules.schedule_look_again().await.map(drop)
}

/// Looks at the store's clock. When it went back, what it had dated in the future comes nearer and all plans are looked at
/// anew; returned is with the look how many rows that were, none when it did not go back or another replica did all that.
/// `before` is the last look, and how long ago by a steady clock that was. A process that begins has none: then heartbeats
/// say how far the clock had come.
///
/// # Errors
/// [`StoreError`].
pub async fn clock_watch(
    context: &Context,
    before: Option<(ClockLook, Duration)>,
) -> Result<(ClockLook, Option<u64>), StoreError> {
    for _ in 0..CLOCK_TRIES {
        let seen = context.schedules.clock_look().await?;
        let Some(ClockJump::Back(by)) = jump_of(context, before, seen).await? else { return Ok((seen, None)) };
        // Before the dates: who dies in between leaves a step that the next one sees.
        let plans = context.schedules.schedule_look_again().await?;
        if let Some(rows) = context.schedules.dates_bring_nearer(seen, by).await? {
            return Ok((ClockLook { back: seen.back + by, ..seen }, Some(plans + rows)));
        }
    }
    let (key, by) = ("back".to_owned(), "others that see it go back all the time");
    Err(StoreError::Busy { noun: "clock", key, by: by.to_owned() })
}

/// Returns how the clock jumped, but for what others saw of it.
async fn jump_of(
    context: &Context,
    before: Option<(ClockLook, Duration)>,
    seen: ClockLook,
) -> Result<Option<ClockJump>, StoreError> {
    if let Some((before, elapsed)) = before {
        let done = seen.back.saturating_sub(before.back);
        return Ok(clock_jump(before.now.saturating_sub(done).unwrap_or(Timestamp::MIN), seen.now, elapsed));
    }
    let latest = context.schedules.heartbeat_latest().await?;
    // It was written so long before it ends, at the most.
    let written = latest.and_then(|end| end.checked_sub(LEASE_TTL).ok());
    Ok(written.and_then(|written| clock_jump(written, seen.now, Duration::ZERO)))
}
