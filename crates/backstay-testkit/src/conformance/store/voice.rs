//! How it is told: the core's watcher, follower, digests and deliveries over a store, with a courier that writes down.

use std::time::Duration;

use backstay_core::domain::alert::{REPEAT_AFTER, Severity, Topic};
use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::channel::{Channel, Window};
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{PlanId, RepositoryId};
use backstay_core::domain::job::{FailureClass, Job, JobKind, JobState, Outcome};
use backstay_core::domain::message::{Message, Purpose};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::quota::Quota;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::managers::alert::{alert_acknowledge, alert_silence};
use backstay_core::managers::anomaly::plan_clear;
use backstay_core::managers::context::Context;
use backstay_core::managers::deliver::{CLAIM_TTL, Delivered, message_deliver, message_lease};
use backstay_core::managers::digest::{digest_preview, digest_tick};
use backstay_core::managers::follow::follow_tick;
use backstay_core::managers::plan::{PlanChange, plan_change};
use backstay_core::managers::quota::quota_set;
use backstay_core::managers::schedule::{PauseWish, plan_pause, tick};
use backstay_core::managers::watch::{LOOK_AGAIN_AFTER, watch_tick};
use backstay_core::ports::courier::DeliveryError;
use backstay_core::ports::notice::{AlertFilter, AlertRow};
use backstay_core::ports::store::{Page, Settlement};

use super::notice::channel;
use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, key_of, repository, settlement};
use crate::fakes::courier::FakeCourier;

const HOUR: Duration = Duration::from_secs(3_600);

/// An installation with a channel and a courier.
pub(super) struct Voice {
    pub(super) world: World,
    pub(super) context: Context,
    pub(super) courier: FakeCourier,
    channel: Channel,
}

impl Voice {
    pub(super) async fn new(stores: Stores, items: usize) -> Self {
        let world = World::new(stores, items).await;
        let (context, channel) = (context(&world.stores), channel(&world, "mail", None));
        context.notices.channel_add(&channel, None).await.unwrap();
        Self { world, context, courier: FakeCourier::default(), channel }
    }

    /// Sends the message that is due longest, and returns what became of it; none when none is due.
    pub(super) async fn deliver_next(&self) -> Option<Delivered> {
        let row = message_lease(&self.context, &[]).await.unwrap()?;
        Some(message_deliver(&self.context, &self.courier, &row).await.unwrap())
    }

    /// Sends what is due and returns what arrived since.
    pub(super) async fn heard(&self) -> Vec<Message> {
        let before = self.courier.taken().len();
        while self.deliver_next().await.is_some() {}
        self.courier.taken().split_off(before)
    }

    async fn subjects(&self) -> Vec<String> {
        self.heard().await.into_iter().map(|message| message.subject).collect()
    }

    async fn watch(&self) -> u64 {
        let done = watch_tick(&self.context).await.unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        done.looked
    }

    pub(super) async fn follow(&self) {
        let done = follow_tick(&self.context).await.unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
    }

    pub(super) async fn alerts(&self) -> Vec<AlertRow> {
        self.context.notices.alert_list(AlertFilter::default(), Page::first()).await.unwrap()
    }

    /// Has a backup of an item end well, after a time.
    pub(super) async fn save(&self, item: usize, outcome: Outcome, takes: Duration) {
        self.save_as(item, (outcome, outcome != Outcome::Partial), takes).await;
    }

    /// Has a backup of an item succeed; its snapshot is as good as is said.
    pub(super) async fn save_as(&self, item: usize, (outcome, is_good): (Outcome, bool), takes: Duration) {
        let world = &self.world;
        world.queued(item).await;
        let claimed = world.jobs.job_lease(world.agent(), JobKind::ALL, &[], 1, takes + TTL).await.unwrap();
        let key = key_of(&claimed[0]);
        world.clock.advance(takes);
        let job = world.job(key.job_id).await;
        let foreign_id = format!("{:064}", world.now().as_microsecond());
        let event = world.event(EventKind::Succeeded, &job);
        let state = JobState::Succeeded { outcome, finished_at: world.now() };
        let rows = Settlement {
            snapshot: Some(Snapshot { is_good, ..world.snapshot(&job, &foreign_id, outcome) }),
            event: Some(event),
            ..settlement(state)
        };
        world.jobs.job_settle(key, &rows).await.unwrap();
    }

