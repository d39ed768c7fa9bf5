//! An authorization case for every row of the endpoint table: each role, on what is its own and on what is another
//! tenant's. A row without a case is a red test.
//!
//! Red when a handler takes a row by its id without `Own`, or lists without the caller's tenant; when a row says another
//! action than [`case`] expects; when the door lets a role through that may not.

use backstay_api::endpoint::{ENDPOINTS, Endpoint, Operation};
use backstay_api::types::list::NamedQuery;
use backstay_api::types::monitor::schedule;
use backstay_api::{Client, ClientError};
use backstay_core::domain::access::{Action, Role, may};
use backstay_core::domain::channel::ChannelKind;
use backstay_core::domain::evidence::Findings;
use backstay_core::domain::id::{
    AlertId, ChannelId, JobSetId, MaintenanceId, MonitorId, StorageId, TemplateId, TenantId, TokenId,
};
use backstay_core::domain::job::{Instruction, Job, JobCounts, JobKind, Outcome};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::schedule::Maintenance;
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::storage::Storage;
use backstay_core::domain::template::Said;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::managers::channel::{ChannelDeclaration, channel_declare};
use backstay_core::managers::job::JobManager;
use backstay_core::managers::monitor::monitor_declare;
use backstay_core::managers::plan::template_declare;
use backstay_core::managers::schedule::maintenance_declare;
use backstay_core::managers::watch::watch_tick;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_core::ports::notice::AlertFilter;
use backstay_core::ports::store::{EvidenceFilter, Page, SnapshotFilter};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{Stores, TTL, World};
use serde_json::{Value, json};

use crate::served::{Served, fakes};

/// An installation of one tenant with a row of each noun, and another tenant that has none.
pub(crate) struct House {
    pub(crate) served: Served,
    pub(crate) world: World,
    other: TenantId,
    job: String,
    queued: String,
    pub(crate) snapshot: String,
    evidence: String,
    token: TokenId,
    /// Channels, one for each that is taken away; the first one stays.
    channels: std::sync::Mutex<Vec<ChannelId>>,
    alert: AlertId,
    template: TemplateId,
    storage: StorageId,
    monitor: MonitorId,
    set: String,
    /// Templates, one for each that is removed.
    gone: std::sync::Mutex<Vec<TemplateId>>,
    /// Maintenance windows, one for each that is taken away.
    windows: std::sync::Mutex<Vec<MaintenanceId>>,
}

impl House {
    pub(crate) async fn build() -> Self {
        let stores = fakes();
        let served = Served::over(&stores).await;
        Self::of(stores, served).await
    }

