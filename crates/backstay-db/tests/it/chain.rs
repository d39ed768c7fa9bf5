//! The chains of changes and of events in a database that somebody wrote to: what was altered, removed or put elsewhere is named.

use backstay_core::domain::access::{Role, Scope};
use backstay_core::managers::access::{Asker, change_record, change_verify};
use backstay_core::managers::context::Context;
use backstay_core::managers::event::event_verify;
use backstay_core::ports::access::AccessStore;
use backstay_db::Database;
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{Stores, World};
use backstay_testkit::peers::database::Engine;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use crate::OnFile;
use crate::server::OnServer;

/// Records of the chain: more than a page has, so that a break is found behind the first one.
const RECORDS: i64 = 520;

/// Says what is wrong with the chain.
async fn verdict(context: &Context, access: &dyn AccessStore) -> String {
    let found = change_verify(context, access, 1, &[]).await.unwrap();
    assert_eq!(found.next, None);
    found.broken.map_or_else(|| format!("{} right", found.checked), |at| format!("{}: {}", at.sequence, at.fault))
}

/// Writes past the adapter, looks, and takes it back.
async fn check(
    (context, access, raw): (&Context, &dyn AccessStore, &DatabaseConnection),
    (harm, mend): (&[&str], &[&str]),
    expected: &str,
) {
    for sql in harm {
        raw.execute_unprepared(sql).await.unwrap();
    }
    assert_eq!(verdict(context, access).await, expected, "{harm:?}");
    for sql in mend {
        raw.execute_unprepared(sql).await.unwrap();
    }
}

async fn a_broken_chain_is_named(database: Database, raw: DatabaseConnection, stores: Stores) {
    let context = context(&stores);
    let access: &dyn AccessStore = &database;
    let scope = Scope { role: Role::Admin, tenant_id: None, kinds: Vec::new() };
    for number in 1..=RECORDS {
        let asker = Asker { token_id: None, scope: &scope };
        change_record(&context, access, asker, "plan_run", &format!("/api/v1/plans/{number}/run")).await.unwrap();
    }
    let all = (&context, access, &raw);
    check(all, (&[], &[]), "520 right").await;
    let part = change_verify(&context, access, 500, &[]).await.unwrap();
    assert_eq!((part.checked, part.broken, part.last.map(|(place, _)| place)), (21, None, Some(RECORDS)));
    let altered = (
        &["UPDATE change_record SET path = 'x' WHERE sequence = 510"][..],
        &["UPDATE change_record SET path = '/api/v1/plans/510/run' WHERE sequence = 510"][..],
    );
    check(all, altered, "510: its text does not have its hash").await;
    let id = id_at(&raw, 3).await;
    raw.execute_unprepared("UPDATE change_record SET id = 'x' WHERE sequence = 3").await.unwrap();
    let found = verdict(&context, access).await;
    raw.execute_unprepared(&format!("UPDATE change_record SET id = '{id}' WHERE sequence = 3")).await.unwrap();
    assert!(found.starts_with("3: it cannot be read: "), "{found}");
    let moved = |from: i64, to: i64| format!("UPDATE change_record SET sequence = {to} WHERE sequence = {from}");
    let swap = [moved(7, 9_999), moved(9, 7), moved(9_999, 9)];
    let swap: Vec<&str> = swap.iter().map(String::as_str).collect();
    check(all, (&swap, &swap), "7: it does not follow the record before it").await;
    check(all, (&[], &[]), "520 right").await;
    check(all, (&["DELETE FROM change_record WHERE sequence = 7"], &[]), "7: there is no record at this place").await;
}

/// Says what is wrong with a tenant's events.
async fn events_verdict(world: &World) -> String {
    let found = event_verify(&context(&world.stores), world.tenant.id, 1).await.unwrap();
    assert_eq!(found.next, None);
    found.broken.map_or_else(|| format!("{} right", found.checked), |(place, fault)| format!("{place}: {fault}"))
}

/// Red when `event_verify` looks at one page, at no hash, or not at the places.
async fn broken_events_are_named(raw: DatabaseConnection, stores: Stores) {
    let world = World::new(stores, 1).await;
    for _ in 0..RECORDS {
        world.enqueue(&world.backup(0)).await;
    }
    assert_eq!(events_verdict(&world).await, "520 right");
    let part = event_verify(&context(&world.stores), world.tenant.id, 500).await.unwrap();
    assert_eq!((part.checked, part.broken, part.last.map(|(place, _)| place)), (21, None, Some(RECORDS)));
    let message = |text: &str| format!("UPDATE event SET message = {text} WHERE sequence = 510");
    raw.execute_unprepared(&message("CONCAT(message, 'x')")).await.unwrap();
    assert_eq!(events_verdict(&world).await, "510: its hash is not of its text and of the event before it");
    raw.execute_unprepared(&message("REPLACE(message, 'x', '')")).await.unwrap();
    let named = |id: &str| format!("UPDATE event SET id = '{id}' WHERE sequence = 3");
    let id = world.events().await[2].event.id.to_string();
    raw.execute_unprepared(&named("x")).await.unwrap();
    let found = events_verdict(&world).await;
    assert!(found.starts_with("3: it cannot be read: "), "{found}");
    raw.execute_unprepared(&named(&id)).await.unwrap();
    assert_eq!(events_verdict(&world).await, "520 right");
    raw.execute_unprepared("DELETE FROM event WHERE sequence = 7").await.unwrap();
    assert_eq!(events_verdict(&world).await, "7: there is no event at this place");
    raw.execute_unprepared("DELETE FROM event WHERE sequence < 7").await.unwrap();
    assert_eq!(events_verdict(&world).await, "1: there is no event at this place", "nothing was swept");
}

#[tokio::test]
async fn broken_events_are_named_on_a_file() {
    let here = OnFile::new().await;
    broken_events_are_named(here.raw.clone(), here.stores()).await;
}

#[tokio::test]
async fn broken_events_are_named_on_postgresql() {
    let Some(here) = OnServer::new(Engine::Postgresql).await else { return };
    broken_events_are_named(here.raw.clone(), here.stores()).await;
}

#[tokio::test]
async fn broken_events_are_named_on_mariadb() {
    let Some(here) = OnServer::new(Engine::Mariadb).await else { return };
    broken_events_are_named(here.raw.clone(), here.stores()).await;
}

async fn id_at(raw: &DatabaseConnection, sequence: i64) -> String {
    let sql = format!("SELECT id FROM change_record WHERE sequence = {sequence}");
    let statement = sea_orm::Statement::from_string(raw.get_database_backend(), sql);
    raw.query_one_raw(statement).await.unwrap().unwrap().try_get("", "id").unwrap()
}

#[tokio::test]
async fn a_broken_chain_is_named_on_a_file() {
    let here = OnFile::new().await;
    a_broken_chain_is_named(here.database.clone(), here.raw.clone(), here.stores()).await;
}

#[tokio::test]
async fn a_broken_chain_is_named_on_postgresql() {
    let Some(here) = OnServer::new(Engine::Postgresql).await else { return };
    a_broken_chain_is_named(here.database.clone(), here.raw.clone(), here.stores()).await;
}

#[tokio::test]
async fn a_broken_chain_is_named_on_mariadb() {
    let Some(here) = OnServer::new(Engine::Mariadb).await else { return };
    a_broken_chain_is_named(here.database.clone(), here.raw.clone(), here.stores()).await;
}
