//! What a process remembers of the queue makes claims quicker and decides nothing.

use std::time::Duration;

use backstay_core::domain::id::JobId;
use backstay_core::domain::job::{Instruction, Job, JobKind};
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::store::Enqueued;
use backstay_db::Database;
use backstay_testkit::conformance::world::{World, repository};
use backstay_testkit::peers::database::Engine;

use crate::OnFile;
use crate::server::OnServer;

/// Puts a backup in the queue that is late by so many minutes less than an hour; the highest number is the most urgent.
async fn queued(world: &World, item: usize, urgency: u64) -> Job {
    let breach_at = world.now() + Duration::from_secs(3_600 - 60 * urgency);
    let job = Job { breach_at, ..world.backup(item) };
    assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    job
}

async fn claimed(world: &World) -> Vec<JobId> {
    let (mut found, agent) = (Vec::new(), world.agent());
    loop {
        let rows = world.claim(agent, 1).await;
        let Some(row) = rows.first() else { return found };
        found.push(row.job.id);
    }
}

/// The jobs that are believed to be the first come first, then those from a moment on; whoever is passed over is found
/// when there is nobody else, and nobody twice.
async fn what_is_believed_orders_and_never_hides(database: Database, world: World, is_shared: bool) {
    let mut jobs = Vec::new();
    for number in 0..5 {
        jobs.push(queued(&world, number, number as u64).await);
    }
    if is_shared {
        // Another tenant has one too: whose turn it is decides now, among what was seen.
        let now = world.now();
        let tenant =
            Tenant { id: format!("0197f0c2-0000-7000-8009-{:012}", 1).parse().unwrap(), name: "eve".parse().unwrap() };
        let place = repository(tenant.id, format!("0197f0c2-0000-7000-8009-{:012}", 2).parse().unwrap(), "theirs");
        world.stores.declarations.tenant_add(&tenant).await.unwrap();
        world.stores.declarations.repository_add(&place).await.unwrap();
        let job = Job {
            tenant_id: tenant.id,
            repository_id: place.id,
            plan_id: None,
            breach_at: now + Duration::from_secs(7_200),
            ..world.backup(5)
        };
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        jobs.push(job);
    }
    let id = |number: usize| jobs[number].id;
    // Jobs 3 and 4, the most urgent, lie before what is believed to be the beginning, and 2 is known by name.
    database.queue_begins(vec![id(2).to_string()], jobs[1].breach_at.as_microsecond(), i64::MIN);
    let order = claimed(&world).await;
    if is_shared {
        let place = |number: usize| order.iter().position(|found| *found == id(number)).unwrap();
        assert!(place(2) < place(1) && place(1) < place(0), "{order:?}");
        assert!(
            place(0) < place(4) && place(5) < place(4) && place(4) < place(3),
            "passed over until the end: {order:?}"
        );
        assert_eq!(order.len(), 6);
    } else {
        assert_eq!(order, [id(2), id(1), id(0), id(4), id(3)]);
    }
    assert_eq!(claimed(&world).await, [], "each once");
    // A belief that is wrong altogether.
    let late = queued(&world, 6, 1).await;
    database.queue_begins(vec![id(0).to_string()], i64::MAX, i64::MIN);
    assert_eq!(claimed(&world).await, [late.id]);
}

