//! Whole-product tests: the real binary on real folders, held against real restic. One test binary.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error where none is expected is what they report")]

mod storage;
mod support;
mod voice;

mod engine_support;

mod fleet_support;
mod house;

mod adoption;
mod again;
mod anomaly;
mod bad_input;
mod document;
mod bucket;
mod cable;
mod change;
mod config;
mod day;
mod declare;
mod engine_kills;
mod engine_kills_maintain;
mod engine_peers;
mod engine_repair;
mod engine_same;
mod engine_verbs;
mod elsewhere;
mod fail_points;
mod failures;
mod fleet;
mod follow_up;
mod full;
mod held;
mod hook;
mod import;
mod interrupted;
mod job_set;
mod look_into;
mod own_database;
mod quickstart;
mod recovery;
mod restore_part;
mod retention;
mod papers;
mod proof;
mod same_story;
mod secrets;
mod ping;
mod service;
mod show_call;
mod source;
mod source_database;
mod template;
mod terms;
mod tenant;
mod tenant_purge;
mod tls;
mod traces;
mod up_database;
mod verbs;
mod wire;
