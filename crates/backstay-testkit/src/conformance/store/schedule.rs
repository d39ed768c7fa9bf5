//! How far plans are: the port of schedules, and the core's tick over it.

use std::time::Duration;

use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{ItemId, MaintenanceId, PlanId, SourceId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobState, Trigger};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{
    CatchUp, Due, HELD_LOOK_MAX, Maintenance, Occurrence, OverlapKey, Schedule, ScheduleState,
};
use backstay_core::domain::source::Source;
use backstay_core::managers::schedule::{PauseWish, Ticked, clock_watch, maintenance_end, plan_pause, tick};
use backstay_core::ports::schedule::{ClockLook, MaintenanceRow, ScheduledPlan};
use backstay_core::ports::store::{JobFilter, Page, StoreError};
use jiff::Timestamp;

use backstay_core::managers::context::Context;

use crate::conformance::job::context;
use crate::conformance::world::{Stores, World, key_of};

/// Returns a schedule in UTC.
fn schedule(rhythm: &str, overlap: OverlapKey) -> Schedule {
    Schedule::new(rhythm.parse().unwrap(), "UTC".to_owned(), Duration::ZERO, overlap).unwrap()
}

/// Declares a plan beside the world's: over a source of its own with so many items, or over the world's source.
async fn plan_beside(world: &World, name: &str, schedule: Schedule, items: Option<usize>) -> Plan {
    let mut source_id = world.source.id;
    if let Some(count) = items {
        let source =
            Source { id: SourceId::new(world.now(), world.ten()), name: name.parse().unwrap(), ..world.source.clone() };
        let item = |number: usize| Item {
            id: ItemId::new(world.now(), world.ten()),
            source_id: source.id,
            name: format!("/srv/{name}/{number}"),
            vanished_at: None,
        };
        let items: Vec<Item> = (0..count).map(item).collect();
        world.stores.declarations.source_add(&source, &items).await.unwrap();
        source_id = source.id;
    }
    let plan = Plan {
        id: PlanId::new(world.now(), world.ten()),
        name: name.parse().unwrap(),
        source_id,
        schedule,
        created_at: world.now(),
        ..world.plan.clone()
    };
    world.stores.declarations.plan_add(&plan).await.unwrap();
    plan
}

async fn due(world: &World) -> Vec<PlanId> {
    let due = world.stores.schedules.schedule_list_due(world.now(), 100).await.unwrap();
    due.into_iter().map(|row| row.plan.id).collect()
}

async fn state(world: &World, plan: &Plan) -> ScheduleState {
    world.stores.schedules.schedule_get(plan.id).await.unwrap()
}

/// One tick: `started skipped waiting`.
async fn ticked(context: &Context) -> String {
    let Ticked { started, skipped, waiting, failed, .. } = tick(context).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    format!("{started} {skipped} {waiting}")
}

async fn jobs(world: &World, plan: &Plan) -> Vec<Job> {
    let filter = JobFilter { plan_id: Some(plan.id), ..JobFilter::default() };
    world.jobs.job_list(filter, Page::first()).await.unwrap()
}

/// Leases whatever is due and ends it well, until nothing is left.
async fn work_off(world: &World) {
    let agent = world.agent();
    loop {
        let claimed = world.claim(agent, 32).await;
        if claimed.is_empty() {
            return;
        }
        for row in claimed {
            world.jobs.job_settle(key_of(&row), &world.success()).await.unwrap();
        }
    }
}

