//! Opening the repository that a lease brings.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::job::LeasedRepository;
use backstay_core::managers::job::chain;
use backstay_engine::lock::{DeadLocks, LockGuard, LockOwner, LockTerms};
use backstay_engine::repository::Maker;
use backstay_engine::{EngineError, Interrupt, Repository};
use backstay_storage::{ObjectStorage, Presence, StorageCredentials, StorageError, storage_kind};

/// How long plain restic, pruning beside us, is waited for before the job goes back to the queue.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// Takes restic's lock to work beside others, in the name of a lease.
///
/// # Errors
/// [`EngineError::Locked`] when somebody works there alone.
pub(crate) fn lock_shared(
    repository: &Repository,
    leased: &LeasedRepository,
    lease: LeaseKey,
    username: &str,
    interrupt: &Interrupt,
) -> Result<LockGuard, EngineError> {
    let (owner, terms) = terms(leased, lease, username);
    repository.lock_shared(&owner, &terms, interrupt)
}

/// Takes restic's lock to work alone, in the name of a lease.
///
/// # Errors
/// [`EngineError::Locked`] when somebody else works there.
pub(crate) fn lock_alone(
    repository: &Repository,
    leased: &LeasedRepository,
    lease: LeaseKey,
    username: &str,
    interrupt: &Interrupt,
) -> Result<LockGuard, EngineError> {
    let (owner, terms) = terms(leased, lease, username);
    repository.lock_exclusive(&owner, &terms, interrupt)
}

/// Returns what a lock says of the lease that it was taken under.
fn under(lease: &LeaseKey) -> String {
    format!("{}/{}", lease.job_id, lease.token.0)
}

fn terms(leased: &LeasedRepository, lease: LeaseKey, username: &str) -> (LockOwner, LockTerms) {
    let owner = LockOwner::this_process(username.to_owned()).under_lease(under(&lease));
    let leases = leased.over.iter().map(under).collect();
    let dead = DeadLocks { ids: Vec::new(), leases };
    let mut terms = LockTerms { wait: LOCK_WAIT, dead, ..LockTerms::default() };
    if leased.repository.storage.kind == "local" {
        // Its lists do not lag: the second look needs no pause before it.
        terms.look_again_after = Duration::ZERO;
    }
    (owner, terms)
}

/// As [`lock_shared`], for those who only read: a storage that takes no lock must not stand in the way of a restore.
///
/// # Errors
/// [`EngineError::Locked`], [`EngineError::Interrupted`].
pub(crate) fn lock_to_read(
    repository: &Repository,
    leased: &LeasedRepository,
    lease: LeaseKey,
    username: &str,
    interrupt: &Interrupt,
) -> Result<Option<LockGuard>, EngineError> {
    match lock_shared(repository, leased, lease, username, interrupt) {
        Err(EngineError::Storage(error)) => {
            tracing::warn!(job_id = %lease.job_id, error = chain(&error), "reading without a lock: it cannot be written");
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// Says of work under a lock that may have been lost why it ended, and lets the lock go.
pub(crate) fn ended<T>(lock: Option<LockGuard>, answer: Result<T, EngineError>) -> Result<T, EngineError> {
    let Some(lock) = lock else { return answer };
    let answer = lock.explain(answer);
    unlock(lock);
    answer
}

/// Lets a lock go.
pub(crate) fn unlock(lock: LockGuard) {
    if let Err(error) = lock.release() {
        tracing::warn!(error = chain(&error), "a lock could not be removed; it is taken for dead once this process is");
    }
}

/// Opens the storage of a repository.
fn storage(leased: &LeasedRepository, presence: Presence) -> Result<Arc<dyn ObjectStorage>, StorageError> {
    let settings = &leased.repository.storage;
    // What the lease brought and nothing else: the agent's own environment opens no tenant's storage.
    let credentials = StorageCredentials::by_purpose(leased.credentials.clone());
    storage_kind(&settings.kind)?.open(&settings.settings, &credentials, presence)
}

/// Opens a repository that must be there.
pub(crate) fn open(leased: &LeasedRepository, interrupt: &Interrupt) -> Result<Repository, EngineError> {
    Repository::open(storage(leased, Presence::Existing)?, &leased.password, interrupt)
}

/// Opens a repository, and makes it if no snapshot in it is known: an empty place is never taken for one that held
/// snapshots.
pub(crate) fn open_or_create(
    leased: &LeasedRepository,
    maker: Maker,
    interrupt: &Interrupt,
) -> Result<Repository, EngineError> {
    if leased.has_snapshots {
        return open(leased, interrupt);
    }
    let storage = storage(leased, Presence::Create)?;
    match Repository::open(Arc::clone(&storage), &leased.password, interrupt) {
        Err(EngineError::NoRepository { .. }) => {}
        answer => return answer,
    }
    match Repository::create(Arc::clone(&storage), &leased.password, maker, interrupt) {
        // Another job made it in the meantime.
        Err(EngineError::RepositoryExists { .. }) => Repository::open(storage, &leased.password, interrupt),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use backstay_core::domain::attempt::AttemptToken;
    use backstay_core::domain::id::{JobId, RepositoryId, TenantId};
    use backstay_core::domain::repository::{Repository as Row, RepositoryEpoch, RepositoryKind};
    use backstay_core::domain::secret::Secret;
    use backstay_core::domain::storage::StorageSettings;
    use jiff::Timestamp;

    use super::*;

    /// Red when what the control plane knows of leases that are over does not come to the locks: the second one waits for a
    /// minute then, and gets nothing.
    #[test]
    fn a_lock_under_a_lease_that_is_over_holds_nobody_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let row = Row {
            id: RepositoryId::new(at, [1; 10]),
            tenant_id: TenantId::new(at, [2; 10]),
            name: "home".parse().unwrap(),
            kind: RepositoryKind::Restic,
            storage_id: None,
            storage: StorageSettings {
                kind: "local".to_owned(),
                settings: serde_json::json!({ "path": folder.path().join("repository") }),
            },
            password: "file:keys/home.key".parse().unwrap(),
            credentials: Default::default(),
            verify_within: Default::default(),
            epoch: RepositoryEpoch(0),
            retired_at: None,
        };
        let mut leased = LeasedRepository {
            repository: row,
            password: Secret::from("secret"),
            credentials: Default::default(),
            has_snapshots: false,
            over: Vec::new(),
        };
        let maker = Maker { username: "ada".to_owned(), hostname: "host".to_owned(), at };
        let interrupt = Interrupt::default();
        let repository = open_or_create(&leased, maker, &interrupt).unwrap();
        let key = |job: u8, token| LeaseKey { job_id: JobId::new(at, [job; 10]), token: AttemptToken(token) };
        let left = lock_shared(&repository, &leased, key(1, 3), "ada", &interrupt).unwrap();
        leased.over = vec![key(1, 2), key(1, 3)];
        let alone = lock_alone(&repository, &leased, key(2, 1), "ada", &interrupt).unwrap();
        unlock(alone);
        drop(left);
    }
}
