//! The stage: actors that take turns on a simulated clock, one thread, one step at a time.
//!
//! An actor is a future that runs until it sleeps. Each call of a port is a step of its own (`store`, `wire`), so two
//! actors meet between any two statements of a use case. Time does not pass while somebody is ready; when nobody is, it
//! jumps to the next who wakes. Processes hold actors: one that is frozen does not step and goes on later with what it
//! had in its hands; one that is killed is dropped where it stands. Chance decides who steps first, and comes from a seed.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use backstay_core::ports::clock::Clock;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::dice::Dice;

/// Lines of the story that a failing seed tells.
const LINES_KEPT: usize = 30;

/// A process: what is frozen and killed as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u64);

/// An actor, never used twice.
type ActorId = u64;

struct Actor {
    id: ActorId,
    process: ProcessId,
    wake_at: i64,
    /// It waits for a signal: one of these may wake it before its time.
    waits: Option<u64>,
    future: Option<BoxFuture<'static, ()>>,
}

#[derive(Default)]
struct Inner {
    actors: Vec<Actor>,
    frozen: Vec<(ProcessId, i64)>,
    signalled: BTreeSet<u64>,
    current: Option<(ActorId, ProcessId)>,
    story: VecDeque<String>,
}

/// The stage. Everybody on it shares it.
pub struct Stage {
    now: AtomicI64,
    steps: AtomicU64,
    serial: AtomicU64,
    touched: AtomicBool,
    inner: Mutex<Inner>,
    runtime: tokio::runtime::Runtime,
    /// Whether a person wants the whole story.
    tells_all: bool,
    /// The dice of this year.
    pub dice: Dice,
}

impl Stage {
    /// Makes an empty stage whose clock shows `now`.
    ///
    /// # Panics
    /// When this machine cannot start a runtime.
    pub fn new(now: Timestamp, seed: u64) -> Arc<Self> {
        // Without sockets: a thread that parks is woken sooner than one that polls.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Arc::new(Self {
            now: AtomicI64::new(now.as_microsecond()),
            steps: AtomicU64::new(0),
            // Below are the bells of machines, which have numbers of their own.
            serial: AtomicU64::new(1_000),
            touched: AtomicBool::new(false),
            inner: Mutex::default(),
            runtime: runtime.expect("a runtime of one thread needs nothing but memory"),
            tells_all: std::env::var_os("BACKSTAY_STORY").is_some(),
            dice: Dice::new(seed),
        })
    }

    /// Returns the present moment: the true one, which is also the database's.
    pub fn now(&self) -> Timestamp {
        instant(self.now.load(SeqCst))
    }

    /// Returns how many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps.load(SeqCst)
    }

    /// Returns a number that nobody else has.
    pub fn serial(&self) -> u64 {
        self.serial.fetch_add(1, SeqCst)
    }

    /// Waits for real input and output, which takes no simulated time.
    pub fn block<T>(&self, real: impl Future<Output = T>) -> T {
        self.runtime.block_on(real)
    }

    /// Notes that rows may have changed in this step.
    pub fn touch(&self) {
        self.touched.store(true, SeqCst);
    }

    /// Says whether rows may have changed since this was asked last.
    pub fn was_touched(&self) -> bool {
        self.touched.swap(false, SeqCst)
    }

    /// Puts an actor on the stage; it begins when time is next looked at.
    pub fn spawn(&self, process: ProcessId, play: impl Future<Output = ()> + Send + 'static) {
        let id = self.serial();
        let wake_at = self.now.load(SeqCst);
        self.lock().actors.push(Actor { id, process, wake_at, waits: None, future: Some(Box::pin(play)) });
    }

    /// Sleeps for so long.
    pub async fn sleep(&self, length: Duration) {
        self.sleep_until(self.now.load(SeqCst).saturating_add(micros(length)), None).await;
    }

    /// Sleeps until `signal` is given, at most for so long. A signal that was given before counts.
    pub async fn wait(&self, signal: u64, length: Duration) {
        if !self.lock().signalled.remove(&signal) {
            self.sleep_until(self.now.load(SeqCst).saturating_add(micros(length)), Some(signal)).await;
        }
        self.lock().signalled.remove(&signal);
    }

    /// Gives a signal to whoever waits for it; remembers it when nobody does yet.
    pub fn signal(&self, signal: u64) {
        let now = self.now.load(SeqCst);
        let mut inner = self.lock();
        inner.signalled.insert(signal);
        if let Some(actor) = inner.actors.iter_mut().find(|actor| actor.waits == Some(signal)) {
            actor.wake_at = actor.wake_at.min(now);
        }
    }

    async fn sleep_until(&self, wake_at: i64, waits: Option<u64>) {
        let mut slept = false;
        poll_fn(|_| {
            if std::mem::replace(&mut slept, true) {
                return Poll::Ready(());
            }
            let mut inner = self.lock();
            let current = inner.current.map(|(id, _)| id);
            if let Some(actor) = inner.actors.iter_mut().find(|actor| Some(actor.id) == current) {
                (actor.wake_at, actor.waits) = (wake_at, waits);
            }
            Poll::Pending
        })
        .await;
    }

    /// Stops a process where it stands, for so long: then it goes on with what it had.
    pub fn freeze(&self, process: ProcessId, length: Duration) {
        let until = self.now.load(SeqCst).saturating_add(micros(length));
        self.lock().frozen.push((process, until));
    }

    /// Ends a process where it stands. What was on its way from it stays on its way.
    pub fn kill(&self, process: ProcessId) {
        let mut inner = self.lock();
        let dead: Vec<Actor> = inner.actors.extract_if(.., |actor| actor.process == process).collect();
        drop(inner);
        // Outside the lock: a future that is dropped may drop what locks.
        drop(dead);
    }

    /// Ends everything.
    pub fn clear(&self) {
        let dead = std::mem::take(&mut self.lock().actors);
        drop(dead);
    }

    /// Lets one actor step; time jumps to the next who wakes, but not beyond `until`. False when nothing is left to do
    /// before it.
    pub fn step(&self, until: Timestamp) -> bool {
        let now = self.now.load(SeqCst);
        let (id, process, mut future) = {
            let mut inner = self.lock();
            inner.frozen.retain(|(_, thaws)| *thaws > now);
            let thaws = |process: ProcessId, inner: &Inner| {
                inner.frozen.iter().filter(|(frozen, _)| *frozen == process).map(|(_, until)| *until).max()
            };
            let wakes = |actor: &Actor, inner: &Inner| {
                actor.wake_at.max(thaws(actor.process, inner).unwrap_or(i64::MIN)).max(now)
            };
            let Some(next) = inner.actors.iter().map(|actor| wakes(actor, &inner)).min() else { return false };
            if next > until.as_microsecond() {
                self.now.store(until.as_microsecond(), SeqCst);
                return false;
            }
            self.now.store(next, SeqCst);
            let ready: Vec<usize> =
                (0..inner.actors.len()).filter(|place| wakes(&inner.actors[*place], &inner) == next).collect();
            let place = if ready.len() == 1 { ready[0] } else { *self.dice.pick(&ready) };
            let actor = &mut inner.actors[place];
            actor.waits = None;
            let taken =
                (actor.id, actor.process, actor.future.take().expect("an actor that does not step has its play"));
            inner.current = Some((taken.0, taken.1));
            taken
        };
        self.steps.fetch_add(1, SeqCst);
        let ended = future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let mut inner = self.lock();
        inner.current = None;
        let place = inner.actors.iter().position(|actor| actor.id == id && actor.process == process);
        match place {
            Some(place) if ended => drop(inner.actors.swap_remove(place)),
            Some(place) => inner.actors[place].future = Some(future),
            // It was killed while it stepped.
            None => drop(inner),
        }
        true
    }

    /// Adds a line to the story of this year.
    #[track_caller]
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let line = format!("{} step {} {}", self.now(), self.steps(), line());
        if self.tells_all {
            eprintln_line(&line, Location::caller());
        }
        let mut inner = self.lock();
        inner.story.push_back(line);
        if inner.story.len() > LINES_KEPT {
            inner.story.pop_front();
        }
    }

    /// Returns the last lines of the story.
    pub fn story(&self) -> String {
        self.lock().story.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }
}

