//! Replicas of the server: the production managers behind a door, and the bodies of the production loops.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::managers::context::Context;
use backstay_core::managers::deliver::{Delivered, message_deliver, message_lease};
use backstay_core::managers::digest::digest_tick;
use backstay_core::managers::follow::follow_tick;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::rescue::rescue;
use backstay_core::managers::retention::upkeep_tick;
use backstay_core::managers::schedule::tick;
use backstay_core::managers::watch::watch_tick;
use backstay_testkit::fakes::signer::FixedSigner;

use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::stage::ProcessId;
use crate::store::SteppedStore;
use crate::world::{TTL, World};

/// How often a loop looks while there is something to see: rarer than in production, where a look costs nobody's time.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(90));

/// Between two looks at repositories.
const UPKEEP: (Duration, Duration) = (Duration::from_secs(1_800), Duration::from_secs(6 * 3_600));

/// Between two looks at items and events: an item that is too old asks for one each half minute, for days.
const WATCH: (Duration, Duration) = (Duration::from_secs(4 * 3_600), Duration::from_secs(20 * 3_600));

/// Between two looks at windows and messages.
const NOTIFY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1_800));

/// How long a loop sleeps at most when there is nothing to see.
const REST: Duration = Duration::from_secs(6 * 3_600);

/// What the rescuer of a mutant takes for a stall.
const STALL_EARLY: Duration = Duration::from_secs(60);

/// Returns the ports as a replica puts them together.
pub fn context(world: &Arc<World>, server: usize) -> Context {
    Context {
        declarations: world.store.clone(),
        history: world.store.clone(),
        jobs: world.store.clone(),
        schedules: world.store.clone(),
        retention: world.store.clone(),
        notices: world.store.clone(),
        secrets: world.secrets.clone(),
        signer: Arc::new(FixedSigner::default()),
        clock: world.servers[server].clock.clone(),
        random: Arc::new(Dice::new(world.stage.dice.below(u64::MAX))),
    }
}

/// Starts a replica on a machine.
pub fn start(world: &Arc<World>, server: usize) {
    let stage = &world.stage;
    let process = ProcessId(stage.serial());
    let context = context(world, server);
    let manager = JobManager::new(leasing(world, server, &context), TTL);
    world.doors.lock().expect("no holder panics").push((process, Arc::new(manager)));
    world.servers[server].runs(Some(process));
    stage.tell(|| format!("replica {server} begins"));
    stage.spawn(process, rescuer(Arc::clone(world), context.clone(), server));
    stage.spawn(process, upkeep(Arc::clone(world), context.clone(), server));
    stage.spawn(process, scheduler(Arc::clone(world), context.clone(), server));
    stage.spawn(process, watcher(Arc::clone(world), context.clone(), server));
    stage.spawn(process, notifier(Arc::clone(world), context, server));
}

/// Returns the ports that leases are made with: those of the replica, but for the mutant who believes its clock.
fn leasing(world: &World, server: usize, context: &Context) -> Context {
    if world.mutant != Some(Mutant::LocalRetention) {
        return context.clone();
    }
    let local = Some(Arc::clone(&world.servers[server].clock));
    let schedules = Arc::new(SteppedStore { local, ..(*world.store).clone() });
    Context { schedules, ..context.clone() }
}

/// Takes a replica off its machine.
pub fn stop(world: &World, server: usize) {
    let Some(process) = world.servers[server].running() else { return };
    world.doors.lock().expect("no holder panics").retain(|(other, _)| *other != process);
    world.servers[server].runs(None);
    world.stage.kill(process);
    world.stage.tell(|| format!("replica {server} dies"));
}

