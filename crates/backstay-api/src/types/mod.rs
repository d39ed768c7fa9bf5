//! What requests carry and what answers give. Times are RFC 3339, sizes are bytes, durations milliseconds.
//!
//! One file a noun, as everywhere. Answers are made from domain values here; requests are judged by the server.

pub mod wire;
pub mod list;
pub mod tenant;
pub mod kind;
pub mod repository;
pub mod storage;
pub mod source;
pub mod probe;
pub mod plan;
pub mod template;
pub mod monitor;
pub mod maintenance;
pub mod job;
pub mod job_set;
pub mod lease;
pub mod work;
pub mod result;
pub mod snapshot;
pub mod retention;
pub mod evidence;
pub mod event;
pub mod secret;
pub mod token;
pub mod channel;
pub mod alert;
pub mod agent;
pub mod caps;
pub mod explain;
pub mod change;
pub mod quota;
pub mod purge;
