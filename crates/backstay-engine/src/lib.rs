//! Restic-format repositories: written, read, restored and proved.
//!
//! [`format`](mod@format) knows bytes and does no I/O. [`repository`] opens a repository on a storage and reads objects
//! from it. [`archive`] makes snapshots, [`restore`] brings them back, [`verify`] reads samples back and compares.
//! [`select`] says which snapshot is meant, [`inspect`] lists, finds, compares and counts.
//!
//! Absent on purpose: leases, plans, SQL. Calls block and belong on threads of their own. Who comes in:
//! `backstay-agent`'s runners.

pub mod format;
pub mod error;
pub mod interrupt;
pub mod pattern;
pub mod progress;
pub mod size;
pub mod process;
pub mod system;
pub mod repository;
mod blob;
mod files;
mod seen;
pub mod lock;
pub mod archive;
pub mod restore;
pub mod verify;
pub mod browse;
pub mod select;
pub mod inspect;
pub mod maintenance;

pub use error::EngineError;
pub use interrupt::Interrupt;
pub use progress::EngineProgress;
pub use repository::Repository;
pub use system::System;
