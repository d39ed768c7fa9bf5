//! Databases of MariaDB by `mariadb-dump`, each from one moment as far as its tables are InnoDB's.
//!
//! Restores go by `mariadb` into a database that is made for them.

use std::io;
use std::path::Path;
use std::process::Command;

use async_trait::async_trait;
use backstay_core::domain::job::{Reconciliation, Target};
use backstay_core::domain::probe::ProbeStep;
use backstay_core::ports::source::{
    Opened, ParsedSource, SettingsError, SourceError, SourceKind, SourceStream, StreamSink, WayBack,
};
use serde_json::Value;

use super::database::{self, Returning, Server, called};
use super::private::{PrivateFolder, password};
use super::run::{begun, tool};
use super::settings::Fields;
use super::trial::Trial;

/// The settings that there are; the first is needed.
const FIELDS: &[&str] = &["databases", "host", "port", "user", "password_file", "time_limit"];

/// What the item of a database ends with.
const ENDING: &str = ".sql";

/// Debian's package with the tools.
const PACKAGE: &str = "mariadb-client";

/// The source kind `mariadb`.
#[derive(Debug)]
pub struct Mariadb;

#[async_trait]
impl SourceKind for Mariadb {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn describe(&self) -> &'static str {
        "Databases of MariaDB, an item each, by mariadb-dump; needs its client's programs"
    }

    fn schema(&self) -> Value {
        database::schema()
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let server = Server::of(Fields::of(settings, FIELDS)?)?;
        let items = items(&server);
        Ok(server.parsed(items, None))
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let server = Server::of(Fields::of(settings, FIELDS)?)?;
        let items = items(&server);
        let asked =
            move || server.databases.iter().try_for_each(|name| server.mariadb_run(&format!("USE {}", quoted(name))));
        let told =
            |error| SourceError::Failed { what: "it could not be asked".to_owned(), source: io::Error::other(error) };
        tokio::task::spawn_blocking(asked).await.map_err(told)??;
        Ok(items)
    }

    async fn open(&self, settings: &Value, item: &str) -> Result<Opened, SourceError> {
        let server = Server::of(Fields::of(settings, FIELDS)?)?;
        tool("mariadb-dump", PACKAGE)?;
        let (path, item) = (Path::new("/").join(item), item.to_owned());
        let begin = move || {
            let folder = PrivateFolder::make(&std::env::temp_dir())?;
            let mut command = server.mariadb("mariadb-dump", &folder)?;
            command.args(["--single-transaction", "--routines", "--events", "--triggers", "--hex-blob"]);
            command.arg("--skip-dump-date").arg(item.strip_suffix(ENDING).unwrap_or(&item));
            Ok(folder.kept_for(begun(command, server.time_limit)?))
        };
        Ok(Opened::Stream(SourceStream { path, begin: Box::new(begin) }))
    }

    fn sink(&self, settings: &Value, item: &str, way: &WayBack) -> Result<Box<dyn StreamSink>, SourceError> {
        let server = Server::of(Fields::of(settings, FIELDS)?)?;
        tool("mariadb", PACKAGE)?;
        let (_, name) = called(item, ENDING, way)?;
        let what = |source| SourceError::Failed { what: format!("the database {name} cannot be restored"), source };
        let folder = PrivateFolder::make(&std::env::temp_dir()).map_err(what)?;
        let undo = if way.reconciliation == Reconciliation::Fail {
            server.mariadb_run(&format!("CREATE DATABASE {}", quoted(&name)))?;
            let mut undo = server.mariadb("mariadb", &folder).map_err(what)?;
            undo.arg(format!("--execute=DROP DATABASE IF EXISTS {}", quoted(&name)));
            Some(undo)
        } else {
            None
        };
        let mut command = server.mariadb("mariadb", &folder).map_err(what)?;
        command.arg(format!("--database={name}"));
        Ok(Box::new(Returning::start(command, undo, folder)?))
    }

    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let mut trial = Trial::begin();
        trial.program("mariadb-dump", PACKAGE).await;
        match Fields::of(settings, FIELDS).and_then(Server::of) {
            Err(error) => trial.attempt("settings".to_owned(), move || Err(error.into())).await,
            Ok(server) => {
                for name in server.databases.clone() {
                    let (server, step) = (server.clone(), format!("database {name}"));
                    let asked = move || server.mariadb_run(&format!("USE {}", quoted(&name)));
                    trial.attempt(step, move || asked().map(|()| "it answers".to_owned())).await;
                }
            }
        }
        trial.end()
    }

    fn target(&self, _: &Value, _: &str) -> Result<Target, SettingsError> {
        Ok(Target::Source { name: None })
    }
}

fn items(server: &Server) -> Vec<String> {
    server.databases.iter().map(|name| format!("{name}{ENDING}")).collect()
}

/// Returns a name as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl Server {
    /// Puts a program together that speaks to the server. All that it is told of it, the password too, is in a file: no
    /// argument and no variable holds it.
    fn mariadb(&self, program: &str, folder: &PrivateFolder) -> io::Result<Command> {
        let mut text = "[client]\n".to_owned();
        let mut say = |name: &str, value: &str| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("{name}=\"{value}\"\n"));
        };
        if let Some(host) = &self.host {
            say("host", host);
        }
        if let Some(port) = self.port {
            say("port", &port.to_string());
        }
        if let Some(user) = &self.user {
            say("user", user);
        }
        if let Some(file) = &self.password_file {
            say("password", &password(file)?);
        }
        let path = folder.path().join("client.cnf");
        if !path.exists() {
            folder.write("client.cnf", &text)?;
        }
        let mut command = Command::new(program);
        command.env_remove("MYSQL_PWD").env_remove("MYSQL_HOST").env_remove("MYSQL_TCP_PORT");
        // Options of the machine's own files, or of the user's, say nothing here.
        command.arg(format!("--defaults-file={}", path.display()));
        Ok(command)
    }

    /// Has the server do a statement.
    fn mariadb_run(&self, sql: &str) -> Result<(), SourceError> {
        tool("mariadb", PACKAGE)?;
        let what = format!("MariaDB does not do it: {sql}");
        let folder = PrivateFolder::make(&std::env::temp_dir());
        let command = folder.and_then(|folder| Ok((self.mariadb("mariadb", &folder)?, folder)));
        let (mut command, _folder) = command.map_err(|source| SourceError::Failed { what: what.clone(), source })?;
        command.arg(format!("--execute={sql}"));
        database::run(command, &what)
    }
}