    /// Has a backup succeed that tells such things first.
    async fn succeed(&self, kinds: &[EventKind]) {
        let world = &self.world;
        let key = world.leased(0, world.agent()).await;
        let job = world.job(key.job_id).await;
        let (plan_id, message) = (world.plan.id, "much changed".to_owned());
        let found = Suspicion { plan_id, job_id: job.id, at: world.now(), message };
        let rows = Settlement {
            warnings: kinds.iter().map(|kind| world.event(*kind, &job)).collect(),
            suspicion: kinds.contains(&EventKind::Suspected).then_some(found),
            event: Some(world.event(EventKind::Succeeded, &job)),
            ..world.success()
        };
        world.jobs.job_settle(key, &rows).await.unwrap();
    }

    /// Has a backup of an item fail.
    pub(super) async fn fail(&self, item: usize) -> Job {
        let world = &self.world;
        let key = world.leased(item, world.agent()).await;
        let job = world.job(key.job_id).await;
        let message = "the folder is gone".to_owned();
        let state = JobState::Failed { class: FailureClass::Source, message, finished_at: world.now() };
        let event = Some(world.event(EventKind::Failed, &job));
        world.jobs.job_settle(key, &Settlement { event, ..settlement(state) }).await.unwrap();
        job
    }
}

/// What a job warned of is an alert until one like it succeeds without a warning. What is suspected ends by a person alone.
///
/// Red without `warned` in the follower, when a success ends what is suspected, or when `Cleared` ends nothing.
pub async fn a_warning_ends_with_a_success_without_one(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let is_over = async |kind| {
        voice.follow().await;
        let alerts = voice.alerts().await;
        alerts.iter().find(|row| row.topic == Topic::Event(kind)).map(|row| row.ended_at.is_some())
    };
    for (kinds, expected) in [(&[EventKind::Warned][..], false), (&[EventKind::Warned], false), (&[], true)] {
        voice.succeed(kinds).await;
        assert_eq!(is_over(EventKind::Warned).await, Some(expected), "{kinds:?}");
    }
    voice.succeed(&[EventKind::Suspected]).await;
    voice.succeed(&[]).await;
    assert_eq!(is_over(EventKind::Suspected).await, Some(false));
    assert!(plan_clear(&voice.context, voice.world.plan.id).await.unwrap());
    assert_eq!(is_over(EventKind::Suspected).await, Some(true));
}

/// A start that was skipped as a whole has no item; its alert ends when a backup of the plan succeeds.
///
/// Red without `plan_that_ran` in the follower.
pub async fn a_skipped_start_of_a_plan_ends_with_its_next_backup(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let (plan, now) = (&voice.world.plan, voice.world.now());
    let words = format!("plan {} was not started at {now}: it would be late", plan.name);
    let event = voice.context.event(EventKind::Skipped, (plan.tenant_id, None, None), now, words);
    let state = voice.context.schedules.schedule_get(plan.id).await.unwrap();
    assert!(voice.context.schedules.schedule_put(&state, &[event]).await.unwrap());
    let is_over = async || {
        voice.follow().await;
        let alerts = voice.alerts().await;
        alerts.iter().map(|row| (row.topic, row.ended_at.is_some())).collect::<Vec<_>>()
    };
    let skipped = Topic::Event(EventKind::Skipped);
    assert_eq!(is_over().await, [(skipped, false)]);
    voice.save(0, Outcome::Complete, Duration::from_secs(60)).await;
    assert_eq!(is_over().await, [(skipped, true)]);
}

