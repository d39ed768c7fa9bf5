//! What befalls machines, clocks and networks in a year, and what people want meanwhile.
//!
//! [`harm`] comes from nobody, [`people`] ask for work and hear of alerts, and `change` is what they change of what is
//! declared: it is taken back before the world is left alone.

pub mod change;

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::asking::Asking;
use backstay_core::domain::id::{JobId, PlanId};
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::schedule::Maintenance;
use backstay_core::managers::alert::{alert_acknowledge, alert_silence};
use backstay_core::managers::context::Context;
use backstay_core::managers::request::{job_cancel, plan_request, verify_request};
use backstay_core::managers::schedule::{PauseWish, maintenance_declare, maintenance_end, plan_pause};
use backstay_core::ports::notice::{AlertFilter, NoticeStore as _};
use backstay_core::ports::random::Random as _;
use backstay_core::ports::store::{HistoryStore as _, JobFilter, JobStore as _, Page, SnapshotFilter};
use jiff::Timestamp;

use crate::stage::ProcessId;
use crate::world::{AGENTS, REPLICAS, World};
use crate::{agent, server};

/// Fate is no process of anybody's, and is never killed.
pub const FATE: ProcessId = ProcessId(u64::MAX);

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// Brings harm until it is ended.
pub async fn harm(world: Arc<World>) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    loop {
        stage.sleep(dice.between(Duration::from_secs(30 * MINUTE), Duration::from_secs(3 * DAY))).await;
        let machine = dice.below(AGENTS as u64) as usize;
        match dice.below(110) {
            0..25 => stage.spawn(FATE, agent_dies(Arc::clone(&world), machine)),
            25..50 => freeze(&world, world.machines[machine].running(), "an agent"),
            50..58 => {
                let server = dice.below(REPLICAS as u64) as usize;
                stage.spawn(FATE, replica_dies(Arc::clone(&world), server));
            }
            58..66 => freeze(&world, world.servers[dice.below(REPLICAS as u64) as usize].running(), "a replica"),
            66..74 => {
                // An hour, a day, either way; or right again.
                let offset =
                    *dice.pick(&[0, HOUR as i64, -(HOUR as i64), DAY as i64, -(DAY as i64), 90 * MINUTE as i64]);
                let clocks = world.machines.iter().chain(&world.servers).map(|machine| &machine.clock);
                let clocks: Vec<_> = clocks.collect();
                dice.pick(&clocks).jump(offset);
                stage.tell(|| format!("a clock is {offset} s wrong from now on"));
            }
            74..84 => stage.spawn(FATE, storm(Arc::clone(&world), 200_000, 0)),
            84..94 => stage.spawn(FATE, storm(Arc::clone(&world), 1_000, 300_000)),
            94..104 => {
                let place = format!("mail-{}.example", dice.below(world.channels.len() as u64));
                let length = dice.between(Duration::from_secs(HOUR), Duration::from_secs(4 * DAY));
                stage.tell(|| format!("{place} is away for {} s", length.as_secs()));
                world.couriers.leave(&place, length);
            }
            _ => stage.spawn(FATE, storm(Arc::clone(&world), 1_000_000, 0)),
        }
    }
}

fn freeze(world: &World, process: Option<ProcessId>, who: &str) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    let Some(process) = process else { return };
    let most = *dice.pick(&[10 * MINUTE, HOUR, 6 * HOUR, 2 * DAY]);
    let length = dice.between(Duration::from_secs(1), Duration::from_secs(most));
    stage.tell(|| format!("{who} is frozen for {} s", length.as_secs()));
    stage.freeze(process, length);
    if world.servers.iter().any(|server| server.running() == Some(process)) {
        world.weather.hindered(stage.now().saturating_add(length).unwrap_or(stage.now()));
    }
}

async fn agent_dies(world: Arc<World>, machine: usize) {
    let stage = &world.stage;
    let Some(process) = world.machines[machine].running() else { return };
    stage.tell(|| format!("the agent on machine {machine} dies"));
    stage.kill(process);
    world.machines[machine].runs(None);
    stage.sleep(stage.dice.between(Duration::from_secs(1), Duration::from_secs(12 * HOUR))).await;
    if world.machines[machine].running().is_none() {
        agent::start(&world, machine);
    }
}