/// The words of the newest event.
async fn newest_words(world: &World) -> String {
    world.events().await.last().map(|row| row.event.message.clone()).unwrap_or_default()
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Red without `schedule_add` in `plan_add`, or without `schedule_changed` in `plan_replace`.
pub async fn a_plan_is_due_when_it_is_made_and_when_it_changes(stores: Stores) {
    let world = World::new(stores, 1).await;
    assert_eq!(due(&world).await, [world.plan.id]);
    let made = state(&world, &world.plan).await;
    assert_eq!(made, ScheduleState { revision: 0, ..ScheduleState::new(world.plan.id, world.plan.created_at) });
    let rests = made.rest(&world.plan, world.now());
    assert!(world.stores.schedules.schedule_put(&rests, &[]).await.unwrap());
    assert!(due(&world).await.is_empty());

    world.clock.advance(HOUR);
    let renamed = Plan { name: "weekly".parse().unwrap(), ..world.plan.clone() };
    assert!(world.stores.declarations.plan_replace(&world.plan, &renamed).await.unwrap());
    assert!(due(&world).await.is_empty(), "another name is no other schedule");
    let nightly = schedule("30 2 * * *", OverlapKey::Plan).with_start_window(HOUR * 2).with_catch_up(CatchUp::Never);
    let changed = Plan { schedule: nightly, ..renamed.clone() };
    assert!(world.stores.declarations.plan_replace(&renamed, &changed).await.unwrap());
    assert_eq!(world.stores.declarations.plan_get(changed.id).await.unwrap(), changed);
    assert!(!world.stores.declarations.plan_replace(&renamed, &changed).await.unwrap());
    assert_eq!(due(&world).await, [world.plan.id]);
    assert_eq!(state(&world, &changed).await.last_planned_at, Some(world.now()), "nothing before now was missed");

    let unknown = PlanId::new(world.now(), world.ten());
    let missing = world.stores.schedules.schedule_get(unknown).await;
    assert!(matches!(missing, Err(StoreError::NotFound { noun: "plan", .. })));
}

/// Red when `due_question` orders by anything else, or compares with `lt`.
pub async fn what_is_due_comes_longest_due_first(stores: Stores) {
    let world = World::new(stores, 1).await;
    let mut plans = vec![world.plan.clone()];
    for name in ["b", "c", "d"] {
        plans.push(plan_beside(&world, name, Schedule::on_request(), None).await);
    }
    let at = |minutes: i64| Some(world.now() + jiff::SignedDuration::from_mins(minutes));
    for (plan, next_due_at) in plans.iter().zip([at(3), at(1), None, at(2)]) {
        let state = ScheduleState { next_due_at, ..state(&world, plan).await };
        assert!(world.stores.schedules.schedule_put(&state, &[]).await.unwrap());
    }
    assert!(due(&world).await.is_empty());
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(due(&world).await, [plans[1].id, plans[3].id]);
    world.clock.advance(HOUR);
    assert_eq!(due(&world).await, [plans[1].id, plans[3].id, plans[0].id]);
    let first = world.stores.schedules.schedule_list_due(world.now(), 1).await.unwrap();
    assert_eq!(first.iter().map(|row| row.plan.clone()).collect::<Vec<_>>(), [plans[1].clone()]);
    assert_eq!(world.stores.schedules.schedule_look_again().await.unwrap(), 3, "those that rest for ever stay so");
    world.clock.set(Timestamp::from_second(1).unwrap());
    assert_eq!(due(&world).await.len(), 3);
}

/// A write names the revision that it saw; who comes second writes nothing and tells nothing.
///
/// Red without the filter on the revision in `schedule::put`, or when events are appended before it is asked.
pub async fn of_two_writers_one_writes(stores: Stores) {
    let world = World::new(stores, 1).await;
    let seen = state(&world, &world.plan).await;
    let told = |world: &World| {
        let mut event = world.event(EventKind::Skipped, &world.backup(0));
        event.job_id = None;
        event
    };
    let one = ScheduleState { skipped_before: 1, ..seen.clone() };
    assert!(world.stores.schedules.schedule_put(&one, &[told(&world), told(&world)]).await.unwrap());
    let two = ScheduleState { skipped_before: 2, ..seen.clone() };
    assert!(!world.stores.schedules.schedule_put(&two, &[told(&world)]).await.unwrap());
    let now = state(&world, &world.plan).await;
    assert_eq!(now, ScheduleState { revision: seen.revision + 1, ..one });
    assert_eq!(world.told().await, [EventKind::Skipped, EventKind::Skipped]);
}

/// Red when a column of `plan_schedule` is left out of `put` or `read`.
pub async fn an_occurrence_that_waits_is_read_back(stores: Stores) {
    let world = World::new(stores, 1).await;
    let shared = plan_beside(&world, "shared", schedule("every 1h", OverlapKey::Tenant), None).await;
    let at = |minutes: i64| world.now() + jiff::SignedDuration::from_mins(minutes);
    let waiting = Occurrence {
        planned_at: at(-5),
        not_before: at(-4),
        start_by: at(56),
        late: Some(Duration::from_millis(61_001)),
        missed: 7,
    };
    for plan in [&world.plan, &shared] {
        let wished = ScheduleState {
            last_planned_at: Some(at(-60)),
            next_due_at: Some(at(1)),
            paused_at: Some(at(-2)),
            waiting: Some(waiting),
            skipped_before: 3,
            ..state(&world, plan).await
        };
        assert!(world.stores.schedules.schedule_put(&wished, &[]).await.unwrap());
        assert_eq!(state(&world, plan).await, ScheduleState { revision: wished.revision + 1, ..wished });
    }
    let rows = world.stores.schedules.schedule_list_waiting(world.tenant.id).await.unwrap();
    let row = ScheduledPlan { plan: shared.clone(), state: state(&world, &shared).await };
    assert_eq!(rows, [row], "only those that keep out of one another's way");
}

/// Red when `maintenance_list` compares with `gte`, or loses a window without an end.
pub async fn windows_are_read_back_until_they_are_over(stores: Stores) {
    let world = World::new(stores, 1).await;
    let schedules = world.stores.schedules.clone();
    let window = |name: &str, tenant_id, from: i64, until: Option<i64>| MaintenanceRow {
        id: MaintenanceId::new(world.now(), world.ten()),
        window: Maintenance {
            name: name.to_owned(),
            tenant_id,
            from: world.now() + jiff::SignedDuration::from_hours(from),
            until: until.map_or(Timestamp::MAX, |hours| world.now() + jiff::SignedDuration::from_hours(hours)),
        },
    };
    let rows = [
        window("switch", Some(world.tenant.id), 1, Some(2)),
        window("power", None, 0, Some(3)),
        window("fire", None, 2, None),
    ];
    for row in &rows {
        schedules.maintenance_add(row).await.unwrap();
    }
    let [switch, power, fire] = rows;
    assert_eq!(schedules.maintenance_list(world.now()).await.unwrap(), [power.clone(), switch.clone(), fire.clone()]);
    let calendar = schedules.calendar_get(world.now()).await.unwrap();
    assert_eq!(calendar.global_pause, None, "it has not begun");
    assert_eq!(calendar.maintenance.len(), 2);
    world.clock.advance(HOUR * 2);
    assert_eq!(schedules.maintenance_list(world.now()).await.unwrap(), [power, fire.clone()]);
    assert_eq!(schedules.calendar_get(world.now()).await.unwrap().global_pause.as_deref(), Some("fire"));
    schedules.maintenance_remove(fire.id).await.unwrap();
    assert!(matches!(schedules.maintenance_remove(fire.id).await, Err(StoreError::NotFound { .. })));
    assert_eq!(schedules.calendar_get(world.now()).await.unwrap().global_pause, None);
}

/// Backups of plans that keep out of one another's way are leased one at a time, whoever asks; others go on beside.
///
/// Red without the unique index on `lease.overlap_key` together with `overlapping_leases`.
pub async fn backups_of_one_key_run_one_at_a_time(stores: Stores) {
    let world = World::new(stores, 4).await;
    let shared = |item: usize| Job { overlap: OverlapKey::Tenant, ..world.backup(item) };
    for item in 0..3 {
        world.enqueue(&shared(item)).await;
    }
    let beside = world.backup(3);
    world.enqueue(&beside).await;
    let (one, two) = (world.agent(), world.agent());
    let first = world.claim(one, 10).await;
    assert_eq!(first.len(), 2, "one of the key, and the one beside");
    assert!(world.claim(two, 10).await.is_empty());
    let of_key = |rows: &[backstay_core::ports::store::Claimed]| {
        rows.iter().filter(|row| row.job.overlap == OverlapKey::Tenant).map(key_of).collect::<Vec<_>>()
    };
    let mut held = of_key(&first);
    for left in [2, 1, 0] {
        assert_eq!(held.len(), 1);
        assert_eq!(world.jobs.job_list_overlapping(world.tenant.id).await.unwrap().len(), left + 1);
        world.jobs.job_settle(held[0], &world.success()).await.unwrap();
        held = of_key(&world.claim(two, 10).await);
    }
    assert!(held.is_empty());
}

/// A tick makes a job an item, once; a tick beside it or after a crash makes none twice and tells nothing twice.
pub async fn a_night_makes_each_job_once(stores: Stores) {
    let world = World::new(stores, 3).await;
    let context = context(&world.stores);
    let plan = plan_beside(&world, "nightly", schedule("30 2 * * *", OverlapKey::Plan), Some(2)).await;
    assert_eq!(ticked(&context).await, "0 0 0");
    assert!(due(&world).await.is_empty(), "both plans rest, one of them for ever");
    world.clock.advance(HOUR * 2);
    assert_eq!(ticked(&context).await, "0 0 0");
    world.clock.advance(HOUR / 2);
    let before = state(&world, &plan).await;
    let (one, two) = (context.clone(), context.clone());
    let (one, two) = tokio::join!(tick(&one), tick(&two));
    assert_eq!(one.unwrap().started.max(two.unwrap().started), 2);
    let made = jobs(&world, &plan).await;
    assert_eq!(made.len(), 2);
    let planned_at = world.now();
    for job in &made {
        assert_eq!(
            (job.trigger.clone(), &job.state),
            (Trigger::Occurrence(planned_at), &JobState::Queued { not_before: planned_at })
        );
    }
    // The process died between the jobs and the plan's state.
    let again = ScheduleState { revision: state(&world, &plan).await.revision, ..before };
    assert!(world.stores.schedules.schedule_put(&again, &[]).await.unwrap());
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(ticked(&context).await, "0 0 0");
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Enqueued]);
    assert!(newest_words(&world).await.ends_with("is due by plan nightly, planned for 2026-01-01T02:30:00Z"));
    work_off(&world).await;
    world.clock.advance(HOUR * 24);
    assert_eq!(ticked(&context).await, "2 0 0");
}

