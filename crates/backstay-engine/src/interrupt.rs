//! A wish to stop, seen within a second wherever the engine is.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::error::EngineError;

/// How often a thread that waits for a storage looks whether it shall stop: a fifth of the second that is promised.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A wish to stop that can be shared. Once raised it stays.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Says whether somebody asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error when somebody asked to stop.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_raised() { Err(EngineError::Interrupted) } else { Ok(()) }
    }

    /// Polls a future on this thread to its end and returns what it yields, or gives it up when somebody asks to stop.
    /// A future that blocks inside a poll is waited for.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; what the future would have done may be done or not.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, EngineError> {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            self.check()?;
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return Ok(done);
            }
            std::thread::park_timeout(LOOK_EVERY);
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
    fn a_future_that_never_ends_is_given_up() {
        let interrupt = Interrupt::default();
        std::thread::scope(|scope| {
            scope.spawn(|| interrupt.raise());
            let done = interrupt.block_on(std::future::pending::<()>());
            assert!(matches!(done, Err(EngineError::Interrupted)));
        });
    }
}
