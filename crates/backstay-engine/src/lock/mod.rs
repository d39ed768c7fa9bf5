//! Locks of a repository: shared for those who add and read, exclusive for those who remove. restic's own objects, so
//! that plain restic beside us is safe, and we beside it.
//!
//! [`Repository::lock`] looks, writes a lock, and looks again: of two that write at the same time at least one sees
//! the other. `judge` says which locks count, `owner` what is known about their holders, `guard` keeps a lock alive and
//! says when it is lost. Decision record 0012 has the argument.
//!
//! Absent on purpose: taking locks by itself. Whoever calls `archive`, `restore` or `maintenance` takes one and keeps
//! it until the work is published.

mod owner;
mod judge;
mod guard;
mod hangup;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_storage::{ListedObject, ObjectStorage, ReadCache, StorageError};
use jiff::Timestamp;
use rand::Rng;

pub use guard::LockGuard;
pub use judge::{ABSENT_AFTER, STALE_AFTER};
pub use owner::LockOwner;

use crate::error::EngineError;
use crate::format::compression::{pack_file, unpack_file};
use crate::format::crypto::SealKey;
use crate::format::id::Id;
use crate::format::lock::LockFile;
use crate::format::object::FileKind;
use crate::interrupt::Interrupt;
use crate::repository::Repository;
use judge::{Now, SeenLock};

/// Who may work beside us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Others that share: to back up, restore, read, verify, add a key.
    Shared,
    /// Nobody: to forget, prune, remove or change a key.
    Exclusive,
}

/// Locks whose holders the control plane knows to be dead. They are removed by whoever takes the next lock.
#[derive(Debug, Clone, Default)]
pub struct DeadLocks {
    /// Names of locks. A refreshed lock has a new one.
    pub ids: Vec<Id>,
    /// Leases that locks were taken under ([`LockOwner::under_lease`]); they outlive a refresh.
    pub leases: Vec<String>,
}

/// How a lock is taken and kept.
#[derive(Debug, Clone)]
pub struct LockTerms {
    /// How long it is tried while others hold theirs; zero to try once.
    pub wait: Duration,
    /// Between writing a lock and looking again: for storages whose lists lag. restic's figure.
    pub look_again_after: Duration,
    /// Between refreshes. restic's figure.
    pub refresh_every: Duration,
    /// Locks that do not count.
    pub dead: DeadLocks,
}

impl Default for LockTerms {
    fn default() -> Self {
        Self {
            wait: Duration::ZERO,
            look_again_after: Duration::from_millis(200),
            refresh_every: Duration::from_secs(5 * 60),
            dead: DeadLocks::default(),
        }
    }
}

/// Shortest and longest pause between two tries.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// How long the removal of a lock is waited for when somebody asks to stop: a lock that stays keeps others out for half
/// an hour, but a storage that does not answer must not keep us.
const UNLOCK_GRACE: Duration = Duration::from_millis(400);

/// What locks are written with and read from.
#[derive(Debug, Clone)]
struct LockRoom {
    storage: Arc<dyn ObjectStorage>,
    key: Arc<SealKey>,
    interrupt: Interrupt,
}

impl LockRoom {
    /// Writes a lock that says what time it is.
    fn write(&self, owner: &LockOwner, mode: LockMode) -> Result<Id, EngineError> {
        let file = owner.file(mode == LockMode::Exclusive, Timestamp::now().to_string());
        let sealed = self.key.seal(&pack_file(&file.write()));
        let id = Id::of(&sealed);
        let name = FileKind::Lock.key(&id);
        let put = self.storage.object_put(&name, sealed.into());
        match self.interrupt.block_on_write(put).and_then(|answer| Ok(answer?)) {
            Ok(_) => Ok(id),
            Err(error) => {
                // Its answer may have been lost, and a lock that nobody knows of must not stay.
                let _ = self.remove(&id);
                Err(error)
            }
        }
    }

    fn remove(&self, id: &Id) -> Result<(), EngineError> {
        let name = FileKind::Lock.key(id);
        let remove = self.storage.object_remove(&name);
        Ok(self.interrupt.block_on_within(UNLOCK_GRACE, remove)??)
    }

