//! Promises about how a lease ends, and what is there afterwards.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::adoption::{Adoption, FOREIGN_KIND};
use backstay_core::domain::attempt::AttemptEnd;
use backstay_core::domain::backup::Confirmation;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::evidence::{self, Evidence, Place, Verdict};
use backstay_core::domain::id::{EvidenceId, ItemId, SnapshotId, SourceId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Failure, FailureClass, Job, JobState, Outcome, Progress, StateName};
use backstay_core::domain::retry::Streak;
use backstay_core::domain::rpo::age;
use backstay_core::domain::snapshot::{PublishedSnapshot, Snapshot};
use backstay_core::domain::source::Source;
use backstay_core::domain::template::Said;
use backstay_core::domain::unread::{UNREAD_NAMED_MAX, Unread};
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::job_log::job_log;
use backstay_core::managers::plan::{PlanDeclaration, plan_declare};
use backstay_core::managers::rescue::rescue;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseError};
use backstay_core::ports::store::{Page, Settlement, SnapshotFilter, StoreError};

use crate::conformance::job::context;
use crate::conformance::world::{STALL_LIMIT, Stores, TTL, World, distinct_counts, key_of, settlement};
use crate::fakes::clock::ManualClock;

/// Returns a record at a place of an item's chain. Hash and text are as real; the signature is for `domain::evidence`.
fn record(world: &World, job: &Job, sequence: i64, previous_hash: Option<String>) -> Evidence {
    let place = Place {
        id: EvidenceId::new(world.now(), world.ten()),
        tenant_id: job.tenant_id,
        item_id: job.item_id.unwrap(),
        item_name: world.items[0].name.clone(),
        snapshot_id: SnapshotId::new(world.now(), world.ten()),
        snapshot_foreign_id: "ab".repeat(32),
        job_id: job.id,
        sequence,
        previous_hash,
    };
    let document = format!("{}\nverdict proved\nid {}\n", evidence::ENCODING, place.id);
    Evidence {
        place,
        verdict: Verdict::Proved,
        hash: evidence::hash(&document),
        document,
        public_key: "01".repeat(32),
        signature: "02".repeat(64),
        created_at: world.now(),
    }
}

/// Snapshot, evidence and event are there when the settlement was accepted, field by field, and not before.
///
/// Red without any one of the inserts of `settle::settle`.
pub async fn rows_come_with_the_settlement_and_only_then(stores: Stores) {
    let world = World::new(stores, 1).await;
    let key = world.leased(0, world.agent()).await;
    let job = world.job(key.job_id).await;
    world.jobs.job_progress_put(key, &Progress::begun()).await.unwrap();
    let item = job.item_id.unwrap();
    assert_eq!(world.history.snapshot_newest_good(item, job.repository_id).await.unwrap(), None);
    assert_eq!(world.history.evidence_newest(item).await.unwrap(), None);
    assert_eq!(world.told().await, [EventKind::Enqueued]);

    let rows = Settlement {
        counts: distinct_counts(),
        snapshot: Some(world.snapshot(&job, &"ab".repeat(32), Outcome::Complete)),
        evidence: Some(record(&world, &job, 1, None)),
        event: Some(world.event(EventKind::Succeeded, &job)),
        ..world.success()
    };
    world.jobs.job_settle(key, &rows).await.unwrap();
    let done = world.job(key.job_id).await;
    assert_eq!(done, Job { state: rows.state.clone(), counts: rows.counts, ..job.clone() });
    let snapshot = rows.snapshot.unwrap();
    assert_eq!(world.history.snapshot_get(snapshot.id).await.unwrap(), snapshot);
    assert_eq!(world.history.snapshot_newest_good(item, job.repository_id).await.unwrap(), Some(snapshot));
    assert_eq!(world.history.evidence_newest(item).await.unwrap(), rows.evidence);
    let events = world.events().await;
    assert_eq!(events.last().map(|row| &row.event), rows.event.as_ref());
    let from_two = world.history.event_list(world.tenant.id, 2, 1).await.unwrap();
    assert_eq!(from_two, events[1..]);
    assert_eq!(world.jobs.job_progress_get(key.job_id).await.unwrap(), None);
    let missing = SnapshotId::new(world.now(), world.ten());
    assert!(matches!(world.history.snapshot_get(missing).await, Err(StoreError::NotFound { noun: "snapshot", .. })));
}

