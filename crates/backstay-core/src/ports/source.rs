//! What a source kind can do, and the shapes in which a source is opened.
//!
//! A kind is one file in `backstay-agent/src/sources/` and one row of its slice. `parse` is cheap and runs at the API's
//! door; `open` is the real thing and runs in the agent only.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::disposition::Disposition;
use crate::domain::job::Target;

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
    Path(PathBuf),
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
