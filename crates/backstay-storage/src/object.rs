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

/// Which part of a hot-cold storage an object goes to. Storages of one part do not look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The hot part alone: the configuration that says "I am the hot part".
    Hot,
    /// The cold part alone: packs of file contents.
    Cold,
    /// Both: what is read often.
    Both,
}

/// How an object is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// Where it goes; absent: the storage decides from the key (below `data/` cold, anything else both).
    pub part: Option<Part>,
    /// Until when nobody may remove it, not even its writer; absent: for no time. Needs [`Capabilities::retention`].
    pub retain_until: Option<Timestamp>,
}

/// What a storage can do beyond the port's promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// A list goes on after a key: [`ObjectStorage::object_list_after`], in the order of the keys' bytes.
    pub list_after: bool,
    /// Old versions can be listed.
    pub versions: bool,
    /// Objects can be protected until an instant.
    pub retention: bool,
    /// Objects may be frozen, and can be warmed up.
    pub warm_up: bool,
    /// It copies an object on its own side.
    pub copy: bool,
    /// It has a hot and a cold part, and looks at [`PutOptions::part`].
    pub parts: bool,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The object's key.
    pub key: ObjectKey,
    /// The version's name, as the storage gives it.
    pub version: String,
    /// Its bytes; zero when it marks a removal.
    pub size_bytes: u64,
    /// When it was made, by the storage's own clock.
    pub modified_at: Timestamp,
    /// Whether it is the one that a read without a version meets.
    pub is_latest: bool,
    /// Whether it marks a removal and holds nothing.
    pub is_removal: bool,
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

    /// Returns what this storage can do beyond the promises of the port: nothing, unless a kind says more.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Writes a new object. It appears whole or not at all, never replaces another, and is durable when this returns.
    ///
    /// # Errors
    /// [`StorageError`]; a put whose answer got lost may have happened, and repeating it does no harm.
    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError>;

    /// Writes a new object, without options.
    ///
    /// # Errors
    /// As [`ObjectStorage::object_put_with`].
    async fn object_put(&self, key: &ObjectKey, body: Bytes) -> Result<PutAnswer, StorageError> {
        self.object_put_with(key, body, PutOptions::default()).await
    }

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

    /// Hands over the objects below `folder` whose keys come after `after`, in the order of the keys' bytes: how a long
    /// list goes on after a failure.
    ///
    /// # Errors
    /// As [`ObjectStorage::object_list`]; [`StorageError::Unsupported`] without [`Capabilities::list_after`].
    async fn object_list_after(
        &self,
        _folder: &str,
        _after: &ObjectKey,
        _each: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), StorageError> {
        Err(self.cannot("go on with a list"))
    }

    /// Hands every version of every object below `folder` to `each`, the removed ones too.
    ///
    /// # Errors
    /// [`StorageError::List`]; [`StorageError::Unsupported`] without [`Capabilities::versions`].
    async fn object_versions(
        &self,
        _folder: &str,
        _each: &mut (dyn FnMut(ObjectVersion) + Send),
    ) -> Result<(), StorageError> {
        Err(self.cannot("list old versions"))
    }

    /// Returns until when an object cannot be removed; `None`: it is not protected.
    ///
    /// # Errors
    /// [`StorageError::Missing`]; [`StorageError::Unsupported`] without [`Capabilities::retention`].
    async fn object_retained_until(&self, _key: &ObjectKey) -> Result<Option<Timestamp>, StorageError> {
        Err(self.cannot("protect objects"))
    }

    /// Copies an object without its bytes passing here. Never replaces.
    ///
    /// # Errors
    /// [`StorageError::Missing`]; [`StorageError::Unsupported`] without [`Capabilities::copy`].
    async fn object_copy(&self, _from: &ObjectKey, _to: &ObjectKey) -> Result<PutAnswer, StorageError> {
        Err(self.cannot("copy by itself"))
    }

    /// Asks for a frozen object to be made readable for so many days. Asking twice does no harm.
    ///
    /// # Errors
    /// [`StorageError::Missing`]; [`StorageError::Unsupported`] without [`Capabilities::warm_up`].
    async fn object_warm_up(&self, _key: &ObjectKey, _days: u32) -> Result<(), StorageError> {
        Err(self.cannot("warm up objects"))
    }

    /// Says whether an object can be read now.
    ///
    /// # Errors
    /// [`StorageError::Missing`].
    async fn object_is_warm(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        self.object_size(key).await.map(|_| true)
    }

    /// Returns the error of a storage that cannot do something.
    fn cannot(&self, action: &'static str) -> StorageError {
        StorageError::Unsupported { place: self.place(), action }
    }
}
