//! How far a plan's schedule is worked off: what a tick reads, decides on and writes back.

use std::time::Duration;

use jiff::Timestamp;

use super::due::{Due, MISSED_COUNTED_MAX, Occurrence, Pause, Planned, Skip, due, jitter_of, next_due_at};
use super::{Calendar, CatchUp, Held, Rhythm};
use crate::domain::id::PlanId;
use crate::domain::plan::Plan;

/// How soon a tick looks again at an occurrence that waits for another plan's work, or at a plan that could not be
/// worked on: a start may be late by this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// How long a plan that is held back stays so at most after its window was taken away, whoever died while taking it
/// away or looked at a calendar that still had it.
pub const HELD_LOOK_MAX: Duration = Duration::from_secs(15 * 60);

/// By how much of that the looks at plans that are held together lie apart: a million of them cost each tick a few.
const HELD_LOOK_JITTER: Duration = Duration::from_secs(5 * 60);

/// How far a plan's schedule is worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleState {
    /// The plan.
    pub plan_id: PlanId,
    /// The planned instant of the newest occurrence that was started or skipped; none before the first.
    pub last_planned_at: Option<Timestamp>,
    /// When a tick looks at the plan again; none when only a change of the plan brings work.
    pub next_due_at: Option<Timestamp>,
    /// Since when a person holds it back; none while it runs.
    pub paused_at: Option<Timestamp>,
    /// An occurrence that waits for another plan's work; none when none does.
    pub waiting: Option<Occurrence>,
    /// How many occurrences in a row were skipped for other plans.
    pub skipped_before: u32,
    /// Grows with each write: a writer names the one that it saw.
    pub revision: u64,
}

impl ScheduleState {
    /// Returns the state of a plan that was made now: a tick looks at it at once.
    pub const fn new(plan_id: PlanId, now: Timestamp) -> Self {
        Self {
            plan_id,
            last_planned_at: None,
            next_due_at: Some(now),
            paused_at: None,
            waiting: None,
            skipped_before: 0,
            revision: 0,
        }
    }

