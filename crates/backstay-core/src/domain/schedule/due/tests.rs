//! Tests of what is due: cases in text, both changes of the clocks, and clocks that jump.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::schedule::{Maintenance, OverlapKey};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn plan_id(number: u8) -> PlanId {
    PlanId::new(Timestamp::UNIX_EPOCH, [number; 10])
}

fn tenant() -> TenantId {
    TenantId::new(Timestamp::UNIX_EPOCH, [1; 10])
}

/// Reads `30 2 * * * Europe/Zurich`, `every 6h UTC`: the last word is the zone.
fn schedule(text: &str) -> Schedule {
    let (rhythm, zone) = text.rsplit_once(' ').unwrap();
    Schedule::new(rhythm.parse().unwrap(), zone.to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap()
}

fn planned(schedule: &Schedule) -> Planned<'_> {
    let created_at = at("2026-01-01T00:00:00Z");
    let (plan_id, tenant_id) = (plan_id(1), tenant());
    Planned { plan_id, tenant_id, schedule, created_at, pause: Pause::Running, last: None }
}

/// What follows a moment, in the schedule's zone.
fn check_next(text: &str, after: &str, expected: &str) {
    let schedule = schedule(text);
    let found = next(&planned(&schedule), at(after), expected.split(", ").count());
    let found: Vec<String> = found
        .iter()
        .map(|(planned_at, _)| planned_at.to_zoned(zone(&schedule)).strftime("%m-%dT%H:%M%:z").to_string())
        .collect();
    assert_eq!(found.join(", "), expected, "{text}");
}

#[test]
fn what_comes_next() {
    check_next("30 2 * * * UTC", "2026-06-01T02:30:00Z", "06-02T02:30+00:00, 06-03T02:30+00:00");
    check_next("@daily Asia/Tokyo", "2026-06-01T00:00:00Z", "06-02T00:00+09:00, 06-03T00:00+09:00");
    check_next("0 3 L * * UTC", "2026-02-01T00:00:00Z", "02-28T03:00+00:00, 03-31T03:00+00:00");
    check_next("every 7h UTC", "2026-01-01T06:59:59Z", "01-01T07:00+00:00, 01-01T14:00+00:00");
    check_next("every 7h UTC", "2020-01-01T00:00:00Z", "01-01T00:00+00:00, 01-01T07:00+00:00");
    check_next("@daily UTC", "2020-01-01T00:00:00Z", "01-01T00:00+00:00, 01-02T00:00+00:00");
}

#[test]
fn the_clocks_of_zurich_change() {
    // On 29 March 02:30 does not exist: it runs at 03:00. On 25 October it exists twice: it runs once, the first time.
    check_next(
        "30 2 * * * Europe/Zurich",
        "2026-03-28T00:00:00Z",
        "03-28T02:30+01:00, 03-29T03:00+02:00, 03-30T02:30+02:00",
    );
    check_next(
        "30 2 * * * Europe/Zurich",
        "2026-10-24T00:00:00Z",
        "10-24T02:30+02:00, 10-25T02:30+02:00, 10-26T02:30+01:00",
    );
    // What follows the clock's minutes runs in both halves of the repeated hour.
    check_next(
        "*/30 * * * * Europe/Zurich",
        "2026-10-25T00:15:00Z",
        "10-25T02:30+02:00, 10-25T02:00+01:00, 10-25T02:30+01:00, 10-25T03:00+01:00",
    );
    check_next(
        "*/30 * * * * Europe/Zurich",
        "2026-03-29T00:15:00Z",
        "03-29T01:30+01:00, 03-29T03:00+02:00, 03-29T03:30+02:00",
    );
    check_next("every 6h Europe/Zurich", "2026-03-28T18:00:00Z", "03-29T01:00+01:00, 03-29T08:00+02:00");
}

