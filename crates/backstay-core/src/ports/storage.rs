//! What the API's door asks of a storage kind: to judge settings, without opening anything.

use serde_json::Value;

use super::source::SettingsError;

/// Judges the settings of one kind of storage.
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
}
