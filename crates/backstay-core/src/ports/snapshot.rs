//! Browsing: what a snapshot holds, without restoring it.
//!
//! The server opens no repository; it asks a reader through this port, whether the reader is in the same process or an
//! agent elsewhere.

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

/// Reads what a snapshot holds. Paths are absolute in the snapshot, as bytes; `/` is its root.
#[async_trait]
pub trait SnapshotReader: Send + Sync {
    /// Returns the entries of a folder, sorted by the bytes of their names.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn snapshot_list(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
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
            _ => Disposition::Operator,
        }
    }
}