/// When one row of a settlement is refused, none is there, and the lease goes on.
///
/// Red when `job_settle` commits before all rows are written.
pub async fn a_refused_row_takes_the_whole_settlement_back(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let first = world.leased(0, agent).await;
    let job = world.job(first.job_id).await;
    let snapshot = world.snapshot(&job, "cd", Outcome::Complete);
    world.jobs.job_settle(first, &Settlement { snapshot: Some(snapshot), ..world.success() }).await.unwrap();

    let key = world.leased(1, agent).await;
    let job = world.job(key.job_id).await;
    let told = world.told().await;
    let rows = Settlement {
        snapshot: Some(world.snapshot(&job, "cd", Outcome::Complete)),
        event: Some(world.event(EventKind::Succeeded, &job)),
        ..world.success()
    };
    let refused = world.jobs.job_settle(key, &rows).await.unwrap_err();
    assert!(matches!(refused, LeaseError::Store(StoreError::Taken { noun: "snapshot", .. })), "{refused:?}");
    let rows = Settlement {
        snapshot: Some(world.snapshot(&job, "ef", Outcome::Complete)),
        evidence: Some(record(&world, &job, 2, Some("00".repeat(32)))),
        ..rows
    };
    let refused = world.jobs.job_settle(key, &rows).await.unwrap_err();
    assert!(matches!(refused, LeaseError::Store(StoreError::Taken { .. })), "{refused:?}");
    assert_eq!(world.job(key.job_id).await, job);
    assert_eq!(world.told().await, told);
    assert_eq!(world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap().len(), 1);
    assert_eq!(world.history.attempt_list(key.job_id).await.unwrap()[0].ended, None);
    world.jobs.job_settle(key, &world.success()).await.unwrap();
}