    /// Returns the plan as the pure rules see it.
    pub fn planned<'a>(&self, plan: &'a Plan) -> Planned<'a> {
        Planned {
            plan_id: plan.id,
            tenant_id: plan.tenant_id,
            schedule: &plan.schedule,
            created_at: plan.created_at,
            pause: if self.paused_at.is_some() { Pause::Paused } else { Pause::Running },
            last: self.last_planned_at,
        }
    }

    /// Returns what a tick does about the plan; none when nothing is due. An occurrence that waits comes before newer
    /// ones, which are looked at when it has started or was skipped.
    pub fn look(&self, plan: &Plan, calendar: &Calendar, now: Timestamp) -> Option<Due> {
        // One that is planned for later was put there before the clock went back, and is named again.
        let waiting = self.waiting.filter(|waiting| waiting.planned_at <= now);
        let Some(waiting) = waiting else { return due(&self.planned(plan), calendar, now) };
        let Occurrence { planned_at, start_by, missed, .. } = waiting;
        let is_over = self.skipped_before == 0 && now > plus(start_by, LOOK_AGAIN_AFTER);
        Some(match (calendar.held(plan.tenant_id, now), self.paused_at) {
            (Some(Held { reason, until }), _) => Due::Hold { planned_at, reason, until },
            (None, Some(_)) => Due::Skip { planned_at, skip: Skip::Paused, missed },
            (None, None) if is_over && plan.schedule.catch_up() == CatchUp::Never => {
                let late = Duration::try_from(now.duration_since(planned_at)).unwrap_or_default();
                Due::Skip { planned_at, skip: Skip::Missed { late }, missed }
            }
            (None, None) => Due::Start(nearer_of(waiting, plan, now)),
        })
    }

    /// Returns the state after an occurrence was started or skipped.
    #[must_use]
    pub fn done(&self, plan: &Plan, planned_at: Timestamp, now: Timestamp) -> Self {
        // What was due before another schedule is done after that was made; one of the future is of a clock that went back.
        let last = self.last_planned_at.filter(|last| *last <= now).map_or(planned_at, |last| last.max(planned_at));
        let after = Self { last_planned_at: Some(last), waiting: None, ..self.clone() };
        // While one waited, newer ones may have come.
        let next = if self.waiting.is_some() { Some(now) } else { next_due_at(&after.planned(plan), now) };
        Self { next_due_at: next, ..after }
    }

    /// Returns the state while an occurrence waits for another plan's work.
    #[must_use]
    pub fn wait(&self, occurrence: Occurrence, now: Timestamp) -> Self {
        Self { waiting: Some(occurrence), next_due_at: Some(plus(now, LOOK_AGAIN_AFTER)), ..self.clone() }
    }

    /// Returns the state while nothing may start: it is looked at again when the reason ends, and before that now and
    /// then ([`HELD_LOOK_MAX`]), at a distance of each plan's own. A plan that is held for a week costs a tick in ten
    /// to fifteen minutes one look, and not one in fifteen seconds.
    #[must_use]
    pub fn held(&self, until: Option<Timestamp>, now: Timestamp) -> Self {
        let soon = plus(now, LOOK_AGAIN_AFTER);
        let at_last = plus(now, HELD_LOOK_MAX - jitter_of(self.plan_id, HELD_LOOK_JITTER));
        Self { next_due_at: Some(until.map_or(soon, |until| until.clamp(soon, at_last))), ..self.clone() }
    }

    /// Returns the state when nothing is due.
    #[must_use]
    pub fn rest(&self, plan: &Plan, now: Timestamp) -> Self {
        Self { next_due_at: next_due_at(&self.planned(plan), now), ..self.clone() }
    }

    /// Returns the state after a person held the plan back, or let it go on: what was due meanwhile was skipped.
    #[must_use]
    pub fn paused(&self, paused_at: Option<Timestamp>, now: Timestamp) -> Self {
        Self { paused_at, next_due_at: Some(now), ..self.clone() }
    }

    /// Returns the state after the plan got another schedule. What the new one names before now was not missed; what the old
    /// one named and nobody could start yet is started, unless the plan has no schedule any more. Where both name the same
    /// moments all goes on as it was.
    #[must_use]
    pub fn rescheduled(&self, (old, new): (&Plan, &Plan), now: Timestamp) -> Self {
        let changed = Self { next_due_at: Some(now), ..self.clone() };
        let names = |plan: &Plan| (plan.schedule.rhythm().clone(), plan.schedule.time_zone().to_owned());
        if names(old) == names(new) {
            return changed;
        }
        let came = due(&self.planned(old), &Calendar::default(), now).and_then(|due| match due {
            Due::Start(occurrence) => Some(occurrence),
            // It is told why it does not start.
            Due::Skip { planned_at, missed, .. } => {
                let (not_before, start_by) = (planned_at, planned_at);
                Some(Occurrence { planned_at, not_before, start_by, late: None, missed })
            }
            Due::Hold { .. } => None,
        });
        let named = match (self.waiting, came) {
            // One alone waits: the newer one, which stands for the other then.
            (Some(waits), Some(newer)) if newer.planned_at > waits.planned_at => Some(self.in_the_place(waits, newer)),
            (waits, newer) => waits.or(newer),
        };
        let last_planned_at = Some(self.last_planned_at.map_or(now, |last| last.max(now)));
        let waiting = named.filter(|_| *new.schedule.rhythm() != Rhythm::OnRequest);
        Self { last_planned_at, waiting, ..changed }
    }

    /// Returns a newer occurrence as one that stands for an older one as well, which waits.
    fn in_the_place(&self, waits: Occurrence, newer: Occurrence) -> Occurrence {
        // One that waits since before another change of the schedule is not among those that the newer one counts.
        let is_counted = self.last_planned_at.is_none_or(|last| waits.planned_at > last);
        let older = if is_counted { 0 } else { waits.missed.saturating_add(1) };
        Occurrence { missed: newer.missed.saturating_add(older).min(MISSED_COUNTED_MAX), ..newer }
    }
}

