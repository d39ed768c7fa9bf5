//! What a source kind can do, and the shapes in which a source is opened.
//!
//! A kind is one file in `backstay-agent/src/sources/` and one row of its slice. `parse` is cheap and runs at the API's
//! door; `open` is the real thing and runs in the agent only.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::disposition::Disposition;
use crate::domain::job::{Reconciliation, Target};
use crate::domain::probe::{ProbeStep, StepOutcome};

/// A strategy for one kind of source: four functions and what the API tells about it.
#[async_trait]
pub trait SourceKind: Send + Sync {
    /// Returns the kind's name, as rows and requests carry it.
    fn name(&self) -> &'static str;

    /// Returns one sentence for a person who chooses a kind.
    fn describe(&self) -> &'static str;

    /// Returns the JSON Schema of the settings: the API's check, a form and the CLI's help are made from it.
    fn schema(&self) -> Value;

    /// Judges settings by themselves, without touching what they name.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError>;

    /// Finds the source's items.
    ///
    /// # Errors
    /// [`SourceError`] when the source as a whole cannot be asked. A partial answer is an error, never a shorter list.
    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError>;

    /// Opens one item for reading.
    ///
    /// # Errors
    /// [`SourceError`] when the item as a whole cannot be read: there will be no snapshot.
    async fn open(&self, settings: &Value, item: &str) -> Result<Opened, SourceError>;

    /// Says whether the settings name commands that an agent runs: it does that only where its owner allows it.
    fn runs_commands(&self) -> bool {
        false
    }

    /// Opens the place in the source that takes a stream of this item back. Blocks.
    ///
    /// # Errors
    /// [`SourceError::NoWayBack`] when there is none; what stands in its way.
    fn sink(&self, settings: &Value, item: &str, way: &WayBack) -> Result<Box<dyn StreamSink>, SourceError> {
        let _ = (settings, item, way);
        Err(SourceError::NoWayBack { why: format!("a source of kind {} takes no stream", self.name()) })
    }

    /// Tries whether the source could be backed up now, without reading what it holds: all that can be known before a backup.
    /// What does not work is an outcome, not an error. Answers within a request's time.
    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let _ = settings;
        let said = format!("a source of kind {} cannot be tried without a backup", self.name());
        let next = "run a plan of it: backstay plan run PLAN".to_owned();
        vec![ProbeStep::at_once("source", StepOutcome::Noted { said, next })]
    }

    /// Returns where a restore of this item goes when the request names no other place.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    fn target(&self, settings: &Value, item: &str) -> Result<Target, SettingsError>;
}

/// Settings that a kind has judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedSource {
    /// The settings as the row keeps them: defaults left out, paths made plain.
    pub settings: Value,
    /// The items, where the settings alone name them; empty when a discover job must find them.
    pub items: Vec<String>,
}

/// An item that is open for reading. Its other shapes come with their first adapter (decision record 0003).
#[derive(Debug)]
#[non_exhaustive]
pub enum Opened {
    /// A tree that the agent can read by path.
    Path {
        /// Its root, absolute.
        path: PathBuf,
        /// What of it is not read.
        left_out: LeftOut,
    },
    /// One named stream: a dump.
    Stream(SourceStream),
}

/// A stream that was not begun: nothing runs before somebody reads it.
pub struct SourceStream {
    /// Its path in the snapshot, from `/` on.
    pub path: PathBuf,
    /// Begins it.
    pub begin: Box<dyn FnOnce() -> io::Result<StreamReader> + Send>,
}

impl std::fmt::Debug for SourceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceStream({})", self.path.display())
    }
}

/// A stream that was begun. It reads to an end only when it is whole and good: anything else is an error, as late as at its
/// end.
pub struct StreamReader {
    /// Its bytes. Reads block.
    pub reader: Box<dyn Read + Send>,
    /// Has the reader end soon, and what it reads from too.
    pub stop: Box<dyn FnOnce() + Send>,
}

/// How a stream is brought back into its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// What it is to be called there; none for what the kind calls it.
    pub name: Option<String>,
    /// How it meets what is there: [`Reconciliation::Fail`] or [`Reconciliation::Overwrite`].
    pub reconciliation: Reconciliation,
}

/// A place in a source that takes a stream. What was not finished is left as if it had not been begun, as far as the source
/// can do that.
pub trait StreamSink: Write + Send {
    /// Says that all was written, and waits until the source has it.
    ///
    /// # Errors
    /// The source does not take it, in its own words.
    fn finish(self: Box<Self>) -> io::Result<()>;

    /// Returns what has a write that blocks end soon.
    fn stopper(&self) -> Box<dyn FnOnce() + Send>;
}

/// What of a tree is not read, by restic's rules; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// restic's patterns, held against absolute paths; the last that fits decides, and `!` keeps.
    pub patterns: Vec<String>,
    /// Whether what lies beside a `CACHEDIR.TAG` with its signature is left out.
    pub caches: bool,
    /// Files, `NAME` or `NAME:HEADER`, beside which everything is left out.
    pub if_present: Vec<String>,
    /// What is no folder and has more bytes is left out; none for any size.
    pub larger_than_bytes: Option<u64>,
    /// Whether only the file system of the root is read; a mount point is then an empty folder.
    pub one_file_system: bool,
}

/// A setting that a kind cannot accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settings.{field}: {problem}")]
pub struct SettingsError {
    /// The setting's name, dotted.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Why a source as a whole could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The settings do not name a source.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nothing is there.
    #[error("{place} does not exist")]
    Missing {
        /// What was looked for.
        place: String,
    },
    /// Something else is there.
    #[error("{place} is not a folder")]
    NotAFolder {
        /// What was looked at.
        place: String,
    },
    /// It holds keys of the installation that would read it.
    #[error(
        "{place} holds keys of this installation, which no plan reads: `backstay recovery sheet` says what to keep of them"
    )]
    Own {
        /// What was to be read.
        place: String,
    },
    /// Its settings name a command, and the agent runs none.
    #[error(
        "this agent runs no commands that sources name: set agent.commands to true where it runs, if whoever writes sources may do anything there"
    )]
    CommandsRefused,
    /// It takes nothing back.
    #[error("{why}; restore to a folder with --target instead")]
    NoWayBack {
        /// Why not.
        why: String,
    },
    /// What is there stands in the way of what comes back.
    #[error("{place} is there already: name another with --as, or have it overwritten with --reconciliation overwrite")]
    InTheWay {
        /// What is there.
        place: String,
    },
    /// It does not do what it was asked.
    #[error("{what}")]
    Failed {
        /// What was asked of it.
        what: String,
        /// What the system, or the source, said.
        source: std::io::Error,
    },
    /// It is there and may not be read.
    #[error("{place} cannot be read")]
    Denied {
        /// What was opened.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SourceError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        Disposition::Operator
    }
}
