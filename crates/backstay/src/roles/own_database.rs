//! An installation's own database as a source: its kind and settings, what must lie elsewhere, and how plain restic gives it
//! back.
//!
//! Absent on purpose: the database's password. A source names a file on its agent's machine; a URL's password goes nowhere.

use std::path::{Path, PathBuf};

use backstay_api::types::source::SourceView;
use serde_json::{Map, Value, json};

use super::config::Config;
use super::data_dir::DataDir;
use super::database_url::DatabaseUrl;
use super::home::{Home, Rows};
use crate::cli::error::{CliError, Exit};

/// What its source and its plan are called: one of each, in whichever tenant the repository is.
pub(crate) const NAME: &str = "backstay-database";

/// The database that all rows lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnDatabase {
    /// The source kind that reads it.
    pub(crate) kind: &'static str,
    /// The settings of its source, without a password.
    pub(crate) settings: Value,
}

impl OwnDatabase {
    /// Returns that of a data directory. Its copy is made beside it: as private, and not in memory.
    pub(crate) fn of_data_dir(data: &DataDir) -> Self {
        let settings = json!({ "path": data.database(), "copy_folder": data.path() });
        Self { kind: "sqlite", settings }
    }

    /// Returns that at a URL, whose password is in a file on the machine of each agent.
    ///
    /// # Errors
    /// A URL that names no host and database, or that holds a password while no file does.
    pub(crate) fn of_url(url: &DatabaseUrl, password_file: Option<&Path>) -> Result<Self, CliError> {
        let wrong = |problem: &str, hint: &str| {
            CliError::new(Exit::Input, format!("the database {}: {problem}", url.shown())).hint(hint)
        };
        let place = url.place().ok_or_else(|| {
            wrong(
                "its URL names no host and database that a source could be told",
                "Declare a source and a plan of it by hand: docs/how-to/back-up-databases.md.",
            )
        })?;
        if url.has_password() && password_file.is_none() {
            return Err(wrong(
                "its URL holds a password, and a source never does",
                "Put the password in a file on the machine of each agent (chmod 600) and name it: --password-file FILE.",
            ));
        }
        if password_file.is_some_and(|path| !path.is_absolute() || path.to_str().is_none()) {
            return Err(wrong(
                "--password-file is a path on another machine, maybe",
                "Name it from the root on: /etc/backstay/database.password.",
            ));
        }
        // The client of MariaDB takes `localhost` for its socket; the server asked by TCP.
        let host =
            if place.kind == "mariadb" && place.host == "localhost" { "127.0.0.1".to_owned() } else { place.host };
        let said = [
            ("databases", json!([place.database])),
            ("host", json!(host)),
            ("port", json!(place.port)),
            ("user", json!(place.user)),
            ("password_file", json!(password_file)),
        ];
        let said = said.into_iter().filter(|(_, value)| !value.is_null());
        let settings = said.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>();
        Ok(Self { kind: place.kind, settings: Value::Object(settings) })
    }

    /// Returns that of this machine's installation, as far as this machine knows it: of the URL that settings name, else of
    /// the data directory. None when neither says.
    pub(crate) fn known(config: &Config, data: Option<&DataDir>) -> Option<Self> {
        match DatabaseUrl::of(config).ok()? {
            Some(url) => Self::at(&url),
            None => data.filter(|data| data.must_exist(Rows::Here).is_ok()).map(Self::of_data_dir),
        }
    }

    /// Returns that of an installation on one machine; none for a URL that a source could not be told.
    pub(crate) fn of_home(home: &Home) -> Option<Self> {
        home.remote.as_ref().map_or_else(|| Some(Self::of_data_dir(&home.data)), |remote| Self::at(&remote.url))
    }

    /// Returns that at a URL: only where it is, not what opens it.
    fn at(url: &DatabaseUrl) -> Option<Self> {
        Self::of_url(url, Some(Path::new("/"))).ok()
    }

    /// Says whether a source reads this database.
    pub(crate) fn is_read_by(&self, source: &SourceView) -> bool {
        if source.kind != self.kind {
            return false;
        }
        let (ours, theirs) = (&self.settings, &source.settings);
        if self.kind == "sqlite" {
            let real = |settings: &Value| settings["path"].as_str().map(|path| real_of(Path::new(path)));
            return real(ours) == real(theirs);
        }
        let ours_first = ours["databases"].as_array().and_then(|names| names.first());
        let has = theirs["databases"].as_array().is_some_and(|names| names.iter().any(|name| Some(name) == ours_first));
        let port = |settings: &Value| settings["port"].as_u64().unwrap_or_else(|| usual_port(self.kind));
        has && ours["host"] == theirs["host"] && port(ours) == port(theirs)
    }
}

