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

/// A lock that is held. It ends with [`LockGuard::release`], or when this is dropped.
#[derive(Debug)]
pub struct LockGuard {
    held: Arc<Held>,
    number: u64,
    /// When it was taken: by the storage's clock, and by ours.
    taken_at: (Timestamp, Instant),
    thread: Option<JoinHandle<()>>,
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
        Self { held, number, taken_at: (storage_at, Instant::now()), thread }
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
    /// keeps no times.
    pub fn storage_now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.taken_at.1.elapsed()).unwrap_or(SignedDuration::MAX);
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
    /// [`EngineError::LockLost`], now and ever after; [`EngineError::Storage`] when the storage does not say.
    pub fn check(&self) -> Result<(), EngineError> {
        self.held.check()
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