async fn rescuer(world: Arc<World>, context: Context, server: usize) {
    let stage = &world.stage;
    let stall_limit = if world.mutant == Some(Mutant::RescueTooEarly) { STALL_EARLY } else { STALL_LIMIT };
    loop {
        let rest = world.board.rescue_at.load(SeqCst).saturating_sub(stage.now().as_microsecond());
        if rest > 0 && world.mutant != Some(Mutant::RescueTooEarly) {
            let rest = Duration::from_micros(rest.unsigned_abs()).min(REST);
            stage.wait(world.servers[server].bell, rest).await;
        } else {
            let done = rescue(&context, stall_limit).await;
            if let Ok(done) = &done
                && done.lost + done.woken > 0
            {
                stage.tell(|| format!("replica {server} rescues {} and wakes {}", done.lost, done.woken));
            }
        }
        stage.sleep(stage.dice.between(LOOK.0, LOOK.1)).await;
    }
}

/// Looks at repositories, more rarely than the production loop does: each is due once a day.
async fn upkeep(world: Arc<World>, context: Context, server: usize) {
    let stage = &world.stage;
    loop {
        stage.sleep(stage.dice.between(UPKEEP.0, UPKEEP.1)).await;
        if let Ok(done) = upkeep_tick(&context).await
            && done.started > 0
        {
            stage.tell(|| format!("replica {server} asks for {} prunes", done.started));
        }
    }
}

async fn scheduler(world: Arc<World>, context: Context, server: usize) {
    let stage = &world.stage;
    loop {
        let rest = world.board.tick_at.load(SeqCst).saturating_sub(stage.now().as_microsecond());
        if rest > 0 {
            stage.wait(world.servers[server].tick_bell(), Duration::from_micros(rest.unsigned_abs()).min(REST)).await;
        } else {
            match tick(&context).await {
                Ok(done) if done.started + done.skipped > 0 => {
                    stage.tell(|| format!("replica {server} starts {} and skips {}", done.started, done.skipped));
                }
                Ok(_) => {}
                Err(error) => stage.tell(|| format!("replica {server} cannot tick: {error}")),
            }
        }
        stage.sleep(stage.dice.between(LOOK.0, LOOK.1)).await;
    }
}

/// Looks for what is too old, and takes in what happened.
async fn watcher(world: Arc<World>, context: Context, server: usize) {
    let stage = &world.stage;
    loop {
        let rest = world.board.watch_at.load(SeqCst).saturating_sub(stage.now().as_microsecond());
        if rest > 0 {
            stage.wait(world.servers[server].watch_bell(), Duration::from_micros(rest.unsigned_abs()).min(REST)).await;
        } else {
            let (watched, followed) = (watch_tick(&context).await, follow_tick(&context).await);
            let told = watched.map_or(0, |done| done.told) + followed.map_or(0, |done| done.told);
            if told > 0 {
                stage.tell(|| format!("replica {server} tells {told}"));
            }
        }
        // Two replicas see the same at the same moment, now and then.
        if !stage.dice.chance(100_000) {
            stage.sleep(stage.dice.between(WATCH.0, WATCH.1)).await;
        }
    }
}

/// Makes digests, and brings messages one after the other: the production loop brings one to each channel at once.
async fn notifier(world: Arc<World>, context: Context, server: usize) {
    let stage = &world.stage;
    loop {
        let rest = world.board.notify_at.load(SeqCst).saturating_sub(stage.now().as_microsecond());
        if rest > 0 {
            stage.wait(world.servers[server].notify_bell(), Duration::from_micros(rest.unsigned_abs()).min(REST)).await;
        } else {
            if let Ok(done) = digest_tick(&context).await
                && done.made > 0
            {
                stage.tell(|| format!("replica {server} makes {} digests", done.made));
            }
            while let Ok(Some(row)) = message_lease(&context, &[]).await {
                let done = message_deliver(&context, &*world.couriers, &row).await;
                if !matches!(done, Ok(Delivered::Sent)) {
                    stage.tell(|| format!("replica {server} brings {}: {done:?}", row.outgoing.id));
                }
            }
        }
        if !stage.dice.chance(100_000) {
            stage.sleep(stage.dice.between(NOTIFY.0, NOTIFY.1)).await;
        }
    }
}
