//! The HTTP API: the endpoint table made into a router, and a handler of a few lines for each row.
//!
//! A handler takes parameters, judges them, calls a manager or a store, and wraps the answer. Whatever goes wrong folds
//! into one problem (`error`). Every row asks for the bearer token (`auth`); there is no door without it.

pub mod state;
pub mod router;
mod agent;
mod auth;
mod error;
mod extract;
mod tenant;
mod kind;
mod repository;
mod source;
mod plan;
mod job;
mod snapshot;
mod evidence;
mod event;

pub use router::{router, serve};
pub use state::ServerState;
