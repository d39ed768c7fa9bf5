//! Plans of before there were templates: what their rows hold, they say; on each database.

use backstay_core::domain::plan::Plan;
use backstay_core::domain::template::Said;
use backstay_testkit::conformance::world::{Stores, World};
use backstay_testkit::peers::database::Engine;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use crate::OnFile;
use crate::server::OnServer;

/// Red when an empty cell is read as a plan that says nothing, or when such a row is never as it was seen.
async fn a_plan_of_before_says_all_it_has(raw: DatabaseConnection, stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    assert_eq!(raw.execute_unprepared("UPDATE plan SET said_json = NULL").await.unwrap().rows_affected(), 1);
    let seen = store.plan_get(world.plan.id).await.unwrap();
    let said = Said::all(&world.plan.schedule, world.plan.rpo, &world.plan.retention, &world.plan.backup);
    assert_eq!(seen, Plan { said, ..world.plan.clone() });
    let renamed = Plan { name: "weekly".parse().unwrap(), ..seen.clone() };
    assert!(store.plan_replace(&seen, &renamed).await.unwrap());
    assert_eq!(store.plan_get(seen.id).await.unwrap(), renamed);
    assert!(!store.plan_replace(&Plan { said: Said::default(), ..renamed.clone() }, &seen).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_before_on_a_file() {
    let there = OnFile::new().await;
    a_plan_of_before_says_all_it_has(there.raw.clone(), there.stores()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_before_on_postgresql() {
    let Some(there) = OnServer::new(Engine::Postgresql).await else { return };
    a_plan_of_before_says_all_it_has(there.raw.clone(), there.stores()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_before_on_mariadb() {
    let Some(there) = OnServer::new(Engine::Mariadb).await else { return };
    a_plan_of_before_says_all_it_has(there.raw.clone(), there.stores()).await;
}
