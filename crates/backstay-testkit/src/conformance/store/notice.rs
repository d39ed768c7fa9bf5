//! The store of what is told: channels, decisions as a whole, the outbox, and what is due.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_core::domain::alert::{Alert, Delivery, Severity, Topic};
use backstay_core::domain::channel::{Channel, ChannelKind, ChannelRule, ChannelSettings, Window};
use backstay_core::domain::digest::Facts;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{AlertId, ChannelId, MessageId, TenantId};
use backstay_core::domain::job::Outcome;
use backstay_core::domain::message::{Message, Purpose, Section};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::quota::Usage;
use backstay_core::ports::notice::{
    AlertFilter, AlertRow, DigestDue, DigestTold, Mark, NoticeWrite, OutboxCounts, Outgoing, Watched,
};
use backstay_core::ports::store::{Page, Settlement, StoreError};
use jiff::Timestamp;
use serde_json::json;

use crate::conformance::world::{Stores, World, distinct_counts};

const HOUR: Duration = Duration::from_secs(3_600);

/// Returns a mail channel that hears of everything from warnings on.
pub(super) fn channel(world: &World, name: &str, tenant_id: Option<TenantId>) -> Channel {
    let settings = json!({ "host": "mail.example", "from": "b@a.example", "to": ["ann@a.example"] });
    Channel {
        id: ChannelId::new(world.now(), world.ten()),
        tenant_id,
        name: name.parse().unwrap(),
        settings: ChannelSettings::parse(ChannelKind::Smtp, &settings).unwrap(),
        rules: vec![ChannelRule {
            severity_min: Severity::Warning,
            topics: Vec::new(),
            tenant_id: None,
            delivery: Delivery::AtOnce,
        }],
        digest: None,
        created_at: world.now(),
    }
}

fn message(world: &World) -> Message {
    Message {
        purpose: Purpose::Alert,
        severity: Severity::Critical,
        subject: "Überfällig: <script>".to_owned(),
        lead: "x".to_owned(),
        facts: vec![("item".to_owned(), "/home".to_owned())],
        sections: vec![Section { heading: "h".to_owned(), severity: Severity::Info, lines: vec!["l".to_owned()] }],
        next_steps: vec!["look".to_owned()],
        at: world.now(),
    }
}

fn outgoing(world: &World, channel: &Channel) -> Outgoing {
    Outgoing {
        id: MessageId::new(world.now(), world.ten()),
        channel_id: channel.id,
        tenant_id: Some(world.tenant.id),
        message: message(world),
        created_at: world.now(),
    }
}

fn alert(world: &World, subject: &str) -> AlertRow {
    AlertRow {
        id: AlertId::new(world.now(), world.ten()),
        tenant_id: world.tenant.id,
        topic: Topic::Overdue,
        subject: subject.to_owned(),
        title: "/home".to_owned(),
        message: "too old".to_owned(),
        alert: Alert {
            severity: Severity::Error,
            since: world.now(),
            told_at: Some(world.now()),
            held: 3,
            acknowledged_by: Some("ann".to_owned()),
        },
        last_at: world.now(),
        told_count: 2,
        acknowledged_at: Some(world.now()),
        silenced_until: Some(world.now()),
        silence_reason: "known".to_owned(),
        ended_at: None,
        revision: 0,
    }
}

fn messages(messages: Vec<Outgoing>) -> NoticeWrite {
    NoticeWrite { messages, ..NoticeWrite::default() }
}

/// A name is unique for a tenant and for the installation, each by itself; what is written is read back.
pub async fn channels_are_read_back_and_names_are_their_owners(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.notices;
    let mut own = channel(&world, "mail", Some(world.tenant.id));
    let seen = own.clone();
    let shared = channel(&world, "mail", None);
    let due_at = world.now().saturating_add(HOUR).unwrap();
    store.channel_add(&own, Some(due_at)).await.unwrap();
    store.channel_add(&shared, None).await.unwrap();
    for again in [channel(&world, "mail", Some(world.tenant.id)), channel(&world, "mail", None)] {
        assert!(matches!(store.channel_add(&again, None).await, Err(StoreError::Taken { .. })));
    }
    own.rules[0] = ChannelRule {
        severity_min: Severity::Info,
        topics: vec![Topic::Partial, Topic::Event(EventKind::Failed)],
        tenant_id: Some(world.tenant.id),
        delivery: Delivery::Digest,
    };
    own.digest = Some(Window::parse("monday 07:30 Europe/Berlin").unwrap());
    assert!(store.channel_put(&seen, &own, Some(due_at)).await.unwrap());
    assert!(store.channel_put(&seen, &own, Some(due_at)).await.unwrap(), "asking twice is asking once");
    let other = Channel { digest: None, ..seen.clone() };
    assert!(!store.channel_put(&seen, &other, None).await.unwrap(), "somebody else was first");
    assert_eq!(store.channel_get(own.id).await.unwrap(), own);
    assert_eq!(store.channel_list(Some(world.tenant.id)).await.unwrap(), [own.clone()]);
    assert_eq!(store.channel_list(None).await.unwrap(), [own.clone(), shared]);
    store.channel_remove(own.id).await.unwrap();
    assert!(matches!(store.channel_get(own.id).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.channel_put(&own, &own, None).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.channel_remove(own.id).await, Err(StoreError::NotFound { .. })));
}

