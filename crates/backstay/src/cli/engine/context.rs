//! What all verbs have: how to open the repository, how to lock it, and the wish to stop.

use std::sync::Arc;

use backstay_engine::format::index::Index;
use backstay_engine::lock::{LockGuard, LockMode, LockOwner, LockTerms};
use backstay_engine::repository::BlobReader;
use backstay_engine::select::{self, Filter, Snapshot, Wanted};
use backstay_engine::{EngineError, Interrupt, Repository};
use backstay_storage::{ObjectStorage, Presence, ReadCache};

use super::args::Locking;
use super::error;
use super::output::Output;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::roles::engine::{Access, FromAccess, username};

/// What a verb is called with.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) access: Access,
    pub(super) locking: Locking,
    pub(super) output: Output,
    pub(super) interrupt: Interrupt,
}

/// A repository that a verb works on.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) repository: Repository,
    pub(super) storage: Arc<dyn ObjectStorage>,
}

impl Context {
    pub(super) const fn new(access: Access, locking: Locking, output: Output, interrupt: Interrupt) -> Self {
        Self { access, locking, output, interrupt }
    }

    /// Opens the repository.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn open(&self) -> Result<Opened, CliError> {
        let password = self.access.password()?;
        let storage = self.access.storage(Presence::Existing)?;
        let repository = Repository::open(Arc::clone(&storage), &password, &self.interrupt)
            .map_err(|error| error::engine(&error))?;
        Ok(Opened { repository, storage })
    }

    /// Opens the repository that something comes from.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn open_from(&self, from: &FromAccess) -> Result<Opened, CliError> {
        let (location, password) = (from.location()?, from.password()?);
        let storage = self.access.storage_of(&location)?;
        let repository = Repository::open(Arc::clone(&storage), &password, &self.interrupt)
            .map_err(|error| error::engine(&error))?;
        Ok(Opened { repository, storage })
    }

    /// Takes a lock. With `--no-lock` there is none, which only who does not write may ask for.
    ///
    /// # Errors
    /// [`CliError`] when others keep us out.
    pub(super) fn lock(&self, opened: &Opened, mode: LockMode) -> Result<Guard, CliError> {
        if self.locking.no_lock {
            return Ok(Guard(None));
        }
        self.lock_whatever(opened, mode)
    }

    /// Takes a lock, also with `--no-lock`: for a repository that is written to while another is only read.
    ///
    /// # Errors
    /// [`CliError`] when others keep us out.
    pub(super) fn lock_whatever(&self, opened: &Opened, mode: LockMode) -> Result<Guard, CliError> {
        let owner = LockOwner::this_process(username());
        let terms = LockTerms { wait: self.locking.retry_lock.unwrap_or_default(), ..LockTerms::default() };
        let guard = opened.repository.lock(mode, &owner, &terms, &self.interrupt);
        Ok(Guard(Some(guard.map_err(|error| error::engine(&error))?)))
    }

    /// Opens the repository and takes a lock.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn open_locked(&self, mode: LockMode) -> Result<(Opened, Guard), CliError> {
        let opened = self.open()?;
        let guard = self.lock(&opened, mode)?;
        Ok((opened, guard))
    }

    /// Returns the snapshots that words name, or that pass a filter, and all that there are; words that name nothing are
    /// told of, and so are snapshots that cannot be read. True when there is one of either.
    ///
    /// # Errors
    /// [`CliError`] when the list cannot be had.
    pub(super) fn choose(
        &self,
        repository: &Repository,
        words: &[String],
        filter: &Filter,
    ) -> Result<(Vec<Snapshot>, Vec<Snapshot>, bool), CliError> {
        let many = select::many(repository, words, filter, &self.interrupt).map_err(|error| error::engine(&error))?;
        for (word, error) in &many.ignored {
            self.output.warn("choosing snapshots", word, &chain(error));
        }
        let harm = self.tell_unreadable(&many.unreadable) || !many.ignored.is_empty();
        let all = select::read_all(repository, &self.interrupt).map_err(|error| error::engine(&error))?;
        Ok((many.chosen, all.read, harm))
    }

    /// Tells of snapshots that could not be read; true when there is one.
    pub(super) fn tell_unreadable(&self, unreadable: &[(backstay_engine::format::id::Id, EngineError)]) -> bool {
        for (id, error) in unreadable {
            self.output.warn("loading snapshots", &id.to_hex()[..select::SHORT_DIGITS], &chain(error));
        }
        !unreadable.is_empty()
    }

    /// Tells of a folder that could not be read.
    pub(super) fn tell_folder(&self, path: &[u8], error: &EngineError) {
        self.output.warn("reading folders", &shown_path(path), &chain(error));
    }
}

/// A lock, if one was taken. Dropping it releases it.
#[derive(Debug)]
pub(super) struct Guard(Option<LockGuard>);

impl Guard {
    /// Says whether the lock is still there, by asking the storage.
    ///
    /// # Errors
    /// [`EngineError::LockLost`].
    pub(super) fn check(&self) -> Result<(), EngineError> {
        self.0.as_ref().map_or(Ok(()), LockGuard::check)
    }

    /// Returns an answer in which a stop that came from a lost lock says so.
    ///
    /// # Errors
    /// The answer's own.
    pub(super) fn explain<T>(&self, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        match &self.0 {
            Some(guard) => guard.explain(answer),
            None => answer,
        }
    }

    /// Returns the lock, for what must be shown it.
    pub(super) const fn lock(&self) -> Option<&LockGuard> {
        self.0.as_ref()
    }

    /// Returns the lock of a verb that changes something.
    ///
    /// # Errors
    /// [`CliError`] when `--no-lock` was given.
    pub(super) fn needed(&self, verb: &str) -> Result<&LockGuard, CliError> {
        self.0.as_ref().ok_or_else(|| error::input(format!("{verb} needs its lock"), "Leave --no-lock out."))
    }

    /// Releases the lock. One that stays is seen to be dead by the next run, so a failure is told and no more.
    pub(super) fn release(self, context: &Context) {
        if let Some(Err(error)) = self.0.map(LockGuard::release) {
            context.output.warn("releasing the lock", "", &chain(&error));
        }
    }
}

impl Opened {
    /// Loads the index.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn index(&self, interrupt: &Interrupt) -> Result<Index, CliError> {
        self.repository.index_load(interrupt).map_err(|error| error::engine(&error))
    }

    /// Returns a reader of blobs.
    pub(super) fn blobs<'a>(&'a self, index: &'a Index, interrupt: &Interrupt) -> BlobReader<'a> {
        BlobReader::new(&self.repository, index, ReadCache::Use, interrupt)
    }

    /// Returns the snapshot that `WORD[:FOLDER]` names, and the folder.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn snapshot(
        &self,
        text: &str,
        filter: &Filter,
        interrupt: &Interrupt,
    ) -> Result<(Snapshot, Vec<u8>), CliError> {
        let wanted = Wanted::read(text);
        let found = select::one(&self.repository, &wanted.word, filter, interrupt);
        Ok((found.map_err(|error| error::select(&error))?, wanted.folder))
    }
}

/// Returns an error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    backstay_core::managers::job::chain(error)
}

/// Returns a path in a snapshot for a person.
pub(super) fn shown_path(path: &[u8]) -> String {
    format!("/{}", human::shown(&String::from_utf8_lossy(path)))
}

/// Returns the exit code of a verb that told of harm on its way.
pub(super) const fn exit_after(harm: bool) -> Exit {
    if harm { Exit::Failed } else { Exit::Done }
}
