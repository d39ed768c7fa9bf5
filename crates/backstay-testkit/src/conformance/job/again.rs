//! Promises about calls whose answers were lost on the way, and that are made again.

use std::time::Duration;

use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::job::{Failure, FailureClass, JobCounts, Outcome, Progress};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, LeaseError, Standing};
use backstay_core::ports::store::{Page, SnapshotFilter};

use super::{JobsHarness, backed_up, leased};
use crate::conformance::world::{STALL_LIMIT, TTL};

/// The same result of the same attempt, handed in again, is answered as the first time and written once; another result
/// is refused. Red without `repeated` in `managers::job`.
pub async fn the_same_result_again_is_answered_alike(harness: JobsHarness) {
    let (jobs, world) = harness.world(4).await;
    let failed = |class: FailureClass, disposition| {
        JobResult::Failed(Failure { class, message: class.word().to_owned(), disposition })
    };
    let retry = Disposition::Retry { after: Duration::from_secs(1) };
    let results = [
        backed_up(&world, Outcome::Complete, "a1", Unread::default()),
        failed(FailureClass::Source, Disposition::Operator),
        failed(FailureClass::Storage, retry),
        JobResult::Cancelled,
    ];
    let agent = world.agent();
    for (item, result) in results.iter().enumerate() {
        let key = leased(&*jobs, &world, item, agent).await.lease_key();
        if *result == JobResult::Cancelled {
            let event = world.event(EventKind::Cancelled, &world.job(key.job_id).await);
            world.jobs.job_cancel(key.job_id, world.now(), &event).await.unwrap();
        }
        let state = jobs.job_finish(key, result).await.unwrap();
        let told = world.told().await;
        for _ in 0..2 {
            world.clock.advance(Duration::from_millis(7));
            assert_eq!(jobs.job_finish(key, result).await.unwrap(), state);
        }
        for (other, another) in results.iter().enumerate().filter(|(other, _)| *other != item) {
            // What failed and what was cancelled may both be told of a job that was cancelled: it is, either way.
            let alike = item == 3 && (other == 1 || other == 2);
            let answer = jobs.job_finish(key, another).await;
            assert_eq!(answer.is_ok(), alike, "{item} {other}: {answer:?}");
        }
        let other = backed_up(&world, Outcome::Complete, "a2", Unread::default());
        assert!(matches!(jobs.job_finish(key, &other).await, Err(LeaseError::Lost { .. })));
        assert_eq!(world.told().await, told, "nothing was written twice");
        assert_eq!(world.job(key.job_id).await.state, state);
    }
    assert_eq!(world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap().len(), 1);
}

/// The same snapshot with other numbers is another result.
pub async fn other_numbers_are_another_result(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    let snapshot = PublishedSnapshot { foreign_id: "b1".to_owned(), taken_at: world.now() };
    let saved = |files| JobResult::BackedUp {
        outcome: Outcome::Complete,
        snapshot: snapshot.clone(),
        counts: JobCounts { files, ..JobCounts::default() },
        unread: Unread::default(),
        warning: None,
    };
    let state = jobs.job_finish(key, &saved(3)).await.unwrap();
    assert_eq!(jobs.job_finish(key, &saved(3)).await.unwrap(), state);
    assert!(matches!(jobs.job_finish(key, &saved(4)).await, Err(LeaseError::Lost { .. })));
}

/// A result of an attempt that was rescued is refused, however often it comes, also while nobody else has the job.
/// Red when `repeated` does not ask how the attempt ended.
pub async fn a_result_after_a_rescue_is_never_taken_for_a_repetition(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    world.clock.advance(TTL);
    let event = world.event(EventKind::Cancelled, &world.job(key.job_id).await);
    world.jobs.job_cancel(key.job_id, world.now(), &event).await.unwrap();
    let state = backstay_core::domain::job::JobState::Cancelled { finished_at: world.now() };
    let rows = world.rescue_rows(key, state, event).await;
    assert!(world.jobs.job_rescue(key, STALL_LIMIT, &rows).await.unwrap());
    for _ in 0..2 {
        assert!(matches!(jobs.job_finish(key, &JobResult::Cancelled).await, Err(LeaseError::Lost { .. })));
    }
}

/// Progress, checkpoint, renewal and wait may be told twice. A wait that was accepted stays so, also after the job went
/// back to the queue. Red without the arm of `Waited` in `managers::job`.
pub async fn what_a_holder_tells_may_be_told_twice(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let agent = world.agent();
    let key = leased(&*jobs, &world, 0, agent).await.lease_key();
    let checkpoint = backstay_core::domain::checkpoint::Checkpoint::new(b"17".to_vec()).unwrap();
    for _ in 0..2 {
        assert_eq!(jobs.job_progress(key, &Progress::begun()).await.unwrap(), Standing::Held);
        jobs.job_checkpoint(key, &checkpoint).await.unwrap();
        assert_eq!(jobs.job_renew(agent, &[key]).await.unwrap(), [Standing::Held]);
    }
    for _ in 0..2 {
        jobs.job_wait(key, Duration::from_secs(60), "later").await.unwrap();
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.jobs.job_wake().await.unwrap(), 1);
    jobs.job_wait(key, Duration::from_secs(60), "later").await.unwrap();
    assert_eq!(world.job(key.job_id).await.state.name().word(), "queued", "an old wait moves nothing");
}