/// An item that never was saved is told of once its plan's RPO is over, once; then that it is well.
///
/// Red without `end` in the watcher, or when a repeated look counts as a notice.
pub async fn an_item_without_a_snapshot_is_told_and_its_recovery_too(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    assert_eq!(voice.watch().await, 2, "a new plan is looked at");
    assert!(voice.subjects().await.is_empty(), "it owes nothing yet");
    voice.world.clock.advance(HOUR);
    voice.save(1, Outcome::Complete, Duration::from_secs(60)).await;
    voice.world.clock.advance(HOUR * 23);
    voice.watch().await;
    let heard = voice.heard().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].subject, "Overdue: /home/ada/000 has no good snapshot at all");
    assert_eq!(heard[0].purpose, Purpose::Alert);
    assert!(heard[0].facts.contains(&("tenant".to_owned(), "ada".to_owned())), "{heard:?}");
    assert!(heard[0].next_steps.iter().any(|step| step.contains("backstay plan run daily")), "{heard:?}");
    for _ in 0..3 {
        voice.world.clock.advance(LOOK_AGAIN_AFTER);
        voice.watch().await;
    }
    assert!(voice.subjects().await.is_empty(), "it was told");
    assert_eq!(voice.alerts().await[0].alert.held, 0, "a look is no notice: nothing was held back");
    voice.save(0, Outcome::Complete, Duration::from_secs(60)).await;
    voice.watch().await;
    let heard = voice.heard().await;
    assert_eq!((heard.len(), heard[0].purpose), (1, Purpose::End), "{heard:?}");
    assert_eq!(heard[0].subject, "Well again: /home/ada/000 (was overdue)");
    assert!(voice.alerts().await[0].ended_at.is_some());
    // Partial is no snapshot that counts: it begins anew, in the same row.
    voice.world.clock.advance(HOUR * 24 + HOUR);
    voice.save(0, Outcome::Partial, Duration::from_secs(60)).await;
    voice.watch().await;
    let mut subjects = voice.subjects().await;
    subjects.sort();
    assert_eq!(subjects.len(), 2, "both are too old now: {subjects:?}");
    assert!(subjects[0].starts_with("Overdue: /home/ada/000 was last saved well 1d "), "{subjects:?}");
    assert_eq!(voice.alerts().await.len(), 2);
}

/// Items that are well are looked at when they could stop being so, and not before.
///
/// Red when the watch's moment does not move to the breach.
pub async fn a_look_costs_what_is_due(stores: Stores) {
    let voice = Voice::new(stores, 40).await;
    assert_eq!(voice.watch().await, 40);
    for _ in 0..100 {
        voice.world.clock.advance(Duration::from_secs(600));
        assert_eq!(voice.watch().await, 0, "nothing is due");
    }
    voice.save(7, Outcome::Complete, Duration::from_secs(60)).await;
    assert_eq!(voice.watch().await, 0, "a snapshot makes nothing due");
}

/// A paused plan raises no alarm; the digest names it. Once it goes on, what it owes is told.
///
/// Red without the look at `paused_at`.
pub async fn a_paused_plan_raises_no_alarm_and_is_named(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    plan_pause(&voice.context, voice.world.plan.id, PauseWish::Pause).await.unwrap();
    voice.world.clock.advance(HOUR * 30);
    voice.watch().await;
    assert!(voice.subjects().await.is_empty());
    let text = digest_preview(&voice.context, &voice.world.tenant, voice.world.plan.created_at).await.unwrap().text();
    assert!(text.contains("Held back:\n  daily: paused by a person, raises no alarm"), "{text}");
    assert!(text.contains("No good snapshot at all:\n  /home/ada/000 (daily)"), "{text}");
    plan_pause(&voice.context, voice.world.plan.id, PauseWish::Resume).await.unwrap();
    voice.world.clock.advance(HOUR);
    voice.watch().await;
    assert_eq!(voice.subjects().await.len(), 1);
}

/// Where a history says how long a backup takes, it is told before that it will be too late; a breach is no recovery.
pub async fn what_will_be_too_late_is_told_before(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    // The plan starts on request only: no start is to be expected.
    tick(&voice.context).await.unwrap();
    voice.save(0, Outcome::Complete, HOUR * 4).await;
    voice.watch().await;
    assert!(voice.subjects().await.is_empty());
    voice.world.clock.advance(HOUR * 15);
    assert_eq!(voice.watch().await, 0);
    voice.world.clock.advance(HOUR * 2);
    voice.watch().await;
    let heard = voice.subjects().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("Threatened: /home/ada/000 will breach at "), "{heard:?}");
    voice.world.clock.advance(HOUR * 8);
    voice.watch().await;
    let heard = voice.subjects().await;
    assert_eq!(heard.len(), 1, "the breach, and no recovery: {heard:?}");
    assert!(heard[0].starts_with("Overdue: "), "{heard:?}");
}

