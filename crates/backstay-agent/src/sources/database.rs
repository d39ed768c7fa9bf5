//! What PostgreSQL and MariaDB have in common: a server, databases as items, a password in a file, and a stream that goes
//! into a database of its own name.

use std::io::{self, Write};
use std::process::Command;
use std::time::Duration;

use backstay_core::ports::source::{ParsedSource, SettingsError, SourceError, StreamSink, WayBack};
use serde_json::{Map, Value, json};

use super::private::PrivateFolder;
use super::run::{Sink, length_words};
use super::settings::{Fields, wrong};

/// What the name of a database ends with that comes back, when nobody names it.
const RESTORED: &str = "_restored";

/// A server and what of it is backed up.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) databases: Vec<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) time_limit: Option<Duration>,
}

/// Returns the schema of the settings that both kinds have.
pub(super) fn schema() -> Value {
    let text = |what: &str| json!({ "type": "string", "description": what });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["databases"],
        "properties": {
            "databases": {
                "type": "array", "items": { "type": "string" }, "description": "Names of databases, an item each"
            },
            "host": text("Where the server is; its socket on the agent's machine when left out"),
            "port": { "type": "integer", "description": "Its port" },
            "user": text("Who asks"),
            "password_file": text(
                "Absolute path on the agent's machine of a file with the password, which not everybody may read"
            ),
            "time_limit": text("How long the dump of a database may take, such as 30m or 6h"),
        },
    })
}

impl Server {
    /// Reads the settings that both kinds have.
    pub(super) fn of(fields: Fields<'_>) -> Result<Self, SettingsError> {
        let databases = fields.texts("databases")?;
        if databases.is_empty() {
            return Err(wrong("databases", "are names of databases, at least one"));
        }
        for (at, name) in databases.iter().enumerate() {
            let field = format!("databases.{at}");
            name_judge(name).map_err(|problem| wrong(&field, problem))?;
            if databases[..at].contains(name) {
                return Err(wrong(field, format!("`{name}` is named twice")));
            }
        }
        let text = |name: &str| fields.text(name).map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned));
        for name in ["host", "user", "password_file"] {
            if text(name)?.is_some_and(|text| text.contains(['\n', '\r'])) {
                return Err(wrong(name, "has more than one line"));
            }
        }
        let password_file = match text("password_file")? {
            Some(_) => Some(fields.path_needed("password_file")?),
            None => None,
        };
        Ok(Self {
            databases,
            host: text("host")?,
            port: fields.port("port")?,
            user: text("user")?,
            password_file,
            time_limit: fields.length("time_limit")?,
        })
    }

    /// Returns the settings in their one form, with more of a kind's own.
    pub(super) fn parsed(self, items: Vec<String>, more: Option<(&str, Value)>) -> ParsedSource {
        let Self { databases, host, port, user, password_file, time_limit } = self;
        let mut plain = Map::from_iter([("databases".to_owned(), json!(databases))]);
        let said = [
            ("host", json!(host)),
            ("port", json!(port)),
            ("user", json!(user)),
            ("password_file", json!(password_file)),
            ("time_limit", json!(time_limit.map(length_words))),
        ];
        let said = said.into_iter().chain(more).filter(|(_, value)| !value.is_null());
        plain.extend(said.map(|(name, value)| (name.to_owned(), value)));
        ParsedSource { settings: Value::Object(plain), items }
    }
}

/// Says what is wrong with the name of a database, which is the name of a file too.
fn name_judge(name: &str) -> Result<(), String> {
    let is_odd = name.is_empty() || name.starts_with('-') || name.contains(['/', '\n', '\r']);
    if is_odd { Err(format!("`{name}` is no name of a database that can be the name of a file")) } else { Ok(()) }
}

/// Returns the database of an item, and what it is to be called when it comes back.
pub(super) fn called<'a>(item: &'a str, ending: &str, way: &WayBack) -> Result<(&'a str, String), SourceError> {
    let database = item.strip_suffix(ending).unwrap_or(item);
    let name = way.name.clone().unwrap_or_else(|| format!("{database}{RESTORED}"));
    name_judge(&name).map_err(|problem| wrong("name", problem))?;
    Ok((database, name))
}

/// Runs a command to its end; what it says when it fails is told.
pub(super) fn run(command: Command, what: &str) -> Result<(), SourceError> {
    let told = |source| SourceError::Failed { what: what.to_owned(), source };
    let sink = Sink::start(command, None)?;
    Box::new(sink).finish().map_err(told)
}

/// A database that comes back. What was made for it goes again when it does not come back whole.
pub(super) struct Returning {
    sink: Option<Sink>,
    undo: Option<Command>,
    _folder: PrivateFolder,
}

impl Returning {
    /// Starts what reads the dump; `undo` takes away what was made for it.
    pub(super) fn start(command: Command, undo: Option<Command>, folder: PrivateFolder) -> Result<Self, SourceError> {
        let mut returning = Self { sink: None, undo, _folder: folder };
        returning.sink = Some(Sink::start(command, None)?);
        Ok(returning)
    }

    fn sink(&mut self) -> io::Result<&mut Sink> {
        self.sink.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for Returning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink()?.flush()
    }
}

impl StreamSink for Returning {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let sink = self.sink.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Box::new(sink).finish()?;
        self.undo = None;
        Ok(())
    }

    fn stopper(&self) -> Box<dyn FnOnce() + Send> {
        self.sink.as_ref().map_or_else(|| Box::new(|| {}) as Box<dyn FnOnce() + Send>, StreamSink::stopper)
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        // It is ended before what it works on is taken away.
        drop(self.sink.take());
        if let Some(undo) = self.undo.take()
            && let Err(error) = run(undo, "what was made for a restore that failed could not be taken away")
        {
            tracing::warn!(error = backstay_core::managers::job::chain(&error), "half a database is left");
        }
    }
}
