//! The suite of the port `MeterStore`.

use std::time::Duration;

use backstay_core::domain::id::{MonitorId, PlanId, SourceId};
use backstay_core::domain::job::{JobKind, Outcome, StateName};
use backstay_core::domain::monitor::Monitor;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::source::Source;
use backstay_core::ports::meter::{MeterStore, MonitorFigure, PlanFigure, QueueDepth};
use backstay_core::ports::monitor::{MonitorStore, MonitorWrite};
use backstay_core::ports::store::{Claimed, Retirable, Settlement};

use super::world::{Stores, World, key_of};

/// Jobs that are not final are counted by kind and state, with the age of the oldest; what has ended is not.
pub async fn exercise(meter: &dyn MeterStore, monitors: &dyn MonitorStore, stores: Stores) {
    assert_eq!(meter.queue_depth().await.unwrap(), []);
    let world = World::new(stores, 4).await;
    let first = world.now();
    for item in 0..4 {
        world.queued(item).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let agent = world.agent();
    let leased = world.jobs.job_lease(agent, &[JobKind::Backup], &[], 1, super::world::TTL).await.unwrap();
    assert_eq!(leased.len(), 1);
    let last = world.jobs.job_list(Default::default(), backstay_core::ports::store::Page::first()).await.unwrap();
    let event = world.event(backstay_core::domain::event::EventKind::Cancelled, &last[0]);
    world.jobs.job_cancel(last[0].id, world.now(), &event).await.unwrap();
    let kind = JobKind::Backup;
    let oldest_at = first.saturating_add(Duration::from_secs(1)).unwrap();
    let depths = [
        QueueDepth { kind, state: StateName::Leased, count: 1, oldest_at: first },
        QueueDepth { kind, state: StateName::Queued, count: 2, oldest_at },
    ];
    assert_eq!(meter.queue_depth().await.unwrap(), depths);
    figures_of_plans(meter, &world, &leased[0]).await;
    figures_of_monitors(meter, monitors, &world).await;
}

/// Plans are shown with the item that is worst off, as many as are asked for; the others are counted, and those that were
/// retired are not.
async fn figures_of_plans(meter: &dyn MeterStore, world: &World, first: &Claimed) {
    let figure = |plan: &str, oldest_at| {
        let (tenant, plan) = (world.tenant.name.to_string(), plan.to_owned());
        PlanFigure { tenant, plan, rpo: world.plan.rpo, oldest_at }
    };
    let save = async |row: &Claimed| {
        world.clock.advance(Duration::from_secs(1));
        let snapshot =
            Some(world.snapshot(&row.job, &format!("{:064}", world.now().as_microsecond()), Outcome::Complete));
        world.jobs.job_settle(key_of(row), &Settlement { snapshot, ..world.success() }).await.unwrap();
        world.now()
    };
    let oldest_at = save(first).await;
    for row in world.claim(world.agent(), 9).await {
        save(&row).await;
    }
    let found = meter.plan_figures(9, world.now()).await.unwrap();
    assert_eq!(found, (vec![figure("daily", None)], 0), "the item whose backup was cancelled has none");
    world.queued(3).await;
    save(&world.claim(world.agent(), 9).await[0]).await;
    let source =
        Source { id: SourceId::new(world.now(), world.ten()), name: "srv".parse().unwrap(), ..world.source.clone() };
    world.stores.declarations.source_add(&source, &[]).await.unwrap();
    for name in ["later", "retired"] {
        world.clock.advance(Duration::from_secs(1));
        let id = PlanId::new(world.now(), world.ten());
        let plan = Plan { id, name: name.parse().unwrap(), source_id: source.id, ..world.plan.clone() };
        world.stores.declarations.plan_add(&plan).await.unwrap();
        if name == "retired" {
            world.stores.declarations.retire(Retirable::Plan(id), world.now()).await.unwrap();
        }
    }
    let daily = figure("daily", Some(oldest_at));
    assert_eq!(meter.plan_figures(1, world.now()).await.unwrap(), (vec![daily.clone()], 1));
    assert_eq!(meter.plan_figures(2, world.now()).await.unwrap(), (vec![daily, figure("later", None)], 0));
}

/// Monitors are shown as they are, as many as are asked for; the others are counted, and those that were retired are not.
async fn figures_of_monitors(meter: &dyn MeterStore, monitors: &dyn MonitorStore, world: &World) {
    assert_eq!(meter.monitor_figures(9).await.unwrap(), (Vec::new(), 0));
    let mut shown = Vec::new();
    for name in ["first", "gone", "second"] {
        world.clock.advance(Duration::from_secs(1));
        let row = Monitor {
            id: MonitorId::new(world.now(), world.ten()),
            tenant_id: world.tenant.id,
            name: name.parse().unwrap(),
            schedule: world.plan.schedule.clone(),
            grace: Duration::from_secs(600),
            created_at: world.now(),
            retired_at: None,
            ended: None,
            started_at: None,
            told: None,
            due_at: world.now(),
            revision: 0,
        };
        monitors.monitor_add(&row).await.unwrap();
        let added = monitors.monitor_get(row.id).await.unwrap();
        if name == "gone" {
            let row = Monitor { retired_at: Some(world.now()), ..added };
            assert!(monitors.monitor_put(MonitorWrite { row: &row, ping: None, event: None }).await.unwrap());
        } else {
            shown.push(MonitorFigure { tenant: world.tenant.name.to_string(), monitor: added });
        }
    }
    assert_eq!(meter.monitor_figures(9).await.unwrap(), (shown.clone(), 0));
    shown.truncate(1);
    assert_eq!(meter.monitor_figures(1).await.unwrap(), (shown, 1));
}