/// After downtime the newest occurrence is started, once, marked late; or told, when the plan does not catch up.
pub async fn what_was_missed_is_made_up_for_once(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let nightly = schedule("30 2 * * *", OverlapKey::Plan);
    let once = plan_beside(&world, "once", nightly.clone(), Some(1)).await;
    let never = plan_beside(&world, "never", nightly.with_catch_up(CatchUp::Never), Some(1)).await;
    ticked(&context).await;
    world.clock.advance(HOUR * 24 * 3 + HOUR * 12);
    assert_eq!(ticked(&context).await, "1 1 0");
    assert_eq!(ticked(&context).await, "0 0 0");
    assert_eq!((jobs(&world, &once).await.len(), jobs(&world, &never).await.len()), (1, 0));
    let words: Vec<String> = world.events().await.into_iter().map(|row| row.event.message).collect();
    let told = |part: &str| assert!(words.iter().any(|words| words.ends_with(part)), "{part}: {words:?}");
    told("planned for 2026-01-04T02:30:00Z, late by 9h 30m, in the place of 3 more that were missed");
    told(
        "plan never was not started at 2026-01-04T02:30:00Z, in the place of 3 more that were missed: it would be late \
         by 9h 30m and the plan does not catch up",
    );
}

/// A paused plan's occurrences are told and not made up for.
pub async fn a_paused_plan_is_skipped_and_told(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let plan = plan_beside(&world, "hourly", schedule("every 1h", OverlapKey::Plan), Some(1)).await;
    assert_eq!(ticked(&context).await, "1 0 0");
    work_off(&world).await;
    for _ in 0..2 {
        let paused = plan_pause(&context, plan.id, PauseWish::Pause).await.unwrap();
        assert_eq!(paused.paused_at, Some(world.now()));
    }
    world.clock.advance(HOUR);
    assert_eq!(ticked(&context).await, "0 1 0");
    assert_eq!(newest_words(&world).await, "plan hourly was not started at 2026-01-01T01:00:00Z: the plan is paused");
    plan_pause(&context, plan.id, PauseWish::Resume).await.unwrap();
    assert_eq!(ticked(&context).await, "0 0 0");
    world.clock.advance(HOUR);
    assert_eq!(ticked(&context).await, "1 0 0");
    use EventKind::{Enqueued as E, Paused as P, Resumed as R, Skipped as S};
    assert_eq!(world.told().await, [E, P, S, R, E]);
}

