//! What retention works on: the port of retention, and the core's upkeep and prunes over it.

use std::time::Duration;

use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::asking::Asking;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{PlanId, RepositoryId, SnapshotId};
use backstay_core::domain::job::{
    Failure, FailureClass, Instruction, Job, JobKind, JobState, Outcome, PruneCounts, Target, Work,
};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::retention::{Count, RetentionPolicy};
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::snapshot::{Mark, Snapshot};
use backstay_core::managers::anomaly::plan_clear;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::request::{restore_request, verify_request};
use backstay_core::managers::rescue::rescue;
use backstay_core::managers::retention::{UPKEEP_EVERY, plan_retention, prune_request, upkeep_tick};
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_core::ports::store::{
    Enqueued, JobFilter, Page, Pruned, Settlement, SnapshotFilter, StoreError, StoredAfter,
};
use jiff::Timestamp;

use crate::conformance::job::context;
use crate::conformance::world::{STALL_LIMIT, Stores, TTL, World, key_of};

/// Makes snapshots of an item, a day apart, and returns them oldest first.
async fn snapshots(world: &World, item: usize, count: usize) -> Vec<Snapshot> {
    let agent = world.agent();
    let mut made = Vec::new();
    for number in 0..count {
        world.clock.advance(Duration::from_secs(24 * 3_600));
        let key = world.leased(item, agent).await;
        let foreign_id = format!("{item:02x}{number:02x}").repeat(16);
        let snapshot = world.snapshot(&world.job(key.job_id).await, &foreign_id, Outcome::Complete);
        let rows = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
        made.push(snapshot);
    }
    made
}

/// Has the world's plan keep so many snapshots of each item.
async fn keep_last(world: &World, count: u32) {
    let retention = RetentionPolicy { keep_last: Count::AtMost(count), minimum: 1, ..RetentionPolicy::default() };
    let was = world.stores.declarations.plan_get(world.plan.id).await.unwrap();
    let plan = Plan { retention, ..was.clone() };
    assert!(world.stores.declarations.plan_replace(&was, &plan).await.unwrap());
    assert_eq!(world.stores.declarations.plan_get(plan.id).await.unwrap(), plan);
    assert!(!world.stores.declarations.plan_replace(&was, &plan).await.unwrap(), "it was seen as it is no more");
}

fn prune(world: &World) -> Job {
    Job { plan_id: None, item_id: None, instruction: Instruction::Prune, ..world.backup(0) }
}

async fn shown(world: &World) -> Vec<SnapshotId> {
    let filter = SnapshotFilter { repository_id: Some(world.repository.id), ..SnapshotFilter::default() };
    let rows = world.history.snapshot_list(filter, Page::first()).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// What a prune forgot is in no list and is no newest good snapshot; its row tells when. Another repository's stays.
///
/// Red without `forgotten_at` in one of the questions, or when the settlement does not look at the repository.
pub async fn what_was_forgotten_is_shown_no_more(stores: Stores) {
    let world = World::new(stores, 1).await;
    let made = snapshots(&world, 0, 3).await;
    let other =
        crate::conformance::world::repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "other");
    world.stores.declarations.repository_add(&other).await.unwrap();
    let elsewhere = Job { repository_id: other.id, ..world.backup(0) };
    world.enqueue(&elsewhere).await;
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let foreign = world.snapshot(&elsewhere, &"ff".repeat(32), Outcome::Complete);
    let rows = Settlement { snapshot: Some(foreign.clone()), ..world.success() };
    world.jobs.job_settle(key, &rows).await.unwrap();
    world.enqueue(&prune(&world)).await;
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let at = world.now();
    let forgotten = vec![made[2].id, made[0].id, foreign.id];
    let pruned = Some(Pruned { forgotten, has_pending: true, stored: StoredAfter::Less(0) });
    world.jobs.job_settle(key, &Settlement { pruned, ..world.success() }).await.unwrap();
    assert_eq!(shown(&world).await, [made[1].id]);
    let whole = world.stores.retention.snapshot_list_whole(world.repository.id).await.unwrap();
    assert_eq!(whole, [made[1].clone()]);
    let newest = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
    assert_eq!(newest.unwrap().id, made[1].id);
    let gone = world.history.snapshot_get(made[2].id).await.unwrap();
    assert_eq!(gone, Snapshot { forgotten_at: Some(at), ..made[2].clone() });
    assert_eq!(world.history.snapshot_get(foreign.id).await.unwrap().forgotten_at, None);
    let due = world.stores.retention.upkeep_list_due(world.now(), 10).await.unwrap();
    let of = |id| due.iter().find(|row| row.repository_id == id).map(|row| row.has_pending);
    assert_eq!((of(world.repository.id), of(other.id)), (Some(true), Some(false)));
}

