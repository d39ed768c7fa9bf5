//! An installation with one plan, one repository in a folder, and two production agents.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::asking::Asking;
use backstay_core::domain::attempt::{AttemptEnd, AttemptToken, LeaseKey};
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{AgentId, JobId};
use backstay_core::domain::job::StateName;
use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::request::plan_request;
use backstay_core::managers::rescue::rescue;
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::random::ten_bytes;
use backstay_core::ports::store::{Enqueued, HistoryStore as _, JobStore as _, Page, SnapshotFilter};
use backstay_db::Database;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::lock::{DeadLocks, LockMode, LockOwner, LockTerms};
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::{forget, prune};
use backstay_engine::repository::Maker;
use backstay_engine::{EngineProgress, Interrupt, Repository};
use backstay_storage::{Presence, StorageCredentials, storage_kind};
use backstay_testkit::conformance::world::{Stores, TTL, World};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::random::SeededRandom;
use backstay_testkit::fakes::secret::SecretMap;
use backstay_testkit::fakes::signer::FixedSigner;
use futures::FutureExt as _;
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

use super::Place;
use super::agent::{Ended, Places, work};
use super::hold::{DatedStorage, HeldRandom, Hold};

/// Longest wait of a job that lost its agent for the first time.
const LOST_WAIT_MAX: Duration = Duration::from_secs(10);

/// What a person or a plan does during a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing more.
    Nothing,
    /// A prune forgets snapshots without a row and marks what nobody refers to.
    Prune,
    /// And another one deletes it, when its grace is over.
    TwoPrunes,
}

/// What came of pauses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) pauses: u64,
    /// Snapshots that the dead published and nobody handed in; none of them is shown.
    pub(super) orphans: u64,
    /// Snapshots that the dead published and noted before, and the next agent handed in.
    pub(super) resumed: u64,
    /// The dead noticed before they published.
    pub(super) stopped: u64,
    /// The dead were refused when they handed in.
    pub(super) refused: u64,
}

impl Injected {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            pauses: self.pauses + other.pauses,
            orphans: self.orphans + other.orphans,
            resumed: self.resumed + other.resumed,
            stopped: self.stopped + other.stopped,
            refused: self.refused + other.refused,
        }
    }
}

/// The installation. Clones are the same one.
#[derive(Clone)]
pub(super) struct House(Arc<Inner>);

struct Inner {
    runtime: tokio::runtime::Runtime,
    world: World,
    database: Database,
    context: Context,
    jobs: Arc<JobManager>,
    clock: ManualClock,
    random: SeededRandom,
    hold: Hold,
    repository: Repository,
    places: Places,
    _home: TempDir,
}

