//! What a tick writes of many plans at once: all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_core::domain::event::{Event, EventKind, chain_hash};
use backstay_core::domain::id::{ItemId, PlanId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobKind, JobState, Outcome};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{Occurrence, OverlapKey, Rhythm, Schedule, ScheduleState};
use backstay_core::managers::schedule::tick;
use backstay_core::ports::schedule::Start;
use backstay_core::ports::store::{JobFilter, Page, Retirable, Settlement};
use jiff::Timestamp;

use super::turns::House;
use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, key_of};

async fn state(world: &World, plan: PlanId) -> ScheduleState {
    world.stores.schedules.schedule_get(plan).await.unwrap()
}

/// Returns a tenant's events, and checks on the way that their chain has no gap and no foreign link.
async fn chained(world: &World, tenant: TenantId) -> Vec<Event> {
    let events = world.history.event_list(tenant, 1, u32::MAX).await.unwrap();
    let mut previous: Option<&str> = None;
    for (place, row) in (1..).zip(&events) {
        let expected = (place, chain_hash(&row.event, place, previous));
        assert_eq!((row.sequence, row.hash.clone()), expected, "the chain of events is broken");
        previous = Some(&row.hash);
    }
    events.into_iter().map(|row| row.event).collect()
}

/// A start of these items of a plan, and of its next state.
async fn start(world: &World, plan: &Plan, items: &[Item]) -> Start {
    let job = |item: &Item| Job {
        tenant_id: plan.tenant_id,
        plan_id: Some(plan.id),
        item_id: Some(item.id),
        repository_id: plan.repository_id,
        ..world.backup(0)
    };
    let jobs: Vec<Job> = items.iter().map(job).collect();
    // Texts that only look like parts of a list, or like nothing.
    let mut words = ["NULL", "", "a \"b\" \\ c", "{d,e}", "\\\"\n'"].into_iter().cycle();
    let mut event = |job: Job| {
        let told = world.event(EventKind::Enqueued, &job);
        (job, Event { message: words.next().unwrap_or_default().to_owned(), ..told })
    };
    let mut skipped = world.event(EventKind::Skipped, &jobs[0]);
    (skipped.job_id, skipped.message) = (None, "{\"\\".to_owned());
    let now = world.now();
    let occurrence = Occurrence {
        planned_at: now,
        not_before: now + Duration::from_secs(1),
        start_by: now + Duration::from_secs(2),
        late: Some(Duration::from_secs(3)),
        missed: 4,
    };
    let state = ScheduleState {
        last_planned_at: Some(now),
        next_due_at: Some(now + Duration::from_secs(5)),
        paused_at: Some(now + Duration::from_secs(6)),
        waiting: Some(occurrence),
        skipped_before: 7,
        ..state(world, plan.id).await
    };
    Start { state, set: None, jobs: jobs.into_iter().map(&mut event).collect(), told: vec![skipped] }
}

/// All that a start may change, of both tenants.
async fn all(world: &World, far: &House) -> (Vec<ScheduleState>, Vec<Job>, Vec<Event>, Vec<Event>) {
    let states = vec![state(world, world.plan.id).await, state(world, far.plan.id).await];
    let jobs = world.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap();
    (states, jobs, chained(world, world.tenant.id).await, chained(world, far.tenant.id).await)
}

/// Starts of plans of two tenants are written: states, jobs that can be leased, events in their chains.
///
/// Red when a column is left out of `states_put`, or without `places_put`, `due_of` or the anchors' order in `start`.
pub async fn starts_are_written_together(stores: Stores) {
    let world = World::new(stores, 2).await;
    let far = House::build(&world, "far", 3, "nas.example").await;
    let before = world.event(EventKind::Paused, &world.backup(0));
    let seen = state(&world, world.plan.id).await;
    assert!(world.stores.schedules.schedule_put(&seen, std::slice::from_ref(&before)).await.unwrap());
    let (here, there) = (start(&world, &world.plan, &world.items).await, start(&world, &far.plan, &far.items).await);
    assert!(world.stores.schedules.schedule_start(&[here.clone(), there.clone()]).await.unwrap());

    for started in [&here, &there] {
        let expected = ScheduleState { revision: started.state.revision + 1, ..started.state.clone() };
        assert_eq!(state(&world, started.state.plan_id).await, expected);
        for (job, _) in &started.jobs {
            assert_eq!(world.job(job.id).await, *job);
        }
    }
    let told = |start: &Start| -> Vec<Event> {
        start.jobs.iter().map(|(_, event)| event.clone()).chain(start.told.clone()).collect()
    };
    assert_eq!(chained(&world, world.tenant.id).await, [vec![before], told(&here)].concat());
    assert_eq!(chained(&world, far.tenant.id).await, told(&there));
    let queue = world.jobs.queue_look(100).await.unwrap().queued;
    let hosts: Vec<_> =
        queue.iter().filter(|job| job.tenant_id == far.tenant.id).map(|job| job.host.as_deref()).collect();
    assert_eq!((queue.len(), hosts), (5, vec![Some("nas.example"); 3]));
    assert_eq!(world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 10, TTL).await.unwrap().len(), 5);
}

