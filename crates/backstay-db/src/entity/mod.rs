//! Rows: one file a table, each with the way to its domain value and back.
//!
//! Rows hold plain texts and numbers; reading one judges every cell. Absent on purpose: queries (beside this room) and
//! relations (a query says what it joins).

pub(crate) mod tenant;
pub(crate) mod source;
pub(crate) mod item;
pub(crate) mod repository;
pub(crate) mod storage;
pub(crate) mod plan;
pub(crate) mod template;
pub(crate) mod monitor;
pub(crate) mod ping;
pub(crate) mod upkeep;
pub(crate) mod proof;
pub(crate) mod suspicion;
pub(crate) mod quota;
pub(crate) mod purge;
pub(crate) mod repository_usage;
pub(crate) mod plan_schedule;
pub(crate) mod job;
pub(crate) mod job_set;
pub(crate) mod job_due;
pub(crate) mod queue_rules;
pub(crate) mod agent;
pub(crate) mod agent_token;
pub(crate) mod lease;
pub(crate) mod maintenance;
pub(crate) mod attempt;
pub(crate) mod checkpoint;
pub(crate) mod job_unread;
pub(crate) mod snapshot;
pub(crate) mod evidence;
pub(crate) mod event;
pub(crate) mod token;
pub(crate) mod answer;
pub(crate) mod change;
pub(crate) mod event_anchor;
pub(crate) mod secret;
pub(crate) mod channel;
pub(crate) mod digest;
pub(crate) mod digest_told;
pub(crate) mod alert;
pub(crate) mod outbox;
pub(crate) mod event_cursor;
pub(crate) mod watch;
