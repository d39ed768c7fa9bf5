//! Two processes on one database: no job goes to both, none is left, the chain of events has no gap, and a step of the clock
//! is made once.

use std::collections::HashSet;
use std::sync::Arc;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::{JobStore as _, Settlement};
use backstay_db::{Database, Now};
use backstay_testkit::conformance::store::clock::seen_by_two;
use backstay_testkit::conformance::world::{Stores, TTL, World, key_of};
use backstay_testkit::peers::database::Engine;

use crate::OnFile;
use crate::server::{OnServer, options};

/// Jobs that eight claimers share out.
const JOBS: usize = 100;

/// Eight claimers, half of them in each process, lease and settle until nothing is left, while two more put jobs in.
async fn race(databases: [Database; 2], world: World) {
    let world = Arc::new(world);
    for item in 0..JOBS / 2 {
        world.queued(item).await;
    }
    let enqueuer = |number: usize| {
        let (database, world) = (databases[number].clone(), world.clone());
        tokio::spawn(async move {
            for item in (JOBS / 2 + number..JOBS).step_by(2) {
                let job = world.backup(item);
                let told = world.event(EventKind::Enqueued, &job);
                database.job_enqueue(&job, &told, None).await.unwrap();
            }
        })
    };
    let claimer = |number: usize, done: Arc<std::sync::atomic::AtomicBool>| {
        let (database, world) = (databases[number % 2].clone(), world.clone());
        tokio::spawn(async move {
            let (agent, mut taken) = (world.agent(), Vec::new());
            loop {
                let last = done.load(std::sync::atomic::Ordering::SeqCst);
                let claimed = database.job_lease(agent, JobKind::ALL, &taken, 3, TTL).await.unwrap();
                if claimed.is_empty() && last {
                    return taken;
                }
                for key in claimed.iter().map(key_of) {
                    let event = Some(world.event(EventKind::Succeeded, &world.job(key.job_id).await));
                    database.job_settle(key, &Settlement { event, ..world.success() }).await.unwrap();
                    taken.push(key);
                }
            }
        })
    };
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let claimers: Vec<_> = (0..8).map(|number| claimer(number, done.clone())).collect();
    for enqueuer in [enqueuer(0), enqueuer(1)] {
        enqueuer.await.unwrap();
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut taken: Vec<LeaseKey> = Vec::new();
    for claimer in claimers {
        taken.extend(claimer.await.unwrap());
    }
    // A claim passes over what another one has locked at that moment; one more round finds what was left so.
    let agent = world.agent();
    for claimed in world.claim(agent, 100).await {
        let event = Some(world.event(EventKind::Succeeded, &claimed.job));
        world.jobs.job_settle(key_of(&claimed), &Settlement { event, ..world.success() }).await.unwrap();
        taken.push(key_of(&claimed));
    }
    assert_eq!((taken.len(), taken.iter().map(|key| key.job_id).collect::<HashSet<_>>().len()), (JOBS, JOBS));
    assert!(taken.iter().all(|key| key.token.0 == 1), "nobody had one before");
    assert_eq!(world.told().await.len(), 2 * JOBS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_share_one_file() {
    let here = OnFile::new().await;
    let path = here.folder.path().join("backstay.db");
    let there = Database::open_with(&path, Now::Clock(Arc::new(here.clock.clone()))).await.unwrap();
    race([here.database.clone(), there], World::new(here.stores(), JOBS).await).await;
}

async fn two_processes_share_a_server(engine: Engine) {
    let Some(here) = OnServer::new(engine).await else { return };
    let now = Now::Clock(Arc::new(here.clock.clone()));
    let there = Database::connect(&here.place.address(), options(now)).await.unwrap();
    race([here.database.clone(), there], World::new(here.stores(), JOBS).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_share_postgresql() {
    two_processes_share_a_server(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_share_mariadb() {
    two_processes_share_a_server(Engine::Mariadb).await;
}

/// Two processes see one clock go back, and one of them brings dates nearer.
async fn two_processes_see_a_clock_go_back(there: Database, here: Stores) {
    let there = Stores { schedules: Arc::new(there), ..here.clone() };
    seen_by_two(&World::new(here.clone(), 1).await, [&here, &there]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_on_one_file_see_its_clock_go_back() {
    let here = OnFile::new().await;
    let path = here.folder.path().join("backstay.db");
    let there = Database::open_with(&path, Now::Clock(Arc::new(here.clock.clone()))).await.unwrap();
    two_processes_see_a_clock_go_back(there, here.stores()).await;
}

async fn two_processes_on_a_server_see_its_clock_go_back(engine: Engine) {
    let Some(here) = OnServer::new(engine).await else { return };
    let now = Now::Clock(Arc::new(here.clock.clone()));
    let there = Database::connect(&here.place.address(), options(now)).await.unwrap();
    two_processes_see_a_clock_go_back(there, here.stores()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_on_postgresql_see_its_clock_go_back() {
    two_processes_on_a_server_see_its_clock_go_back(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_on_mariadb_see_its_clock_go_back() {
    two_processes_on_a_server_see_its_clock_go_back(Engine::Mariadb).await;
}