async fn replica_dies(world: Arc<World>, server: usize) {
    let stage = &world.stage;
    if world.servers[server].running().is_none() {
        return;
    }
    // Now and then all of them, for days: nothing happens until one is back, and plans have missed several turns.
    let all = stage.dice.chance(300_000);
    let most = if all { 9 * DAY } else { 36 * HOUR };
    let downtime = stage.dice.between(Duration::from_secs(1), Duration::from_secs(most));
    world.weather.hindered(stage.now().saturating_add(downtime).unwrap_or(stage.now()));
    server::stop(&world, server);
    if all {
        (0..REPLICAS).for_each(|other| server::stop(&world, other));
    }
    stage.sleep(downtime).await;
    for server in 0..REPLICAS {
        if world.servers[server].running().is_none() {
            server::start(&world, server);
        }
    }
}

async fn storm(world: Arc<World>, database: u64, network: u64) {
    let stage = &world.stage;
    let most = if database >= 1_000_000 { 12 * HOUR } else { 2 * DAY };
    let length = stage.dice.between(Duration::from_secs(MINUTE), Duration::from_secs(most));
    stage.tell(|| format!("a storm begins: database {database}, network {network}, {} s", length.as_secs()));
    world.weather.storm(database, network, length);
    stage.sleep(length).await;
    world.weather.calm();
    stage.tell(|| "the storm is over".to_owned());
}

/// Ends all harm: everything that is to run runs, and nothing errs.
pub fn heal(world: &Arc<World>) {
    world.stage.kill(FATE);
    world.weather.heal();
    for server in 0..REPLICAS {
        if world.servers[server].running().is_none() {
            server::start(world, server);
        }
        world.servers[server].clock.jump(0);
    }
    for machine in 0..AGENTS {
        if world.machines[machine].running().is_none() {
            agent::start(world, machine);
        }
        world.machines[machine].clock.jump(0);
    }
    world.stage.spawn(FATE, resume(Arc::clone(world)));
    world.stage.tell(|| "all is healed".to_owned());
}

/// Asks, now and then, for a backup, a verify, or the end of a job.
pub async fn people(world: Arc<World>) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    loop {
        stage.sleep(dice.between(Duration::from_secs(HOUR), Duration::from_secs(9 * DAY))).await;
        let context = server::context(&world, dice.below(REPLICAS as u64) as usize);
        let said = match dice.below(14) {
            0..4 => {
                let (plan, _) = dice.pick(&world.plans);
                let mut answers = plan_request(&context, &asking(&world), plan.id).await;
                // Who sees nothing happen asks again.
                if dice.chance(300_000) {
                    stage.sleep(dice.between(Duration::from_secs(1), Duration::from_secs(10 * MINUTE))).await;
                    answers = plan_request(&context, &asking(&world), plan.id).await;
                }
                format!("asks for a backup of {}: {:?}", plan.name, answers.map(|answers| answers.len()))
            }
            4 => {
                let (plan, _) = dice.pick(&world.plans);
                stage.spawn(FATE, pause(Arc::clone(&world), context, plan.id));
                format!("pauses {}", plan.name)
            }
            5 => {
                let tenant_id = dice.chance(500_000).then(|| *dice.pick(&world.tenants));
                let length = Duration::from_secs(dice.below(6 * HOUR) + MINUTE);
                let from = stage.now();
                let ends_at = from.saturating_add(length).unwrap_or(from);
                world.weather.hindered(ends_at);
                // Of half of them nobody says beforehand when they are over.
                let until = if dice.chance(500_000) { ends_at } else { Timestamp::MAX };
                let window = Maintenance { name: "a rack moves".to_owned(), tenant_id, from, until };
                let declared = maintenance_declare(&context, window).await.map(|_| ());
                if until == Timestamp::MAX {
                    stage.spawn(FATE, ends(Arc::clone(&world), context, length));
                }
                format!("keeps a window until {until}, over at {ends_at}: {declared:?}")
            }
            6..8 => {
                let page = Page { before: None, rows_max: 3 };
                let Ok(rows) = world.store.snapshot_list(SnapshotFilter::default(), page).await else { continue };
                let Some(row) = rows.first() else { continue };
                let answer = verify_request(&context, &asking(&world), row.id, SampleRule::first_sample(7)).await;
                format!("asks for a verify: {answer:?}")
            }
            8..12 => {
                let alerts = AlertFilter { is_live: true, ..AlertFilter::default() };
                let Ok(rows) = world.store.alert_list(alerts, Page { before: None, rows_max: 9 }).await else {
                    continue;
                };
                if rows.is_empty() {
                    continue;
                }
                let row = dice.pick(&rows);
                let until = stage.now().saturating_add(Duration::from_secs(dice.below(9 * DAY))).unwrap_or(stage.now());
                let done = match dice.chance(300_000) {
                    true => alert_acknowledge(&context, row.id, "ada").await,
                    false => alert_silence(&context, row.id, until, "it is known").await,
                };
                format!("hears of {} {}: {:?}", row.topic.word(), row.title, done.map(|row| row.silenced_until))
            }
            _ => {
                let Some(job) = any_live(&world).await else { continue };
                format!("cancels {job}: {:?}", job_cancel(&context, job).await.map(|state| state.name()))
            }
        };
        stage.tell(|| format!("a person {said}"));
    }
}

