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
