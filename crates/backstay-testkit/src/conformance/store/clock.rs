//! Promises about a store's clock that jumps by a day: back, and nothing rests until it comes there again; forward, and what
//! lies between is made up for once.

use std::time::Duration;

use backstay_core::domain::channel::{Channel, Window};
use backstay_core::domain::id::MessageId;
use backstay_core::domain::job::{Job, JobState, Outcome};
use backstay_core::domain::lease::LEASE_TTL;
use backstay_core::domain::proof::Proof;
use backstay_core::domain::schedule::{CatchUp, OverlapKey, Schedule, nearer};
use backstay_core::managers::context::Context;
use backstay_core::managers::deliver::message_lease;
use backstay_core::managers::digest::digest_tick;
use backstay_core::managers::retention::upkeep_tick;
use backstay_core::managers::schedule::{clock_watch, tick};
use backstay_core::managers::watch::watch_tick;
use backstay_core::ports::schedule::ClockLook;
use backstay_core::ports::store::{JobFilter, Page};
use jiff::Timestamp;

use super::notice::channel;
use super::voice::Voice;
use crate::conformance::job::context;
use crate::conformance::world::{STALL_LIMIT, Stores, TTL, World, settlement};

const DAY: Duration = Duration::from_secs(24 * 3_600);

const MINUTE: Duration = Duration::from_secs(60);

/// Adds a channel that gets a digest each day.
async fn daily(world: &World) -> Channel {
    let window = Window::parse("daily 07:00").unwrap();
    let due_at = window.next(world.now());
    let channel = Channel { digest: Some(window), ..channel(world, "daily", None) };
    world.stores.notices.channel_add(&channel, Some(due_at)).await.unwrap();
    channel
}

/// Returns a look at a clock that never went back.
fn look(now: Timestamp) -> ClockLook {
    ClockLook { now, back: Duration::ZERO }
}

/// Puts a proof of the repository and a message off by two days, and returns when they are due.
async fn later(voice: &Voice, now: Timestamp) -> (Timestamp, (MessageId, Timestamp)) {
    let (world, due_at) = (&voice.world, now + 2 * DAY);
    let retention = &world.stores.retention;
    let seen = retention.proof_get(world.repository.id).await.unwrap();
    assert!(retention.proof_put(&seen, &Proof { due_at, ..seen.clone() }).await.unwrap());
    voice.fail(3).await;
    voice.follow().await;
    let row = message_lease(&voice.context, &[]).await.unwrap().unwrap();
    let again = due_at.duration_since(world.now()).try_into().unwrap();
    assert!(world.stores.notices.outbox_failed(row.outgoing.id, row.tries, "busy", Some(again)).await.unwrap());
    (due_at, (row.outgoing.id, due_at))
}

/// Returns how many items, channels and repositories are due to be looked at by a moment.
async fn looks(world: &World, by: Timestamp) -> (usize, usize, usize) {
    let (notices, retention) = (&world.stores.notices, &world.stores.retention);
    (
        notices.watch_list_due(by, 99).await.unwrap().len(),
        notices.digest_list_due(by, 99).await.unwrap().len(),
        retention.upkeep_list_due(by, 99).await.unwrap().len(),
    )
}

/// A clock that ran a day ahead and goes back: jobs that were put off are due in time, the leases of an agent that died are
/// over in time, and items, channels and repositories are looked at within their time again.
///
/// Red for each line of `Database::step_back` that is left out; monitors have a suite of their own.
pub async fn what_a_clock_dated_in_the_future_is_brought_nearer(stores: Stores) {
    let voice = Voice::new(stores, 4).await;
    let world = &voice.world;
    let context = context(&world.stores);
    daily(world).await;
    let right = world.now();
    world.clock.advance(DAY);
    let ahead = world.now();
    voice.save(3, Outcome::Complete, MINUTE).await;
    let (agent, dead) = (world.agent(), world.agent());
    let waiting = world.leased(0, agent).await;
    let wake_at = world.now() + MINUTE;
    let waits = JobState::Waiting { wake_at, reason: "storage rests".to_owned() };
    world.jobs.job_settle(waiting, &settlement(waits)).await.unwrap();
    let put_off = Job { state: JobState::Queued { not_before: world.now() + MINUTE }, ..world.backup(1) };
    world.enqueue(&put_off).await;
    let lost = world.leased(2, dead).await;
    watch_tick(&context).await.unwrap();
    digest_tick(&context).await.unwrap();
    upkeep_tick(&context).await.unwrap();
    assert_eq!(looks(world, ahead).await, (0, 0, 0), "all is looked at");
    let (proof, message) = later(&voice, world.now()).await;

    world.clock.set(right);
    let (seen, moved) = clock_watch(&context, Some((look(ahead), Duration::ZERO))).await.unwrap();
    assert!(moved.is_some());
    assert_eq!(clock_watch(&context, Some((seen, Duration::ZERO))).await.unwrap(), (seen, None));
    let stores = &world.stores;
    assert_eq!(stores.retention.proof_get(world.repository.id).await.unwrap().due_at, nearer(proof, right, DAY));
    assert_eq!(stores.notices.outbox_get(message.0).await.unwrap().due_at, Some(nearer(message.1, right, DAY)));
    // What was looked at a little after the jump is due a little later than a day.
    let by = right + DAY + 5 * MINUTE;
    let (items, channels, repositories) = looks(world, by).await;
    assert_eq!((items, channels, repositories), (4, 1, 1), "within a day as ever");
    world.clock.advance(2 * MINUTE);
    assert_eq!(world.jobs.job_wake().await.unwrap(), 1, "what waited wakes");
    let claimed = world.claim(agent, 9).await;
    let mut claimed: Vec<_> = claimed.iter().map(|row| row.job.id).collect();
    claimed.sort();
    let mut due = [waiting.job_id, put_off.id];
    due.sort();
    assert_eq!(claimed, due);
    let over = world.jobs.job_list_lost(STALL_LIMIT, 9).await.unwrap();
    assert_eq!(over.iter().map(|lost| lost.job.id).collect::<Vec<_>>(), [lost.job_id], "and who died is found out");
}

