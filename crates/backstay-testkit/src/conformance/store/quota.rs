//! Quotas: what is stored is known without reading history, and a backup without room never starts.

use std::sync::Arc;

use backstay_core::domain::asking::Asking;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{RepositoryId, SnapshotId, TenantId};
use backstay_core::domain::job::{
    Failure, FailureClass, Instruction, Job, JobCounts, JobKind, JobState, Outcome, PruneCounts, Target,
};
use backstay_core::domain::quota::{Quota, QuotaError, Usage};
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::managers::digest::digest_preview;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::quota::{PermitError, quota_set, standings};
use backstay_core::managers::request::plan_request;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_core::ports::store::{
    Enqueued, JobFilter, NamedFilter, Page, Pruned, Settlement, StoreError, StoredAfter,
};

use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, key_of, repository};

async fn usage(world: &World) -> (u64, u64) {
    let usage = world.stores.notices.usage_get(world.tenant.id).await.unwrap();
    (usage.bytes, usage.snapshots)
}

/// A result that ends a job.
fn failed() -> JobResult {
    let (class, message, disposition) = (FailureClass::Source, "no such folder".to_owned(), Disposition::Operator);
    JobResult::Failed(Failure { class, message, disposition })
}

/// Backs an item up, and returns its snapshot.
async fn backed_up(world: &World, item: usize, number: u8, bytes_stored: u64) -> SnapshotId {
    let key = world.leased(item, world.agent()).await;
    let mut snapshot = world.snapshot(&world.job(key.job_id).await, &format!("{number:064}"), Outcome::Complete);
    snapshot.counts = JobCounts { bytes_stored, bytes_added: 7, bytes: 9, ..JobCounts::default() };
    let id = snapshot.id;
    world.jobs.job_settle(key, &Settlement { snapshot: Some(snapshot), ..world.success() }).await.unwrap();
    id
}

async fn pruned(world: &World, forgotten: Vec<SnapshotId>, stored: StoredAfter) {
    let job = Job { plan_id: None, item_id: None, instruction: Instruction::Prune, ..world.backup(0) };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let pruned = Some(Pruned { forgotten, has_pending: false, stored });
    world.jobs.job_settle(key, &Settlement { pruned, ..world.success() }).await.unwrap();
}

/// A quota is set, changed, lifted and listed; a tenant that is not there has none to set.
pub async fn a_quota_is_read_back_and_lifted(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    assert_eq!(store.quota_get(world.tenant.id).await.unwrap(), Quota::default());
    for quota in [
        Quota { bytes: Some(7), snapshots: None },
        Quota { bytes: Some(i64::MAX as u64), snapshots: Some(0) },
        Quota::default(),
        Quota { bytes: None, snapshots: Some(3) },
    ] {
        store.quota_put(world.tenant.id, None, quota).await.unwrap();
        assert_eq!(store.quota_get(world.tenant.id).await.unwrap(), quota);
    }
    let (three, four) = (Quota { bytes: None, snapshots: Some(3) }, Quota { bytes: None, snapshots: Some(4) });
    assert!(!store.quota_put(world.tenant.id, Some(four), Quota::default()).await.unwrap(), "it is not what was seen");
    assert_eq!(store.quota_get(world.tenant.id).await.unwrap(), three);
    assert!(store.quota_put(world.tenant.id, Some(three), four).await.unwrap());
    assert!(store.quota_put(world.tenant.id, Some(four), three).await.unwrap());
    let other = Tenant { id: TenantId::new(world.now(), world.ten()), name: "eve".parse().unwrap() };
    let missing = store.quota_put(other.id, None, Quota::default()).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { noun: "tenant", .. }), "{missing:?}");
    store.tenant_add(&other).await.unwrap();
    backed_up(&world, 0, 1, 40).await;
    let all = standings(&context(&world.stores), &NamedFilter::default(), Page::first()).await.unwrap();
    let all: Vec<_> = all.iter().map(|row| (row.tenant.name.as_str(), row.quota.snapshots, row.usage.bytes)).collect();
    assert_eq!(all, [("eve", None, 0), ("ada", Some(3), 40)]);
    let own = NamedFilter::of(Some(other.id));
    let own = standings(&context(&world.stores), &own, Page::first()).await.unwrap();
    assert_eq!(own.iter().map(|row| row.tenant.id).collect::<Vec<_>>(), [other.id]);
}

