//! `backstay server …`: a server in replicas on a database that they share, and what is done to such a database.

use std::path::Path;
use std::time::Duration;

use backstay_db::MasterKeys;
use backstay_server::channels::Reach;

use super::args::Common;
use super::database::DatabaseArgs;
use super::error::{CliError, Exit};
use super::screen::Screen;
use super::server_protect;
use super::up::TlsArgs;
use crate::roles::config::{Config, Typed};
use crate::roles::database_url::DatabaseUrl;
use crate::roles::door::Door;
use crate::roles::home::Rows;
use crate::roles::installation::Ways;
use crate::roles::master_key;
use crate::roles::own_database::OwnDatabase;
use crate::roles::server::{self, Shared};

/// What a server is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Days that ended jobs, events and forgotten snapshots stay in lists, 62 at least [default: 400]
    /// [env: BACKSTAY_HISTORY_DAYS]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(62..=36_500))]
    history_days: Option<u64>,
    /// Where to listen [default: 127.0.0.1:7400] [env: BACKSTAY_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What is done to the database, without serving.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token with the role admin in the database and print its text, once: how the first one is had
    Token {
        /// What its holder calls it
        name: String,
    },
    /// Seal all secrets anew under the newest master key; the older ones are needed no more then
    Reseal,
    /// Have the database itself backed up, by a plan like any other: that of this data directory, or the one whose URL is
    /// said. The master key is never in it
    Protect(server_protect::Verb),
}

pub(super) async fn run(common: &Common, server: Server, screen: &Screen) -> Result<Exit, CliError> {
    let config = common.told();
    match &server.verb {
        None => {
            let shared = shared(config)?;
            let address = config.text("server.listen").unwrap_or_default();
            server::run(&shared, Door::judge(address, config).await?, screen).await?;
        }
        Some(Verb::Token { name }) => server::token(&shared(config)?, name, screen).await?,
        Some(Verb::Reseal) => server::reseal(&shared(config)?, screen).await?,
        Some(Verb::Protect(verb)) => {
            let own = own(common, verb.password_file.as_deref())?;
            return server_protect::run(common, own, verb, screen).await;
        }
    }
    Ok(Exit::Done)
}

/// Returns what all replicas have in common.
fn shared(config: &Config) -> Result<Shared, CliError> {
    Ok(Shared {
        url: url(config)?,
        keys: keys(config)?,
        wait: Duration::from_secs(config.number("server.database_wait_seconds")),
        ways: Ways::of(config, Reach::PublicForTenants),
        beside: config.beside.clone(),
    })
}

/// Returns the database to protect: the one whose URL is said, else that of the data directory.
fn own(common: &Common, password_file: Option<&Path>) -> Result<OwnDatabase, CliError> {
    let config = common.told();
    if let Some(url) = DatabaseUrl::of(config)? {
        return OwnDatabase::of_url(&url, password_file);
    }
    if common.server().is_some() {
        return Err(CliError::new(Exit::Input, "which database that server works on is not known here")
            .hint("Run it where the server runs, or name the file with the database's URL: --database-url-file F."));
    }
    let data = common.data_dir()?;
    data.must_exist(Rows::Here)?;
    Ok(OwnDatabase::of_data_dir(&data))
}

impl Server {
    /// Returns what was typed.
    pub(super) fn typed(&self) -> Typed {
        let mut typed = self.tls.typed();
        typed.extend(self.database.typed());
        typed.extend([
            ("server.history_days", self.history_days.map(|days| days.to_string())),
            ("server.listen", self.listen.clone()),
        ]);
        typed
    }
}

/// Returns the database that is meant.
fn url(config: &Config) -> Result<DatabaseUrl, CliError> {
    DatabaseUrl::of(config)?.ok_or_else(|| {
        CliError::new(Exit::Input, "a server needs a database")
            .hint("Put its URL in a file and name it with --database-url-file, or in BACKSTAY_DATABASE_URL.")
    })
}

/// Returns the master keys that are meant.
fn keys(config: &Config) -> Result<MasterKeys, CliError> {
    master_key::of(config)?.ok_or_else(|| {
        CliError::new(Exit::Input, "a server needs the master key that seals its secrets").hint(
            "Make one once with `openssl rand -hex 32`, keep a copy, and give all replicas the same: --master-key-file F.",
        )
    })
}