/// Returns where a file really is; what is not there is where it is called.
fn real_of(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Returns where a server listens when nobody says so.
fn usual_port(kind: &str) -> u64 {
    if kind == "mariadb" { 3306 } else { 5432 }
}

/// Returns the path in a snapshot of the file that a source of an own database makes; none for a kind that makes none.
pub(crate) fn file_in_snapshot(source: &SourceView) -> Option<String> {
    let database = source.settings["databases"][0].as_str();
    match source.kind.as_str() {
        "sqlite" => source.settings["path"].as_str().map(str::to_owned),
        "postgresql" => database.map(|name| format!("/{name}.dump")),
        "mariadb" => database.map(|name| format!("/{name}.sql")),
        _ => None,
    }
}

/// What a copy of the database is worth nothing without, as sentences that say where it lies.
pub(crate) fn kept_elsewhere(config: &Config, data: Option<&DataDir>) -> Vec<String> {
    let is_here = Rows::of(config) == Rows::Here;
    let named = config.text("server.master_key_file").filter(|_| !is_here || data.is_none());
    let master = match (named, data) {
        (Some(path), _) => format!("the master key, {path}: without it no sealed secret of the copy opens"),
        (None, Some(data)) => {
            format!("the master key, {}: without it no sealed secret of the copy opens", data.master_key().display())
        }
        (None, None) => {
            "the master key that the servers are told of: without it no sealed secret of the copy opens".to_owned()
        }
    };
    let Some(data) = data else { return vec![master] };
    // On a server's database, what signs is sealed in it.
    let signing = is_here.then(|| {
        let path = data.signing_key();
        format!("{}: signs evidence; without it what comes next is signed by another key", path.display())
    });
    let keys = format!("{}/keys: passwords of repositories, that of the copy's own among them", data.path().display());
    [Some(master), signing, Some(keys)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, file: Option<&str>, expected: &str) {
        let found = OwnDatabase::of_url(&DatabaseUrl::new(url), file.map(Path::new));
        let told = found.map_or_else(|error| error.heading(), |own| format!("{} {}", own.kind, own.settings));
        assert_eq!(told, expected);
        assert!(!told.contains("hunter"), "{told}");
    }

    #[test]
    fn a_url_becomes_settings_without_its_password() {
        check(
            "postgres://ada%40x:hunter2@db.example:5433/back%20stay?sslmode=require",
            Some("/etc/p"),
            r#"postgresql {"databases":["back stay"],"host":"db.example","password_file":"/etc/p","port":5433,"user":"ada@x"}"#,
        );
        check("mariadb://u@localhost/b", None, r#"mariadb {"databases":["b"],"host":"127.0.0.1","user":"u"}"#);
        check("postgresql://[::1]:5/b", None, r#"postgresql {"databases":["b"],"host":"::1","port":5}"#);
        let refused = "its URL holds a password, and a source never does";
        check("mysql://u:hunter2@h/b", None, &format!("the database mysql://u@h/b: {refused}"));
        check("postgres://h/b?password=hunter2", None, &format!("the database postgres://h/b: {refused}"));
        let nothing = "its URL names no host and database that a source could be told";
        check("postgres:///b?host=/run/x", None, &format!("the database postgres:///b: {nothing}"));
        check("postgres://h/", None, &format!("the database postgres://h/: {nothing}"));
        check(
            "postgres://h/b",
            Some("p"),
            "the database postgres://h/b: --password-file is a path on another machine, maybe",
        );
    }

    /// Red when another database on the same server, or one of the same name elsewhere, is taken for it.
    #[test]
    fn only_its_own_source_is_its_source() {
        let own = OwnDatabase::of_url(&DatabaseUrl::new("postgres://u@h/b"), None).unwrap();
        let source = |kind: &str, settings: Value| SourceView {
            id: String::new(),
            tenant_id: String::new(),
            name: String::new(),
            kind: kind.to_owned(),
            settings,
            retired_at: None,
        };
        let is = |kind: &str, settings| own.is_read_by(&source(kind, settings));
        assert!(is("postgresql", json!({ "databases": ["a", "b"], "host": "h", "port": 5432 })));
        assert!(!is("postgresql", json!({ "databases": ["a"], "host": "h" })));
        assert!(!is("postgresql", json!({ "databases": ["b"], "host": "other" })));
        assert!(!is("postgresql", json!({ "databases": ["b"], "host": "h", "port": 5433 })));
        assert!(!is("mariadb", json!({ "databases": ["b"], "host": "h" })));
    }

    #[test]
    fn the_master_key_is_named_first() {
        let data = DataDir::find(Some(Path::new("/d"))).unwrap();
        let said = kept_elsewhere(&Config::default(), Some(&data));
        assert!(said[0].contains("/d/master.key") && said.len() == 3, "{said:?}");
    }
}
