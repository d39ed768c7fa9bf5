//! The three stores in memory: a copy of all rows is changed and takes the place of the old ones when all went well.
//!
//! Expiry is decided by the clock that the fake was given. Reading order: [`FakeStores`] and its rows here,
//! `access` (the API's door),
//! `declaration` (what people declare), `history` (what happened), `queue` (jobs and leases), `schedule` (how far plans
//! are).

mod access;
mod declaration;
mod template;
mod history;
mod meter;
mod queue;
mod schedule;
mod retention;
mod notice;
mod monitor;
mod purge;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::attempt::{Attempt, AttemptToken};
use backstay_core::domain::change::ChangeRecord;
use backstay_core::domain::channel::Channel;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::{Event, chain_hash};
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::fairness::Rules;
use backstay_core::domain::id::{
    AgentId, ChannelId, ItemId, JobId, JobSetId, MessageId, MonitorId, PlanId, RepositoryId, SourceId, StorageId,
    TemplateId, TenantId, TokenId,
};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobKind, Progress};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::monitor::{Monitor, Ping};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::proof::Proof;
use backstay_core::domain::purge::Purge;
use backstay_core::domain::quota::{Quota, Usage};
use backstay_core::domain::repository::{Repository, RepositoryAccess, RepositoryEpoch};
use backstay_core::domain::schedule::ScheduleState;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::Storage;
use backstay_core::domain::template::Template;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::token::ApiToken;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::access::Remembered;
use backstay_core::ports::clock::Clock;
use backstay_core::ports::notice::{AlertRow, DigestDue, DigestTold, OutboxRow};
use backstay_core::ports::retention::Upkeep;
use backstay_core::ports::schedule::MaintenanceRow;
use backstay_core::ports::store::ChainedEvent;
use jiff::Timestamp;

/// All three stores in memory. Clones share the rows.
#[derive(Clone)]
pub struct FakeStores {
    rows: Arc<Mutex<Rows>>,
    clock: Arc<dyn Clock>,
}

/// A lease's row.
#[derive(Clone)]
struct LeaseRow {
    token: AttemptToken,
    agent: AgentId,
    leased_at: Timestamp,
    progressed_at: Timestamp,
    progress: Option<Progress>,
    disowned: bool,
}

/// All rows.
#[derive(Clone, Default)]
struct Rows {
    tenants: BTreeMap<TenantId, Tenant>,
    sources: BTreeMap<SourceId, Source>,
    items: BTreeMap<ItemId, Item>,
    repositories: BTreeMap<RepositoryId, Repository>,
    plans: BTreeMap<PlanId, Plan>,
    templates: BTreeMap<TemplateId, Template>,
    storages: BTreeMap<StorageId, Storage>,
    schedules: BTreeMap<PlanId, ScheduleState>,
    upkeep: BTreeMap<RepositoryId, Upkeep>,
    proofs: BTreeMap<RepositoryId, Proof>,
    quotas: BTreeMap<TenantId, Quota>,
    purges: BTreeMap<TenantId, Purge>,
    usage: BTreeMap<RepositoryId, Usage>,
    maintenance: Vec<MaintenanceRow>,
    /// By how much the clock went back so far, as far as anybody saw.
    clock_back: Duration,
    monitors: BTreeMap<MonitorId, Monitor>,
    pings: Vec<Ping>,
    channels: BTreeMap<ChannelId, Channel>,
    digests: BTreeMap<ChannelId, DigestDue>,
    digests_told: BTreeMap<(ChannelId, TenantId), DigestTold>,
    alerts: Vec<AlertRow>,
    outbox: BTreeMap<MessageId, OutboxRow>,
    /// Up to where a tenant's events were taken in, and its newest while they were not.
    cursors: BTreeMap<TenantId, (i64, Option<i64>)>,
    watch: BTreeMap<(PlanId, ItemId), Timestamp>,
    jobs: BTreeMap<JobId, Job>,
    sets: BTreeMap<JobSetId, JobSet>,
    /// By what the queue is gone through, and its revision.
    rules: (Rules, i64),
    /// How a job holds its repository, where that does not follow from its kind.
    access: BTreeMap<JobId, RepositoryAccess>,
    agents: BTreeMap<AgentId, Timestamp>,
    agent_kinds: BTreeMap<AgentId, Vec<JobKind>>,
    leases: BTreeMap<JobId, LeaseRow>,
    attempts: Vec<Attempt>,
    checkpoints: BTreeMap<JobId, Checkpoint>,
    unread: BTreeMap<JobId, Unread>,
    snapshots: Vec<Snapshot>,
    suspicions: BTreeMap<PlanId, Suspicion>,
    /// Each repository's epoch under the newest prune whose end was taken in.
    settled: BTreeMap<RepositoryId, RepositoryEpoch>,
    evidence: Vec<Evidence>,
    events: Vec<ChainedEvent>,
    tokens: Vec<ApiToken>,
    agent_tokens: BTreeMap<AgentId, TokenId>,
    /// What is remembered, and when the run that makes the answer began.
    answers: Vec<(Remembered, Option<Timestamp>)>,
    changes: Vec<ChangeRecord>,
}

