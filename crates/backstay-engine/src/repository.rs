//! A repository that is open: its key, its config, its storage, and reading from it.
//!
//! Calls block their thread. Several repositories can be open in one process; nothing here is global.

use std::ops::Range;
use std::sync::Arc;

use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, Part, PutAnswer, PutOptions, ReadCache, StorageError};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::chunker::Chunker;
use crate::format::compression::{pack_file, unpack_file};
use crate::format::config::Config;
use crate::format::crypto::SealKey;
use crate::format::id::Id;
use crate::format::index::Index;
use crate::format::key::KeyFile;
use crate::format::object::{FileKind, config_key};
use crate::format::pack::FinishedPack;
use crate::format::snapshot::SnapshotFile;
use crate::interrupt::Interrupt;

pub use crate::blob::{BadCopy, BlobReader};

/// Files that are removed at once.
pub(crate) const REMOVALS: usize = 8;

/// Most keys that are tried with a password, as restic does: each costs tens of milliseconds.
const KEYS_TRIED_MAX: usize = 20;

/// A repository that is open.
#[derive(Debug)]
pub struct Repository {
    storage: Arc<dyn ObjectStorage>,
    key: Arc<SealKey>,
    /// The key file that opened it.
    key_id: Id,
    config: Config,
    chunker: Chunker,
}

/// Who makes a key: shown in key lists, never relied on.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Name of the user.
    pub username: String,
    /// Name of the machine.
    pub hostname: String,
    /// When.
    pub at: Timestamp,
}

