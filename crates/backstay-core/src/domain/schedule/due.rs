//! What is to start now, and what will start.
//!
//! Nothing here walks through the past: the newest occurrence is found at once, however long the installation was
//! down. [`next_due_at`] is what a store keeps in an indexed column, so that a tick costs what is due.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::cron::Moments;
use super::{Calendar, CatchUp, Held, Rhythm, Schedule};
use crate::domain::id::{PlanId, TenantId};

/// Missed occurrences that are counted one by one; beyond it a person is told "at least".
pub const MISSED_COUNTED_MAX: u32 = 100;

/// A difference between a wall clock and a steady one that is a jump: more than drift and a slow disk explain.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(300);

/// Whether a plan is held back by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It runs.
    Running,
    /// Its occurrences are skipped and told, and not made up for.
    Paused,
}

/// A plan as the scheduler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// The plan.
    pub plan_id: PlanId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// When.
    pub schedule: &'a Schedule,
    /// When the plan was made: intervals count from here, and nothing before it was missed.
    pub created_at: Timestamp,
    /// Whether a person holds it back.
    pub pause: Pause,
    /// The planned instant of the newest occurrence that was started or skipped; none before the first.
    pub last: Option<Timestamp>,
}

/// An occurrence that is to become jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// Its name: the planned instant, without jitter.
    pub planned_at: Timestamp,
    /// Its jobs are not leased before this moment.
    pub not_before: Timestamp,
    /// Its start window ends here: what waits for another plan is skipped then.
    pub start_by: Timestamp,
    /// How late it is; none when it is in its start window.
    pub late: Option<Duration>,
    /// How many older ones it stands for, counted up to [`MISSED_COUNTED_MAX`].
    pub missed: u32,
}

/// Why an occurrence does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// A person paused the plan.
    Paused,
    /// Its window passed and the plan does not catch up.
    Missed {
        /// How late it would have been.
        late: Duration,
    },
}

/// What a tick does about one plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Jobs are enqueued under this name.
    Start(Occurrence),
    /// It is told and counts as done.
    Skip {
        /// Its name.
        planned_at: Timestamp,
        /// Why.
        skip: Skip,
        /// How many older ones it stands for, counted up to [`MISSED_COUNTED_MAX`]: they are told with it.
        missed: u32,
    },
    /// It is looked at again when the reason is gone; then it is on time, caught up or missed.
    Hold {
        /// Its name.
        planned_at: Timestamp,
        /// Why, in words.
        reason: String,
        /// When the reason ends by itself; none when a person must end it.
        until: Option<Timestamp>,
    },
}

/// Returns what a tick does about one plan; none when it is not due.
///
/// A `last` of the future was written by a clock that ran ahead: it holds nothing back, and the unique key on the
/// planned instant keeps what was done from being done again.
pub fn due(plan: &Planned<'_>, calendar: &Calendar, now: Timestamp) -> Option<Due> {
    let shift = jitter_of(plan.plan_id, plan.schedule.jitter());
    let seen_until = minus(now, shift);
    let planned_at = newest(plan, seen_until)?;
    // One of less than the jitter ago is no planned instant: the schedule was changed then.
    let last = plan.last.filter(|last| *last <= now);
    if last.is_some_and(|last| planned_at <= last) {
        return None;
    }
    if let Some(Held { reason, until }) = calendar.held(plan.tenant_id, now) {
        return Some(Due::Hold { planned_at, reason, until });
    }
    if plan.pause == Pause::Paused {
        return Some(Due::Skip { planned_at, skip: Skip::Paused, missed: missed(plan, last, planned_at) });
    }
    let start_at = plus(planned_at, shift);
    let start_by = plus(start_at, plan.schedule.start_window());
    if now <= start_by {
        let missed = missed(plan, last, planned_at);
        return Some(Due::Start(Occurrence { planned_at, not_before: start_at, start_by, late: None, missed }));
    }
    let late = between(start_at, now);
    Some(match plan.schedule.catch_up() {
        CatchUp::Never => Due::Skip { planned_at, skip: Skip::Missed { late }, missed: missed(plan, last, planned_at) },
        CatchUp::Once => {
            // After downtime every plan is late at once: jitter spreads them again, counted from now.
            let not_before = plus(now, shift);
            let start_by = plus(not_before, plan.schedule.start_window());
            let missed = missed(plan, last, planned_at);
            Due::Start(Occurrence { planned_at, not_before, start_by, late: Some(late), missed })
        }
    })
}

/// Returns the planned instants of the next `count` occurrences after `after`, oldest first, each with its start.
pub fn next(plan: &Planned<'_>, after: Timestamp, count: usize) -> Vec<(Timestamp, Timestamp)> {
    upcoming(plan, after).take(count).collect()
}

/// Returns the same of all occurrences to come, each looked for when it is asked for: of a rare one the next may be years
/// away.
pub fn upcoming(plan: &Planned<'_>, after: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let shift = jitter_of(plan.plan_id, plan.schedule.jitter());
    following(plan, minus(after, shift)).map(move |planned_at| (planned_at, plus(planned_at, shift)))
}

/// Returns the moment from which on `due` has something to say about the plan, after all that was done up to `after`:
/// what a store keeps in an indexed column. None for a plan on request. To be computed anew when the plan changes, and
/// for all plans when [`clock_jump`] sees a clock go back.
pub fn next_due_at(plan: &Planned<'_>, after: Timestamp) -> Option<Timestamp> {
    next(plan, after, 1).first().map(|(_, start_at)| *start_at)
}

