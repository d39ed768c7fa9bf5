//! Promises about whose turn it is: caps hold whoever claims, tenants share, and nobody waits behind what cannot run.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::fairness::{Caps, Rules, Slot};
use backstay_core::domain::id::{ItemId, JobId, PlanId, RepositoryId, SourceId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobKind};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::StorageSettings;
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::store::{Enqueued, JobFilter};
use serde_json::json;

use crate::conformance::world::{Stores, TTL, World, key_of, repository};

/// Claimers of the race.
const CLAIMERS: usize = 8;

/// Another tenant with items of its own.
pub(super) struct House {
    pub(super) tenant: Tenant,
    pub(super) items: Vec<Item>,
    pub(super) repository: Repository,
    pub(super) plan: Plan,
}

impl House {
    /// Makes a tenant whose source lies on a host and whose storage answers at an endpoint.
    pub(super) async fn build(world: &World, name: &str, items: usize, host: &str) -> Self {
        let now = world.now();
        let tenant = Tenant { id: TenantId::new(now, world.ten()), name: name.parse().unwrap() };
        let settings = json!({ "path": "/srv", "host": host });
        let (name, kind) = ("files".parse().unwrap(), "filesystem".to_owned());
        let source = Source {
            id: SourceId::new(now, world.ten()),
            tenant_id: tenant.id,
            name,
            kind,
            settings,
            retired_at: None,
        };
        let item = |number: usize| Item {
            id: ItemId::new(now, world.ten()),
            source_id: source.id,
            name: format!("/srv/{number:03}"),
            vanished_at: None,
        };
        let items: Vec<Item> = (0..items).map(item).collect();
        let storage =
            StorageSettings { kind: "s3".to_owned(), settings: json!({ "endpoint": format!("https://{host}/") }) };
        let repository = Repository { storage, ..repository(tenant.id, RepositoryId::new(now, world.ten()), "own") };
        let plan = Plan {
            id: PlanId::new(now, world.ten()),
            tenant_id: tenant.id,
            source_id: source.id,
            repository_id: repository.id,
            ..world.plan.clone()
        };
        world.stores.declarations.tenant_add(&tenant).await.unwrap();
        world.stores.declarations.source_add(&source, &items).await.unwrap();
        world.stores.declarations.repository_add(&repository).await.unwrap();
        world.stores.declarations.plan_add(&plan).await.unwrap();
        Self { tenant, items, repository, plan }
    }

    /// Puts a backup of an item in the queue, which breaches so many seconds after now.
    pub(super) async fn queued(&self, world: &World, item: usize, breach: i64) -> JobId {
        let job = Job {
            tenant_id: self.tenant.id,
            plan_id: Some(self.plan.id),
            item_id: Some(self.items[item].id),
            repository_id: self.repository.id,
            breach_at: world.now() + jiff::SignedDuration::from_secs(breach),
            ..world.backup(0)
        };
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        job.id
    }
}

pub(super) async fn rules(world: &World, rules: Rules) {
    let (_, seen) = world.jobs.queue_rules_get().await.unwrap();
    assert!(world.jobs.queue_rules_put(seen, &rules).await.unwrap());
}

fn caps(caps: Caps) -> Rules {
    Rules { caps, weights: HashMap::new() }
}

/// Leases one job to a new agent and returns whose it is.
async fn turn(world: &World) -> Option<TenantId> {
    let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 1, TTL).await.unwrap();
    claimed.first().map(|row| row.job.tenant_id)
}

/// Rules come back as they were put, and of two who change them one does.
///
/// Red when a field of `RulesTwin` is left out, or when `rules_put` does not look at the revision.
pub async fn rules_are_read_back_and_changed_by_one(stores: Stores) {
    let world = World::new(stores, 1).await;
    let (before, revision) = world.jobs.queue_rules_get().await.unwrap();
    assert_eq!(before, Rules::default());
    let slots = [
        Slot::Global,
        Slot::Tenant(world.tenant.id),
        Slot::Host("nas.example".to_owned()),
        Slot::Repository(world.repository.id),
        Slot::Endpoint("https://s3.example".to_owned()),
        Slot::Kind(JobKind::Prune),
    ];
    let all = Rules {
        caps: Caps {
            global: Some(1),
            tenant: Some(2),
            host: Some(3),
            repository: Some(4),
            endpoint: Some(5),
            kind: Some(6),
            exceptions: slots.into_iter().zip(7..).collect(),
        },
        weights: HashMap::from([(world.tenant.id, 9)]),
    };
    assert!(world.jobs.queue_rules_put(revision, &all).await.unwrap());
    assert!(!world.jobs.queue_rules_put(revision, &Rules::default()).await.unwrap());
    assert_eq!(world.jobs.queue_rules_get().await.unwrap(), (all, revision + 1));
}

