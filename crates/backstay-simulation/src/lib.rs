//! Tests only: the promises of the control plane, tried where real time and real machines are too slow.
//!
//! Read [`year`]: a year from a seed. `stage` is the thread that all step on and its clock, `world` what is there,
//! `store`, `wire` and `courier` the ports with bad weather, `agent` and `server` who works, `fate` what befalls them, `ledger` the
//! promises. `tests/it/model` is a model of ownership whose states are checked in all orders within small bounds.
//!
//! The managers, the loops' bodies and the SQL are the production ones. Absent on purpose: product code. Who comes in:
//! `cargo test`.

pub mod year;
pub mod dice;
pub mod stage;
pub mod weather;
pub mod mutant;
pub mod store;
pub mod wire;
pub mod repository;
pub mod courier;
pub mod world;
pub mod agent;
pub mod server;
pub mod fate;
pub mod table;
pub mod ledger;
