//! Where repository bytes lie.
//!
//! One trait by key ([`ObjectStorage`]), one row a kind ([`STORAGE_KINDS`]). A list is complete or an error, never a
//! shorter list; an object appears whole or not at all; what was put is on the disk when the call returns.
//!
//! Absent on purpose: any knowledge of what the bytes mean. Who comes in: `backstay-engine` with keys that it made.

pub mod object;
pub mod error;
pub mod credentials;
pub mod kind;
pub mod kinds;
pub mod retry;
pub mod limit;
pub mod pace;
mod runtime;

pub use credentials::{AccessKey, PartCredentials, Purpose, StorageCredentials};
pub use error::StorageError;
pub use kind::{Presence, StorageKind, storage_kind};
pub use kinds::STORAGE_KINDS;
pub use object::{
    Capabilities, ListedObject, ObjectKey, ObjectStorage, ObjectVersion, Part, PutAnswer, PutOptions, ReadCache,
};
pub use pace::{Pace, SystemPace};
