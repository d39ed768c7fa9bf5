//! A lock that is held: refreshed by a thread of its own, asked for before what cannot be undone, removed at the end.
//!
//! A refresh writes a new lock, looks whether the old one is still there, and removes it. Whoever takes us for dead
//! removes the old one *before* looking a second time: either that second look finds our new lock, or our look finds the
//! old one gone. Both cannot miss each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};

use super::judge::STALE_AFTER;
use super::{LockMode, LockOwner, LockRoom, LockTerms, Taken};
use crate::error::EngineError;
use crate::format::id::Id;

/// Numbers of guards.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A storage that says that something was written before 2001 has no clock.
const NO_CLOCK_BEFORE: Timestamp = Timestamp::constant(978_307_200, 0);

/// A look at the lock is good for so long in the middle of removals: by a clock that counts a machine's sleep.
const LOOK_GOOD_FOR: Duration = Duration::from_secs(5);

/// A lock that is held. It ends with [`LockGuard::release`], or when this is dropped.
#[derive(Debug)]
pub struct LockGuard {
    held: Arc<Held>,
    number: u64,
    /// When it was taken: by the storage's clock, and by ours, of which the second counts a machine's sleep.
    taken_at: (Timestamp, Instant, SystemTime),
    thread: Option<JoinHandle<()>>,
    fence: Option<Fence>,
    /// When it was last looked at, and all was well.
    looked_at: Mutex<Option<(Instant, SystemTime)>>,
}

/// Says whether a look was a moment ago, by both clocks. One that went back says nothing, so it was not.
fn is_recent((steady, wall): (Instant, SystemTime)) -> bool {
    steady.elapsed().max(wall.elapsed().unwrap_or(Duration::MAX)) < LOOK_GOOD_FOR
}

/// What else has to hold where a lock has.
struct Fence(Box<dyn Fn() -> Result<(), EngineError> + Send + Sync>);

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fence")
    }
}

#[derive(Debug)]
struct Held {
    room: LockRoom,
    mode: LockMode,
    owner: LockOwner,
    refresh_every: Duration,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    id: Id,
    /// When the lock was last written: by a clock that never jumps, and by one that also counts a machine's sleep.
    written: (Instant, SystemTime),
    lost: bool,
    ended: bool,
}

impl State {
    fn age(&self) -> Duration {
        self.written.0.elapsed().max(self.written.1.elapsed().unwrap_or_default())
    }
}

impl LockGuard {
    pub(super) fn keep(room: LockRoom, taken: Taken, mode: LockMode, owner: LockOwner, terms: &LockTerms) -> Self {
        let state = State { id: taken.id, written: (Instant::now(), SystemTime::now()), lost: false, ended: false };
        let (refresh_every, state, ended) = (terms.refresh_every, Mutex::new(state), Condvar::new());
        let held = Arc::new(Held { room, mode, owner, refresh_every, state, ended });
        let keeper = Arc::clone(&held);
        let thread = std::thread::Builder::new().name("lock".to_owned()).spawn(move || keeper.keep()).ok();
        // A storage that keeps no times has none of this century.
        let storage_at = if taken.at < NO_CLOCK_BEFORE { Timestamp::now() } else { taken.at };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let taken_at = (storage_at, Instant::now(), SystemTime::now());
        Self { held, number, taken_at, thread, fence: None, looked_at: Mutex::default() }
    }

    /// Returns it with a question that is asked at each look at the lock: whoever works under a lease as well must still
    /// hold that, before each step that cannot be undone.
    #[must_use]
    pub fn fenced(mut self, holds: impl Fn() -> Result<(), EngineError> + Send + Sync + 'static) -> Self {
        self.fence = Some(Fence(Box::new(holds)));
        self
    }

    /// Returns the lock's name as it is now: a refresh gives it a new one.
    pub fn id(&self) -> Id {
        self.held.state().id
    }

    /// Returns who may work beside us.
    pub fn mode(&self) -> LockMode {
        self.held.mode
    }

    /// Returns the moment by the storage's own clock, which all that use the repository share; by ours where the storage
    /// keeps no times. It is at least so late: a machine's sleep may not be counted. For judging how old something is.
    pub fn storage_now(&self) -> Timestamp {
        self.after_taken(self.taken_at.1.elapsed())
    }

    /// As [`LockGuard::storage_now`], and at most so late: for what must not count as older than it is.
    pub fn storage_now_at_most(&self) -> Timestamp {
        self.after_taken(self.taken_at.1.elapsed().max(self.taken_at.2.elapsed().unwrap_or_default()))
    }