/// A backup that an agent has, or will have in time, is no threat; one that begins too late is, and so is one that waits
/// behind others for too long.
///
/// Red when `watch::fate` looks at leased jobs alone, or takes any of them for a backup in time.
pub async fn what_is_in_work_or_in_the_queue_counts(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    let world = &voice.world;
    tick(&voice.context).await.unwrap();
    // Both items take four hours; an hour before the first is too late for either, its backup waits for an agent.
    voice.save(0, Outcome::Complete, HOUR * 4).await;
    voice.save(1, Outcome::Complete, HOUR * 4).await;
    voice.watch().await;
    assert!(voice.subjects().await.is_empty());
    world.clock.advance(HOUR * 14);
    let agent = world.agent();
    let queued = world.queued(0).await;
    world.jobs.job_lease(agent, &[JobKind::Backup], &[], 0, HOUR * 24).await.unwrap();
    voice.watch().await;
    assert!(voice.subjects().await.is_empty(), "it is in the queue, and an agent is there for it");
    let other = Job { breach_at: world.now() - HOUR, ..world.backup(1) };
    world.enqueue(&other).await;
    world.clock.advance(HOUR);
    voice.watch().await;
    let heard = voice.subjects().await;
    assert_eq!(heard.len(), 1, "it waits behind the other one, which takes four hours: {heard:?}");
    assert!(heard[0].starts_with("Threatened: /home/ada/000 will breach at "), "{heard:?}");
    world.jobs.job_cancel(other.id, world.now(), &world.event(EventKind::Cancelled, &other)).await.unwrap();
    let claimed = world.jobs.job_lease(agent, &[JobKind::Backup], &[], 1, HOUR * 24).await.unwrap();
    assert_eq!(claimed[0].job.id, queued);
    world.clock.advance(LOOK_AGAIN_AFTER);
    voice.watch().await;
    let heard = voice.subjects().await;
    assert_eq!(heard.len(), 1, "it runs, and ends in time: {heard:?}");
    assert!(heard[0].starts_with("Well again: /home/ada/000"), "{heard:?}");
}

/// How long a backup takes is taken from the plan's own ones, however many another plan of the item has made since.
///
/// Red when `forecast::expected` looks at the newest ones of any plan.
pub async fn another_plan_of_the_item_says_nothing_of_how_long_it_takes(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let world = &voice.world;
    tick(&voice.context).await.unwrap();
    voice.save(0, Outcome::Complete, HOUR * 4).await;
    voice.watch().await;
    let other = Plan {
        id: PlanId::new(world.now(), world.ten()),
        name: "often".parse().unwrap(),
        rpo: HOUR * 1_000,
        created_at: world.now(),
        ..world.plan.clone()
    };
    let elsewhere = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "elsewhere");
    let other = Plan { repository_id: elsewhere.id, ..other };
    world.stores.declarations.repository_add(&elsewhere).await.unwrap();
    world.stores.declarations.plan_add(&other).await.unwrap();
    let agent = world.agent();
    for _ in 0..6 {
        let job = Job { plan_id: Some(other.id), repository_id: elsewhere.id, ..world.backup(0) };
        world.enqueue(&job).await;
        let claimed = world.jobs.job_lease(agent, JobKind::ALL, &[], 1, HOUR).await.unwrap();
        world.clock.advance(Duration::from_secs(60));
        world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    }
    world.clock.advance(HOUR * 18);
    voice.watch().await;
    let heard = voice.subjects().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("Threatened: /home/ada/000 will breach at "), "{heard:?}");
}

