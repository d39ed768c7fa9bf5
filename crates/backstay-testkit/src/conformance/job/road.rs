//! Promises about the road from lease to finish.

use std::time::Duration;

use backstay_core::domain::attempt::AttemptEnd;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::JobId;
use backstay_core::domain::job::{Failure, FailureClass, JobState, Outcome, Phase, Progress, StateName, Work};
use backstay_core::domain::lease::LEASE_BATCH_MAX;
use backstay_core::domain::repository::RepositoryEpoch;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, Standing};
use secrecy::ExposeSecret as _;

use super::{JobsHarness, PASSWORD, backed_up, lease, leased};
use crate::conformance::world::{STALL_LIMIT, TTL, World};

/// A job in the hand has its source, item, repository and the secret that opens it, and says how long it holds.
pub async fn a_lease_brings_all_that_the_job_needs(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let agent = world.agent();
    assert!(lease(&*jobs, agent, 1).await.is_empty(), "nothing is due");
    let job = leased(&*jobs, &world, 0, agent).await;
    assert_eq!((job.plan_id, job.item_id, job.attempt_token.0), (Some(world.plan.id), Some(world.items[0].id), 1));
    assert_eq!((job.state.agent_id, job.state.ttl, job.state.epoch), (agent, TTL, RepositoryEpoch(0)));
    assert_eq!(job.state.repository.repository, world.repository);
    assert_eq!(job.state.repository.password.expose_secret(), PASSWORD);
    assert_eq!(job.state.checkpoint, None);
    let Work::Backup { source, item, parent, plan_name, skip_if_unchanged: false, .. } = &job.state.work else {
        panic!("{:?}", job.state.work)
    };
    assert_eq!((source, item, parent, plan_name.as_str()), (&world.source, &world.items[0], &None, "daily"));
    assert!(lease(&*jobs, world.agent(), 9).await.is_empty(), "it is given once");
}

/// However many jobs an agent wants, it gets a batch at most.
pub async fn a_lease_gives_no_more_than_a_batch(harness: JobsHarness) {
    let batch = LEASE_BATCH_MAX as usize;
    let (jobs, world) = harness.world(batch + 2).await;
    for item in 0..batch + 2 {
        world.queued(item).await;
    }
    assert_eq!(lease(&*jobs, world.agent(), 1_000).await.len(), batch);
    assert_eq!(lease(&*jobs, world.agent(), 1_000).await.len(), 2);
}

/// The whole road of a backup: lease, renewals, progress, finish; its snapshot is the next one's parent.
pub async fn a_backup_goes_from_lease_to_snapshot(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let agent = world.agent();
    let job = leased(&*jobs, &world, 0, agent).await;
    let key = job.lease_key();
    for files_done in 0..5 {
        world.clock.advance(TTL / 2);
        assert_eq!(jobs.job_renew(agent, &[key]).await.unwrap(), [Standing::Held]);
        let progress = Progress { phase: Phase::Working, files_done, ..Progress::begun() };
        assert_eq!(jobs.job_progress(key, &progress).await.unwrap(), Standing::Held);
        assert_eq!(world.jobs.job_progress_get(key.job_id).await.unwrap(), Some(progress));
    }
    assert!(world.jobs.job_list_lost(STALL_LIMIT, 9).await.unwrap().is_empty());
    let result = backed_up(&world, Outcome::Complete, &"ab".repeat(32), Unread::default());
    let state = job.finish(&*jobs, &result).await.unwrap();
    assert_eq!(state, JobState::Succeeded { outcome: Outcome::Complete, finished_at: world.now() });
    let row = world.job(key.job_id).await;
    assert_eq!((row.state, row.counts.files), (state, 3));
    let snapshot = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap().unwrap();
    assert_eq!((snapshot.job_id, snapshot.foreign_id.as_str()), (key.job_id, &*"ab".repeat(32)));
    assert_eq!((snapshot.taken_at, snapshot.counts), (world.now(), row.counts));
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Succeeded]);

    let next = leased(&*jobs, &world, 0, agent).await;
    let Work::Backup { parent, .. } = &next.state.work else { panic!("{:?}", next.state.work) };
    assert_eq!(parent.as_ref(), Some(&snapshot));
}

/// What an attempt stored before it died, the next attempt has in its hand.
pub async fn a_checkpoint_survives_to_the_next_attempt(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    let checkpoint = Checkpoint::new(b"POST /backups with name backstay-17".to_vec()).unwrap();
    jobs.job_checkpoint(key, &checkpoint).await.unwrap();
    world.clock.advance(TTL);
    rescue(&world, key).await;
    let again = lease(&*jobs, world.agent(), 1).await;
    assert_eq!(again[0].id, key.job_id);
    assert_eq!(again[0].attempt_token.0, key.token.0 + 1);
    assert_eq!(again[0].state.checkpoint, Some(checkpoint));
}

