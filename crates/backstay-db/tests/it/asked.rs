//! How much is asked: what many items have in common is asked for once for all of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_core::domain::id::{ItemId, PlanId, SourceId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobKind, Outcome};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::source::Source;
use backstay_core::managers::watch::watch_tick;
use backstay_core::ports::store::Settlement;
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{TTL, World, key_of};

use crate::OnFile;

const HOUR: Duration = Duration::from_secs(3_600);

const PLANS: usize = 40;

const ITEMS_OF_PLAN: usize = 5;

/// Declares the plans, each with a source of its own, and returns the items of each.
async fn declare(world: &World) -> Vec<(PlanId, Vec<ItemId>)> {
    let mut made = Vec::new();
    for number in 0..PLANS {
        let (now, name) = (world.now(), |kind: &str| format!("{kind}-{number}").parse().unwrap());
        let source = Source { id: SourceId::new(now, world.ten()), name: name("source"), ..world.source.clone() };
        let item = |place: usize| Item {
            id: ItemId::new(now, world.ten()),
            source_id: source.id,
            name: format!("/home/{number}/{place}"),
            vanished_at: None,
        };
        let items: Vec<Item> = (0..ITEMS_OF_PLAN).map(item).collect();
        world.stores.declarations.source_add(&source, &items).await.unwrap();
        let id = PlanId::new(now, world.ten());
        let plan = Plan { id, source_id: source.id, name: name("plan"), ..world.plan.clone() };
        world.stores.declarations.plan_add(&plan).await.unwrap();
        made.push((id, items.into_iter().map(|item| item.id).collect()));
    }
    made
}

/// Puts a backup of each item in the queue.
async fn queue_all(world: &World, plans: &[(PlanId, Vec<ItemId>)]) {
    for (plan, item) in plans.iter().flat_map(|(plan, items)| items.iter().map(move |item| (plan, item))) {
        world.enqueue(&Job { plan_id: Some(*plan), item_id: Some(*item), ..world.backup(0) }).await;
    }
}

/// A tick that looks at two hundred items which wait in the queue reads the queue, its rules, who is alive and what holds
/// starts back once, and each plan once.
///
/// Red when `watch` makes an `Ahead` for each item, or `Ahead` keeps nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_tick_reads_the_queue_once_however_many_items_wait() {
    let mut on_file = OnFile::new().await;
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = asked.clone();
    on_file.database.on_statement(move |sql| told.lock().unwrap().push(sql.to_owned()));
    let world = World::new(on_file.stores(), 1).await;
    let (context, agent) = (context(&world.stores), world.agent());
    let plans = declare(&world).await;
    queue_all(&world, &plans).await;
    let mut leased = Vec::new();
    loop {
        let some = world.jobs.job_lease(agent, JobKind::ALL, &leased, 100, HOUR * 4 + TTL).await.unwrap();
        if some.is_empty() {
            break;
        }
        leased.extend(some.iter().map(key_of));
    }
    world.clock.advance(HOUR * 4);
    for key in &leased {
        let job = world.job(key.job_id).await;
        let foreign_id = format!("{:0>64}", job.id.to_string().replace('-', ""));
        let snapshot = Some(world.snapshot(&job, &foreign_id, Outcome::Complete));
        world.jobs.job_settle(*key, &Settlement { snapshot, ..world.success() }).await.unwrap();
    }
    watch_tick(&context).await.unwrap();
    // A backup takes four hours, the newest is seventeen hours old, and no agent is there: all are threatened.
    world.clock.advance(HOUR * 17);
    queue_all(&world, &plans).await;
    asked.lock().unwrap().clear();
    let done = watch_tick(&context).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!((done.looked as usize, done.failed.len()), (PLANS * ITEMS_OF_PLAN, 0));
    let of = |table: &str| {
        let from = format!("FROM \"{table}\"");
        asked.iter().filter(|sql| sql.starts_with("SELECT") && sql.contains(&from)).count()
    };
    println!("{} statements for {} items of {PLANS} plans", asked.len(), done.looked);
    for table in ["job_due", "queue_rules", "agent", "maintenance", "lease"] {
        assert!(of(table) <= 1, "{table} is read {} times", of(table));
    }
    assert_eq!(of("job_due"), 1, "they wait in the queue");
    for table in ["plan", "plan_schedule"] {
        assert_eq!(of(table), PLANS, "{table}");
    }
}