/// What keeps a snapshot is set once and lifted once, and not while a prune may be removing it.
///
/// Red without the look at leases in `snapshot_mark`.
pub async fn nothing_is_held_while_a_prune_has_its_list(stores: Stores) {
    let world = World::new(stores, 1).await;
    let made = snapshots(&world, 0, 2).await;
    let retention = world.stores.retention.clone();
    let at = world.now();
    let pinned = retention.snapshot_mark(made[0].id, Mark::Pin, true).await.unwrap();
    assert_eq!(pinned, Snapshot { pinned_at: Some(at), ..made[0].clone() });
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(retention.snapshot_mark(made[0].id, Mark::Pin, true).await.unwrap(), pinned, "twice is once");
    let held = retention.snapshot_mark(made[0].id, Mark::Hold, true).await.unwrap();
    assert_eq!(held.held_at, Some(world.now()));
    assert_eq!(retention.snapshot_mark(made[0].id, Mark::Pin, false).await.unwrap().pinned_at, None);
    world.enqueue(&prune(&world)).await;
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let refused = retention.snapshot_mark(made[1].id, Mark::Pin, true).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Busy { by, .. } if by.contains(&key.job_id.to_string())), "{refused}");
    let pruned = Some(Pruned { forgotten: vec![made[1].id], has_pending: false, stored: StoredAfter::Less(0) });
    world.jobs.job_settle(key, &Settlement { pruned, ..world.success() }).await.unwrap();
    let missing = retention.snapshot_mark(made[1].id, Mark::Pin, true).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
    retention.snapshot_mark(made[0].id, Mark::Hold, false).await.unwrap();
}

/// A repository is due when it is made; whoever moves its moment must have seen the one that is there.
pub async fn a_repository_is_looked_at_when_it_is_due(stores: Stores) {
    let world = World::new(stores, 1).await;
    let retention = world.stores.retention.clone();
    let due = retention.upkeep_list_due(world.now(), 10).await.unwrap();
    assert_eq!(due.iter().map(|row| row.repository_id).collect::<Vec<_>>(), [world.repository.id]);
    assert_eq!(due[0].due_at, world.repository.id.made_at(), "what its first prune is named by is no moment of 1970");
    let next = world.now().saturating_add(Duration::from_secs(60)).unwrap();
    assert!(retention.upkeep_put(&due[0], next).await.unwrap());
    assert!(!retention.upkeep_put(&due[0], Timestamp::MAX).await.unwrap(), "another one was there first");
    assert_eq!(retention.upkeep_list_due(world.now(), 10).await.unwrap(), []);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(retention.upkeep_list_due(world.now(), 10).await.unwrap()[0].due_at, next);
}

async fn looked(world: &World) -> u64 {
    let done = upkeep_tick(&context(&world.stores)).await.unwrap();
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    done.started
}

