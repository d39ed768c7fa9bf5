//! An installation on one machine before it runs: its data directory, and the database that its rows lie in.
//!
//! Rows lie in SQLite in the data directory, unless settings name a server of PostgreSQL or MariaDB. Whatever else an
//! installation keeps (recovery keys, the lock, a master key that nobody names) lies in the data directory either way.
//! Absent on purpose: opening any of it.

use std::time::Duration;

use backstay_db::MasterKeys;

use super::config::{Beside, Config};
use super::data_dir::{DataDir, DataDirError};
use super::database_url::DatabaseUrl;
use super::master_key;
use crate::cli::error::CliError;

/// Where an installation keeps what it knows.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) data: DataDir,
    /// The server that rows lie on; none for SQLite in the data directory.
    pub(crate) remote: Option<Remote>,
    /// The master keys that settings name; none for that of the data directory.
    pub(crate) keys: Option<MasterKeys>,
    /// Secrets beside the file of settings.
    pub(crate) beside: Beside,
}

/// A database on a server.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) url: DatabaseUrl,
    /// How long it is waited for.
    pub(crate) wait: Duration,
}

/// Where the rows of an installation lie, seen from its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// In it.
    Here,
    /// On a server.
    Elsewhere,
}

impl Rows {
    /// Returns what settings say.
    pub(crate) fn of(config: &Config) -> Self {
        if config.said_or_file("server.database_url").is_some() { Self::Elsewhere } else { Self::Here }
    }
}

impl Home {
    /// Returns what settings say of this data directory.
    ///
    /// # Errors
    /// [`CliError`]: a file of theirs that cannot be used.
    pub(crate) fn of(config: &Config, data: DataDir) -> Result<Self, CliError> {
        let wait = Duration::from_secs(config.number("server.database_wait_seconds"));
        let remote = DatabaseUrl::of(config)?.map(|url| Remote { url, wait });
        // SQLite's lies beside it, whatever a server on the same machine is told.
        let keys = if remote.is_some() { master_key::of(config)? } else { None };
        Ok(Self { data, remote, keys, beside: config.beside.clone() })
    }

    /// Says whether an installation is there.
    ///
    /// # Errors
    /// As [`DataDir::must_exist`].
    pub(crate) fn must_exist(&self) -> Result<(), DataDirError> {
        self.data.must_exist(if self.remote.is_some() { Rows::Elsewhere } else { Rows::Here })
    }

    /// Says whether what opens the database is a password, which a source of it needs a file for.
    pub(crate) fn has_password(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.url.has_password())
    }

    /// Says that the data directory has rows of its own which nobody uses; none when it has none.
    pub(crate) fn rows_left(&self) -> Option<String> {
        let path = self.data.database();
        let is_left = self.remote.is_some() && path.exists();
        is_left.then(|| format!("the rows in {} are not used: settings name another database for them", path.display()))
    }

    /// Says that an installation was here whose rows are not: they are lost, or the setting that names their server is not
    /// said to this process. None at a first start, and where they are.
    pub(crate) fn rows_missing(&self) -> Option<String> {
        // The master key is made once there are rows to seal something in.
        let had_rows = self.data.master_key().exists();
        let is_missing = self.remote.is_none() && had_rows && !self.data.database().exists();
        is_missing.then(|| {
            "an installation was here, and its rows are not: it begins anew. If they lie on a server, name it \
             (server.database_url); if they are lost: docs/how-to/when-the-database-is-gone.md"
                .to_owned()
        })
    }
}
