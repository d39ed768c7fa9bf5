//! Tests only: the promises of the control plane, tried where real time and real machines are too slow.
//!
//! `tests/it/model` is a model of ownership (leases, tokens, deletion in two phases) whose states are checked in all
//! orders within small bounds. Absent on purpose: product code. Who comes in: `cargo test`.