/// A repository is pruned when something goes, once, by what holds at the moment when the prune has it alone.
///
/// Red when `forget_list` forgets pins or what jobs are to read, or is made when the job is enqueued; without
/// `has_pending` nobody removes what the first prune marked.
pub async fn a_prune_forgets_what_nothing_keeps(stores: Stores) {
    let world = World::new(stores, 2).await;
    let (first, second) = (snapshots(&world, 0, 4).await, snapshots(&world, 1, 2).await);
    assert_eq!(looked(&world).await, 0, "a plan without rules keeps everything");
    keep_last(&world, 1).await;
    assert_eq!(looked(&world).await, 0, "it is looked at once a day");
    world.clock.advance(UPKEEP_EVERY);
    assert_eq!(looked(&world).await, 1);
    world.clock.advance(UPKEEP_EVERY);
    assert_eq!(looked(&world).await, 0, "the one before it is not finished");
    // What happens before an agent has the repository still counts.
    world.stores.retention.snapshot_mark(first[0].id, Mark::Pin, true).await.unwrap();
    let (ports, jobs) = (context(&world.stores), JobManager::new(context(&world.stores), TTL));
    let asking = Asking::fresh(world.now(), [9; 32]);
    let verify = verify_request(&ports, &asking, first[1].id, SampleRule::everything()).await.unwrap();
    let kept = plan_retention(&ports, world.plan.id, Page::first()).await.unwrap();
    let of = |id| kept.iter().find(|row| row.item.id == id).unwrap().preview.dropped.len();
    assert_eq!([of(world.items[0].id), of(world.items[1].id)], [2, 1], "the preview says what the rules say");
    let ask = LeaseRequest { agent_id: world.agent(), kinds: vec![JobKind::Prune], held: Vec::new(), count_max: 5 };
    let leased = jobs.job_lease(&ask).await.unwrap().remove(0);
    let Work::Prune { forget, .. } = &leased.state.work else { panic!("{:?}", leased.state.work) };
    let mut ids: Vec<SnapshotId> = forget.iter().map(|row| row.snapshot_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [first[2].id, second[0].id]);
    assert!(forget.iter().any(|row| row.foreign_id == first[2].foreign_id));
    let counts = PruneCounts { bytes_freed: 3 << 20, bytes_pending: 5, ..PruneCounts::default() };
    let result = JobResult::Pruned { forgotten: ids, missing: Vec::new(), counts };
    let state = jobs.job_finish(leased.lease_key(), &result).await.unwrap();
    assert!(matches!(state, JobState::Succeeded { outcome: Outcome::Complete, .. }), "{state:?}");
    assert_eq!(jobs.job_finish(leased.lease_key(), &result).await.unwrap(), state, "its answer was lost on the way");
    let told = world.events().await.pop().unwrap().event;
    assert_eq!(told.kind, EventKind::Succeeded);
    assert!(told.message.contains("2 snapshots forgotten, 3.0 MiB freed"), "{}", told.message);
    assert_eq!(shown(&world).await.len(), 4);
    // What the prune left behind is removed by the next one, though nothing is to be forgotten.
    let cancelled = world.event(EventKind::Cancelled, &world.job(verify).await);
    ports.jobs.job_cancel(verify, world.now(), &cancelled).await.unwrap();
    keep_last(&world, 9).await;
    world.clock.advance(UPKEEP_EVERY);
    assert_eq!(looked(&world).await, 1);
    // One that came before the grace was over leaves the data to the next; then there is nothing left.
    for (packs_waiting, started) in [(1, 1), (0, 0)] {
        let ask = LeaseRequest { agent_id: world.agent(), ..ask.clone() };
        let leased = jobs.job_lease(&ask).await.unwrap().remove(0);
        let counts = PruneCounts { packs_waiting, ..PruneCounts::default() };
        jobs.job_finish(leased.lease_key(), &JobResult::Pruned { forgotten: Vec::new(), missing: Vec::new(), counts })
            .await
            .unwrap();
        world.clock.advance(UPKEEP_EVERY);
        assert_eq!(looked(&world).await, started, "{packs_waiting}");
    }
    let queued = world.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap();
    let newest = queued.iter().find(|job| job.kind() == JobKind::Prune).unwrap();
    assert!(newest.breach_at > newest.created_at, "backups of the same day come first");
}

/// What one of a source's plans keeps stays, whatever another one says; a prune that is live is the answer to a wish.
///
/// Red when a plan is judged without the others of its items.
pub async fn what_one_plan_keeps_stays(stores: Stores) {
    let world = World::new(stores, 1).await;
    let made = snapshots(&world, 0, 4).await;
    keep_last(&world, 1).await;
    let retention = RetentionPolicy { keep_last: Count::AtMost(3), ..RetentionPolicy::default() };
    let id = PlanId::new(world.now(), world.ten());
    let other = Plan { id, name: "weekly".parse().unwrap(), retention, ..world.plan.clone() };
    world.stores.declarations.plan_add(&other).await.unwrap();
    let ports = context(&world.stores);
    let of =
        async |plan: &Plan| plan_retention(&ports, plan.id, Page::first()).await.unwrap().remove(0).preview.dropped;
    assert_eq!(of(&world.plan).await, [made[0].id]);
    assert_eq!(of(&other).await, [made[0].id]);
    let asking = |seed| Asking::fresh(world.now(), [seed; 32]);
    let Enqueued::New(first) = prune_request(&ports, &asking(1), world.repository.id).await.unwrap() else { panic!() };
    assert_eq!(prune_request(&ports, &asking(2), world.repository.id).await.unwrap(), Enqueued::Overlaps(first));
    assert_eq!(prune_request(&ports, &asking(1), world.repository.id).await.unwrap(), Enqueued::New(first));
}