    /// Removes a lock that does not count any more. Who may not is told and goes on: it is only litter.
    fn clear(&self, id: &Id) {
        if let Err(error) = self.remove(id) {
            tracing::warn!(lock = %id, error = %error, "a lock that is over could not be removed");
        }
    }

    fn is_there(&self, id: &Id) -> Result<bool, EngineError> {
        match self.interrupt.block_on_write(self.storage.object_size(&FileKind::Lock.key(id)))? {
            Ok(_) => Ok(true),
            Err(StorageError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns all locks. Our own is not read: what it says we know.
    fn look(&self, owner: &LockOwner, ours: Option<&Id>) -> Result<Vec<SeenLock>, EngineError> {
        let mut listed = Vec::new();
        self.interrupt.block_on(self.storage.object_list(
            FileKind::Lock.folder(),
            &mut |object: ListedObject| {
                let name = object.key.as_str().rsplit('/').next().unwrap_or_default();
                listed.extend(Id::from_hex(name).map(|id| (id, object.modified_at)));
            },
        ))??;
        let mut seen = Vec::new();
        for (id, modified_at) in listed {
            if ours == Some(&id) {
                seen.push(SeenLock { id, modified_at, file: None, process: owner::Process::Unknown });
                continue;
            }
            let name = FileKind::Lock.key(&id);
            let get = self.storage.object_get(&name, None, ReadCache::Use);
            let file = match self.interrupt.block_on(get)? {
                Ok(sealed) => self.open(&mut sealed.to_vec()),
                // Its holder has ended since.
                Err(StorageError::Missing { .. }) => continue,
                Err(StorageError::Short { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            let process = file.as_ref().map_or(owner::Process::Unknown, |file| owner::process_of(file, owner));
            seen.push(SeenLock { id, modified_at, file, process });
        }
        Ok(seen)
    }

    fn open(&self, sealed: &mut [u8]) -> Option<LockFile> {
        let packed = self.key.open_in_place(sealed, "lock").ok()?;
        LockFile::read(&unpack_file("lock", packed).ok()?).ok()
    }

    /// Says who keeps us out.
    fn told(&self, lock: &SeenLock) -> EngineError {
        let holder = lock.file.as_ref().map_or_else(
            || "somebody (the lock cannot be read)".to_owned(),
            |file| format!("process {} of {}@{}", file.pid, file.username, file.hostname),
        );
        let since = lock.file.as_ref().map_or_else(|| lock.modified_at.to_string(), |file| file.time.clone());
        let exclusive = lock.file.as_ref().is_none_or(|file| file.exclusive);
        let mode = if exclusive { "alone" } else { "beside others" };
        EngineError::Locked { holder: format!("{holder}, which works {mode}"), since, place: self.storage.place() }
    }
}

impl Repository {
    /// Takes a lock, waiting for others as long as the terms say, and removes locks of the dead. When the lock is lost
    /// later, `interrupt` is raised.
    ///
    /// # Errors
    /// [`EngineError::Locked`] when others keep us out, [`EngineError::Interrupted`], [`EngineError::Storage`].
    pub fn lock(
        &self,
        mode: LockMode,
        owner: &LockOwner,
        terms: &LockTerms,
        interrupt: &Interrupt,
    ) -> Result<LockGuard, EngineError> {
        hangup::ignore();
        let room = LockRoom {
            storage: Arc::clone(self.storage()),
            key: Arc::clone(self.shared_key()),
            interrupt: interrupt.clone(),
        };
        let began = Instant::now();
        let mut pause = TRY_AGAIN.0;
        loop {
            interrupt.check()?;
            let error = match try_lock(&room, mode, owner, terms, interrupt)? {
                Ok(taken) => return Ok(LockGuard::keep(room, taken, mode, owner.clone(), terms)),
                Err(error) => error,
            };
            let left = terms.wait.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(error);
            }
            // Two that step back from each other must not step forward together.
            let jitter = rand::rng().random_range(0.5..1.0);
            sleep(pause.mul_f64(jitter).min(left), interrupt)?;
            pause = (pause * 2).min(TRY_AGAIN.1);
        }
    }

    /// As [`Repository::lock`], to work beside others.
    ///
    /// # Errors
    /// Those of [`Repository::lock`].
    pub fn lock_shared(
        &self,
        owner: &LockOwner,
        terms: &LockTerms,
        interrupt: &Interrupt,
    ) -> Result<LockGuard, EngineError> {
        self.lock(LockMode::Shared, owner, terms, interrupt)
    }

    /// As [`Repository::lock`], to work alone.
    ///
    /// # Errors
    /// Those of [`Repository::lock`].
    pub fn lock_exclusive(
        &self,
        owner: &LockOwner,
        terms: &LockTerms,
        interrupt: &Interrupt,
    ) -> Result<LockGuard, EngineError> {
        self.lock(LockMode::Exclusive, owner, terms, interrupt)
    }
}

/// A lock that was just written.
#[derive(Debug, Clone, Copy)]
struct Taken {
    id: Id,
    /// When, by the storage's clock.
    at: Timestamp,
}

/// Tries once: the outer error ends the taking, the inner one says who keeps us out.
fn try_lock(
    room: &LockRoom,
    mode: LockMode,
    owner: &LockOwner,
    terms: &LockTerms,
    interrupt: &Interrupt,
) -> Result<Result<Taken, EngineError>, EngineError> {
    // A first look, so that whoever must wait does not disturb others by a lock of its own.
    let now = Now::Ours(Timestamp::now());
    let seen = room.look(owner, None)?;
    if let Some(other) = seen.iter().find(|other| other.conflicts(mode) && !other.is_dead(now, &terms.dead)) {
        return Ok(Err(room.told(other)));
    }
    let id = room.write(owner, mode)?;
    let looked = sleep(terms.look_again_after, interrupt).and_then(|()| room.look(owner, Some(&id)));
    let mut seen = match looked {
        Ok(seen) => seen,
        Err(error) => {
            room.clear(&id);
            return Err(error);
        }
    };
    let Some(ours) = seen.iter().position(|lock| lock.id == id).map(|place| seen.swap_remove(place)) else {
        // A list without what we just wrote would not show the others either.
        room.clear(&id);
        return Err(EngineError::LockLost { place: room.storage.place() });
    };
    let now = Now::Storage(ours.modified_at);
    let (dead, alive): (Vec<_>, Vec<_>) = seen.iter().partition(|other| other.is_dead(now, &terms.dead));
    if let Some(other) = alive.iter().find(|other| other.conflicts(mode)) {
        room.clear(&id);
        return Ok(Err(room.told(other)));
    }
    let taken = Taken { id, at: ours.modified_at };
    if dead.is_empty() {
        return Ok(Ok(taken));
    }
    match dead_removed(room, mode, owner, terms, &id, &dead, now) {
        Ok(None) => Ok(Ok(taken)),
        Ok(Some(other)) => {
            room.clear(&id);
            Ok(Err(other))
        }
        Err(error) => {
            room.clear(&id);
            Err(error)
        }
    }
}

/// Removes locks of the dead and looks again: a holder who was only asleep writes its next lock before it looks whether
/// the old one is there. So it either finds that one gone, or is seen here. Returns who keeps us out.
fn dead_removed(
    room: &LockRoom,
    mode: LockMode,
    owner: &LockOwner,
    terms: &LockTerms,
    ours: &Id,
    dead: &[&SeenLock],
    now: Now,
) -> Result<Option<EngineError>, EngineError> {
    for lock in dead {
        if lock.conflicts(mode) {
            room.remove(&lock.id)?;
        } else {
            room.clear(&lock.id);
        }
    }
    let seen = room.look(owner, Some(ours))?;
    let counts = |other: &&SeenLock| other.id != *ours && other.conflicts(mode) && !other.is_dead(now, &terms.dead);
    Ok(seen.iter().find(counts).map(|other| room.told(other)))
}

/// Sleeps, and notices within a tenth of a second when somebody asks to stop.
fn sleep(time: Duration, interrupt: &Interrupt) -> Result<(), EngineError> {
    const SLICE: Duration = Duration::from_millis(100);
    let until = Instant::now() + time;
    loop {
        interrupt.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}
