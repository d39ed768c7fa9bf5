//! Where secrets are kept: one file a store.
//!
//! `file` has files below the data directory, `environment` what the process was started with; what is sealed in the database
//! is read by `backstay-db`; `by_reference` asks the one that a reference names. A secret's value is read when a lease needs it and is remembered nowhere.

pub mod file;
pub mod environment;
pub mod by_reference;
