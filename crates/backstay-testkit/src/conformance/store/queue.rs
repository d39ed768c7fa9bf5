//! Promises about the way into the queue and out of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use backstay_core::domain::asking::Asking;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{ItemId, JobId, PlanId, RepositoryId, SnapshotId, TenantId};
use backstay_core::domain::job::{
    FailureClass, Instruction, Job, JobKind, JobState, Outcome, Reconciliation, StateName, Target, Trigger,
};
use backstay_core::domain::proof::Slice;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::retry::Streak;
use backstay_core::domain::sample::SampleRule;
use backstay_core::managers::request::restore_request;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{Enqueued, JobFilter, PAGE_ROWS_MAX, Page, Settlement, StoreError};

use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, distinct_counts, key_of, settlement};

/// Every field of a job comes back, whatever it is told and why it exists.
///
/// Red when a column or a twin's field is left out on either way.
pub async fn a_job_is_read_back_as_it_was_enqueued(stores: Stores) {
    let world = World::new(stores, 1).await;
    let snapshot_id = SnapshotId::new(world.now(), world.ten());
    let not_utf8 = OsString::from_vec(vec![b'/', 0xff, 0xfe]).into();
    let restore = |target| Instruction::Restore {
        snapshot_id,
        target,
        terms: RestoreTerms {
            path: "/home/ä".to_owned(),
            include: vec!["*.txt".to_owned(), "/home/ä/\\[x]".to_owned()],
            exclude: vec!["*.tmp".to_owned()],
            reconciliation: Reconciliation::OverwriteIfChanged,
            special: true,
            read_back: true,
        },
    };
    let instructions = [
        Instruction::Backup,
        restore(Target::Directory("/srv/back ü".into())),
        restore(Target::Directory(not_utf8)),
        restore(Target::Source { name: None }),
        restore(Target::Source { name: Some("wiki ü".to_owned()) }),
        Instruction::Verify { snapshot_id, sample: SampleRule::everything(), slice: None },
        Instruction::Verify {
            snapshot_id,
            sample: SampleRule::first_sample(u64::MAX),
            slice: Some(Slice { number: 30, of: 30 }),
        },
    ];
    let triggers =
        [Trigger::Request, Trigger::Occurrence(world.now()), Trigger::FollowUp(JobId::new(world.now(), [0; 10]))];
    for (number, instruction) in instructions.into_iter().enumerate() {
        let job = Job {
            instruction,
            trigger: triggers[number % triggers.len()].clone(),
            plan_id: (number != 1).then_some(world.plan.id),
            priority: -5 + i32::try_from(number).unwrap(),
            counts: distinct_counts(),
            streak: (number != 2).then_some(Streak { class: FailureClass::StorageFull, count: 2, attempts: 3 }),
            ..world.backup(0)
        };
        // Each at its own moment, so that their occurrences differ.
        world.clock.advance(Duration::from_micros(1));
        let job = match job.trigger {
            Trigger::Occurrence(_) => Job { trigger: Trigger::Occurrence(world.now()), ..job },
            _ => job,
        };
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        assert_eq!(world.job(job.id).await, job);
    }
}

/// A job whose tenant, plan, item or repository is not there is refused, and nothing is written.
///
/// Red without the look-ups of `places_put` and `job_permit`: no reference of the database's own may say it (decision 0044).
pub async fn a_job_of_nothing_that_is_there_is_refused(stores: Stores) {
    let world = World::new(stores, 1).await;
    let (now, ten) = (world.now(), || world.ten());
    let wrong = [
        Job { tenant_id: TenantId::new(now, ten()), ..world.backup(0) },
        Job { plan_id: Some(PlanId::new(now, ten())), ..world.backup(0) },
        Job { item_id: Some(ItemId::new(now, ten())), ..world.backup(0) },
        Job { repository_id: RepositoryId::new(now, ten()), ..world.backup(0) },
    ];
    for job in wrong {
        let refused = world.jobs.job_enqueue(&job, &world.event(EventKind::Enqueued, &job), None).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
        assert!(matches!(world.jobs.job_get(job.id).await, Err(StoreError::NotFound { .. })));
    }
    assert_eq!(world.told().await, []);
}

