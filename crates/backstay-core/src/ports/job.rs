//! The port between agents and the control plane: lease, renew, tell, finish.
//!
//! It stands at both ends of the wire: the core's manager fulfils it over the stores for an agent in the same process,
//! the HTTP client will for an agent elsewhere, and the agent knows neither. Every write names the job *and* the attempt
//! token; a write with an older token is refused with [`LeaseError::Lost`], and whoever gets that stops at once.

use std::time::Duration;

use async_trait::async_trait;

use super::secret::SecretError;
use super::store::StoreError;
use crate::domain::adoption::FoundSnapshot;
use crate::domain::attempt::{AttemptToken, LeaseKey};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::disposition::Disposition;
use crate::domain::evidence::Findings;
use crate::domain::id::{AgentId, JobId, SnapshotId};
use crate::domain::job::{Failure, Job, JobCounts, JobKind, JobState, Leased, Outcome, Progress, PruneCounts};
use crate::domain::name::Name;
use crate::domain::quota::QuotaError;
use crate::domain::snapshot::PublishedSnapshot;
use crate::domain::unread::Unread;

/// Who asks for work, and what work it can do.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// The agent.
    pub agent_id: AgentId,
    /// The kinds that it has runners for.
    pub kinds: Vec<JobKind>,
    /// All leases that it knows it holds. One that it has had for a while and does not name was never received, or
    /// dropped: its job is given to somebody again.
    pub held: Vec<LeaseKey>,
    /// Most jobs that it wants now; at most `LEASE_BATCH_MAX` are given.
    pub count_max: u32,
}

/// What the control plane thinks of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Go on.
    Held,
    /// Stop, and finish as cancelled.
    Cancelling,
    /// Somebody else has it, or nobody: stop and say nothing.
    Lost,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum JobResult {
    /// A snapshot was published.
    BackedUp {
        /// How it went.
        outcome: Outcome,
        /// What was published.
        snapshot: PublishedSnapshot,
        /// In numbers.
        counts: JobCounts,
        /// What could not be read.
        unread: Unread,
        /// What went wrong beside it, for a person; none when nothing did.
        warning: Option<String>,
    },
    /// The item is as its newest snapshot has it, and none was published: its plan wants it so.
    Confirmed {
        /// The snapshot, and when the reading began.
        snapshot: PublishedSnapshot,
        /// In numbers.
        counts: JobCounts,
        /// What went wrong beside it, for a person; none when nothing did.
        warning: Option<String>,
    },
    /// Data was restored.
    Restored {
        /// How it went.
        outcome: Outcome,
        /// In numbers.
        counts: JobCounts,
        /// What could not be restored.
        unread: Unread,
    },
    /// Data was read back and compared; harm or none is in the findings.
    Verified {
        /// What was read and found.
        findings: Box<Findings>,
        /// In numbers.
        counts: JobCounts,
    },
    /// Snapshots were forgotten and data was removed.
    Pruned {
        /// The snapshots that are not in the repository any more, of those that were to go.
        forgotten: Vec<SnapshotId>,
        /// Others that are not there, of those that were to be looked for.
        missing: Vec<SnapshotId>,
        /// In numbers.
        counts: PruneCounts,
    },
    /// The snapshots of a repository were read.
    Discovered {
        /// All that could be read.
        found: Vec<FoundSnapshot>,
        /// Those that could not, by their names in the repository.
        unread: Unread,
    },
    /// It did not work.
    Failed(Failure),
    /// It stopped because it was asked to.
    Cancelled,
}

/// Leases jobs and takes in what came of them.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Returns up to `count_max` jobs, each leased to the agent and with all that it needs; none when nothing is due.
    /// Counts as a heartbeat.
    ///
    /// # Errors
    /// [`LeaseError::Store`] or [`LeaseError::Secret`].
    async fn job_lease(&self, request: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError>;

    /// Sends the agent's heartbeat and returns the standing of each lease, in the order asked.
    ///
    /// # Errors
    /// [`LeaseError::Store`].
    async fn job_renew(&self, agent_id: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError>;

    /// Tells how far a job is. Progress that grew keeps the stall limit away.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] or [`LeaseError::Store`].
    async fn job_progress(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError>;

    /// Stores an intent for the next attempt, before a call that is not idempotent. Replaces the one before.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] or [`LeaseError::Store`].
    async fn job_checkpoint(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError>;

    /// Gives the job back while another system works; it is queued again after `delay`. The lease ends here.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] or [`LeaseError::Store`].
    async fn job_wait(&self, lease: LeaseKey, delay: Duration, reason: &str) -> Result<(), LeaseError>;

    /// Takes in what came of the attempt, in one transaction, and returns the job's new state. The lease ends here.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when another attempt has begun: nothing was written. [`LeaseError::Store`].
    async fn job_finish(&self, lease: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError>;
}

/// Why a lease could not be had, kept or ended.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The lease is over, and with it the right to write.
    #[error("the lease of job {job_id} (attempt {}) is over", token.0)]
    Lost {
        /// The job.
        job_id: JobId,
        /// The attempt that held it.
        token: AttemptToken,
    },
    /// The store did not answer.
    #[error("the store of jobs did not answer")]
    Store(#[from] StoreError),
    /// The job's tenant has used up its quota.
    #[error("the quota of the tenant is reached")]
    Quota {
        /// The job.
        job_id: JobId,
        /// Which limit.
        source: QuotaError,
    },
    /// A secret that the job needs could not be read.
    #[error("a secret that job {job_id} needs for repository {repository} could not be read")]
    Secret {
        /// The job.
        job_id: JobId,
        /// The repository's name.
        repository: Name,
        /// What happened.
        source: SecretError,
    },
}

impl LeaseError {
    /// Returns what the error asks for.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Lost { .. } => Disposition::Operator,
            Self::Store(error) => error.disposition(),
            Self::Secret { source, .. } => source.disposition(),
            Self::Quota { source, .. } => source.disposition(),
        }
    }
}

impl Job<Leased> {
    /// Returns what every write for this job names.
    pub const fn lease_key(&self) -> LeaseKey {
        LeaseKey { job_id: self.id, token: self.attempt_token }
    }

    /// Ends the lease with a result and returns the job's new state; the job in the hand is gone.
    ///
    /// # Errors
    /// As [`Jobs::job_finish`].
    pub async fn finish(self, jobs: &dyn Jobs, result: &JobResult) -> Result<JobState, LeaseError> {
        jobs.job_finish(self.lease_key(), result).await
    }
}
