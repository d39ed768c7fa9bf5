//! Where secrets are kept: one file a store.
//!
//! So far there is one, files below the data directory. A secret's value is read when a lease needs it and is
//! remembered nowhere.

pub mod file;
