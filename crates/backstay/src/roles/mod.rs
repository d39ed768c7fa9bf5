//! What the program can be: each role reads its configuration, chooses adapters and starts.
//!
//! `data_dir` is where an installation on one machine keeps everything, `home` that with the database of its rows,
//! `installation` puts its parts together, `storage_probe` tries a storage; `quickstart`, `recover` and `up` are its roles.
//! `server` is one of several on a database that they share (`database_url`), `own_database` says how that one is backed up,
//! `agent` does the jobs of servers elsewhere, and `master_key` opens what is sealed. `config` is what all of them are told,
//! and by whom; `door` is where one listens for others, with its certificate (`certificate_dates` reads until when), `doctor`
//! looks at all of it, `service` and `unit` are for systemd. `engine` is for one process without a control plane, `limit`
//! its options of bytes a second.

pub(crate) mod data_dir;
pub(crate) mod home;
pub(crate) mod installation;
pub(crate) mod system;
mod storage_probe;
pub(crate) mod telemetry;
pub(crate) mod quickstart;
pub(crate) mod recover;
pub(crate) mod up;
pub(crate) mod agent;
pub(crate) mod master_key;
pub(crate) mod database_url;
pub(crate) mod own_database;
pub(crate) mod config;
pub(crate) mod door;
pub(crate) mod doctor;
mod certificate_dates;
pub(crate) mod service;
pub(crate) mod unit;
pub(crate) mod server;
pub(crate) mod engine;
pub(crate) mod limit;
