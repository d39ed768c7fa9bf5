//! The production agent in the house: its loop, its runner and its fence over the port of jobs, which may stand still.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backstay_agent::{AgentOptions, Commands, run};
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobKind, JobState, Leased, Progress, StateName, Work};
use backstay_core::managers::job::JobManager;
use backstay_core::ports::clock::Clock;
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Place;
use super::hold::Hold;

/// How often a free agent looks for work: that it finds none is how it learns to end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Longer than a run takes: nobody looks at progress here, and by its own clock the agent never finds out that it slept.
const NEVER: Duration = Duration::from_secs(86_400);

/// How an agent's job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its result was accepted; the snapshot has a row.
    Accepted(String),
    /// It stopped, or failed, before it had a snapshot to hand in; what it said was refused.
    Stopped,
    /// It had published, and its result was refused.
    Refused(String),
}

/// Where the house's things lie.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) repository: PathBuf,
    pub(super) tree: PathBuf,
}

/// The port of jobs for one agent and one job.
struct HeldJobs {
    inner: Arc<JobManager>,
    hold: Hold,
    places: Places,
    leased: Mutex<Option<LeaseKey>>,
    ended: Mutex<Option<Ended>>,
    end: CancellationToken,
}

/// Has an agent do the job that is due, and returns which it was and how it ended; none when none is due.
pub(super) async fn work(
    jobs: &Arc<JobManager>,
    (hold, places): (&Hold, &Places),
    agent_id: AgentId,
    clock: Arc<dyn Clock>,
) -> Option<(LeaseKey, Ended)> {
    let end = CancellationToken::new();
    let held = Arc::new(HeldJobs {
        inner: Arc::clone(jobs),
        hold: hold.clone(),
        places: places.clone(),
        leased: Mutex::default(),
        ended: Mutex::default(),
        end: end.clone(),
    });
    let options = AgentOptions {
        agent_id,
        kinds: vec![JobKind::Backup],
        slots: 1,
        threads: 1,
        poll_every: LOOK_EVERY,
        progress_every: NEVER,
        ttl: NEVER,
        hostname: "host".to_owned(),
        username: "ada".to_owned(),
        program_version: "backstay test".to_owned(),
        commands: Commands::Refused,
        clock,
        wake: Arc::default(),
    };
    run(Arc::clone(&held) as Arc<dyn Jobs>, options, end).await;
    let key = (*held.leased.lock().unwrap())?;
    let ended = held.ended.lock().unwrap().clone();
    Some((key, ended.expect("whoever leased a job says how it ended")))
}

impl HeldJobs {
    fn ends(&self, ended: Ended) {
        let before = self.ended.lock().unwrap().replace(ended);
        assert_eq!(before, None, "one end");
    }

    /// Puts the house's folders into a lease.
    fn at_home(&self, job: &mut Job<Leased>) {
        job.state.repository.repository.storage.settings = json!({ "path": self.places.repository });
        let Work::Backup { source, item, .. } = &mut job.state.work else { panic!("backups alone are asked for") };
        source.settings = json!({ "path": self.places.tree });
        item.name = self.places.tree.to_str().unwrap().to_owned();
    }
}

#[async_trait]
impl Jobs for HeldJobs {
    async fn job_lease(&self, request: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError> {
        let had_one = self.leased.lock().unwrap().is_some();
        let mut jobs = if had_one { Vec::new() } else { self.inner.job_lease(request).await? };
        let Some(job) = jobs.first_mut() else {
            self.end.cancel();
            return Ok(jobs);
        };
        self.at_home(job);
        *self.leased.lock().unwrap() = Some(job.lease_key());
        self.hold.at(Place::LeaseToWork);
        Ok(jobs)
    }

    async fn job_renew(&self, agent_id: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError> {
        self.hold.at(Place::IndexToLastRenewal);
        self.inner.job_renew(agent_id, leases).await
    }

    async fn job_progress(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        self.inner.job_progress(lease, progress).await
    }

    async fn job_checkpoint(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.hold.at(Place::LastRenewalToNote);
        self.inner.job_checkpoint(lease, checkpoint).await?;
        self.hold.at(Place::NoteToSecondLook);
        Ok(())
    }

    async fn job_wait(&self, lease: LeaseKey, delay: Duration, reason: &str) -> Result<(), LeaseError> {
        let answer = self.inner.job_wait(lease, delay, reason).await;
        assert!(matches!(answer, Err(LeaseError::Lost { .. })), "{reason}: {answer:?}");
        self.ends(Ended::Stopped);
        answer
    }

    async fn job_finish(&self, lease: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError> {
        self.hold.at(Place::SnapshotToFinish);
        let mut answer = self.inner.job_finish(lease, result).await;
        if answer.is_ok() {
            // Its answer is lost on the way, and it asks again.
            self.hold.at(Place::RowsToAnswer);
            answer = self.inner.job_finish(lease, result).await;
        }
        self.ends(match (&answer, result) {
            (Ok(state), JobResult::BackedUp { snapshot, .. }) if state.name() == StateName::Succeeded => {
                Ended::Accepted(snapshot.foreign_id.clone())
            }
            (Err(LeaseError::Lost { .. }), JobResult::BackedUp { snapshot, .. }) => {
                Ended::Refused(snapshot.foreign_id.clone())
            }
            // Its lock was gone, or its packs were taken for litter.
            (Err(LeaseError::Lost { .. }), JobResult::Failed(_)) => Ended::Stopped,
            other => panic!("{other:?}"),
        });
        answer
    }
}