/// A stale mark or a stale alert takes messages and alerts with it.
///
/// Red without the comparison of `due_at`, of the revision, or when messages are written first and not taken back.
pub async fn a_decision_is_written_as_a_whole_or_not_at_all(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.notices;
    let to = channel(&world, "mail", None);
    store.channel_add(&to, None).await.unwrap();
    let seen = store.watch_list_due(world.now(), 10).await.unwrap()[0];
    let due_at = world.now().saturating_add(HOUR).unwrap();
    let mark = Some(Mark::Watch { seen, due_at });
    let write =
        |rows: Vec<AlertRow>| NoticeWrite { mark: mark.clone(), alerts: rows, messages: vec![outgoing(&world, &to)] };
    let first = alert(&world, "a");
    assert!(store.notice_put(&write(vec![first.clone()])).await.unwrap());
    let there = AlertRow { revision: 1, ..first.clone() };
    assert_eq!(store.alert_get(first.id).await.unwrap(), there);
    assert_eq!(store.alert_find(world.tenant.id, "a").await.unwrap(), std::slice::from_ref(&there));
    assert!(store.alert_find(world.tenant.id, "A").await.unwrap().is_empty());
    // The mark has moved.
    assert!(!store.notice_put(&write(vec![alert(&world, "b")])).await.unwrap());
    // The mark is right, an alert is not: made twice, and changed by somebody else.
    let moved = Watched { due_at, ..seen };
    for stale in [alert(&world, "a"), AlertRow { revision: 7, ..there.clone() }] {
        let mark = Some(Mark::Watch { seen: moved, due_at: world.now() });
        let rows = vec![alert(&world, "c"), stale];
        let write = NoticeWrite { mark, alerts: rows, messages: vec![outgoing(&world, &to)] };
        assert!(!store.notice_put(&write).await.unwrap());
    }
    assert_eq!(store.watch_list_due(due_at, 10).await.unwrap(), [moved]);
    let all = store.alert_list(AlertFilter::default(), Page::first()).await.unwrap();
    assert_eq!(all, std::slice::from_ref(&there));
    let counts = OutboxCounts { waiting: 1, given_up: 0, alerts_live: 1 };
    assert_eq!(store.outbox_counts().await.unwrap(), counts);
    let ended = AlertRow { ended_at: Some(world.now()), ..there.clone() };
    let write = NoticeWrite { alerts: vec![ended.clone()], ..NoticeWrite::default() };
    assert!(store.notice_put(&write).await.unwrap());
    let live = AlertFilter { is_live: true, tenant_id: Some(world.tenant.id) };
    assert!(store.alert_list(live, Page::first()).await.unwrap().is_empty());
    let row = store.alert_get(first.id).await.unwrap();
    assert_eq!(row, AlertRow { revision: 2, ..ended });
}

