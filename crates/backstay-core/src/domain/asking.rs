//! Somebody's asking for jobs: their ids follow from it, so that what is asked twice is made once.
//!
//! A request that carries an idempotency key has the same asking each time it comes: the caller, the key, and the moment
//! when it was first asked. All that is random in its jobs is drawn from that.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::id::{JobId, JobSetId};
use super::trace::TraceParent;

/// That somebody asked for jobs: when first, and what all that looks random in them is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    at: Timestamp,
    seed: [u8; 32],
    trace: Option<TraceParent>,
}

impl Asking {
    /// Makes the asking of a request that nobody repeats, from random bytes.
    pub const fn fresh(at: Timestamp, seed: [u8; 32]) -> Self {
        Self { at, seed, trace: None }
    }

    /// Returns the asking of a request with a key: the same for the same caller, key and first moment.
    pub fn keyed(first_asked_at: Timestamp, caller: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [caller, key] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(first_asked_at.as_microsecond().to_le_bytes());
        Self { at: first_asked_at, seed: hash.finalize().into(), trace: None }
    }

    /// Returns the asking as part of a trace.
    #[must_use]
    pub const fn traced(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// Returns its place in a trace.
    pub const fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// Returns when the request was first made.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns the id of the request's job on one thing, an item for example.
    pub fn job_id(&self, about: &str) -> JobId {
        JobId::new(self.at, self.drawn(about))
    }

    /// Returns the id of the set that the request's jobs make up.
    pub fn set_id(&self) -> JobSetId {
        JobSetId::new(self.at, self.drawn("set"))
    }

    /// Returns a number that looks random and is the same for this asking.
    pub fn number(&self, about: &str) -> u64 {
        u64::from_le_bytes(self.drawn(about))
    }

    fn drawn<const N: usize>(&self, about: &str) -> [u8; N] {
        let hash = Sha256::new().chain_update(self.seed).chain_update(about).finalize();
        std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_s_id_follows_from_caller_key_and_first_moment() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let one = Asking::keyed(at(5), "ada", "k");
        assert_eq!(one.job_id("x"), Asking::keyed(at(5), "ada", "k").job_id("x"));
        for other in
            [Asking::keyed(at(6), "ada", "k"), Asking::keyed(at(5), "adak", ""), Asking::keyed(at(5), "ada", "l")]
        {
            assert_ne!(one.job_id("x"), other.job_id("x"));
        }
        assert_ne!(one.job_id("x"), one.job_id("y"));
        assert!(one.job_id("x") < Asking::keyed(at(6), "ada", "k").job_id("x"), "newer ids sort later");
    }
}
