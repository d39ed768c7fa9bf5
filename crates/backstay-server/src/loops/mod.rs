//! What wakes up by itself: look, decide through one pure function, act.
//!
//! A loop is told nothing and is safe to repeat, also in two processes at once: what it does is decided by rows and by
//! the store's clock. `rescuer` and `scheduler` keep the queue
//! going, `watcher` finds what people should know, `notifier` tells them, `sweeper` deletes what is over long enough; `turns` tells whether the queue's loops live; a launcher comes with the part that needs it.

mod turns;
pub mod rescuer;
pub mod scheduler;
pub mod watcher;
pub mod notifier;
pub mod sweeper;

pub use turns::{Loop, Turns};