impl Repository {
    /// Makes a repository in an empty storage. The key goes first and the config last: a storage with a key and no
    /// config is one that was never finished, and making it again succeeds. Of two parts the cold one comes first: it
    /// is a repository by itself, and without its own config the hot part is read as if it were not there.
    ///
    /// # Errors
    /// [`EngineError::RepositoryExists`], [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub fn create(
        storage: Arc<dyn ObjectStorage>,
        password: &SecretString,
        maker: Maker,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        Self::create_as(storage, password, maker, Config::random(), interrupt)
    }

    /// As [`Repository::create`]; the new repository cuts files as `other` does, so that what is copied between them and
    /// what is backed up to them has the same blobs.
    ///
    /// # Errors
    /// Those of [`Repository::create`].
    pub fn create_like(
        storage: Arc<dyn ObjectStorage>,
        password: &SecretString,
        maker: Maker,
        other: &Self,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        Self::create_as(storage, password, maker, Config::random_like(&other.config), interrupt)
    }

    fn create_as(
        storage: Arc<dyn ObjectStorage>,
        password: &SecretString,
        maker: Maker,
        config: Config,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        let exists = || EngineError::RepositoryExists { place: storage.place() };
        let config_key = config_key()?;
        let parts = storage.capabilities().parts;
        // The hot part of another repository has a config, and no size: the cold part is asked for that.
        if interrupt.block_on(is_there(&*storage, &config_key))??
            || parts && interrupt.block_on(is_read(&*storage, &config_key))??
        {
            return Err(exists());
        }
        // A key of a run that was cut short is used again: restic believes in any key that a password opens.
        let names = interrupt.block_on(key_names(&*storage))??;
        let (key, key_id, made) = match keys_opened(&*storage, names, password, |_| true, interrupt)? {
            Some((key, id)) => (key, id, None),
            None => {
                let key = SealKey::random();
                let id = key_write(&*storage, &key, password, maker, interrupt)?;
                (key, id, Some(FileKind::Key.key(&id)))
            }
        };
        let put = |config: &Config, part| {
            let options = PutOptions { part: Some(part), ..PutOptions::default() };
            interrupt.block_on_write(storage.object_put_with(&config_key, key.seal(&config.write()).into(), options))
        };
        if put(&config, Part::Cold)?? == PutAnswer::Existed {
            // Somebody else was faster. A key of ours that opens nothing would lead restic astray; one that they took
            // for theirs must stay.
            let mut sealed = interrupt.block_on(storage.object_get(&config_key, None, ReadCache::Use))??.to_vec();
            if let (Some(name), Err(_)) = (made, key.open_in_place(&mut sealed, "config")) {
                interrupt.block_on_write(storage.object_remove(&name))??;
            }
            return Err(exists());
        }
        if parts {
            put(&config.as_hot(), Part::Hot)??;
        }
        Self::assemble(storage, key, key_id, config)
    }

    /// Opens a repository with a password.
    ///
    /// # Errors
    /// [`EngineError::NoRepository`], [`EngineError::Password`], [`EngineError::HotPart`], [`EngineError::Format`],
    /// [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub fn open(
        storage: Arc<dyn ObjectStorage>,
        password: &SecretString,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        let config_key = config_key()?;
        let config = storage.object_get(&config_key, None, ReadCache::Use);
        // Neither needs the other: over a far line both are asked at once.
        let (sealed, names) = interrupt.block_on(futures::future::join(config, key_names(&*storage)))?;
        let sealed = match sealed {
            Err(StorageError::Missing { place, .. }) => return Err(EngineError::NoRepository { place }),
            answer => answer?.to_vec(),
        };
        let opens_config = |key: &SealKey| key.open_in_place(&mut sealed.clone(), "config").is_ok();
        let wrong = || EngineError::Password { place: storage.place() };
        let (key, key_id) = keys_opened(&*storage, names?, password, opens_config, interrupt)?.ok_or_else(wrong)?;
        let place = || format!("{} in {}", config_key, storage.place());
        let told = |source| EngineError::Format { place: place(), source };
        let mut sealed = sealed;
        let config = Config::read(key.open_in_place(&mut sealed, "config").map_err(told)?).map_err(told)?;
        if config.is_hot() && !storage.capabilities().parts {
            return Err(EngineError::HotPart { place: storage.place() });
        }
        Self::assemble(storage, key, key_id, config)
    }

    fn assemble(
        storage: Arc<dyn ObjectStorage>,
        key: SealKey,
        key_id: Id,
        config: Config,
    ) -> Result<Self, EngineError> {
        let told = |source| EngineError::Format { place: storage.place(), source };
        let chunker = Chunker::new(config.polynomial().map_err(told)?);
        Ok(Self { storage, key: Arc::new(key), key_id, config, chunker })
    }

    /// Returns the key that seals everything in it.
    pub(crate) fn key(&self) -> &SealKey {
        &self.key
    }

    /// Returns the key, to be held beyond the repository's own life.
    pub(crate) fn shared_key(&self) -> &Arc<SealKey> {
        &self.key
    }

    /// Returns the key file that opened it.
    pub fn key_id(&self) -> Id {
        self.key_id
    }

    /// Returns where its objects lie.
    pub(crate) fn storage(&self) -> &Arc<dyn ObjectStorage> {
        &self.storage
    }

    /// Returns what cuts its files.
    pub(crate) fn chunker(&self) -> &Chunker {
        &self.chunker
    }

    /// Returns the repository's own id, as its config has it.
    pub fn id(&self) -> Id {
        self.config.id()
    }

    /// Returns its config as JSON.
    pub fn config_plain(&self) -> Vec<u8> {
        self.config.write()
    }

    /// Returns where it lies, for a person.
    pub fn place(&self) -> String {
        self.storage.place()
    }

    /// Reads every index file.
    ///
    /// # Errors
    /// [`EngineError`]; an index file that cannot be read is an error, never a smaller index.
    pub fn index_load(&self, interrupt: &Interrupt) -> Result<Index, EngineError> {
        let mut index = Index::default();
        let ids = self.file_list(FileKind::Index, interrupt)?;
        self.each_index_file(&ids, interrupt, |id, file| {
            index.take(file?);
            index.note_file(*id);
            Ok(())
        })?;
        index.sort();
        Ok(index)
    }

    /// Returns the ids of all files of a kind.
    ///
    /// # Errors
    /// [`EngineError::Storage`] when the list is not complete, [`EngineError::Interrupted`].
    pub fn file_list(&self, kind: FileKind, interrupt: &Interrupt) -> Result<Vec<Id>, EngineError> {
        Ok(interrupt.block_on(self.ids(kind))??)
    }

    async fn ids(&self, kind: FileKind) -> Result<Vec<Id>, StorageError> {
        let mut ids = Vec::new();
        let mut each = |object: ListedObject| {
            let name = object.key.as_str().rsplit('/').next().unwrap_or_default();
            // What is not named by an id is not the repository's: restic reads over it too.
            ids.extend(Id::from_hex(name));
        };
        self.storage.object_list(kind.folder(), &mut each).await?;
        Ok(ids)
    }

    /// Returns ids and sizes of all packs.
    ///
    /// # Errors
    /// [`EngineError::Storage`] when the list is not complete, [`EngineError::Interrupted`].
    pub fn pack_list(&self, interrupt: &Interrupt) -> Result<Vec<(Id, u64)>, EngineError> {
        let mut packs = Vec::new();
        interrupt.block_on(self.storage.object_list(FileKind::Pack.folder(), &mut |object| {
            let name = object.key.as_str().rsplit('/').next().unwrap_or_default();
            packs.extend(Id::from_hex(name).map(|id| (id, object.size_bytes)));
        }))??;
        Ok(packs)
    }

    /// Returns the plain bytes of a file that is no pack, after checking its name and its seal.
    ///
    /// # Errors
    /// [`EngineError::Format`], [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub fn file_read(&self, kind: FileKind, id: &Id, interrupt: &Interrupt) -> Result<Vec<u8>, EngineError> {
        self.unseal(kind, id, interrupt.block_on(self.sealed(kind, id))??)
    }

    pub(crate) async fn sealed(&self, kind: FileKind, id: &Id) -> Result<Bytes, StorageError> {
        self.storage.object_get(&kind.key(id), None, ReadCache::Use).await
    }

    pub(crate) fn unseal(&self, kind: FileKind, id: &Id, sealed: Bytes) -> Result<Vec<u8>, EngineError> {
        let mut sealed = sealed.to_vec();
        let found = Id::of(&sealed);
        let told = |source| self.told(kind, id, source);
        if found != *id {
            return Err(told(FormatError::Hash { what: kind.word(), wanted: *id, found }));
        }
        let packed = self.key.open_in_place(&mut sealed, kind.word()).map_err(told)?;
        unpack_file(kind.word(), packed).map_err(told)
    }

    /// Seals and writes a file that is no pack, and returns its id and its size.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`]: it may be there then or not.
    pub fn file_write(&self, kind: FileKind, plain: &[u8], interrupt: &Interrupt) -> Result<(Id, u64), EngineError> {
        let (id, sealed) = self.file_seal(plain);
        let size = sealed.len() as u64;
        self.file_put(kind, &id, sealed, interrupt)?;
        Ok((id, size))
    }

    /// Seals a file that is no pack, and returns its id and what is to be written.
    pub(crate) fn file_seal(&self, plain: &[u8]) -> (Id, Bytes) {
        let sealed = self.key.seal(&pack_file(plain));
        (Id::of(&sealed), sealed.into())
    }

    /// Writes a sealed file.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`]: it may be there then or not.
    pub(crate) fn file_put(
        &self,
        kind: FileKind,
        id: &Id,
        sealed: Bytes,
        interrupt: &Interrupt,
    ) -> Result<(), EngineError> {
        let place = match kind {
            FileKind::Snapshot => "snapshot",
            FileKind::Index => "index",
            _ => "file",
        };
        backstay_failpoint::pass(place, "before");
        self.object_write(&kind.key(id), sealed, Part::Both, interrupt)?;
        backstay_failpoint::pass(place, "after");
        Ok(())
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`]: it may be there then or not.
    pub(crate) fn file_remove(&self, kind: FileKind, id: &Id, interrupt: &Interrupt) -> Result<(), EngineError> {
        Ok(interrupt.block_on_write(self.removed(kind, id))??)
    }

    /// Removes several files, in any order and some at once; those that are not there are removed already.
    ///
    /// # Errors
    /// As [`Repository::file_remove`].
    pub(crate) fn files_remove(&self, kind: FileKind, ids: &[Id], interrupt: &Interrupt) -> Result<(), EngineError> {
        let removals = futures::stream::iter(ids).map(|id| async move {
            // Before each: losing the lock raises the interrupt.
            interrupt.check()?;
            self.removed(kind, id).await.map_err(EngineError::from)
        });
        interrupt.block_on_write(removals.buffer_unordered(REMOVALS).try_collect::<()>())?
    }

    async fn removed(&self, kind: FileKind, id: &Id) -> Result<(), StorageError> {
        let place = match kind {
            FileKind::Snapshot => "forget",
            FileKind::Index => "mark",
            _ => "remove",
        };
        backstay_failpoint::pass(place, "before");
        self.storage.object_remove(&kind.key(id)).await?;
        backstay_failpoint::pass(place, "after");
        Ok(())
    }

    /// Writes a finished pack.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`]: it may be there then or not.
    pub(crate) fn pack_write(
        &self,
        id: &Id,
        body: Bytes,
        part: Part,
        interrupt: &Interrupt,
    ) -> Result<(), EngineError> {
        backstay_failpoint::pass("pack", "before");
        self.object_write(&FileKind::Pack.key(id), body, part, interrupt)?;
        backstay_failpoint::pass("pack", "after");
        Ok(())
    }

    /// Says whether a pack is in the storage.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub(crate) fn pack_is_there(&self, id: &Id, interrupt: &Interrupt) -> Result<bool, EngineError> {
        Ok(interrupt.block_on_write(is_there(&*self.storage, &FileKind::Pack.key(id)))??)
    }

    /// Writes an object. One that is there already, from a try whose answer was lost or that was cut, must be the same.
    fn object_write(&self, key: &ObjectKey, body: Bytes, part: Part, interrupt: &Interrupt) -> Result<(), EngineError> {
        let options = PutOptions { part: Some(part), ..PutOptions::default() };
        let put = self.storage.object_put_with(key, body.clone(), options);
        if interrupt.block_on_write(put)?? == PutAnswer::Created {
            return Ok(());
        }
        let found = interrupt.block_on_write(self.storage.object_get(key, None, ReadCache::Bypass))??;
        if found == body {
            return Ok(());
        }
        let (place, key) = (self.storage.place(), key.to_string());
        let (wanted_bytes, found_bytes) = (body.len() as u64, found.len() as u64);
        Err(StorageError::Short { place, key, wanted_bytes, found_bytes }.into())
    }

    /// Returns a range of a pack.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub(crate) fn pack_read(
        &self,
        pack: &Id,
        range: Range<u64>,
        cache: ReadCache,
        interrupt: &Interrupt,
    ) -> Result<Bytes, EngineError> {
        Ok(interrupt.block_on(self.pack_range(pack, range, cache))??)
    }

    /// As [`Repository::pack_read`], for who waits for several at once.
    pub(crate) async fn pack_range(
        &self,
        pack: &Id,
        range: Range<u64>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let wanted_bytes = range.end.saturating_sub(range.start);
        let key = FileKind::Pack.key(pack);
        let body = self.storage.object_get(&key, Some(range), cache).await?;
        let found_bytes = body.len() as u64;
        if found_bytes == wanted_bytes {
            Ok(body)
        } else {
            // A storage that breaks its promise must not make us cut beyond what came.
            let (place, key) = (self.storage.place(), key.to_string());
            Err(StorageError::Short { place, key, wanted_bytes, found_bytes })
        }
    }

    /// Returns a snapshot by its id: all 64 digits.
    ///
    /// # Errors
    /// [`EngineError::NoSnapshot`], [`EngineError::Format`], [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub fn snapshot_read(&self, foreign_id: &str, interrupt: &Interrupt) -> Result<(Id, SnapshotFile), EngineError> {
        let missing = || EngineError::NoSnapshot { id: foreign_id.to_owned() };
        let id = Id::from_hex(foreign_id).ok_or_else(missing)?;
        Ok((id, self.snapshot_parse(&id, self.file_read(FileKind::Snapshot, &id, interrupt))?))
    }

    /// Returns the snapshot that a file says, or why there is none.
    ///
    /// # Errors
    /// As [`Repository::snapshot_read`].
    pub(crate) fn snapshot_parse(
        &self,
        id: &Id,
        plain: Result<Vec<u8>, EngineError>,
    ) -> Result<SnapshotFile, EngineError> {
        let plain = match plain {
            Err(EngineError::Storage(StorageError::Missing { .. })) => {
                return Err(EngineError::NoSnapshot { id: id.to_hex() });
            }
            answer => answer?,
        };
        SnapshotFile::read(&plain).map_err(|source| self.told(FileKind::Snapshot, id, source))
    }

    /// Says which object is damaged.
    pub(crate) fn told(&self, kind: FileKind, id: &Id, source: FormatError) -> EngineError {
        EngineError::Format { place: format!("{} in {}", kind.key(id), self.storage.place()), source }
    }
}

