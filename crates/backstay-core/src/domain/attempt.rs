//! One agent's try at a job, from lease to finish, and the number that fences it.

use jiff::Timestamp;

use super::id::{AgentId, JobId};

/// A job's fencing token: it grows with each lease of that job, and a write that names an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptToken(pub i64);

/// What every write of a lease holder names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The job.
    pub job_id: JobId,
    /// The attempt that holds it.
    pub token: AttemptToken,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptEnd {
    /// The agent reported a result.
    Finished,
    /// The agent gave the job back to wait for another system.
    Waited,
    /// The lease ended without a word.
    Lost,
}

super::job::words!(AttemptEnd: Finished = "finished", Waited = "waited", Lost = "lost");

/// An attempt's row: history, append-only but for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Job and token.
    pub key: LeaseKey,
    /// Who tried.
    pub agent_id: AgentId,
    /// When the lease began.
    pub leased_at: Timestamp,
    /// When and how it ended; none while it runs.
    pub ended: Option<(Timestamp, AttemptEnd)>,
}