/// What happened is told once, also by two replicas at once and after a restart; a success ends it.
///
/// Red when the cursor is not compared, is moved by another write than the messages', or `is_partial` does not ask for the
/// snapshot.
pub async fn events_are_told_once_whoever_follows(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    let job = voice.fail(0).await;
    let (one, two) = (voice.context.clone(), voice.context.clone());
    let (one, two) = tokio::join!(follow_tick(&one), follow_tick(&two));
    assert!(one.unwrap().failed.is_empty() && two.unwrap().failed.is_empty());
    voice.follow().await;
    let heard = voice.heard().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].subject, "Failed: /home/ada/000");
    assert!(heard[0].next_steps[0].contains(&job.id.to_string()), "{heard:?}");
    voice.save(1, Outcome::Partial, HOUR).await;
    voice.follow().await;
    assert_eq!(voice.subjects().await, ["Not all was read: /home/ada/001"]);
    // All that it misses is what its plan accepts.
    voice.save_as(1, (Outcome::Partial, true), HOUR).await;
    voice.follow().await;
    assert_eq!(voice.subjects().await, ["Well again: /home/ada/001 (was partial)"]);
    voice.save(1, Outcome::Partial, HOUR).await;
    voice.follow().await;
    assert_eq!(voice.subjects().await, ["Not all was read: /home/ada/001"]);
    voice.save(1, Outcome::Complete, HOUR).await;
    voice.save(0, Outcome::Complete, HOUR).await;
    voice.follow().await;
    let mut subjects = voice.subjects().await;
    subjects.sort();
    let expected = ["Well again: /home/ada/000 (was failed)", "Well again: /home/ada/001 (was partial)"];
    assert_eq!(subjects, expected);
    voice.fail(0).await;
    voice.follow().await;
    assert_eq!(voice.subjects().await, ["Failed: /home/ada/000"], "it begins anew");
}

/// A failure an hour is one message a day, which says how many it stands for.
///
/// Red without `held` in the row.
pub async fn what_is_told_often_is_held_back_and_counted(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let mut heard = Vec::new();
    for _ in 0..25 {
        voice.fail(0).await;
        voice.follow().await;
        heard.extend(voice.heard().await);
        voice.world.clock.advance(REPEAT_AFTER / 24);
    }
    assert_eq!(heard.len(), 2, "{heard:?}");
    let held = heard[1].facts.iter().find(|(name, _)| name == "held back").unwrap();
    assert_eq!(held.1, "23 more like it since this was told last");
    let row = &voice.alerts().await[0];
    assert_eq!((row.told_count, row.alert.held), (2, 0));
}

/// What somebody knows of is not told again; what is silenced is counted and told when the silence is over.
///
/// Red without the row's silence or acknowledgement.
pub async fn what_a_person_says_of_an_alert_counts(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    voice.fail(0).await;
    voice.fail(1).await;
    voice.follow().await;
    assert_eq!(voice.heard().await.len(), 2);
    let of = async |title: &str| voice.alerts().await.into_iter().find(|row| row.title == title).unwrap();
    let known = alert_acknowledge(&voice.context, of("/home/ada/000").await.id, "ann").await.unwrap();
    assert_eq!((known.alert.acknowledged_by.as_deref(), known.acknowledged_at), (Some("ann"), Some(voice.world.now())));
    let until = voice.world.now().saturating_add(HOUR * 48).unwrap();
    alert_silence(&voice.context, of("/home/ada/001").await.id, until, "new disk").await.unwrap();
    voice.world.clock.advance(HOUR * 30);
    voice.fail(0).await;
    voice.fail(1).await;
    voice.follow().await;
    assert!(voice.subjects().await.is_empty());
    assert_eq!(of("/home/ada/001").await.alert.held, 1);
    voice.world.clock.advance(HOUR * 30);
    voice.fail(1).await;
    voice.follow().await;
    assert_eq!(voice.subjects().await, ["Failed: /home/ada/001"], "the silence is over");
    voice.save(0, Outcome::Complete, HOUR).await;
    voice.follow().await;
    voice.fail(0).await;
    voice.follow().await;
    assert_eq!(voice.heard().await.len(), 2, "it ended and began anew");
    assert_eq!(of("/home/ada/000").await.alert.acknowledged_by, None);
}

