//! The suite of the port `MeterStore`.

use std::time::Duration;

use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::meter::{MeterStore, QueueDepth};

use super::world::{Stores, World};

/// Jobs that are not final are counted by kind and state, with the age of the oldest; what has ended is not.
pub async fn exercise(meter: &dyn MeterStore, stores: Stores) {
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
}