/// Eight claimers at once never exceed a cap, of whatever it is; what ends makes room for just as many.
///
/// Red without `rules_locked` in `turns::line`: two claims count the same.
pub async fn caps_hold_whoever_claims(stores: Stores) {
    let world = Arc::new(World::new(stores, 24).await);
    let far = House::build(&world, "far", 24, "nas.example").await;
    for item in 0..24 {
        world.queued(item).await;
        far.queued(&world, item, 0).await;
    }
    let race = async || {
        let claimer = |_| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                for _ in 0..3 {
                    claimed.extend(world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 2, TTL).await.unwrap());
                }
                claimed
            })
        };
        let mut claimed = Vec::new();
        for claimer in (0..CLAIMERS).map(claimer).collect::<Vec<_>>() {
            claimed.extend(claimer.await.unwrap());
        }
        claimed
    };
    let only = |slot, cap| Caps { exceptions: HashMap::from([(slot, cap)]), ..Caps::default() };
    let of_far = |cap| Some((far.tenant.id, cap));
    for (caps_now, most, one) in [
        (Caps { global: Some(5), ..Caps::default() }, 5, None),
        (Caps { tenant: Some(3), ..Caps::default() }, 6, of_far(3)),
        (Caps { repository: Some(2), global: Some(3), ..Caps::default() }, 3, None),
        (Caps { kind: Some(4), ..Caps::default() }, 4, None),
        (Caps { global: Some(9), ..only(Slot::Host("nas.example".to_owned()), 2) }, 9, of_far(2)),
        (Caps { global: Some(9), ..only(Slot::Endpoint("https://nas.example".to_owned()), 1) }, 9, of_far(1)),
    ] {
        rules(&world, caps(caps_now.clone())).await;
        for round in 0..2 {
            let claimed = race().await;
            assert_eq!(claimed.len(), most, "round {round} of {caps_now:?}");
            let theirs = claimed.iter().filter(|row| row.job.tenant_id == far.tenant.id).count();
            assert!(one.is_none_or(|(_, cap)| theirs == cap), "{theirs} of {caps_now:?}");
            for row in &claimed {
                let waiting = backstay_core::domain::job::JobState::Queued { not_before: world.now() };
                let back = crate::conformance::world::settlement(waiting);
                world.jobs.job_settle(key_of(row), &back).await.unwrap();
            }
        }
    }
}

/// Tenants take turns by their shares, however urgent or many the jobs of one are; a share that nobody uses is lent.
///
/// Red when the claim does not ask `admit`, or does not hand it what runs or the weights.
pub async fn tenants_take_turns_by_their_shares(stores: Stores) {
    let world = World::new(stores, 12).await;
    for item in 0..12 {
        world.queued(item).await;
    }
    let late = House::build(&world, "late", 8, "b.example").await;
    for item in 0..8 {
        late.queued(&world, item, 86_400).await;
    }
    let (a, b) = (Some(world.tenant.id), Some(late.tenant.id));
    assert_eq!([turn(&world).await, turn(&world).await, turn(&world).await, turn(&world).await], [a, b, a, b]);
    rules(&world, Rules { weights: HashMap::from([(late.tenant.id, 3)]), ..Rules::default() }).await;
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.push(turn(&world).await);
    }
    // Two run of each: with three times the weight, four more come before their next.
    assert_eq!(turns, [b, b, b, b, a, b]);
    let mut rest = Vec::new();
    while let Some(tenant) = turn(&world).await {
        rest.push(tenant);
    }
    assert_eq!(rest.len(), 10, "what nobody else wants is lent");
}

/// What may not run now does not keep those from running that stand behind it.
///
/// Red when `turns::line` looks at the first rows alone.
pub async fn nobody_waits_behind_what_is_full(stores: Stores) {
    let world = World::new(stores, 60).await;
    let far = House::build(&world, "far", 1, "b.example").await;
    rules(&world, caps(Caps { repository: Some(1), ..Caps::default() })).await;
    for item in 0..60 {
        world.queued(item).await;
    }
    let other = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "second");
    world.stores.declarations.repository_add(&other).await.unwrap();
    far.queued(&world, 0, 9_000).await;
    let verify = backstay_core::domain::job::Instruction::Verify {
        snapshot_id: backstay_core::domain::id::SnapshotId::new(world.now(), world.ten()),
        sample: backstay_core::domain::sample::SampleRule::everything(),
        slice: None,
    };
    let last = Job {
        instruction: verify,
        repository_id: other.id,
        breach_at: world.now() + jiff::SignedDuration::from_secs(7_000),
        ..world.backup(0)
    };
    world.enqueue(&last).await;
    let mut repositories = BTreeSet::new();
    for _ in 0..4 {
        let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 1, TTL).await.unwrap();
        repositories.extend(claimed.iter().map(|row| row.job.repository_id));
    }
    assert_eq!(repositories, BTreeSet::from([world.repository.id, far.repository.id, other.id]));
}