    fn after_taken(&self, passed: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.taken_at.0.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Returns a number that no other guard of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Asks the storage whether the lock is still ours. Call it before each step that cannot be undone, and after
    /// publishing: a snapshot counts as good only when the lock was still there afterwards.
    ///
    /// # Errors
    /// [`EngineError::LockLost`], now and ever after; [`EngineError::Storage`] when the storage does not say; what the
    /// question of [`LockGuard::fenced`] returns.
    pub fn check(&self) -> Result<(), EngineError> {
        let mut now = (Instant::now(), SystemTime::now());
        self.held.check()?;
        if let Some(Fence(holds)) = &self.fence {
            holds()?;
            // A control plane that does not answer is asked for minutes.
            if !is_recent(now) {
                now = (Instant::now(), SystemTime::now());
                self.held.check()?;
            }
        }
        *self.looked_at.lock().expect("no holder panics") = Some(now);
        Ok(())
    }

    /// As [`LockGuard::check`], unless that was done a moment ago: between steps of which each takes a moment.
    ///
    /// # Errors
    /// As [`LockGuard::check`].
    pub(crate) fn check_unless_recent(&self) -> Result<(), EngineError> {
        let looked_at = *self.looked_at.lock().expect("no holder panics");
        if looked_at.is_some_and(is_recent) { Ok(()) } else { self.check() }
    }

    /// Says whether the lock was lost, as far as we know without asking the storage.
    pub fn is_lost(&self) -> bool {
        self.held.state().lost
    }

    /// Returns the answer of some work, or that it ended because the lock was lost: losing it raises the interrupt that
    /// the work looks at.
    ///
    /// # Errors
    /// [`EngineError::LockLost`], else the work's own.
    pub fn explain<T>(&self, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        match answer {
            Err(EngineError::Interrupted) if self.is_lost() => Err(self.held.gone()),
            answer => answer,
        }
    }

    /// Ends the lock.
    ///
    /// # Errors
    /// [`EngineError::Storage`] when it could not be removed; it is then stale in half an hour.
    pub fn release(mut self) -> Result<(), EngineError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), EngineError> {
        {
            let mut state = self.held.state();
            if state.ended {
                return Ok(());
            }
            state.ended = true;
        }
        self.held.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let id = self.held.state().id;
        self.held.room.remove(&id)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(error = %error, "our lock could not be removed; it is over in half an hour");
        }
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn gone(&self) -> EngineError {
        EngineError::LockLost { place: self.room.storage.place() }
    }

    /// Refreshes until the end, or until the lock is lost.
    fn keep(&self) {
        let mut state = self.state();
        let mut pause = self.refresh_every;
        while !state.ended && !state.lost {
            let (woken, timeout) = self.ended.wait_timeout(state, pause).expect("no holder panics");
            state = woken;
            if state.ended || !timeout.timed_out() {
                continue;
            }
            // Whoever was told to stop, and hangs, must not keep others out for ever: the lock is stale soon.
            if self.room.interrupt.is_raised() {
                return;
            }
            pause = match self.refresh(&mut state) {
                Ok(()) => self.refresh_every,
                Err(error) => {
                    tracing::warn!(error = %error, "the lock could not be refreshed");
                    self.refresh_every / 10
                }
            };
        }
    }

    /// Writes the lock anew.
    fn refresh(&self, state: &mut State) -> Result<(), EngineError> {
        let begun = (Instant::now(), SystemTime::now());
        let renewed = self.room.write(&self.owner, self.mode).and_then(|id| match self.room.is_there(&state.id) {
            Ok(there) => Ok((id, there)),
            Err(error) => {
                self.room.clear(&id);
                Err(error)
            }
        });
        match renewed {
            Ok((id, true)) => {
                self.room.clear(&state.id);
                (state.id, state.written) = (id, begun);
                Ok(())
            }
            Ok((id, false)) => {
                self.room.clear(&id);
                Err(self.lose(state))
            }
            // Others may take us for dead from now on.
            Err(_) if state.age() >= STALE_AFTER => Err(self.lose(state)),
            Err(error) => Err(error),
        }
    }

    fn lose(&self, state: &mut State) -> EngineError {
        state.lost = true;
        self.room.interrupt.raise();
        self.gone()
    }

    fn check(&self) -> Result<(), EngineError> {
        let mut state = self.state();
        if state.lost {
            return Err(self.gone());
        }
        // After a long sleep the lock is made young first, or it could be removed just after we looked.
        if state.age() > self.refresh_every * 2 {
            return self.refresh(&mut state);
        }
        if self.room.is_there(&state.id)? { Ok(()) } else { Err(self.lose(&mut state)) }
    }
}

#[cfg(test)]
mod tests {
    use backstay_storage::{ObjectKey, ObjectStorage};
    use backstay_testkit::fakes::storage::FakeStorage;
    use futures::executor::block_on;

    use super::*;
    use crate::interrupt::Interrupt;
    use crate::repository::{Maker, Repository};

    fn held() -> (Arc<FakeStorage>, LockGuard) {
        let maker = Maker { username: "ada".to_owned(), hostname: "host".to_owned(), at: Timestamp::UNIX_EPOCH };
        let (storage, interrupt) = (Arc::new(FakeStorage::default()), Interrupt::default());
        let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
        let repository = Repository::create(shared, &"secret".to_owned().into(), maker, &interrupt).unwrap();
        let terms = LockTerms { look_again_after: Duration::ZERO, ..LockTerms::default() };
        let owner = LockOwner::this_process("ada".to_owned());
        (storage, repository.lock_exclusive(&owner, &terms, &interrupt).unwrap())
    }

    #[test]
    fn a_look_is_good_for_a_moment_and_not_through_a_sleep() {
        let (storage, guard) = held();
        guard.check().unwrap();
        let lock = ObjectKey::new(format!("locks/{}", guard.id())).unwrap();
        block_on(storage.object_remove(&lock)).unwrap();
        guard.check_unless_recent().unwrap();
        let slept = SystemTime::now() - LOOK_GOOD_FOR;
        *guard.looked_at.lock().unwrap() = Some((Instant::now(), slept));
        assert!(matches!(guard.check_unless_recent(), Err(EngineError::LockLost { .. })));
    }

    #[test]
    fn a_machine_s_sleep_makes_no_mark_older() {
        let (_, mut guard) = held();
        let hours = Duration::from_secs(12 * 3_600);
        guard.taken_at.2 = SystemTime::now() - hours;
        let (least, most) = (guard.storage_now(), guard.storage_now_at_most());
        let between = most.duration_since(least);
        assert!((between.as_secs() - 12 * 3_600).abs() < 60, "{between}");
    }
}