/// A snapshot that was forgotten is neither restored nor read back: the wish is refused, and a job that waited fails.
pub async fn what_was_forgotten_is_not_to_be_read(stores: Stores) {
    let world = World::new(stores, 1).await;
    let made = snapshots(&world, 0, 2).await;
    let (ports, jobs) = (context(&world.stores), JobManager::new(context(&world.stores), TTL));
    let sample = SampleRule::everything();
    let waits = verify_request(&ports, &Asking::fresh(world.now(), [1; 32]), made[0].id, sample).await.unwrap();
    world.enqueue(&Job { breach_at: Timestamp::UNIX_EPOCH, ..prune(&world) }).await;
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let pruned = Some(Pruned { forgotten: vec![made[0].id], has_pending: false, stored: StoredAfter::Less(0) });
    world.jobs.job_settle(key, &Settlement { pruned, ..world.success() }).await.unwrap();
    let refused = verify_request(&ports, &Asking::fresh(world.now(), [2; 32]), made[0].id, sample).await.unwrap_err();
    assert!(refused.to_string().contains("it was forgotten at"), "{refused}");
    let ask = LeaseRequest { agent_id: world.agent(), kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 5 };
    assert_eq!(jobs.job_lease(&ask).await.unwrap().len(), 0);
    let ended = world.job(waits).await.state;
    assert!(matches!(&ended, JobState::Failed { message, .. } if message.contains("forgotten")), "{ended:?}");
}