/// Nothing starts in a window; what was due is looked at when it ends, or is taken away.
pub async fn a_window_holds_starts_back(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let plan = plan_beside(&world, "hourly", schedule("every 1h", OverlapKey::Plan), Some(1)).await;
    let until = world.now() + jiff::SignedDuration::from_hours(5);
    let window = Maintenance { name: "switch".to_owned(), tenant_id: Some(world.tenant.id), from: world.now(), until };
    let row = backstay_core::managers::schedule::maintenance_declare(&context, window.clone()).await.unwrap();
    assert_eq!(ticked(&context).await, "0 0 0");
    assert_eq!(due(&world).await.len(), 0, "nothing is asked again at once");
    world.clock.advance(HOUR * 5 - HELD_LOOK_MAX / 3);
    assert_eq!(ticked(&context).await, "0 0 0");
    assert_eq!(state(&world, &plan).await.next_due_at, Some(until), "it ends before the next look");
    maintenance_end(&context, row.id).await.unwrap();
    assert_eq!(ticked(&context).await, "1 0 0");
    work_off(&world).await;
    // The pause of the installation: not even looked at.
    let pause = Maintenance { tenant_id: None, until: Timestamp::MAX, ..window };
    let row = backstay_core::managers::schedule::maintenance_declare(&context, pause).await.unwrap();
    world.clock.advance(HOUR * 6);
    let paused = tick(&context).await.unwrap();
    assert_eq!((paused.looked, paused.started), (0, 0));
    maintenance_end(&context, row.id).await.unwrap();
    assert_eq!(ticked(&context).await, "1 0 0");
}

