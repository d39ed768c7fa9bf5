//! The suites of the stores and of the port `Jobs` on SQLite (in a file and in memory), PostgreSQL and MariaDB.

use std::sync::Arc;

use backstay_core::managers::purge::PurgePorts;
use backstay_db::{Database, MasterKey, MasterKeys, SealedSecrets};
use backstay_testkit::conformance::job::JobsHarness;
use backstay_testkit::conformance::purge;
use backstay_testkit::conformance::world::{Stores, World};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::random::SeededRandom;
use backstay_testkit::peers::database::Engine;
use futures::FutureExt as _;

use crate::server::OnServer;
use crate::{OnFile, hold_alone};

async fn on_file() -> Stores {
    OnFile::new().await.stores()
}

async fn in_memory() -> Stores {
    let clock = ManualClock::default();
    let database = Database::open_in_memory(Arc::new(clock.clone())).await.unwrap();
    let raw = database.connection().clone();
    Stores {
        declarations: Arc::new(database.clone()),
        history: Arc::new(database.clone()),
        schedules: Arc::new(database.clone()),
        retention: Arc::new(database.clone()),
        notices: Arc::new(database.clone()),
        jobs: Arc::new(database),
        clock,
        hold_alone: Arc::new(move |id| {
            let raw = raw.clone();
            async move { hold_alone(&raw, id).await }.boxed()
        }),
        kept: Arc::new(()),
    }
}

async fn manager_on_file() -> JobsHarness {
    JobsHarness::of_manager(on_file().await)
}

async fn manager_in_memory() -> JobsHarness {
    JobsHarness::of_manager(in_memory().await)
}

async fn on_postgresql() -> Option<Stores> {
    OnServer::new(Engine::Postgresql).await.map(OnServer::stores)
}

async fn on_mariadb() -> Option<Stores> {
    OnServer::new(Engine::Mariadb).await.map(OnServer::stores)
}

async fn manager_on_postgresql() -> Option<JobsHarness> {
    on_postgresql().await.map(JobsHarness::of_manager)
}

async fn manager_on_mariadb() -> Option<JobsHarness> {
    on_mariadb().await.map(JobsHarness::of_manager)
}

mod store_on_file {
    backstay_testkit::store_promises!(super::on_file);
}

mod store_in_memory {
    backstay_testkit::store_promises!(super::in_memory);
}

mod jobs_on_file {
    backstay_testkit::jobs_promises!(super::manager_on_file);
}

mod jobs_in_memory {
    backstay_testkit::jobs_promises!(super::manager_in_memory);
}

async fn door_promises(database: Database, stores: Stores) {
    use backstay_testkit::conformance::access;
    access::exercise(&database, &database).await;
    let world = World::new(stores, 2).await;
    access::agents(&database, &world).await;
    access::one_key_at_once(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_promises_of_the_door() {
    let on_file = OnFile::new().await;
    door_promises(on_file.database.clone(), on_file.stores()).await;
}

async fn a_server_keeps_the_promises_of_the_door(engine: Engine) {
    let Some(on_server) = OnServer::new(engine).await else { return };
    door_promises(on_server.database.clone(), on_server.stores()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_promises_of_the_door() {
    a_server_keeps_the_promises_of_the_door(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_promises_of_the_door() {
    a_server_keeps_the_promises_of_the_door(Engine::Mariadb).await;
}

#[tokio::test]
async fn a_file_keeps_the_promises_of_figures() {
    let on_file = OnFile::new().await;
    let database = on_file.database.clone();
    backstay_testkit::conformance::meter::exercise(&database, &database, on_file.stores()).await;
}

async fn a_server_keeps_the_promises_of_figures(engine: Engine) {
    let Some(on_server) = OnServer::new(engine).await else { return };
    let database = on_server.database.clone();
    backstay_testkit::conformance::meter::exercise(&database, &database, on_server.stores()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_promises_of_figures() {
    a_server_keeps_the_promises_of_figures(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_promises_of_figures() {
    a_server_keeps_the_promises_of_figures(Engine::Mariadb).await;
}

#[tokio::test]
async fn a_file_keeps_the_promises_of_monitors() {
    let on_file = OnFile::new().await;
    let database = on_file.database.clone();
    backstay_testkit::conformance::monitor::exercise(&database, on_file.stores()).await;
}

fn sealed(database: &Database) -> SealedSecrets {
    let keys = MasterKeys::new(MasterKey::new([7; 32]), Vec::new());
    SealedSecrets::new(database.clone(), keys, Arc::new(SeededRandom::new(3)))
}

fn purge_ports<'a>(database: &'a Database, keeper: &'a SealedSecrets) -> PurgePorts<'a> {
    PurgePorts { purges: database, keeper, access: database, monitors: database }
}

#[tokio::test]
async fn a_file_keeps_the_promises_of_purges() {
    let on_file = OnFile::new().await;
    let database = on_file.database.clone();
    let keeper = sealed(&database);
    purge::exercise(purge_ports(&database, &keeper), on_file.stores()).await;
    let on_file = OnFile::new().await;
    let database = on_file.database.clone();
    let keeper = sealed(&database);
    purge::refusals(purge_ports(&database, &keeper), on_file.stores()).await;
}

async fn a_server_keeps_the_promises_of_purges(engine: Engine) {
    let Some(on_server) = OnServer::new(engine).await else { return };
    let database = on_server.database.clone();
    let keeper = sealed(&database);
    purge::exercise(purge_ports(&database, &keeper), on_server.stores()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_promises_of_purges() {
    a_server_keeps_the_promises_of_purges(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_promises_of_purges() {
    a_server_keeps_the_promises_of_purges(Engine::Mariadb).await;
}

async fn a_server_keeps_the_promises_of_monitors(engine: Engine) {
    let Some(on_server) = OnServer::new(engine).await else { return };
    let database = on_server.database.clone();
    backstay_testkit::conformance::monitor::exercise(&database, on_server.stores()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_promises_of_monitors() {
    a_server_keeps_the_promises_of_monitors(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_promises_of_monitors() {
    a_server_keeps_the_promises_of_monitors(Engine::Mariadb).await;
}

mod store_on_postgresql {
    backstay_testkit::store_promises!(super::on_postgresql);
}

mod store_on_mariadb {
    backstay_testkit::store_promises!(super::on_mariadb);
}

mod jobs_on_postgresql {
    backstay_testkit::jobs_promises!(super::manager_on_postgresql);
}

mod jobs_on_mariadb {
    backstay_testkit::jobs_promises!(super::manager_on_mariadb);
}
