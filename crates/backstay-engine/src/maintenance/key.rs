//! Keys: who may open a repository. All of them seal the same master key; a removed one takes back nothing that its
//! owner has read.

use backstay_storage::{ReadCache, StorageError};
use secrecy::{ExposeSecret, SecretString};

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::format::key::KeyFile;
use crate::format::object::FileKind;
use crate::interrupt::Interrupt;
use crate::lock::{LockGuard, LockMode};
use crate::repository::{Maker, Repository, key_write};

/// A key of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: Id,
    /// Whether it opened the repository.
    pub is_current: bool,
    /// The user who made it, as that user says.
    pub username: String,
    /// The machine that it was made on.
    pub hostname: String,
    /// When, RFC 3339.
    pub created: String,
}

/// Why a key was not removed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is the one that opened the repository.
    #[error("the key {id} is the one in use; open the repository with another to remove it")]
    Current {
        /// The key.
        id: Id,
    },
    /// There is no such key.
    #[error("there is no key {id}")]
    Unknown {
        /// What was asked for.
        id: Id,
    },
    /// No other key would be left that is known to open the repository.
    #[error("the key {id} stays: the one in use is not in the repository any more, and no other is known to open it")]
    Last {
        /// The key.
        id: Id,
    },
    /// The repository did not do what it was asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Returns all keys.
///
/// # Errors
/// [`EngineError`] when the list is not complete or a key file cannot be read.
pub fn list(repository: &Repository, interrupt: &Interrupt) -> Result<Vec<KnownKey>, EngineError> {
    let mut keys = Vec::new();
    for id in repository.file_list(FileKind::Key, interrupt)? {
        let Some(file) = read(repository, &id, interrupt)? else { continue };
        let (username, hostname) = file.maker();
        keys.push(KnownKey {
            id,
            is_current: id == repository.key_id(),
            username: username.to_owned(),
            hostname: hostname.to_owned(),
            created: file.created().to_owned(),
        });
    }
    keys.sort_by(|a, b| a.created.cmp(&b.created).then(a.id.cmp(&b.id)));
    Ok(keys)
}

/// Adds a key for a password, proves that it opens the repository, and returns its id.
///
/// # Errors
/// [`EngineError`]; a key that was written and does not open is removed then, if the storage lets us.
pub fn add(
    repository: &Repository,
    password: &SecretString,
    maker: Maker,
    interrupt: &Interrupt,
) -> Result<Id, EngineError> {
    let id = key_write(&**repository.storage(), repository.key(), password, maker, interrupt)?;
    let proved = prove(repository, &id, password, interrupt);
    if proved.is_err() {
        // A key that does not open is tried first or last by everybody; what cannot be removed is only litter.
        let _ = repository.file_remove(FileKind::Key, &id, interrupt);
    }
    proved.map(|()| id)
}

/// What the storage gives back must open to the key that seals everything.
fn prove(repository: &Repository, id: &Id, password: &SecretString, interrupt: &Interrupt) -> Result<(), EngineError> {
    let missing = || EngineError::Format {
        place: format!("{} in {}", FileKind::Key.key(id), repository.place()),
        source: FormatError::shape("key", "it is not there after it was written"),
    };
    let file = read(repository, id, interrupt)?.ok_or_else(missing)?;
    let opened = file.open(password.expose_secret()).map_err(|source| repository.told(FileKind::Key, id, source))?;
    let proof = opened.seal(b"proof");
    let opens = repository.key().open_in_place(&mut proof.clone(), "key").is_ok_and(|plain| *plain == *b"proof");
    if opens { Ok(()) } else { Err(EngineError::Machine { id: *id }) }
}

/// Removes a key.
///
/// # Errors
/// [`KeyError`]; [`EngineError::LockLost`] when the lock is not exclusive or is gone.
pub fn remove(repository: &Repository, id: &Id, guard: &LockGuard, interrupt: &Interrupt) -> Result<(), KeyError> {
    alone(repository, guard)?;
    if *id == repository.key_id() {
        return Err(KeyError::Current { id: *id });
    }
    let ids = repository.file_list(FileKind::Key, interrupt)?;
    if !ids.contains(id) {
        return Err(KeyError::Unknown { id: *id });
    }
    // Of the one in use we know that it opens the repository; of any other we do not.
    if !ids.contains(&repository.key_id()) {
        return Err(KeyError::Last { id: *id });
    }
    guard.check()?;
    Ok(repository.file_remove(FileKind::Key, id, interrupt)?)
}

/// Replaces the key in use by one for another password, and returns the new one's id. The old one goes last, after the
/// new one was proved.
///
/// # Errors
/// [`KeyError`]; both keys may be there then.
pub fn passwd(
    repository: &Repository,
    password: &SecretString,
    maker: Maker,
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<Id, KeyError> {
    alone(repository, guard)?;
    let new = add(repository, password, maker, interrupt)?;
    // By the road that everybody takes: through the list, with the password alone.
    let again = Repository::open(std::sync::Arc::clone(repository.storage()), password, interrupt)?;
    if again.id() != repository.id() {
        return Err(EngineError::Machine { id: new }.into());
    }
    guard.check()?;
    repository.file_remove(FileKind::Key, &repository.key_id(), interrupt)?;
    Ok(new)
}

fn alone(repository: &Repository, guard: &LockGuard) -> Result<(), EngineError> {
    if guard.mode() == LockMode::Exclusive {
        guard.check()
    } else {
        Err(EngineError::LockLost { place: repository.place() })
    }
}

/// Reads a key file; none when it was removed meanwhile.
fn read(repository: &Repository, id: &Id, interrupt: &Interrupt) -> Result<Option<KeyFile>, EngineError> {
    let name = FileKind::Key.key(id);
    let text = match interrupt.block_on(repository.storage().object_get(&name, None, ReadCache::Use))? {
        Err(StorageError::Missing { .. }) => return Ok(None),
        answer => answer?,
    };
    let found = Id::of(&text);
    if found != *id {
        let source = FormatError::Hash { what: "key", wanted: *id, found };
        return Err(repository.told(FileKind::Key, id, source));
    }
    let file = serde_json::from_slice(&text).map_err(|error| FormatError::shape("key", error));
    file.map(Some).map_err(|source| repository.told(FileKind::Key, id, source))
}
