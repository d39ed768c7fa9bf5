//! The storage kinds: one file and one row each.

pub mod local;

use crate::kind::StorageKind;

/// Every storage kind that there is.
pub const STORAGE_KINDS: &[&dyn StorageKind] = &[&local::Local];
