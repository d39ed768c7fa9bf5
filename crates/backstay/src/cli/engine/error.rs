//! How failures of the engine are told, with restic's exit codes.

use backstay_engine::EngineError;
use backstay_engine::select::SelectError;
use backstay_storage::StorageError;

use crate::cli::error::{CliError, Exit};

/// Tells of a failure of the engine.
pub(crate) fn engine(error: &EngineError) -> CliError {
    let (exit, hint) = match error {
        EngineError::Interrupted => (Exit::Interrupted, "Run it again: what was saved stays."),
        EngineError::NoRepository { .. } => {
            (Exit::NoRepository, "Check --repo; `backstay engine init` makes a repository.")
        }
        EngineError::Storage(error) => return storage(error),
        EngineError::Locked { .. } => (
            Exit::Locked,
            "Wait for it with --retry-lock 5m; `backstay engine unlock` removes locks whose holders are dead.",
        ),
        EngineError::LockLost { .. } => (Exit::Failed, "What was saved stays in no snapshot; run it again."),
        EngineError::Source { .. } => (Exit::Failed, "No snapshot was made. Check what you named."),
        EngineError::Password { .. } => (Exit::Password, "Check the password file, command or variable."),
        EngineError::RepositoryExists { .. } => (Exit::Failed, "Use it, or name another place with --repo."),
        EngineError::HotPart { .. } => (Exit::Failed, "Name the cold part with --repo, and this one with --repo-hot."),
        EngineError::NoSnapshot { .. } => (Exit::Failed, "`backstay engine snapshots` lists what there is."),
        EngineError::NoPath { .. } => (Exit::Failed, "`backstay engine ls SNAPSHOT` lists what it holds."),
        EngineError::IndexWrong { .. } => (
            Exit::Failed,
            "Run `backstay engine repair index`, then `repair packs` for those that it names, then this again.",
        ),
        EngineError::Format { .. } | EngineError::NoBlob { .. } => {
            (Exit::Failed, "`backstay engine check --read-data` says what else is damaged.")
        }
        _ => (Exit::Failed, ""),
    };
    CliError::from_error(exit, error).hint(hint)
}

/// Tells of a failure of a storage.
pub(crate) fn storage(error: &StorageError) -> CliError {
    let (exit, hint) = match error {
        StorageError::Absent { .. } => {
            (Exit::NoRepository, "Is the disk mounted, and --repo right? `backstay engine init` makes a repository.")
        }
        StorageError::Full { .. } => {
            (Exit::Failed, "Free some space there: `backstay engine prune` removes what nothing needs.")
        }
        StorageError::Denied { .. } => (Exit::Failed, "Run it as a user who may, or with other credentials."),
        _ => (Exit::Failed, "Running it again is safe."),
    };
    CliError::from_error(exit, error).hint(hint)
}

/// Tells why a word names no snapshot.
pub(super) fn select(error: &SelectError) -> CliError {
    let hint = match error {
        SelectError::Engine(error) => return engine(error),
        SelectError::Ambiguous { .. } => "Give more digits; `backstay engine snapshots` lists what there is.",
        SelectError::Folder { .. } => "Leave the colon and what follows out.",
        SelectError::Unknown { .. } | SelectError::NoneFits => "`backstay engine snapshots` lists what there is.",
    };
    CliError::from_error(Exit::Failed, error).hint(hint)
}

/// Makes an error of what was typed.
pub(super) fn input(heading: impl Into<String>, hint: &str) -> CliError {
    CliError::new(Exit::Failed, heading).hint(hint)
}
