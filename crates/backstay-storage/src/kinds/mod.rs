//! The storage kinds: one file and one row each.
//!
//! A kind opens one sort of storage and judges its settings; the conformance suite of `ObjectStorage` holds it to the
//! port's promises. Nothing else in the product names a kind: whoever needs one looks into the slice.
//!
//! A new kind is a file here, a row in [`STORAGE_KINDS`], and a fixture that hands it to the conformance suite. Absent on
//! purpose: what a kind is (`kind`), and what objects mean.

pub mod local;
pub mod s3;

use crate::kind::StorageKind;

/// Every storage kind that there is.
pub const STORAGE_KINDS: &[&dyn StorageKind] = &[&local::Local, &s3::S3];
