//! Keeps an agent's leases alive with one renewal for all, and hears which of them are to stop.
//!
//! ```text
//!  renewed ──> held ──(no renewal until margin before the end)──> lost: interrupt, say nothing
//!                └──(standing: cancelling)──> cancelling: interrupt, finish as cancelled
//! ```
//!
//! Time is counted monotonically from *before* each renewal, and each request for a lease, was sent, so an agent's view
//! of its lease always ends before the database's does, however long the answer was on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::lease::{margin, renew_every};
use backstay_core::ports::job::{Jobs, Standing};
use backstay_engine::Interrupt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The leases that an agent holds.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leases: Mutex<Leases>,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Leases {
    by_key: HashMap<LeaseKey, Lease>,
    /// When the newest call that extended the agent's heartbeat was sent; none while nothing is held.
    sent: Option<Instant>,
}

/// One lease in the hand.
#[derive(Debug)]
struct Lease {
    interrupt: Interrupt,
    standing: Standing,
}

impl Held {
    /// Takes a lease in, with what stops its work. `asked` is a moment before the lease was asked for.
    pub fn take(&self, key: LeaseKey, interrupt: Interrupt, asked: Instant) {
        let mut leases = self.lock();
        leases.by_key.insert(key, Lease { interrupt, standing: Standing::Held });
        leases.sent = leases.sent.max(Some(asked));
        drop(leases);
        self.0.taken.notify_one();
    }

    /// Notes that a renewal which was sent at `sent` was answered.
    fn renewed(&self, sent: Instant) {
        let mut leases = self.lock();
        leases.sent = leases.sent.max(Some(sent));
    }

    /// Returns when the newest call that extended the heartbeat was sent; none while nothing is held.
    fn sent(&self) -> Option<Instant> {
        self.lock().sent
    }

    /// Lets a lease go, and returns its standing at the end.
    pub fn release(&self, key: &LeaseKey) -> Standing {
        let mut leases = self.lock();
        let released = leases.by_key.remove(key);
        if leases.by_key.is_empty() {
            leases.sent = None;
        }
        released.map_or(Standing::Lost, |lease| lease.standing)
    }

    /// Returns the standing of a lease.
    pub fn standing(&self, key: &LeaseKey) -> Standing {
        self.lock().by_key.get(key).map_or(Standing::Lost, |lease| lease.standing)
    }

    /// Notes what the control plane thinks of a lease, and stops its work unless it is held. What is lost stays lost.
    pub fn note(&self, key: &LeaseKey, standing: Standing) {
        if let Some(lease) = self.lock().by_key.get_mut(key)
            && lease.standing != Standing::Lost
            && standing != Standing::Held
        {
            lease.standing = standing;
            lease.interrupt.raise();
        }
    }

    /// Returns how many leases are held.
    pub fn count(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Stops all work, without a word about standings: the agent itself is stopped.
    pub fn interrupt_all(&self) {
        self.lock().by_key.values().for_each(|lease| lease.interrupt.raise());
    }

    /// Returns the leases.
    pub fn keys(&self) -> Vec<LeaseKey> {
        self.lock().by_key.keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.0.leases.lock().expect("no holder panics")
    }
}

/// Renews until told to end. An agent that holds nothing is silent.
pub async fn beat(jobs: Arc<dyn Jobs>, agent_id: AgentId, ttl: Duration, held: Held, end: CancellationToken) {
    loop {
        let stop_at = held.sent().map(|sent| sent + ttl - margin(ttl));
        let pause = match stop_at.map(|stop_at| stop_at.saturating_duration_since(Instant::now())) {
            // Nothing is held, or the leases are lost and their work has to let them go: nothing is urgent.
            None | Some(Duration::ZERO) => renew_every(ttl),
            Some(time_left) => renew_every(ttl).min(time_left),
        };
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // A first lease may be old already: how long it may be held is counted anew at once.
            () = held.0.taken.notified() => {
                if held.sent().is_some_and(|sent| sent.elapsed() < renew_every(ttl)) {
                    continue;
                }
            }
        }
        let keys = held.keys();
        let now = Instant::now();
        let Some(stop_at) = held.sent().map(|sent| sent + ttl - margin(ttl)) else { continue };
        if now >= stop_at {
            keys.iter().for_each(|key| held.note(key, Standing::Lost));
        } else if renew(&*jobs, agent_id, &keys, &held, stop_at - now).await {
            held.renewed(now);
        } else if Instant::now() >= stop_at {
            // The renewal hung until the very end: what was held is let go at once, not with the next beat.
            keys.iter().for_each(|key| held.note(key, Standing::Lost));
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
