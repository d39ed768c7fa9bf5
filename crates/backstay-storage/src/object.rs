//! The port of every storage: objects by key.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::error::StorageError;

/// An object's key: relative, with `/` between its parts, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Judges a key.
    ///
    /// # Errors
    /// [`StorageError::Key`] when a part could lead out of the storage.
    pub fn new(key: impl Into<String>) -> Result<Self, StorageError> {
        let key = key.into();
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if key.split('/').all(plain) { Ok(Self(key)) } else { Err(StorageError::Key { key }) }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutAnswer {
    /// The object is there now.
    Created,
    /// An object of this key was there and stays as it was.
    Existed,
}

/// Whether a read may be answered from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadCache {
    /// Yes.
    Use,
    /// No: from the storage itself, as far as the system lets us ask for it.
    Bypass,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its bytes.
    pub size_bytes: u64,
    /// When it was last modified, by the storage's own clock.
    pub modified_at: Timestamp,
}

/// A storage. Calls may block the thread that polls them: they are made from threads of the engine, never from a
/// request's task. Dropping a call's future gives it up.
#[async_trait]
pub trait ObjectStorage: fmt::Debug + Send + Sync {
    /// Returns where the bytes lie, for a person; never a secret.
    fn place(&self) -> String;

    /// Writes a new object. It appears whole or not at all, never replaces another, and is durable when this returns.
    ///
    /// # Errors
    /// [`StorageError`]; a put whose answer got lost may have happened, and repeating it does no harm.
    async fn object_put(&self, key: &ObjectKey, body: Bytes) -> Result<PutAnswer, StorageError>;

    /// Returns an object, or just these bytes of it.
    ///
    /// # Errors
    /// [`StorageError::Missing`]; [`StorageError::Short`] when the object ends before the range does.
    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError>;

    /// Returns an object's size in bytes.
    ///
    /// # Errors
    /// [`StorageError::Missing`].
    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError>;

    /// Hands every object below `folder` to `each`, in no order. A folder that is not there holds nothing.
    ///
    /// # Errors
    /// [`StorageError::List`] when the list could not be read to its end: what was handed over is then worth nothing.
    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError>;

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// [`StorageError`].
    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError>;
}
