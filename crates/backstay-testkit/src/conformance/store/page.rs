//! Promises about lists that come in pages.

use std::fmt::Debug;

use backstay_core::domain::id::{ItemId, MaintenanceId, PlanId, RepositoryId, SourceId, StorageId, TemplateId};
use backstay_core::domain::item::Item;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::Maintenance;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::Storage;
use backstay_core::domain::template::{Said, Template};
use backstay_core::ports::schedule::MaintenanceRow;
use backstay_core::ports::store::{NamedFilter, PAGE_ROWS_MAX, Page, Retirable, StoreError};
use jiff::Timestamp;
use serde_json::json;

use crate::conformance::store::notice::channel;
use crate::conformance::world::{Stores, World, repository};

/// Goes through a list by pages of one row and returns the ids in its order.
async fn walked<T, I: Ord + Copy + Debug>(
    what: &str,
    ask: impl AsyncFn(Page<I>) -> Result<Vec<T>, StoreError>,
    id: impl Fn(&T) -> I,
) -> Vec<I> {
    let mut ids = Vec::new();
    let mut page = Page { before: None, rows_max: 1 };
    loop {
        let rows = ask(page).await.unwrap();
        let Some(row) = rows.first() else { break };
        assert_eq!(rows.len(), 1, "{what}");
        ids.push(id(row));
        page.before = Some(id(row));
    }
    let whole: Vec<I> = ask(Page::first()).await.unwrap().iter().map(id).collect();
    assert_eq!(ids, whole, "{what}");
    assert!(ids.is_sorted_by(|one, next| one > next), "{what}: {ids:?}");
    ids
}

/// Adds two more of each noun.
async fn more(world: &World) {
    let (store, now, tenant_id) = (&world.stores.declarations, world.now(), world.tenant.id);
    for name in ["one", "two"] {
        let id = SourceId::new(now, world.ten());
        let item = |name: &str| Item {
            id: ItemId::new(now, world.ten()),
            source_id: id,
            name: name.to_owned(),
            vanished_at: None,
        };
        let source = Source { id, name: name.parse().unwrap(), ..world.source.clone() };
        store.source_add(&source, &[item("/a"), item("/b"), item("/c")]).await.unwrap();
        store.repository_add(&repository(tenant_id, RepositoryId::new(now, world.ten()), name)).await.unwrap();
        let id = PlanId::new(now, world.ten());
        store.plan_add(&Plan { id, name: name.parse().unwrap(), ..world.plan.clone() }).await.unwrap();
        let storage = Storage {
            id: StorageId::new(now, world.ten()),
            tenant_id,
            name: name.parse().unwrap(),
            place: world.repository.storage.clone(),
            credentials: Default::default(),
            retired_at: None,
        };
        store.storage_add(&storage).await.unwrap();
        let template = Template {
            id: TemplateId::new(now, world.ten()),
            tenant_id,
            name: name.parse().unwrap(),
            above: None,
            said: Said::default(),
        };
        store.template_add(&template).await.unwrap();
        world.stores.notices.channel_add(&channel(world, name, Some(tenant_id)), None).await.unwrap();
        let window = Maintenance { name: name.to_owned(), tenant_id: None, from: now, until: Timestamp::MAX };
        let row = MaintenanceRow { id: MaintenanceId::new(now, world.ten()), window };
        world.stores.schedules.maintenance_add(&row).await.unwrap();
    }
}

/// Going from page to page meets each row once, newest first, and one row is a page.
pub async fn each_row_is_on_one_page(stores: Stores) {
    let world = World::new(stores, 1).await;
    more(&world).await;
    let (store, all) = (&world.stores.declarations, &NamedFilter::of(Some(world.tenant.id)));
    assert_eq!(walked("tenants", async |page| store.tenant_page(all, page).await, |row| row.id).await.len(), 1);
    assert_eq!(walked("sources", async |page| store.source_page(all, page).await, |row| row.id).await.len(), 3);
    assert_eq!(walked("storages", async |page| store.storage_page(all, page).await, |row| row.id).await.len(), 2);
    assert_eq!(
        walked("repositories", async |page| store.repository_page(all, page).await, |row| row.id).await.len(),
        3
    );
    assert_eq!(walked("plans", async |page| store.plan_page(all, page).await, |row| row.id).await.len(), 3);
    assert_eq!(walked("templates", async |page| store.template_page(all, page).await, |row| row.id).await.len(), 2);
    let notices = &world.stores.notices;
    assert_eq!(walked("channels", async |page| notices.channel_page(all, page).await, |row| row.id).await.len(), 2);
    let source = store.source_list(Some(world.tenant.id)).await.unwrap().pop().unwrap();
    let items = walked("items", async |page| store.item_page(source.id, page).await, |row| row.id).await;
    assert_eq!(items.len(), 3);
    let (schedules, now) = (&world.stores.schedules, world.now());
    let windows = async |page| schedules.maintenance_page(now, all.tenant_id, page).await;
    assert_eq!(walked("windows", windows, |row| row.id).await.len(), 2);
    for _ in 0..3 {
        let agent = world.agent();
        world.claim(agent, 1).await;
    }
    let jobs = &world.jobs;
    assert_eq!(walked("agents", async |page| jobs.agent_page_alive(page).await, |row| row.id).await.len(), 3);
    for _ in 0..3 {
        world.enqueue(&world.backup(0)).await;
        let (history, tenant) = (&world.history, world.tenant.id);
        let events = walked("events", async |page| history.event_page(tenant, page).await, |row| row.sequence).await;
        assert_eq!(events.len(), world.events().await.len());
    }
}

/// What a filter leaves out takes no place on a page.
///
/// Red when rows are left out after the page was cut.
pub async fn a_page_is_cut_from_what_is_shown(stores: Stores) {
    let world = World::new(stores, 1).await;
    more(&world).await;
    let store = &world.stores.declarations;
    let newest =
        store.source_page(&NamedFilter::default(), Page { before: None, rows_max: 1 }).await.unwrap().remove(0);
    store.retire(Retirable::Source(newest.id), world.now()).await.unwrap();
    let live = NamedFilter { is_live: true, ..NamedFilter::default() };
    let rows = store.source_page(&live, Page { before: None, rows_max: 2 }).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.id != newest.id));
    let named = NamedFilter { name: Some(newest.name.clone()), ..NamedFilter::default() };
    let rows = store.source_page(&named, Page { before: None, rows_max: 1 }).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [newest.id]);
    assert!(store.source_page(&NamedFilter { is_live: true, ..named }, Page::first()).await.unwrap().is_empty());
    let foreign = NamedFilter { name: Some(world.source.name.clone()), ..NamedFilter::of(Some(world.tenant.id)) };
    assert_eq!(store.source_page(&foreign, Page::first()).await.unwrap(), std::slice::from_ref(&world.source));
}

/// Whoever needs all rows gets those of all pages.
///
/// Red when `ports::page::all` asks once.
pub async fn all_rows_are_gone_through(stores: Stores) {
    let world = World::new(stores, 1).await;
    let id = SourceId::new(world.now(), world.ten());
    let source = Source { id, name: "many".parse().unwrap(), settings: json!({ "path": "/" }), ..world.source.clone() };
    let item = |number: u32| Item {
        id: ItemId::new(world.now(), world.ten()),
        source_id: id,
        name: format!("/{number:04}"),
        vanished_at: None,
    };
    let items: Vec<Item> = (0..=PAGE_ROWS_MAX).map(item).collect();
    world.stores.declarations.source_add(&source, &items).await.unwrap();
    assert_eq!(world.stores.declarations.item_list(id).await.unwrap(), items);
}
