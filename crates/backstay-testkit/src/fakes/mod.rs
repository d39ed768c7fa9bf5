//! Fakes: a port's promises in memory, without the outside.
//!
//! Simple on purpose: one mutex, no cleverness. A fake passes the conformance suite of its port, or it is no fake. Time
//! stands still until a test moves it, randomness comes from a seed, keys are fixed.

pub mod clock;
pub mod courier;
pub mod proxy;
pub mod random;
pub mod secret;
pub mod signer;
pub mod snapshot;
pub mod source;
pub mod storage;
pub mod store;
