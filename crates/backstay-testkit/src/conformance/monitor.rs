//! The suite of the port `MonitorStore`, with the core's manager over it: what is heard, what is missed, what is told.

use std::time::Duration;

use backstay_core::domain::alert::{REPEAT_AFTER, Severity};
use backstay_core::domain::monitor::{Monitor, PING_BYTES_MAX, PINGS_KEPT, PingKind, Standing};
use backstay_core::domain::name::Name;
use backstay_core::domain::schedule::{OverlapKey, Schedule};
use backstay_core::managers::context::Context;
use backstay_core::managers::follow::follow_tick;
use backstay_core::managers::monitor::{
    MonitorDeclareError, monitor_change, monitor_declare, monitor_retire, monitor_tick, ping_take,
};
use backstay_core::ports::monitor::{MonitorStore, MonitorWrite};
use backstay_core::ports::notice::{AlertFilter, AlertRow};
use backstay_core::ports::store::{Page, StoreError};

use super::job::context;
use super::world::{Stores, World};

const MINUTE: Duration = Duration::from_secs(60);

fn schedule(line: &str) -> Schedule {
    Schedule::new(line.parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap()
}

struct Heard<'a> {
    store: &'a dyn MonitorStore,
    context: Context,
    world: World,
    name: Name,
}

impl Heard<'_> {
    async fn ping(&self, path: Option<&str>, text: &str) {
        // Ids of one millisecond have no order among them.
        self.world.clock.advance(Duration::from_millis(1));
        let said = PingKind::of_path(path).unwrap();
        let of = (self.world.tenant.id, &self.name);
        assert!(ping_take(&self.context, self.store, of, said, text).await.unwrap());
    }

    /// Looks, follows, and returns how many events came and the alert.
    async fn look(&self) -> (u64, Option<AlertRow>) {
        let done = monitor_tick(&self.context, self.store).await.unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        let followed = follow_tick(&self.context).await.unwrap();
        assert!(followed.failed.is_empty(), "{:?}", followed.failed);
        let alerts = self.context.notices.alert_list(AlertFilter::default(), Page::first()).await.unwrap();
        (done.told, alerts.into_iter().find(|row| row.subject == "monitor nightly"))
    }

    async fn row(&self) -> Monitor {
        self.store.monitor_find(self.world.tenant.id, &self.name).await.unwrap().unwrap()
    }
}

/// Runs every promise.
///
/// Red without the grace in `deadline`, the comparison of the revision, the key of what lives, the event beside the row, or
/// the bound on kept pings.
pub async fn exercise(store: &dyn MonitorStore, stores: Stores) {
    let world = World::new(stores, 1).await;
    let heard = Heard { store, context: context(&world.stores), world, name: "nightly".parse().unwrap() };
    declared(&heard).await;
    missed(&heard).await;
    failed(&heard).await;
    kept(&heard).await;
    turned_back(&heard).await;
    retired(&heard).await;
}

async fn declared(heard: &Heard<'_>) {
    let (context, store, tenant) = (&heard.context, heard.store, heard.world.tenant.id);
    let declare = async |line: &str, grace: Duration| {
        monitor_declare(context, store, tenant, heard.name.clone(), (schedule(line), grace)).await
    };
    for (line, grace) in [("", MINUTE * 10), ("every 1h", Duration::from_secs(59))] {
        assert!(matches!(declare(line, grace).await, Err(MonitorDeclareError::Field(_))), "{line:?}");
    }
    let made = declare("every 2h", MINUTE * 10).await.unwrap();
    let again = declare("every 2h", MINUTE * 10).await;
    assert!(matches!(again, Err(MonitorDeclareError::Store(StoreError::Taken { .. }))), "{again:?}");
    let changed = monitor_change(context, store, made.id, (Some(schedule("every 1h")), None)).await.unwrap();
    assert_eq!((changed.schedule.rhythm().words().as_str(), changed.grace), ("every 1h", MINUTE * 10));
    assert_eq!(store.monitor_get(made.id).await.unwrap(), changed);
    for whose in [Some(tenant), None] {
        assert_eq!(store.monitor_list(whose).await.unwrap(), std::slice::from_ref(&changed));
    }
    assert!(
        !store.monitor_put(MonitorWrite { row: &made, ping: None, event: None }).await.unwrap(),
        "it is an old one"
    );
    let nobody: Name = "nobody".parse().unwrap();
    assert!(!ping_take(context, store, (tenant, &nobody), (PingKind::Success, None), "").await.unwrap());
}