/// A process that begins has no look before: the heartbeats of the last one say that the clock was further.
///
/// Red when `clock_watch` says nothing without a look before.
pub async fn a_process_that_begins_sees_that_the_clock_went_back(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let moved = async || clock_watch(&context, None).await.unwrap().1;
    assert_eq!(moved().await, None, "there was no agent ever");
    let right = world.now();
    let key = world.leased(0, world.agent()).await;
    world.clock.advance(TTL / 2);
    assert_eq!(moved().await, None, "a live heartbeat ends later than now");
    world.clock.advance(DAY);
    world.jobs.job_renew(world.agent(), &[key], TTL).await.unwrap();
    assert_eq!(moved().await, None);
    let other = world.agent();
    world.claim(other, 1).await;
    world.clock.set(right);
    assert!(moved().await.is_some());
    assert_eq!(moved().await, None, "once");
    world.clock.advance(LEASE_TTL);
    let alive = world.jobs.agent_list_alive().await.unwrap();
    assert!(alive.is_empty(), "no heartbeat lasts longer than it would: {alive:?}");
}

/// Two replicas see one clock go back by a day, one at once, the other after a while; then both at once see it go back by an
/// hour. What is to come is nearer by what it went back in all, and one of them says so each time.
///
/// Red when `dates_bring_nearer` compares no sum, or `clock_watch` does not take off what another one did.
pub async fn a_step_that_several_see_is_made_once(stores: Stores) {
    let world = World::new(stores.clone(), 1).await;
    seen_by_two(&world, [&stores, &stores]).await;
}

/// The same of two handles on the world's database.
pub async fn seen_by_two(world: &World, replicas: [&Stores; 2]) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let [here, there] = replicas.map(context);
    let put_off = Job { state: JobState::Queued { not_before: world.now() + 9 * DAY }, ..world.backup(0) };
    world.enqueue(&put_off).await;
    let waits = async || {
        let JobState::Queued { not_before } = world.job(put_off.id).await.state else { panic!("it is in the queue") };
        Duration::try_from(not_before.duration_since(world.now())).unwrap()
    };
    let watched =
        async |context: &Context, before: Option<(ClockLook, Duration)>| clock_watch(context, before).await.unwrap();
    let (first, _) = watched(&here, None).await;
    let (second, _) = watched(&there, None).await;
    let right = world.now() - DAY;
    world.clock.set(right);
    let (first, moved) = watched(&here, Some((first, Duration::ZERO))).await;
    assert!(moved.is_some());
    assert_eq!(waits().await, 9 * DAY);
    world.clock.advance(MINUTE);
    let (second, moved) = watched(&there, Some((second, MINUTE))).await;
    assert_eq!(moved, None, "the other one did it");
    assert_eq!(waits().await, 9 * DAY - MINUTE);
    world.clock.set(right - HOUR);
    let both = (watched(&here, Some((first, Duration::ZERO))), watched(&there, Some((second, Duration::ZERO))));
    let ((first, by_here), (second, by_there)) = futures::join!(both.0, both.1);
    assert_eq!(u32::from(by_here.is_some()) + u32::from(by_there.is_some()), 1, "{by_here:?} {by_there:?}");
    assert_eq!(first, second);
    let left = waits().await;
    assert!(left == 9 * DAY || left == 9 * DAY - MINUTE, "as long as the one who did it saw: {left:?}");
    world.clock.advance(MINUTE);
    assert_eq!(watched(&here, Some((first, MINUTE))).await.1, None);
    assert_eq!(watched(&there, Some((second, MINUTE))).await.1, None);
}

/// A clock that jumps forward by a day: of a plan that starts each hour one start is made up for, a channel gets one digest,
/// and a repository one look.
pub async fn a_day_that_is_jumped_over_is_made_up_for_once(stores: Stores) {
    let world = World::new(stores, 1).await;
    let context = context(&world.stores);
    let hourly = Schedule::new("every 1h".parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan);
    let hourly = hourly.unwrap().with_catch_up(CatchUp::Once);
    let changed = backstay_core::domain::plan::Plan { schedule: hourly, ..world.plan.clone() };
    assert!(world.stores.declarations.plan_replace(&world.plan, &changed).await.unwrap());
    daily(&world).await;
    tick(&context).await.unwrap();
    let before = world.now();
    world.clock.advance(DAY);
    assert_eq!(clock_watch(&context, Some((look(before), Duration::ZERO))).await.unwrap().1, None);
    for _ in 0..3 {
        tick(&context).await.unwrap();
        upkeep_tick(&context).await.unwrap();
        world.clock.advance(Duration::from_secs(15));
    }
    let jobs = world.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((digest_tick(&context).await.unwrap().made, digest_tick(&context).await.unwrap().made), (1, 0));
}
