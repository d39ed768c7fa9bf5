//! Keeps an agent's leases alive with one renewal for all, and hears which of them are to stop.
//!
//! ```text
//!  renewed ──> held ──(no renewal until margin before the end)──> lost: interrupt, say nothing
//!                └──(standing: cancelling)──> cancelling: interrupt, finish as cancelled
//! ```
//!
//! Time is counted monotonically from *before* each renewal was sent, so an agent's view of its lease always ends before
//! the database's does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::lease::{margin, renew_every};
use backstay_core::ports::job::{Jobs, Standing};
use backstay_engine::Interrupt;
use tokio_util::sync::CancellationToken;

/// The leases that an agent holds.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<HashMap<LeaseKey, Lease>>>);

/// One lease in the hand.
#[derive(Debug)]
struct Lease {
    interrupt: Interrupt,
    standing: Standing,
}

impl Held {
    /// Takes a lease in, with what stops its work.
    pub fn take(&self, key: LeaseKey, interrupt: Interrupt) {
        self.lock().insert(key, Lease { interrupt, standing: Standing::Held });
    }

    /// Lets a lease go, and returns its standing at the end.
    pub fn release(&self, key: &LeaseKey) -> Standing {
        self.lock().remove(key).map_or(Standing::Lost, |lease| lease.standing)
    }

    /// Returns the standing of a lease.
    pub fn standing(&self, key: &LeaseKey) -> Standing {
        self.lock().get(key).map_or(Standing::Lost, |lease| lease.standing)
    }

    /// Notes what the control plane thinks of a lease, and stops its work unless it is held. What is lost stays lost.
    pub fn note(&self, key: &LeaseKey, standing: Standing) {
        if let Some(lease) = self.lock().get_mut(key)
            && lease.standing != Standing::Lost
            && standing != Standing::Held
        {
            lease.standing = standing;
            lease.interrupt.raise();
        }
    }

    /// Returns how many leases are held.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Stops all work, without a word about standings: the agent itself is stopped.
    pub fn interrupt_all(&self) {
        self.lock().values().for_each(|lease| lease.interrupt.raise());
    }

    /// Returns the leases.
    pub fn keys(&self) -> Vec<LeaseKey> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LeaseKey, Lease>> {
        self.0.lock().expect("no holder panics")
    }
}

/// Renews until told to end. An agent that holds nothing is silent.
pub async fn beat(jobs: Arc<dyn Jobs>, agent_id: AgentId, ttl: Duration, held: Held, end: CancellationToken) {
    let mut sent = Instant::now();
    loop {
        let stop_at = sent + ttl - margin(ttl);
        let time_left = stop_at.saturating_duration_since(Instant::now());
        // Once the leases are lost nothing is urgent: their work has to let them go.
        let pause = if time_left.is_zero() { renew_every(ttl) } else { renew_every(ttl).min(time_left) };
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let keys = held.keys();
        let now = Instant::now();
        if keys.is_empty() {
            sent = now;
        } else if now >= stop_at {
            keys.iter().for_each(|key| held.note(key, Standing::Lost));
        } else if renew(&*jobs, agent_id, &keys, &held, stop_at - now).await {
            sent = now;
        }
    }
}

/// Sends one renewal and notes what it says; false when no answer came in time.
async fn renew(jobs: &dyn Jobs, agent_id: AgentId, keys: &[LeaseKey], held: &Held, time_left: Duration) -> bool {
    match tokio::time::timeout(time_left, jobs.job_renew(agent_id, keys)).await {
        Ok(Ok(standings)) => {
            keys.iter().zip(standings).for_each(|(key, standing)| held.note(key, standing));
            true
        }
        Ok(Err(error)) => {
            tracing::warn!(agent = %agent_id, error = %error, "a renewal failed");
            false
        }
        Err(_) => {
            tracing::warn!(agent = %agent_id, "a renewal was not answered in time");
            false
        }
    }
}