impl FakeStores {
    /// Makes empty stores whose leases end by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { rows: Arc::default(), clock }
    }

    /// Makes a queued job hold its repository alone, as a prune does.
    pub fn hold_alone(&self, job: JobId) {
        self.read(|rows| rows.access.insert(job, RepositoryAccess::Alone));
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Looks at the rows.
    fn read<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> T {
        look(&mut self.rows.lock().expect("nothing panics while it holds the rows"))
    }

    /// Changes the rows, all or nothing.
    fn write<T, E>(&self, change: impl FnOnce(&mut Rows, Timestamp) -> Result<T, E>) -> Result<T, E> {
        let now = self.now();
        self.read(|rows| {
            let mut copy = rows.clone();
            let answer = change(&mut copy, now)?;
            *rows = copy;
            Ok(answer)
        })
    }
}

impl Rows {
    /// Adds an event at the end of its tenant's chain.
    fn event_append(&mut self, event: &Event) {
        let last = self.events.iter().rfind(|row| row.event.tenant_id == event.tenant_id);
        let sequence = last.map_or(1, |last| last.sequence + 1);
        let hash = chain_hash(event, sequence, last.map(|last| last.hash.as_str()));
        self.events.push(ChainedEvent { event: event.clone(), sequence, hash });
        self.cursors.entry(event.tenant_id).or_default().1 = Some(sequence);
    }

    /// Says whether an agent's heartbeat has not ended.
    fn is_alive(&self, agent: AgentId, now: Timestamp) -> bool {
        self.agents.get(&agent).is_some_and(|expires_at| *expires_at > now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backstay_core::managers::purge::PurgePorts;
    use futures::FutureExt as _;

    use super::FakeStores;
    use crate::conformance::world::Stores;
    use crate::fakes::clock::ManualClock;
    use crate::fakes::secret::SecretMap;

    async fn stores() -> Stores {
        faked().1
    }

    /// Returns a fake, and itself as all of the stores.
    fn faked() -> (FakeStores, Stores) {
        let clock = ManualClock::default();
        let fake = FakeStores::new(Arc::new(clock.clone()));
        let alone = fake.clone();
        let stores = Stores {
            declarations: Arc::new(fake.clone()),
            history: Arc::new(fake.clone()),
            schedules: Arc::new(fake.clone()),
            retention: Arc::new(fake.clone()),
            notices: Arc::new(fake.clone()),
            jobs: Arc::new(fake.clone()),
            clock,
            hold_alone: Arc::new(move |id| {
                alone.hold_alone(id);
                async {}.boxed()
            }),
            kept: Arc::new(()),
        };
        (fake, stores)
    }

    #[tokio::test]
    async fn the_fake_keeps_the_promises_of_figures() {
        let (fake, kept) = faked();
        crate::conformance::meter::exercise(&fake, &fake, kept).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_the_promises_of_monitors() {
        let (fake, kept) = faked();
        crate::conformance::monitor::exercise(&fake, kept).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_the_promises_of_purges() {
        use crate::conformance::purge;
        let keeper = SecretMap::default();
        let (fake, kept) = faked();
        purge::exercise(ports(&fake, &keeper), kept).await;
        let keeper = SecretMap::default();
        let (fake, kept) = faked();
        purge::refusals(ports(&fake, &keeper), kept).await;
    }

    fn ports<'a>(fake: &'a FakeStores, keeper: &'a SecretMap) -> PurgePorts<'a> {
        PurgePorts { purges: fake, keeper, access: fake, monitors: fake }
    }

    #[tokio::test]
    async fn the_fake_keeps_the_promises_of_the_door() {
        let fake = FakeStores::new(Arc::new(ManualClock::default()));
        crate::conformance::access::exercise(&fake, &fake).await;
        crate::conformance::access::one_key_at_once(&fake).await;
    }

    mod store {
        crate::store_promises!(super::stores);
    }

    mod job {
        use crate::conformance::job::JobsHarness;

        async fn manager() -> JobsHarness {
            JobsHarness::of_manager(super::stores().await)
        }

        crate::jobs_promises!(manager);
    }
}
