//! What a backup is told.

use std::path::PathBuf;
use std::sync::Arc;

use backstay_storage::{Pace, SystemPace};
use jiff::Timestamp;

use super::exclude::Excludes;
use crate::format::id::Id;
use crate::system::System;

/// What to read and what to say about it. [`ArchiveOptions::new`] fills in what is usual.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// What is read: paths, absolute or relative to the current folder. The snapshot lays them out as restic does.
    pub roots: Vec<PathBuf>,
    /// What a root may be.
    pub root_rule: RootRule,
    /// What is left out.
    pub excludes: Excludes,
    /// The snapshot that unchanged files are taken from; none to read everything.
    pub parent: Option<Id>,
    /// What tells that a file did not change since the parent.
    pub change_rule: ChangeRule,
    /// Whether times of last access are kept.
    pub access_times: AccessTimes,
    /// Name of the machine, for the snapshot.
    pub hostname: String,
    /// Name of the user, for the snapshot.
    pub username: String,
    /// Words that people find the snapshot by.
    pub tags: Vec<String>,
    /// What the snapshot says it was made by: a name, and a version after a space.
    pub program_version: String,
    /// The moment when reading begins.
    pub started_at: Timestamp,
    /// Threads that read; at least one.
    pub workers: usize,
    /// Packs that are uploaded at once at the most; at least one. Fewer are where more would not be faster.
    pub uploads: usize,
    /// Whether new blobs are opened and hashed again before they leave.
    pub recheck: Recheck,
    /// The file system that is read.
    pub system: System,
    /// The clocks that tell how long a pack has waited for its index file.
    pub pace: Arc<dyn Pace>,
}

impl ArchiveOptions {
    /// Returns options that read all of these roots, each a folder, anew, on one thread, for a nameless machine.
    pub fn new(roots: Vec<PathBuf>, program_version: impl Into<String>, started_at: Timestamp) -> Self {
        Self {
            roots,
            root_rule: RootRule::Folders,
            excludes: Excludes::default(),
            parent: None,
            change_rule: ChangeRule::Full,
            access_times: AccessTimes::Left,
            hostname: String::new(),
            username: String::new(),
            tags: Vec::new(),
            program_version: program_version.into(),
            started_at,
            workers: 1,
            uploads: 1,
            recheck: Recheck::Each,
            system: System::default(),
            pace: Arc::new(SystemPace::default()),
        }
    }
}

/// What a root may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootRule {
    /// A folder, or a link that leads to one, which is saved as that folder. A root that is something else, or that
    /// cannot be read, ends the backup.
    Folders,
    /// Anything, saved as what it is, as restic does: a link as a link. A root that is not there or cannot be read is
    /// counted and named; when none is left, the backup ends.
    Anything,
}

/// What tells that a file did not change since the parent snapshot; its size and modification always have to be the
/// same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRule {
    /// The change of its inode and the inode's number too.
    Full,
    /// The inode's number, not its change.
    IgnoreChangeTime,
    /// Neither: for file systems that invent both, as restic's `--ignore-inode`.
    IgnoreInode,
}

/// Whether times of last access are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTimes {
    /// The modification stands in their place: they change with every reading.
    Left,
    /// They are, as with restic's `--with-atime`.
    Kept,
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

/// Whether a run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Packs and index go to the storage.
    Real,
    /// Everything is read, cut and sealed to count it, and nothing leaves this process.
    Rehearsed,
}