/// While a backup of an item is live, another one is not enqueued: the answer names the live one and `skipped` is told.
///
/// Red without `live_key` in `StateCells::of` (the checks refuse the row), or without its unique index.
pub async fn a_second_backup_of_an_item_overlaps(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let first = world.queued(0).await;
    let overlaps = async || {
        let second = world.backup(0);
        assert_eq!(world.enqueue(&second).await, Enqueued::Overlaps(first));
        assert!(matches!(world.jobs.job_get(second.id).await, Err(StoreError::NotFound { noun: "job", .. })));
    };
    overlaps().await;
    world.queued(1).await;

    let mut claimed = world.claim(agent, 1).await;
    overlaps().await;
    let waiting = JobState::Waiting { wake_at: world.now(), reason: "cinder works".to_owned() };
    world.jobs.job_settle(key_of(&claimed[0]), &settlement(waiting)).await.unwrap();
    overlaps().await;
    assert_eq!(world.jobs.job_wake().await.unwrap(), 1);
    overlaps().await;
    claimed = world.claim(agent, 2).await;
    let again = claimed.iter().find(|row| row.job.id == first).unwrap();
    let event = world.event(EventKind::Cancelled, &again.job);
    world.jobs.job_cancel(first, world.now(), &event).await.unwrap();
    overlaps().await;
    let done = settlement(JobState::Cancelled { finished_at: world.now() });
    world.jobs.job_settle(key_of(again), &done).await.unwrap();
    world.queued(0).await;

    use EventKind::{Enqueued as E, Skipped as S};
    assert_eq!(world.told().await, [E, S, E, S, S, S, S, E]);
}

/// A restore or a verify of an item is enqueued whatever else is live on it; so is a backup while only a parked one is.
///
/// Red when `StateCells::of` gives every kind a `live_key`, or gives one to parked jobs.
pub async fn a_restore_never_overlaps(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    let snapshot_id = SnapshotId::new(world.now(), world.ten());
    let sample = SampleRule::everything();
    for _ in 0..2 {
        let verify = Job { instruction: Instruction::Verify { snapshot_id, sample, slice: None }, ..world.backup(0) };
        assert_eq!(world.enqueue(&verify).await, Enqueued::New(verify.id));
    }
    let parked = JobState::Parked { class: FailureClass::Storage, message: "no route".to_owned() };
    world.jobs.job_settle(key, &settlement(parked)).await.unwrap();
    world.queued(0).await;
}

/// An occurrence of an item has one job, even after that job has ended; asking again only tells `skipped`, when given.
///
/// Red without `occurrence_key` in `entity::job::occurrence_key`, or without its unique index.
pub async fn an_occurrence_has_one_job_for_ever(stores: Stores) {
    let world = World::new(stores, 2).await;
    let at = world.now();
    let job = |item| Job { trigger: Trigger::Occurrence(at), ..world.backup(item) };
    let first = job(0);
    assert_eq!(world.enqueue(&first).await, Enqueued::New(first.id));
    assert_eq!(world.enqueue(&job(0)).await, Enqueued::Known(first.id));
    let claimed = world.claim(world.agent(), 1).await;
    world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    assert_eq!(world.enqueue(&job(0)).await, Enqueued::Known(first.id));
    let (again, told) = (job(0), world.event(EventKind::Enqueued, &first));
    assert_eq!(world.jobs.job_enqueue(&again, &told, None).await.unwrap(), Enqueued::Known(first.id));

    let other_item = job(1);
    assert_eq!(world.enqueue(&other_item).await, Enqueued::New(other_item.id));
    world.clock.advance(Duration::from_micros(1));
    let next = Job { trigger: Trigger::Occurrence(world.now()), ..world.backup(0) };
    assert_eq!(world.enqueue(&next).await, Enqueued::New(next.id));
    use EventKind::{Enqueued as E, Skipped as S};
    assert_eq!(world.told().await, [E, S, S, E, E]);
}

/// A job in another state than queued is not put in the queue, one with a taken id neither, and nor is one whose rows
/// are not there.
///
/// Red without the first test of `enqueue::enqueue`, or without the foreign keys of the job.
pub async fn only_a_queued_job_is_enqueued(stores: Stores) {
    let world = World::new(stores, 2).await;
    let refused = async |job: &Job| {
        let told = world.event(EventKind::Enqueued, job);
        world.jobs.job_enqueue(job, &told, Some(&told)).await.unwrap_err()
    };
    let job = world.backup(0);
    let leased = Job { state: JobState::Leased { agent_id: world.agent() }, ..job.clone() };
    assert!(matches!(refused(&leased).await, StoreError::Move { from: StateName::Leased, to: StateName::Queued, .. }));
    let repository_id = backstay_core::domain::id::RepositoryId::new(world.now(), world.ten());
    assert!(matches!(refused(&Job { repository_id, ..job.clone() }).await, StoreError::NotFound { .. }));
    world.enqueue(&job).await;
    let same_id = Job { id: job.id, ..world.backup(1) };
    assert!(matches!(refused(&same_id).await, StoreError::Taken { noun: "job", .. }));
    assert_eq!(world.told().await, [EventKind::Enqueued]);
}

