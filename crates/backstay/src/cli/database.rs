//! What is said of a database on a server: its URL, the master key of what is sealed in it, how long it is waited for.

use std::path::PathBuf;

use crate::roles::config::Typed;

/// Options of whoever may work on a server's database.
#[derive(Debug, clap::Args)]
pub(super) struct DatabaseArgs {
    /// The database, such as postgres://backstay@db.example/backstay?sslmode=verify-full or mariadb://…; a URL with a
    /// password comes from a file or the environment [env: BACKSTAY_DATABASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// A file that holds the database's URL [env: BACKSTAY_DATABASE_URL_FILE]
    #[arg(long, global = true, value_name = "F", conflicts_with = "database")]
    database_url_file: Option<PathBuf>,
    /// A file that holds the master key, the same for all who work on the database; older keys below it, one a line. The
    /// keys themselves may be in BACKSTAY_MASTER_KEY [env: BACKSTAY_MASTER_KEY_FILE]
    #[arg(long, global = true, value_name = "F")]
    master_key_file: Option<PathBuf>,
    /// Seconds that a database is waited for that does not answer [default: 30] [env: BACKSTAY_DATABASE_WAIT_SECONDS]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    database_wait: Option<u64>,
}

impl DatabaseArgs {
    /// Returns what was typed.
    pub(super) fn typed(&self) -> Typed {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        vec![
            ("server.database_url", self.database.clone()),
            ("server.database_url_file", text(&self.database_url_file)),
            ("server.master_key_file", text(&self.master_key_file)),
            ("server.database_wait_seconds", self.database_wait.map(|seconds| seconds.max(1).to_string())),
        ]
    }
}