/// Options are `last=`, `window=`, `never`, `paused`, `stop`, `until=` of a maintenance; days are of June 2026.
fn check(text: &str, options: &str, now: &str, expected: &str) {
    let moment = |text: &str| at(&format!("2026-06-{text}:00Z"));
    let mut schedule = schedule(text);
    let (mut last, mut pause, mut calendar) = (None, Pause::Running, Calendar::default());
    for word in options.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("last", value) => last = Some(moment(value)),
            ("window", value) => {
                schedule = schedule.with_start_window(Duration::from_secs(value.parse::<u64>().unwrap() * 60))
            }
            ("never", _) => schedule = schedule.with_catch_up(CatchUp::Never),
            ("paused", _) => pause = Pause::Paused,
            ("stop", _) => calendar.global_pause = Some("fire".to_owned()),
            ("until", value) => calendar.maintenance.push(Maintenance {
                name: "move".to_owned(),
                tenant_id: Some(tenant()),
                from: moment("01T00:00"),
                until: moment(value),
            }),
            _ => panic!("{word}"),
        }
    }
    let plan = Planned { last, pause, ..planned(&schedule) };
    let answer = due(&plan, &calendar, moment(now));
    let words = answer.map_or("nothing".to_owned(), |due| match due {
        Due::Start(found) => {
            let late = found.late.map_or(String::new(), |late| format!(" {}", delay_words(late)));
            let missed = if found.missed > 0 { format!(" for {} more", found.missed) } else { String::new() };
            format!("start {}{late}{missed}", found.planned_at.strftime("%dT%H:%M"))
        }
        Due::Skip { planned_at, skip, missed } => {
            let missed = if missed > 0 { format!(" for {missed} more") } else { String::new() };
            format!("skip {} {skip:?}{missed}", planned_at.strftime("%dT%H:%M"))
        }
        Due::Hold { planned_at, reason, .. } => format!("hold {} {reason}", planned_at.strftime("%dT%H:%M")),
    });
    assert_eq!(words, expected, "{text} {options} at {now}");
}

#[test]
fn what_a_tick_does() {
    let daily = "30 2 * * * UTC";
    check(daily, "last=09T02:30", "10T02:29", "nothing");
    check(daily, "last=09T02:30", "10T02:30", "start 10T02:30");
    check(daily, "last=10T02:30", "10T02:31", "nothing");
    check(daily, "last=09T02:30", "10T03:30", "start 10T02:30");
    check(daily, "last=09T02:30", "10T03:31", "start 10T02:30 late by 1h 1m");
    check(daily, "last=06T02:30", "10T14:30", "start 10T02:30 late by 12h 0m for 3 more");
    check(daily, "last=06T02:30 never", "10T14:30", "skip 10T02:30 Missed { late: 43200s } for 3 more");
    check(daily, "last=06T02:30 never", "10T02:40", "start 10T02:30 for 3 more");
    check(daily, "last=09T02:30 window=5", "10T02:36", "start 10T02:30 late by 6m");
    check("every 6h UTC", "last=10T00:00", "10T06:00", "start 10T06:00");
    check("every 1m UTC", "last=01T00:00", "10T06:00", "start 10T06:00 for 100 more");
}

#[test]
fn pauses_and_maintenance() {
    let daily = "30 2 * * * UTC";
    check(daily, "last=09T02:30 paused", "10T02:30", "skip 10T02:30 Paused");
    check(daily, "last=09T02:30 stop", "10T02:30", "hold 10T02:30 the installation is paused: fire");
    check(
        daily,
        "last=09T02:30 until=10T06:00",
        "10T02:30",
        "hold 10T02:30 maintenance `move` until 2026-06-10T06:00:00Z",
    );
    check(daily, "last=09T02:30 until=10T06:00", "10T06:00", "start 10T02:30 late by 3h 30m");
    check(daily, "last=09T02:30 until=10T03:00", "10T03:00", "start 10T02:30");
}

#[test]
fn a_clock_that_jumped_back_holds_no_plan_back() {
    // `last` was written by a clock a day ahead; the unique key knows what was done.
    check("30 2 * * * UTC", "last=11T02:30", "10T02:35", "start 10T02:30");
    let jump = |now: &str, seconds| clock_jump(at("2026-06-10T00:00:00Z"), at(now), Duration::from_secs(seconds));
    assert_eq!(jump("2026-06-10T00:01:00Z", 60), None);
    assert_eq!(jump("2026-06-11T00:00:00Z", 0), Some(ClockJump::Forward(Duration::from_secs(86_400))));
    assert_eq!(jump("2026-06-09T00:00:00Z", 0), Some(ClockJump::Back(Duration::from_secs(86_400))));
    assert_eq!(jump("2026-06-10T00:00:00Z", 300), Some(ClockJump::Back(Duration::from_secs(300))));
}

