//! The port `Jobs` over HTTP: what an agent on another host talks to.
//!
//! Each call may be repeated: an answer that was lost on the way harms nobody. What the server did not answer in time is
//! [`StoreError::Unavailable`], as a database that is away, and the agent tries again; a problem that stays is
//! [`StoreError::Refused`]. A lease counts from before its request was sent, which its holder sees to.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobState, Leased, Progress};
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use backstay_core::ports::store::StoreError;

use crate::client::{Client, ClientError};
use crate::problem::code;
use crate::types::lease::{CheckpointTell, LeaseAsk, ProgressTell, RenewAsk, WaitTell, standing};
use crate::types::result::FinishTell;
use crate::types::wire::{WireError, ms, wrong};

/// Longest that a call may take, with all replicas together: two thirds of a lease, so that a heartbeat can be sent again
/// before its leases end.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// The port `Jobs`, spoken to a server.
#[derive(Debug, Clone)]
pub struct JobsClient(Client);

impl JobsClient {
    /// Makes the port of a client whose token is an agent's.
    pub fn new(client: &Client) -> Self {
        Self(client.repeating(CALL_TIME_MAX))
    }
}

/// Returns what a store would have said.
fn store_error(error: ClientError) -> StoreError {
    match error {
        ClientError::Problem { problem } if problem.code == code::NOT_FOUND => {
            StoreError::NotFound { noun: "row:", key: problem.detail }
        }
        ClientError::Problem { problem } if !passes(problem.status) => {
            StoreError::Refused { code: problem.code, detail: problem.detail }
        }
        ClientError::Foreign { url, status } if !passes(status) => {
            StoreError::Refused { code: format!("status {status}"), detail: format!("{url} is not what was expected") }
        }
        error => StoreError::Unavailable(Box::new(error)),
    }
}

/// Says whether a status is one that may pass by itself.
const fn passes(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 409 | 425 | 429)
}

/// Says that an answer of the server cannot be read: it is much newer than this program, or something else.
fn unreadable(error: WireError) -> LeaseError {
    LeaseError::Store(StoreError::Unreadable {
        table: "answer of the control plane",
        row: error.field.to_owned(),
        problem: error.problem,
    })
}

fn lease_error(error: ClientError) -> LeaseError {
    LeaseError::Store(store_error(error))
}

/// Returns what a call about one lease says when it fails.
fn held_error(lease: LeaseKey) -> impl FnOnce(ClientError) -> LeaseError {
    move |error| match error {
        ClientError::Problem { problem } if problem.code == code::LEASE_LOST => {
            LeaseError::Lost { job_id: lease.job_id, token: lease.token }
        }
        error => lease_error(error),
    }
}

#[async_trait]
impl Jobs for JobsClient {
    async fn job_lease(&self, request: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError> {
        let agent = request.agent_id.to_string();
        let given = self.0.job_lease(&agent, &LeaseAsk::from(request)).await.map_err(lease_error)?;
        given.jobs.into_iter().map(|job| job.try_into().map_err(unreadable)).collect()
    }

    async fn job_renew(&self, agent_id: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError> {
        let ask = RenewAsk { leases: leases.iter().map(|lease| (*lease).into()).collect() };
        let renewed = self.0.job_renew(&agent_id.to_string(), &ask).await.map_err(lease_error)?;
        if renewed.standings.len() != leases.len() {
            let problem = format!("{} standings for {} leases", renewed.standings.len(), leases.len());
            return Err(unreadable(wrong("standings", problem)));
        }
        renewed.standings.iter().map(|word| standing(word).map_err(unreadable)).collect()
    }

    async fn job_progress(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        let tell = ProgressTell { attempt: lease.token.0, progress: (*progress).into() };
        let answer = self.0.job_progress(&lease.job_id.to_string(), &tell).await.map_err(held_error(lease))?;
        standing(&answer.standing).map_err(unreadable)
    }

    async fn job_checkpoint(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let tell = CheckpointTell::new(lease.token, checkpoint);
        self.0.job_checkpoint(&lease.job_id.to_string(), &tell).await.map_err(held_error(lease))
    }

    async fn job_wait(&self, lease: LeaseKey, delay: Duration, reason: &str) -> Result<(), LeaseError> {
        let tell = WaitTell { attempt: lease.token.0, delay_ms: ms(delay), reason: reason.to_owned() };
        self.0.job_wait(&lease.job_id.to_string(), &tell).await.map_err(held_error(lease))
    }

    async fn job_finish(&self, lease: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError> {
        let tell = FinishTell { attempt: lease.token.0, result: result.into() };
        let answer = self.0.job_finish(&lease.job_id.to_string(), &tell).await.map_err(held_error(lease))?;
        answer.read().map_err(unreadable)
    }
}
