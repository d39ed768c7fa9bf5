//! Databases of PostgreSQL by `pg_dump`, each from one moment, in its custom format; what all share by `pg_dumpall`.
//!
//! Dumps are not compressed: the repository does that, and finds what did not change. Restores go by `pg_restore` into a
//! database that is made for them.

use std::io;
use std::path::Path;
use std::process::Command;

use async_trait::async_trait;
use backstay_core::domain::job::{Reconciliation, Target};
use backstay_core::domain::probe::ProbeStep;
use backstay_core::ports::source::{
    Opened, ParsedSource, SettingsError, SourceError, SourceKind, SourceStream, StreamSink, WayBack,
};
use serde_json::{Value, json};

use super::database::{self, Returning, Server, called};
use super::private::{PrivateFolder, password};
use super::run::{begun, tool};
use super::settings::Fields;
use super::trial::Trial;

/// The settings that there are; the first is needed.
const FIELDS: &[&str] = &["databases", "globals", "host", "port", "user", "password_file", "time_limit"];

/// What the item of a database ends with.
const ENDING: &str = ".dump";

/// The item of roles and tablespaces.
const GLOBALS: &str = "globals.sql";

/// The database that is always there.
const ALWAYS: &str = "postgres";

/// Debian's package with the tools.
const PACKAGE: &str = "postgresql-client";

/// The source kind `postgresql`.
#[derive(Debug)]
pub struct Postgresql;

#[async_trait]
impl SourceKind for Postgresql {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn describe(&self) -> &'static str {
        "Databases of PostgreSQL, an item each, by pg_dump; needs its client's programs"
    }

    fn schema(&self) -> Value {
        let mut schema = database::schema();
        schema["properties"]["globals"] = json!({
            "type": "boolean", "description": "Whether roles and tablespaces are an item too, globals.sql"
        });
        schema
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let (server, has_globals) = said(settings)?;
        let items = items(&server, has_globals);
        Ok(server.parsed(items, has_globals.then_some(("globals", json!(true)))))
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let (server, has_globals) = said(settings)?;
        for name in &server.databases {
            let server = server.clone();
            let name = name.clone();
            let asked = move || server.psql_run(&name, "SELECT 1");
            let told = |error| SourceError::Failed {
                what: "it could not be asked".to_owned(),
                source: io::Error::other(error),
            };
            tokio::task::spawn_blocking(asked).await.map_err(told)??;
        }
        Ok(items(&server, has_globals))
    }

    async fn open(&self, settings: &Value, item: &str) -> Result<Opened, SourceError> {
        let (server, _) = said(settings)?;
        let program = if item == GLOBALS { "pg_dumpall" } else { "pg_dump" };
        tool(program, PACKAGE)?;
        let (path, item) = (Path::new("/").join(item), item.to_owned());
        let begin = move || {
            let folder = PrivateFolder::make(&std::env::temp_dir())?;
            let command = match item.strip_suffix(ENDING) {
                Some(database) if item != GLOBALS => {
                    let mut command = server.postgresql(program, database, &folder)?;
                    command.args(["--format=custom", "--compress=0"]);
                    command
                }
                _ => {
                    let mut command = server.postgresql(program, ALWAYS, &folder)?;
                    command.arg("--globals-only");
                    command
                }
            };
            Ok(folder.kept_for(begun(command, server.time_limit)?))
        };
        Ok(Opened::Stream(SourceStream { path, begin: Box::new(begin) }))
    }

    fn sink(&self, settings: &Value, item: &str, way: &WayBack) -> Result<Box<dyn StreamSink>, SourceError> {
        if item == GLOBALS {
            let why = "roles and tablespaces are the whole server's: read them, then give them to psql".to_owned();
            return Err(SourceError::NoWayBack { why });
        }
        let (server, _) = said(settings)?;
        tool("pg_restore", PACKAGE)?;
        let (_, name) = called(item, ENDING, way)?;
        let what = |source| SourceError::Failed { what: format!("the database {name} cannot be restored"), source };
        let folder = PrivateFolder::make(&std::env::temp_dir()).map_err(what)?;
        let is_new = way.reconciliation == Reconciliation::Fail;
        let undo = if is_new {
            let made = format!("CREATE DATABASE {} TEMPLATE template0", quoted(&name));
            server.psql_run(ALWAYS, &made)?;
            let gone = format!("DROP DATABASE IF EXISTS {}", quoted(&name));
            Some(server.psql(ALWAYS, &gone, &folder).map_err(what)?)
        } else {
            None
        };
        let mut command = server.postgresql("pg_restore", &name, &folder).map_err(what)?;
        command.args(["--exit-on-error", "--single-transaction"]);
        if !is_new {
            command.args(["--clean", "--if-exists"]);
        }
        Ok(Box::new(Returning::start(command, undo, folder)?))
    }

    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let mut trial = Trial::begin();
        trial.program("pg_dump", PACKAGE).await;
        match said(settings) {
            Err(error) => trial.attempt("settings".to_owned(), move || Err(error.into())).await,
            Ok((server, has_globals)) => {
                let globals =
                    ("roles and tablespaces".to_owned(), ALWAYS.to_owned(), "SELECT 1 FROM pg_authid LIMIT 1");
                let database = |name: &String| (format!("database {name}"), name.clone(), "SELECT 1");
                let asked: Vec<_> = server.databases.iter().map(database).collect();
                for (step, name, sql) in asked.into_iter().chain(has_globals.then_some(globals)) {
                    let server = server.clone();
                    trial.attempt(step, move || server.psql_run(&name, sql).map(|()| "it answers".to_owned())).await;
                }
            }
        }
        trial.end()
    }

    fn target(&self, _: &Value, _: &str) -> Result<Target, SettingsError> {
        Ok(Target::Source { name: None })
    }
}