/// Who asks again because it did not hear the answer gets it again, whatever became of the job since; there is one job
/// and one event.
///
/// Red without the question for the same job in `enqueue::enqueue`.
pub async fn the_same_job_again_is_the_same_answer(stores: Stores) {
    let world = World::new(stores, 2).await;
    let occurrence = Job { trigger: Trigger::Occurrence(world.now()), ..world.backup(1) };
    for job in [world.backup(0), occurrence] {
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        let claimed = world.claim(world.agent(), 9).await;
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
        assert!(world.claim(world.agent(), 9).await.is_empty());
    }
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Enqueued]);
}

/// The queue's order: soonest breach first, then higher priority, then the older job.
///
/// Red without any one of the three `order_by` of `claim::candidates`.
pub async fn jobs_are_leased_by_breach_then_priority_then_age(stores: Stores) {
    let world = World::new(stores, 6).await;
    let start = world.now();
    let at = |seconds: u64| start.saturating_add(Duration::from_secs(seconds)).unwrap();
    let mut expected = Vec::new();
    for (item, breach, priority, place) in
        [(0, 50, 0, 3), (1, 10, -1, 2), (2, 10, 5, 0), (3, 50, 0, 4), (4, 10, 5, 1), (5, 90, 99, 5)]
    {
        world.clock.advance(Duration::from_millis(1));
        let job = Job { breach_at: at(breach), priority, ..world.backup(item) };
        world.enqueue(&job).await;
        expected.push((place, job));
    }
    expected.sort_by_key(|(place, _)| *place);
    let agent = world.agent();
    let mut leased = Vec::new();
    for batch in [1, 3, 9] {
        leased.extend(world.claim(agent, batch).await.into_iter().map(|row| row.job.id));
    }
    assert_eq!(leased, expected.iter().map(|(_, job)| job.id).collect::<Vec<_>>());
}

/// A job is not leased before its `not_before`, nor to an agent without a runner for its kind, nor beyond `count_max`.
///
/// Red without any one of the filters of `claim::candidates`, or without its limit.
pub async fn what_is_not_due_or_not_asked_for_is_not_leased(stores: Stores) {
    let world = World::new(stores, 3).await;
    let agent = world.agent();
    let minute = Duration::from_secs(60);
    let later = world.now().saturating_add(minute).unwrap();
    let job = Job { state: JobState::Queued { not_before: later }, ..world.backup(0) };
    world.enqueue(&job).await;
    assert!(world.claim(agent, 9).await.is_empty());
    world.clock.advance(minute - Duration::from_micros(1));
    assert!(world.claim(world.agent(), 9).await.is_empty());
    world.clock.advance(Duration::from_micros(1));
    let others = [JobKind::Restore, JobKind::Verify, JobKind::Prune];
    assert!(world.jobs.job_lease(agent, &others, &[], 9, TTL).await.unwrap().is_empty());
    assert!(world.jobs.job_lease(agent, &[], &[], 9, TTL).await.unwrap().is_empty());
    assert!(world.claim(agent, 0).await.is_empty());
    world.queued(1).await;
    world.queued(2).await;
    assert_eq!(world.claim(agent, 2).await.len(), 2);
    let rest = world.claim(agent, 2).await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].job.state, JobState::Leased { agent_id: agent });
    assert_eq!(world.job(rest[0].job.id).await, rest[0].job, "a claim tells the row as it is");
}