/// A window has one digest a tenant, whoever makes it; the next one goes on where it ended and says what changed.
///
/// Red when the window's moment is not compared, or events are chosen by time.
pub async fn a_digest_is_made_once_a_window(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    let window = Window::parse("daily 07:00").unwrap();
    let daily = Channel { digest: Some(window.clone()), rules: Vec::new(), ..channel(&voice.world, "daily", None) };
    voice.context.notices.channel_add(&daily, Some(window.next(voice.world.now()))).await.unwrap();
    assert_eq!(digest_tick(&voice.context).await.unwrap().made, 0);
    voice.fail(0).await;
    voice.save(1, Outcome::Complete, HOUR).await;
    voice.world.clock.advance(HOUR * 23);
    let (one, two) = (voice.context.clone(), voice.context.clone());
    let (one, two) = tokio::join!(digest_tick(&one), digest_tick(&two));
    assert_eq!(one.unwrap().made + two.unwrap().made, 1);
    assert_eq!(digest_tick(&voice.context).await.unwrap().made, 0);
    let heard = voice.heard().await;
    assert_eq!((heard.len(), heard[0].purpose), (1, Purpose::Digest));
    let text = heard[0].text();
    assert!(heard[0].subject.starts_with("ada: 1 without a snapshot, 1 failed"), "{}", heard[0].subject);
    assert_eq!(heard[0].sections[0].lines, ["/home/ada/000 (daily)"], "bad news comes first: {text}");
    assert!(text.contains("succeeded 1") && text.contains("failed 1"), "{text}");
    assert!(text.contains("/home/ada/000: backup of a test: failed"), "{text}");
    voice.save(0, Outcome::Complete, HOUR).await;
    voice.world.clock.advance(HOUR * 72);
    assert_eq!(digest_tick(&voice.context).await.unwrap().made, 1, "after downtime one, which is longer");
    let text = voice.heard().await[0].text();
    assert!(text.contains("/home/ada/000 (daily) has a good snapshot now"), "{text}");
    assert!(text.contains("Results:\n  enqueued 1\n  succeeded 1\n"), "{text}");
}

/// A refused message is tried again later and in the end given up; that is an alert, until the channel takes something.
///
/// Red when a message is not given up, or nobody is told.
pub async fn a_message_is_tried_until_it_is_given_up(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let other = Channel { rules: Vec::new(), ..channel(&voice.world, "other", None) };
    voice.context.notices.channel_add(&other, None).await.unwrap();
    voice.fail(0).await;
    voice.follow().await;
    let refused = DeliveryError::Refused { place: "mail.example:587".to_owned(), said: "no such user".to_owned() };
    voice.courier.refuse(Some(refused));
    let mut tries = 0;
    loop {
        let Some(told) = voice.deliver_next().await else {
            voice.world.clock.advance(CLAIM_TTL);
            continue;
        };
        tries += 1;
        match told {
            Delivered::Later { after, .. } => assert!(after >= Duration::from_secs(300), "{after:?}"),
            Delivered::GivenUp { channel, .. } => break assert_eq!(channel, "mail"),
            Delivered::Sent => panic!("it was refused"),
        }
        assert!(tries < 100, "it is never given up");
    }
    assert_eq!(tries, 15);
    assert_eq!(voice.context.notices.outbox_counts().await.unwrap().given_up, 1);
    let undelivered =
        || async { voice.alerts().await.into_iter().find(|row| row.topic.word() == "undelivered").unwrap() };
    let row = undelivered().await;
    assert!(row.message.contains("no such user") && row.message.contains("15 tries"), "{}", row.message);
    assert_eq!(row.subject, voice.channel.id.to_string());
    assert!(voice.subjects().await.is_empty(), "a channel that does not deliver is not told so");
    voice.courier.refuse(None);
    voice.world.clock.advance(HOUR * 30);
    voice.fail(0).await;
    voice.follow().await;
    assert_eq!(voice.subjects().await, ["Failed: /home/ada/000"]);
    assert!(undelivered().await.ended_at.is_some(), "it delivers again");
}

/// A tenant that comes near to its quota is told so, once for each step; then that it is well below it, or has none.
///
/// Red without `quota_notice` in `follow` or in `quota_set`, and when it does not ask what was told before.
pub async fn a_quota_that_fills_up_is_told_once_a_step(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    let tenant = voice.world.tenant.id;
    let limit = |snapshots: u64| Quota { bytes: None, snapshots: Some(snapshots) };
    quota_set(&voice.context, tenant, None, limit(4)).await.unwrap();
    assert!(voice.subjects().await.is_empty());
    let next = async || {
        voice.world.clock.advance(HOUR);
        voice.save(0, Outcome::Complete, Duration::from_secs(60)).await;
        voice.follow().await;
        voice.subjects().await
    };
    assert!(next().await.is_empty(), "a quarter");
    assert_eq!(next().await, ["Quota: ada is at 50 %"]);
    assert!(next().await.is_empty(), "still yellow");
    assert_eq!(next().await, ["Quota: ada is at 100 %"]);
    let row = voice.alerts().await.into_iter().find(|row| row.topic == Topic::Quota).unwrap();
    assert_eq!(
        (row.alert.severity, row.message.as_str()),
        (Severity::Critical, "tenant ada is at 100 % of its quota: 4 of 4 snapshots")
    );
    quota_set(&voice.context, tenant, None, limit(100)).await.unwrap();
    assert_eq!(voice.subjects().await, ["Well again: quota of ada (was quota)"]);
    quota_set(&voice.context, tenant, None, limit(5)).await.unwrap();
    assert_eq!(voice.subjects().await, ["Quota: ada is at 80 %"]);
    quota_set(&voice.context, tenant, None, Quota::default()).await.unwrap();
    let heard = voice.heard().await;
    assert_eq!(heard[0].lead, "Tenant ada has no quota any more.");
    assert_eq!(heard.len(), 1);
    assert!(voice.alerts().await.iter().all(|row| row.ended_at.is_some()));
}

