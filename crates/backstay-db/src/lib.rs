//! All SQL: the database as the fulfilment of the core's three stores.
//!
//! Read [`migration`] for the tables and the promises that keys and checks keep, then [`database`] (connections, the
//! clock that decides expiry), then `job/` (the queue: enqueue, claim, heartbeat, settle, rescue). One file a noun, the
//! same names as in the core; `entity/` says how a row becomes a domain value and back.
//!
//! Absent on purpose: decisions. What may follow what is asked of the core (`StateName::may_become`) before anything is
//! written. No secret is ever in a row but sealed (`seal`). SQLite, PostgreSQL and MariaDB get the same statements; whatever
//! differs between them has a named function in `dialect`. Who comes in: a role opens a [`Database`] and hands it on as
//! three ports.

pub mod migration;

pub mod database;
mod dialect;
mod error;
mod now;
mod clock;

mod entity;
mod insert;
mod row;
mod twin;

mod access;
mod channel;
mod notice;
mod outbox;
mod quota;
mod told;
mod declaration;
mod event;
mod facts;
mod history;
mod page;
mod meter;
mod monitor;
mod job;
mod retention;
mod retire;
mod purge;
mod schedule;
mod start;
mod seal;
mod secret;
mod storage;
mod template;
mod upkeep;
mod proof;

#[doc(hidden)]
pub mod question;

pub use database::{Database, ServerOptions};
pub use error::{OpenError, Unreached};
pub use now::Now;
pub use seal::{MasterKey, MasterKeyError, MasterKeys, SealError, SealedSecrets};