/// What a plan is suspected of is written with the job that found it, holds every snapshot, and goes once, with an event.
///
/// Red without `held_back` in `managers::retention`, without `suspicion_add` in `settle`, or when the second one replaces the first.
pub async fn a_suspected_plan_keeps_everything_until_it_is_cleared(stores: Stores) {
    let world = World::new(stores, 1).await;
    snapshots(&world, 0, 4).await;
    keep_last(&world, 1).await;
    let (agent, plan_id) = (world.agent(), world.plan.id);
    for message in ["first", "second"] {
        let key = world.leased(0, agent).await;
        let found = Suspicion { plan_id, job_id: key.job_id, at: world.now(), message: message.to_owned() };
        let event = world.event(EventKind::Suspected, &world.job(key.job_id).await);
        let rows = Settlement { suspicion: Some(found), warnings: vec![event], ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
    }
    let asked = context(&world.stores);
    let kept = world.stores.retention.suspicion_list().await.unwrap();
    assert_eq!(kept.iter().map(|row| (row.plan_id, row.message.as_str())).collect::<Vec<_>>(), [(plan_id, "first")]);
    let dropped = async || plan_retention(&asked, plan_id, Page::first()).await.unwrap()[0].preview.dropped.len();
    assert_eq!(dropped().await, 0);
    let told = world.told().await.len();
    assert!(plan_clear(&asked, plan_id).await.unwrap());
    assert!(!plan_clear(&asked, plan_id).await.unwrap(), "there is nothing to lift any more");
    assert_eq!(dropped().await, 3);
    let kinds = world.told().await;
    assert_eq!((kinds.len(), kinds.last()), (told + 1, Some(&EventKind::Cleared)));
    assert!(kinds.contains(&EventKind::Suspected), "what warns is told with the job");
}

/// A prune after one that did not tell its end is told what that may have removed, though something keeps it now: what is gone
/// is told as gone, and no row says for ever that it is there.
///
/// Red when a second attempt knows only what it is to remove, or a job that follows on one that failed.
pub async fn a_prune_that_is_tried_again_doubts_what_stays(stores: Stores) {
    let world = World::new(stores, 1).await;
    let made = snapshots(&world, 0, 3).await;
    keep_last(&world, 1).await;
    // An agent that died, or gave a backup back, may have left its lock.
    let left = world.leased(0, world.agent()).await;
    world.enqueue(&prune(&world)).await;
    let jobs = JobManager::new(context(&world.stores), TTL);
    let lease = async || {
        let ask = LeaseRequest { agent_id: world.agent(), kinds: vec![JobKind::Prune], held: Vec::new(), count_max: 5 };
        let leased = jobs.job_lease(&ask).await.unwrap().remove(0);
        let Work::Prune { forget, doubtful } = &leased.state.work else { panic!("{:?}", leased.state.work) };
        let ids = [forget, doubtful].map(|rows| rows.iter().map(|row| row.snapshot_id).collect::<Vec<_>>());
        (leased.lease_key(), ids, leased.state.repository.over)
    };
    jobs.job_wait(left, Duration::from_secs(3_600), "the repository is locked").await.unwrap();
    let (key, [mut goes, doubtful], over) = lease().await;
    assert_eq!(over, [left]);
    goes.sort_unstable();
    assert_eq!((goes, doubtful), (vec![made[0].id, made[1].id], Vec::new()));
    jobs.job_wait(key, Duration::from_secs(1), "the repository is locked").await.unwrap();
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(rescue(&context(&world.stores), STALL_LIMIT).await.unwrap().woken, 1);
    world.stores.retention.snapshot_mark(made[0].id, Mark::Pin, true).await.unwrap();
    let first = key;
    let (key, [goes, mut doubtful], over) = lease().await;
    assert_eq!(over, [left, first]);
    doubtful.sort_unstable();
    assert_eq!((goes, doubtful), (vec![made[1].id], vec![made[0].id, made[2].id]));
    // The first attempt had removed the oldest, which was pinned since, and the newest is gone too, whoever took it.
    let missing = vec![made[0].id, made[2].id];
    let result = JobResult::Pruned { forgotten: vec![made[1].id], missing, counts: PruneCounts::default() };
    jobs.job_finish(key, &result).await.unwrap();
    // What somebody pinned stays to be seen, and all of it is told.
    assert_eq!(shown(&world).await, [made[0].id]);
    let told = world.events().await.into_iter().map(|row| row.event).find(|event| event.kind == EventKind::Warned);
    let words = told.expect("a loss is told").message;
    assert!(words.contains("2 snapshots are not in the repository") && words.contains("1 of them pinned"), "{words}");
    // One that told its end is followed by one that doubts nothing, and one that did not by one that does.
    let failure = Failure {
        class: FailureClass::Storage,
        message: "no such bucket".to_owned(),
        disposition: Disposition::Operator,
    };
    let nothing = PruneCounts::default();
    let done = JobResult::Pruned { forgotten: Vec::new(), missing: Vec::new(), counts: nothing };
    for (result, doubted) in [(&JobResult::Failed(failure), vec![]), (&done, vec![made[0].id]), (&done, vec![])] {
        world.enqueue(&prune(&world)).await;
        let (key, [_, doubtful], _) = lease().await;
        assert_eq!(doubtful, doubted);
        jobs.job_finish(key, result).await.unwrap();
    }
}

/// What a prune that has begun forgets is not asked for any more, and what it leaves is; before it began, a wish keeps
/// what it names.
///
/// Red when a restore is taken in whose snapshot is gone when its turn comes.
pub async fn what_a_prune_that_has_begun_forgets_is_refused(stores: Stores) {
    let world = World::new(stores, 1).await;
    let made = snapshots(&world, 0, 3).await;
    keep_last(&world, 1).await;
    let (ports, jobs) = (context(&world.stores), JobManager::new(context(&world.stores), TTL));
    let asking = |seed| Asking::fresh(world.now(), [seed; 32]);
    let restore = async |seed, snapshot: &Snapshot| {
        let target = Target::Directory("/tmp/back".into());
        restore_request(&ports, &asking(seed), snapshot.id, target, RestoreTerms::default()).await
    };
    let Enqueued::New(prune) = prune_request(&ports, &asking(1), world.repository.id).await.unwrap() else { panic!() };
    restore(2, &made[0]).await.unwrap();
    let ask = LeaseRequest { agent_id: world.agent(), kinds: vec![JobKind::Prune], held: Vec::new(), count_max: 1 };
    let leased = jobs.job_lease(&ask).await.unwrap().remove(0);
    let Work::Prune { forget, .. } = &leased.state.work else { panic!("{:?}", leased.state.work) };
    assert_eq!(forget.iter().map(|row| row.snapshot_id).collect::<Vec<_>>(), [made[1].id]);

    let refused = restore(3, &made[1]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Busy { by, .. } if by.contains(&prune.to_string())), "{refused}");
    let refused = verify_request(&ports, &asking(4), made[1].id, SampleRule::everything()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
    restore(5, &made[0]).await.unwrap();
    restore(6, &made[2]).await.unwrap();

    let forgotten = vec![made[1].id];
    let result = JobResult::Pruned { forgotten, missing: Vec::new(), counts: PruneCounts::default() };
    jobs.job_finish(leased.lease_key(), &result).await.unwrap();
    assert!(matches!(restore(7, &made[1]).await, Err(StoreError::NotFound { .. })));
}