impl House {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let clock = ManualClock::default();
        let database = runtime.block_on(Database::open_in_memory(Arc::new(clock.clone()))).unwrap();
        let world = runtime.block_on(World::new(stores(&database, &clock), 1));
        let (hold, secrets) = (Hold::default(), Arc::new(SecretMap::default()));
        secrets.put(&world.repository.password, "a secret");
        let context = Context {
            declarations: Arc::new(database.clone()),
            history: Arc::new(database.clone()),
            jobs: Arc::new(database.clone()),
            schedules: Arc::new(database.clone()),
            retention: Arc::new(database.clone()),
            notices: Arc::new(database.clone()),
            secrets,
            signer: Arc::new(FixedSigner::default()),
            clock: Arc::new(clock.clone()),
            random: Arc::new(HeldRandom { random: SeededRandom::new(11), hold: hold.clone() }),
        };
        // In memory where there is such a folder: what is durable is not asked here.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let places = Places { repository: home.path().join("repository"), tree: home.path().join("tree") };
        std::fs::create_dir(&places.tree).unwrap();
        let settings = json!({ "path": places.repository });
        let storage = storage_kind("local").unwrap();
        let storage = storage.open(&settings, &StorageCredentials::default(), Presence::Create).unwrap();
        let storage = Arc::new(DatedStorage::new(storage, clock.clone()));
        let maker = Maker { username: "ada".to_owned(), hostname: "host".to_owned(), at: clock.now() };
        let repository =
            Repository::create(storage, &SecretString::from("a secret"), maker, &Interrupt::default()).unwrap();
        let jobs = Arc::new(JobManager::new(context.clone(), TTL));
        let random = SeededRandom::new(13);
        Self(Arc::new(Inner {
            runtime,
            world,
            database,
            context,
            jobs,
            clock,
            random,
            hold,
            repository,
            places,
            _home: home,
        }))
    }

    fn block<T>(&self, call: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(call)
    }

    fn agent(&self) -> AgentId {
        AgentId::new(self.0.clock.now(), ten_bytes(&self.0.random))
    }

    /// Asks for a backup, holds its first agent at a place, and looks at what became of the job.
    pub(super) fn pause_at(&self, place: Place, pause: Duration, after: After) -> Injected {
        std::fs::write(self.0.places.tree.join("changes"), format!("{:?} {place:?}", ten_bytes(&self.0.random)))
            .unwrap();
        self.0.clock.advance(Duration::from_secs(60));
        let (low, high): ([u8; 10], [u8; 10]) = (ten_bytes(&self.0.random), ten_bytes(&self.0.random));
        let seed = std::array::from_fn(|at| low.iter().chain(&high).copied().nth(at % 20).unwrap());
        let asking = Asking::fresh(self.0.clock.now(), seed);
        let asked = self.block(plan_request(&self.0.context, &asking, self.0.world.plan.id)).unwrap();
        let [(_, Enqueued::New(job_id))] = asked[..] else { panic!("{asked:?}") };
        let dead = LeaseKey { job_id, token: AttemptToken(1) };
        let house = self.clone();
        self.0.hold.arm(place, move || house.meanwhile(place, dead, pause, after));
        let (leased, ended) = self.work().expect("the job is in the queue");
        assert_eq!(leased, dead);
        assert!(self.0.hold.is_done(), "nobody came by {place:?}");
        let row = self.assert_once(job_id, place, &ended);
        let is = |wanted: bool| u64::from(wanted);
        Injected {
            pauses: 1,
            orphans: is(matches!(&ended, Ended::Refused(id) if *id != row)),
            resumed: is(ended == Ended::Refused(row)),
            stopped: is(ended == Ended::Stopped),
            refused: is(matches!(ended, Ended::Refused(_))),
        }
    }

    /// Has a new agent do the job that is due.
    fn work(&self) -> Option<(LeaseKey, Ended)> {
        let Inner { jobs, hold, places, clock, .. } = &*self.0;
        self.block(work(jobs, (hold, places), self.agent(), Arc::new(clock.clone())))
    }

    /// Time passes, the job is rescued, a second agent does it, a prune may come.
    fn meanwhile(&self, place: Place, dead: LeaseKey, pause: Duration, after: After) {
        self.0.clock.advance(pause);
        let rescued = self.block(rescue(&self.0.context, STALL_LIMIT)).unwrap();
        // What lost its agent is not given to the next one at once.
        self.0.clock.advance(LOST_WAIT_MAX);
        let second = self.work();
        if place == Place::RowsToAnswer {
            assert!(rescued.lost == 0 && second.is_none(), "its rows are written: nobody does it again");
        } else {
            let (leased, ended) = second.expect("the job is in the queue again");
            assert_eq!((rescued.lost, leased), (1, LeaseKey { token: AttemptToken(dead.token.0 + 1), ..dead }));
            assert!(matches!(ended, Ended::Accepted(_)), "{ended:?}");
        }
        if after != After::Nothing {
            self.prune(dead);
        }
        if after == After::TwoPrunes {
            self.0.clock.advance(prune::GRACE + Duration::from_secs(60));
            self.prune(dead);
        }
    }

    /// Prunes as the control plane does: locks of dead leases do not count, snapshots without a row are forgotten.
    fn prune(&self, dead: LeaseKey) {
        let repository = &self.0.repository;
        let rows = self.rows();
        let shown = |id: &Id| rows.iter().any(|row| row.foreign_id == id.to_hex());
        let interrupt = Interrupt::default();
        let dead = DeadLocks { leases: vec![lease_name(dead)], ..DeadLocks::default() };
        let terms = LockTerms { look_again_after: Duration::ZERO, dead, ..LockTerms::default() };
        let owner = LockOwner::this_process("pruner".to_owned());
        let lock = repository.lock(LockMode::Exclusive, &owner, &terms, &interrupt).unwrap();
        let orphans: Vec<Id> = repository
            .file_list(FileKind::Snapshot, &Interrupt::default())
            .unwrap()
            .into_iter()
            .filter(|id| !shown(id))
            .collect();
        forget::apply(repository, &orphans, &lock, &interrupt).unwrap();
        let options =
            prune::PruneOptions { grace: prune::GRACE, unused: prune::UnusedLimit::Bytes(0), rewrite_bytes_max: None };
        let plan = prune::plan(repository, &options, &lock, &interrupt).unwrap();
        prune::apply(repository, plan, &lock, &EngineProgress::default(), &interrupt).unwrap();
        lock.release().unwrap();
    }

    /// One attempt finished, one snapshot row; what is shown is of the attempt that finished, and returned is its name.
    fn assert_once(&self, job_id: JobId, place: Place, first: &Ended) -> String {
        let job = self.block(self.0.database.job_get(job_id)).unwrap();
        assert_eq!(job.state.name(), StateName::Succeeded, "{place:?}");
        let attempts = self.block(self.0.database.attempt_list(job_id)).unwrap();
        let finished: Vec<_> =
            attempts.iter().filter(|attempt| matches!(attempt.ended, Some((_, AttemptEnd::Finished)))).collect();
        assert_eq!(finished.len(), 1, "the job row is finished once, at {place:?}: {attempts:?}");
        assert_eq!(finished[0].key.token, job.attempt_token);
        let filter = SnapshotFilter { item_id: job.item_id, ..SnapshotFilter::default() };
        let newest = Page { before: None, rows_max: 3 };
        let rows = self.block(self.0.database.snapshot_list(filter, newest)).unwrap();
        let made: Vec<&Snapshot> = rows.iter().filter(|row| row.job_id == job_id).collect();
        assert_eq!(made.len(), 1, "one snapshot row, at {place:?}");
        let shown = &made[0].foreign_id;
        // Who comes after one that published finds its note, and hands its snapshot in.
        let expected = match place {
            Place::RowsToAnswer => *first == Ended::Accepted(shown.clone()),
            Place::SnapshotToFinish | Place::FinishToRows => *first == Ended::Refused(shown.clone()),
            _ => matches!(first, Ended::Stopped) || matches!(first, Ended::Refused(id) if id != shown),
        };
        assert!(
            expected,
            "what is shown is of the attempt that finished, at {place:?}: {first:?}, and {shown} is shown"
        );
        shown.clone()
    }

    /// All that is shown is there, with all its data.
    pub(super) fn assert_whole(&self) {
        let never = LeaseKey { job_id: JobId::new(self.0.clock.now(), [0; 10]), token: AttemptToken(0) };
        self.prune(never);
        let repository = &self.0.repository;
        let there = repository.file_list(FileKind::Snapshot, &Interrupt::default()).unwrap();
        for row in self.rows() {
            let is_there = there.iter().any(|id| id.to_hex() == row.foreign_id);
            assert!(is_there, "snapshot {} has a row and is not there", row.foreign_id);
        }
        let checked = check(repository, &ReadData::All, &Interrupt::default()).unwrap();
        assert!(checked.is_whole(), "{:#?}", checked.findings);
        let events = self.block(self.0.world.events());
        let told = events.iter().filter(|row| row.event.kind == EventKind::Succeeded).count();
        assert_eq!(told, self.rows().len(), "each success was told once");
    }

    fn rows(&self) -> Vec<Snapshot> {
        self.block(self.0.database.snapshot_list(SnapshotFilter::default(), Page::first())).unwrap()
    }
}

fn lease_name(key: LeaseKey) -> String {
    format!("{}/{}", key.job_id, key.token.0)
}

/// Returns the database as the suites' world takes it.
fn stores(database: &Database, clock: &ManualClock) -> Stores {
    Stores {
        declarations: Arc::new(database.clone()),
        history: Arc::new(database.clone()),
        jobs: Arc::new(database.clone()),
        schedules: Arc::new(database.clone()),
        retention: Arc::new(database.clone()),
        notices: Arc::new(database.clone()),
        clock: clock.clone(),
        // Nobody wants the repository alone here: the pruner is no job.
        hold_alone: Arc::new(|_| async {}.boxed()),
        kept: Arc::new(()),
    }
}
