//! What jobs came to since this process began, for monitoring: a counter a kind and ending, bytes, leases that were lost.
//!
//! Each replica counts what it took in itself; monitoring adds replicas up, and knows that a counter begins again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobKind, JobState, Leased, Progress};
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use backstay_core::ports::store::JobStore;

/// The counters. Their labels are words of the core's lists, so there are few.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts that ended, by kind of job and what the job is then: an outcome, or the state's word.
    pub ended: BTreeMap<(&'static str, &'static str), u64>,
    /// Bytes by kind of job and sort: `content` of what was read, `added`, `stored`, `freed`.
    pub bytes: BTreeMap<(&'static str, &'static str), u64>,
    /// Leases that ended without a word of their agent.
    pub lost: u64,
}

impl Tally {
    /// Returns what was counted until now.
    pub fn counts(&self) -> Counts {
        self.0.lock().expect("no holder panics").clone()
    }

    /// Counts leases that were lost.
    pub fn lost(&self, leases: u64) {
        self.0.lock().expect("no holder panics").lost += leases;
    }

    fn ended(&self, kind: JobKind, result: &JobResult, state: &JobState) {
        let ending = match state {
            JobState::Succeeded { outcome, .. } => outcome.word(),
            state => state.name().word(),
        };
        let (content, added, stored, freed) = match result {
            JobResult::BackedUp { counts, .. }
            | JobResult::Confirmed { counts, .. }
            | JobResult::Restored { counts, .. }
            | JobResult::Verified { counts, .. } => (counts.bytes, counts.bytes_added, counts.bytes_stored, 0),
            JobResult::Pruned { counts, .. } => (0, 0, 0, counts.bytes_freed),
            JobResult::Discovered { .. } | JobResult::Failed(_) | JobResult::Cancelled => (0, 0, 0, 0),
        };
        let mut counts = self.0.lock().expect("no holder panics");
        *counts.ended.entry((kind.word(), ending)).or_default() += 1;
        for (sort, bytes) in [("content", content), ("added", added), ("stored", stored), ("freed", freed)] {
            if bytes > 0 {
                *counts.bytes.entry((kind.word(), sort)).or_default() += bytes;
            }
        }
    }
}

/// The port `Jobs`, with what passes through it counted.
pub struct Tallied {
    jobs: Arc<dyn Jobs>,
    store: Arc<dyn JobStore>,
    tally: Arc<Tally>,
}

impl Tallied {
    /// Counts what agents hand in to `jobs`. The store is asked for the kind of a job that ended without a result.
    pub fn new(jobs: Arc<dyn Jobs>, store: Arc<dyn JobStore>, tally: Arc<Tally>) -> Self {
        Self { jobs, store, tally }
    }

    async fn kind(&self, lease: LeaseKey, result: &JobResult) -> Option<JobKind> {
        match result {
            JobResult::BackedUp { .. } | JobResult::Confirmed { .. } => Some(JobKind::Backup),
            JobResult::Restored { .. } => Some(JobKind::Restore),
            JobResult::Verified { .. } => Some(JobKind::Verify),
            JobResult::Pruned { .. } => Some(JobKind::Prune),
            JobResult::Discovered { .. } => Some(JobKind::Discover),
            JobResult::Failed(_) | JobResult::Cancelled => {
                self.store.job_get(lease.job_id).await.ok().map(|job| job.kind())
            }
        }
    }
}

#[async_trait]
impl Jobs for Tallied {
    async fn job_lease(&self, request: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError> {
        self.jobs.job_lease(request).await
    }

    async fn job_renew(&self, agent_id: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError> {
        self.jobs.job_renew(agent_id, leases).await
    }

    async fn job_progress(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        self.jobs.job_progress(lease, progress).await
    }

    async fn job_checkpoint(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.jobs.job_checkpoint(lease, checkpoint).await
    }

    async fn job_wait(&self, lease: LeaseKey, delay: Duration, reason: &str) -> Result<(), LeaseError> {
        self.jobs.job_wait(lease, delay, reason).await
    }

    async fn job_finish(&self, lease: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError> {
        let state = self.jobs.job_finish(lease, result).await?;
        if let Some(kind) = self.kind(lease, result).await {
            self.tally.ended(kind, result, &state);
        }
        Ok(state)
    }
}
