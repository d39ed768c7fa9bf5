//! Every list of rows comes in pages, made from the endpoint table: a list without a cursor is a red test.

use std::time::Duration;

use backstay_api::ClientError;
use backstay_api::endpoint::{ENDPOINTS, Endpoint, Operation};
use backstay_api::openapi::document;
use backstay_api::types::monitor::schedule;
use backstay_core::domain::access::Role;
use backstay_core::domain::channel::ChannelKind;
use backstay_core::domain::id::{ItemId, JobSetId, PlanId, RepositoryId, SourceId, StorageId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Instruction, Job, JobCounts, JobKind, Outcome};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::monitor::PingKind;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::schedule::Maintenance;
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::Storage;
use backstay_core::domain::template::Said;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::managers::channel::{ChannelDeclaration, channel_declare};
use backstay_core::managers::job::JobManager;
use backstay_core::managers::monitor::{monitor_declare, ping_take};
use backstay_core::managers::plan::template_declare;
use backstay_core::managers::schedule::maintenance_declare;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{TTL, repository};
use serde_json::{Value, json};

use crate::authorization::{House, case, findings};

/// Lists that are as long as the program is, and no longer.
const STATIC: [Operation; 3] = [Operation::SourceKindList, Operation::StorageKindList, Operation::ChannelKindList];

/// Returns the rows of the table whose answers are pages.
fn lists() -> Vec<&'static Endpoint> {
    let document = serde_json::to_value(document()).unwrap();
    let is_list = |row: &&Endpoint| {
        let method = format!("{:?}", row.method).to_lowercase();
        let answer = &document["paths"][row.path][method]["responses"][row.status.to_string()];
        let schema = answer["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        let name = schema.rsplit('/').next().unwrap_or_default();
        !document["components"]["schemas"][name]["properties"]["next_before"].is_null()
    };
    ENDPOINTS.iter().filter(is_list).filter(|row| !STATIC.contains(&row.operation)).collect()
}

/// Finishes what the queue has, after a backup and a verify more.
async fn work(house: &House, number: u32) {
    let world = &house.world;
    world.enqueue(&world.backup(0)).await;
    let sample = SampleRule { files_min: 1, bytes_percent: 1, seed: 5 };
    let snapshot_id = house.snapshot.parse().unwrap();
    let instruction = Instruction::Verify { snapshot_id, sample, slice: None };
    world.enqueue(&Job { instruction, plan_id: None, ..world.backup(0) }).await;
    let jobs = JobManager::new(context(&world.stores), TTL);
    let ask = LeaseRequest { agent_id: world.agent(), kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 9 };
    for (place, leased) in jobs.job_lease(&ask).await.unwrap().into_iter().enumerate() {
        let counts = JobCounts::default();
        let result = match world.job(leased.id).await.kind() {
            JobKind::Verify => JobResult::Verified { findings: Box::new(findings(world)), counts },
            _ => {
                let foreign_id = format!("{number:032x}{place:032x}");
                let snapshot = PublishedSnapshot { foreign_id, taken_at: world.now() };
                let outcome = Outcome::Complete;
                JobResult::BackedUp { outcome, snapshot, counts, unread: Unread::default(), warning: None }
            }
        };
        jobs.job_finish(leased.lease_key(), &result).await.unwrap();
    }
}