fn said(settings: &Value) -> Result<(Server, bool), SettingsError> {
    let fields = Fields::of(settings, FIELDS)?;
    Ok((Server::of(fields)?, fields.is_on("globals")?))
}

fn items(server: &Server, has_globals: bool) -> Vec<String> {
    let mut items: Vec<String> = server.databases.iter().map(|name| format!("{name}{ENDING}")).collect();
    items.extend(has_globals.then(|| GLOBALS.to_owned()));
    items
}

/// Returns a name as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Server {
    /// Puts a program together that speaks to a database. The password is in a file that is named to it: no argument and no
    /// variable holds it. Nothing of the agent's own environment says where it goes.
    fn postgresql(&self, program: &str, database: &str, folder: &PrivateFolder) -> io::Result<Command> {
        let value = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut words = vec![format!("dbname={}", value(database))];
        words.extend(self.host.as_deref().map(|host| format!("host={}", value(host))));
        words.extend(self.port.map(|port| format!("port={port}")));
        words.extend(self.user.as_deref().map(|user| format!("user={}", value(user))));
        words.push("connect_timeout=30".to_owned());
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        if let Some(file) = &self.password_file {
            let escaped = password(file)?.replace('\\', "\\\\").replace(':', "\\:");
            let path = folder.path().join("pgpass");
            if !path.exists() {
                folder.write("pgpass", &format!("*:*:*:*:{escaped}\n"))?;
            }
            command.env("PGPASSFILE", path);
        }
        command.arg("--no-password").arg(format!("--dbname={}", words.join(" ")));
        Ok(command)
    }

    fn psql(&self, database: &str, sql: &str, folder: &PrivateFolder) -> io::Result<Command> {
        let mut command = self.postgresql("psql", database, folder)?;
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", sql]);
        Ok(command)
    }

    /// Has the server do a statement.
    fn psql_run(&self, database: &str, sql: &str) -> Result<(), SourceError> {
        tool("psql", PACKAGE)?;
        let what = format!("PostgreSQL does not do it: {sql}");
        let folder = PrivateFolder::make(&std::env::temp_dir());
        let command = folder.and_then(|folder| Ok((self.psql(database, sql, &folder)?, folder)));
        let (command, _folder) = command.map_err(|source| SourceError::Failed { what: what.clone(), source })?;
        database::run(command, &what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: Value, expected: &str) {
        let answer =
            Postgresql.parse(&settings).map_or_else(|error| error.to_string(), |parsed| parsed.items.join(" "));
        assert_eq!(answer, expected);
    }

    #[test]
    fn settings_are_judged_by_themselves() {
        check(json!({ "databases": ["wiki", "globals"], "globals": true }), "wiki.dump globals.dump globals.sql");
        check(json!({ "databases": "wiki" }), "wiki.dump");
        check(json!({ "databases": [] }), "settings.databases: are names of databases, at least one");
        let odd = |at: usize, name: &str| {
            format!("settings.databases.{at}: `{name}` is no name of a database that can be the name of a file")
        };
        check(json!({ "databases": ["a", "-x"] }), &odd(1, "-x"));
        check(json!({ "databases": ["a/b"] }), &odd(0, "a/b"));
        check(json!({ "databases": ["a", "a"] }), "settings.databases.1: `a` is named twice");
        check(
            json!({ "databases": ["a"], "port": 70000 }),
            "settings.port: 70000 is no port; write a number from 1 to 65535",
        );
        check(json!({ "databases": ["a"], "user": "a\nb" }), "settings.user: has more than one line");
        check(
            json!({ "databases": ["a"], "password_file": "x" }),
            "settings.password_file: `x` is not an absolute path",
        );
        let known = "`databases`, `globals`, `host`, `port`, `user`, `password_file`, `time_limit`";
        let told = format!("settings.password: is not a setting of this kind; it has {known}");
        check(json!({ "databases": ["a"], "password": "x" }), &told);
    }

    /// Red when a name or a host can say more than itself, or when a password is an argument or a variable.
    #[test]
    fn what_a_program_is_told_says_nothing_more_than_it_should() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("password");
        std::fs::write(&file, "hunter:2\\x\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let settings = json!({ "databases": ["a"], "host": "h' user=root", "password_file": file });
        let folder = PrivateFolder::make(home.path()).unwrap();
        let command = said(&settings).unwrap().0.postgresql("pg_dump", "it's host=x", &folder).unwrap();
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words[1], r"--dbname=dbname='it\'s host=x' host='h\' user=root' connect_timeout=30");
        let told = format!("{command:?}");
        assert!(!told.contains("hunter"), "{told}");
        assert_eq!(std::fs::read_to_string(folder.path().join("pgpass")).unwrap(), "*:*:*:*:hunter\\:2\\\\x\n");
    }
}
