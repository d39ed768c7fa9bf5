//! What a storage kind is: a strategy by name.

use std::sync::Arc;

use serde_json::Value;

use crate::credentials::StorageCredentials;
use crate::error::StorageError;
use crate::kinds::STORAGE_KINDS;
use crate::object::ObjectStorage;

/// Whether the storage must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must: an empty mount point is not taken for it.
    Existing,
    /// It is made when it is not there.
    Create,
}

/// A strategy for one kind of storage.
pub trait StorageKind: Send + Sync {
    /// Returns the kind's name, as rows and requests carry it.
    fn name(&self) -> &'static str;

    /// Returns one sentence for a person who chooses a kind.
    fn describe(&self) -> &'static str;

    /// Returns the JSON Schema of the settings.
    fn schema(&self) -> Value;

    /// Judges settings by themselves, without touching what they name, and returns them as the row keeps them.
    ///
    /// # Errors
    /// [`StorageError::Settings`], naming the setting.
    fn parse(&self, settings: &Value) -> Result<Value, StorageError>;

    /// Returns the settings of what lies under a path in a storage; the settings were judged, the path has
    /// no part that is empty, `.` or `..`.
    fn below(&self, settings: &Value, path: &str) -> Value;

    /// Opens the storage. Settings hold no secret: credentials come beside them. May reach over the network, and blocks.
    ///
    /// # Errors
    /// [`StorageError::Absent`] when it must be there and is not; [`StorageError::Credential`] when one is missing.
    fn open(
        &self,
        settings: &Value,
        credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError>;

    /// As [`StorageKind::open`], and no call is tried again: for a person who waits for an answer.
    ///
    /// # Errors
    /// As [`StorageKind::open`].
    fn open_once(
        &self,
        settings: &Value,
        credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError> {
        self.open(settings, credentials, presence)
    }
}

/// Returns text behind what is there, with one slash between the two.
pub(crate) fn joined(above: Option<&str>, path: &str) -> String {
    match above.map(|above| above.trim_end_matches('/')) {
        None => path.to_owned(),
        Some(above) => format!("{above}/{path}"),
    }
}

/// Returns the kind of this name.
///
/// # Errors
/// [`StorageError::Kind`], naming what there is.
pub fn storage_kind(name: &str) -> Result<&'static dyn StorageKind, StorageError> {
    STORAGE_KINDS.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let known: Vec<_> = STORAGE_KINDS.iter().map(|kind| kind.name()).collect();
        StorageError::Kind { given: name.to_owned(), known: known.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, settings: Value, field: &str, expected: &str) {
        let kind = storage_kind(kind).unwrap();
        let below = kind.parse(&kind.below(&kind.parse(&settings).unwrap(), "team/web")).unwrap();
        assert_eq!(below.pointer(field).and_then(Value::as_str), Some(expected), "{below}");
    }

    /// Red when a kind forgets what was there before, or a part of it.
    #[test]
    fn what_lies_under_a_path_is_a_storage_of_the_same_kind() {
        check("local", json!({ "path": "/srv/shelf" }), "/path", "/srv/shelf/team/web");
        check("local", json!({ "path": "/srv/shelf/" }), "/path", "/srv/shelf/team/web");
        let bucket = json!({ "endpoint": "http://127.0.0.1:80", "bucket": "backups" });
        check("s3", bucket.clone(), "/prefix", "team/web");
        let mut deep = bucket.clone();
        deep["prefix"] = "a/b".into();
        check("s3", deep.clone(), "/prefix", "a/b/team/web");
        check("s3", deep, "/bucket", "backups");
        let local = json!({ "kind": "local", "settings": { "path": "/near" } });
        let both = json!({ "hot": local, "cold": { "kind": "s3", "settings": bucket } });
        check("hot_cold", both.clone(), "/hot/settings/path", "/near/team/web");
        check("hot_cold", both, "/cold/settings/prefix", "team/web");
    }
}
