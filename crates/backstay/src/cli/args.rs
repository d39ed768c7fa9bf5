//! Nouns and options: what can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::error::CliError;
use crate::roles::data_dir::DataDir;

/// Backups for many tenants, and the proof that they can be restored.
#[derive(Debug, Parser)]
#[command(name = "backstay", version, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Print JSON instead of tables and messages
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Options that every verb has.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where the installation on this machine keeps everything [default: backstay in your own data folder]
    #[arg(long, global = true, value_name = "D", env = "BACKSTAY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Speak to the server at this URL instead, with the token in BACKSTAY_TOKEN
    #[arg(long, global = true, value_name = "URL", env = "BACKSTAY_SERVER")]
    pub(crate) server: Option<String>,
}

impl Common {
    /// Returns how this program is called again on the same data directory, for hints that can be copied.
    pub(crate) fn program(&self) -> String {
        match &self.data_dir {
            Some(path) if std::env::var_os("BACKSTAY_DATA_DIR").is_none() => {
                format!("backstay --data-dir '{}'", path.display())
            }
            _ => "backstay".to_owned(),
        }
    }

    /// Returns the data directory that is meant.
    pub(crate) fn data_dir(&self) -> Result<DataDir, CliError> {
        Ok(DataDir::find(self.data_dir.as_deref())?)
    }
}

/// What can be spoken of.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Back up a folder, read it back, and prove it: everything in one command
    Quickstart(super::quickstart::Verb),
    /// Run server and agent in one process on this machine
    Up,
    /// Whose data it is
    #[command(subcommand)]
    Tenant(super::tenant::Verb),
    /// Kinds of sources and storages that there are
    Kinds,
    /// Where snapshots lie
    #[command(subcommand)]
    Repository(super::repository::Verb),
    /// What backups read
    #[command(subcommand)]
    Source(super::source::Verb),
    /// What is protected and how
    #[command(subcommand)]
    Plan(super::plan::Verb),
    /// Work that waits, runs or has ended
    #[command(subcommand)]
    Job(super::job::Verb),
    /// Saved states: list, look into, restore, verify
    #[command(subcommand)]
    Snapshot(super::snapshot::Verb),
    /// Signed records of what was read back
    #[command(subcommand)]
    Evidence(super::evidence::Verb),
    /// What happened
    #[command(subcommand)]
    Event(super::event::Verb),
    /// Work on a restic repository in this process, with no server: restic's commands by restic's names
    Engine(super::engine::Engine),
}