/// Tenants take turns also when all that they have is known by name, and what this process puts in the queue before the
/// believed beginning is seen at once.
///
/// Red when the claim counts tenants by their lanes alone, and without `Hints::came`.
async fn what_is_believed_keeps_nobody_from_a_turn(database: Database, world: World) {
    let now = world.now();
    let mut names = Vec::new();
    for number in 0..4 {
        names.push(queued(&world, number, 9).await.id.to_string());
    }
    let tenant =
        Tenant { id: format!("0197f0c2-0000-7000-8009-{:012}", 1).parse().unwrap(), name: "eve".parse().unwrap() };
    let place = repository(tenant.id, format!("0197f0c2-0000-7000-8009-{:012}", 2).parse().unwrap(), "theirs");
    world.stores.declarations.tenant_add(&tenant).await.unwrap();
    world.stores.declarations.repository_add(&place).await.unwrap();
    for number in 4..6 {
        let theirs = Job { tenant_id: tenant.id, repository_id: place.id, plan_id: None, ..world.backup(number) };
        let job = Job { breach_at: now + Duration::from_secs(7_200), ..theirs };
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        names.push(job.id.to_string());
    }
    database.queue_begins(names, i64::MAX, i64::MIN);
    let mut turns = Vec::new();
    for _ in 0..4 {
        turns.push(world.claim(world.agent(), 1).await.remove(0).job.tenant_id == tenant.id);
    }
    assert_eq!(turns, [false, true, false, true]);
    database.queue_begins(Vec::new(), (now + Duration::from_secs(3_600)).as_microsecond(), i64::MIN);
    // Each of them is known by name from now on, and comes in the queue's order.
    let mut urgent = Vec::new();
    for minutes in [59, 57, 58] {
        urgent.push(queued(&world, urgent.len() + 6, minutes).await.id);
    }
    for number in [0, 2, 1] {
        assert_eq!(world.claim(world.agent(), 1).await[0].job.id, urgent[number]);
    }
}

/// Leases that are believed to be gone still keep others from their repository, and nobody from another one.
///
/// Red when a claim that leased too few by what it remembers does not look again without it.
async fn what_is_believed_of_leases_hides_no_job(database: Database, world: World) {
    let prune = Job { instruction: Instruction::Prune, plan_id: None, item_id: None, ..world.backup(0) };
    world.enqueue(&prune).await;
    let agent = world.agent();
    let held = world.jobs.job_lease(agent, &[JobKind::Prune], &[], 1, Duration::from_secs(30)).await.unwrap();
    assert_eq!(held.len(), 1);
    for number in 0..6 {
        queued(&world, number, 9).await;
    }
    let tenant =
        Tenant { id: format!("0197f0c2-0000-7000-8009-{:012}", 1).parse().unwrap(), name: "eve".parse().unwrap() };
    let place = repository(tenant.id, format!("0197f0c2-0000-7000-8009-{:012}", 2).parse().unwrap(), "theirs");
    world.stores.declarations.tenant_add(&tenant).await.unwrap();
    world.stores.declarations.repository_add(&place).await.unwrap();
    let free = Job { tenant_id: tenant.id, repository_id: place.id, plan_id: None, ..world.backup(6) };
    let free = Job { breach_at: world.now() + Duration::from_secs(7_200), ..free };
    assert_eq!(world.enqueue(&free).await, Enqueued::New(free.id));
    database.queue_begins(Vec::new(), 0, i64::MAX);
    assert_eq!(claimed(&world).await, [free.id], "at once, and the others wait for the prune");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_of_leases_hides_no_job_on_a_server() {
    for engine in [Engine::Postgresql, Engine::Mariadb] {
        let Some(here) = OnServer::new(engine).await else { return };
        let database = here.database.clone();
        what_is_believed_of_leases_hides_no_job(database, World::new(here.stores(), 9).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_keeps_nobody_from_a_turn_on_a_server() {
    for engine in [Engine::Postgresql, Engine::Mariadb] {
        let Some(here) = OnServer::new(engine).await else { return };
        let database = here.database.clone();
        what_is_believed_keeps_nobody_from_a_turn(database, World::new(here.stores(), 9).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_orders_and_never_hides_on_a_file() {
    for is_shared in [false, true] {
        let here = OnFile::new().await;
        let database = here.database.clone();
        what_is_believed_orders_and_never_hides(database, World::new(here.stores(), 7).await, is_shared).await;
    }
}

async fn on_server(engine: Engine) {
    for is_shared in [false, true] {
        let Some(here) = OnServer::new(engine).await else { return };
        let database = here.database.clone();
        what_is_believed_orders_and_never_hides(database, World::new(here.stores(), 7).await, is_shared).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_orders_and_never_hides_on_postgresql() {
    on_server(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_orders_and_never_hides_on_mariadb() {
    on_server(Engine::Mariadb).await;
}