/// Eight that claim at once never share a message; a claim that is over is somebody else's, and the older one is refused.
///
/// Red without the comparison of the tries in the claim or in its end.
pub async fn of_many_claimers_one_has_a_message(stores: Stores) {
    let world = World::new(stores, 1).await;
    let to = channel(&world, "mail", None);
    world.stores.notices.channel_add(&to, None).await.unwrap();
    let sent: Vec<Outgoing> = (0..20).map(|_| outgoing(&world, &to)).collect();
    assert!(world.stores.notices.notice_put(&messages(sent.clone())).await.unwrap());
    // The same again, as after a commit whose answer was lost.
    assert!(world.stores.notices.notice_put(&messages(sent.clone())).await.unwrap());
    let claimer = || {
        let store = world.stores.notices.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..20 {
                mine.extend(store.outbox_lease(&[], 2, HOUR).await.unwrap());
            }
            mine
        })
    };
    let claimers: Vec<_> = (0..8).map(|_| claimer()).collect();
    let mut count = BTreeMap::new();
    for claimer in claimers {
        for row in claimer.await.unwrap() {
            assert_eq!((row.tries, &row.outgoing.message), (1, &message(&world)));
            *count.entry(row.outgoing.id).or_insert(0) += 1;
        }
    }
    assert_eq!((count.len(), count.values().max()), (20, Some(&1)), "each message has one claimer");
    let store = &world.stores.notices;
    assert!(store.outbox_sent(sent[0].id, 1).await.unwrap());
    assert!(!store.outbox_sent(sent[0].id, 1).await.unwrap(), "it is done");
    assert!(store.outbox_failed(sent[1].id, 1, "no answer", Some(HOUR * 2)).await.unwrap());
    assert!(store.outbox_failed(sent[2].id, 1, "refused", None).await.unwrap());
    world.clock.advance(HOUR);
    let again = store.outbox_lease(&[], 100, HOUR).await.unwrap();
    assert_eq!(again.len(), 17, "claims that are over");
    assert!(again.iter().all(|row| row.tries == 2));
    let late = again[0].outgoing.id;
    assert!(!store.outbox_sent(late, 1).await.unwrap(), "an older try says nothing");
    assert!(!store.outbox_failed(late, 1, "x", None).await.unwrap());
    assert!(store.outbox_sent(late, 2).await.unwrap());
    let rows = [store.outbox_get(sent[0].id).await.unwrap(), store.outbox_get(sent[2].id).await.unwrap()];
    assert!(rows[0].sent_at.is_some() && rows[0].due_at.is_none());
    assert!(rows[1].given_up_at.is_some() && rows[1].last_error.as_deref() == Some("refused"));
    world.clock.advance(HOUR + Duration::from_secs(1));
    assert!(store.outbox_lease(&[], 100, HOUR).await.unwrap().iter().any(|row| row.outgoing.id == sent[1].id));
}

/// What waits for a channel ends with it, and says so.
pub async fn a_channel_that_is_removed_gives_its_messages_up(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.notices;
    let (gone, stays) = (channel(&world, "gone", None), channel(&world, "stays", None));
    let due_at = world.now();
    store.channel_add(&gone, Some(due_at)).await.unwrap();
    store.channel_add(&stays, None).await.unwrap();
    let (one, two) = (outgoing(&world, &gone), outgoing(&world, &stays));
    store.notice_put(&messages(vec![one.clone(), two.clone()])).await.unwrap();
    let told = vec![DigestTold { tenant_id: world.tenant.id, facts: Facts::default(), sequence: 0 }];
    let seen = store.digest_list_due(world.now(), 9).await.unwrap()[0];
    let mark = Some(Mark::Digest { seen, due_at, told });
    assert!(store.notice_put(&NoticeWrite { mark, ..NoticeWrite::default() }).await.unwrap());
    store.channel_remove(gone.id).await.unwrap();
    let row = store.outbox_get(one.id).await.unwrap();
    assert!(row.given_up_at.is_some() && row.last_error.is_some(), "{row:?}");
    assert!(store.outbox_lease(&[stays.id], 9, HOUR).await.unwrap().is_empty(), "it was to be left out");
    let left = store.outbox_lease(&[], 9, HOUR).await.unwrap();
    assert_eq!(left.iter().map(|row| row.outgoing.id).collect::<Vec<_>>(), [two.id]);
}

/// An event puts its tenant behind until it was taken in; one that comes meanwhile is not passed over.
///
/// Red when taking in clears the mark of a newer event.
pub async fn a_new_event_is_one_that_was_not_taken_in(stores: Stores) {
    let world = World::new(stores, 3).await;
    let store = &world.stores.notices;
    assert!(store.event_list_behind(9).await.unwrap().is_empty());
    let tenant_id = world.tenant.id;
    world.queued(0).await;
    world.queued(1).await;
    let behind = store.event_list_behind(9).await.unwrap();
    assert_eq!(behind.iter().map(|row| (row.tenant_id, row.sequence)).collect::<Vec<_>>(), [(tenant_id, 0)]);
    let take = |from, to| {
        let mark = Some(Mark::Events { tenant_id, from, to });
        async move { store.notice_put(&NoticeWrite { mark, ..NoticeWrite::default() }).await.unwrap() }
    };
    assert!(take(0, 1).await);
    assert!(!take(0, 1).await, "they were taken in");
    assert_eq!(store.event_list_behind(9).await.unwrap()[0].sequence, 1);
    world.queued(2).await;
    assert!(take(1, 2).await);
    assert_eq!(store.event_list_behind(9).await.unwrap()[0].sequence, 2, "the third came meanwhile");
    assert!(take(2, 3).await);
    assert!(store.event_list_behind(9).await.unwrap().is_empty());
}

