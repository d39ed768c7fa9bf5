//! The present moment. Loops and handlers ask for it and hand it on as an argument; rules never do.

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Returns the present moment. It may jump either way: whoever measures a duration counts monotonic time.
    fn now(&self) -> Timestamp;
}
