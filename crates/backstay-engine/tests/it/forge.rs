//! What no honest writer would write: trees of our own choice, sealed by the repository's key.

use std::sync::Arc;

use backstay_engine::format::compression::pack_file;
use backstay_engine::format::crypto::SealKey;
use backstay_engine::format::id::Id;
use backstay_engine::format::index::IndexFile;
use backstay_engine::format::key::KeyFile;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::{BlobKind, PackWriter};
use backstay_engine::format::snapshot::SnapshotFile;
use backstay_storage::{ObjectStorage, ReadCache};
use bytes::Bytes;
use futures::executor::block_on;

use super::house::PASSWORD;

/// Writes blobs and a snapshot of them.
pub(crate) struct Forge {
    storage: Arc<dyn ObjectStorage>,
    key: SealKey,
    pack: PackWriter,
}

impl Forge {
    pub(crate) fn new(storage: Arc<dyn ObjectStorage>) -> Self {
        let mut names = Vec::new();
        block_on(storage.object_list("keys", &mut |object| names.push(object.key))).unwrap();
        let file = block_on(storage.object_get(&names[0], None, ReadCache::Use)).unwrap();
        let key = serde_json::from_slice::<KeyFile>(&file).unwrap().open(PASSWORD).unwrap();
        Self { storage, key, pack: PackWriter::new(Vec::new()) }
    }

    /// Adds a blob as it stands.
    pub(crate) fn blob(&mut self, kind: BlobKind, plain: &[u8]) -> Id {
        let id = Id::of(plain);
        self.pack.push(&self.key, kind, id, plain, None);
        id
    }

    /// Adds a blob under an id that is not its own, sealed as any other.
    pub(crate) fn named(&mut self, kind: BlobKind, id: Id, plain: &[u8]) -> Id {
        self.pack.push(&self.key, kind, id, plain, None);
        id
    }

    /// Adds a blob of which others were told this id, these compressed bytes and this length.
    pub(crate) fn compressed(&mut self, kind: BlobKind, id: Id, packed: &[u8], plain_length: u32) -> Id {
        self.pack.push(&self.key, kind, id, packed, Some(plain_length));
        id
    }

    /// Adds a tree of these entries, each in JSON.
    pub(crate) fn tree(&mut self, nodes: &[String]) -> Id {
        self.blob(BlobKind::Tree, format!("{{\"nodes\":[{}]}}\n", nodes.join(",")).as_bytes())
    }

    /// Writes pack, index and a snapshot, and returns the snapshot's id.
    pub(crate) fn publish(self, tree: Id) -> Id {
        let text = format!(r#"{{"time":"2026-01-01T00:00:00Z","tree":"{tree}","paths":["/"]}}"#);
        self.publish_file(&SnapshotFile::read(text.as_bytes()).unwrap())
    }

    /// Writes pack, index and this snapshot, and returns its id.
    pub(crate) fn publish_file(mut self, snapshot: &SnapshotFile) -> Id {
        self.store();
        self.file(FileKind::Snapshot, &snapshot.write())
    }

    /// Writes the blobs that were added as a pack, with an index of it, and returns the pack's id.
    pub(crate) fn store(&mut self) -> Id {
        let pack = std::mem::replace(&mut self.pack, PackWriter::new(Vec::new())).finish(&self.key);
        let mut index = IndexFile::default();
        index.push(pack.id, &pack.blobs);
        self.put(FileKind::Pack, &pack.id, pack.body);
        self.file(FileKind::Index, &index.write());
        pack.id
    }

    /// Seals and writes a file that is no pack, whatever it says.
    pub(crate) fn file(&self, kind: FileKind, plain: &[u8]) -> Id {
        self.sealed(kind, &pack_file(plain))
    }

    /// Seals and writes a file that is no pack as it is encoded, whatever that is.
    pub(crate) fn sealed(&self, kind: FileKind, encoded: &[u8]) -> Id {
        let sealed = self.key.seal(encoded);
        let id = Id::of(&sealed);
        self.put(kind, &id, sealed);
        id
    }

    fn put(&self, kind: FileKind, id: &Id, body: Vec<u8>) {
        block_on(self.storage.object_put(&kind.key(id), Bytes::from(body))).unwrap();
    }
}