/// A window that was taken away holds nothing for long, though whoever took it away died before the plans were told,
/// and though a tick put them back that still saw it.
///
/// Red when a plan is held until the end of its window.
pub async fn a_window_that_is_gone_holds_nothing_for_long(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let plan = plan_beside(&world, "hourly", schedule("every 1h", OverlapKey::Plan), Some(1)).await;
    let window = Maintenance {
        name: "switch".to_owned(),
        tenant_id: Some(world.tenant.id),
        from: world.now(),
        until: Timestamp::MAX,
    };
    let row = backstay_core::managers::schedule::maintenance_declare(&context, window.clone()).await.unwrap();
    assert_eq!(ticked(&context).await, "0 0 0");
    world.stores.schedules.maintenance_remove(row.id).await.unwrap();
    world.clock.advance(HELD_LOOK_MAX);
    assert_eq!(ticked(&context).await, "1 0 0", "nobody told the plans");
    work_off(&world).await;

    let row = backstay_core::managers::schedule::maintenance_declare(&context, window).await.unwrap();
    world.clock.advance(HOUR);
    let calendar = world.stores.schedules.calendar_get(world.now()).await.unwrap();
    maintenance_end(&context, row.id).await.unwrap();
    let looked = state(&world, &plan).await;
    let Some(Due::Hold { until, .. }) = looked.look(&plan, &calendar, world.now()) else { panic!("it is not held") };
    assert!(world.stores.schedules.schedule_put(&looked.held(until, world.now()), &[]).await.unwrap());
    world.clock.advance(HELD_LOOK_MAX);
    assert_eq!(ticked(&context).await, "1 0 0", "a tick beside it saw the window");
}

/// An occurrence that meets work of its own plan skips that item, tells it, and starts the others.
pub async fn one_that_meets_its_own_work_is_skipped_item_by_item(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let plan = plan_beside(&world, "hourly", schedule("every 1h", OverlapKey::Plan), Some(3)).await;
    assert_eq!(ticked(&context).await, "3 0 0");
    let claimed = world.claim(world.agent(), 1).await;
    assert_eq!(claimed.len(), 1);
    let agent = world.agent();
    for row in world.claim(agent, 10).await {
        world.jobs.job_settle(key_of(&row), &world.success()).await.unwrap();
    }
    world.clock.advance(HOUR);
    assert_eq!(ticked(&context).await, "2 1 0");
    assert!(newest_words(&world).await.ends_with("was skipped: the one before it is not finished"));
    assert_eq!(jobs(&world, &plan).await.len(), 5);
    assert_eq!(ticked(&context).await, "0 0 0");
}

