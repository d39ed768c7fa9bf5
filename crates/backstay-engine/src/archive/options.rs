//! What a backup is told.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::format::id::Id;

/// What to read and what to say about it.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// The tree: an absolute path to a folder.
    pub root: PathBuf,
    /// The snapshot that unchanged files are taken from; none to read everything.
    pub parent: Option<Id>,
    /// Name of the machine, for the snapshot.
    pub hostname: String,
    /// Name of the user, for the snapshot.
    pub username: String,
    /// Words that people find the snapshot by.
    pub tags: Vec<String>,
    /// What the snapshot says it was made by.
    pub program_version: String,
    /// The moment when reading begins.
    pub started_at: Timestamp,
    /// Threads that read; at least one.
    pub workers: usize,
    /// Packs that are uploaded at once; at least one.
    pub uploads: usize,
    /// Whether new blobs are opened and hashed again before they leave.
    pub recheck: Recheck,
}

/// Whether new blobs are opened and hashed again before they leave this process: what broken memory or a broken
/// processor sealed would otherwise be found by a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// Each is.
    Each,
    /// None is: for benchmarks at equal work only.
    Off,
}
