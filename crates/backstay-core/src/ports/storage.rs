//! What the API's door asks of a storage kind: to judge settings without opening anything, and to try a storage when a person
//! asks for it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::source::SettingsError;
use crate::domain::probe::Probe;
use crate::domain::storage::{AccessKey, Purpose};

/// Judges the settings of one kind of storage, and tries one.
#[async_trait]
pub trait StorageJudge: Send + Sync {
    /// Returns the kind's name, as rows and requests carry it.
    fn name(&self) -> &'static str;

    /// Returns one sentence for a person who chooses a kind.
    fn describe(&self) -> &'static str;

    /// Returns the JSON Schema of the settings.
    fn schema(&self) -> Value;

    /// Returns the settings of what lies under a path in a storage whose settings were judged.
    fn below(&self, settings: &Value, path: &str) -> Value;

    /// Judges settings by themselves, and returns them as the row keeps them.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    fn judge(&self, settings: &Value) -> Result<Value, SettingsError>;

    /// Tries a storage that must be there: lists, writes a tiny object `name` that nobody else has, reads it, and removes it
    /// again, each with the key of its purpose. Touches nothing else. What does not work is an outcome, not an error.
    async fn probe(&self, settings: &Value, keys: BTreeMap<Purpose, AccessKey>, name: &str) -> Probe;
}