#[test]
fn jitter_spreads_plans_and_stays() {
    let hour = Duration::from_secs(3_600);
    let delays: BTreeSet<Duration> = (0..200).map(|number| jitter_of(plan_id(number), hour)).collect();
    assert!(delays.len() > 190 && delays.iter().all(|delay| *delay <= hour));
    assert!(
        delays.first().is_some_and(|first| *first < hour / 10)
            && delays.last().is_some_and(|last| *last > hour * 9 / 10)
    );
    assert_eq!(jitter_of(plan_id(7), Duration::ZERO), Duration::ZERO);
    assert_eq!(jitter_of(plan_id(7), hour), jitter_of(plan_id(7), hour));
}

fn any_rhythm() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "30 2 * * * Europe/Zurich",
        "*/30 * * * * Europe/Zurich",
        "@daily America/New_York",
        "0 3 * * 1 UTC",
        "15 1,2,3 * * * Europe/Zurich",
        "every 6h UTC",
        "every 95m UTC",
        "0 0 1 * * Asia/Tokyo",
        "*/20 2 * * * Europe/Zurich",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_newest_is_what_counting_forward_finds(text in any_rhythm(), minutes in 0i64..525_600) {
        let schedule = schedule(&text);
        let plan = planned(&schedule);
        let until = plan.created_at + SignedDuration::from_mins(minutes);
        let mut expected = None;
        let mut from = minus(until, Duration::from_secs(40 * 86_400));
        while let Some(found) = following(&plan, from).next().filter(|found| *found <= until) {
            expected = Some(found);
            from = found;
        }
        prop_assert_eq!(newest(&plan, until), expected);
    }

    #[test]
    fn the_stored_moment_is_when_due_speaks(text in any_rhythm(), minutes in 0i64..525_600, number in 0u8..9, jitter in 0u64..7_200) {
        let (rhythm, zone) = text.rsplit_once(' ').unwrap();
        let schedule = Schedule::new(rhythm.parse().unwrap(), zone.to_owned(), Duration::from_secs(jitter), OverlapKey::Plan).unwrap();
        let mut plan = Planned { plan_id: plan_id(number), ..planned(&schedule) };
        let after = plan.created_at + SignedDuration::from_mins(minutes);
        plan.last = newest(&plan, minus(after, jitter_of(plan.plan_id, schedule.jitter())));
        let at = next_due_at(&plan, after).unwrap();
        prop_assert!(at > after);
        let calendar = Calendar::default();
        prop_assert!(due(&plan, &calendar, minus(at, Duration::from_micros(1))).is_none());
        prop_assert!(due(&plan, &calendar, at).is_some());
    }

    /// Three replicas with clocks up to a day apart tick in any order; a unique key on the planned instant is the store.
    #[test]
    fn an_occurrence_happens_once_whatever_the_clocks(
        text in any_rhythm(), skews in prop::array::uniform3(-24i64..24), ticks in prop::collection::vec((0usize..3, 0i64..600), 1..80),
    ) {
        let schedule = schedule(&text);
        let mut plan = planned(&schedule);
        let mut done = BTreeSet::new();
        let mut true_now = at("2026-03-27T00:00:00Z");
        for (replica, minutes) in ticks {
            true_now += SignedDuration::from_mins(minutes);
            let now = true_now + SignedDuration::from_hours(skews[replica]);
            if let Some(answer) = due(&plan, &Calendar::default(), now) {
                let Due::Start(found) = answer else { panic!("{answer:?}") };
                prop_assert!(found.planned_at <= now && found.not_before <= found.start_by);
                // The store's key: a known name starts nothing.
                done.insert(found.planned_at);
                plan.last = plan.last.max(Some(found.planned_at));
            }
            // Whoever looked has nothing left to do at the same moment, unless a clock ahead was there before.
            let again = due(&plan, &Calendar::default(), now);
            prop_assert!(again.iter().all(|answer| matches!(answer, Due::Start(found) if done.contains(&found.planned_at))));
            // And the newest occurrence that this clock can see has happened.
            prop_assert!(newest(&plan, now).is_none_or(|newest| done.contains(&newest)));
        }
    }
}