    /// Fills an installation.
    pub(crate) async fn of(stores: Stores, served: Served) -> Self {
        let world = World::new(stores.clone(), 3).await;
        let other = Tenant { id: TenantId::new(world.now(), world.ten()), name: "eve".parse().unwrap() };
        stores.declarations.tenant_add(&other).await.unwrap();
        let jobs = JobManager::new(context(&stores), TTL);
        let agent = world.agent();
        let ask = LeaseRequest { agent_id: agent, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
        let job = world.queued(0).await;
        let lease = jobs.job_lease(&ask).await.unwrap().remove(0).lease_key();
        let snapshot = PublishedSnapshot { foreign_id: "ab".repeat(32), taken_at: world.now() };
        let (outcome, counts) = (Outcome::Complete, JobCounts::default());
        let result = JobResult::BackedUp { outcome, snapshot, counts, unread: Unread::default(), warning: None };
        jobs.job_finish(lease, &result).await.unwrap();
        let filter = SnapshotFilter::default();
        let snapshot = world.history.snapshot_list(filter, Page::first()).await.unwrap().remove(0);
        let sample = SampleRule { files_min: 1, bytes_percent: 1, seed: 5 };
        let verify = Instruction::Verify { snapshot_id: snapshot.id, sample, slice: None };
        world.enqueue(&Job { instruction: verify, plan_id: None, ..world.backup(0) }).await;
        let lease = jobs.job_lease(&ask).await.unwrap().remove(0).lease_key();
        let result = JobResult::Verified { findings: Box::new(findings(&world)), counts };
        jobs.job_finish(lease, &result).await.unwrap();
        let evidence = world.history.evidence_page(EvidenceFilter::default(), Page::first()).await.unwrap();
        let queued = world.queued(1).await;
        let tokens = &served.access;
        served.token(Role::Reader, Some(world.tenant.id)).await;
        let secret = json!({ "tenant": "ada", "name": "kept", "value": "hunter2" });
        served.client.raw(Operation::SecretPut, "", &[], Some(&secret)).await.unwrap();
        let token = tokens.token_list(None, Page::first()).await.unwrap()[0].id;
        let (mut windows, context) = (Vec::new(), context(&stores));
        for _ in 0..2 * Role::ALL.len() {
            let (from, until) = (world.now(), jiff::Timestamp::MAX);
            let window = Maintenance { name: "switch".to_owned(), tenant_id: Some(world.tenant.id), from, until };
            windows.push(maintenance_declare(&context, window).await.unwrap().id);
        }
        let mut channels = Vec::new();
        for number in 0..=2 * Role::ALL.len() {
            let wish = ChannelDeclaration {
                tenant_id: Some(world.tenant.id),
                name: format!("channel{number}").parse().unwrap(),
                kind: ChannelKind::Smtp,
                settings: json!({ "host": "mail.example", "from": "b@a.example", "to": "ann@a.example" }),
                rules: Vec::new(),
                digest: None,
            };
            channels.push(channel_declare(&context, wish).await.unwrap().id);
        }
        let (id, name) = (JobSetId::new(world.now(), world.ten()), world.plan.name.clone());
        let set = JobSet { id, tenant_id: world.tenant.id, name, wanted: 2, created_at: world.now() };
        stores.jobs.set_add(&set).await.unwrap();
        let storage = Storage {
            id: StorageId::new(world.now(), world.ten()),
            tenant_id: world.tenant.id,
            name: "shelf".parse().unwrap(),
            place: world.repository.storage.clone(),
            credentials: Default::default(),
            retired_at: None,
        };
        stores.declarations.storage_add(&storage).await.unwrap();
        let terms = (schedule("every 1h", None).unwrap(), std::time::Duration::from_secs(600));
        let wish = (world.tenant.id, "nightly".parse().unwrap());
        let monitor = monitor_declare(&context, &*served.monitors, wish.0, wish.1, terms).await.unwrap();
        let mut templates = Vec::new();
        for number in 0..=2 * Role::ALL.len() {
            let name = format!("template{number}").parse().unwrap();
            let made = template_declare(&context, world.tenant.id, name, None, Said::default()).await;
            templates.push(made.unwrap().id);
        }
        world.clock.advance(std::time::Duration::from_secs(2 * 86_400));
        watch_tick(&context).await.unwrap();
        let alerts = stores.notices.alert_list(AlertFilter::default(), Page::first()).await.unwrap();
        Self {
            channels: std::sync::Mutex::new(channels),
            alert: alerts[0].id,
            template: templates.remove(0),
            storage: storage.id,
            monitor: monitor.id,
            set: set.id.to_string(),
            gone: std::sync::Mutex::new(templates),
            windows: std::sync::Mutex::new(windows),
            job: job.to_string(),
            queued: queued.to_string(),
            snapshot: snapshot.id.to_string(),
            evidence: evidence[0].place.id.to_string(),
            other: other.id,
            served,
            world,
            token,
        }
    }
}

pub(crate) fn findings(world: &World) -> Findings {
    Findings {
        files_total: 1,
        bytes_total: 1,
        files_read: 1,
        files_read_in_part: 0,
        bytes_read: 1,
        files_compared: 0,
        files_changed_since: 0,
        classes: Vec::new(),
        packs_named: 1,
        bytes_fetched: 1,
        difference_count: 0,
        differences: Vec::new(),
        started_at: world.now(),
        took: std::time::Duration::ZERO,
        slice: None,
    }
}

/// What a row is called with, and what another tenant's caller hears.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
    foreign: Foreign,
}

/// What a caller of another tenant hears, whose role may do it on its own.
enum Foreign {
    /// There is no such thing.
    Missing,
    /// A list without a row of the tenant.
    WithoutIt,
    /// The same as everybody: the row belongs to no tenant.
    Alike,
}

