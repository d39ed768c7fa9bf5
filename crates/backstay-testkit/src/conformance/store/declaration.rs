//! Promises about what people declare.

use std::time::Duration;

use backstay_core::domain::id::{ItemId, PlanId, RepositoryId, SourceId, StorageId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::quota::Quota;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule};
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::{Purpose, Storage};
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::store::{BackupPlace, Retirable, StoreError};
use serde_json::json;

use crate::conformance::world::{Stores, World, repository};

fn assert_taken(answer: Result<(), StoreError>, noun: &str) {
    assert!(matches!(&answer, Err(StoreError::Taken { noun: taken, .. }) if *taken == noun), "{noun}: {answer:?}");
}

/// A name is taken once for its owner; another tenant may use it too.
///
/// Red without any one of the unique indexes `uq_*_name`.
pub async fn a_taken_name_is_refused(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let now = world.now();
    let tenant = |name: &str| Tenant { id: TenantId::new(now, world.ten()), name: name.parse().unwrap() };
    assert_taken(store.tenant_add(&tenant("ada")).await, "tenant");
    let bob = tenant("bob");
    store.tenant_add(&bob).await.unwrap();

    let source =
        |owner: TenantId| Source { id: SourceId::new(now, world.ten()), tenant_id: owner, ..world.source.clone() };
    assert_taken(store.source_add(&source(world.tenant.id), &[]).await, "source");
    let source_of_bob = source(bob.id);
    store.source_add(&source_of_bob, &[]).await.unwrap();

    let home = |owner: TenantId| repository(owner, RepositoryId::new(now, world.ten()), "home");
    assert_taken(store.repository_add(&home(world.tenant.id)).await, "repository");
    store.repository_add(&home(bob.id)).await.unwrap();

    let plan = |owner: TenantId| Plan { id: PlanId::new(now, world.ten()), tenant_id: owner, ..world.plan.clone() };
    assert_taken(store.plan_add(&plan(world.tenant.id)).await, "plan");
    store.plan_add(&plan(bob.id)).await.unwrap();
}

/// What was declared is read back field by field; lists are sorted by name, of one tenant or of all.
///
/// Red when `declaration::by_name` does not sort, or when a column is left out on either way.
pub async fn declarations_are_read_back_sorted_by_name(stores: Stores) {
    let world = World::new(stores, 3).await;
    let store = &world.stores.declarations;
    let now = world.now();
    let bob = Tenant { id: TenantId::new(now, world.ten()), name: "a-b".parse().unwrap() };
    store.tenant_add(&bob).await.unwrap();
    assert_eq!(store.tenant_list().await.unwrap(), [bob.clone(), world.tenant.clone()]);
    assert_eq!(store.tenant_by_name(&bob.name).await.unwrap(), bob);

    let settings = json!({ "path": "/ü", "deep": [1, 2.5, null, { "k": "v" }], "big": u64::MAX });
    let (id, name) = (SourceId::new(now, world.ten()), "a".parse().unwrap());
    let source = Source { id, tenant_id: bob.id, name, kind: "ftps".to_owned(), settings, retired_at: None };
    let item = |name: &str| Item {
        id: ItemId::new(now, world.ten()),
        source_id: source.id,
        name: name.to_owned(),
        vanished_at: Some(now),
    };
    let long = "/x".repeat(3_000);
    let items = [item("/a"), item("/A"), item(&long)];
    store.source_add(&source, &items).await.unwrap();
    assert_eq!(store.source_get(id).await.unwrap(), source);
    assert_eq!(store.source_list(Some(bob.id)).await.unwrap(), std::slice::from_ref(&source));
    assert_eq!(store.source_list(None).await.unwrap(), [source, world.source.clone()]);
    assert_eq!(store.item_list(id).await.unwrap(), [items[1].clone(), items[0].clone(), items[2].clone()]);
    assert_eq!(store.item_get(world.items[2].id).await.unwrap(), world.items[2]);
    assert_eq!(store.item_list(world.source.id).await.unwrap(), world.items);

    let other = repository(bob.id, RepositoryId::new(now, world.ten()), "away");
    store.repository_add(&other).await.unwrap();
    assert_eq!(store.repository_get(other.id).await.unwrap(), other);
    assert_eq!(store.repository_list(Some(world.tenant.id)).await.unwrap(), std::slice::from_ref(&world.repository));
    assert_eq!(store.repository_list(None).await.unwrap(), [other, world.repository.clone()]);

    let rhythms = [Rhythm::Cron("30 2 * * *".to_owned()), Rhythm::Every(Duration::from_secs(3_600)), Rhythm::OnRequest];
    for (number, rhythm) in rhythms.into_iter().enumerate() {
        let jitter = Duration::from_secs(90);
        let schedule = Schedule::new(rhythm, "Europe/Zurich".to_owned(), jitter, OverlapKey::Tenant).unwrap();
        let (id, name) = (PlanId::new(now, world.ten()), format!("p{number}").parse().unwrap());
        let plan = Plan { id, name, schedule, tenant_id: bob.id, ..world.plan.clone() };
        store.plan_add(&plan).await.unwrap();
        assert_eq!(store.plan_get(id).await.unwrap(), plan);
    }
    let names = |plans: Vec<Plan>| plans.iter().map(|plan| plan.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(store.plan_list(Some(bob.id)).await.unwrap()), ["p0", "p1", "p2"]);
    assert_eq!(names(store.plan_list(None).await.unwrap()), ["daily", "p0", "p1", "p2"]);
}

