//! How long a lease holds, and how often it is renewed.
//!
//! An agent renews one heartbeat for all its leases. A lease is alive while its agent's heartbeat is *and* the job made
//! progress within its stall limit. Expiry is decided by the database's clock; the agent counts monotonic time and
//! stops [`margin`] before its lease ends, so that it has stopped before anybody else begins.

use std::time::Duration;

/// How long a heartbeat keeps an agent's leases: long enough for a pause of the machine, short enough that a lost job
/// runs again within the minute.
pub const LEASE_TTL: Duration = Duration::from_secs(30);

/// How long a job may make no progress when its plan says nothing, by its agent's watch; and how long an agent may tell nothing
/// new of a job, by the database's: the longest that a single call to a storage or a file system may take.
pub const STALL_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Most leases that one agent asks for at once: each is hours of work, so prefetching would only hide jobs from others.
pub const LEASE_BATCH_MAX: u32 = 16;

/// Returns how often a heartbeat is sent: three tries fit into one lease.
pub const fn renew_every(ttl: Duration) -> Duration {
    Duration::from_millis(ttl.as_millis() as u64 / 3)
}

/// Returns how long before the end of its lease an agent stops by itself.
pub const fn margin(ttl: Duration) -> Duration {
    Duration::from_millis(ttl.as_millis() as u64 / 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_renewals_may_be_lost_before_the_agent_stops() {
        assert!(renew_every(LEASE_TTL) * 2 < LEASE_TTL - margin(LEASE_TTL));
        assert!(margin(LEASE_TTL) > Duration::ZERO);
    }
}