/// Writes a key file that a password opens, and returns its id.
pub(crate) fn key_write(
    storage: &dyn ObjectStorage,
    key: &SealKey,
    password: &SecretString,
    maker: Maker,
    interrupt: &Interrupt,
) -> Result<Id, EngineError> {
    let file = KeyFile::seal(key, password.expose_secret(), maker.at, maker.username, maker.hostname);
    let file = serde_json::to_vec(&file).expect("a key file is JSON");
    let id = Id::of(&file);
    interrupt.block_on_write(storage.object_put(&FileKind::Key.key(&id), file.into()))??;
    Ok(id)
}

/// Returns the names of all keys.
async fn key_names(storage: &dyn ObjectStorage) -> Result<Vec<(ObjectKey, Id)>, StorageError> {
    let mut names = Vec::new();
    let mut each = |object: ListedObject| {
        // What is not named by an id is no key: restic reads over it too.
        let id = Id::from_hex(object.key.as_str().rsplit('/').next().unwrap_or_default());
        names.extend(id.map(|id| (object.key, id)));
    };
    storage.object_list(FileKind::Key.folder(), &mut each).await?;
    Ok(names)
}

/// Returns the first of these keys that the password opens and that fits; none when there is none. A key file that
/// cannot be read is an error only when no other is good.
fn keys_opened(
    storage: &dyn ObjectStorage,
    names: Vec<(ObjectKey, Id)>,
    password: &SecretString,
    fits: impl Fn(&SealKey) -> bool,
    interrupt: &Interrupt,
) -> Result<Option<(SealKey, Id)>, EngineError> {
    let mut damaged = None;
    for (name, id) in names.iter().take(KEYS_TRIED_MAX) {
        let text = interrupt.block_on(storage.object_get(name, None, ReadCache::Use))??;
        let told = |source| EngineError::Format { place: format!("{name} in {}", storage.place()), source };
        let file = serde_json::from_slice(&text).map_err(|error| FormatError::shape("key", error));
        match file.and_then(|file: KeyFile| file.open(password.expose_secret())) {
            Ok(key) if fits(&key) => return Ok(Some((key, *id))),
            Ok(_) | Err(FormatError::Password) => {}
            Err(error) => damaged = Some(told(error)),
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// Returns the part of a hot-cold storage that a pack goes to: folders are read by every run, contents by a restore.
pub(crate) fn pack_part(pack: &FinishedPack) -> Part {
    if pack.has_trees() { Part::Both } else { Part::Cold }
}

/// Says whether any part of a storage has an object.
async fn is_read(storage: &dyn ObjectStorage, key: &ObjectKey) -> Result<bool, StorageError> {
    match storage.object_get(key, None, ReadCache::Use).await {
        Ok(_) => Ok(true),
        Err(StorageError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says whether an object is there.
async fn is_there(storage: &dyn ObjectStorage, key: &ObjectKey) -> Result<bool, StorageError> {
    match storage.object_size(key).await {
        Ok(_) => Ok(true),
        Err(StorageError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
