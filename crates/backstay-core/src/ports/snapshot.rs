//! Browsing: what a snapshot holds, without restoring it.
//!
//! The server opens no repository; it asks a reader through this port, whether the reader is in the same process or an
//! agent elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::disposition::Disposition;
use crate::domain::job::LeasedRepository;

/// Most bytes that one read returns: a request's answer, not a restore.
pub const READ_BYTES_MAX: u32 = 4 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// Anything else that a Unix tree has.
    Other,
}

crate::domain::job::words!(EntryKind: File = "file", Dir = "dir", Symlink = "symlink", Other = "other");

/// An entry of a folder in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as bytes.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a regular file, zero for all others.
    pub size_bytes: u64,
    /// When it was last modified.
    pub modified_at: Timestamp,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
}

/// Most entries of one page of a folder. More than of other lists: a folder of millions of entries is gone through from
/// its beginning for each page, because its tree is one piece.
pub const ENTRY_ROWS_MAX: u32 = 10_000;

/// Which entries of a folder are wanted, in the order of the bytes of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    /// Only entries whose names come after this one; all when there is none.
    pub after: Option<Vec<u8>>,
    /// Most entries; at most [`ENTRY_ROWS_MAX`].
    pub rows_max: u32,
}

impl EntryPage {
    /// Returns the first page, as long as a page may be.
    pub const fn first() -> Self {
        Self { after: None, rows_max: ENTRY_ROWS_MAX }
    }

    /// Says whether an entry is wanted when the page has so many before it.
    pub fn takes(&self, name: &[u8], known: usize) -> bool {
        known < self.rows_max.min(ENTRY_ROWS_MAX) as usize && self.after.as_deref().is_none_or(|after| name > after)
    }
}

/// Most rows of one answer about a whole snapshot; the next ones are asked for by how many were seen.
pub const ROWS_MAX: u32 = 500;

/// Which rows of an answer are wanted: it is gone through from its beginning each time, and always in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// How many were seen already.
    pub from: u64,
    /// How many more, at most [`ROWS_MAX`].
    pub count_max: u32,
}

impl Rows {
    /// Returns the first of them.
    pub const fn first() -> Self {
        Self { from: 0, count_max: ROWS_MAX }
    }

    /// Says of the row at a place, from zero, whether it is wanted.
    pub fn takes(&self, place: u64) -> bool {
        (self.from..self.end()).contains(&place)
    }

    /// Returns the place behind the last one that is wanted.
    pub fn end(&self) -> u64 {
        self.from.saturating_add(u64::from(self.count_max.min(ROWS_MAX)))
    }
}

/// Entries that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundEntries {
    /// Each with its path from the root on, in the order of names.
    pub rows: Vec<(Vec<u8>, Entry)>,
    /// Folders on the way whose entries cannot be read: what is in them was not looked at.
    pub unreadable: Vec<Vec<u8>>,
    /// Whether there are more.
    pub has_more: bool,
}

/// How an entry differs between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Difference {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// A file has other bytes.
    Modified,
    /// A file has other bytes, and nothing else says that it changed.
    ModifiedUnseen,
    /// It is of another kind.
    Retyped,
    /// Its metadata is another.
    Metadata,
}

crate::domain::job::words!(Difference: Added = "added", Removed = "removed", Modified = "modified",
    ModifiedUnseen = "modified_unseen", Retyped = "retyped", Metadata = "metadata");

/// Whether entries that differ in metadata alone are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataToo {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// What one of two snapshots has and the other has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OneSide {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub dirs: u64,
    /// Links, devices and the like.
    pub others: u64,
    /// Bytes of blobs, before compression.
    pub bytes: u64,
}

/// What differs between two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Each with its path from the root on; a folder's ends with `/`.
    pub rows: Vec<(Vec<u8>, Difference)>,
    /// Files with other bytes, in all.
    pub changed_files: u64,
    /// What only the second has, in all.
    pub added: OneSide,
    /// What only the first has, in all.
    pub removed: OneSide,
    /// Whether there are more rows.
    pub has_more: bool,
}

/// Reads what a snapshot holds. Paths are absolute in the snapshot, as bytes; `/` is its root.
#[async_trait]
pub trait SnapshotReader: Send + Sync {
    /// Returns a page of the entries of a folder, sorted by the bytes of their names.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn snapshot_list(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
        page: EntryPage,
    ) -> Result<Vec<Entry>, ReadError>;

    /// Returns one entry.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn snapshot_stat(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
    ) -> Result<Entry, ReadError>;

    /// Returns entries whose path a pattern of restic's matches, such as `*.conf` or `/etc/hosts`.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Pattern`] for a text that is no pattern.
    async fn snapshot_find(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        pattern: &str,
        rows: Rows,
    ) -> Result<FoundEntries, ReadError>;

    /// Returns what differs between two snapshots of one repository.
    ///
    /// # Errors
    /// [`ReadError`], also when a folder cannot be read: half a comparison would be a wrong one.
    async fn snapshot_diff(
        &self,
        repository: &LeasedRepository,
        first_foreign_id: &str,
        second_foreign_id: &str,
        metadata: MetadataToo,
        rows: Rows,
    ) -> Result<Differences, ReadError>;

    /// Returns a range of a file: shorter than asked at the file's end, empty beyond it, never more than
    /// [`READ_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    async fn snapshot_read(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
        offset_bytes: u64,
        length_bytes: u32,
    ) -> Result<Vec<u8>, ReadError>;
}

/// Why a snapshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The repository has no such snapshot.
    #[error("the repository has no snapshot {foreign_id}")]
    NoSnapshot {
        /// What was asked for.
        foreign_id: String,
    },
    /// The snapshot has no such path.
    #[error("the snapshot has no {path}")]
    NoPath {
        /// What was asked for.
        path: String,
    },
    /// The path is of another kind than the call needs.
    #[error("{path} is not a {wanted}")]
    WrongKind {
        /// What was asked for.
        path: String,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// A text that is no pattern.
    #[error("{problem}")]
    Pattern {
        /// What is wrong with it.
        problem: String,
    },
    /// As many look as may look at once, and none of them ended for a while.
    #[error("too many looks into snapshots are under way")]
    Busy,
    /// The repository could not be opened or read.
    #[error("the repository {name} cannot be read")]
    Repository {
        /// Its name.
        name: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What it asks for.
        disposition: Disposition,
    },
}

impl ReadError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Repository { disposition, .. } => *disposition,
            Self::Busy => Disposition::Retry { after: Duration::from_secs(10) },
            _ => Disposition::Operator,
        }
    }
}