/// Adds a row that a list shows. Alerts come by themselves, and what a snapshot holds never changes.
async fn add(house: &House, row: &Endpoint, number: u32) {
    let (world, served) = (&house.world, &house.served);
    let (stores, tenant_id, context) = (&world.stores, world.tenant.id, context(&world.stores));
    // Ids of one millisecond have no order among them.
    world.clock.advance(Duration::from_millis(1));
    let (now, text) = (world.now(), format!("{}{number}", row.name));
    let name = text.parse().unwrap();
    match row.operation {
        Operation::TenantList | Operation::QuotaList => {
            stores.declarations.tenant_add(&Tenant { id: TenantId::new(now, world.ten()), name }).await.unwrap();
        }
        Operation::RepositoryList => {
            let row = repository(tenant_id, RepositoryId::new(now, world.ten()), &text);
            stores.declarations.repository_add(&row).await.unwrap();
        }
        Operation::SourceList => {
            let id = SourceId::new(now, world.ten());
            stores.declarations.source_add(&Source { id, name, ..world.source.clone() }, &[]).await.unwrap();
        }
        Operation::ItemList | Operation::PlanRetention => {
            let seen = stores.declarations.source_get(world.source.id).await.unwrap();
            let (id, source_id) = (ItemId::new(now, world.ten()), seen.id);
            let item = Item { id, source_id, name: format!("/{text}"), vanished_at: None };
            assert!(stores.declarations.source_settings_put(&seen, &seen.settings, &[item]).await.unwrap());
        }
        Operation::PlanList => {
            let id = PlanId::new(now, world.ten());
            stores.declarations.plan_add(&Plan { id, name, ..world.plan.clone() }).await.unwrap();
        }
        Operation::TemplateList => {
            template_declare(&context, tenant_id, name, None, Said::default()).await.unwrap();
        }
        Operation::StorageList => {
            let row = Storage {
                id: StorageId::new(now, world.ten()),
                tenant_id,
                name,
                place: world.repository.storage.clone(),
                credentials: Default::default(),
                retired_at: None,
            };
            stores.declarations.storage_add(&row).await.unwrap();
        }
        Operation::MonitorList => {
            let terms = (schedule("every 1h", None).unwrap(), Duration::from_secs(600));
            monitor_declare(&context, &*served.monitors, tenant_id, name, terms).await.unwrap();
        }
        Operation::PingList => {
            let of = (tenant_id, &"nightly".parse().unwrap());
            assert!(ping_take(&context, &*served.monitors, of, (PingKind::Log, None), &text).await.unwrap());
        }
        Operation::MaintenanceList => {
            let window = Maintenance { name: text, tenant_id: None, from: now, until: jiff::Timestamp::MAX };
            maintenance_declare(&context, window).await.unwrap();
        }
        Operation::ChannelList => {
            let wish = ChannelDeclaration {
                tenant_id: None,
                name,
                kind: ChannelKind::Smtp,
                settings: json!({ "host": "mail.example", "from": "b@a.example", "to": "ann@a.example" }),
                rules: Vec::new(),
                digest: None,
            };
            channel_declare(&context, wish).await.unwrap();
        }
        Operation::SecretList => {
            let body = json!({ "tenant": "ada", "name": text, "value": "hunter2" });
            served.client.raw(Operation::SecretPut, "", &[], Some(&body)).await.unwrap();
        }
        Operation::TokenList => drop(served.token(Role::Reader, Some(tenant_id)).await),
        Operation::AgentList => drop(world.claim(world.agent(), 1).await),
        Operation::ChangeList => {
            let body = json!({ "name": text });
            served.client.raw(Operation::TenantCreate, "", &[], Some(&body)).await.unwrap();
        }
        Operation::JobSetList => {
            let id = JobSetId::new(now, world.ten());
            let set = JobSet { id, tenant_id, name, wanted: 2, created_at: now };
            stores.jobs.set_add(&set).await.unwrap();
        }
        Operation::JobList | Operation::EventList | Operation::SnapshotList | Operation::EvidenceList => {
            work(house, 100 * row.operation as u32 + number).await;
        }
        Operation::AlertList | Operation::SnapshotEntries => {}
        other => panic!("{other:?} is a list, and no row is added to it: say how"),
    }
}

/// Returns what tells a row from the others of its list.
fn key_of(row: &Value) -> String {
    let keys = ["id", "sequence", "item_id", "tenant_id", "name"];
    keys.iter().map(|key| &row[key]).find(|key| !key.is_null()).unwrap().to_string()
}

/// Red when a list takes no cursor, does not say where its next page begins, repeats a row or loses one.
#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_gone_through_page_by_page() {
    let house = House::build().await;
    let lists = lists();
    assert!(lists.len() >= 24, "{} lists", lists.len());
    for row in lists {
        let case = case(&house, row.operation);
        for number in 0..3 {
            add(&house, row, number).await;
        }
        let ask = async |more: &[(&str, &str)]| {
            let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let query: Vec<_> = case.query.iter().cloned().chain(more).collect();
            house.served.client.raw(row.operation, &case.id, &query, None).await
        };
        let rows_of = |page: &Value| page["rows"].as_array().unwrap().iter().map(key_of).collect::<Vec<_>>();
        let whole = ask(&[("limit", "500")]).await.unwrap();
        let (known, name) = (rows_of(&whole), row.name);
        assert!(known.len() >= 3, "{name} has {} rows", known.len());
        assert!(whole["next_before"].is_null(), "{name} has no next page");
        let (mut met, mut before): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let mut more = vec![("limit", "1")];
            more.extend(before.as_deref().map(|before| ("before", before)));
            let page = ask(&more).await.unwrap();
            let rows = rows_of(&page);
            assert_eq!(rows.len(), usize::from(!page["next_before"].is_null()), "{name}: {page}");
            met.extend(rows);
            if met.len() == 2 {
                add(&house, row, 3).await;
            }
            before = page["next_before"].as_str().map(str::to_owned);
            if before.is_none() {
                break;
            }
        }
        for key in &known {
            assert_eq!(met.iter().filter(|other| *other == key).count(), 1, "{name}: {key} in {met:?}");
        }
        for (field, value) in [("before", "no cursor"), ("limit", "0"), ("limit", "10001")] {
            match ask(&[(field, value)]).await {
                Err(ClientError::Problem { problem }) => {
                    assert!(problem.status == 422 && problem.detail.starts_with(field), "{name}: {problem:?}");
                }
                other => panic!("{name} with {field}={value}: {other:?}"),
            }
        }
    }
}
