//! The suite of the port `PurgeStore`, with the core's manager over it: what waits, what is refused, what is destroyed, and
//! that nothing of anybody else is.

use std::time::Duration;

use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::channel::ChannelKind;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::evidence::verify_file;
use backstay_core::domain::id::{RepositoryId, TenantId};
use backstay_core::domain::job::JobKind;
use backstay_core::domain::job::{JobCounts, Outcome};
use backstay_core::domain::purge::{Confirmed, Purge, WAIT_DEFAULT, WAIT_MIN, file};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::schedule::{OverlapKey, Schedule};
use backstay_core::domain::secret::Secret;
use backstay_core::domain::snapshot::{Mark, PublishedSnapshot};
use backstay_core::domain::storage::StorageSettings;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::managers::access::{Asker, TokenDeclaration, token_issue};
use backstay_core::managers::channel::{ChannelDeclaration, channel_declare};
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::monitor::monitor_declare;
use backstay_core::managers::purge::{PurgeError, PurgePorts, purge_announce, purge_cancel, purge_confirm};
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_core::ports::schedule::Start;
use backstay_core::ports::secret::Replace;
use backstay_core::ports::store::{Page, SnapshotFilter, StoreError};
use serde_json::json;

use super::job::context;
use super::world::{Stores, TTL, World, repository};

/// Two tenants that have the same: one goes, the other stays.
struct Two<'a> {
    ports: PurgePorts<'a>,
    context: Context,
    world: World,
    other: Tenant,
}

impl<'a> Two<'a> {
    async fn new(ports: PurgePorts<'a>, stores: Stores) -> Self {
        let context = context(&stores);
        let world = World::new(stores.clone(), 2).await;
        let other = Tenant { id: TenantId::new(world.now(), world.ten()), name: "eve".parse().unwrap() };
        stores.declarations.tenant_add(&other).await.unwrap();
        let two = Self { ports, context, world, other };
        two.repository_add(&two.other, "/srv/eve", "sealed:far").await;
        for tenant in [two.world.tenant.clone(), two.other.clone()] {
            two.fill(&tenant).await;
        }
        two
    }

    async fn repository_add(&self, tenant: &Tenant, path: &str, password: &str) {
        let id = RepositoryId::new(self.world.now(), self.world.ten());
        let name = format!("r{}", path.replace('/', "-"));
        let storage = StorageSettings { kind: "local".to_owned(), settings: json!({ "path": path }) };
        let password = password.parse().unwrap();
        let row = Repository { storage, password, ..repository(tenant.id, id, &name) };
        self.world.stores.declarations.repository_add(&row).await.unwrap();
    }