/// A source whose items cannot all be added is not added.
///
/// Red when `source_add` writes outside a transaction.
pub async fn a_source_comes_with_all_its_items_or_not_at_all(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let id = SourceId::new(world.now(), world.ten());
    let source = Source { id, name: "other".parse().unwrap(), ..world.source.clone() };
    let item = || Item { id: ItemId::new(world.now(), world.ten()), source_id: id, ..world.items[0].clone() };
    assert_taken(store.source_add(&source, &[item(), item()]).await, "item");
    assert!(matches!(store.source_get(id).await, Err(StoreError::NotFound { noun: "source", .. })));
    assert_eq!(store.item_list(id).await.unwrap(), []);
    store.source_add(&source, &[item()]).await.unwrap();
}

/// Settings of a source change when it is as it was seen, and what they name besides is watched by its plans; one that is
/// retired stays as it is.
///
/// Red without the old settings in `source_settings_put`, without its items, and without `watch_plan`.
pub async fn settings_of_a_source_change_as_they_were_seen(stores: Stores) {
    let world = World::new(stores, 1).await;
    let (store, notices) = (&world.stores.declarations, &world.stores.notices);
    let watched = async || notices.watch_list_due(world.now(), 100).await.unwrap().len();
    let (before, settings) = (watched().await, serde_json::json!({ "path": "/a", "exclude": ["*.tmp"] }));
    assert!(store.source_settings_put(&world.source, &settings, &[]).await.unwrap());
    let changed = Source { settings: settings.clone(), ..world.source.clone() };
    assert_eq!(store.source_get(world.source.id).await.unwrap(), changed);
    assert_eq!(store.item_list(world.source.id).await.unwrap(), world.items);
    assert!(!store.source_settings_put(&world.source, &settings, &[]).await.unwrap(), "it is as it was seen no more");
    let item = Item { id: ItemId::new(world.now(), world.ten()), name: "more".to_owned(), ..world.items[0].clone() };
    assert!(store.source_settings_put(&changed, &settings, std::slice::from_ref(&item)).await.unwrap());
    assert_eq!(store.item_list(world.source.id).await.unwrap().len(), world.items.len() + 1);
    assert_eq!(watched().await, before + 1);
    assert_taken(store.source_settings_put(&changed, &settings, &[item]).await.map(drop), "item");
    let at = world.now();
    assert!(store.retire(Retirable::Plan(world.plan.id), at).await.unwrap().is_empty());
    assert!(store.retire(Retirable::Source(world.source.id), at).await.unwrap().is_empty());
    let retired = store.source_get(world.source.id).await.unwrap();
    assert!(!store.source_settings_put(&retired, &settings, &[]).await.unwrap());
}

