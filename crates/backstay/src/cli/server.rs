//! `backstay server …`: a server in replicas on a database that they share, and what is done to such a database.

use std::path::PathBuf;
use std::time::Duration;

use backstay_core::domain::secret::Secret;
use backstay_db::MasterKeys;
use secrecy::ExposeSecret as _;

use super::error::{CliError, Exit};
use super::screen::Screen;
use crate::roles::database_url::DatabaseUrl;
use crate::roles::engine::variable;
use crate::roles::master_key;
use crate::roles::server::{self, Listen, Shared};

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
    /// Seconds that a database is waited for that does not answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30)]
    database_wait: u64,
    /// Days that ended jobs, events and forgotten snapshots stay in lists, 62 at least
    #[arg(long, value_name = "DAYS", default_value_t = 400, env = "BACKSTAY_HISTORY_DAYS",
        value_parser = clap::value_parser!(u64).range(62..=36_500))]
    history_days: u64,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7400", env = "BACKSTAY_LISTEN")]
    listen: String,
    /// Listen beyond this machine without TLS: something before the server must bring it
    #[arg(long)]
    plain_http: bool,
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
}

pub(super) async fn run(server: Server, screen: &Screen) -> Result<Exit, CliError> {
    let shared = Shared {
        url: server.url()?,
        keys: server.keys()?,
        wait: Duration::from_secs(server.database_wait.max(1)),
        history: Duration::from_secs(server.history_days * 86_400),
    };
    match server.verb {
        None => server::run(&shared, &Listen { address: server.listen, plain: server.plain_http }, screen).await?,
        Some(Verb::Token { name }) => server::token(&shared, &name, screen).await?,
        Some(Verb::Reseal) => server::reseal(&shared, screen).await?,
    }
    Ok(Exit::Done)
}

impl Server {
    /// Returns the database that is meant: what was typed, else the environment.
    fn url(&self) -> Result<DatabaseUrl, CliError> {
        if let Some(url) = &self.database {
            return DatabaseUrl::typed(url);
        }
        let typed = self.database_url_file.clone();
        if let (None, Some(url)) = (&typed, variable("BACKSTAY_DATABASE_URL")) {
            return Ok(DatabaseUrl::new(&url));
        }
        let Some(file) = typed.or_else(|| variable("BACKSTAY_DATABASE_URL_FILE").map(PathBuf::from)) else {
            return Err(CliError::new(Exit::Input, "a server needs a database")
                .hint("Put its URL in a file and name it with --database-url-file, or in BACKSTAY_DATABASE_URL."));
        };
        let text = master_key::read_private(&file).map_err(|error| {
            CliError::from_error(Exit::Input, &error)
                .hint("It holds one line, such as postgres://USER:PASSWORD@HOST/DATABASE.")
        })?;
        Ok(DatabaseUrl::new(text.expose_secret()))
    }

    /// Returns the master keys that are meant.
    fn keys(&self) -> Result<MasterKeys, CliError> {
        let typed = self.master_key_file.clone();
        if let (None, Some(keys)) = (&typed, variable("BACKSTAY_MASTER_KEY")) {
            return Ok(master_key::parse(&Secret::from(keys), "BACKSTAY_MASTER_KEY")?);
        }
        let Some(file) = typed.or_else(|| variable("BACKSTAY_MASTER_KEY_FILE").map(PathBuf::from)) else {
            return Err(CliError::new(Exit::Input, "a server needs the master key that seals its secrets").hint(
                "Make one once with `openssl rand -hex 32`, keep a copy, and give all replicas the same: --master-key-file F.",
            ));
        };
        Ok(master_key::read(&file)?)
    }
}