    /// Gives a tenant two secrets, a token, a channel and a monitor.
    async fn fill(&self, tenant: &Tenant) {
        for name in ["far", "near"] {
            let (name, value) = (name.parse().unwrap(), Secret::from("hunter2"));
            assert!(self.ports.keeper.secret_put(tenant.id, &name, &value, Replace::No).await.unwrap());
        }
        let scope = Scope::new(Role::TenantAdmin, Some(tenant.id), Vec::new()).unwrap();
        let wish = TokenDeclaration { name: "key".parse().unwrap(), scope, expires_at: None };
        token_issue(&self.context, self.ports.access, wish).await.unwrap();
        let settings = json!({ "host": "mail.example", "from": "b@a.example", "to": "ann@a.example" });
        let (name, kind) = ("mail".parse().unwrap(), ChannelKind::Smtp);
        let wish =
            ChannelDeclaration { tenant_id: Some(tenant.id), name, kind, settings, rules: Vec::new(), digest: None };
        channel_declare(&self.context, wish).await.unwrap();
        let hourly =
            Schedule::new("every 1h".parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap();
        let terms = (hourly, Duration::from_secs(600));
        monitor_declare(&self.context, self.ports.monitors, tenant.id, "nightly".parse().unwrap(), terms)
            .await
            .unwrap();
    }

    /// Returns all that a tenant has that is not history: secrets, good tokens, channels, monitors, and what lives.
    async fn has(&self, tenant: TenantId) -> [usize; 7] {
        let (store, ports) = (&self.context.declarations, &self.ports);
        let tokens = ports.access.token_list(Some(tenant), Page::first()).await.unwrap();
        let channels = self.context.notices.channel_list(Some(tenant)).await.unwrap();
        let live = |mark: Option<jiff::Timestamp>| mark.is_none();
        let plans = store.plan_list(Some(tenant)).await.unwrap();
        let sources = store.source_list(Some(tenant)).await.unwrap();
        let repositories = store.repository_list(Some(tenant)).await.unwrap();
        [
            ports.keeper.secret_list(Some(tenant)).await.unwrap().len(),
            tokens.iter().filter(|row| row.revoked_at.is_none()).count(),
            channels.iter().filter(|row| row.tenant_id == Some(tenant)).count(),
            ports.monitors.monitor_list(Some(tenant)).await.unwrap().len(),
            plans.iter().filter(|row| live(row.retired_at)).count(),
            sources.iter().filter(|row| live(row.retired_at)).count(),
            repositories.iter().filter(|row| live(row.retired_at)).count(),
        ]
    }

    async fn announce(&self, tenant: &Tenant) -> Result<Purge, PurgeError> {
        purge_announce(&self.context, self.ports, tenant, WAIT_DEFAULT).await
    }

    async fn confirm(&self, tenant: &Tenant, purge: &Purge) -> Result<Purge, PurgeError> {
        let scope = Scope::installation();
        let asker = Asker { token_id: None, scope: &scope };
        purge_confirm(&self.context, self.ports, asker, tenant, purge.id).await
    }

    /// Backs an item up; what an agent does is left to the caller.
    async fn back_up(&self) {
        let jobs = JobManager::new(self.context.clone(), TTL);
        self.world.queued(0).await;
        let agent_id = self.world.agent();
        let ask = LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
        let lease = jobs.job_lease(&ask).await.unwrap().remove(0).lease_key();
        let snapshot = PublishedSnapshot { foreign_id: "ab".repeat(32), taken_at: self.world.now() };
        let (outcome, counts, unread) = (Outcome::Complete, JobCounts::default(), Unread::default());
        let result = JobResult::BackedUp { outcome, snapshot, counts, unread, warning: None };
        jobs.job_finish(lease, &result).await.unwrap();
    }
}

/// Runs every promise; the stores have no tenant yet.
///
/// Red when a purge is confirmed before its wait is over, when a secret, a token or a plan is left, when anything of another
/// tenant is touched, when a new job is taken, or when the record does not prove itself or is not chained.
pub async fn exercise(ports: PurgePorts<'_>, stores: Stores) {
    let two = Two::new(ports, stores).await;
    let (tenant, all) = (two.world.tenant.clone(), [2, 1, 1, 1, 1, 1, 1]);
    let of_other = two.has(two.other.id).await;
    assert_eq!(two.has(tenant.id).await, all);
    waits(&two, &tenant, all).await;

    // What an agent has is not taken from it; what is queued goes.
    let announced = two.announce(&tenant).await.unwrap();
    two.world.clock.advance(WAIT_DEFAULT);
    let agent = two.world.agent();
    let lease = two.world.leased(0, agent).await;
    let refused = two.confirm(&tenant, &announced).await;
    assert!(matches!(refused, Err(PurgeError::Running { .. })), "{refused:?}");
    assert_eq!(two.has(tenant.id).await, all, "what is refused touches nothing");
    two.world.jobs.job_settle(lease, &two.world.success()).await.unwrap();
    let queued = two.world.queued(1).await;

    let done = two.confirm(&tenant, &announced).await.unwrap();
    assert_eq!(two.has(tenant.id).await, [0; 7]);
    assert_eq!(two.has(two.other.id).await, of_other, "nothing of another tenant is touched");
    assert!(two.world.job(queued).await.state.finished_at().is_some(), "what was queued is cancelled");
    let record = done.record.clone().unwrap();
    let checked = verify_file(&file(&record)).unwrap();
    let fact = |name: &str| {
        checked.facts.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect::<Vec<_>>()
    };
    assert_eq!((fact("secret_destroyed"), fact("secrets_destroyed")), (vec!["far", "near"], vec!["2"]));
    assert_eq!(
        (fact("tenant"), fact("tokens_revoked"), fact("plan_retired")),
        (vec![&*tenant.id.to_string()], vec!["1"], vec!["daily"])
    );
    assert_eq!((fact("sequence"), fact("previous"), fact("by_role")), (vec!["1"], vec!["-"], vec!["admin"]));
    let told = two.world.events().await;
    assert!(told.last().unwrap().event.message.contains("is purged"), "{told:?}");

    // Again is the same; nothing new is made; there is no way back.
    assert_eq!(two.confirm(&tenant, &announced).await.unwrap(), done);
    assert_eq!(two.announce(&tenant).await.unwrap(), done);
    assert!(matches!(purge_cancel(two.ports, tenant.id).await, Err(PurgeError::Confirmed)));
    let job = two.world.backup(0);
    let event = two.world.event(EventKind::Enqueued, &job);
    let refused = two.world.jobs.job_enqueue(&job, &event, None).await;
    assert!(matches!(refused, Err(StoreError::Purged { .. })), "{refused:?}");

    // The next one is chained to it.
    let announced = two.announce(&two.other.clone()).await.unwrap();
    two.world.clock.advance(WAIT_DEFAULT);
    let next = two.confirm(&two.other.clone(), &announced).await.unwrap().record.unwrap();
    assert!(next.sequence == 2 && next.document.contains(&format!("\nprevious {}\n", record.hash)), "{next:?}");
}

/// What is announced changes nothing, waits, and can be taken back.
async fn waits(two: &Two<'_>, tenant: &Tenant, all: [usize; 7]) {
    let short = purge_announce(&two.context, two.ports, tenant, WAIT_MIN - Duration::from_millis(1)).await;
    assert!(matches!(short, Err(PurgeError::Wait)), "{short:?}");
    let first = two.announce(tenant).await.unwrap();
    assert_eq!(two.announce(tenant).await.unwrap(), first, "announced twice is announced once");
    two.world.clock.advance(WAIT_DEFAULT - Duration::from_secs(1));
    let early = two.confirm(tenant, &first).await;
    assert!(matches!(early, Err(PurgeError::Early { due_at }) if due_at == first.due_at), "{early:?}");
    assert_eq!(two.has(tenant.id).await, all);
    purge_cancel(two.ports, tenant.id).await.unwrap();
    purge_cancel(two.ports, tenant.id).await.unwrap();
    two.world.clock.advance(Duration::from_secs(1));
    let gone = two.confirm(tenant, &first).await;
    assert!(matches!(gone, Err(PurgeError::Unknown { .. })), "{gone:?}");
    let second = two.announce(tenant).await.unwrap();
    two.world.clock.advance(WAIT_DEFAULT);
    let other = two.confirm(tenant, &first).await;
    assert!(matches!(other, Err(PurgeError::Unknown { .. })), "another one was announced: {other:?}");
    assert_eq!(two.has(tenant.id).await, all);
    assert!(two.ports.purges.purge_drop(second.id).await.unwrap());
}

/// Runs the promises of what is refused; the stores have no tenant yet.
///
/// Red when a legal hold does not keep a snapshot, when what another tenant needs would go, or when a tick starts plans of a
/// tenant whose purge is confirmed.
pub async fn refusals(ports: PurgePorts<'_>, stores: Stores) {
    let two = Two::new(ports, stores).await;
    let tenant = two.world.tenant.clone();
    two.back_up().await;
    let snapshot = two.context.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap().remove(0);
    two.context.retention.snapshot_mark(snapshot.id, Mark::Hold, true).await.unwrap();
    let held = two.announce(&tenant).await;
    let named = |names: &[String]| names == [snapshot.id.to_string()];
    assert!(matches!(&held, Err(PurgeError::Held { names }) if named(names)), "{held:?}");
    two.context.retention.snapshot_mark(snapshot.id, Mark::Hold, false).await.unwrap();
    let announced = two.announce(&tenant).await.unwrap();
    two.context.retention.snapshot_mark(snapshot.id, Mark::Hold, true).await.unwrap();
    two.world.clock.advance(WAIT_DEFAULT);
    let held = two.confirm(&tenant, &announced).await;
    assert!(matches!(&held, Err(PurgeError::Held { names }) if named(names)), "{held:?}");
    two.context.retention.snapshot_mark(snapshot.id, Mark::Hold, false).await.unwrap();

    // One that lies at the very place of its own, and one that is opened by its secret.
    two.repository_add(&two.other, "/srv/backups", "file:keys/x.key").await;
    two.repository_add(&two.other, "/srv/more", &format!("sealed:{}/far", tenant.id)).await;
    let shared = two.confirm(&tenant, &announced).await;
    let both = ["repository r-srv-backups of eve", "repository r-srv-more of eve"];
    assert!(matches!(&shared, Err(PurgeError::Shared { names }) if *names == both), "{shared:?}");
    assert_eq!(two.has(tenant.id).await, [2, 1, 1, 1, 1, 1, 1], "what is refused touches nothing");

    // From the confirmation on neither a schedule nor a person starts anything, also while the plans are still there.
    let confirmed = Confirmed { at: two.world.now(), facts: String::new() };
    two.ports.purges.purge_confirm(announced.id, &confirmed).await.unwrap();
    let job = two.world.backup(1);
    let event = two.world.event(EventKind::Enqueued, &job);
    let state = two.context.schedules.schedule_get(two.world.plan.id).await.unwrap();
    let start = Start { state, set: None, jobs: vec![(job.clone(), event.clone())], told: Vec::new() };
    assert!(!two.context.schedules.schedule_start(&[start]).await.unwrap());
    let refused = two.world.jobs.job_enqueue(&job, &event, None).await;
    assert!(matches!(refused, Err(StoreError::Purged { .. })), "{refused:?}");
}