/// A row that is not there is named by noun and key, and so is a row that refers to one.
///
/// Red without the foreign keys in `CREATE TABLE`, or with `foreign_keys` off.
pub async fn what_is_missing_is_named(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let ten = || world.ten();
    let now = world.now();
    let missing = |answer: Option<StoreError>| match answer {
        Some(error @ StoreError::NotFound { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let name = "nobody".parse().unwrap();
    assert_eq!(missing(store.tenant_by_name(&name).await.err()), "there is no tenant nobody");
    let id = ItemId::new(now, ten());
    assert_eq!(missing(store.item_get(id).await.err()), format!("there is no item {id}"));
    missing(store.source_get(SourceId::new(now, ten())).await.err());
    missing(store.repository_get(RepositoryId::new(now, ten())).await.err());
    missing(store.plan_get(PlanId::new(now, ten())).await.err());

    let nobody = TenantId::new(now, ten());
    let source = Source { id: SourceId::new(now, ten()), tenant_id: nobody, ..world.source.clone() };
    missing(store.source_add(&source, &[]).await.err());
    missing(store.repository_add(&repository(nobody, RepositoryId::new(now, ten()), "x")).await.err());
    let name = "x".parse().unwrap();
    let plan = Plan { id: PlanId::new(now, ten()), name, source_id: source.id, ..world.plan.clone() };
    missing(store.plan_add(&plan).await.err());
}

/// What a backup needs is what each of its rows says when it is asked for alone; what is not there is refused.
///
/// Red when a table is joined by a wrong key, or one that need not be there must.
pub async fn what_a_backup_needs_is_what_its_rows_say(stores: Stores) {
    let world = World::new(stores, 2).await;
    let store = &world.stores.declarations;
    let place =
        BackupPlace { item_id: world.items[1].id, repository_id: world.repository.id, plan_id: Some(world.plan.id) };
    let facts = store.backup_facts(&place).await.unwrap();
    assert_eq!((&facts.item, &facts.plan), (&world.items[1], &Some(world.plan.clone())));
    assert_eq!(facts.source, store.source_get(world.items[1].source_id).await.unwrap());
    assert_eq!((&facts.repository, facts.quota), (&world.repository, Quota::default()));
    let quota = Quota { bytes: Some(7), snapshots: None };
    store.quota_put(world.tenant.id, None, quota).await.unwrap();
    let storage = Storage {
        id: StorageId::new(world.now(), world.ten()),
        tenant_id: world.tenant.id,
        name: "bucket".parse().unwrap(),
        place: world.repository.storage.clone(),
        credentials: [(Purpose::Read, "file:keys/read.json".parse().unwrap())].into(),
        retired_at: None,
    };
    store.storage_add(&storage).await.unwrap();
    let stored = Repository {
        id: RepositoryId::new(world.now(), world.ten()),
        name: "stored".parse().unwrap(),
        storage_id: Some(storage.id),
        ..world.repository.clone()
    };
    store.repository_add(&stored).await.unwrap();
    let place = BackupPlace { repository_id: stored.id, plan_id: None, ..place };
    let facts = store.backup_facts(&place).await.unwrap();
    assert_eq!((facts.plan, facts.quota), (None, quota));
    assert_eq!((facts.repository.id, &facts.repository.credentials), (stored.id, &storage.credentials));

    let none = ItemId::new(world.now(), [7; 10]);
    let missing = store.backup_facts(&BackupPlace { item_id: none, ..place }).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let none = PlanId::new(world.now(), [7; 10]);
    let missing = store.backup_facts(&BackupPlace { plan_id: Some(none), ..place }).await;
    assert!(matches!(missing, Err(StoreError::NotFound { noun: "plan", .. })), "{missing:?}");
}
