//! Tests only: one conformance suite a port, fakes of the ports, and real peers.
//!
//! Read [`conformance`] for what a port promises, as code: every adapter and the fake run the same suite, so that a
//! test that uses the fake says something about the real thing. Who comes in: dev-dependencies, never the product.

pub mod conformance;
pub mod fakes;
pub mod peers;