/// Nothing of all starts is written when one state was changed, one plan was retired or one item is in work.
///
/// Red when `start_once` commits where it answers false, or asks less.
pub async fn starts_in_somebodys_way_write_nothing(stores: Stores) {
    let world = World::new(stores, 2).await;
    let far = House::build(&world, "far", 2, "nas.example").await;
    let here = start(&world, &world.plan, &world.items).await;
    let there = start(&world, &far.plan, &far.items[..1]).await;
    let try_both = async |here: &Start, there: &Start| {
        let before = all(&world, &far).await;
        assert!(!world.stores.schedules.schedule_start(&[here.clone(), there.clone()]).await.unwrap());
        assert!(!world.stores.schedules.schedule_start(&[there.clone(), here.clone()]).await.unwrap());
        assert_eq!(all(&world, &far).await, before);
    };
    let mut late = there.clone();
    late.state.revision += 1;
    try_both(&here, &late).await;
    let busy = world.queued(1).await;
    try_both(&here, &there).await;
    let agent = world.agent();
    let leased = world.claim(agent, 1).await;
    assert_eq!(leased[0].job.id, busy);
    try_both(&here, &there).await;
    world.jobs.job_settle(key_of(&leased[0]), &world.success()).await.unwrap();
    world.stores.declarations.retire(Retirable::Plan(far.plan.id), world.now()).await.unwrap();
    let there = Start { state: state(&world, far.plan.id).await, ..there };
    try_both(&here, &there).await;
    assert!(world.stores.schedules.schedule_start(&[here]).await.unwrap());
}

/// The items of plans come with the moment of their newest good snapshot in the plan's own repository, as one by one.
///
/// Red when `items_question` leaves out the repository, the outcome or what vanished.
pub async fn items_of_plans_come_with_their_newest_good(stores: Stores) {
    let world = World::new(stores, 3).await;
    let far = House::build(&world, "far", 2, "nas.example").await;
    let (agent, mut number) = (world.agent(), 0);
    for outcome in [Outcome::Complete, Outcome::Partial] {
        for item in 0..2 {
            world.queued(item).await;
            world.clock.advance(Duration::from_secs(60));
            let claimed = world.claim(agent, 1).await.remove(0);
            let outcome = if item == 0 { outcome } else { Outcome::Complete };
            number += 1;
            let settled = Settlement {
                state: JobState::Succeeded { outcome, finished_at: world.now() },
                snapshot: Some(world.snapshot(&claimed.job, &format!("{number:064x}"), outcome)),
                ..world.success()
            };
            world.jobs.job_settle(key_of(&claimed), &settled).await.unwrap();
        }
    }
    let listed = world.stores.schedules.schedule_list_items(&[world.plan.id, far.plan.id], world.now()).await.unwrap();
    let found: BTreeMap<(PlanId, ItemId), Option<Timestamp>> =
        listed.iter().map(|row| ((row.plan_id, row.item.id), row.newest_at)).collect();
    let mut expected = BTreeMap::new();
    for (plan, items) in [(&world.plan, &world.items), (&far.plan, &far.items)] {
        for item in items {
            let newest = world.history.snapshot_newest_good(item.id, plan.repository_id).await.unwrap();
            expected.insert((plan.id, item.id), newest.map(|snapshot| snapshot.taken_at));
        }
    }
    assert_eq!(found, expected);
    assert_eq!(found.values().filter(|newest| newest.is_some()).count(), 2, "the test has something to tell apart");
}

/// One tick starts many plans, and those of which one is in the way one by one: the way of one is nobody else's.
///
/// The jobs of one occurrence are one set, whichever way they were started, and it tells what is missing.
///
/// Red when `put` gives up a whole part where one start is in the way, when `starts` or `schedule::start` forgets the set,
/// and when `jobs_put` does not write it.
pub async fn one_in_the_way_holds_nobody_else_up(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let every = || {
        let rhythm = Rhythm::Every(Duration::from_secs(3_600));
        Schedule::new(rhythm, "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap()
    };
    let mut houses = Vec::new();
    for number in 0..7 {
        let house = House::build(&world, &format!("house-{number}"), 2, "nas.example").await;
        let changed = Plan { schedule: every(), ..house.plan.clone() };
        assert!(world.stores.declarations.plan_replace(&house.plan, &changed).await.unwrap());
        houses.push(house);
    }
    tick(&context).await.unwrap();
    // The backup of one item of one house was asked for and is not finished.
    let busy = Job {
        tenant_id: houses[3].tenant.id,
        plan_id: Some(houses[3].plan.id),
        item_id: Some(houses[3].items[0].id),
        repository_id: houses[3].repository.id,
        ..world.backup(0)
    };
    world.enqueue(&busy).await;
    world.clock.advance(Duration::from_secs(3_700));
    let done = tick(&context).await.unwrap();
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    assert_eq!((done.started, done.skipped), (13, 1));
    for house in &houses {
        let filter = JobFilter { tenant_id: Some(house.tenant.id), ..JobFilter::default() };
        let jobs = world.jobs.job_list(filter, Page::first()).await.unwrap();
        assert_eq!(jobs.len(), 2);
        let sets = world.jobs.set_list(Some(house.tenant.id), Page::first()).await.unwrap();
        let set = JobSet { id: sets[0].id, name: house.plan.name.clone(), wanted: 2, ..sets[0].clone() };
        assert_eq!(sets, [set]);
        let places: BTreeSet<_> = jobs.iter().filter_map(|job| job.set).collect();
        let missing = jobs.iter().any(|job| job.id == busy.id);
        let expected = if missing { vec![(sets[0].id, 1)] } else { vec![(sets[0].id, 0), (sets[0].id, 1)] };
        assert_eq!(places.into_iter().collect::<Vec<_>>(), expected, "the busy item is the first of its house");
    }
    let again = tick(&context).await.unwrap();
    assert_eq!((again.started, again.skipped), (0, 0));
}