/// Returns the case of a row. The compiler asks for one of each.
pub(crate) fn case(house: &House, operation: Operation) -> Case {
    let (world, name) = (&house.world, format!("n{}", house.world.ten()[9]));
    let (tenant, own) = (json!("ada"), |id: &dyn std::fmt::Display| id.to_string());
    let none = String::new;
    let (id, body, foreign) = match operation {
        Operation::TenantList => (none(), None, Foreign::WithoutIt),
        Operation::TenantCreate => (none(), Some(json!({ "name": name })), Foreign::Alike),
        Operation::TenantShow => (own(&world.tenant.id), None, Foreign::Missing),
        Operation::SourceKindList | Operation::StorageKindList | Operation::ChannelKindList => {
            (none(), None, Foreign::Alike)
        }
        Operation::RepositoryCreate => {
            let storage = json!({ "kind": "none", "settings": {} });
            let password = "sealed:kept";
            let body = json!({ "tenant": tenant, "name": name, "storage": storage, "password_reference": password });
            (none(), Some(body), Foreign::Missing)
        }
        Operation::RepositoryList => (none(), None, Foreign::WithoutIt),
        Operation::RepositoryShow | Operation::RepositoryPrune => (own(&world.repository.id), None, Foreign::Missing),
        Operation::RepositoryUpdate => {
            (own(&world.repository.id), Some(json!({ "verify_within_ms": null })), Foreign::Missing)
        }
        Operation::RepositoryAdopt => (own(&world.repository.id), Some(json!({})), Foreign::Missing),
        Operation::SourceCreate => {
            (none(), Some(json!({ "tenant": tenant, "name": name, "kind": "none", "settings": {} })), Foreign::Missing)
        }
        Operation::SourceList => (none(), None, Foreign::WithoutIt),
        Operation::SourceShow | Operation::ItemList => (own(&world.source.id), None, Foreign::Missing),
        Operation::SourceUpdate => (own(&world.source.id), Some(json!({ "settings": {} })), Foreign::Missing),
        Operation::ItemShow => (own(&world.items[0].id), None, Foreign::Missing),
        Operation::PlanCreate => {
            let (source, repository) = (own(&world.source.id), own(&world.repository.id));
            let body = json!({ "tenant": tenant, "name": name, "source_id": source, "repository_id": repository, "rpo_ms": 60_000 });
            (none(), Some(body), Foreign::Missing)
        }
        Operation::PlanList => (none(), None, Foreign::WithoutIt),
        Operation::PlanFit => (none(), Some(json!({ "tenant": tenant, "plans": [] })), Foreign::Missing),
        Operation::PlanShow => (own(&world.plan.id), None, Foreign::Missing),
        Operation::PlanUpdate => (own(&world.plan.id), Some(json!({ "rpo_ms": 3_600_000 })), Foreign::Missing),
        Operation::PlanSchedule
        | Operation::PlanPause
        | Operation::PlanResume
        | Operation::PlanClear
        | Operation::PlanRetention => (own(&world.plan.id), None, Foreign::Missing),
        Operation::MaintenanceList => (none(), None, Foreign::WithoutIt),
        Operation::MaintenanceCreate => {
            (none(), Some(json!({ "name": name, "tenant": tenant, "from": "2030-01-01T00:00:00Z" })), Foreign::Alike)
        }
        Operation::MaintenanceRemove => (own(&house.windows.lock().unwrap().pop().unwrap()), None, Foreign::Alike),
        Operation::PlanRequest => (own(&world.plan.id), None, Foreign::Missing),
        Operation::JobList => (none(), None, Foreign::WithoutIt),
        Operation::JobShow | Operation::JobLog => (house.job.clone(), None, Foreign::Missing),
        Operation::JobCancel => (house.queued.clone(), None, Foreign::Missing),
        // It is live: who may ask hears that, and nobody changes it.
        Operation::JobRetry => (house.job.clone(), None, Foreign::Missing),
        Operation::PlanExplain => (own(&world.plan.id), None, Foreign::Missing),
        Operation::ItemExplain => (own(&world.items[0].id), None, Foreign::Missing),
        Operation::JobExplain => (house.job.clone(), None, Foreign::Missing),
        Operation::SnapshotExplain => (house.snapshot.clone(), None, Foreign::Missing),
        Operation::CapsShow => (none(), None, Foreign::Alike),
        Operation::CapsPut => (none(), Some(json!({ "global": 100 })), Foreign::Alike),
        Operation::JobLease => {
            (own(&world.agent()), Some(json!({ "kinds": [], "held": [], "count_max": 0 })), Foreign::Alike)
        }
        Operation::JobRenew => (own(&world.agent()), Some(json!({ "leases": [] })), Foreign::Alike),
        Operation::JobProgress => {
            let progress = json!({ "phase": "working", "files_done": 0, "bytes_done": 0, "unread": 0 });
            (house.job.clone(), Some(json!({ "attempt": 1, "progress": progress })), Foreign::Alike)
        }
        Operation::JobCheckpoint => {
            (house.job.clone(), Some(json!({ "attempt": 1, "checkpoint_base64": "" })), Foreign::Alike)
        }
        Operation::JobWait => {
            (house.job.clone(), Some(json!({ "attempt": 1, "delay_ms": 0, "reason": "x" })), Foreign::Alike)
        }
        Operation::JobFinish => {
            (house.job.clone(), Some(json!({ "attempt": 1, "result": { "kind": "cancelled" } })), Foreign::Alike)
        }
        Operation::SnapshotList => (none(), None, Foreign::WithoutIt),
        Operation::SnapshotShow | Operation::SnapshotEntries => (house.snapshot.clone(), None, Foreign::Missing),
        Operation::SnapshotFind | Operation::SnapshotRead | Operation::SnapshotDiff => {
            (house.snapshot.clone(), None, Foreign::Missing)
        }
        Operation::SnapshotRestore => {
            (house.snapshot.clone(), Some(json!({ "target_path": "/srv/out" })), Foreign::Missing)
        }
        Operation::SnapshotPin
        | Operation::SnapshotUnpin
        | Operation::SnapshotHold
        | Operation::SnapshotRelease
        | Operation::SnapshotForget
        | Operation::SnapshotKeep => (house.snapshot.clone(), None, Foreign::Missing),
        Operation::SnapshotVerify => (house.snapshot.clone(), Some(json!({})), Foreign::Missing),
        Operation::EvidenceList => (none(), None, Foreign::WithoutIt),
        Operation::EvidenceShow => (house.evidence.clone(), None, Foreign::Missing),
        Operation::EventList | Operation::EventVerify | Operation::EventStream => (none(), None, Foreign::Missing),
        Operation::SecretPut => {
            let body = json!({ "tenant": tenant, "name": name, "value": "hunter2", "replace": true });
            (none(), Some(body), Foreign::Missing)
        }
        Operation::SecretList => (none(), None, Foreign::WithoutIt),
        Operation::SecretRemove => (format!("{}.gone", world.tenant.id), None, Foreign::Missing),
        Operation::TokenCreate => {
            (none(), Some(json!({ "name": name, "role": "reader", "tenant": tenant })), Foreign::Missing)
        }
        Operation::TokenList => (none(), None, Foreign::WithoutIt),
        Operation::TokenShow | Operation::TokenRevoke => (own(&house.token), None, Foreign::Missing),
        Operation::ChannelCreate => {
            let settings = json!({ "url": "https://a.example/x", "secret": "file:keys/channels/ada/hook" });
            let body = json!({ "tenant": tenant, "name": name, "kind": "webhook", "settings": settings });
            (none(), Some(body), Foreign::Missing)
        }
        Operation::ChannelList => (none(), None, Foreign::WithoutIt),
        Operation::ChannelShow | Operation::ChannelTest => {
            (own(&house.channels.lock().unwrap()[0]), None, Foreign::Missing)
        }
        Operation::ChannelUpdate => {
            (own(&house.channels.lock().unwrap()[0]), Some(json!({ "digest": "daily 07:00" })), Foreign::Missing)
        }
        Operation::ChannelRemove => (own(&house.channels.lock().unwrap().pop().unwrap()), None, Foreign::Missing),
        Operation::AlertList => (none(), None, Foreign::WithoutIt),
        Operation::AlertAcknowledge => (own(&house.alert), None, Foreign::Missing),
        Operation::AlertSilence => {
            (own(&house.alert), Some(json!({ "until": "2030-01-01T00:00:00Z", "reason": "x" })), Foreign::Missing)
        }
        Operation::DigestShow => (none(), None, Foreign::Missing),
        Operation::PlanRetire => (own(&world.plan.id), None, Foreign::Missing),
        Operation::SourceRetire => (own(&world.source.id), None, Foreign::Missing),
        Operation::RepositoryRetire => (own(&world.repository.id), None, Foreign::Missing),
        Operation::JobSetList => (none(), None, Foreign::WithoutIt),
        Operation::JobSetShow => (house.set.clone(), None, Foreign::Missing),
        Operation::StorageCreate => {
            (none(), Some(json!({ "tenant": tenant, "name": name, "kind": "none", "settings": {} })), Foreign::Missing)
        }
        Operation::StorageList => (none(), None, Foreign::WithoutIt),
        Operation::StorageShow | Operation::StorageRetire => (own(&house.storage), None, Foreign::Missing),
        Operation::StorageUpdate => (own(&house.storage), Some(json!({ "credentials": {} })), Foreign::Missing),
        Operation::TemplateCreate => (none(), Some(json!({ "tenant": tenant, "name": name })), Foreign::Missing),
        Operation::TemplateList => (none(), None, Foreign::WithoutIt),
        Operation::TemplateShow => (own(&house.template), None, Foreign::Missing),
        Operation::TemplateUpdate => (own(&house.template), Some(json!({ "rpo_ms": 3_600_000 })), Foreign::Missing),
        Operation::TemplateRemove => (own(&house.gone.lock().unwrap().pop().unwrap()), None, Foreign::Missing),
        Operation::MonitorCreate => {
            let body = json!({ "tenant": tenant, "name": name, "schedule": "every 1h", "grace_ms": 600_000 });
            (none(), Some(body), Foreign::Missing)
        }
        Operation::MonitorList => (none(), None, Foreign::WithoutIt),
        Operation::MonitorShow | Operation::PingList | Operation::MonitorRetire => {
            (own(&house.monitor), None, Foreign::Missing)
        }
        Operation::MonitorUpdate => (own(&house.monitor), Some(json!({ "grace_ms": 60_000 })), Foreign::Missing),
        // No agent works there: who may ask hears that.
        Operation::SourceTest => (own(&world.source.id), None, Foreign::Missing),
        // It is of a kind that nobody knows here: who may ask hears that.
        Operation::StorageTest => (own(&house.storage), None, Foreign::Missing),
        Operation::PurgeShow | Operation::PurgeCancel => (own(&world.tenant.id), None, Foreign::Missing),
        Operation::PurgeAnnounce => (own(&world.tenant.id), Some(json!({})), Foreign::Missing),
        // Of what was never announced: who may ask hears that, and nothing is destroyed.
        Operation::PurgeConfirm => {
            (own(&world.tenant.id), Some(json!({ "purge_id": own(&world.tenant.id) })), Foreign::Missing)
        }
        Operation::SecretTest => {
            (none(), Some(json!({ "tenant": tenant, "reference": "sealed:kept" })), Foreign::Missing)
        }
        Operation::QuotaList => (none(), None, Foreign::Alike),
        Operation::QuotaShow => (own(&world.tenant.id), None, Foreign::Missing),
        Operation::QuotaPut => (own(&world.tenant.id), Some(json!({ "quota_bytes": 1_u64 << 40 })), Foreign::Alike),
        Operation::AgentList | Operation::ChangeList | Operation::ChangeVerify | Operation::Metrics => {
            (none(), None, Foreign::Alike)
        }
    };
    let named = matches!(
        operation,
        Operation::EventList | Operation::EventVerify | Operation::EventStream | Operation::DigestShow
    );
    let query = match operation {
        _ if named => vec![("tenant".to_owned(), "ada".to_owned())],
        Operation::SnapshotRead => vec![("path".to_owned(), "/x".to_owned())],
        Operation::SnapshotFind => vec![("pattern".to_owned(), "x".to_owned())],
        Operation::SnapshotDiff => vec![("with".to_owned(), house.snapshot.clone())],
        _ => Vec::new(),
    };
    Case { id, query, body, foreign }
}

