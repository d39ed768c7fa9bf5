//! The HTTP API: the endpoint table made into a router, and a handler of a few lines for each row.
//!
//! A handler takes parameters, judges them, calls a manager or a store, and wraps the answer. Whatever goes wrong folds
//! into one problem (`error`). Before every row stands its door (`door`): who asks, and may they. What a path
//! names comes through `caller`, which hides other tenants' rows.

pub mod state;
pub mod router;
pub mod tls;
mod accept;
mod agent;
mod alert;
mod channel;
mod caller;
mod door;
mod once;
mod error;
mod extract;
mod tenant;
mod kind;
mod repository;
mod source;
mod storage;
mod plan;
mod job;
mod job_set;
mod snapshot;
mod evidence;
mod event;
mod maintenance;
mod meter;
mod stream;
mod secret;
mod token;
mod explain;
mod caps;
mod quota;
mod purge;
mod tag;
mod template;
mod monitor;
mod ping;

pub use door::{Authenticator, Identity, TokenAuthenticator};
pub use router::{router, serve, serve_tls};
pub use state::ServerState;
pub use tls::{Tls, TlsError};