/// One that meets another plan of its key waits in its window; then it is skipped and told; the next time it keeps its
/// place.
pub async fn one_that_meets_another_plan_waits_and_is_skipped_once(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let long = plan_beside(&world, "long", schedule("", OverlapKey::Tenant), Some(1)).await;
    let brief = schedule("every 1h", OverlapKey::Tenant).with_start_window(HOUR / 2);
    let short = plan_beside(&world, "short", brief, Some(1)).await;
    let items = world.stores.declarations.item_list(long.source_id).await.unwrap();
    let work =
        Job { plan_id: Some(long.id), item_id: Some(items[0].id), overlap: OverlapKey::Tenant, ..world.backup(0) };
    world.enqueue(&work).await;
    assert_eq!(ticked(&context).await, "0 0 1");
    assert_eq!(ticked(&context).await, "0 0 0", "it is looked at again in a while");
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(ticked(&context).await, "0 0 1");
    world.clock.advance(HOUR / 2);
    assert_eq!(ticked(&context).await, "0 1 0");
    let words = newest_words(&world).await;
    assert!(words.contains("plan long worked until its start window ended at 2026-01-01T00:30:00Z"), "{words}");
    world.clock.advance(HOUR / 2);
    assert_eq!(ticked(&context).await, "0 0 1");
    world.clock.advance(HOUR / 2 + HOUR / 4);
    assert_eq!(ticked(&context).await, "0 0 1", "it keeps its place, however long it takes");
    work_off(&world).await;
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(ticked(&context).await, "1 0 0");
    assert_eq!(state(&world, &short).await.skipped_before, 0);
    assert_eq!(jobs(&world, &short).await.len(), 1);
}

/// Two plans that back one item up at the same moment, to two repositories, both get to it.
///
/// Red when an occurrence's key leaves the plan out, or an item that is another plan's is skipped at once.
pub async fn two_plans_of_one_item_take_turns(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let nightly = schedule("30 2 * * *", OverlapKey::Plan);
    let one = plan_beside(&world, "one", nightly.clone(), None).await;
    let two = plan_beside(&world, "two", nightly, None).await;
    ticked(&context).await;
    world.clock.advance(HOUR * 5 / 2);
    assert_eq!(ticked(&context).await, "1 0 1");
    work_off(&world).await;
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(ticked(&context).await, "1 0 0");
    work_off(&world).await;
    assert_eq!((jobs(&world, &one).await.len(), jobs(&world, &two).await.len()), (1, 1));
}

/// A clock that ran ahead and goes back: what it did stays done, and what is due by the right clock starts.
pub async fn a_clock_that_goes_back_holds_nothing_back(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let plan = plan_beside(&world, "hourly", schedule("every 1h", OverlapKey::Plan), Some(1)).await;
    let right = world.now();
    world.clock.advance(HOUR * 24);
    let ahead = world.now();
    assert_eq!(ticked(&context).await, "1 0 0");
    work_off(&world).await;
    world.clock.set(right);
    world.clock.advance(HOUR);
    assert_eq!(ticked(&context).await, "0 0 0", "it is not even looked at");
    let before = ClockLook { now: ahead, back: Duration::ZERO };
    let (seen, moved) = clock_watch(&context, Some((before, HOUR))).await.unwrap();
    assert!(moved.is_some());
    assert_eq!(clock_watch(&context, Some((seen, Duration::ZERO))).await.unwrap(), (seen, None));
    assert_eq!(ticked(&context).await, "1 0 0");
    work_off(&world).await;
    for _ in 0..23 {
        world.clock.advance(HOUR);
        ticked(&context).await;
        work_off(&world).await;
    }
    let planned: std::collections::BTreeSet<_> =
        jobs(&world, &plan).await.iter().map(|job| format!("{:?}", job.trigger)).collect();
    assert_eq!(
        (planned.len(), jobs(&world, &plan).await.len()),
        (24, 24),
        "each hour once, also the one of the wrong clock"
    );
}
