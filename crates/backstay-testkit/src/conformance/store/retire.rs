//! What is retired: nothing new is made of it, and nothing that it made is lost.

use std::time::Duration;

use backstay_core::domain::asking::Asking;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{PlanId, RepositoryId, SnapshotId, SourceId};
use backstay_core::domain::job::{Instruction, Job, JobKind, Outcome, StateName, Target, Work};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::retention::{Count, Reason, RetentionPolicy};
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::schedule::{OverlapKey, Schedule};
use backstay_core::domain::snapshot::Mark;
use backstay_core::domain::source::Source;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::quota::PermitError;
use backstay_core::managers::request::{plan_request, restore_request, verify_request};
use backstay_core::managers::retention::plan_retention;
use backstay_core::managers::retire::{RetireError, retire};
use backstay_core::managers::schedule::{PauseWish, plan_pause, tick};
use backstay_core::managers::watch::watch_tick;
use backstay_core::ports::job::{Jobs as _, LeaseRequest};
use backstay_core::ports::notice::AlertFilter;
use backstay_core::ports::store::{Enqueued, Page, Retirable, Settlement, StoreError};

use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, key_of, repository};

/// Declares a plan of the world's source and repository.
async fn plan_beside(world: &World, name: &str) -> Plan {
    let plan = Plan { id: PlanId::new(world.now(), world.ten()), name: name.parse().unwrap(), ..world.plan.clone() };
    world.stores.declarations.plan_add(&plan).await.unwrap();
    plan
}

async fn retired(world: &World, what: Retirable) {
    retire(&context(&world.stores), what).await.unwrap();
}

/// A retired row is found by its id and says when; its name is free for one new row, and for one only.
///
/// Red with the key of names without its mark, or without the key.
pub async fn the_name_of_what_is_retired_is_free(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let (was, at) = (world.plan.id, world.now());
    retired(&world, Retirable::Plan(was)).await;
    world.clock.advance(Duration::from_secs(5));
    retired(&world, Retirable::Plan(was)).await;
    assert_eq!(store.plan_get(was).await.unwrap().retired_at, Some(at), "asking twice is asking once");
    for place in 1..=2 {
        let again = plan_beside(&world, "daily").await;
        let taken = store.plan_add(&Plan { id: PlanId::new(world.now(), world.ten()), ..again.clone() }).await;
        assert!(matches!(taken, Err(StoreError::Taken { noun: "plan", .. })), "{taken:?}");
        retired(&world, Retirable::Plan(again.id)).await;
        assert_eq!(store.plan_list(Some(world.tenant.id)).await.unwrap().len(), 1 + place);
    }
    retired(&world, Retirable::Source(world.source.id)).await;
    retired(&world, Retirable::Repository(world.repository.id)).await;
    assert!(store.source_get(world.source.id).await.unwrap().retired_at.is_some());
    assert!(store.repository_get(world.repository.id).await.unwrap().retired_at.is_some());
    let id = RepositoryId::new(world.now(), world.ten());
    store.repository_add(&repository(world.tenant.id, id, "home")).await.unwrap();
    let id = SourceId::new(world.now(), world.ten());
    store.source_add(&Source { id, ..world.source.clone() }, &[]).await.unwrap();
    let missing = store.retire(Retirable::Plan(PlanId::new(world.now(), world.ten())), at).await;
    assert!(matches!(missing, Err(StoreError::NotFound { noun: "plan", .. })), "{missing:?}");
}

