//! What is to be done about an error: the one question that the queue asks.

use std::time::Duration;

/// What an error asks for. Every error enum of a port or room can say its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It may pass by itself: try again, at the earliest after this time.
    Retry {
        /// Shortest wait that makes sense; the queue's own back-off may be longer.
        after: Duration,
    },
    /// Some entries were not read; what was read is kept and the job is partial.
    Partial,
    /// It stays until a person changes something.
    Operator,
}
