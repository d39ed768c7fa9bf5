//! What the product means.
//!
//! Three rooms: [`domain`] holds rules that decide from values alone, [`ports`] says what the outside must be able to
//! do, [`managers`] carry one use case each from end to end through ports. Read them in that order.
//!
//! Absent on purpose: SQL, HTTP, Kubernetes, restic, a clock, randomness, files, sockets and the environment. `now`
//! and random bytes are arguments. Who comes in: `backstay-server` and the binary's roles call managers;
//! `backstay-agent` speaks through the port [`ports::job::Jobs`]; `backstay-db` fulfils the stores.

pub mod domain;
pub mod managers;
pub mod ports;