/// Lists are filtered, newest first, and go on where the page before ended; no page is longer than the limit.
///
/// Red without a filter, the order or the limit in `job_list`.
pub async fn lists_come_in_pages_newest_first(stores: Stores) {
    let world = World::new(stores, 7).await;
    let mut ids = Vec::new();
    for item in 0..7 {
        world.clock.advance(Duration::from_millis(1));
        ids.insert(0, world.queued(item).await);
    }
    let list = async |filter, before, rows_max| {
        let jobs = world.jobs.job_list(filter, Page { before, rows_max }).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    let all = JobFilter::default();
    assert_eq!(list(all, None, 3).await, ids[..3]);
    assert_eq!(list(all, Some(ids[2]), 3).await, ids[3..6]);
    assert_eq!(list(all, Some(ids[5]), 3).await, ids[6..]);
    assert_eq!(list(all, Some(ids[6]), 3).await, []);
    assert_eq!(list(all, None, u32::MAX).await, ids);
    assert!(list(all, None, u32::MAX).await.len() <= PAGE_ROWS_MAX as usize);
    assert_eq!(list(JobFilter { item_id: Some(world.items[1].id), ..all }, None, 9).await, ids[5..6]);
    assert_eq!(list(JobFilter { plan_id: Some(world.plan.id), ..all }, None, 9).await.len(), 7);
    assert_eq!(list(JobFilter { kind: Some(JobKind::Prune), ..all }, None, 9).await, []);
    let leased = world.claim(world.agent(), 1).await[0].job.id;
    assert_eq!(list(JobFilter { state: Some(StateName::Leased), ..all }, None, 9).await, [leased]);
    assert_eq!(list(JobFilter { state: Some(StateName::Queued), ..all }, None, 9).await.len(), 6);
}

/// A queued, waiting or parked job is cancelled at once, with its event; asking again changes and tells nothing.
///
/// Red when `cancel::cancel` forgets the event, the final state's columns, or the early answer.
pub async fn a_job_that_nobody_holds_is_cancelled_with_its_event(stores: Stores) {
    let world = World::new(stores, 3).await;
    let now = world.now();
    let cancelled = JobState::Cancelled { finished_at: now };
    let agent = world.agent();
    let mut ids = Vec::new();
    let wait = JobState::Waiting { wake_at: now, reason: "back-off".to_owned() };
    let park = JobState::Parked { class: FailureClass::Source, message: "no such folder".to_owned() };
    for (item, state) in [wait, park].into_iter().enumerate() {
        let key = world.leased(item, agent).await;
        world.jobs.job_checkpoint_put(key, &Checkpoint::new(vec![1]).unwrap()).await.unwrap();
        world.jobs.job_settle(key, &settlement(state)).await.unwrap();
        ids.push(key.job_id);
    }
    ids.push(world.queued(2).await);
    for id in ids {
        let event = world.event(EventKind::Cancelled, &world.job(id).await);
        for _ in 0..2 {
            assert_eq!(world.jobs.job_cancel(id, now, &event).await.unwrap(), cancelled);
        }
        assert_eq!(world.job(id).await.state, cancelled);
    }
    let told = world.told().await;
    assert_eq!(told.iter().filter(|kind| **kind == EventKind::Cancelled).count(), 3);
    let missing = JobId::new(now, world.ten());
    let event = world.event(EventKind::Cancelled, &world.backup(0));
    assert!(matches!(world.jobs.job_cancel(missing, now, &event).await, Err(StoreError::NotFound { .. })));
}

/// A leased job becomes cancelling, its holder hears so, and the job ends when the holder says so; until then nothing
/// is told.
///
/// Red when `cancel::cancel` ends a leased job itself, or when `heartbeat::standing_of` does not tell.
pub async fn the_holder_of_a_job_is_asked_to_stop(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    let event = world.event(EventKind::Cancelled, &world.job(key.job_id).await);
    for _ in 0..2 {
        let state = world.jobs.job_cancel(key.job_id, world.now(), &event).await.unwrap();
        assert_eq!(state, JobState::Cancelling { agent_id: agent });
    }
    assert_eq!(world.job(key.job_id).await.state, JobState::Cancelling { agent_id: agent });
    assert_eq!(world.jobs.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Cancelling]);
    let progress = backstay_core::domain::job::Progress::begun();
    assert_eq!(world.jobs.job_progress_put(key, &progress).await.unwrap(), Standing::Cancelling);
    assert_eq!(world.told().await, [EventKind::Enqueued]);
    let done = JobState::Cancelled { finished_at: world.now() };
    world.jobs.job_settle(key, &settlement(done.clone())).await.unwrap();
    assert_eq!(world.job(key.job_id).await.state, done);
}

/// A job that has ended otherwise is not cancelled, and nothing is told.
///
/// Red when `state::judge` is not asked.
pub async fn an_ended_job_cannot_be_cancelled(stores: Stores) {
    let world = World::new(stores, 1).await;
    let key = world.leased(0, world.agent()).await;
    world.jobs.job_settle(key, &world.success()).await.unwrap();
    let event = world.event(EventKind::Cancelled, &world.job(key.job_id).await);
    let refused = world.jobs.job_cancel(key.job_id, world.now(), &event).await.unwrap_err();
    let from = StateName::Succeeded;
    assert!(
        matches!(refused, StoreError::Move { job_id, from: f, to: StateName::Cancelled } if job_id == key.job_id && f == from)
    );
    assert_eq!(world.told().await, [EventKind::Enqueued]);
    let Err(LeaseError::Lost { .. }) = world.jobs.job_settle(key, &world.success()).await else {
        panic!("an ended job has no lease");
    };
}