/// A source or a repository that a live plan uses is not retired, and the answer names the plans.
pub async fn what_a_plan_needs_is_not_retired(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ports = context(&world.stores);
    let weekly = plan_beside(&world, "weekly").await;
    for (what, noun) in
        [(Retirable::Source(world.source.id), "source"), (Retirable::Repository(world.repository.id), "repository")]
    {
        let refused = retire(&ports, what).await.unwrap_err();
        assert!(matches!(&refused, RetireError::InUse { noun: of, .. } if *of == noun), "{refused:?}");
        assert_eq!(refused.to_string(), format!("the {noun} is in use by plans: daily, weekly"));
    }
    retired(&world, Retirable::Plan(world.plan.id)).await;
    let refused = retire(&ports, Retirable::Source(world.source.id)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the source is in use by a plan: weekly");
    assert!(world.stores.declarations.source_get(world.source.id).await.unwrap().retired_at.is_none());
    retired(&world, Retirable::Plan(weekly.id)).await;
    retired(&world, Retirable::Source(world.source.id)).await;
}

/// No way leads from what is retired to something new: no request, no tick, no change, no plan, no prune.
///
/// Red without `job_permit` in `job/enqueue.rs`, without `plan_permit` in `declaration.rs`, without `rest` in `retire.rs`.
pub async fn nothing_new_is_made_of_what_is_retired(stores: Stores) {
    let world = World::new(stores, 2).await;
    let ports = context(&world.stores);
    let store = &world.stores.declarations;
    let hourly =
        Schedule::new("every 1h".parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap();
    let scheduled = Plan { schedule: hourly, ..world.plan.clone() };
    assert!(store.plan_replace(&world.plan, &scheduled).await.unwrap());
    retired(&world, Retirable::Plan(world.plan.id)).await;
    world.clock.advance(Duration::from_secs(7_200));
    assert_eq!(world.stores.schedules.schedule_list_due(world.now(), 9).await.unwrap(), []);
    world.stores.schedules.schedule_look_again().await.unwrap();
    assert_eq!(tick(&ports).await.unwrap().looked, 0);
    let refused = plan_request(&ports, &Asking::fresh(world.now(), [1; 32]), world.plan.id).await.unwrap_err();
    assert!(matches!(refused, PermitError::Store(StoreError::Retired { noun: "plan", .. })), "{refused:?}");
    // Who had read the plan before it was retired is refused by the store.
    let job = world.backup(0);
    let refused = world.jobs.job_enqueue(&job, &world.event(EventKind::Enqueued, &job), None).await;
    assert!(matches!(refused, Err(StoreError::Retired { noun: "plan", .. })), "{refused:?}");
    assert!(matches!(plan_pause(&ports, world.plan.id, PauseWish::Pause).await, Err(StoreError::Retired { .. })));
    let was = store.plan_get(world.plan.id).await.unwrap();
    let changed = Plan { rpo: Duration::from_secs(3_600), ..was.clone() };
    assert!(!store.plan_replace(&was, &changed).await.unwrap());
    let other = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "other");
    store.repository_add(&other).await.unwrap();
    retired(&world, Retirable::Repository(other.id)).await;
    let live = plan_beside(&world, "live").await;
    let moved = Plan { repository_id: other.id, ..live.clone() };
    let refused = store.plan_replace(&live, &moved).await;
    assert!(matches!(refused, Err(StoreError::Retired { noun: "repository", .. })), "{refused:?}");
    let id = PlanId::new(world.now(), world.ten());
    let refused = store.plan_add(&Plan { id, name: "moved".parse().unwrap(), ..moved }).await;
    assert!(matches!(refused, Err(StoreError::Retired { noun: "repository", .. })), "{refused:?}");
    let prune = Job { instruction: Instruction::Prune, plan_id: None, item_id: None, repository_id: other.id, ..job };
    let refused = world.jobs.job_enqueue(&prune, &world.event(EventKind::Enqueued, &prune), None).await;
    assert!(matches!(refused, Err(StoreError::Retired { noun: "repository", .. })), "{refused:?}");
    retired(&world, Retirable::Plan(live.id)).await;
    retired(&world, Retirable::Source(world.source.id)).await;
    let id = PlanId::new(world.now(), world.ten());
    let refused = store.plan_add(&Plan { id, name: "late".parse().unwrap(), ..world.plan.clone() }).await;
    assert!(matches!(refused, Err(StoreError::Retired { noun: "source", .. })), "{refused:?}");
}

/// What waits is cancelled with an event; what an agent has goes on, and its snapshot counts.
pub async fn what_waits_is_cancelled_and_what_runs_goes_on(stores: Stores) {
    let world = World::new(stores, 2).await;
    let runs = world.leased(0, world.agent()).await;
    let waits = world.queued(1).await;
    let unrelated = Job { instruction: Instruction::Prune, plan_id: None, item_id: None, ..world.backup(0) };
    assert_eq!(world.enqueue(&unrelated).await, Enqueued::New(unrelated.id));
    retired(&world, Retirable::Plan(world.plan.id)).await;
    assert_eq!(world.job(waits).await.state.name(), StateName::Cancelled);
    assert_eq!(world.job(runs.job_id).await.state.name(), StateName::Leased);
    assert_eq!(world.job(unrelated.id).await.state.name(), StateName::Queued);
    let events = world.events().await;
    let last = &events.last().unwrap().event;
    assert_eq!((last.kind, last.job_id), (EventKind::Cancelled, Some(waits)));
    assert!(last.message.contains("its plan was retired"), "{}", last.message);
    let snapshot = world.snapshot(&world.job(runs.job_id).await, &"a".repeat(64), Outcome::Complete);
    let rows = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
    world.jobs.job_settle(runs, &rows).await.unwrap();
    assert_eq!(world.history.snapshot_get(snapshot.id).await.unwrap().foreign_id, snapshot.foreign_id);
}

async fn saved(world: &World, plan: &Plan, number: u8) -> SnapshotId {
    world.clock.advance(Duration::from_secs(24 * 3_600));
    let job = Job { plan_id: Some(plan.id), ..world.backup(0) };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let snapshot = world.snapshot(&job, &format!("{number:02x}").repeat(32), Outcome::Complete);
    let rows = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
    world.jobs.job_settle(key, &rows).await.unwrap();
    snapshot.id
}

/// Snapshots that were there when a plan was retired stay, whatever another plan of the same items drops; they are
/// restored and verified as before.
///
/// Red without `is_left` in `managers/retention.rs`, or where `forget_list` ends early.
pub async fn snapshots_of_a_retired_plan_stay(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ports = context(&world.stores);
    let weekly = plan_beside(&world, "weekly").await;
    let retention = RetentionPolicy { keep_last: Count::AtMost(1), minimum: 1, ..RetentionPolicy::default() };
    let strict = Plan { retention, ..weekly.clone() };
    assert!(world.stores.declarations.plan_replace(&weekly, &strict).await.unwrap());
    let mut made = Vec::new();
    for number in 1..=3 {
        made.push(saved(&world, &world.plan, number).await);
    }
    retired(&world, Retirable::Plan(world.plan.id)).await;
    for number in 4..=6 {
        made.push(saved(&world, &weekly, number).await);
    }
    let preview = plan_retention(&ports, weekly.id, Page::first()).await.unwrap().remove(0).preview;
    assert_eq!(preview.dropped.iter().collect::<std::collections::BTreeSet<_>>(), [&made[3], &made[4]].into());
    for verdict in preview.verdicts.iter().filter(|verdict| made[..3].contains(&verdict.id)) {
        assert!(verdict.reasons.contains(&Reason::Retired), "{verdict:?}");
    }
    let job = Job { instruction: Instruction::Prune, plan_id: None, item_id: None, ..world.backup(0) };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    let jobs = JobManager::new(ports.clone(), TTL);
    let ask =
        |count_max| LeaseRequest { agent_id: world.agent(), kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max };
    let prune = jobs.job_lease(&ask(1)).await.unwrap().remove(0);
    let Work::Prune { forget, .. } = &prune.state.work else { panic!("{:?}", prune.state.work) };
    let mut forget: Vec<SnapshotId> = forget.iter().map(|row| row.snapshot_id).collect();
    forget.sort();
    assert_eq!(forget, made[3..5], "only what came after the retirement follows the other plan's rules");
    world.jobs.job_settle(prune.lease_key(), &world.success()).await.unwrap();
    // With no plan left that lives, everything stays but what a person wants forgotten.
    retired(&world, Retirable::Plan(weekly.id)).await;
    for unwanted in [None, Some(made[1])] {
        if let Some(id) = unwanted {
            world.stores.retention.snapshot_mark(id, Mark::Unwanted, true).await.unwrap();
        }
        let id = Job { instruction: Instruction::Prune, plan_id: None, item_id: None, ..world.backup(0) };
        assert_eq!(world.enqueue(&id).await, Enqueued::New(id.id));
        let prune = jobs.job_lease(&ask(1)).await.unwrap().remove(0);
        let Work::Prune { forget, .. } = &prune.state.work else { panic!("{:?}", prune.state.work) };
        assert_eq!(forget.iter().map(|row| row.snapshot_id).collect::<Vec<_>>(), Vec::from_iter(unwanted));
        world.jobs.job_settle(prune.lease_key(), &world.success()).await.unwrap();
    }
    retired(&world, Retirable::Source(world.source.id)).await;
    retired(&world, Retirable::Repository(world.repository.id)).await;
    let asking = |seed| Asking::fresh(world.now(), [seed; 32]);
    let target = Target::Directory("/srv/out".into());
    restore_request(&ports, &asking(1), made[0], target, RestoreTerms::default()).await.unwrap();
    verify_request(&ports, &asking(2), made[0], SampleRule::everything()).await.unwrap();
    assert_eq!(jobs.job_lease(&ask(5)).await.unwrap().len(), 2);
}

/// An alert of an item ends with its plan, and the item is watched no more.
pub async fn a_retired_plan_raises_no_alarm(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ports = context(&world.stores);
    world.clock.advance(Duration::from_secs(3 * 86_400));
    watch_tick(&ports).await.unwrap();
    let live = AlertFilter { is_live: true, ..AlertFilter::default() };
    assert_eq!(world.stores.notices.alert_list(live, Page::first()).await.unwrap().len(), 1);
    retired(&world, Retirable::Plan(world.plan.id)).await;
    let ticked = watch_tick(&ports).await.unwrap();
    assert!(ticked.looked == 1 && ticked.failed.is_empty(), "{ticked:?}");
    assert_eq!(world.stores.notices.alert_list(live, Page::first()).await.unwrap(), []);
    world.clock.advance(Duration::from_secs(90 * 86_400));
    assert_eq!(watch_tick(&ports).await.unwrap().looked, 0);
}