/// A plan's items are due when it is made and when it changes.
pub async fn items_of_a_plan_are_watched_from_its_beginning(stores: Stores) {
    let world = World::new(stores, 3).await;
    let store = &world.stores.notices;
    let due = store.watch_list_due(world.now(), 10).await.unwrap();
    let mut items: Vec<_> = due.iter().map(|row| (row.plan_id, row.item_id)).collect();
    items.sort();
    let mut expected: Vec<_> = world.items.iter().map(|item| (world.plan.id, item.id)).collect();
    expected.sort();
    assert_eq!(items, expected);
    let later = world.now().saturating_add(HOUR).unwrap();
    for seen in due {
        let mark = Some(Mark::Watch { seen, due_at: later });
        assert!(store.notice_put(&NoticeWrite { mark, ..NoticeWrite::default() }).await.unwrap());
    }
    assert!(store.watch_list_due(world.now(), 10).await.unwrap().is_empty());
    assert_eq!(store.watch_list_due(later, 2).await.unwrap().len(), 2);
    let changed = Plan { rpo: HOUR, ..world.plan.clone() };
    assert!(world.stores.declarations.plan_replace(&world.plan, &changed).await.unwrap());
    assert_eq!(store.watch_list_due(world.now(), 10).await.unwrap().len(), 3, "a changed plan is looked at");
}

/// A window is over once: of two that saw it one writes, and what was told is read back.
pub async fn a_window_is_over_once(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.notices;
    let mut to = channel(&world, "mail", None);
    to.digest = Some(Window::parse("daily 07:00").unwrap());
    let (from_at, due_at) = (world.now(), world.now().saturating_add(HOUR).unwrap());
    store.channel_add(&to, Some(due_at)).await.unwrap();
    assert!(store.digest_list_due(world.now(), 9).await.unwrap().is_empty());
    let seen = DigestDue { channel_id: to.id, from_at, due_at };
    assert_eq!(store.digest_list_due(due_at, 9).await.unwrap(), [seen]);
    assert_eq!(store.digest_told(to.id, world.tenant.id).await.unwrap(), None);
    let mut facts = Facts { usage: Usage { bytes: 7, snapshots: 2 }, ..Facts::default() };
    facts.overdue.insert("/home".to_owned(), HOUR);
    facts.failing.insert("/srv".to_owned(), "no rights".to_owned());
    facts.durations.insert("daily".to_owned(), HOUR * 2);
    facts.without_snapshot.insert("/new".to_owned());
    facts.paused.insert("weekly".to_owned());
    let next = due_at.saturating_add(HOUR * 24).unwrap();
    for (facts, sequence) in [(Facts::default(), 3), (facts.clone(), 9)] {
        let seen = store.digest_list_due(Timestamp::MAX, 9).await.unwrap()[0];
        let told = vec![DigestTold { tenant_id: world.tenant.id, facts, sequence }];
        let mark = Some(Mark::Digest { seen, due_at: seen.due_at.saturating_add(HOUR * 24).unwrap(), told });
        let write = NoticeWrite { mark, messages: vec![outgoing(&world, &to)], ..NoticeWrite::default() };
        assert!(store.notice_put(&write).await.unwrap());
        assert!(!store.notice_put(&write).await.unwrap(), "it is over");
    }
    assert_eq!(store.outbox_counts().await.unwrap().waiting, 2);
    let told = store.digest_told(to.id, world.tenant.id).await.unwrap();
    assert_eq!(told, Some(DigestTold { tenant_id: world.tenant.id, facts, sequence: 9 }));
    let seen = store.digest_list_due(Timestamp::MAX, 9).await.unwrap()[0];
    assert_eq!(seen, DigestDue { channel_id: to.id, from_at: next, due_at: next.saturating_add(HOUR * 24).unwrap() });
}

/// A tenant stores what its snapshots that are there have added.
pub async fn what_a_tenant_stores_is_what_was_not_forgotten(stores: Stores) {
    let world = World::new(stores, 2).await;
    let store = &world.stores.notices;
    assert_eq!(store.usage_get(world.tenant.id).await.unwrap(), Usage::default());
    let agent = world.agent();
    for item in 0..2 {
        let key = world.leased(item, agent).await;
        let mut snapshot = world.snapshot(&world.job(key.job_id).await, &format!("{item:064}"), Outcome::Complete);
        snapshot.counts = distinct_counts();
        let rows = Settlement { snapshot: Some(snapshot), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
    }
    let bytes = 2 * distinct_counts().bytes_stored;
    assert_eq!(store.usage_get(world.tenant.id).await.unwrap(), Usage { bytes, snapshots: 2 });
}
