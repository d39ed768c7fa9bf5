//! Prune: removes data that no snapshot needs, alone in the repository, in two phases.
//!
//! ```text
//!  plan   snapshots ─> trees ─> used blobs;  index, packs in the storage ─> what becomes of each pack
//!  apply  1 remove packs that were marked longer ago than the grace     (index files name them as about to go, and no other way)
//!         2 copy what is needed out of packs that are rewritten         (new packs, named as they come)
//!         3 write index files: kept packs, new packs, packs to delete   (both old and new index are true)
//!         4 remove the index files that these replace                   (marked packs are in `packs_to_delete`)
//! ```
//!
//! Whoever dies between any two writes leaves a repository in which every needed blob is found: an old index file goes
//! only after all new ones are there, a pack goes only while whoever reads knows that it may. What is left over is found
//! by the next prune. `plan` decides and changes nothing, `bill` says what it asks of the storage, `apply`
//! does it.

mod plan;
mod apply;
mod bill;

use std::time::Duration;

pub use apply::apply;
pub use bill::{Prices, PruneWork};
pub use plan::{PrunePlan, PrunePreview, plan};

/// How long a marked pack stays: longer than any lease with its longest pause. rustic's figure.
pub const GRACE: Duration = Duration::from_secs(23 * 3_600);

/// How much unused data may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusedLimit {
    /// So many hundredths of what is left afterwards; below 100.
    Percent(u64),
    /// So many bytes.
    Bytes(u64),
    /// No pack is rewritten: packs go only when nothing in them is needed.
    Unlimited,
}

/// What a prune is told.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// How long a marked pack stays, by the storage's clock.
    pub grace: Duration,
    /// How much unused data may stay in packs that are needed.
    pub unused: UnusedLimit,
    /// Most needed bytes that are copied out of packs that are rewritten; none for no limit.
    pub rewrite_bytes_max: Option<u64>,
}

impl Default for PruneOptions {
    /// restic's limit of unused data, and rustic's grace.
    fn default() -> Self {
        Self { grace: GRACE, unused: UnusedLimit::Percent(5), rewrite_bytes_max: None }
    }
}

impl UnusedLimit {
    /// Returns how many unused bytes may stay beside these used ones.
    const fn bytes(self, used_bytes: u64) -> u64 {
        match self {
            Self::Percent(percent) if percent < 100 => used_bytes.saturating_mul(percent) / (100 - percent),
            Self::Percent(_) | Self::Unlimited => u64::MAX,
            Self::Bytes(bytes) => bytes,
        }
    }
}