/// Backups add what they stored, prunes correct it, each repository for itself; other tenants' are not counted.
///
/// Red without `usage_move` in `job/settle.rs` or in `upkeep.rs`.
pub async fn what_is_stored_follows_backups_and_prunes(stores: Stores) {
    let world = World::new(stores, 2).await;
    assert_eq!(usage(&world).await, (0, 0));
    let first = backed_up(&world, 0, 1, 100).await;
    let second = backed_up(&world, 1, 2, 20).await;
    backed_up(&world, 0, 3, 3).await;
    assert_eq!(usage(&world).await, (123, 3));
    // A failure adds nothing: the next prune sees what it left.
    let key = world.leased(0, world.agent()).await;
    let counts = JobCounts { bytes_stored: 1_000, ..JobCounts::default() };
    world.jobs.job_settle(key, &Settlement { counts, ..world.success() }).await.unwrap();
    assert_eq!(usage(&world).await, (123, 3));
    pruned(&world, vec![first], StoredAfter::Less(50)).await;
    assert_eq!(usage(&world).await, (73, 2));
    // One that was forgotten already is not counted again, and a sum never falls below nothing.
    pruned(&world, vec![first, second], StoredAfter::Less(1_000)).await;
    assert_eq!(usage(&world).await, (0, 1));
    pruned(&world, Vec::new(), StoredAfter::Is(61)).await;
    assert_eq!(usage(&world).await, (61, 1));
    // Another repository of the tenant adds its own.
    let more = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "more");
    world.stores.declarations.repository_add(&more).await.unwrap();
    let job = Job { repository_id: more.id, ..world.backup(0) };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let mut snapshot = world.snapshot(&job, &"f".repeat(64), Outcome::Complete);
    snapshot.counts.bytes_stored = 9;
    world.jobs.job_settle(key, &Settlement { snapshot: Some(snapshot), ..world.success() }).await.unwrap();
    assert_eq!(usage(&world).await, (70, 2));
    let other = TenantId::new(world.now(), world.ten());
    assert_eq!(world.stores.notices.usage_get(other).await.unwrap(), Usage::default());
}

/// Whatever an agent says that it stored, its result is taken in: a sum that is too large stays at the largest.
pub async fn a_sum_never_refuses_a_result(stores: Stores) {
    let world = World::new(stores, 2).await;
    backed_up(&world, 0, 1, u64::MAX).await;
    backed_up(&world, 1, 2, u64::MAX).await;
    assert_eq!(usage(&world).await.1, 2);
    assert!(usage(&world).await.0 >= i64::MAX as u64);
}

