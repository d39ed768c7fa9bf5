//! How far the proofs of repositories are: the port, and the core's verifies by budget over it.

use std::time::Duration;

use backstay_core::domain::alert::Severity;
use backstay_core::domain::evidence::{self, Drill, Findings, SliceFindings};
use backstay_core::domain::id::{ItemId, RepositoryId, SnapshotId, TenantId};
use backstay_core::domain::job::{Instruction, Job, JobCounts, JobKind, JobState, Outcome, StateName, Work};
use backstay_core::domain::proof::{DrillRate, NEVER, Proof, SLICES, Slice, SliceRead, SliceState, VerifyBudget, pace};
use backstay_core::domain::tenant::Tenant;
use backstay_core::managers::follow::follow_tick;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::proof::{budget_change, proof_tick};
use backstay_core::managers::retire::retire;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_core::ports::notice::AlertFilter;
use backstay_core::ports::store::{JobFilter, Page, Retirable, Settlement, StoreError};

use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, key_of, repository, settlement};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const WITHIN: Duration = Duration::from_secs(10 * 24 * 3_600);

async fn proof(world: &World) -> Proof {
    world.stores.retention.proof_get(world.repository.id).await.unwrap()
}

/// A repository is due when it is made; whoever moves its moment must have seen the one that is there, and moves no slice.
///
/// Red without the filter for the moment that was seen, or when a look writes slices.
pub async fn a_proof_moves_from_where_it_was_seen(stores: Stores) {
    let world = World::new(stores, 1).await;
    let retention = world.stores.retention.clone();
    let seen = retention.proof_list_due(world.now(), 10).await.unwrap();
    assert_eq!(seen, [Proof::new(world.repository.id)]);
    let due_at = world.now().saturating_add(DAY).unwrap();
    let next = Proof {
        due_at,
        began_at: Some(world.now()),
        drilled_item_id: Some(world.items[0].id),
        slices: vec![SliceState { read_at: Some(due_at), proved_at: Some(due_at) }; SLICES as usize],
        drills: vec![DrillRate { bytes: 1, took: DAY }],
        ..seen[0].clone()
    };
    assert!(retention.proof_put(&seen[0], &next).await.unwrap());
    assert!(!retention.proof_put(&seen[0], &Proof::new(world.repository.id)).await.unwrap(), "another was first");
    assert_eq!(proof(&world).await, Proof { slices: seen[0].slices.clone(), drills: Vec::new(), ..next });
    assert_eq!(retention.proof_list_due(world.now(), 10).await.unwrap(), []);
    world.clock.advance(DAY);
    assert_eq!(retention.proof_list_due(world.now(), 10).await.unwrap().len(), 1);
    let missing = retention.proof_get(RepositoryId::new(world.now(), world.ten())).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
}

/// A settlement writes its slice and what its drill measured, for its own repository; lists are their tenants'.
///
/// Red without `slice_put` in `settle`, or when it replaces the other slices.
pub async fn a_slice_that_was_read_is_written_with_its_job(stores: Stores) {
    let world = World::new(stores, 1).await;
    let other = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "other");
    world.stores.declarations.repository_add(&other).await.unwrap();
    let read = |number, is_proved, bytes| {
        let slice = Slice { number, of: SLICES };
        Some(SliceRead { slice, is_proved, drill: Some(DrillRate { bytes, took: Duration::from_micros(1_500) }) })
    };
    let mut at = Vec::new();
    for slice_read in [read(1, true, 7), read(SLICES, false, 8)] {
        world.clock.advance(DAY);
        let key = world.leased(0, world.agent()).await;
        at.push(world.now());
        world.jobs.job_settle(key, &Settlement { slice_read, ..world.success() }).await.unwrap();
    }
    let known = proof(&world).await;
    assert_eq!(known.slices[0], SliceState { read_at: Some(at[0]), proved_at: Some(at[0]) });
    assert_eq!(known.slices[29], SliceState { read_at: Some(at[1]), proved_at: None });
    assert_eq!(known.slices[1..29], vec![SliceState::default(); 28]);
    assert_eq!(
        known.drills.iter().map(|drill| (drill.bytes, drill.took.as_micros())).collect::<Vec<_>>(),
        [(7, 1_500), (8, 1_500)]
    );
    let eve = Tenant { id: TenantId::new(world.now(), world.ten()), name: "eve".parse().unwrap() };
    world.stores.declarations.tenant_add(&eve).await.unwrap();
    let foreign = repository(eve.id, RepositoryId::new(world.now(), world.ten()), "other");
    world.stores.declarations.repository_add(&foreign).await.unwrap();
    let listed = async |repositories: &[RepositoryId]| {
        let rows = world.stores.retention.proof_list(repositories).await.unwrap();
        rows.into_iter().map(|row| row.repository_id).collect::<Vec<_>>()
    };
    let mut own = vec![world.repository.id, other.id];
    own.sort();
    assert_eq!(listed(&[own[1], own[0]]).await, own);
    assert_eq!(listed(&[foreign.id]).await, [foreign.id]);
    assert_eq!(listed(&[]).await, []);
}

