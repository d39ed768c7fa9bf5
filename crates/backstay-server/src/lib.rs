//! The control plane: the HTTP API and the loops that wake up by themselves.
//!
//! [`http`] turns requests into managers' calls and back; [`loops`] look, decide through one pure function, and act;
//! [`channels`] bring messages to mail servers and webhooks; [`secrets`] read what references name;
//! [`signing`] holds the installation's key; [`tally`] counts what jobs came to.
//!
//! Absent on purpose: SQL (ports stand before it) and repositories (a reader looks into them). Who comes in: the
//! binary's roles, with the ports put together.

pub mod channels;
pub mod http;
pub mod loops;
pub mod secrets;
pub mod signing;
pub mod tally;
