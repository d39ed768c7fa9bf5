//! Peers: real programs that tests talk to, started privately by scripts under `testkit/peers`.
//!
//! One file a kind of peer. A peer that is not to be had is a loud skip, and a failure with `CI=true`. Absent on purpose:
//! what a peer must do; that is in the suites. Who comes in: tests of the adapters.

pub mod database;
