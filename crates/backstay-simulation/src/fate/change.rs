//! What people change of what is declared, and take back: schedules, caps, quotas, and what they say of single snapshots.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::fairness::{Caps, Rules};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::quota::Quota;
use backstay_core::domain::schedule::Schedule;
use backstay_core::domain::snapshot::Mark;
use backstay_core::domain::template::Said;
use backstay_core::managers::context::Context;
use backstay_core::managers::plan::{PlanChange, plan_change};
use backstay_core::managers::queue::queue_rules_change;
use backstay_core::managers::quota::quota_set;
use backstay_core::ports::store::{Page, SnapshotFilter, StoreError};

use super::{DAY, FATE, HOUR, MINUTE};
use crate::server;
use crate::world::{REPLICAS, World};

/// The schedules that each plan of the world has in turn: rhythm, zone and seconds of jitter. None is rarer than the plan's
/// first one, or its items would be too old when all is well.
const SCHEDULES: [&[(&str, &str, u64)]; 6] = [
    &[
        ("30 2 * * 0,3", "Europe/Zurich", 0),
        ("30 2 * * 0,3", "Europe/Zurich", 5_400),
        ("every 60h", "UTC", 600),
        ("0 3 * * 1,5", "America/Sao_Paulo", 0),
    ],
    &[("0 22 * * 1", "America/New_York", 900), ("0 22 * * 1", "America/New_York", 0), ("15 21 * * 4", "Asia/Tokyo", 0)],
    &[("every 36h", "UTC", 0), ("every 36h", "UTC", 1_200), ("30 2 * * 1,3,5", "Europe/Zurich", 0)],
    &[
        ("15 4 * * 1,4", "Australia/Lord_Howe", 0),
        ("15 4 * * 1,4", "Europe/Lisbon", 0),
        ("15 2 * * 2,6", "Australia/Lord_Howe", 300),
    ],
    &[("0 5 1 * *", "Asia/Kolkata", 0), ("0 5 15 * *", "Asia/Kolkata", 0)],
    &[("every 7d", "UTC", 60), ("every 5d", "UTC", 0), ("45 12 * * 6", "UTC", 1_800)],
];

/// Longest wait for an occurrence beside which a schedule is changed.
const OCCURRENCE_WITHIN: i64 = 8 * DAY as i64;

/// Changes something, now and then.
pub async fn changes(world: Arc<World>) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    loop {
        stage.sleep(dice.between(Duration::from_secs(2 * DAY), Duration::from_secs(12 * DAY))).await;
        let context = server::context(&world, dice.below(REPLICAS as u64) as usize);
        match dice.below(12) {
            0..5 => reschedule(&world, &context).await,
            5..7 => stage.spawn(FATE, cap(Arc::clone(&world), context)),
            7..9 => stage.spawn(FATE, quota(Arc::clone(&world), context, *dice.pick(&world.tenants))),
            _ => mark(&world, &context).await,
        }
    }
}

/// Gives a plan another schedule: half of the times just when one of its occurrences is due and may not have started.
async fn reschedule(world: &World, context: &Context) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    // The plans behind these only follow others.
    let at = dice.below(SCHEDULES.len() as u64) as usize;
    let plan = &world.plans[at].0;
    if dice.chance(500_000)
        && let Ok(state) = context.schedules.schedule_get(plan.id).await
        && let Some(due_at) = state.next_due_at
        && let left = due_at.duration_since(stage.now()).as_secs()
        && (0..OCCURRENCE_WITHIN).contains(&left)
    {
        stage.sleep(Duration::from_secs(left.unsigned_abs() + 1 + dice.below(20))).await;
    }
    let Ok(seen) = context.declarations.plan_get(plan.id).await else { return };
    let (rhythm, zone, jitter_secs) = *dice.pick(SCHEDULES[at]);
    let rhythm = rhythm.parse().expect("rhythms of the simulation can be read");
    let jitter = Duration::from_secs(jitter_secs);
    let schedule = Schedule::new(rhythm, zone.to_owned(), jitter, seen.schedule.overlap());
    let schedule = schedule.expect("schedules of the simulation can be evaluated");
    let schedule = schedule.with_start_window(seen.schedule.start_window()).with_catch_up(seen.schedule.catch_up());
    let said = Said::all(&schedule, seen.rpo, &seen.retention, &seen.backup);
    let done = plan_change(context, &seen, PlanChange { said: Some(said), ..PlanChange::default() }).await;
    stage.tell(|| {
        let words = schedule.rhythm().words();
        format!("a person gives {} the schedule {words} {zone} jitter {jitter_secs} s: {:?}", plan.name, done.is_ok())
    });
}

/// Puts a cap on what runs, and takes it away after a while.
async fn cap(world: Arc<World>, context: Context) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    let most = Some(1);
    let caps = match dice.below(4) {
        0 => Caps { global: most, ..Caps::default() },
        1 => Caps { tenant: most, ..Caps::default() },
        2 => Caps { kind: most, ..Caps::default() },
        _ => Caps { repository: most, ..Caps::default() },
    };
    let rules = Rules { caps, ..Rules::default() };
    let done = queue_rules_change(&context, &rules, None).await;
    stage.tell(|| format!("a person puts a cap: {:?}: {:?}", rules.caps, done.is_ok()));
    stage.sleep(dice.between(Duration::from_secs(HOUR), Duration::from_secs(3 * DAY))).await;
    uncap(&world, &context).await;
}

/// Takes all caps away.
pub(super) async fn uncap(world: &World, context: &Context) {
    while !matches!(queue_rules_change(context, &Rules::default(), None).await, Ok(Some(_))) {
        world.stage.sleep(Duration::from_secs(MINUTE)).await;
    }
    world.stage.tell(|| "a person takes the caps away".to_owned());
}

/// Gives a tenant a quota of fewer snapshots than it has, and takes it away after a while.
async fn quota(world: Arc<World>, context: Context, tenant: TenantId) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    let low = Quota { bytes: None, snapshots: Some(1) };
    let done = quota_set(&context, tenant, None, low).await;
    stage.tell(|| format!("a person gives {tenant} the quota {low:?}: {:?}", done.is_ok()));
    stage.sleep(dice.between(Duration::from_secs(DAY), Duration::from_secs(6 * DAY))).await;
    free(&world, &context, tenant).await;
}

/// Takes a tenant's quota away.
pub(super) async fn free(world: &World, context: &Context, tenant: TenantId) {
    while quota_set(context, tenant, None, Quota::default()).await.is_err() {
        world.stage.sleep(Duration::from_secs(MINUTE)).await;
    }
    world.stage.tell(|| format!("a person takes the quota of {tenant} away"));
}

/// Says something of a snapshot against the rules, or takes it back: of one of the newest, which retention wants gone soon.
async fn mark(world: &World, context: &Context) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    let page = Page { before: None, rows_max: 12 };
    let Ok(rows) = context.history.snapshot_list(SnapshotFilter::default(), page).await else { return };
    if rows.is_empty() {
        return;
    }
    // Several at once, as somebody does who keeps a state of everything.
    for _ in 0..3 {
        let row = dice.pick(&rows);
        let mark = *dice.pick(&[Mark::Pin, Mark::Hold, Mark::Unwanted]);
        let is_set = dice.chance(700_000);
        let done: Result<_, StoreError> = context.retention.snapshot_mark(row.id, mark, is_set).await;
        stage.tell(|| format!("a person says {mark:?} {is_set} of {}: {:?}", &row.foreign_id[..8], done.map(drop)));
    }
}
