//! When the loops that keep the queue going turned last: whoever watches over the process learns that one stands still.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A loop that turns every few seconds, whatever there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// Puts lost jobs back.
    Rescuer,
    /// Starts what is due.
    Scheduler,
}

/// The last turn of each.
#[derive(Debug)]
pub struct Turns(Mutex<[Instant; 2]>);

impl Default for Turns {
    fn default() -> Self {
        Self(Mutex::new([Instant::now(); 2]))
    }
}

impl Turns {
    /// Says that a loop turned.
    pub(super) fn turned(&self, of: Loop) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[of as usize] = Instant::now();
    }

    /// Returns how long ago the slowest of them turned.
    pub fn idle(&self) -> Duration {
        let turns = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.iter().map(Instant::elapsed).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a loop that turns hides another one that does not.
    #[test]
    fn the_slowest_loop_counts() {
        let turns = Turns::default();
        let long_ago = Instant::now() - Duration::from_secs(1000);
        *turns.0.lock().unwrap() = [long_ago; 2];
        turns.turned(Loop::Scheduler);
        assert!(turns.idle() >= Duration::from_secs(1000));
        turns.turned(Loop::Rescuer);
        assert!(turns.idle() < Duration::from_secs(1000));
    }
}