/// What says nothing is missed when its grace is over, and not before.
async fn missed(heard: &Heard<'_>) {
    assert!(heard.store.monitor_list_due(heard.world.now(), 10).await.unwrap().is_empty(), "it costs nothing yet");
    heard.world.clock.advance(MINUTE * 69);
    assert_eq!(heard.row().await.standing(heard.world.now()), Standing::Late);
    assert!(matches!(heard.look().await, (0, None)), "its grace is not over");
    heard.world.clock.advance(MINUTE);
    let (told, alert) = heard.look().await;
    let alert = alert.unwrap();
    assert_eq!((told, alert.alert.severity, alert.ended_at), (1, Severity::Error, None));
    assert!(alert.message.contains("was never heard of"), "{}", alert.message);
    assert_eq!(alert.title, "monitor nightly");
    assert_eq!(heard.look().await.0, 0, "it was told");
    heard.world.clock.advance(REPEAT_AFTER);
    assert_eq!(heard.look().await.0, 1, "once a day it is told again");
    heard.ping(None, "").await;
    let (told, alert) = heard.look().await;
    assert!(told == 1 && alert.unwrap().ended_at.is_some(), "it is well again");
}

async fn failed(heard: &Heard<'_>) {
    heard.world.clock.advance(MINUTE);
    heard.ping(Some("3"), "copying\ndisk full\n\n").await;
    let (told, alert) = heard.look().await;
    let alert = alert.unwrap();
    assert!(told == 1 && alert.ended_at.is_none());
    assert_eq!(alert.message, "monitor nightly failed with exit code 3: disk full");
    heard.ping(Some("start"), "").await;
    assert_eq!(heard.row().await.standing(heard.world.now()), Standing::Started);
    heard.world.clock.advance(MINUTE * 10);
    let (told, alert) = heard.look().await;
    assert_eq!(told, 1, "what began and did not end is missed too");
    assert!(alert.unwrap().message.contains("has not ended"));
    heard.ping(Some("0"), "").await;
    assert!(heard.look().await.1.unwrap().ended_at.is_some());
}

/// Of long texts the end is kept, of many pings the newest.
async fn kept(heard: &Heard<'_>) {
    heard.ping(Some("log"), &format!("{}\0the end", "ü".repeat(PING_BYTES_MAX))).await;
    let id = heard.row().await.id;
    let newest = heard.store.ping_list(id).await.unwrap().remove(0);
    assert!(
        newest.text.len() <= PING_BYTES_MAX + 2 && newest.text.ends_with("\u{fffd}the end"),
        "{}",
        newest.text.len()
    );
    for _ in 0..PINGS_KEPT {
        heard.ping(None, "x").await;
    }
    let pings = heard.store.ping_list(id).await.unwrap();
    assert_eq!(pings.len(), PINGS_KEPT as usize);
    assert!(pings.iter().all(|ping| ping.text == "x") && pings[0].at > pings[1].at);
}

/// A ping that a clock a day ahead dated does not put the next one off by a day, once the clock is right.
///
/// Red when a step back leaves the moment of the last ping in the future.
async fn turned_back(heard: &Heard<'_>) {
    const DAY: Duration = Duration::from_secs(86_400);
    let right = heard.world.now();
    heard.world.clock.advance(DAY);
    heard.ping(None, "").await;
    heard.look().await;
    heard.world.clock.set(right);
    let seen = heard.context.schedules.clock_look().await.unwrap();
    assert!(heard.context.schedules.dates_bring_nearer(seen, DAY).await.unwrap() > Some(0));
    heard.world.clock.advance(MINUTE * 69);
    assert_eq!(heard.look().await.0, 0, "its grace is not over");
    heard.world.clock.advance(MINUTE * 2);
    assert_eq!(heard.look().await.0, 1, "it is missed when it would have been");
    heard.ping(None, "").await;
    assert_eq!(heard.look().await.0, 1, "it is well again");
}

async fn retired(heard: &Heard<'_>) {
    let (context, store) = (&heard.context, heard.store);
    heard.ping(Some("fail"), "").await;
    assert!(heard.look().await.1.unwrap().ended_at.is_none());
    let was = heard.row().await;
    monitor_retire(context, store, was.id).await.unwrap();
    monitor_retire(context, store, was.id).await.unwrap();
    assert!(heard.look().await.1.unwrap().ended_at.is_some(), "what is expected no more is not missed");
    heard.world.clock.advance(REPEAT_AFTER * 2);
    assert_eq!(heard.look().await.0, 0);
    assert!(store.monitor_get(was.id).await.unwrap().retired_at.is_some());
    assert!(store.monitor_list(None).await.unwrap().is_empty());
    let of = (heard.world.tenant.id, &heard.name);
    assert!(!ping_take(context, store, of, (PingKind::Success, None), "").await.unwrap());
    let again = (schedule("30 2 * * *"), MINUTE);
    let again = monitor_declare(context, store, heard.world.tenant.id, heard.name.clone(), again).await.unwrap();
    assert_ne!(again.id, was.id, "its name is free");
}
