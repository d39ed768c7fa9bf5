//! What the outside must be able to do for us.
//!
//! A trait is here when it has an adapter; each has one conformance suite in `backstay-testkit` that its adapters and
//! its fake pass alike. Methods are named noun first (`job_lease`). Ports that are still to come stand in decision
//! record 0003.

pub mod job;
pub mod page;
pub mod store;
pub mod schedule;
pub mod retention;
pub mod notice;
pub mod monitor;
pub mod courier;
pub mod access;
pub mod meter;
pub mod sweep;
pub mod purge;
pub mod source;
pub mod storage;
pub mod snapshot;
pub mod secret;
pub mod signer;
pub mod clock;
pub mod random;
