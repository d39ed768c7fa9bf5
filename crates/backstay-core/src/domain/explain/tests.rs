//! Tests of the words: each case asks the deciding function first.

use super::*;
use crate::domain::fairness::Caps;
use crate::domain::id::{AgentId, PlanId, RepositoryId, TenantId};
use crate::domain::job::Outcome;
use crate::domain::rpo::forecast;
use crate::domain::schedule::{CatchUp, Maintenance, OverlapKey, Schedule};

const ZONE: TimeZone = TimeZone::UTC;

fn at(text: &str) -> Timestamp {
    format!("2026-06-{text}:00Z").parse().unwrap()
}

fn check_plan(rhythm: &str, change: impl Fn(&mut Planned<'_>, &mut Calendar), expected: &str) {
    let schedule = Schedule::new(rhythm.parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap();
    let schedule = schedule.with_catch_up(CatchUp::Once);
    let (plan_id, tenant_id) = (PlanId::new(at("01T00:00"), [1; 10]), TenantId::new(at("01T00:00"), [1; 10]));
    let last = Some(at("10T02:30"));
    let mut asked =
        Planned { plan_id, tenant_id, schedule: &schedule, created_at: at("01T00:00"), pause: Pause::Running, last };
    let mut calendar = Calendar::default();
    change(&mut asked, &mut calendar);
    assert_eq!(plan(&asked, &calendar, at("10T12:00"), &ZONE).join("\n"), expected);
}

#[test]
fn what_a_plan_does() {
    let month = "in the next 30 days it starts 30 times, from 2026-06-11 02:30 to 2026-07-10 02:30";
    check_plan("30 2 * * *", |_, _| {}, month);
    check_plan("", |_, _| {}, "it starts on request only");
    check_plan("0 0 1 1 *", |_, _| {}, "it does not start in the next 30 days; then at 2027-01-01 00:00");
    check_plan("0 0 29 2 *", |_, _| {}, "it does not start in the next 30 days; then at 2028-02-29 00:00");
    check_plan("0 0 30 2 *", |_, _| {}, "its schedule names a day that never comes: it starts on request only");
    let late = format!(
        "the occurrence of 2026-06-10 02:30 starts, late by 9h 30m, and stands for 2 that were missed\n{month}"
    );
    check_plan("30 2 * * *", |plan, _| plan.last = Some(at("07T02:30")), &late);
    let paused = "it is paused: its occurrences are skipped\nthe occurrence of 2026-06-10 02:30 is skipped: the plan is \
         paused\nin the next 30 days its schedule names 30 times, from 2026-06-11 02:30 to 2026-07-10 02:30; while it \
         is paused none of them starts";
    check_plan("30 2 * * *", |plan, _| (plan.last, plan.pause) = (None, Pause::Paused), paused);
    let yearly = "it is paused: its occurrences are skipped\nits schedule names nothing in the next 30 days";
    check_plan("0 0 1 1 *", |plan, _| plan.pause = Pause::Paused, yearly);
}

/// Red when all that falls into a window is said to start when it ends, or what does not catch up is.
#[test]
fn what_a_plan_does_after_a_window() {
    let month = "in the next 30 days its schedule names 30 times, from 2026-06-11 02:30 to 2026-07-10 02:30";
    let window = |name: &str, from, until| Maintenance { name: name.to_owned(), tenant_id: None, from, until };
    let check = |plan: Planned<'_>, windows: &[Maintenance], expected: &str| {
        let calendar = Calendar { maintenance: windows.to_vec(), ..Calendar::default() };
        let said = super::plan(&plan, &calendar, at("10T12:00"), &ZONE);
        assert_eq!(said.join("\n"), format!("{month}\n{expected}"));
    };
    let once = Schedule::new("30 2 * * *".parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan);
    let once = once.unwrap();
    let never = once.clone().with_catch_up(CatchUp::Never);
    let of = |schedule| Planned {
        plan_id: PlanId::new(at("01T00:00"), [1; 10]),
        tenant_id: TenantId::new(at("01T00:00"), [1; 10]),
        schedule,
        created_at: at("01T00:00"),
        pause: Pause::Running,
        last: Some(at("10T02:30")),
    };
    let two = [window("move", at("11T00:00"), at("13T00:00"))];
    let fall = "2 of them fall into maintenance `move`; at 2026-06-13 00:00, when it ends, the occurrence of";
    check(
        of(&once),
        &two,
        &format!("{fall} 2026-06-12 02:30 starts, late by 21h 30m, and stands for 1 that were missed"),
    );
    check(
        of(&never),
        &two,
        &format!("{fall} 2026-06-12 02:30 is skipped: it would be late by 21h 30m and the plan does not catch up"),
    );
    let short = [window("switch", at("11T02:00"), at("11T03:00"))];
    check(
        of(&never),
        &short,
        "1 of them fall into maintenance `switch`; at 2026-06-11 03:00, when it ends, the occurrence of \
         2026-06-11 02:30 starts",
    );
    let both = [short[0].clone(), window("fire", at("11T02:50"), Timestamp::MAX)];
    check(
        of(&once),
        &both,
        &format!(
            "1 of them fall into maintenance `switch`; at 2026-06-11 03:00, when it ends, the occurrence of \
             2026-06-11 02:30 is held back: {}\n29 of them fall into maintenance `fire` and wait until a person ends it",
            Calendar { maintenance: both.to_vec(), ..Calendar::default() }
                .held(of(&once).tenant_id, at("11T03:00"))
                .unwrap()
                .reason
        ),
    );
}

/// Red when starts beyond the month are looked for, each of which may be years away.
#[test]
fn one_start_beyond_the_month_is_looked_for() {
    let mut asked = 0;
    let starts = ["11T02:00", "12T02:00", "20T02:00", "21T02:00"].map(|text| (at(text), at(text)));
    let starts = starts.into_iter().inspect(|_| asked += 1);
    let inside = ["11T02:00", "12T02:00"].map(|text| (at(text), at(text))).to_vec();
    assert_eq!(split(starts, at("13T00:00")), (inside, Some(at("20T02:00"))));
    assert_eq!(asked, 3);
    assert_eq!(split(std::iter::empty(), at("13T00:00")), (Vec::new(), None));
}

fn candidate(number: u8, kind: JobKind) -> Candidate {
    let moment = at("10T00:00");
    Candidate {
        job_id: job_id(number),
        tenant_id: TenantId::new(moment, [1; 10]),
        kind,
        access: kind.repository_access(),
        repository_id: RepositoryId::new(moment, [1; 10]),
        host: None,
        endpoint: "s3".to_owned(),
        overlap: None,
        breach_at: moment.saturating_add(Duration::from_secs(u64::from(number))).unwrap(),
        priority: 0,
        created_at: moment.saturating_add(Duration::from_secs(u64::from(number))).unwrap(),
    }
}

fn job_id(number: u8) -> JobId {
    JobId::new(at("10T00:00"), [number; 10])
}

/// One job of 30 minutes after the other; the answer is about job 3, at noon.
fn check_place(global: u32, running: &[(u8, JobKind, &str)], queued: &[(u8, JobKind)], expected: &str) {
    let caps = Caps { global: Some(global), ..Caps::default() };
    check_place_under(Rules { caps, ..Rules::default() }, &vec![JobKind::ALL.to_vec(); 4], running, queued, expected);
}

fn check_place_under(
    rules: Rules,
    agents: &[Vec<JobKind>],
    running: &[(u8, JobKind, &str)],
    queued: &[(u8, JobKind)],
    expected: &str,
) {
    let running: Vec<Running> = running
        .iter()
        .map(|(number, kind, ends)| Running { job: candidate(*number, *kind), ends_at: at(ends) })
        .collect();
    let queued: Vec<Candidate> = queued.iter().map(|(number, kind)| candidate(*number, *kind)).collect();
    let expected_duration = |_: &Candidate| Duration::from_secs(1_800);
    let queue = Queue { queued: &queued, running: &running, rules: &rules, agents, expected: &expected_duration };
    let now = at("10T12:00");
    let place = queue.place(job_id(3), now).unwrap();
    let state = JobState::Queued { not_before: at("10T02:00") };
    let words = job(&Trigger::Request, &state, Some(&place), now, &ZONE)[2..].join("; ");
    let words =
        (0..=255u8).fold(words, |words, number| words.replace(&job_id(number).to_string(), &number.to_string()));
    assert_eq!(words, expected);
}

#[test]
fn where_a_job_stands_in_the_queue() {
    use JobKind::{Backup, Prune};
    check_place(1, &[], &[(3, Backup)], "it is number 1 of 1 in the queue; an agent that is free takes it now");
    let full = "1 jobs may run at a time in the installation, and they do";
    check_place(
        1,
        &[(9, Backup, "10T12:10")],
        &[(3, Backup)],
        &format!("it is number 1 of 1 in the queue; {full}; it is expected to start at 2026-06-10 12:10"),
    );
    check_place(
        1,
        &[(9, Backup, "10T12:10")],
        &[(1, Backup), (2, Backup), (3, Backup)],
        &format!("it is number 3 of 3 in the queue; {full}; it is expected to start at 2026-06-10 13:10"),
    );
    check_place(
        4,
        &[(9, Prune, "10T12:20")],
        &[(3, Backup)],
        "it is number 1 of 1 in the queue; job 9 holds its repository; it is expected to start at 2026-06-10 12:20",
    );
    check_place(
        4,
        &[(9, Backup, "10T12:20")],
        &[(2, Prune), (3, Backup)],
        "it is number 2 of 2 in the queue; job 2 goes before it and waits for the repository alone; it is expected to start at 2026-06-10 12:50",
    );
    check_place(
        0,
        &[],
        &[(3, Backup)],
        "it is number 1 of 1 in the queue; 0 jobs may run at a time in the installation, and they do; nobody can say yet when it starts",
    );
    assert_eq!(candidate(1, Prune).access, RepositoryAccess::Alone);
}

/// Red when agents are counted whatever they take.
#[test]
fn an_agent_that_takes_other_kinds_starts_nothing() {
    use JobKind::{Backup, Verify};
    let agents = [vec![Verify], vec![Verify]];
    let expected = "it is number 1 of 1 in the queue; no agent that is alive takes jobs of kind backup; nobody can say yet when it starts";
    check_place_under(Rules::default(), &agents, &[], &[(3, Backup)], expected);
    let agents = [vec![Verify], vec![Backup]];
    let expected = "it is number 2 of 2 in the queue; it is expected to start at 2026-06-10 12:30";
    check_place_under(Rules::default(), &agents, &[], &[(2, Backup), (3, Backup)], expected);
}

fn check_job(state: &JobState, expected: &str) {
    let lines = job(&Trigger::Occurrence(at("10T02:30")), state, None, at("10T12:00"), &ZONE);
    assert_eq!(lines[0], "its plan's schedule names 2026-06-10 02:30");
    assert_eq!(lines[1..].join("; "), expected);
}

#[test]
fn what_became_of_a_job() {
    let (finished_at, message) = (at("10T03:00"), "no space left".to_owned());
    check_job(&JobState::Queued { not_before: at("10T13:00") }, "it is not to start before 2026-06-10 13:00");
    check_job(
        &JobState::Succeeded { outcome: Outcome::Partial, finished_at },
        "it succeeded at 2026-06-10 03:00: partial",
    );
    let class = FailureClass::StorageFull;
    check_job(
        &JobState::Failed { class, message: message.clone(), finished_at },
        "it failed at 2026-06-10 03:00: no space left; it is not tried again: make room on the storage, or prune",
    );
    check_job(
        &JobState::Parked { class, message: message.clone() },
        "it failed too often in one way: no space left; it stays until a person or a change of the plan lifts it: make room on the storage, or prune",
    );
    check_job(
        &JobState::Waiting { wake_at: at("10T12:30"), reason: "storage did not answer".to_owned() },
        "it waits until 2026-06-10 12:30: storage did not answer",
    );
    let agent_id = AgentId::new(at("10T00:00"), [1; 10]);
    check_job(&JobState::Leased { agent_id }, &format!("agent {agent_id} works at it"));
}

#[test]
fn how_an_item_stands() {
    let now = at("10T12:00");
    let age = Age { newest_at: Some(at("10T02:30")), breach_at: at("10T14:20") };
    let soon = forecast(age, None, Duration::from_secs(1_800), now);
    let expected = "its newest good snapshot is of 2026-06-10 02:30, 9h 30m ago\nwill breach at 14:20 unless an agent is free by 13:50";
    assert_eq!(item(age, soon, now, &ZONE).join("\n"), expected);
}

#[test]
fn what_an_occurrence_meets() {
    let plan_id = PlanId::new(at("01T00:00"), [1; 10]);
    let words = |meeting| meeting_words(&meeting, |_| "home".to_owned(), &ZONE);
    assert_eq!(
        words(Meeting::Waits { plan_id, until: Some(at("10T12:30")) }),
        "it waits for home and is skipped at 2026-06-10 12:30"
    );
    assert_eq!(words(Meeting::SkippedForAnother { plan_id }), "skipped: its start window ended while home was running");
    assert_eq!(
        words(Meeting::SkippedForItself { planned_at: at("10T12:30") }),
        "skipped: its own occurrence of 2026-06-10 12:30 is not done yet"
    );
}
