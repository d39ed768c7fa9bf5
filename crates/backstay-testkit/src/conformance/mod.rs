//! Conformance: what a port promises, as code that every adapter and the fake pass alike.
//!
//! One suite a port, one public function a promise, named as a sentence. A promise's documentation says which line of
//! the SQL adapter, taken away, makes it red. A new behaviour of a port is first a line here. Who comes in: the tests of
//! `backstay-db`, of the HTTP client, and of the fakes.

#![expect(clippy::unwrap_used, reason = "suites are tests: an error where none is expected is what they report")]

pub mod world;

pub mod clock;
pub mod secret;
pub mod signer;
pub mod snapshot;
pub mod source;
pub mod storage;
pub mod store;
pub mod access;
pub mod meter;
pub mod monitor;
pub mod purge;
pub mod job;