/// Returns an occurrence that starts no later than the plan's jitter from now: a clock that went back leaves others behind.
fn nearer_of(occurrence: Occurrence, plan: &Plan, now: Timestamp) -> Occurrence {
    let latest = plus(now, plan.schedule.jitter());
    let by = Duration::try_from(occurrence.not_before.duration_since(latest)).unwrap_or_default();
    let back = |at: Timestamp| at.checked_sub(by).unwrap_or(at);
    Occurrence { not_before: back(occurrence.not_before), start_by: back(occurrence.start_by), ..occurrence }
}

fn plus(at: Timestamp, length: Duration) -> Timestamp {
    at.saturating_add(length).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{RepositoryId, SourceId, TenantId};
    use crate::domain::schedule::{OverlapKey, Schedule};

    fn at(text: &str) -> Timestamp {
        format!("2026-06-{}:00Z", text).parse().unwrap()
    }

    fn plan(rhythm: &str) -> Plan {
        let epoch = Timestamp::UNIX_EPOCH;
        let schedule = Schedule::new(rhythm.parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan);
        Plan {
            id: PlanId::new(epoch, [1; 10]),
            tenant_id: TenantId::new(epoch, [2; 10]),
            name: "daily".parse().unwrap(),
            source_id: SourceId::new(epoch, [3; 10]),
            repository_id: RepositoryId::new(epoch, [4; 10]),
            template: None,
            said: crate::domain::template::Said::default(),
            schedule: schedule.unwrap(),
            retention: crate::domain::retention::RetentionPolicy::default(),
            backup: crate::domain::backup::BackupTerms::default(),
            rpo: Duration::from_secs(86_400),
            created_at: at("01T00:00"),
            moved_at: None,
            retired_at: None,
        }
    }

    fn next(state: &ScheduleState) -> String {
        state.next_due_at.map_or("never".to_owned(), |at| at.strftime("%dT%H:%M:%S").to_string())
    }

    fn look(state: &ScheduleState, plan: &Plan, now: &str) -> String {
        match state.look(plan, &Calendar::default(), at(now)) {
            None => "nothing".to_owned(),
            Some(Due::Start(occurrence)) => format!("start {}", occurrence.planned_at.strftime("%dT%H:%M")),
            Some(Due::Skip { planned_at, skip, .. }) => format!("skip {} {skip:?}", planned_at.strftime("%dT%H:%M")),
            Some(Due::Hold { planned_at, .. }) => format!("hold {}", planned_at.strftime("%dT%H:%M")),
        }
    }

    #[test]
    fn a_plan_is_looked_at_when_something_is_due() {
        let nightly = plan("30 2 * * *");
        let made = ScheduleState::new(nightly.id, nightly.created_at);
        assert_eq!(look(&made, &nightly, "01T00:00"), "nothing");
        let rests = made.rest(&nightly, at("01T00:00"));
        assert_eq!(next(&rests), "01T02:30:00");
        assert_eq!(look(&rests, &nightly, "01T02:30"), "start 01T02:30");
        let done = rests.done(&nightly, at("01T02:30"), at("01T02:31"));
        assert_eq!(next(&done), "02T02:30:00");
        assert_eq!(look(&done, &nightly, "01T02:31"), "nothing");
        let on_request = plan("");
        let rests = made.rest(&on_request, at("01T00:00"));
        assert_eq!(next(&rests), "never");
    }

    #[test]
    fn one_that_waits_comes_before_newer_ones() {
        let hourly = plan("0 * * * *");
        let state = ScheduleState::new(hourly.id, hourly.created_at);
        let Some(Due::Start(first)) = state.look(&hourly, &Calendar::default(), at("01T00:00")) else { panic!() };
        let waits = state.wait(first, at("01T00:00"));
        assert_eq!(next(&waits), "01T00:00:15");
        assert_eq!(look(&waits, &hourly, "01T01:10"), "start 01T00:00");
        let done = waits.done(&hourly, first.planned_at, at("01T01:10"));
        assert_eq!(
            (next(&done).as_str(), look(&done, &hourly, "01T01:10").as_str()),
            ("01T01:10:00", "start 01T01:00")
        );
        let stopped = waits.paused(Some(at("01T00:20")), at("01T00:20"));
        assert_eq!(look(&stopped, &hourly, "01T00:20"), "skip 01T00:00 Paused");
    }

    #[test]
    fn another_schedule_has_missed_nothing() {
        let (nightly, morning) = (plan("30 2 * * *"), plan("0 9 * * *"));
        let done = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("03T02:30"), at("03T02:31"));
        let changed = done.rescheduled((&nightly, &morning), at("03T15:00"));
        assert_eq!(
            (look(&changed, &morning, "03T15:00").as_str(), next(&changed).as_str()),
            ("nothing", "03T15:00:00")
        );
        assert_eq!(look(&changed, &morning, "04T09:00"), "start 04T09:00");
    }

    /// Red when a change of the schedule drops what waits, or what is due and held back.
    #[test]
    fn what_was_due_before_another_schedule_is_started() {
        let (nightly, morning, on_request) = (plan("30 2 * * *"), plan("0 9 * * *"), plan(""));
        let done = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("02T02:30"), at("02T02:31"));
        let changed = done.rescheduled((&nightly, &morning), at("03T08:00"));
        assert_eq!(look(&changed, &morning, "03T08:00"), "start 03T02:30", "held until somebody changed it");
        let after = changed.done(&morning, at("03T02:30"), at("03T08:00"));
        assert_eq!(look(&after, &morning, "03T08:10"), "nothing");
        assert_eq!(look(&after, &morning, "03T09:00"), "start 03T09:00");
        assert_eq!(
            look(&done.rescheduled((&nightly, &on_request), at("03T08:00")), &on_request, "03T08:00"),
            "nothing"
        );

        let wide = Plan {
            schedule: nightly.schedule.clone().with_start_window(Duration::from_secs(7_200)),
            ..nightly.clone()
        };
        let same = done.rescheduled((&nightly, &wide), at("03T03:00"));
        assert_eq!(look(&same, &wide, "03T03:00"), "start 03T02:30", "the same moments are named");
        let Some(Due::Start(first)) = done.look(&nightly, &Calendar::default(), at("03T02:31")) else { panic!() };
        let waits = done.wait(first, at("03T02:31"));
        assert_eq!(look(&waits.rescheduled((&nightly, &wide), at("03T02:40")), &wide, "03T02:40"), "start 03T02:30");
        assert_eq!(
            look(&waits.rescheduled((&nightly, &morning), at("03T02:40")), &morning, "03T02:40"),
            "start 03T02:30"
        );
    }

    /// Red when a change of the schedule drops what came after an occurrence that waits, or does not count the one that waits.
    #[test]
    fn what_came_while_one_waited_stands_for_it_after_a_change() {
        let (nightly, morning, noon) = (plan("30 2 * * *"), plan("0 9 * * *"), plan("0 12 * * *"));
        let done = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("02T02:30"), at("02T02:31"));
        let Some(Due::Start(first)) = done.look(&nightly, &Calendar::default(), at("03T02:31")) else { panic!() };
        let waits = done.wait(first, at("03T02:31"));
        let missed = |state: &ScheduleState| state.waiting.map(|waiting| waiting.missed);
        let changed = waits.rescheduled((&nightly, &morning), at("05T08:00"));
        assert_eq!((look(&changed, &morning, "05T08:00").as_str(), missed(&changed)), ("start 05T02:30", Some(2)));
        // It waits on while another two of the new one come, and that is changed as well.
        let again = changed.rescheduled((&morning, &noon), at("06T10:00"));
        assert_eq!((look(&again, &noon, "06T10:00").as_str(), missed(&again)), ("start 06T09:00", Some(4)));
        assert_eq!(look(&again.done(&noon, at("06T09:00"), at("06T10:00")), &noon, "06T12:00"), "start 06T12:00");
    }

    /// Red when an occurrence that waits since before the clock went back is started ahead of its time.
    #[test]
    fn one_that_waits_in_the_future_is_named_again() {
        let nightly = plan("30 2 * * *");
        let state = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("03T02:30"), at("03T02:31"));
        let Some(Due::Start(ahead)) = state.look(&nightly, &Calendar::default(), at("04T02:30")) else { panic!() };
        let waits = state.wait(ahead, at("04T02:30"));
        assert_eq!(look(&waits, &nightly, "03T02:40"), "nothing");
        assert_eq!(look(&waits, &nightly, "04T02:30"), "start 04T02:30");
    }

    /// Red when what waits is made anew at each look because it may not start yet, when what was kept sets a new schedule back,
    /// and when a change makes up for what the new schedule names before it.
    #[test]
    fn what_is_late_and_spread_keeps_its_place() {
        let jitter = Duration::from_secs(3_600);
        let of = |rhythm: &str| Plan {
            schedule: Schedule::new(rhythm.parse().unwrap(), "UTC".to_owned(), jitter, OverlapKey::Plan).unwrap(),
            ..plan(rhythm)
        };
        let (nightly, dawn) = (of("30 2 * * *"), of("0 5 * * *"));
        let state = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("02T02:30"), at("02T03:40"));
        let Some(Due::Start(late)) = state.look(&nightly, &Calendar::default(), at("03T09:00")) else { panic!() };
        assert!(late.not_before > at("03T09:00") && late.late.is_some(), "{late:?}");
        let waits = state.wait(late, at("03T09:00"));
        let again = waits.look(&nightly, &Calendar::default(), at("03T09:01"));
        assert_eq!(again, Some(Due::Start(late)), "the same one, with its window");

        let changed = state.rescheduled((&nightly, &dawn), at("03T08:00"));
        assert_eq!(look(&changed, &dawn, "03T08:00"), "start 03T02:30");
        let done = changed.done(&dawn, at("03T02:30"), at("03T08:01"));
        assert_eq!(look(&done, &dawn, "03T08:01"), "nothing", "05:00 was before the change");
        assert_eq!(look(&done, &dawn, "04T06:00"), "start 04T05:00");
        let fresh = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("03T02:30"), at("03T03:40"));
        assert_eq!(look(&fresh.rescheduled((&nightly, &dawn), at("03T08:00")), &dawn, "03T08:00"), "nothing");
    }

    /// Red when a plan that does not catch up starts late, or is passed over without a word, because its schedule changed.
    #[test]
    fn what_is_not_caught_up_is_told_after_another_schedule() {
        let never = |rhythm: &str| Plan {
            schedule: plan(rhythm).schedule.with_start_window(Duration::from_secs(1_800)).with_catch_up(CatchUp::Never),
            ..plan(rhythm)
        };
        let (nightly, morning) = (never("30 2 * * *"), never("0 9 * * *"));
        let done = ScheduleState::new(nightly.id, nightly.created_at).done(&nightly, at("02T02:30"), at("02T02:31"));
        for changed_at in ["03T02:45", "03T04:00"] {
            let changed = done.rescheduled((&nightly, &morning), at(changed_at));
            let told = look(&changed, &morning, "03T08:00");
            assert!(told.starts_with("skip 03T02:30 Missed"), "{changed_at}: {told}");
        }
        let in_time = done.rescheduled((&nightly, &morning), at("03T02:45"));
        assert_eq!(look(&in_time, &morning, "03T02:50"), "start 03T02:30");
    }
}
