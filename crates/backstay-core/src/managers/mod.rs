//! Use cases, each from end to end: they ask and tell ports in order and leave every decision to `domain`.
//!
//! `declaration` and `plan` take in what people declare, `request` and `schedule` put jobs in the queue, `job` is the port `Jobs`
//! over the stores, `rescue` puts lost jobs back, `retry` what was given up, `retention` says which snapshots go and has
//! repositories pruned, `adopt` takes in snapshots that have no row, `quota` keeps backups from starting that a tenant has no room for, `retire` ends what is no longer
//! wanted,
//! `watch` and `follow` turn what is overdue and what happened into alerts (`alert`), `monitor` misses the work of others, `ping` tells services that
//! wait for signs of life, `digest` sums up, `channel` takes in where to, `deliver` sends. `explain` answers why, `fit` whether plans keep their windows, `forecast` says what is to be expected, `job_log` tells a job's story, `queue` keeps by what the queue is gone through. `browse` looks into
//! snapshots, `access` makes tokens and records who asked, `event` checks chains of events, `secret` keeps what tenants hand in, `storage` and `source` try one, `purge` destroys what a tenant has, `sweep` deletes what is over
//! long enough. Nobody here knows HTTP, SQL or a file.

pub mod context;
pub mod declaration;
pub mod plan;
pub mod request;
pub mod job;
pub mod job_log;
pub mod lease;
pub mod rescue;
pub mod retry;
pub mod browse;
pub mod access;
pub mod event;
mod saved;
mod skipped;
pub mod schedule;
mod starts;
pub mod adopt;
mod missing;
pub mod retention;
pub mod proof;
pub mod anomaly;
pub mod quota;
pub mod retire;
pub mod purge;
pub mod secret;
pub mod storage;
pub mod source;
pub mod channel;
pub mod alert;
pub mod watch;
pub mod follow;
pub mod follow_up;
pub mod monitor;
pub mod ping;
pub mod digest;
pub mod deliver;
pub mod sweep;
pub mod explain;
pub mod fit;
mod forecast;
pub mod queue;