/// Restores and verifies of a tenant at its limit start; its backups fail before any agent has them, with a class of
/// their own and an event, and the digest says so. A person who asks hears it at once.
///
/// Red without `start_permit` in `managers/lease.rs`, and without `items_permit` in `managers/request.rs`.
pub async fn a_backup_without_room_never_starts(stores: Stores) {
    let world = World::new(stores, 2).await;
    let ports = context(&world.stores);
    let jobs = Arc::new(JobManager::new(ports.clone(), TTL));
    let agent = world.agent();
    let ask = |count_max| LeaseRequest { agent_id: agent, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max };
    let made = backed_up(&world, 0, 1, 100).await;
    let waits = world.queued(0).await;
    quota_set(&ports, world.tenant.id, None, Quota { bytes: Some(100), snapshots: None }).await.unwrap();
    assert!(jobs.job_lease(&ask(5)).await.unwrap().is_empty(), "no agent gets it");
    let job = world.job(waits).await;
    let JobState::Failed { class, message, .. } = &job.state else { panic!("{:?}", job.state) };
    assert_eq!(*class, FailureClass::Quota);
    assert!(message.contains("stores 100 B of 100 B"), "{message}");
    assert_eq!(world.told().await.last(), Some(&EventKind::Failed));
    let before = world.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap().len();
    let refused = plan_request(&ports, &Asking::fresh(world.now(), [1; 32]), world.plan.id).await.unwrap_err();
    assert!(matches!(refused, PermitError::Quota(QuotaError::Bytes { used: 100, limit: 100 })), "{refused:?}");
    assert_eq!(world.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap().len(), before);
    let digest = digest_preview(&ports, &world.tenant, world.now()).await.unwrap();
    let section = digest.sections.iter().find(|section| section.heading == "Quota").unwrap();
    assert!(section.lines[0].starts_with("red: 100 % used") && section.lines[1].contains("no backup starts"));
    // What brings data back, proves it or makes room never asks.
    let sample = SampleRule::everything();
    let target = Target::Directory("/srv/out".into());
    for instruction in [
        Instruction::Verify { snapshot_id: made, sample, slice: None },
        Instruction::Restore { snapshot_id: made, target, terms: RestoreTerms::default() },
    ] {
        world.enqueue(&Job { instruction, plan_id: None, ..world.backup(0) }).await;
    }
    let leased = jobs.job_lease(&ask(5)).await.unwrap();
    assert_eq!(leased.len(), 2);
    for job in leased {
        jobs.job_finish(job.lease_key(), &failed()).await.unwrap();
    }
    world.enqueue(&Job { instruction: Instruction::Prune, plan_id: None, item_id: None, ..world.backup(0) }).await;
    let prune = jobs.job_lease(&ask(5)).await.unwrap().remove(0);
    let counts = PruneCounts { bytes_freed: 1, bytes_left: Some(90), ..PruneCounts::default() };
    jobs.job_finish(prune.lease_key(), &JobResult::Pruned { forgotten: Vec::new(), missing: Vec::new(), counts })
        .await
        .unwrap();
    assert_eq!(usage(&world).await, (90, 1));
    // There is room again.
    world.queued(0).await;
    let job = jobs.job_lease(&ask(5)).await.unwrap().remove(0);
    let snapshot = PublishedSnapshot { foreign_id: "ab".repeat(32), taken_at: world.now() };
    let counts = JobCounts { bytes_stored: 5, ..JobCounts::default() };
    let result =
        JobResult::BackedUp { outcome: Outcome::Complete, snapshot, counts, unread: Unread::default(), warning: None };
    jobs.job_finish(job.lease_key(), &result).await.unwrap();
    assert_eq!(usage(&world).await, (95, 2));
    quota_set(&ports, world.tenant.id, None, Quota { bytes: None, snapshots: Some(2) }).await.unwrap();
    let refused = plan_request(&ports, &Asking::fresh(world.now(), [2; 32]), world.plan.id).await.unwrap_err();
    assert!(matches!(refused, PermitError::Quota(QuotaError::Snapshots { used: 2, limit: 2 })), "{refused:?}");
}

/// An item that is expected to need more than is left is refused by itself; others of the same request start.
pub async fn what_has_room_starts_beside_what_has_none(stores: Stores) {
    let world = World::new(stores, 2).await;
    let ports = context(&world.stores);
    let jobs = JobManager::new(ports.clone(), TTL);
    for number in 1..=3 {
        backed_up(&world, 0, number, 30).await;
    }
    backed_up(&world, 1, 4, 1).await;
    quota_set(&ports, world.tenant.id, None, Quota { bytes: Some(100), snapshots: None }).await.unwrap();
    let asked = plan_request(&ports, &Asking::fresh(world.now(), [1; 32]), world.plan.id).await.unwrap();
    assert_eq!(asked.len(), 2);
    let ask = LeaseRequest { agent_id: world.agent(), kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 5 };
    let leased = jobs.job_lease(&ask).await.unwrap();
    assert_eq!(leased.iter().map(|job| job.item_id).collect::<Vec<_>>(), [Some(world.items[1].id)]);
    let Enqueued::New(refused) = asked[0].1 else { panic!("{:?}", asked[0].1) };
    let state = world.job(refused).await.state;
    assert!(matches!(&state, JobState::Failed { message, .. } if message.contains("expected to add 30 B")));
    let alone = Asking::fresh(world.now(), [2; 32]);
    for job in leased {
        jobs.job_finish(job.lease_key(), &failed()).await.unwrap();
    }
    backed_up(&world, 1, 5, 8).await;
    quota_set(&ports, world.tenant.id, None, Quota { bytes: Some(100), snapshots: Some(5) }).await.unwrap();
    assert!(plan_request(&ports, &alone, world.plan.id).await.is_err(), "no snapshot is left");
}
