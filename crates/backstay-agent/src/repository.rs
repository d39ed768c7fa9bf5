//! Opening the repository that a lease brings.

use std::sync::Arc;

use backstay_core::domain::job::LeasedRepository;
use backstay_engine::repository::Maker;
use backstay_engine::{EngineError, Repository};
use backstay_storage::{ObjectStorage, Presence, StorageCredentials, StorageError, storage_kind};

/// Opens the storage of a repository.
fn storage(leased: &LeasedRepository, presence: Presence) -> Result<Arc<dyn ObjectStorage>, StorageError> {
    let settings = &leased.repository.storage;
    storage_kind(&settings.kind)?.open(&settings.settings, &StorageCredentials::none(), presence)
}

/// Opens a repository that must be there.
pub(crate) fn open(leased: &LeasedRepository) -> Result<Repository, EngineError> {
    Repository::open(storage(leased, Presence::Existing)?, &leased.password)
}

/// Opens a repository, and makes it if no snapshot in it is known: an empty place is never taken for one that held
/// snapshots.
pub(crate) fn open_or_create(leased: &LeasedRepository, maker: Maker) -> Result<Repository, EngineError> {
    if leased.has_snapshots {
        return open(leased);
    }
    let storage = storage(leased, Presence::Create)?;
    match Repository::open(Arc::clone(&storage), &leased.password) {
        Err(EngineError::NoRepository { .. }) => {}
        answer => return answer,
    }
    match Repository::create(Arc::clone(&storage), &leased.password, maker) {
        // Another job made it in the meantime.
        Err(EngineError::RepositoryExists { .. }) => Repository::open(storage, &leased.password),
        answer => answer,
    }
}
