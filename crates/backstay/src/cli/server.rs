//! `backstay server …`: a server in replicas on a database that they share, and what is done to such a database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backstay_core::domain::secret::Secret;
use backstay_db::MasterKeys;
use backstay_server::channels::Reach;
use secrecy::ExposeSecret as _;

use super::args::Common;
use super::error::{CliError, Exit};
use super::screen::Screen;
use super::server_protect;
use super::up::TlsArgs;
use crate::roles::config::{Config, SaidOrFile, Typed};
use crate::roles::database_url::DatabaseUrl;
use crate::roles::door::Door;
use crate::roles::installation::Ways;
use crate::roles::master_key;
use crate::roles::own_database::OwnDatabase;
use crate::roles::server::{self, Shared};

/// What a server is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The database, such as postgres://backstay@db.example/backstay?sslmode=verify-full or mariadb://…; a URL with a
    /// password comes from a file or the environment [env: BACKSTAY_DATABASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// A file that holds the database's URL [env: BACKSTAY_DATABASE_URL_FILE]
    #[arg(long, global = true, value_name = "F", conflicts_with = "database")]
    database_url_file: Option<PathBuf>,
    /// A file that holds the master key, the same for all replicas; older keys below it, one a line. The keys themselves
    /// may be in BACKSTAY_MASTER_KEY [env: BACKSTAY_MASTER_KEY_FILE]
    #[arg(long, global = true, value_name = "F")]
    master_key_file: Option<PathBuf>,
    /// Seconds that a database is waited for that does not answer [default: 30] [env: BACKSTAY_DATABASE_WAIT_SECONDS]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    database_wait: Option<u64>,
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
            let shared = shared(&server, config)?;
            let address = config.text("server.listen").unwrap_or_default();
            server::run(&shared, Door::judge(address, config).await?, screen).await?;
        }
        Some(Verb::Token { name }) => server::token(&shared(&server, config)?, name, screen).await?,
        Some(Verb::Reseal) => server::reseal(&shared(&server, config)?, screen).await?,
        Some(Verb::Protect(verb)) => {
            let own = own(common, &server, verb.password_file.as_deref())?;
            return server_protect::run(common, own, verb, screen).await;
        }
    }
    Ok(Exit::Done)
}

/// Returns what all replicas have in common.
fn shared(server: &Server, config: &Config) -> Result<Shared, CliError> {
    Ok(Shared {
        url: url(server, config)?,
        keys: keys(config)?,
        wait: Duration::from_secs(config.number("server.database_wait_seconds")),
        ways: Ways::of(config, Reach::PublicForTenants),
    })
}

/// Returns the database to protect: the one whose URL is said, else that of the data directory.
fn own(common: &Common, server: &Server, password_file: Option<&Path>) -> Result<OwnDatabase, CliError> {
    let config = common.told();
    if config.said_or_file("server.database_url").is_some() {
        return OwnDatabase::of_url(&url(server, config)?, password_file);
    }
    if common.server().is_some() {
        return Err(CliError::new(Exit::Input, "which database that server works on is not known here")
            .hint("Run it where the server runs, or name the file with the database's URL: --database-url-file F."));
    }
    let data = common.data_dir()?;
    data.must_exist()?;
    Ok(OwnDatabase::of_data_dir(&data))
}

impl Server {
    /// Returns what was typed.
    pub(super) fn typed(&self) -> Typed {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut typed = self.tls.typed();
        typed.extend([
            ("server.database_url", self.database.clone()),
            ("server.database_url_file", text(&self.database_url_file)),
            ("server.master_key_file", text(&self.master_key_file)),
            ("server.database_wait_seconds", self.database_wait.map(|seconds| seconds.max(1).to_string())),
            ("server.history_days", self.history_days.map(|days| days.to_string())),
            ("server.listen", self.listen.clone()),
        ]);
        typed
    }
}

/// Returns the database that is meant.
fn url(server: &Server, config: &Config) -> Result<DatabaseUrl, CliError> {
    match config.said_or_file("server.database_url") {
        // What stands in the arguments is seen by everybody on the machine: a password is refused there.
        Some(SaidOrFile::Said(_)) if server.database.is_some() => {
            DatabaseUrl::typed(server.database.as_deref().unwrap_or_default())
        }
        Some(SaidOrFile::Said(value)) => Ok(DatabaseUrl::new(&value.text)),
        Some(SaidOrFile::File(file)) => {
            let text = master_key::read_private(&file).map_err(|error| {
                CliError::from_error(Exit::Input, &error)
                    .hint("It holds one line, such as postgres://USER:PASSWORD@HOST/DATABASE.")
            })?;
            Ok(DatabaseUrl::new(text.expose_secret()))
        }
        None => Err(CliError::new(Exit::Input, "a server needs a database")
            .hint("Put its URL in a file and name it with --database-url-file, or in BACKSTAY_DATABASE_URL.")),
    }
}

/// Returns the master keys that are meant.
fn keys(config: &Config) -> Result<MasterKeys, CliError> {
    match config.said_or_file("server.master_key") {
        Some(SaidOrFile::Said(value)) => Ok(master_key::parse(&Secret::from(value.text), &value.origin.words())?),
        Some(SaidOrFile::File(file)) => Ok(master_key::read(&file)?),
        None => Err(CliError::new(Exit::Input, "a server needs the master key that seals its secrets").hint(
            "Make one once with `openssl rand -hex 32`, keep a copy, and give all replicas the same: --master-key-file F.",
        )),
    }
}
