//! What must be true just before something that cannot be undone: the lease was renewed now, and is held.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::id::AgentId;
use backstay_core::ports::clock::Clock;
use backstay_core::ports::job::{Jobs, LeaseError, Standing};
use backstay_engine::EngineError;
use jiff::Timestamp;
use tokio::runtime::Handle;

use super::Runner;
use crate::heartbeat::Held;

/// How long after a renewal without an answer the next one is sent: often within the time that the heartbeat leaves.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The fence of one lease.
pub(super) struct Fence {
    jobs: Arc<dyn Jobs>,
    held: Held,
    agent_id: AgentId,
    pub(super) key: LeaseKey,
    clock: Arc<dyn Clock>,
    handle: Handle,
}

impl Fence {
    /// Makes the fence of a lease; on the thread of the agent's runtime.
    pub(super) fn new(runner: &Runner, key: LeaseKey) -> Self {
        Self {
            jobs: Arc::clone(&runner.jobs),
            held: runner.held.clone(),
            agent_id: runner.options.agent_id,
            key,
            clock: Arc::clone(&runner.options.clock),
            handle: Handle::current(),
        }
    }

    /// Writes a note that the next attempt will find; only a live lease may. Tried again as [`Self::check`] is.
    pub(super) fn note(&self, checkpoint: &Checkpoint) -> Result<(), EngineError> {
        loop {
            match self.handle.block_on(self.jobs.job_checkpoint(self.key, checkpoint)) {
                Ok(()) => return Ok(()),
                Err(LeaseError::Store(_)) if self.held.standing(&self.key) == Standing::Held => {
                    std::thread::sleep(ASK_AGAIN_AFTER);
                }
                Err(_) => return Err(EngineError::Interrupted),
            }
        }
    }

    /// Renews the lease; anything but a held one stops the run. A control plane that does not answer is asked again until
    /// the heartbeat gives the lease up: hours of work are not thrown away for one lost answer.
    pub(super) fn check(&self) -> Result<Timestamp, EngineError> {
        loop {
            match self.handle.block_on(self.jobs.job_renew(self.agent_id, &[self.key])) {
                Ok(standings) => {
                    let standing = standings.first().copied().unwrap_or(Standing::Lost);
                    self.held.note(&self.key, standing);
                    break;
                }
                Err(_) if self.held.standing(&self.key) == Standing::Held => std::thread::sleep(ASK_AGAIN_AFTER),
                Err(_) => break,
            }
        }
        match self.held.standing(&self.key) {
            Standing::Held => Ok(self.clock.now()),
            Standing::Cancelling | Standing::Lost => Err(EngineError::Interrupted),
        }
    }
}
