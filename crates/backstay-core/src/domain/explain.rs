//! Why something ran, did not run, waits, is kept, and what is to come: in words, from the functions that decide.
//!
//! Nothing is decided here. Each line is what `due`, `meet`, `turns`, `forecast` or `keep` answered, so that an
//! explanation cannot say anything else than what happens. Who comes in: the API's explain pages and the CLI.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::digest::time_words;
use super::exclusion::{ALONE_HOLD_MAX, ALONE_PATIENCE, turns};
use super::fairness::{Admission, Candidate, Rules, Slot, Wait};
use super::id::JobId;
use super::job::{FailureClass, JobKind, JobState, Trigger};
use super::overlap::Meeting;
use super::repository::RepositoryAccess;
use super::rpo::{Age, Forecast};
use super::schedule::{
    Calendar, Due, Held, MISSED_COUNTED_MAX, Maintenance, Occurrence, Pause, Planned, Rhythm, Skip, delay_words, due,
    upcoming,
};

/// Ends of jobs that an estimate of a start looks at; beyond them nobody can say.
pub const STEPS_MAX: usize = 200;

/// Days that "the next month" has.
const MONTH_DAYS: u64 = 30;

/// Says of a plan what its schedule does now and in the next thirty days.
pub fn plan(plan: &Planned<'_>, calendar: &Calendar, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let mut lines = Vec::new();
    if plan.pause == Pause::Paused {
        lines.push("it is paused: its occurrences are skipped".to_owned());
    }
    if let Some(Held { reason, .. }) = calendar.held(plan.tenant_id, now) {
        lines.push(format!("nothing starts now: {reason}"));
    }
    lines.extend(due(plan, calendar, now).iter().map(|answer| due_words(answer, zone)));
    lines.extend(month(plan, calendar, now, zone));
    lines
}

/// Says what a tick does about an occurrence.
pub fn due_words(answer: &Due, zone: &TimeZone) -> String {
    match answer {
        Due::Start(found) => {
            let name = moment(found.planned_at, zone);
            let late = found.late.map_or(String::new(), |late| format!(", {}", delay_words(late)));
            let missed = match found.missed {
                0 => String::new(),
                MISSED_COUNTED_MAX => format!(", and stands for {MISSED_COUNTED_MAX} or more that were missed"),
                count => format!(", and stands for {count} that were missed"),
            };
            format!("the occurrence of {name} starts{late}{missed}")
        }
        Due::Skip { planned_at, skip: Skip::Paused, .. } => {
            format!("the occurrence of {} is skipped: the plan is paused", moment(*planned_at, zone))
        }
        Due::Skip { planned_at, skip: Skip::Missed { late }, .. } => format!(
            "the occurrence of {} is skipped: it would be {} and the plan does not catch up",
            moment(*planned_at, zone),
            delay_words(*late)
        ),
        Due::Hold { planned_at, reason, .. } => {
            format!("the occurrence of {} is held back: {reason}", moment(*planned_at, zone))
        }
    }
}

/// Says of an occurrence that waits for another plan's work how long it does.
pub fn waiting_words(waiting: &Occurrence, skipped_before: u32, zone: &TimeZone) -> String {
    let name = moment(waiting.planned_at, zone);
    match skipped_before {
        0 => {
            let until = moment(waiting.start_by, zone);
            format!("the occurrence of {name} waits for another plan's work and is skipped at {until}")
        }
        _ => format!(
            "the occurrence of {name} waits for another plan's work as long as it takes, because it was skipped the \
             last time"
        ),
    }
}

/// Says what the next thirty days of a plan look like.
fn month(plan: &Planned<'_>, calendar: &Calendar, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let until = now.saturating_add(Duration::from_secs(MONTH_DAYS * 86_400)).unwrap_or(Timestamp::MAX);
    let (starts, beyond) = split(upcoming(plan, now), until);
    let (Some((_, first)), Some((_, last))) = (starts.first(), starts.last()) else {
        let is_paused = plan.pause == Pause::Paused;
        return vec![match beyond {
            Some(_) if is_paused => format!("its schedule names nothing in the next {MONTH_DAYS} days"),
            Some(start_at) => {
                format!("it does not start in the next {MONTH_DAYS} days; then at {}", moment(start_at, zone))
            }
            None if *plan.schedule.rhythm() == Rhythm::OnRequest => "it starts on request only".to_owned(),
            None => "its schedule names a day that never comes: it starts on request only".to_owned(),
        }];
    };
    let span = format!("{} times, from {} to {}", starts.len(), moment(*first, zone), moment(*last, zone));
    if plan.pause == Pause::Paused {
        return vec![format!(
            "in the next {MONTH_DAYS} days its schedule names {span}; while it is paused none of them starts"
        )];
    }
    let held: Vec<String> =
        calendar.maintenance.iter().filter_map(|window| window_words(plan, calendar, window, &starts, zone)).collect();
    let lead = if held.is_empty() { "it starts" } else { "its schedule names" };
    [format!("in the next {MONTH_DAYS} days {lead} {span}")].into_iter().chain(held).collect()
}