/// A waiting job is queued again when its time has come, from the very moment that it waited for, and not before.
///
/// Red when `rescue::wake` does not compare with the clock, or forgets a column (the checks refuse the row).
pub async fn waits_end_when_their_time_has_come(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let mut keys = Vec::new();
    let start = world.now();
    for (item, seconds) in [(0, 60), (1, 3_600)] {
        let key = world.leased(item, agent).await;
        let wake_at = start.saturating_add(Duration::from_secs(seconds)).unwrap();
        let waiting = JobState::Waiting { wake_at, reason: "cinder works".to_owned() };
        world.jobs.job_settle(key, &settlement(waiting.clone())).await.unwrap();
        assert_eq!(world.job(key.job_id).await.state, waiting);
        keys.push((key, wake_at));
    }
    assert_eq!(world.jobs.job_wake().await.unwrap(), 0);
    assert!(world.claim(agent, 9).await.is_empty());
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(world.jobs.job_wake().await.unwrap(), 1);
    assert_eq!(world.jobs.job_wake().await.unwrap(), 0);
    let (key, wake_at) = keys[0];
    assert_eq!(world.job(key.job_id).await.state, JobState::Queued { not_before: wake_at });
    let claimed = world.claim(world.agent(), 9).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].job.attempt_token.0, key.token.0 + 1);
    let unchanged = JobState::Succeeded { outcome: Outcome::Unchanged, finished_at: world.now() };
    world.jobs.job_settle(key_of(&claimed[0]), &settlement(unchanged)).await.unwrap();
}

/// A parked job goes back in the queue once, with its event and without the failures before; not while another backup of
/// its item is live, and never from another state.
///
/// Red when `lift::lift` does not look at the state or the live key, forgets the hot row, or keeps the streak.
pub async fn a_parked_job_is_lifted_once(stores: Stores) {
    let world = World::new(stores, 1).await;
    let key = world.leased(0, world.agent()).await;
    let lift = async || {
        let event = world.event(EventKind::Enqueued, &world.job(key.job_id).await);
        world.jobs.job_lift(key.job_id, world.now(), &event).await
    };
    assert!(matches!(lift().await, Err(StoreError::Move { from: StateName::Leased, to: StateName::Queued, .. })));
    let parked = JobState::Parked { class: FailureClass::Storage, message: "no route".to_owned() };
    let streak = Some(Streak { class: FailureClass::Storage, count: 8, attempts: 9 });
    world.jobs.job_settle(key, &Settlement { streak, ..settlement(parked.clone()) }).await.unwrap();
    let other = world.leased(0, world.agent()).await;
    assert!(matches!(lift().await, Err(StoreError::Taken { .. })));
    assert_eq!(world.job(key.job_id).await.state, parked);
    world.jobs.job_settle(other, &world.success()).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    let queued = JobState::Queued { not_before: world.now() };
    assert_eq!(lift().await.unwrap(), queued);
    let job = world.job(key.job_id).await;
    assert_eq!((job.state, job.streak), (queued, None));
    assert!(matches!(lift().await, Err(StoreError::Move { from: StateName::Queued, .. })));
    let claimed = world.claim(world.agent(), 2).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [key.job_id]);
    assert_eq!(world.told().await, [EventKind::Enqueued; 3]);
}

/// Somebody waits for a restore, and after an outage everything is late: it comes first.
///
/// Red without `breach_of`.
pub async fn a_restore_comes_before_what_is_late(stores: Stores) {
    let world = World::new(stores, 3).await;
    let context = context(&world.stores);
    world.queued(0).await;
    let saved = world.claim(world.agent(), 1).await.remove(0);
    let snapshot = world.snapshot(&saved.job, &"b".repeat(64), Outcome::Complete);
    let settled = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
    world.jobs.job_settle(key_of(&saved), &settled).await.unwrap();
    for item in 1..3 {
        let late = Job { breach_at: world.now() - Duration::from_secs(86_400), priority: 9, ..world.backup(item) };
        world.enqueue(&late).await;
    }
    world.clock.advance(Duration::from_secs(60));
    let asking = Asking::fresh(world.now(), [7; 32]);
    let target = Target::Directory("/srv/out".into());
    let wished = restore_request(&context, &asking, snapshot.id, target, RestoreTerms::default()).await.unwrap();
    assert_eq!(world.claim(world.agent(), 1).await[0].job.id, wished);
}
