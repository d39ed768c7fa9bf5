//! What can go wrong with bytes that lie elsewhere, and what it asks for.

use std::io;
use std::time::Duration;

use backstay_core::domain::disposition::Disposition;

/// Why a storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A key that could lead out of the storage.
    #[error("`{key}` is not a key: parts must not be empty, `.` or `..`")]
    Key {
        /// What was given.
        key: String,
    },
    /// There is no such storage kind.
    #[error("there is no storage kind `{given}`; known: {known}")]
    Kind {
        /// What was given.
        given: String,
        /// What there is.
        known: String,
    },
    /// A setting that the kind cannot accept.
    #[error("settings.{field}: {problem}")]
    Settings {
        /// The setting's name.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The storage as a whole is not there.
    #[error("{place} is not there; is the disk mounted?")]
    Absent {
        /// Where it should be.
        place: String,
    },
    /// There is no such object.
    #[error("{place} has no object {key}")]
    Missing {
        /// The storage.
        place: String,
        /// The key.
        key: String,
    },
    /// An object ends before the range that was asked for.
    #[error("the object {key} in {place} has {found_bytes} bytes of the {wanted_bytes} asked for")]
    Short {
        /// The storage.
        place: String,
        /// The key.
        key: String,
        /// What was asked for.
        wanted_bytes: u64,
        /// What there is.
        found_bytes: u64,
    },
    /// No room for more bytes.
    #[error("{place} is full")]
    Full {
        /// The storage.
        place: String,
    },
    /// We may not.
    #[error("{place} may not be accessed ({action} {key})")]
    Denied {
        /// The storage.
        place: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        key: String,
        /// What the system said.
        source: io::Error,
    },
    /// A list that could not be read to its end.
    #[error("{place} could not be listed to the end ({folder})")]
    List {
        /// The storage.
        place: String,
        /// What was listed.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The storage asks for patience: it is overloaded, or counts requests.
    #[error("{place} is busy ({action} {key})")]
    Busy {
        /// The storage.
        place: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        key: String,
        /// How long it asks us to wait; absent when it does not say.
        after: Option<Duration>,
        /// What it said.
        source: io::Error,
    },
    /// The object is there, and so cold that it cannot be read before it was warmed up.
    #[error("the object {key} in {place} is frozen; it must be warmed up before it can be read")]
    Frozen {
        /// The storage.
        place: String,
        /// The key.
        key: String,
    },
    /// No credential was given for what is to be done.
    #[error("{place} was opened without a credential for {purpose}")]
    Credential {
        /// The storage.
        place: String,
        /// What it would be for.
        purpose: &'static str,
    },
    /// This storage cannot do that; its capabilities say so.
    #[error("{place} cannot {action}")]
    Unsupported {
        /// The storage.
        place: String,
        /// What was asked.
        action: &'static str,
    },
    /// The storage understood, and says no in a way that trying again does not change.
    #[error("{place} refused ({action} {key})")]
    Refused {
        /// The storage.
        place: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        key: String,
        /// What it said.
        source: io::Error,
    },
    /// Anything else that the system said.
    #[error("{place} failed ({action} {key})")]
    Io {
        /// The storage.
        place: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        key: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Shortest wait after a failure that may pass, when the storage does not name one.
const PATIENCE: Duration = Duration::from_secs(5);

impl StorageError {
    /// Returns what the error asks for.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Io { .. } | Self::List { .. } => Disposition::Retry { after: PATIENCE },
            Self::Busy { after, .. } => Disposition::Retry { after: after.unwrap_or(PATIENCE) },
            _ => Disposition::Operator,
        }
    }
}