/// Says what becomes of the starts that fall into a maintenance window: what a tick does about them when it ends. None
/// when none of these does.
fn window_words(
    plan: &Planned<'_>,
    calendar: &Calendar,
    window: &Maintenance,
    starts: &[(Timestamp, Timestamp)],
    zone: &TimeZone,
) -> Option<String> {
    let is_of = window.tenant_id.is_none_or(|tenant| tenant == plan.tenant_id);
    let mut inside =
        starts.iter().filter(|(_, start_at)| is_of && window.from <= *start_at && *start_at < window.until);
    let (first, _) = inside.next()?;
    let fall = format!("{} of them fall into maintenance `{}`", inside.count() + 1, window.name);
    if window.until == Timestamp::MAX {
        return Some(format!("{fall} and wait until a person ends it"));
    }
    // All that came before them is done by then.
    let before = first.saturating_sub(Duration::from_micros(1)).unwrap_or(Timestamp::MIN);
    let then = due(&Planned { last: Some(before), ..*plan }, calendar, window.until)?;
    Some(format!("{fall}; at {}, when it ends, {}", moment(window.until, zone), due_words(&then, zone)))
}

/// Returns the planned instants with their starts up to a moment, and the first start beyond it. No other is asked for:
/// each may take a search of years.
fn split(
    starts: impl Iterator<Item = (Timestamp, Timestamp)>,
    until: Timestamp,
) -> (Vec<(Timestamp, Timestamp)>, Option<Timestamp>) {
    let mut inside = Vec::new();
    for (planned_at, start_at) in starts {
        if start_at > until {
            return (inside, Some(start_at));
        }
        inside.push((planned_at, start_at));
    }
    (inside, None)
}

/// Says what an occurrence meets; the names are those of plans.
pub fn meeting_words(meeting: &Meeting, name: impl Fn(super::id::PlanId) -> String, zone: &TimeZone) -> String {
    match meeting {
        Meeting::Free => "nothing that it must not overlap is running".to_owned(),
        Meeting::Waits { plan_id, until: Some(until) } => {
            format!("it waits for {} and is skipped at {}", name(*plan_id), moment(*until, zone))
        }
        Meeting::Waits { plan_id, until: None } => {
            format!("it waits for {} as long as it takes, because it was skipped the last time", name(*plan_id))
        }
        Meeting::SkippedForItself { planned_at } => {
            format!("skipped: its own occurrence of {} is not done yet", moment(*planned_at, zone))
        }
        Meeting::SkippedForAnother { plan_id } => {
            format!("skipped: its start window ended while {} was running", name(*plan_id))
        }
    }
}

/// Says of an item how old its newest good snapshot is and what is to be expected.
pub fn item(age: Age, forecast: Forecast, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let newest = age.newest_at.map_or("it has no good snapshot".to_owned(), |at| {
        let old = Duration::try_from(now.duration_since(at)).unwrap_or(Duration::ZERO);
        format!("its newest good snapshot is of {}, {} ago", moment(at, zone), time_words(old))
    });
    vec![newest, forecast.words(zone, now)]
}

/// A running job with the moment at which it is expected to end.
#[derive(Debug, Clone)]
pub struct Running {
    /// The job.
    pub job: Candidate,
    /// When it is expected to end; in the past when it takes longer than its like.
    pub ends_at: Timestamp,
}

/// The queue as it is now, with what is known of its jobs' durations.
pub struct Queue<'a> {
    /// What waits.
    pub queued: &'a [Candidate],
    /// What runs.
    pub running: &'a [Running],
    /// By what it is gone through.
    pub rules: &'a Rules,
    /// Of each agent that is alive the kinds that it takes.
    pub agents: &'a [Vec<JobKind>],
    /// What a job is expected to need.
    pub expected: &'a dyn Fn(&Candidate) -> Duration,
}