/// Puts a lost job back in the queue.
pub(super) async fn rescue(world: &World, key: backstay_core::domain::attempt::LeaseKey) {
    let state = JobState::Queued { not_before: world.now() };
    let event = world.event(EventKind::Rescued, &world.job(key.job_id).await);
    let rows = world.rescue_rows(key, state, event).await;
    assert!(world.jobs.job_rescue(key, STALL_LIMIT, &rows).await.unwrap());
}

/// A job given back holds no agent; after its delay it is leased again, with its checkpoint and no failure counted.
pub async fn a_job_that_waits_comes_back(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let agent = world.agent();
    let key = leased(&*jobs, &world, 0, agent).await.lease_key();
    let checkpoint = Checkpoint::new(b"backup 17".to_vec()).unwrap();
    jobs.job_checkpoint(key, &checkpoint).await.unwrap();
    let delay = Duration::from_secs(300);
    jobs.job_wait(key, delay, "cinder copies the volume").await.unwrap();
    let wake_at = world.now().saturating_add(delay).unwrap();
    let row = world.job(key.job_id).await;
    assert_eq!(row.state, JobState::Waiting { wake_at, reason: "cinder copies the volume".to_owned() });
    assert_eq!(jobs.job_renew(agent, &[key]).await.unwrap(), [Standing::Lost]);
    world.clock.advance(delay);
    assert_eq!(world.jobs.job_wake().await.unwrap(), 1);
    let again = lease(&*jobs, world.agent(), 1).await;
    assert_eq!((again[0].id, again[0].streak, &again[0].state.checkpoint), (key.job_id, None, &Some(checkpoint)));
    let attempts = world.history.attempt_list(key.job_id).await.unwrap();
    assert_eq!(attempts[0].ended.map(|(_, ending)| ending), Some(AttemptEnd::Waited));
    let many = world.history.attempt_list_many(&[key.job_id, JobId::new(world.now(), [9; 10])]).await.unwrap();
    assert_eq!(many, attempts);
    assert_eq!(many.len(), 2);
}

/// Asks for a job's end.
async fn cancel(world: &World, key: backstay_core::domain::attempt::LeaseKey) {
    let event = world.event(EventKind::Cancelled, &world.job(key.job_id).await);
    world.jobs.job_cancel(key.job_id, world.now(), &event).await.unwrap();
}

/// The wish to cancel is in the next standing; the job ends as cancelled when its agent says so, fails, or would wait.
pub async fn a_wish_to_cancel_is_heard(harness: JobsHarness) {
    let (jobs, world) = harness.world(3).await;
    let agent = world.agent();
    for item in 0..3 {
        let key = leased(&*jobs, &world, item, agent).await.lease_key();
        cancel(&world, key).await;
        assert_eq!(jobs.job_renew(agent, &[key]).await.unwrap(), [Standing::Cancelling]);
        assert_eq!(jobs.job_progress(key, &Progress::begun()).await.unwrap(), Standing::Cancelling);
        let after = Duration::from_secs(1);
        let failure = Failure {
            class: FailureClass::Storage,
            message: "closed".to_owned(),
            disposition: Disposition::Retry { after },
        };
        match item {
            0 => drop(jobs.job_finish(key, &JobResult::Cancelled).await.unwrap()),
            1 => drop(jobs.job_finish(key, &JobResult::Failed(failure)).await.unwrap()),
            _ => jobs.job_wait(key, after, "later").await.unwrap(),
        }
        assert_eq!(world.job(key.job_id).await.state, JobState::Cancelled { finished_at: world.now() });
        assert_eq!(world.told().await.last(), Some(&EventKind::Cancelled));
    }
}

/// A snapshot that was published before the wish to cancel arrived is recorded: it is there, and nobody hides it.
pub async fn what_was_done_before_the_wish_counts(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    cancel(&world, key).await;
    let result = backed_up(&world, Outcome::Complete, "ab", Unread::default());
    assert_eq!(jobs.job_finish(key, &result).await.unwrap().name(), StateName::Succeeded);
    let good = world.history.snapshot_newest_good(world.items[0].id, world.repository.id).await.unwrap();
    assert_eq!(good.map(|snapshot| snapshot.job_id), Some(key.job_id));
}