/// A quota that is nearly used up is told again when it had room in between, when it is used up, and a day later while
/// it is.
///
/// Red when what is told is compared with the worst that was ever seen, or a quota that stays as it is is told once for
/// ever.
pub async fn a_quota_that_fills_up_again_is_told_again(stores: Stores) {
    let voice = Voice::new(stores, 2).await;
    let tenant = voice.world.tenant.id;
    for _ in 0..5 {
        voice.world.clock.advance(HOUR);
        voice.save(0, Outcome::Complete, Duration::from_secs(60)).await;
    }
    voice.follow().await;
    assert!(voice.subjects().await.is_empty());
    let limited = async |snapshots: u64| {
        let quota = Quota { bytes: None, snapshots: Some(snapshots) };
        quota_set(&voice.context, tenant, None, quota).await.unwrap();
        voice.subjects().await
    };
    assert_eq!(limited(6).await, ["Quota: ada is at 83 %"]);
    assert!(limited(8).await.is_empty(), "it has room");
    let row = voice.alerts().await.into_iter().find(|row| row.topic == Topic::Quota).unwrap();
    assert_eq!((row.alert.severity, row.message.contains("62 %")), (Severity::Warning, true), "{}", row.message);
    assert_eq!(limited(6).await, ["Quota: ada is at 83 %"]);
    assert!(limited(6).await.is_empty(), "it was told");
    assert_eq!(limited(5).await, ["Quota: ada is at 100 %"]);
    assert!(limited(4).await.is_empty(), "it was told");
    voice.world.clock.advance(HOUR * 25);
    assert_eq!(limited(4).await, ["Quota: ada is at 125 %"], "a day later it is still so");
}

/// A plan that was given another repository has its RPO to fill it; then what is told names the repository.
///
/// Red when the RPO counts from when the plan was made, or the item is said never to have been saved.
pub async fn a_plan_with_another_repository_has_its_time(stores: Stores) {
    let voice = Voice::new(stores, 1).await;
    let (world, ports) = (&voice.world, &voice.context);
    let far = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "far");
    world.stores.declarations.repository_add(&far).await.unwrap();
    world.clock.advance(HOUR * 48);
    voice.save(0, Outcome::Complete, Duration::from_secs(60)).await;
    voice.watch().await;
    world.clock.advance(HOUR);
    let change = PlanChange { repository_id: Some(far.id), ..PlanChange::default() };
    let moved = plan_change(ports, &world.plan, change).await.unwrap().unwrap();
    assert_eq!(moved.moved_at, Some(world.now()));
    assert_eq!(ports.declarations.plan_get(moved.id).await.unwrap(), moved);
    voice.subjects().await;
    voice.watch().await;
    world.clock.advance(world.plan.rpo - HOUR);
    voice.watch().await;
    assert!(voice.subjects().await.is_empty(), "it has its time");
    world.clock.advance(HOUR);
    voice.watch().await;
    let heard = voice.heard().await;
    assert_eq!(heard[0].subject, "Overdue: /home/ada/000 has no good snapshot in repository far");
    assert!(heard[0].lead.contains("since its plan was given that one at"), "{}", heard[0].lead);
    // Another change leaves the moment as it is.
    let seen = ports.declarations.plan_get(moved.id).await.unwrap();
    let change = PlanChange { name: Some("nightly".parse().unwrap()), ..PlanChange::default() };
    assert_eq!(plan_change(ports, &seen, change).await.unwrap().unwrap().moved_at, moved.moved_at);
}
