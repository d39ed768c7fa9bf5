//! A wish to stop, seen within a second wherever the engine is.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::error::EngineError;
use crate::progress::EngineProgress;

/// How often a thread that waits for a storage looks whether it shall stop: a fifth of the second that is promised.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a write that is under way, or that tidies up, is waited for when somebody asks to stop: with a look before
/// it, less than the second that is promised.
const WRITE_GRACE: Duration = Duration::from_millis(200);

/// A wish to stop that can be shared. Once raised it stays.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    raised: Arc<AtomicBool>,
    /// Where each look is counted as a step of the work; none for work that counts what it does itself.
    steps: Option<Arc<EngineProgress>>,
}

impl Interrupt {
    /// Returns the same wish for work that counts nothing itself: each step, at which it looks here, is counted as a sign
    /// of life. Waiting for a storage is none.
    #[must_use]
    pub fn counting(&self, steps: Arc<EngineProgress>) -> Self {
        Self { raised: Arc::clone(&self.raised), steps: Some(steps) }
    }

    /// Asks to stop.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Relaxed);
    }

    /// Says whether somebody asked to stop.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Returns an error when somebody asked to stop.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub fn check(&self) -> Result<(), EngineError> {
        if let Some(steps) = &self.steps {
            steps.looked.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_raised() { Err(EngineError::Interrupted) } else { Ok(()) }
    }

    /// Polls a future on this thread to its end and returns what it yields, or gives it up when somebody asks to stop.
    /// A future that blocks inside a poll is waited for.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; what the future would have done may be done or not.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, EngineError> {
        self.block_on_within(Duration::ZERO, future)
    }

    /// Polls a write on this thread to its end, as [`Interrupt::block_on`] does. When somebody asks to stop it has a
    /// moment to end in: what has been sent is then not sent again.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; what the future would have written may be there or not.
    pub fn block_on_write<T>(&self, future: impl Future<Output = T>) -> Result<T, EngineError> {
        self.block_on_within(WRITE_GRACE, future)
    }

    /// As [`Interrupt::block_on`]; when somebody asks to stop, the future has this long to end in.
    pub(crate) fn block_on_within<T>(
        &self,
        grace: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, EngineError> {
        let mut until = None;
        let mut future = pin!(future);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            let left = self
                .is_raised()
                .then(|| until.get_or_insert_with(|| Instant::now() + grace).saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(EngineError::Interrupted);
            }
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return Ok(done);
            }
            std::thread::park_timeout(left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY)));
        }
    }
}

/// Wakes a thread that waits in [`Interrupt::block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_polled_to_its_end() {
        let (sender, receiver) = futures::channel::oneshot::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(7).unwrap());
            assert_eq!(Interrupt::default().block_on(receiver).unwrap(), Ok(7));
        });
    }

    #[test]
    fn steps_are_counted_and_waiting_is_none() {
        let progress = Arc::new(EngineProgress::default());
        let wish = Interrupt::default();
        let counting = wish.counting(Arc::clone(&progress));
        (0..3).for_each(|_| counting.check().unwrap());
        wish.check().unwrap();
        counting.block_on(std::future::ready(())).unwrap();
        assert_eq!(progress.looked.load(Ordering::Relaxed), 3);
        wish.raise();
        assert!(counting.check().is_err(), "it is one wish");
    }

    #[test]
    fn a_future_that_never_ends_is_given_up() {
        let interrupt = Interrupt::default();
        std::thread::scope(|scope| {
            scope.spawn(|| interrupt.raise());
            let done = interrupt.block_on(std::future::pending::<()>());
            assert!(matches!(done, Err(EngineError::Interrupted)));
        });
    }
}
