//! Signs of life: what a ping channel hears of its plan, and that a dead one holds nothing up.

use std::time::Duration;

use backstay_core::domain::channel::{Channel, ChannelKind, ChannelSettings};
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{ChannelId, JobSetId, MessageId};
use backstay_core::domain::job::{Job, JobKind, JobState, Outcome, StateName};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::message::Purpose;
use backstay_core::managers::deliver::CLAIM_TTL;
use backstay_core::managers::ping::begun_tick;
use backstay_core::ports::courier::DeliveryError;
use backstay_core::ports::notice::{NoticeWrite, Outgoing};
use backstay_core::ports::store::Settlement;
use serde_json::json;

use super::voice::Voice;
use crate::conformance::world::{Stores, TTL, key_of, settlement};

const MINUTE: Duration = Duration::from_secs(60);

async fn ping_channel(voice: &Voice, name: &str, plan: &str) -> Channel {
    channel_with(voice, name, &json!({ "url": "file:keys/home.key", "plan": plan })).await
}

async fn channel_with(voice: &Voice, name: &str, settings: &serde_json::Value) -> Channel {
    let world = &voice.world;
    let channel = Channel {
        id: ChannelId::new(world.now(), world.ten()),
        tenant_id: None,
        name: name.parse().unwrap(),
        settings: ChannelSettings::parse(ChannelKind::Ping, settings).unwrap(),
        rules: Vec::new(),
        digest: None,
        created_at: world.now(),
    };
    voice.context.notices.channel_add(&channel, None).await.unwrap();
    channel
}

/// Follows and returns the signs of life that went out.
async fn pings(voice: &Voice) -> Vec<Purpose> {
    voice.world.clock.advance(MINUTE);
    voice.follow().await;
    voice.follow().await;
    voice.heard().await.into_iter().map(|message| message.purpose).filter(|purpose| purpose.is_ping()).collect()
}

/// Red without `pings_of` in the follower, when a partial backup is a good one, or when a channel hears of any plan.
pub async fn a_ping_channel_hears_each_result_of_its_plan(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    ping_channel(&voice, "hc", "ada/daily").await;
    ping_channel(&voice, "other", "ada/weekly").await;
    ping_channel(&voice, "of-default", "daily").await;
    voice.save(0, Outcome::Complete, MINUTE).await;
    assert_eq!(pings(&voice).await, [Purpose::Succeeded]);
    voice.save(0, Outcome::Partial, MINUTE).await;
    assert_eq!(pings(&voice).await, [Purpose::Failed], "not all was read");
    voice.save_as(0, (Outcome::Partial, true), MINUTE).await;
    assert_eq!(pings(&voice).await, [Purpose::Succeeded], "its plan accepts what was not");
    voice.fail(0).await;
    assert_eq!(pings(&voice).await, [Purpose::Failed]);
    assert_eq!(pings(&voice).await, [], "each result once");
}

/// Ends the queued backup of an item.
async fn end(voice: &Voice, job: &Job, is_well: bool) {
    let world = &voice.world;
    world.clock.advance(MINUTE);
    world.enqueue(job).await;
    let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 1, TTL).await.unwrap();
    let key = key_of(&claimed[0]);
    let (kind, state) = match is_well {
        true => (EventKind::Succeeded, world.success().state),
        false => {
            let (class, message) = (backstay_core::domain::job::FailureClass::Source, "gone".to_owned());
            (EventKind::Failed, JobState::Failed { class, message, finished_at: world.now() })
        }
    };
    assert!(matches!(state.name(), StateName::Succeeded | StateName::Failed));
    let rows = Settlement { event: Some(world.event(kind, job)), ..settlement(state) };
    world.jobs.job_settle(key, &rows).await.unwrap();
}

/// A success beside a failure, or before the last one has ended, says nothing.
///
/// Red when one member's success is the plan's.
pub async fn a_plan_of_several_items_is_well_when_all_are(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    ping_channel(&voice, "hc", "ada/daily").await;
    let world = &voice.world;
    let id = JobSetId::new(world.now(), world.ten());
    let set =
        JobSet { id, tenant_id: world.tenant.id, name: world.plan.name.clone(), wanted: 2, created_at: world.now() };
    world.jobs.set_add(&set).await.unwrap();
    let member = |place: usize| Job { set: Some((id, place as u32)), ..world.backup(place) };
    end(&voice, &member(1), false).await;
    assert_eq!(pings(&voice).await, [Purpose::Failed]);
    end(&voice, &member(0), true).await;
    assert_eq!(pings(&voice).await, [], "the other one failed");
    end(&voice, &member(1), true).await;
    assert_eq!(pings(&voice).await, [Purpose::Succeeded], "it was done again");
}