/// Returns the first moment after another that a schedule names, where intervals count from that other one; none for a
/// schedule that names none.
pub fn after(schedule: &Schedule, from: Timestamp) -> Option<Timestamp> {
    match schedule.rhythm() {
        Rhythm::OnRequest => None,
        Rhythm::Every(interval) => Some(plus(from, *interval)),
        Rhythm::Cron(expression) => Moments::new(expression, zone(schedule)).ok()?.after(from).next(),
    }
}

/// Returns the delay of a plan's occurrences, the same for each and for ever: from zero up to `jitter`.
pub fn jitter_of(plan: PlanId, jitter: Duration) -> Duration {
    let hash = Sha256::digest(plan.uuid().as_bytes());
    let number = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let millis = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(number % (millis + 1))
}

/// What a wall clock did between two looks, beside a steady clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockJump {
    /// It went forward; what lies between is coalesced into one run a plan.
    Forward(Duration),
    /// It went back; each plan's next moment is computed anew.
    Back(Duration),
}

/// Returns how a wall clock jumped between two looks that were `elapsed` of steady time apart; none when it went on as
/// it should.
pub fn clock_jump(before: Timestamp, now: Timestamp, elapsed: Duration) -> Option<ClockJump> {
    let expected = plus(before, elapsed);
    let (jump, length): (fn(Duration) -> ClockJump, Duration) = if now >= expected {
        (ClockJump::Forward, between(expected, now))
    } else {
        (ClockJump::Back, between(now, expected))
    };
    (length >= CLOCK_JUMP_MIN).then(|| jump(length))
}

/// Returns what a moment is that was written before the clock went back by a length: one that is to come is that much
/// nearer, now at the nearest; the end of time stays.
pub fn nearer(at: Timestamp, now: Timestamp, by: Duration) -> Timestamp {
    if at <= now || at == Timestamp::MAX { at } else { minus(at, by).max(now) }
}

/// Returns how late something is, in words: `late by 3h 20m`.
pub fn delay_words(late: Duration) -> String {
    let minutes = late.as_secs() / 60;
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("late by {minutes}m"),
        (0, hours, minutes) => format!("late by {hours}h {minutes}m"),
        (days, hours, _) => format!("late by {days}d {hours}h"),
    }
}

/// Returns the newest planned instant that is not after `until`; none when there is none since the plan was made.
fn newest(plan: &Planned<'_>, until: Timestamp) -> Option<Timestamp> {
    let found = match plan.schedule.rhythm() {
        Rhythm::OnRequest => None,
        Rhythm::Every(interval) => {
            let steps = micros(until).checked_sub(micros(plan.created_at))?.div_euclid(length(*interval));
            step(plan.created_at, *interval, steps)
        }
        Rhythm::Cron(expression) => Moments::new(expression, zone(plan.schedule)).ok()?.newest(until),
    };
    found.filter(|found| *found >= plan.created_at)
}

/// Returns the planned instants after `after`, and not before the plan was made, oldest first.
fn following(plan: &Planned<'_>, after: Timestamp) -> Box<dyn Iterator<Item = Timestamp>> {
    let created_at = plan.created_at;
    let after = after.max(minus(created_at, Duration::from_micros(1)));
    match plan.schedule.rhythm() {
        Rhythm::OnRequest => Box::new(std::iter::empty()),
        Rhythm::Every(interval) => {
            let interval = *interval;
            let steps = (micros(after) - micros(created_at)).div_euclid(length(interval));
            Box::new((steps + 1..).map_while(move |steps| step(created_at, interval, steps)))
        }
        Rhythm::Cron(expression) => match Moments::new(expression, zone(plan.schedule)) {
            Ok(moments) => Box::new(moments.after(after)),
            Err(_) => Box::new(std::iter::empty()),
        },
    }
}

/// Counts the occurrences that `planned_at` stands for besides itself.
fn missed(plan: &Planned<'_>, last: Option<Timestamp>, planned_at: Timestamp) -> u32 {
    if plan.last.is_some() && last.is_none() {
        // The clock went back: what lies between is known to the clock that was ahead.
        return 0;
    }
    let from = last.unwrap_or_else(|| minus(plan.created_at, Duration::from_micros(1)));
    let between = following(plan, from).take_while(|next| *next < planned_at);
    between.take(MISSED_COUNTED_MAX as usize).count() as u32
}

fn zone(schedule: &Schedule) -> TimeZone {
    // It was judged when the schedule was made. Should this machine's database know it no more, a backup at another
    // hour is better than none.
    TimeZone::get(schedule.time_zone()).unwrap_or(TimeZone::UTC)
}

fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Returns an interval in microseconds: never zero, whatever it is.
fn length(interval: Duration) -> i64 {
    i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1)
}

fn step(epoch: Timestamp, interval: Duration, steps: i64) -> Option<Timestamp> {
    let offset = i64::try_from(interval.as_micros()).ok()?.checked_mul(steps)?;
    Timestamp::from_microsecond(micros(epoch).checked_add(offset)?).ok()
}

fn plus(at: Timestamp, length: Duration) -> Timestamp {
    at.saturating_add(length).unwrap_or(Timestamp::MAX)
}

fn minus(at: Timestamp, length: Duration) -> Timestamp {
    at.saturating_sub(length).unwrap_or(Timestamp::MIN)
}

fn between(from: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(from)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;
