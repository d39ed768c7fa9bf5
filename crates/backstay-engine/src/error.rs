//! What can go wrong with a repository as a whole, and what it asks for.

use std::io;
use std::time::Duration;

use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::job::FailureClass;
use backstay_storage::StorageError;

use crate::format::FormatError;
use crate::format::id::Id;

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Somebody asked to stop.
    #[error("stopped because it was asked to")]
    Interrupted,
    /// The storage did not do what it was asked.
    #[error("the storage did not do what it was asked")]
    Storage(#[from] StorageError),
    /// Bytes are not what the format demands.
    #[error("{place} is damaged or not ours")]
    Format {
        /// The object, or the storage.
        place: String,
        /// What is wrong.
        source: FormatError,
    },
    /// There is no repository.
    #[error("there is no repository in {place}")]
    NoRepository {
        /// Where it was looked for.
        place: String,
    },
    /// There is one already.
    #[error("there is a repository in {place} already")]
    RepositoryExists {
        /// Where it was to be made.
        place: String,
    },
    /// It is the hot part of a repository: without the cold one nothing can be restored.
    #[error("{place} is the hot part of a repository")]
    HotPart {
        /// The storage.
        place: String,
    },
    /// The password opens no key.
    #[error("the password opens no key of the repository in {place}")]
    Password {
        /// The storage.
        place: String,
    },
    /// The index does not name a blob that a snapshot needs.
    #[error("the blob {id} is in no index of {place}")]
    NoBlob {
        /// The blob.
        id: Id,
        /// The storage.
        place: String,
    },
    /// The repository has no such snapshot.
    #[error("there is no snapshot {id}")]
    NoSnapshot {
        /// What was asked for.
        id: String,
    },
    /// The snapshot has no such path, or something else is there.
    #[error("{path} in the snapshot is not a {wanted}")]
    NoPath {
        /// The path.
        path: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The source as a whole cannot be read.
    #[error("{path} cannot be read")]
    Source {
        /// Its root.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The target of a restore is not fit for it.
    #[error("the target {path} {problem}")]
    Target {
        /// The target.
        path: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The target did not take what was written.
    #[error("{path} could not be written")]
    Write {
        /// What was written.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A thread of the run panicked.
    #[error("a thread that {does} failed by a fault of this program; its words are on standard error")]
    Panicked {
        /// What the thread does.
        does: &'static str,
    },
    /// Others use the repository, and we may not beside them.
    #[error("{place} is locked by {holder}, since {since}")]
    Locked {
        /// Who, for a person.
        holder: String,
        /// Since when, by the holder's clock.
        since: String,
        /// The storage.
        place: String,
    },
    /// Our lock is gone: somebody took us for dead, or removed it by hand.
    #[error("our lock of {place} is gone: somebody removed it, or it could not be refreshed in time")]
    LockLost {
        /// The storage.
        place: String,
    },
    /// Packs that a backup or a copy may have taken blobs from were marked for deletion or removed while it ran.
    #[error("{count} packs of {place} were marked for deletion or removed by a prune while this ran")]
    Overtaken {
        /// The storage.
        place: String,
        /// How many.
        count: u64,
    },
    /// The index does not say what is in the storage: what would be done by it might take for lost what is there.
    #[error("the index of {place} is not right: {problem}")]
    IndexWrong {
        /// The storage.
        place: String,
        /// What is wrong and what would mend it.
        problem: String,
    },
    /// What we sealed did not open to what it was: memory or processor are broken.
    #[error("the blob {id} did not open to what was sealed: memory or processor of this machine may be broken")]
    Machine {
        /// The blob.
        id: Id,
    },
}

impl EngineError {
    /// Returns what the error asks for.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Storage(error) => error.disposition(),
            // The next run reads the index anew.
            Self::Overtaken { .. } => Disposition::Retry { after: Duration::from_secs(5) },
            // Whoever holds it ends, or is stale in half an hour.
            Self::Locked { .. } | Self::LockLost { .. } => Disposition::Retry { after: Duration::from_secs(60) },
            _ => Disposition::Operator,
        }
    }

    /// Says whether the error is harm to what was saved: bytes that are missing or not what they were. Any other error
    /// says that it could not be looked at, and the same look may succeed later.
    pub const fn is_harm(&self) -> bool {
        use StorageError::{Missing, Short};
        matches!(self, Self::Format { .. } | Self::NoBlob { .. } | Self::Storage(Missing { .. } | Short { .. }))
    }

    /// Returns the class under which failures are counted.
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Storage(StorageError::Full { .. }) => FailureClass::StorageFull,
            Self::Storage(StorageError::Absent { .. }) => FailureClass::RepositoryMissing,
            Self::Storage(_) => FailureClass::Storage,
            Self::Source { .. } => FailureClass::Source,
            Self::Target { .. } | Self::Write { .. } => FailureClass::Target,
            Self::Interrupted | Self::Machine { .. } | Self::Panicked { .. } => FailureClass::Internal,
            Self::NoRepository { .. } => FailureClass::RepositoryMissing,
            Self::Password { .. } => FailureClass::Password,
            Self::Locked { .. } | Self::LockLost { .. } | Self::Overtaken { .. } => FailureClass::Repository,
            Self::Format { .. } | Self::RepositoryExists { .. } | Self::HotPart { .. } => FailureClass::Repository,
            Self::NoBlob { .. } | Self::NoSnapshot { .. } => FailureClass::Repository,
            Self::NoPath { .. } | Self::IndexWrong { .. } => FailureClass::Repository,
        }
    }
}