/// The newest takes the place of what waits, and the tries go on: a channel that is dead for long is told of.
///
/// Red without `replace_waiting`, or when it begins to count anew.
pub async fn a_dead_channel_has_one_ping_that_waits(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    ping_channel(&voice, "hc", "ada/daily").await;
    let dead = DeliveryError::Unreachable { place: "https://hc.example".to_owned(), said: "gone".to_owned() };
    voice.courier.refuse(Some(dead));
    for number in 0..3 {
        voice.world.clock.advance(CLAIM_TTL * 60);
        match number {
            0 => drop(voice.fail(0).await),
            _ => voice.save(0, Outcome::Complete, MINUTE).await,
        }
        voice.follow().await;
        while voice.deliver_next().await.is_some() {}
    }
    voice.courier.refuse(None);
    voice.world.clock.advance(CLAIM_TTL * 60);
    let (message, _) = loop {
        let next = voice.context.notices.outbox_lease(&[], 1, CLAIM_TTL).await.unwrap().remove(0);
        if next.outgoing.message.purpose.is_ping() {
            break (next.clone(), next.tries);
        }
    };
    assert_eq!(message.outgoing.message.purpose, Purpose::Succeeded, "the newest is what counts");
    assert!(message.tries > 3, "{} tries: they are counted on", message.tries);
    voice.world.clock.advance(CLAIM_TTL * 2);
    assert_eq!(pings(&voice).await, [Purpose::Succeeded], "one, not three");
}

/// Who wants to hear of beginnings does, once each. One that comes late is not told: neither beside a result that waits, nor
/// behind one that was told.
///
/// Red without the look in `begun_tick`, when a beginning takes a result's place, or when what is younger is not asked for.
pub async fn a_beginning_is_told_once_and_never_in_the_place_of_a_result(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let wants = json!({ "url": "file:keys/home.key", "plan": "ada/daily", "start": true });
    let channel = channel_with(&voice, "hc", &wants).await;
    ping_channel(&voice, "results", "ada/daily").await;
    let world = &voice.world;
    let purposes = async || -> Vec<Purpose> {
        voice.heard().await.iter().map(|message| message.purpose).filter(|purpose| purpose.is_ping()).collect()
    };
    let key = world.leased(0, world.agent()).await;
    begun_tick(&voice.context).await.unwrap();
    begun_tick(&voice.context).await.unwrap();
    let heard = voice.heard().await;
    let [started] = &heard[..] else { panic!("one, to the channel that wants it: {heard:?}") };
    assert_eq!((started.purpose, started.subject.as_str()), (Purpose::Started, "daily: backup started"));
    begun_tick(&voice.context).await.unwrap();
    assert_eq!(purposes().await, [], "it was told");
    let job = world.job(key.job_id).await;
    world.clock.advance(Duration::from_secs(1));
    let event = Some(world.event(EventKind::Succeeded, &job));
    let done = Settlement { event, ..settlement(world.success().state) };
    world.jobs.job_settle(key, &done).await.unwrap();
    assert_eq!(pings(&voice).await, [Purpose::Succeeded, Purpose::Succeeded]);
    // Another replica looked before that end, and writes behind it.
    let late = Outgoing {
        id: MessageId::new(job.created_at, [7; 10]),
        channel_id: channel.id,
        tenant_id: Some(world.tenant.id),
        message: started.clone(),
        created_at: world.now(),
    };
    let write = NoticeWrite { messages: vec![late], ..NoticeWrite::default() };
    assert!(voice.context.notices.notice_put(&write).await.unwrap());
    assert_eq!(purposes().await, [], "a service would wait for an end that was");
    let dead = DeliveryError::Unreachable { place: "https://hc.example".to_owned(), said: "gone".to_owned() };
    voice.courier.refuse(Some(dead));
    voice.fail(0).await;
    assert_eq!(pings(&voice).await, []);
    world.leased(0, world.agent()).await;
    begun_tick(&voice.context).await.unwrap();
    voice.courier.refuse(None);
    world.clock.advance(CLAIM_TTL * 60);
    assert_eq!(purposes().await, [Purpose::Failed, Purpose::Failed], "what waits is a result");
    begun_tick(&voice.context).await.unwrap();
    assert_eq!(purposes().await, [], "it began long ago");
}
