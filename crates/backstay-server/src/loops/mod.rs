//! What wakes up by itself: look, decide through one pure function, act.
//!
//! A loop is told nothing and is safe to repeat, also in two processes at once: what it does is decided by rows and by
//! the store's clock. So far there are rescuer and scheduler; launcher and notifier come with the parts that need them.

pub mod rescuer;
pub mod scheduler;