/// Where a queued job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its place among all that wait, from 1.
    pub position: usize,
    /// How many wait.
    pub of: usize,
    /// Why it waits; none when it may start now.
    pub wait: Option<Wait>,
    /// When it is expected to start; none when nobody can say.
    pub starts_at: Option<Timestamp>,
}

impl Queue<'_> {
    /// Returns where a job stands: what a lease would say now, and after each expected end of a running job until its turn
    /// comes and an agent is there for it. None when it is not in the queue.
    pub fn place(&self, job: JobId, now: Timestamp) -> Option<Place> {
        let mut queued = self.queued.to_vec();
        let mut running = self.running.to_vec();
        let first = self.turns(&queued, &running, now);
        let line: Vec<JobId> = first.admitted.iter().copied().chain(first.waiting.iter().map(|(id, _)| *id)).collect();
        let position = line.iter().position(|id| *id == job)? + 1;
        let wait = first.waiting.into_iter().find(|(id, _)| *id == job).map(|(_, wait)| wait);
        let hands = Hands::of(self.agents, self.running);
        let mut clock = now;
        let mut starts_at = None;
        for _ in 0..STEPS_MAX {
            let admitted = self.turns(&queued, &running, clock).admitted;
            for id in admitted {
                let Some(at) = queued.iter().position(|one| one.job_id == id && hands.are_free(one.kind, &running))
                else {
                    continue;
                };
                let begun = queued.swap_remove(at);
                let ends_at = clock.saturating_add((self.expected)(&begun)).unwrap_or(Timestamp::MAX);
                starts_at = starts_at.or((begun.job_id == job).then_some(clock));
                running.push(Running { job: begun, ends_at });
            }
            let Some(next) = next_change(&queued, &running, clock).filter(|_| starts_at.is_none()) else { break };
            clock = next;
            running.retain(|running| running.ends_at > clock);
        }
        Some(Place { position, of: line.len(), wait, starts_at })
    }

    /// Returns what a lease would say. Where no agent is alive, what one would meet that takes everything.
    fn turns(&self, queued: &[Candidate], running: &[Running], now: Timestamp) -> Admission {
        let inside: Vec<Candidate> = running.iter().map(|running| running.job.clone()).collect();
        let taken = |kind: &JobKind| self.agents.is_empty() || self.agents.iter().any(|kinds| kinds.contains(kind));
        let kinds: Vec<JobKind> = JobKind::ALL.iter().filter(|kind| taken(kind)).copied().collect();
        turns(queued, &inside, self.rules, &kinds, now)
    }
}

/// Returns the next moment at which another job may start: one ends, or one that waits for its repository alone is
/// overtaken no more, or holds nobody back any more.
fn next_change(queued: &[Candidate], running: &[Running], now: Timestamp) -> Option<Timestamp> {
    let ends = running.iter().map(|running| running.ends_at.max(now));
    let alone = queued.iter().filter(|job| job.access == RepositoryAccess::Alone);
    let turns = alone.flat_map(|job| [ALONE_PATIENCE, ALONE_HOLD_MAX].map(|by| job.created_at.saturating_add(by)));
    ends.chain(turns.flatten().filter(|at| *at > now)).min()
}

/// How many jobs may run at a time by the agents that there are: as many as run now, or one an agent.
struct Hands {
    all: usize,
    by_kind: HashMap<JobKind, usize>,
}

impl Hands {
    fn of(agents: &[Vec<JobKind>], running: &[Running]) -> Self {
        let count = |kind: JobKind| {
            let taking = agents.iter().filter(|kinds| kinds.contains(&kind)).count();
            let busy = running.iter().filter(|running| running.job.kind == kind).count();
            if taking == 0 { 0 } else { taking.max(busy) }
        };
        let all = if agents.is_empty() { 0 } else { agents.len().max(running.len()) };
        Self { all, by_kind: JobKind::ALL.iter().map(|kind| (*kind, count(*kind))).collect() }
    }

    /// Says whether an agent is there for one more job of a kind.
    fn are_free(&self, kind: JobKind, running: &[Running]) -> bool {
        let busy = running.iter().filter(|running| running.job.kind == kind).count();
        running.len() < self.all && busy < self.by_kind.get(&kind).copied().unwrap_or(0)
    }
}

