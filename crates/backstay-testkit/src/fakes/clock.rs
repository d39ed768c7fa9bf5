//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backstay_core::ports::clock::Clock;
use jiff::Timestamp;

/// A clock that a test moves by hand. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
}

impl ManualClock {
    /// Makes a clock that shows `now`, to the microsecond.
    pub fn new(now: Timestamp) -> Self {
        Self { micros: Arc::new(AtomicI64::new(now.as_microsecond())) }
    }

    /// Makes the clock show `now`; backwards is allowed, as a wrong clock does it.
    pub fn set(&self, now: Timestamp) {
        self.micros.store(now.as_microsecond(), Ordering::SeqCst);
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).expect("a test does not wait for three hundred thousand years");
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Shows 2026-01-01 00:00 UTC.
    fn default() -> Self {
        Self::new(Timestamp::from_second(1_767_225_600).expect("the second lies in the range of instants"))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::SeqCst)).expect("a test stays in the range of instants")
    }
}
