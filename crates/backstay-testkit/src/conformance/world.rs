//! A small installation for the suites: one tenant with a source of several items, a repository and a plan.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::adoption::Adoption;
use backstay_core::domain::attempt::{AttemptToken, LeaseKey};
use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::event::{Event, EventKind, chain_hash};
use backstay_core::domain::id::{
    AgentId, EventId, ItemId, JobId, PlanId, RepositoryId, SnapshotId, SourceId, TenantId,
};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{FailureClass, Instruction, Job, JobCounts, JobKind, JobState, Outcome, Trigger};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::{Repository, RepositoryEpoch, RepositoryKind};
use backstay_core::domain::retention::RetentionPolicy;
use backstay_core::domain::retry::Streak;
use backstay_core::domain::schedule::{OverlapKey, Schedule};
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::StorageSettings;
use backstay_core::domain::template::Said;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::notice::NoticeStore;
use backstay_core::ports::random::ten_bytes;
use backstay_core::ports::retention::RetentionStore;
use backstay_core::ports::schedule::ScheduleStore;
use backstay_core::ports::store::{
    ChainedEvent, Claimed, DeclarationStore, Enqueued, HistoryStore, JobFilter, JobStore, Page, Rescue, Settlement,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;

use crate::fakes::clock::ManualClock;
use crate::fakes::random::SeededRandom;

/// How long a heartbeat holds in the suites.
pub const TTL: Duration = Duration::from_secs(30);

/// How long a job may make no progress in the suites.
pub const STALL_LIMIT: Duration = Duration::from_secs(600);

/// The stores under test, empty, and the clock that decides whether their leases are over.
#[derive(Clone)]
pub struct Stores {
    /// What people declare.
    pub declarations: Arc<dyn DeclarationStore>,
    /// What happened.
    pub history: Arc<dyn HistoryStore>,
    /// How far plans are.
    pub schedules: Arc<dyn ScheduleStore>,
    /// What retention works on.
    pub retention: Arc<dyn RetentionStore>,
    /// What is told to people.
    pub notices: Arc<dyn NoticeStore>,
    /// The queue.
    pub jobs: Arc<dyn JobStore>,
    /// The store's clock.
    pub clock: ManualClock,
    /// Makes a queued job hold its repository alone, as a prune does: until the core has an instruction for it, a test
    /// cannot enqueue one.
    pub hold_alone: Arc<dyn Fn(JobId) -> BoxFuture<'static, ()> + Send + Sync>,
    /// What must live as long as the stores: a temporary folder.
    pub kept: Arc<dyn Any + Send + Sync>,
}

/// The stores with an installation in them.
pub struct World {
    /// The stores.
    pub stores: Stores,
    /// The queue among them.
    pub jobs: Arc<dyn JobStore>,
    /// What happened.
    pub history: Arc<dyn HistoryStore>,
    /// The clock.
    pub clock: ManualClock,
    /// Whose all is.
    pub tenant: Tenant,
    /// What is read.
    pub source: Source,
    /// Its items.
    pub items: Vec<Item>,
    /// Where the snapshots lie.
    pub repository: Repository,
    /// What ties them.
    pub plan: Plan,
    random: SeededRandom,
}

impl World {
    /// Declares an installation whose source has so many items.
    pub async fn new(stores: Stores, items: usize) -> Self {
        let random = SeededRandom::new(7);
        let now = stores.clock.now();
        let tenant = Tenant { id: TenantId::new(now, ten_bytes(&random)), name: "ada".parse().unwrap() };
        let source = Source {
            id: SourceId::new(now, ten_bytes(&random)),
            tenant_id: tenant.id,
            name: "laptop".parse().unwrap(),
            kind: "filesystem".to_owned(),
            settings: json!({ "path": "/home/ada" }),
            retired_at: None,
        };
        let item = |number: usize| Item {
            id: ItemId::new(now, ten_bytes(&random)),
            source_id: source.id,
            name: format!("/home/ada/{number:03}"),
            vanished_at: None,
        };
        let items: Vec<Item> = (0..items).map(item).collect();
        let repository = repository(tenant.id, RepositoryId::new(now, ten_bytes(&random)), "home");
        let plan = Plan {
            id: PlanId::new(now, ten_bytes(&random)),
            tenant_id: tenant.id,
            name: "daily".parse().unwrap(),
            source_id: source.id,
            repository_id: repository.id,
            template: None,
            said: Said { rpo: Some(Duration::from_secs(86_400)), ..Said::default() },
            schedule: Schedule::on_request(),
            rpo: Duration::from_secs(86_400),
            retention: RetentionPolicy::default(),
            backup: BackupTerms::default(),
            created_at: now,
            moved_at: None,
            retired_at: None,
        };
        stores.declarations.tenant_add(&tenant).await.unwrap();
        stores.declarations.source_add(&source, &items).await.unwrap();
        stores.declarations.repository_add(&repository).await.unwrap();
        stores.declarations.plan_add(&plan).await.unwrap();
        let (jobs, history, clock) = (stores.jobs.clone(), stores.history.clone(), stores.clock.clone());
        Self { stores, jobs, history, clock, tenant, source, items, repository, plan, random }
    }

    /// Returns the present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns ten random bytes.
    pub fn ten(&self) -> [u8; 10] {
        ten_bytes(&self.random)
    }

    /// Returns the id of a new agent.
    pub fn agent(&self) -> AgentId {
        AgentId::new(self.now(), self.ten())
    }

    /// Returns a queued backup of an item, by request.
    pub fn backup(&self, item: usize) -> Job {
        let now = self.now();
        Job {
            id: JobId::new(now, self.ten()),
            tenant_id: self.tenant.id,
            plan_id: Some(self.plan.id),
            item_id: Some(self.items[item].id),
            repository_id: self.repository.id,
            set: None,
            instruction: Instruction::Backup,
            trigger: Trigger::Request,
            breach_at: now,
            priority: 0,
            attempt_token: AttemptToken(0),
            overlap: OverlapKey::Plan,
            streak: None,
            counts: JobCounts::default(),
            created_at: now,
            trace: None,
            state: JobState::Queued { not_before: now },
        }
    }

    /// Returns an event about a job.
    pub fn event(&self, kind: EventKind, job: &Job) -> Event {
        Event {
            id: EventId::new(self.now(), self.ten()),
            tenant_id: job.tenant_id,
            kind,
            job_id: Some(job.id),
            item_id: job.item_id,
            at: self.now(),
            message: format!("{} of a test: {}", job.kind().word(), kind.word()),
        }
    }

    /// Asks for a job.
    pub async fn enqueue(&self, job: &Job) -> Enqueued {
        let skipped = self.event(EventKind::Skipped, job);
        self.jobs.job_enqueue(job, &self.event(EventKind::Enqueued, job), Some(&skipped)).await.unwrap()
    }

    /// Puts a backup of an item in the queue and returns its id.
    pub async fn queued(&self, item: usize) -> JobId {
        let job = self.backup(item);
        assert_eq!(self.enqueue(&job).await, Enqueued::New(job.id));
        job.id
    }

    /// Leases up to `count_max` jobs of any kind to an agent that knows of all leases that it has.
    pub async fn claim(&self, agent: AgentId, count_max: u32) -> Vec<Claimed> {
        let of_agent = |job: &&Job| matches!(job.state, JobState::Leased { agent_id } | JobState::Cancelling { agent_id } if agent_id == agent);
        let jobs = self.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap();
        let held = jobs.iter().filter(of_agent).map(|job| LeaseKey { job_id: job.id, token: job.attempt_token });
        self.claim_naming(agent, &held.collect::<Vec<_>>(), count_max).await
    }

    /// Leases up to `count_max` jobs of any kind to an agent that knows of these leases.
    pub async fn claim_naming(&self, agent: AgentId, held: &[LeaseKey], count_max: u32) -> Vec<Claimed> {
        self.jobs.job_lease(agent, JobKind::ALL, held, count_max, TTL).await.unwrap()
    }

    /// Puts a backup in the queue and leases it.
    pub async fn leased(&self, item: usize, agent: AgentId) -> LeaseKey {
        let id = self.queued(item).await;
        let claimed = self.claim(agent, 1).await;
        assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [id], "the only due job is leased");
        key_of(&claimed[0])
    }

    /// Returns the rows of a rescue that leads to a state.
    pub async fn rescue_rows(&self, key: LeaseKey, state: JobState, event: Event) -> Rescue {
        let streak = Streak::after(self.job(key.job_id).await.streak, FailureClass::AgentLost);
        Rescue { state, streak, event }
    }

    /// Returns a job's row.
    pub async fn job(&self, id: JobId) -> Job {
        self.jobs.job_get(id).await.unwrap()
    }

    /// Returns the tenant's events, and checks on the way that their chain has no gap and no foreign link.
    pub async fn events(&self) -> Vec<ChainedEvent> {
        let events = self.history.event_list(self.tenant.id, 1, u32::MAX).await.unwrap();
        let mut previous: Option<&str> = None;
        for (place, row) in (1..).zip(&events) {
            assert_eq!(row.sequence, place, "the chain of events has a gap");
            assert_eq!(row.hash, chain_hash(&row.event, place, previous), "the chain of events is broken");
            previous = Some(&row.hash);
        }
        events
    }

    /// Returns the kinds of all events so far, oldest first.
    pub async fn told(&self) -> Vec<EventKind> {
        self.events().await.iter().map(|row| row.event.kind).collect()
    }

    /// Returns a snapshot that a job published.
    pub fn snapshot(&self, job: &Job, foreign_id: &str, outcome: Outcome) -> Snapshot {
        Snapshot {
            id: SnapshotId::new(self.now(), self.ten()),
            tenant_id: job.tenant_id,
            item_id: job.item_id.unwrap(),
            repository_id: job.repository_id,
            job_id: job.id,
            foreign_id: foreign_id.to_owned(),
            parent_id: None,
            taken_at: self.now(),
            outcome,
            is_good: outcome != Outcome::Partial,
            confirmed_at: None,
            counts: JobCounts { files: 3, files_unmodified: 1, dirs: 1, bytes: 30, ..JobCounts::default() },
            protected_until: None,
            pinned_at: None,
            held_at: None,
            unwanted_at: None,
            forgotten_at: None,
        }
    }

    /// Returns the settlement of a success without rows beside it.
    pub fn success(&self) -> Settlement {
        settlement(JobState::Succeeded { outcome: Outcome::Complete, finished_at: self.now() })
    }
}