/// With more tenants than one window has lanes, each of them gets its turn, and each job is leased once.
///
/// Red when `turns::lanes` begins always at the first tenant, for then the window shows only those.
pub async fn each_of_many_tenants_gets_its_turn(stores: Stores) {
    let world = World::new(stores, 1).await;
    let mut tenants = BTreeSet::new();
    for number in 0..30 {
        world.clock.advance(Duration::from_millis(5));
        let house = House::build(&world, &format!("t{number}"), 3, "c.example").await;
        for item in 0..3 {
            house.queued(&world, item, 0).await;
        }
        tenants.insert(house.tenant.id);
    }
    let mut seen = BTreeSet::new();
    let mut jobs = BTreeSet::new();
    while jobs.len() < 90 {
        world.clock.advance(Duration::from_micros(999));
        let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 4, TTL).await.unwrap();
        assert!(!claimed.is_empty(), "{} are leased, and nobody gets another", jobs.len());
        for row in claimed {
            assert!(jobs.insert(row.job.id), "leased twice");
            seen.insert(row.job.tenant_id);
        }
        assert!(jobs.len() < 60 || seen == tenants, "{} had their turn when {} were leased", seen.len(), jobs.len());
    }
}

/// The queue is shown in its order, as far as is asked, with all that runs.
pub async fn the_queue_is_looked_at_from_its_beginning(stores: Stores) {
    let world = World::new(stores, 5).await;
    let leased = world.leased(0, world.agent()).await;
    let mut queued = Vec::new();
    for item in 1..5 {
        queued.push(world.queued(item).await);
    }
    // Of one moment, in the order of their ids.
    queued.sort();
    let look = world.jobs.queue_look(3).await.unwrap();
    assert!(look.has_more);
    assert_eq!(look.queued.iter().map(|row| row.job_id).collect::<Vec<_>>(), queued[..3]);
    let running: Vec<_> = look.running.iter().map(|(row, at)| (row.job_id, row.tenant_id, row.kind, *at)).collect();
    assert_eq!(running, [(leased.job_id, world.tenant.id, JobKind::Backup, world.now())]);
    assert!(!world.jobs.queue_look(4).await.unwrap().has_more);
    world.clock.advance(Duration::from_secs(20));
    world.jobs.job_settle(leased, &world.success()).await.unwrap();
    let durations = async |item_id| {
        let filter = JobFilter { item_id, kind: Some(JobKind::Backup), ..JobFilter::default() };
        world.jobs.job_durations(filter, 20).await.unwrap()
    };
    assert_eq!(durations(Some(world.items[0].id)).await, [Duration::from_secs(20)]);
    assert_eq!(durations(Some(world.items[1].id)).await, []);
    assert_eq!(durations(None).await, [Duration::from_secs(20)]);
}

/// Whose first jobs all wait for one repository is seen at another one, though others have more urgent jobs than a claim
/// looks at; and so is, behind a job that wants a repository alone and has waited long, what lies elsewhere.
///
/// Red without the second look in `turns::line`, or when `Exclusions::beside` leaves out repositories or what waits.
pub async fn who_is_kept_from_one_repository_is_seen_at_another(stores: Stores) {
    let world = World::new(stores, 10).await;
    let far = House::build(&world, "far", 40, "nas.example").await;
    let elsewhere = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "elsewhere");
    world.stores.declarations.repository_add(&elsewhere).await.unwrap();
    let first = world.queued(0).await;
    (world.stores.hold_alone)(first).await;
    let agent = world.agent();
    let held = key_of(&world.claim(agent, 1).await[0]);
    for item in 1..8 {
        world.queued(item).await;
    }
    for item in 0..40 {
        far.queued(&world, item, 10 + i64::try_from(item).unwrap()).await;
    }
    let there = async |item: usize| {
        let breach_at = world.now() + jiff::SignedDuration::from_secs(1_000);
        let job = Job { repository_id: elsewhere.id, breach_at, ..world.backup(item) };
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        job.id
    };
    let wanted = there(8).await;
    let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 3, TTL).await.unwrap();
    let ids: Vec<JobId> = claimed.iter().map(|row| row.job.id).collect();
    assert!(ids.contains(&wanted), "it is this tenant's turn, and its job elsewhere is free");
    // Now a job waits for the first repository alone, longer than it is overtaken, while another one works there.
    world.jobs.job_settle(held, &world.success()).await.unwrap();
    let sharing = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 1, TTL).await.unwrap();
    assert_eq!(sharing[0].job.repository_id, world.repository.id);
    let alone = world.queued(0).await;
    (world.stores.hold_alone)(alone).await;
    world.clock.advance(Duration::from_secs(11 * 60));
    let wanted = there(9).await;
    let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 4, TTL).await.unwrap();
    let ids: Vec<JobId> = claimed.iter().map(|row| row.job.id).collect();
    assert!(ids.contains(&wanted), "what waits for one repository holds nobody back at another");
    let here = claimed.iter().filter(|row| row.job.repository_id == world.repository.id).count();
    assert_eq!(here, 0, "nobody overtakes it on its own repository any more");
}