/// A record of evidence follows the item's newest one, by place and by hash; lists are newest first.
///
/// Red without the comparison in `settle::evidence_add`.
pub async fn evidence_goes_to_the_end_of_its_chain_only(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    let mut newest: Option<Evidence> = None;
    for _ in 0..3 {
        world.clock.advance(Duration::from_millis(1));
        let key = world.leased(0, agent).await;
        let job = world.job(key.job_id).await;
        let hash = newest.as_ref().map(|record| record.hash.clone());
        let next = newest.as_ref().map_or(1, |record| record.place.sequence + 1);
        let wrong = [
            record(&world, &job, next + 1, hash.clone().or(Some("00".repeat(32)))),
            record(&world, &job, next, Some("00".repeat(32))),
            record(&world, &job, 1, None),
        ];
        for wrong in
            wrong.into_iter().filter(|wrong| (wrong.place.sequence, &wrong.place.previous_hash) != (next, &hash))
        {
            let refused = world.jobs.job_settle(key, &Settlement { evidence: Some(wrong), ..world.success() }).await;
            assert!(matches!(refused, Err(LeaseError::Store(StoreError::Taken { .. }))), "{refused:?}");
        }
        let right = record(&world, &job, next, hash);
        let rows = Settlement { evidence: Some(right.clone()), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
        newest = Some(right);
    }
    let item = world.items[0].id;
    assert_eq!(world.history.evidence_newest(item).await.unwrap(), newest);
    for item in [Some(item), None] {
        let list = world.history.evidence_list(item, 9).await.unwrap();
        assert_eq!(list.iter().map(|record| record.place.sequence).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(world.history.evidence_list(item, 2).await.unwrap(), list[..2]);
    }
}

/// A settlement to a state to which the table does not lead, or to one of a held job, is refused and changes nothing.
///
/// Red without `state::judge` in `state::move_to`, or without the test of held states in `settle::settle`.
pub async fn a_settlement_must_be_a_move(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    let job = world.job(key.job_id).await;
    let refused = async |state: JobState, from: StateName| {
        let to = state.name();
        match world.jobs.job_settle(key, &settlement(state)).await {
            Err(LeaseError::Store(StoreError::Move { job_id, from: f, to: t })) => {
                assert_eq!((job_id, f, t), (key.job_id, from, to));
            }
            other => panic!("{other:?}"),
        }
    };
    refused(JobState::Cancelled { finished_at: world.now() }, StateName::Leased).await;
    refused(JobState::Cancelling { agent_id: agent }, StateName::Leased).await;
    refused(JobState::Leased { agent_id: agent }, StateName::Leased).await;
    world.jobs.job_cancel(key.job_id, world.now(), &world.event(EventKind::Cancelled, &job)).await.unwrap();
    let failed = JobState::Failed { class: FailureClass::Source, message: "x".to_owned(), finished_at: world.now() };
    refused(failed, StateName::Cancelling).await;
    let waiting = JobState::Waiting { wake_at: world.now(), reason: "x".to_owned() };
    refused(waiting, StateName::Cancelling).await;
    assert_eq!(world.job(key.job_id).await.state, JobState::Cancelling { agent_id: agent });
    // What was done before the wish arrived is recorded as what it is.
    world.jobs.job_settle(key, &world.success()).await.unwrap();
}

/// A snapshot that an agent with a wrong clock dates in the future is no proof of anything until then.
///
/// Red without the filter of moments in `snapshot_newest_good`.
pub async fn a_snapshot_of_the_future_does_not_count_yet(stores: Stores) {
    let world = World::new(stores, 1).await;
    let agent = world.agent();
    for (foreign_id, ahead) in [("01", 0), ("02", 86_400)] {
        world.clock.advance(Duration::from_secs(1));
        let key = world.leased(0, agent).await;
        let mut snapshot = world.snapshot(&world.job(key.job_id).await, foreign_id, Outcome::Complete);
        snapshot.taken_at = world.now().saturating_add(Duration::from_secs(ahead)).unwrap();
        let rows = Settlement { snapshot: Some(snapshot), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
    }
    let newest = async || {
        let found = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
        found.unwrap().foreign_id
    };
    assert_eq!(newest().await, "01");
    world.clock.advance(Duration::from_secs(86_400));
    assert_eq!(newest().await, "02");
}

/// The newest good snapshot is complete or unchanged, by when its data was read; lists have filters and pages.
///
/// Red without the filter of outcomes or the order in `snapshot_newest_good`.
pub async fn the_newest_good_snapshot_is_not_a_partial_one(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let mut made = Vec::new();
    let late = world.now().saturating_add(Duration::from_secs(3_600)).unwrap();
    for (item, foreign_id, outcome) in [
        (0, "01", Outcome::Complete),
        (0, "02", Outcome::Unchanged),
        (0, "03", Outcome::Partial),
        (1, "04", Outcome::Complete),
    ] {
        world.clock.advance(Duration::from_secs(1));
        let key = world.leased(item, agent).await;
        let mut snapshot = world.snapshot(&world.job(key.job_id).await, foreign_id, outcome);
        snapshot.protected_until = Some(late);
        snapshot.parent_id = made.first().map(|first: &backstay_core::domain::snapshot::Snapshot| first.id);
        let rows = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
        made.insert(0, snapshot);
    }
    let newest = async |item: usize| {
        let found = world.history.snapshot_newest_good(world.items[item].id, world.repository.id).await.unwrap();
        found.map(|snapshot| snapshot.foreign_id)
    };
    assert_eq!(newest(0).await.as_deref(), Some("02"));
    assert_eq!(newest(1).await.as_deref(), Some("04"));
    let all = SnapshotFilter::default();
    let list =
        async |filter, before, rows_max| world.history.snapshot_list(filter, Page { before, rows_max }).await.unwrap();
    assert_eq!(list(all, None, 9).await, made);
    assert_eq!(list(all, Some(made[1].id), 1).await, made[2..3]);
    assert_eq!(list(SnapshotFilter { item_id: Some(world.items[1].id), ..all }, None, 9).await, made[..1]);
    assert_eq!(list(SnapshotFilter { repository_id: Some(world.repository.id), ..all }, None, 2).await, made[..2]);
}

/// A confirmation is written with its job's end; of a snapshot that is forgotten, not good or another item's it is none,
/// and then nothing of the settlement is written. One of the future does not count yet.
///
/// Red without the filters of `snapshot_confirm`, and without the one of moments in `items_question`.
pub async fn a_confirmation_is_of_a_good_snapshot_that_is_there(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let mut made = Vec::new();
    for (item, foreign_id, outcome) in
        [(0, "01", Outcome::Complete), (0, "02", Outcome::Partial), (1, "03", Outcome::Complete)]
    {
        world.clock.advance(Duration::from_secs(1));
        let key = world.leased(item, agent).await;
        let snapshot = world.snapshot(&world.job(key.job_id).await, foreign_id, outcome);
        let rows = Settlement { snapshot: Some(snapshot.clone()), ..world.success() };
        world.jobs.job_settle(key, &rows).await.unwrap();
        made.push(snapshot);
    }
    let ahead = world.now().saturating_add(Duration::from_secs(60)).unwrap();
    let key = world.leased(0, agent).await;
    let confirm = |snapshot: usize| Settlement {
        confirmed: Some(Confirmation { snapshot_id: made[snapshot].id, at: ahead }),
        ..world.success()
    };
    let newest_at = async || {
        let items = world.stores.schedules.schedule_list_items(&[world.plan.id], world.now()).await.unwrap();
        items.into_iter().find(|row| row.item.id == world.items[0].id).unwrap().newest_at
    };
    for wrong in [1, 2] {
        let refused = world.jobs.job_settle(key, &confirm(wrong)).await;
        assert!(matches!(refused, Err(LeaseError::Store(StoreError::NotFound { .. }))), "{refused:?}");
    }
    world.jobs.job_settle(key, &confirm(0)).await.unwrap();
    assert_eq!(world.history.snapshot_get(made[0].id).await.unwrap().confirmed_at, Some(ahead));
    assert_eq!(newest_at().await, Some(made[0].taken_at));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(newest_at().await, Some(ahead));
}

/// What a look through a repository found gets its rows with the job's end: once, however often it is found; and what turns
/// out to be an item's becomes that item's.
///
/// Red without `adopted_put`, without its `insert_unless_taken`, and without its move.
pub async fn what_is_found_gets_a_row_once(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    let key = world.leased(0, agent).await;
    let job = world.job(key.job_id).await;
    let found = |foreign_id: &str| Snapshot { is_good: false, ..world.snapshot(&job, foreign_id, Outcome::Complete) };
    let source = Source {
        id: SourceId::new(world.now(), world.ten()),
        tenant_id: job.tenant_id,
        name: "elsewhere".parse().unwrap(),
        kind: FOREIGN_KIND.to_owned(),
        settings: serde_json::json!({ "hostname": "h", "paths": ["/a", "/b"] }),
        retired_at: None,
    };
    let item = Item {
        id: ItemId::new(world.now(), world.ten()),
        source_id: source.id,
        name: "/a, /b".to_owned(),
        vanished_at: None,
    };
    let foreign = Snapshot { item_id: item.id, ..found("01") };
    let ours = found("02");
    let sources = vec![(source.clone(), item.clone())];
    let adopted = Adoption { sources, snapshots: vec![foreign.clone(), ours.clone()], moved: Vec::new() };
    world.jobs.job_settle(key, &Settlement { adopted, ..world.success() }).await.unwrap();
    assert_eq!(world.history.snapshot_get(foreign.id).await.unwrap(), foreign);
    assert_eq!(world.history.snapshot_get(ours.id).await.unwrap(), ours);
    assert_eq!(world.stores.declarations.source_get(source.id).await.unwrap(), source);
    assert_eq!(world.stores.declarations.item_list(source.id).await.unwrap(), [item]);
    let usage = async || world.stores.notices.usage_get(job.tenant_id).await.unwrap().snapshots;
    assert_eq!(usage().await, 2);

    let key = world.leased(0, agent).await;
    let again = Snapshot { id: SnapshotId::new(world.now(), world.ten()), ..foreign.clone() };
    let moved = vec![(foreign.id, world.items[1].id)];
    let adopted = Adoption { sources: Vec::new(), snapshots: vec![again.clone()], moved };
    world.jobs.job_settle(key, &Settlement { adopted, ..world.success() }).await.unwrap();
    let missing = world.history.snapshot_get(again.id).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let moved = Snapshot { item_id: world.items[1].id, ..foreign.clone() };
    assert_eq!(world.history.snapshot_get(foreign.id).await.unwrap(), moved);
    assert_eq!(usage().await, 2);
}

/// Each state in which a settlement can leave a job comes back with what it knows.
///
/// Red when `StateCells::of` forgets a column: the checks refuse the row.
pub async fn every_state_is_read_back(stores: Stores) {
    let world = World::new(stores, 8).await;
    let agent = world.agent();
    let at = world.now();
    let words = || "a ' \" \n ü".to_owned();
    let succeeded = |outcome| JobState::Succeeded { outcome, finished_at: at };
    let states = [
        succeeded(Outcome::Complete),
        succeeded(Outcome::Partial),
        succeeded(Outcome::Unchanged),
        JobState::Failed { class: FailureClass::StorageFull, message: words(), finished_at: at },
        JobState::Damaged { message: words(), finished_at: at },
        JobState::Waiting { wake_at: at, reason: words() },
        JobState::Parked { class: FailureClass::Internal, message: words() },
    ];
    for (item, state) in states.into_iter().enumerate() {
        let key = world.leased(item, agent).await;
        let streak = Some(Streak { class: FailureClass::Target, count: 2, attempts: 5 });
        let rows = Settlement { streak, ..settlement(state.clone()) };
        world.jobs.job_settle(key, &rows).await.unwrap();
        let job = world.job(key.job_id).await;
        assert_eq!((job.state, job.streak), (state, streak));
    }
    let key = world.leased(7, agent).await;
    let queued = JobState::Queued { not_before: at };
    world.jobs.job_settle(key, &settlement(queued.clone())).await.unwrap();
    assert_eq!(world.job(key.job_id).await.state, queued);
}

/// A job's attempts stay, oldest first, each with its agent, its begin, and how and when it ended.
///
/// Red when `claim::lease_add` or `settle::lease_end` forgets the attempt's row.
pub async fn attempts_tell_how_they_ended(stores: Stores) {
    let world = World::new(stores, 1).await;
    let id = world.queued(0).await;
    let waiting = |streak| {
        let state = JobState::Waiting { wake_at: world.now(), reason: "later".to_owned() };
        Settlement { streak, ..settlement(state) }
    };
    let mut expected = Vec::new();
    for (rows, ending) in [
        (waiting(None), Some(AttemptEnd::Waited)),
        // A back-off after a failure is a result.
        (waiting(Some(Streak::after(None, FailureClass::Storage))), Some(AttemptEnd::Finished)),
        (waiting(None), Some(AttemptEnd::Waited)),
        (world.success(), Some(AttemptEnd::Finished)),
    ] {
        let agent = world.agent();
        let leased_at = world.now();
        let claimed = world.claim(agent, 1).await;
        let key = crate::conformance::world::key_of(&claimed[0]);
        let running = world.history.attempt_list(id).await.unwrap();
        let last = running.last().unwrap();
        assert_eq!((last.key, last.agent_id, last.leased_at, last.ended), (key, agent, leased_at, None));
        world.clock.advance(Duration::from_secs(1));
        expected.push((key, agent, leased_at, ending.map(|ending| (world.now(), ending))));
        world.jobs.job_settle(key, &rows).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        world.jobs.job_wake().await.unwrap();
    }
    let attempts = world.history.attempt_list(id).await.unwrap();
    let seen: Vec<_> = attempts.iter().map(|row| (row.key, row.agent_id, row.leased_at, row.ended)).collect();
    assert_eq!(seen, expected);
}

/// What could not be read is what the newest attempt could not: as many names as the limit allows, and the count of all.
///
/// Red when `settle::unread_put` does not replace.
pub async fn unread_entries_are_those_of_the_newest_attempt(stores: Stores) {
    let world = World::new(stores, 1).await;
    let id = world.queued(0).await;
    assert_eq!(world.jobs.job_unread_get(id).await.unwrap(), Unread::default());
    let mut many = Unread::default();
    for number in 0..UNREAD_NAMED_MAX + 5 {
        many.push(format!("/home/ada/\u{1}{number}"), "permission denied".to_owned());
    }
    let mut one = Unread::default();
    one.push("/x".to_owned(), "input/output error".to_owned());
    for unread in [many, one, Unread::default()] {
        let claimed = world.claim(world.agent(), 1).await;
        let waiting = JobState::Waiting { wake_at: world.now(), reason: "again".to_owned() };
        let rows = Settlement { unread: unread.clone(), ..settlement(waiting) };
        world.jobs.job_settle(crate::conformance::world::key_of(&claimed[0]), &rows).await.unwrap();
        assert_eq!(world.jobs.job_unread_get(id).await.unwrap(), unread);
        world.jobs.job_wake().await.unwrap();
    }
}

/// Many writers at once: a tenant's chain of events has each place once, and each hash follows from the one before.
///
/// Red when `event::event_append` reads the last place outside the transaction that writes the next.
pub async fn events_are_chained_without_a_gap_whoever_writes(stores: Stores) {
    let world = Arc::new(World::new(stores, 64).await);
    let writer = |number: usize| {
        let world = world.clone();
        tokio::spawn(async move {
            for item in (number..64).step_by(8) {
                world.queued(item).await;
                world.enqueue(&world.backup(item)).await;
            }
        })
    };
    for writer in (0..8).map(writer).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let told = world.told().await;
    assert_eq!(told.len(), 128);
    assert_eq!(told.iter().filter(|kind| **kind == EventKind::Skipped).count(), 64);
}

/// How long a job waits is counted by the clock that ends the wait: a replica whose own is hours ahead lets none wait for
/// hours.
///
/// Red when `job_wait`, a failure or a rescue adds to the replica's own moment.
pub async fn a_wait_is_counted_by_the_stores_clock(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ahead = ManualClock::new(world.now().saturating_add(Duration::from_secs(5 * 3_600)).unwrap());
    let ports = Context { clock: Arc::new(ahead), ..context(&world.stores) };
    let jobs = JobManager::new(ports.clone(), TTL);
    let soon = |world: &World| world.now().saturating_add(Duration::from_secs(1_800)).unwrap();

    let key = world.leased(0, world.agent()).await;
    jobs.job_wait(key, Duration::from_secs(60), "it is locked").await.unwrap();
    let state = world.job(key.job_id).await.state;
    assert!(matches!(state, JobState::Waiting { wake_at, .. } if wake_at <= soon(&world)), "{state:?}");

    world.clock.advance(Duration::from_secs(60));
    assert_eq!(rescue(&ports, STALL_LIMIT).await.unwrap().woken, 1);
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let failure = Failure {
        class: FailureClass::Storage,
        message: "no answer".to_owned(),
        disposition: Disposition::Retry { after: Duration::ZERO },
    };
    let state = jobs.job_finish(key, &JobResult::Failed(failure)).await.unwrap();
    assert!(matches!(state, JobState::Waiting { wake_at, .. } if wake_at <= soon(&world)), "{state:?}");

    world.clock.advance(Duration::from_secs(1_800));
    assert_eq!(rescue(&ports, STALL_LIMIT).await.unwrap().woken, 1);
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    world.clock.advance(TTL);
    assert_eq!(rescue(&ports, STALL_LIMIT).await.unwrap().lost, 1);
    let state = world.job(key.job_id).await.state;
    assert!(matches!(state, JobState::Queued { not_before } if not_before <= soon(&world)), "{state:?}");
}

/// An agent whose clock is a day behind saves what is newest all the same, and its clock is told of.
///
/// Red when the row, or a confirmation, believes the agent.
pub async fn a_snapshot_is_not_older_than_its_job(stores: Stores) {
    let world = World::new(stores, 1).await;
    let jobs = JobManager::new(context(&world.stores), TTL);
    for (number, behind) in [(1, 0), (2, 299), (3, 86_400)] {
        world.clock.advance(Duration::from_secs(3_600));
        let key = world.leased(0, world.agent()).await;
        let taken_at = world.now() - Duration::from_secs(behind);
        let result = JobResult::BackedUp {
            outcome: Outcome::Complete,
            snapshot: PublishedSnapshot { foreign_id: format!("{number:064}"), taken_at },
            counts: distinct_counts(),
            unread: Unread::default(),
            warning: None,
        };
        jobs.job_finish(key, &result).await.unwrap();
        let newest = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap().unwrap();
        assert_eq!((newest.foreign_id, newest.taken_at), (format!("{number:064}"), world.now()));
    }
    let warned: Vec<String> = world.events().await.into_iter().map(|row| row.event.message).collect();
    let of_clocks: Vec<_> = warned.iter().filter(|words| words.contains("clock")).collect();
    assert_eq!(of_clocks, ["the agent's clock is at least 1d 0h behind: set it right"]);
    // A confirmation proves no moment to come, and none before its job.
    for by in [86_400, -86_400] {
        world.clock.advance(Duration::from_secs(3_600));
        let key = world.leased(0, world.agent()).await;
        let made_at = world.now();
        world.clock.advance(Duration::from_secs(10));
        let taken_at = world.now() + jiff::SignedDuration::from_secs(by);
        let snapshot = PublishedSnapshot { foreign_id: format!("{:064}", 3), taken_at };
        let result = JobResult::Confirmed { snapshot, counts: distinct_counts(), warning: None };
        jobs.job_finish(key, &result).await.unwrap();
        let newest = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap().unwrap();
        assert_eq!(newest.confirmed_at, Some(made_at), "{by}");
    }
}

/// An agent whose clock is more than a day ahead saves what is of now, which grows old from now on, and its clock is
/// told of.
///
/// Red when the row believes the agent: the item is told overdue 26 hours late.
pub async fn a_snapshot_is_not_of_the_future(stores: Stores) {
    let world = World::new(stores, 1).await;
    let jobs = JobManager::new(context(&world.stores), TTL);
    for (number, ahead) in [(1, 299), (2, 26 * 3_600)] {
        world.clock.advance(Duration::from_secs(3_600));
        let key = world.leased(0, world.agent()).await;
        let taken_at = world.now() + Duration::from_secs(ahead);
        let result = JobResult::BackedUp {
            outcome: Outcome::Complete,
            snapshot: PublishedSnapshot { foreign_id: format!("{number:064}"), taken_at },
            counts: distinct_counts(),
            unread: Unread::default(),
            warning: None,
        };
        jobs.job_finish(key, &result).await.unwrap();
        let newest = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap().unwrap();
        assert_eq!((newest.foreign_id, newest.taken_at), (format!("{number:064}"), world.now()));
    }
    let warned: Vec<String> = world.events().await.into_iter().map(|row| row.event.message).collect();
    let of_clocks: Vec<_> = warned.iter().filter(|words| words.contains("clock")).collect();
    assert_eq!(of_clocks, ["the agent's clock is at least 1d 2h ahead: set it right"]);
    world.clock.advance(world.plan.rpo + Duration::from_secs(1));
    let newest = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
    let proved_at = newest.map(|row| row.proved_at(world.now()));
    let age = age(world.plan.rpo, world.plan.created_at, proved_at, world.now());
    assert_eq!(age.overdue_by(world.now()), Some(Duration::from_secs(1)));
}

/// What is told of a job is dated by the store's clock as the job is, though the replica's is hours behind: whoever
/// looks for it from the job's beginning on finds it.
///
/// Red when `settlement` dates what it tells by the replica's clock.
pub async fn what_is_told_of_a_job_lies_where_its_log_looks(stores: Stores) {
    let world = World::new(stores, 2).await;
    let behind = ManualClock::new(world.now());
    let ports = Context { clock: Arc::new(behind.clone()), ..context(&world.stores) };
    world.queued(0).await;
    world.clock.advance(Duration::from_secs(24 * 3_600));
    behind.advance(Duration::from_secs(21 * 3_600));
    let id = world.queued(1).await;
    let claimed = world.claim(world.agent(), 2).await;
    let key = claimed.iter().map(key_of).find(|key| key.job_id == id).unwrap();
    let snapshot = PublishedSnapshot { foreign_id: "a".repeat(64), taken_at: world.now() };
    let result = JobResult::BackedUp {
        outcome: Outcome::Complete,
        snapshot,
        counts: distinct_counts(),
        unread: Unread::default(),
        warning: Some("it was slow".to_owned()),
    };
    JobManager::new(ports.clone(), TTL).job_finish(key, &result).await.unwrap();
    let told = world.events().await;
    assert!(told.iter().skip(1).all(|row| row.event.at == world.now()), "{told:?}");
    let log = job_log(&ports, &world.job(id).await).await.unwrap();
    let words: Vec<&str> = log.lines.iter().map(|line| line.text.split(':').next().unwrap()).collect();
    assert_eq!(words.iter().filter(|word| ["enqueued", "succeeded", "warned"].contains(word)).count(), 3, "{words:?}");
}

/// What a replica dates whose clock is hours ahead is dated by the store's: the end of a job, from which durations are
/// known, and the moment from which a plan's schedule and RPO count.
///
/// Red when `settlement` or `plan_declare` asks the replica's clock.
pub async fn what_a_replica_writes_is_dated_by_the_stores_clock(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ahead = ManualClock::new(world.now().saturating_add(Duration::from_secs(5 * 3_600)).unwrap());
    let ports = Context { clock: Arc::new(ahead), ..context(&world.stores) };
    let key = world.leased(0, world.agent()).await;
    let snapshot = PublishedSnapshot { foreign_id: "a".repeat(64), taken_at: world.now() };
    let result = JobResult::BackedUp {
        outcome: Outcome::Complete,
        snapshot,
        counts: distinct_counts(),
        unread: Unread::default(),
        warning: None,
    };
    let state = JobManager::new(ports.clone(), TTL).job_finish(key, &result).await.unwrap();
    assert_eq!(state.finished_at(), Some(world.now()));
    let (source_id, repository_id) = (world.source.id, world.repository.id);
    let name = "later".parse().unwrap();
    let wish = PlanDeclaration { name, source_id, repository_id, template: None, said: Said::default() };
    let plan = plan_declare(&ports, world.tenant.id, wish).await.unwrap();
    assert_eq!(plan.created_at, world.now());
}
