//! Conformance: what a port promises, as code that every adapter and the fake pass alike.
//!
//! One suite a port, one public function a promise, named as a sentence. A promise's documentation says which line of
//! the SQL adapter, taken away, makes it red. A new behaviour of a port is first a line here. Who comes in: the tests of
//! `backstay-db`, of the HTTP client, and of the fakes.

pub mod world;

pub mod store;
pub mod job;