/// Returns the status and the stable word of an answer; a stream's body is not waited for.
async fn answer(client: &Client, row: &Endpoint, case: &Case) -> (u16, String, Value) {
    let answer = client.raw(row.operation, &case.id, &case.query, case.body.as_ref()).await;
    match answer {
        Ok(document) => (row.status, String::new(), document),
        Err(ClientError::Problem { problem }) => (problem.status, problem.code, Value::Null),
        Err(error) => panic!("{}: {error:?}", row.name),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_it_may_and_sees_its_own() {
    let house = House::build().await;
    let (own, other) = (house.world.tenant.id, house.other);
    let mut cases = 0;
    for role in Role::ALL.iter().copied() {
        let of = |tenant: TenantId| match role {
            Role::Admin | Role::Operator | Role::Agent => None,
            _ => Some(tenant),
        };
        let insider = house.served.client_of(role, of(own)).await;
        let stranger = house.served.client_of(role, of(other)).await;
        for row in ENDPOINTS.iter().filter(|row| row.media() == "application/json") {
            let case = case(&house, row.operation);
            let allowed = may(role, row.action);
            let (status, word, _) = answer(&insider, row, &case).await;
            assert_eq!(status == 403, !allowed, "{} as {role:?}: {status} {word}", row.name);
            let reads =
                [Operation::SnapshotEntries, Operation::SnapshotFind, Operation::SnapshotRead, Operation::SnapshotDiff];
            assert!(status < 500 || reads.contains(&row.operation), "{}: {status} {word}", row.name);
            if allowed {
                assert!(word != "not_found", "{} as {role:?} does not find its own", row.name);
            }
            let case = self::case(&house, row.operation);
            let (status, word, list) = answer(&stranger, row, &case).await;
            assert_eq!(status == 403, !allowed, "{} as {role:?} of another tenant: {status}", row.name);
            if allowed && of(other).is_some() {
                match case.foreign {
                    Foreign::Missing => assert_eq!((status, word.as_str()), (404, "not_found"), "{}", row.name),
                    Foreign::WithoutIt => {
                        let text = list.to_string();
                        assert!(status == 200 && !text.contains(&own.to_string()), "{}: {text}", row.name);
                    }
                    Foreign::Alike => assert_eq!(status, row.status, "{}", row.name),
                }
            }
            cases += 2;
        }
    }
    assert_eq!(cases, 2 * Role::ALL.len() * (ENDPOINTS.len() - 2));
}

/// Red without the door's look at references: a tenant's admin would open what another tenant's data lies behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_installations_secrets_are_not_a_tenants_to_name() {
    let house = House::build().await;
    let storage = json!({ "kind": "none", "settings": {} });
    let repository = |reference: &str, key: &str| json!({ "tenant": "ada", "name": "r", "storage": storage, "password_reference": reference, "credentials": { "read": key } });
    let of_storage = |key: &str| json!({ "tenant": "ada", "name": "s", "kind": "none", "settings": {}, "credentials": { "read": key } });
    let id = house.storage.to_string();
    let asked = [
        (Operation::RepositoryCreate, String::new(), repository("env:BACKSTAY_SECRET_A", "sealed:a")),
        (Operation::RepositoryCreate, String::new(), repository("sealed:a", "credential:secret-a")),
        (Operation::RepositoryCreate, String::new(), repository("file:keys/another-tenants.key", "sealed:a")),
        (Operation::StorageCreate, String::new(), of_storage("env:BACKSTAY_SECRET_A")),
        (Operation::StorageUpdate, id, json!({ "credentials": { "read": "credential:secret-a" } })),
    ];
    let own = house.served.client_of(Role::TenantAdmin, Some(house.world.tenant.id)).await;
    let overseer = house.served.client_of(Role::Operator, None).await;
    for (operation, id, body) in asked {
        let refused = |client: Client| {
            let (id, body) = (id.clone(), body.clone());
            async move {
                match client.raw(operation, &id, &[], Some(&body)).await {
                    Err(ClientError::Problem { problem }) => (problem.status, problem.detail),
                    other => panic!("{operation:?}: {other:?}"),
                }
            }
        };
        let (status, words) = refused(own.clone()).await;
        assert!(status == 403 && words.contains("a secret of the installation"), "{operation:?}: {status} {words}");
        let (status, words) = refused(overseer.clone()).await;
        assert!(status != 403, "{operation:?}: {status} {words}");
    }
}

/// Rows say what they are: looking never changes, and what changes is never a look.
#[test]
fn each_row_has_the_action_of_its_kind() {
    for row in ENDPOINTS {
        let looks = matches!(row.action, Action::Look | Action::Browse | Action::Describe);
        let gets = row.method == backstay_api::endpoint::Method::Get;
        // A question that is too long for a path.
        let asks = row.operation == Operation::PlanFit;
        assert!(!looks || gets || asks, "{} changes something and says that it looks", row.name);
        assert_eq!(row.only_looks(), gets || asks, "{}", row.name);
        assert!(!gets || !matches!(row.action, Action::Run | Action::Declare), "{}", row.name);
        // To bring data to the one who asks changes nothing, and is more than to look.
        let brings = row.operation == Operation::SnapshotRead;
        assert_eq!(gets && row.action == Action::Restore, brings, "{}", row.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_by_revocation_and_by_its_time() {
    let house = House::build().await;
    let admin = &house.served.client;
    let body = |name: &str, expires: Option<&str>| json!({ "name": name, "role": "tenant_admin", "tenant": "ada", "expires_at": expires });
    let made = admin.raw(Operation::TokenCreate, "", &[], Some(&body("a", None))).await.unwrap();
    let text = made["secret"].as_str().unwrap();
    assert!(text.starts_with("bk_") && text.len() > 50);
    let client = Client::new(&house.served.url, text.to_owned().into()).unwrap();
    assert_eq!(client.tenant_list(&NamedQuery::default()).await.unwrap().rows.len(), 1);
    let shown = client.token_show(made["token"]["id"].as_str().unwrap()).await.unwrap();
    assert!(shown.last_used_at.is_some() && !serde_json::to_string(&shown).unwrap().contains(text));
    client.token_revoke(&shown.id).await.unwrap();
    assert!(
        matches!(client.tenant_list(&NamedQuery::default()).await, Err(ClientError::Problem { problem }) if problem.status == 401)
    );
    let soon = (house.world.now() + jiff::SignedDuration::from_secs(60)).to_string();
    let made = admin.raw(Operation::TokenCreate, "", &[], Some(&body("b", Some(&soon)))).await.unwrap();
    let client = Client::new(&house.served.url, made["secret"].as_str().unwrap().to_owned().into()).unwrap();
    client.tenant_list(&NamedQuery::default()).await.unwrap();
    house.world.clock.advance(std::time::Duration::from_secs(60));
    assert!(
        matches!(client.tenant_list(&NamedQuery::default()).await, Err(ClientError::Problem { problem }) if problem.status == 401)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_a_change_is_in_a_signed_chain() {
    let house = House::build().await;
    let before = house.served.access.change_list(Page::first()).await.unwrap().len();
    let client = house.served.client_of(Role::TenantAdmin, Some(house.world.tenant.id)).await;
    client.plan_show(&house.world.plan.id.to_string()).await.unwrap();
    client.plan_request(&house.world.plan.id.to_string()).await.unwrap();
    // Ids of one millisecond have no order among them.
    house.world.clock.advance(std::time::Duration::from_millis(1));
    house.served.client.tenant_create(&serde_json::from_value(json!({ "name": "new" })).unwrap()).await.unwrap();
    let records = house.served.access.change_list(Page::first()).await.unwrap();
    assert_eq!(records.len(), before + 2, "a look is not recorded");
    let [tenant, run] = [&records[0], &records[1]];
    assert_eq!((tenant.asked.operation.as_str(), tenant.asked.token_id), ("tenant_create", None));
    assert_eq!((run.asked.operation.as_str(), run.asked.role), ("plan_request", Role::TenantAdmin));
    assert!(run.asked.token_id.is_some() && run.asked.tenant_id == Some(house.world.tenant.id));
    assert_eq!(tenant.previous_hash.as_ref(), Some(&run.hash));
    let text = backstay_core::domain::change::document(&tenant.asked, tenant.sequence, Some(&run.hash));
    assert_eq!(tenant.hash, backstay_core::domain::change::hash(&text));
    // Nor is a look at what a snapshot holds; who is given a file of it is.
    house.world.clock.advance(std::time::Duration::from_millis(1));
    for operation in [Operation::SnapshotFind, Operation::SnapshotRead] {
        let row = backstay_api::endpoint::endpoint(operation);
        answer(&house.served.client, row, &case(&house, operation)).await;
    }
    let newer = house.served.access.change_list(Page::first()).await.unwrap();
    assert_eq!((newer.len(), newer[0].asked.operation.as_str()), (records.len() + 1, "snapshot_read"));
}

/// Red when the door records each POST, remembers its answer, or asks for more than the right to look.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_with_a_body_is_no_change() {
    let house = House::build().await;
    let token = house.served.token(Role::Reader, Some(house.world.tenant.id)).await;
    let bearer = format!("authorization: Bearer {}", secrecy::ExposeSecret::expose_secret(&token));
    let before = house.served.access.change_list(Page::first()).await.unwrap().len();
    for _ in 0..2 {
        let asked = [bearer.as_str(), "idempotency-key: k"];
        let answer = house.served.http("POST /api/v1/plans/fit", &asked, r#"{"tenant":"ada","plans":[]}"#, "").await;
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, None), "{answer:?}");
    }
    assert_eq!(house.served.access.change_list(Page::first()).await.unwrap().len(), before);
}

/// The two rows whose answers are no JSON have their cases here.
#[tokio::test(flavor = "multi_thread")]
async fn figures_and_streams_have_their_doors_too() {
    use secrecy::ExposeSecret as _;
    let house = House::build().await;
    let path = "/api/v1/events/stream?tenant=ada";
    for role in Role::ALL.iter().copied() {
        let bound = !matches!(role, Role::Admin | Role::Operator | Role::Agent);
        for tenant in [house.world.tenant.id, house.other] {
            let token = house.served.token(role, bound.then_some(tenant)).await;
            let bearer = format!("authorization: Bearer {}", token.expose_secret());
            let figures = house.served.http("GET /metrics", &[&bearer], "", "").await;
            assert_eq!(figures.status == 200, may(role, Action::Oversee), "{role:?}: {}", figures.status);
            let stream = house.served.http(&format!("GET {path}"), &[&bearer], "", "\r\n\r\n").await;
            let expected = match (may(role, Action::Look), bound && tenant == house.other) {
                (false, _) => 403,
                (true, true) => 404,
                (true, false) => 200,
            };
            assert_eq!(stream.status, expected, "{role:?}");
        }
    }
    for path in ["GET /healthz", "GET /readyz"] {
        assert_eq!(house.served.http(path, &[], "", "").await.status, 200);
    }
    let told = house.served.http("GET /api/v1/openapi.json", &[], "", "").await;
    let committed = include_str!("../../../../docs/reference/openapi.json");
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert!(told.status == 200 && read(&told.body) == read(committed), "{}", told.status);
    let token = house.served.token(Role::Operator, None).await;
    let bearer = format!("authorization: Bearer {}", token.expose_secret());
    let text = house.served.http("GET /metrics", &[&bearer], "", "").await.body;
    assert!(text.contains("backstay_plan_rpo_seconds{tenant=\"ada\",plan=\"daily\"} 86400"), "{text}");
    assert!(text.contains("backstay_jobs{kind=\"backup\",state=\"queued\"} 1"), "{text}");
    assert!(!text.contains(&house.world.plan.id.to_string()) && !text.contains("/home"), "{text}");
}

/// Red without the look at the job's kind in `http/job.rs`: what a role may not ask for it may not ask for again.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_tries_no_restore_again() {
    let house = House::build().await;
    let tenant = Some(house.world.tenant.id);
    let restorer = house.served.client_of(Role::Restorer, tenant).await;
    let body = serde_json::from_value(json!({ "target_path": "/srv/out" })).unwrap();
    let job = restorer.snapshot_restore(&house.snapshot, &body).await.unwrap().job_id;
    let admin = house.served.client_of(Role::TenantAdmin, tenant).await;
    admin.job_cancel(&job).await.unwrap();
    let operator = house.served.client_of(Role::Operator, None).await;
    match operator.job_retry(&job).await {
        Err(backstay_api::ClientError::Problem { problem }) => assert_eq!(problem.code, "forbidden"),
        other => panic!("{other:?}"),
    }
    assert_eq!(admin.job_retry(&job).await.unwrap().kind, "restore");
}