/// A budget is read back, begins its time anew and keeps what was proved; a retired repository gets none.
pub async fn a_budget_begins_its_time_anew(stores: Stores) {
    let world = World::new(stores, 1).await;
    let retention = world.stores.retention.clone();
    let seen = proof(&world).await;
    let began = Proof { due_at: NEVER, began_at: Some(world.now()), ..seen.clone() };
    assert!(retention.proof_put(&seen, &began).await.unwrap());
    for budget in [VerifyBudget::Never, VerifyBudget::Within(WITHIN), VerifyBudget::Default] {
        retention.budget_put(world.repository.id, budget).await.unwrap();
        let row = world.stores.declarations.repository_get(world.repository.id).await.unwrap();
        assert_eq!(row.verify_within, budget);
        assert_eq!(proof(&world).await, seen);
    }
    let named = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "named");
    let named = backstay_core::domain::repository::Repository { verify_within: VerifyBudget::Never, ..named };
    world.stores.declarations.repository_add(&named).await.unwrap();
    assert_eq!(world.stores.declarations.repository_get(named.id).await.unwrap(), named);
    retire(&context(&world.stores), Retirable::Repository(named.id)).await.unwrap();
    let refused = retention.budget_put(named.id, VerifyBudget::Default).await.unwrap_err();
    assert!(matches!(refused, StoreError::Retired { .. }), "{refused}");
    let missing = retention.budget_put(RepositoryId::new(world.now(), world.ten()), VerifyBudget::Never).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

/// The world with a snapshot of each item and a budget, and its verifies by budget.
struct House {
    world: World,
    jobs: JobManager,
    snapshots: Vec<SnapshotId>,
}

impl House {
    async fn build(stores: Stores, items: usize) -> Self {
        let world = World::new(stores, items).await;
        let jobs = JobManager::new(context(&world.stores), TTL);
        let mut snapshots = Vec::new();
        for item in 0..items {
            let key = world.leased(item, world.agent()).await;
            let job = world.job(key.job_id).await;
            let snapshot = world.snapshot(&job, &format!("{item:02x}").repeat(32), Outcome::Complete);
            let rows = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
            world.jobs.job_settle(key, &rows).await.unwrap();
            snapshots.push(snapshot.id);
        }
        let budget = VerifyBudget::Within(WITHIN);
        budget_change(&context(&world.stores), &world.repository, budget).await.unwrap();
        Self { world, jobs, snapshots }
    }

    /// Looks once, and returns how many verifies were started.
    async fn look(&self) -> u64 {
        let done = proof_tick(&context(&self.world.stores)).await.unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        done.started
    }

    /// Looks, an hour after another, until a verify is started.
    async fn next(&self) -> Job {
        for _ in 0..48 {
            if self.look().await > 0 {
                return self.verifies().await.remove(0);
            }
            self.world.clock.advance(Duration::from_secs(3_600));
        }
        panic!("no verify within two days");
    }

    /// Returns the verifies, the newest first.
    async fn verifies(&self) -> Vec<Job> {
        let filter = JobFilter { kind: Some(JobKind::Verify), ..JobFilter::default() };
        self.world.jobs.job_list(filter, Page::first()).await.unwrap()
    }

    /// Leases the verify of a slice and hands its findings in; returns the slice, the snapshot and the job's state.
    async fn prove(&self, harm: Option<&str>) -> (Slice, SnapshotId, StateName) {
        let agent_id = self.world.agent();
        let ask = LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
        let job = self.jobs.job_lease(&ask).await.unwrap().remove(0);
        let Work::Verify { snapshot, slice: Some(slice), .. } = &job.state.work else { panic!("{:?}", job.state.work) };
        let (slice, snapshot, repository_id) = (*slice, snapshot.id, job.repository_id);
        let mut found = findings(&self.world, repository_id, slice);
        harm.into_iter().for_each(|place| found.differs(place.to_owned(), "is damaged".to_owned()));
        let result = JobResult::Verified { findings: Box::new(found), counts: JobCounts::default() };
        let state = job.finish(&self.jobs, &result).await.unwrap().name();
        (slice, snapshot, state)
    }

