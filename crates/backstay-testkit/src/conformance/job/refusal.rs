//! Promises about who may not write.

use std::time::Duration;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{PlanId, RepositoryId};
use backstay_core::domain::job::{Job, Outcome, Progress, StateName};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, Standing};
use backstay_core::ports::store::{Page, SnapshotFilter};

use super::road::rescue;
use super::{JobsHarness, backed_up, lease, leased};
use crate::conformance::world::{TTL, World};

fn assert_lost<T: std::fmt::Debug>(answer: Result<T, LeaseError>) {
    assert!(matches!(answer, Err(LeaseError::Lost { .. })), "{answer:?}");
}

/// Every call that an agent could make with this lease is refused.
async fn assert_all_lost(jobs: &dyn Jobs, world: &World, key: LeaseKey) {
    assert_lost(jobs.job_progress(key, &Progress::begun()).await);
    assert_lost(jobs.job_checkpoint(key, &Checkpoint::new(vec![1]).unwrap()).await);
    assert_lost(jobs.job_wait(key, Duration::from_secs(1), "later").await);
    let result = backed_up(world, Outcome::Complete, "66", Unread::default());
    assert_lost(jobs.job_finish(key, &result).await);
    assert_lost(jobs.job_finish(key, &JobResult::Cancelled).await);
}

/// An agent that was away too long learns from each call that it lost the job, before and after somebody else has it,
/// and nothing that it says is written.
pub async fn a_lost_lease_is_refused(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let (slow, quick) = (world.agent(), world.agent());
    let old = leased(&*jobs, &world, 0, slow).await.lease_key();
    world.clock.advance(TTL);
    assert_eq!(jobs.job_renew(slow, &[old]).await.unwrap(), [Standing::Lost]);
    assert_all_lost(&*jobs, &world, old).await;
    rescue(&world, old).await;
    assert_all_lost(&*jobs, &world, old).await;
    let new = lease(&*jobs, quick, 1).await.remove(0);
    assert_eq!(new.lease_key(), LeaseKey { token: new.attempt_token, ..old });
    assert!(new.attempt_token > old.token);
    assert_eq!(new.state.checkpoint, None);
    assert_all_lost(&*jobs, &world, old).await;
    assert_eq!(jobs.job_renew(slow, &[old]).await.unwrap(), [Standing::Lost]);
    assert_eq!(jobs.job_renew(quick, &[new.lease_key()]).await.unwrap(), [Standing::Held]);
    assert_eq!(world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap(), []);
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Rescued]);
    let result = backed_up(&world, Outcome::Complete, "77", Unread::default());
    assert_eq!(new.finish(&*jobs, &result).await.unwrap().name(), StateName::Succeeded);
}

/// A result that is sent twice is taken in once.
pub async fn a_result_is_taken_in_once(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let key = leased(&*jobs, &world, 0, world.agent()).await.lease_key();
    let result = backed_up(&world, Outcome::Complete, "88", Unread::default());
    jobs.job_finish(key, &result).await.unwrap();
    assert_all_lost(&*jobs, &world, key).await;
    assert_eq!(world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap().len(), 1);
    assert_eq!(world.told().await, [EventKind::Enqueued, EventKind::Succeeded]);
}

/// A job that cannot be handed over, because its repository's password is not where it should be, fails and says so;
/// the others of the batch are leased.
pub async fn a_job_whose_secret_is_missing_fails_and_is_not_handed_over(harness: JobsHarness) {
    let (jobs, world) = harness.world(2).await;
    let locked = Repository {
        id: RepositoryId::new(world.now(), world.ten()),
        name: "locked".parse().unwrap(),
        password: "file:keys/lost.key".parse().unwrap(),
        ..world.repository.clone()
    };
    world.stores.declarations.repository_add(&locked).await.unwrap();
    let plan = Plan {
        id: PlanId::new(world.now(), world.ten()),
        name: "locked".parse().unwrap(),
        repository_id: locked.id,
        ..world.plan.clone()
    };
    world.stores.declarations.plan_add(&plan).await.unwrap();
    let broken = Job { plan_id: Some(plan.id), repository_id: locked.id, ..world.backup(0) };
    world.enqueue(&broken).await;
    let whole = world.queued(1).await;
    let leased = lease(&*jobs, world.agent(), 9).await;
    assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [whole]);
    let row = world.job(broken.id).await;
    assert_eq!(row.state.name(), StateName::Failed);
    assert!(format!("{:?}", row.state).contains("keys/lost.key"), "{:?}", row.state);
}