/// Says of a job why it exists, what it does now and what comes next. `place` is for a queued one.
pub fn job(trigger: &Trigger, state: &JobState, place: Option<&Place>, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let why = match trigger {
        Trigger::Occurrence(planned_at) => format!("its plan's schedule names {}", moment(*planned_at, zone)),
        Trigger::Request => "a person or a program asked for it".to_owned(),
        Trigger::FollowUp(job) => format!("job {job} asked for it when it ended"),
    };
    let mut lines = vec![why];
    match state {
        JobState::Queued { not_before } if *not_before > now => {
            lines.push(format!("it is not to start before {}", moment(*not_before, zone)));
        }
        JobState::Queued { .. } => lines.push("it waits for an agent".to_owned()),
        JobState::Leased { agent_id } => lines.push(format!("agent {agent_id} works at it")),
        JobState::Waiting { wake_at, reason } => {
            lines.push(format!("it waits until {}: {reason}", moment(*wake_at, zone)));
        }
        JobState::Succeeded { outcome, finished_at } => {
            lines.push(format!("it succeeded at {}: {}", moment(*finished_at, zone), outcome.word()));
        }
        JobState::Failed { class, message, finished_at } => {
            lines.push(format!("it failed at {}: {message}", moment(*finished_at, zone)));
            lines.push(format!("it is not tried again: {}", class_words(*class)));
        }
        JobState::Damaged { message, finished_at } => {
            lines.push(format!("it found harm at {}: {message}", moment(*finished_at, zone)));
        }
        JobState::Cancelling { agent_id } => lines.push(format!("agent {agent_id} was asked to stop")),
        JobState::Cancelled { finished_at } => {
            lines.push(format!("a person ended it at {}", moment(*finished_at, zone)));
        }
        JobState::Parked { class, message } => {
            lines.push(format!("it failed too often in one way: {message}"));
            lines.push(format!("it stays until a person or a change of the plan lifts it: {}", class_words(*class)));
        }
    }
    if let (JobState::Queued { .. }, Some(place)) = (state, place) {
        lines.push(format!("it is number {} of {} in the queue", place.position, place.of));
        lines.extend(place.wait.as_ref().map(wait_words));
        lines.push(match place.starts_at {
            Some(at) if at <= now => "an agent that is free takes it now".to_owned(),
            Some(at) => format!("it is expected to start at {}", moment(at, zone)),
            None => "nobody can say yet when it starts".to_owned(),
        });
    }
    lines
}

/// Says why a queued job waits.
pub fn wait_words(wait: &Wait) -> String {
    match wait {
        Wait::Repository { job_id } => format!("job {job_id} holds its repository"),
        Wait::Behind { job_id } => format!("job {job_id} goes before it and waits for the repository alone"),
        Wait::Overlap { job_id } => format!("job {job_id} runs, and the plans of the two may not overlap"),
        Wait::Agent { kind } => format!("no agent that is alive takes jobs of kind {}", kind.word()),
        Wait::Cap { slot, cap } => {
            let of = match slot {
                Slot::Global => "in the installation".to_owned(),
                Slot::Tenant(_) => "of its tenant".to_owned(),
                Slot::Host(host) => format!("on host {host}"),
                Slot::Repository(_) => "on its repository".to_owned(),
                Slot::Endpoint(endpoint) => format!("at storage {endpoint}"),
                Slot::Kind(kind) => format!("of kind {}", kind.word()),
            };
            format!("{cap} jobs may run at a time {of}, and they do")
        }
    }
}

const fn class_words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Source => "look at the source",
        FailureClass::Storage => "look at the storage",
        FailureClass::StorageFull => "make room on the storage, or prune",
        FailureClass::Repository => "verify the repository",
        FailureClass::RepositoryMissing => "the repository is not where it was",
        FailureClass::Password => "look at the repository's password",
        FailureClass::Target => "look at the restore's target",
        FailureClass::AgentLost => "agents end while they work at it; look at their memory and their logs",
        FailureClass::Hook => "look at the hooks of its plan; `backstay plan show` has them",
        FailureClass::Stalled => "see what hangs, the source or the storage, or raise the plan's stall limit",
        FailureClass::Quota => "forget and prune snapshots, or raise the tenant's quota",
        FailureClass::Internal => "this is a fault of ours; please tell us",
    }
}

/// Returns a moment as people read it.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests;