fn asking(world: &World) -> Asking {
    let mut seed = [0; 32];
    world.stage.dice.fill(&mut seed);
    Asking::fresh(world.stage.now(), seed)
}

/// Holds a plan back for some days.
async fn pause(world: Arc<World>, context: Context, plan: PlanId) {
    let (stage, dice) = (&world.stage, &world.stage.dice);
    let _ = plan_pause(&context, plan, PauseWish::Pause).await;
    stage.sleep(dice.between(Duration::from_secs(HOUR), Duration::from_secs(12 * DAY))).await;
    // A person who gets no answer asks again.
    while plan_pause(&context, plan, PauseWish::Resume).await.is_err() {
        stage.sleep(Duration::from_secs(MINUTE)).await;
    }
    stage.tell(|| format!("a person lets {plan} go on"));
}

/// Ends, after a while, the windows that do not end by themselves.
async fn ends(world: Arc<World>, context: Context, length: Duration) {
    world.stage.sleep(length).await;
    windows_end(&world, &context).await;
}

/// Ends the windows that do not end by themselves. A person who gets no answer asks again, until there is no such
/// window.
async fn windows_end(world: &World, context: &Context) {
    loop {
        let Ok(rows) = context.schedules.maintenance_list(world.stage.now()).await else {
            world.stage.sleep(Duration::from_secs(MINUTE)).await;
            continue;
        };
        let Some(row) = rows.into_iter().find(|row| row.window.until == Timestamp::MAX) else { return };
        if maintenance_end(context, row.id).await.is_err() {
            world.stage.sleep(Duration::from_secs(MINUTE)).await;
        }
        world.stage.tell(|| format!("a person ends window {}", row.id));
    }
}

/// Lets every plan go on, and takes away what holds others back.
async fn resume(world: Arc<World>) {
    let context = server::context(&world, 0);
    windows_end(&world, &context).await;
    for (plan, _) in &world.plans {
        while plan_pause(&context, plan.id, PauseWish::Resume).await.is_err() {
            world.stage.sleep(Duration::from_secs(MINUTE)).await;
        }
    }
    change::uncap(&world, &context).await;
    for tenant in &world.tenants {
        change::free(&world, &context, *tenant).await;
    }
}

async fn any_live(world: &World) -> Option<JobId> {
    let page = Page { before: None, rows_max: 5 };
    let jobs = world.store.job_list(JobFilter::default(), page).await.ok()?;
    jobs.iter().find(|job| !job.state.name().is_final()).map(|job| job.id)
}