/// The stage's clock, which is the database's.
pub struct TrueClock(pub Arc<Stage>);

impl Clock for TrueClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A machine's clock: it runs beside the true one, drifts and jumps.
pub struct WrongClock {
    stage: Arc<Stage>,
    offset: AtomicI64,
    /// Parts of a million by which it is too fast.
    drift: i64,
    set_at: AtomicI64,
}

impl WrongClock {
    /// Makes a clock that is `offset_secs` ahead and gains so many parts of a million.
    pub fn new(stage: &Arc<Stage>, offset_secs: i64, drift: i64) -> Arc<Self> {
        let set_at = AtomicI64::new(stage.now.load(SeqCst));
        Arc::new(Self { stage: Arc::clone(stage), offset: AtomicI64::new(offset_secs * 1_000_000), drift, set_at })
    }

    /// Sets the clock so far ahead of the true one.
    pub fn jump(&self, offset_secs: i64) {
        self.offset.store(offset_secs * 1_000_000, SeqCst);
        self.set_at.store(self.stage.now.load(SeqCst), SeqCst);
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let now = self.stage.now.load(SeqCst);
        let drifted = (now - self.set_at.load(SeqCst)) / 1_000_000 * self.drift;
        instant(now + self.offset.load(SeqCst) + drifted)
    }
}

/// Returns an instant of the simulation.
pub fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("a simulation stays within the range of instants")
}

/// Returns a length in microseconds.
pub fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX / 4)
}

#[expect(clippy::print_stderr, reason = "a person asked for the whole story")]
fn eprintln_line(line: &str, place: &Location<'_>) {
    eprintln!("{line} ({}:{})", place.file(), place.line());
}