    async fn alerts(&self) -> Vec<(String, Severity, bool)> {
        follow_tick(&context(&self.world.stores)).await.unwrap();
        let rows = self.world.stores.notices.alert_list(AlertFilter::default(), Page::first()).await.unwrap();
        rows.into_iter().map(|row| (row.topic.word().to_owned(), row.alert.severity, row.ended_at.is_some())).collect()
    }
}

fn findings(world: &World, repository_id: RepositoryId, slice: Slice) -> Findings {
    let drill = Drill { files: 2, files_compared: 2, files_too_large: 0, bytes: 4 << 20, took: Duration::from_secs(1) };
    let read = SliceFindings { repository_id, slice, packs_read: 3, snapshots_walked: 1, trees_read: 2, drill };
    Findings {
        files_total: 2,
        bytes_total: 4 << 20,
        files_read: 2,
        files_read_in_part: 0,
        bytes_read: 4 << 20,
        files_compared: 0,
        files_changed_since: 0,
        classes: Vec::new(),
        packs_named: 9,
        bytes_fetched: 60,
        difference_count: 0,
        differences: Vec::new(),
        started_at: world.now(),
        took: Duration::from_secs(2),
        slice: Some(read),
    }
}

/// Within the budget every slice is read once, spread over it, each with a drill of the next item; records are chained.
///
/// Red when the tick ignores the window, when a slice or an item is left out, or when what was proved is not written.
pub async fn a_budget_has_every_slice_read_once(stores: Stores) {
    let house = House::build(stores, 3).await;
    assert_eq!(house.look().await, 0, "the first look begins its time");
    let (mut slices, mut drilled, begin) = (Vec::new(), Vec::new(), house.world.now());
    for _ in 0..SLICES {
        house.next().await;
        let (slice, snapshot, state) = house.prove(None).await;
        assert_eq!((slice.of, state), (SLICES, StateName::Succeeded));
        slices.push(slice.number);
        drilled.push(snapshot);
    }
    assert_eq!(slices, (1..=SLICES).collect::<Vec<_>>());
    let mut turns = house.snapshots.clone();
    turns.sort_by_key(|id| drilled.iter().position(|drilled| drilled == id));
    assert!(drilled.chunks(3).all(|turn| turn == turns), "each item in its turn: {drilled:?}");
    let took = Duration::try_from(house.world.now().duration_since(begin)).unwrap();
    assert!(took < WITHIN && took > WITHIN * 8 / 10, "spread over the window: {took:?}");
    let known = proof(&house.world).await;
    let standing = known.standing(WITHIN, house.world.now());
    assert_eq!((standing.proved, standing.overdue_since), (SLICES, None));
    assert_eq!(known.drills.len(), 10);
    let records = house.world.history.evidence_list(Some(house.world.items[0].id), 50).await.unwrap();
    assert_eq!(records.iter().map(|row| row.place.sequence).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
    for record in &records {
        let said = evidence::verify_file(&evidence::file(record)).unwrap();
        assert!(said.facts.iter().any(|(name, value)| name == "slice" && value.ends_with(" of 30")));
        assert!(said.facts.contains(&("drill_bytes_per_second".to_owned(), (4 << 20).to_string())));
    }
}

/// One verify of a repository at a time, whoever looks and how often; one that was parked goes on when its slice is due.
///
/// Red without the look at what is open, or when two looks at one row make two jobs.
pub async fn a_slice_is_asked_for_once(stores: Stores) {
    let house = House::build(stores, 2).await;
    house.look().await;
    let first = house.next().await;
    assert_eq!((house.look().await, house.verifies().await.len()), (0, 1));
    house.world.clock.advance(pace(WITHIN));
    assert_eq!((house.look().await, house.verifies().await.len()), (0, 1), "it is not done yet");
    // Another scheduler saw the row before the first one moved it.
    let key = key_of(&house.world.claim(house.world.agent(), 1).await[0]);
    house.world.jobs.job_settle(key, &settlement(parked())).await.unwrap();
    house.world.clock.advance(pace(WITHIN));
    assert_eq!((house.look().await, house.verifies().await.len()), (1, 1));
    assert_eq!(house.world.job(first.id).await.state.name(), StateName::Queued, "it was parked, and goes on");
    house.prove(None).await;
    house.world.clock.advance(pace(WITHIN));
    let seen = proof(&house.world).await;
    let due = Proof { due_at: house.world.now(), ..seen.clone() };
    assert!(house.world.stores.retention.proof_put(&seen, &due).await.unwrap());
    assert_eq!(house.look().await, 1);
    let moved = proof(&house.world).await;
    assert!(house.world.stores.retention.proof_put(&moved, &due).await.unwrap());
    assert_eq!((house.look().await, house.verifies().await.len()), (0, 2), "the same row is the same job");
    let jobs = house.verifies().await;
    let slices = jobs.iter().filter(|job| matches!(job.instruction, Instruction::Verify { slice: Some(_), .. }));
    assert_eq!(slices.count(), 2);
}

fn parked() -> JobState {
    let class = backstay_core::domain::job::FailureClass::Storage;
    JobState::Parked { class, message: "the storage does not answer".to_owned() }
}

/// Harm is told at once and is no proof; what was not proved within the budget is a warning, which ends by itself.
///
/// Red when a damaged slice counts as proved, without the critical alert, or when nobody tells a budget that is overdue.
pub async fn harm_and_what_was_not_proved_are_told(stores: Stores) {
    let house = House::build(stores, 1).await;
    house.look().await;
    house.next().await;
    let (slice, _, state) = house.prove(Some("pack 12")).await;
    assert_eq!(state, StateName::Damaged);
    let known = proof(&house.world).await;
    let place = slice.number as usize - 1;
    assert!(known.slices[place].read_at.is_some() && known.slices[place].proved_at.is_none());
    assert_eq!(known.standing(WITHIN, house.world.now()).proved, 0);
    assert_eq!(house.alerts().await, [("damaged".to_owned(), Severity::Critical, false)]);
    // The other slices have their turn: damage does not hold them up.
    house.next().await;
    assert_eq!(house.prove(None).await.0.number, slice.number + 1);

    house.world.clock.advance(WITHIN);
    house.look().await;
    house.world.clock.advance(WITHIN);
    house.look().await;
    let mut alerts = house.alerts().await;
    alerts.sort_by_key(|alert| alert.1);
    assert_eq!(alerts[0], ("unproved".to_owned(), Severity::Warning, false), "{alerts:?}");
    for _ in 0..2 * SLICES {
        if proof(&house.world).await.standing(WITHIN, house.world.now()).overdue_since.is_none() {
            break;
        }
        if house.verifies().await[0].state.name() != StateName::Queued {
            house.next().await;
        }
        assert_eq!(house.prove(None).await.2, StateName::Succeeded);
    }
    house.world.clock.advance(pace(WITHIN));
    house.look().await;
    let unproved = house.alerts().await.into_iter().find(|alert| alert.0 == "unproved").unwrap();
    assert!(unproved.2, "all of it is proved again");
    assert!(house.alerts().await.iter().any(|alert| alert.0 == "damaged" && !alert.2), "harm ends by a person");
}

/// Nothing is read of a repository without snapshots, without a budget, or that was retired.
pub async fn what_needs_no_proof_is_left_alone(stores: Stores) {
    let house = House::build(stores, 1).await;
    let context = context(&house.world.stores);
    let empty = repository(house.world.tenant.id, RepositoryId::new(house.world.now(), house.world.ten()), "empty");
    house.world.stores.declarations.repository_add(&empty).await.unwrap();
    budget_change(&context, &house.world.repository, VerifyBudget::Never).await.unwrap();
    for _ in 0..20 {
        assert_eq!(house.look().await, 0);
        house.world.clock.advance(DAY);
    }
    assert_eq!(house.verifies().await, []);
    assert_eq!(house.alerts().await, []);
    let known = house.world.stores.retention.proof_get(empty.id).await.unwrap();
    assert_eq!(known.began_at, None, "there is nothing to prove yet");
    assert_eq!(proof(&house.world).await.due_at, NEVER);
    // Findings of another slice than the one that was asked for are no proof of that one.
    let row = house.world.stores.declarations.repository_get(house.world.repository.id).await.unwrap();
    budget_change(&context, &row, VerifyBudget::Default).await.unwrap();
    let item: ItemId = house.world.items[0].id;
    let job = house.next_of_default().await;
    assert_eq!((job.item_id, job.plan_id), (Some(item), None));
    let agent_id = house.world.agent();
    let ask = LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
    let leased = house.jobs.job_lease(&ask).await.unwrap().remove(0);
    let found = findings(&house.world, empty.id, Slice { number: 1, of: SLICES });
    let result = JobResult::Verified { findings: Box::new(found), counts: JobCounts::default() };
    leased.finish(&house.jobs, &result).await.unwrap();
    assert_eq!(proof(&house.world).await.slices, vec![SliceState::default(); SLICES as usize]);
}

impl House {
    /// As [`House::next`], after the look that begins the time of a budget.
    async fn next_of_default(&self) -> Job {
        self.look().await;
        self.next().await
    }
}
