//! Which blobs need not be written: those of the index, and those that this run has written.

use std::sync::Mutex;

use crate::format::id::{Id, IdSet};
use crate::format::index::Index;
use crate::format::pack::BlobKind;

/// Parts of the set, so that workers rarely meet.
const SHARDS: usize = 64;

/// Known blobs.
pub(super) struct KnownBlobs<'a> {
    index: &'a Index,
    fresh: Vec<Mutex<IdSet>>,
}

impl<'a> KnownBlobs<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, fresh: (0..SHARDS * 2).map(|_| Mutex::default()).collect() }
    }

    /// Says whether a blob is new, and takes it for known from now on.
    pub(super) fn claim(&self, kind: BlobKind, id: &Id) -> bool {
        if self.index.contains(kind, id) {
            return false;
        }
        let shard = usize::from(id.0[31]) % SHARDS + if kind == BlobKind::Tree { SHARDS } else { 0 };
        self.fresh[shard].lock().expect("no holder panics").insert(*id)
    }

    /// Says whether the repository had a blob before this run.
    pub(super) fn indexed(&self, kind: BlobKind, id: &Id) -> bool {
        self.index.contains(kind, id)
    }

    pub(super) fn index(&self) -> &'a Index {
        self.index
    }
}