/// Returns a repository in the restic format.
pub fn repository(tenant: TenantId, id: RepositoryId, name: &str) -> Repository {
    Repository {
        id,
        tenant_id: tenant,
        name: name.parse().unwrap(),
        kind: RepositoryKind::Restic,
        storage_id: None,
        storage: StorageSettings { kind: "local".to_owned(), settings: json!({ "path": "/srv/backups" }) },
        password: "file:keys/home.key".parse().unwrap(),
        credentials: Default::default(),
        verify_within: Default::default(),
        epoch: RepositoryEpoch(0),
        retired_at: None,
    }
}

/// Returns counts of which each is another number: two columns that are swapped cannot hide.
pub fn distinct_counts() -> JobCounts {
    JobCounts { files: 1, files_unmodified: 2, dirs: 3, bytes: 4, bytes_added: 5, bytes_stored: 6, unread: 7 }
}

/// Returns what every write of a claim's holder names.
pub fn key_of(claimed: &Claimed) -> LeaseKey {
    LeaseKey { job_id: claimed.job.id, token: claimed.job.attempt_token }
}

/// Returns a settlement without rows beside it.
pub fn settlement(state: JobState) -> Settlement {
    Settlement {
        state,
        streak: None,
        counts: JobCounts::default(),
        unread: Unread::default(),
        snapshot: None,
        confirmed: None,
        evidence: None,
        pruned: None,
        slice_read: None,
        adopted: Adoption::default(),
        warnings: Vec::new(),
        suspicion: None,
        event: None,
        follow_ups: Vec::new(),
    }
}
