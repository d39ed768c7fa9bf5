//! How much snapshots hold, in restic's four ways of counting.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::entry::Entry;
use super::walk::{Flow, Step, walk};
use crate::error::EngineError;
use crate::format::crypto::SEAL_BYTES;
use crate::format::id::{Id, IdSet};
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::repository::{BlobReader, Repository};
use crate::select::Snapshot;

/// A way of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What a restore of each snapshot would write.
    RestoreSize,
    /// Files that differ in what they hold.
    FilesByContents,
    /// Blobs of each file, by what it holds and its path.
    BlobsPerFile,
    /// What lies in the storage.
    RawData,
}

/// What was counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Bytes.
    pub bytes: u64,
    /// Entries or files.
    pub files: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes before compression, sealed; for [`Mode::RawData`].
    pub plain_bytes: u64,
    /// Of these, those that are stored compressed.
    pub compressed_plain_bytes: u64,
    /// What they take compressed.
    pub compressed_bytes: u64,
    /// Snapshots that were looked at.
    pub snapshots: u64,
}

/// Counts over snapshots, one after another.
#[derive(Debug)]
pub struct Counter {
    mode: Mode,
    stats: Stats,
    contents: HashSet<[u8; 32]>,
    file_blobs: HashSet<(Vec<u8>, Id)>,
    file_paths: HashSet<Vec<u8>>,
    data: IdSet,
    trees: IdSet,
}

impl Counter {
    /// Begins to count.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            stats: Stats::default(),
            contents: HashSet::new(),
            file_blobs: HashSet::new(),
            file_paths: HashSet::new(),
            data: IdSet::default(),
            trees: IdSet::default(),
        }
    }

    /// Returns what was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Takes in a snapshot. Folders that cannot be read are handed to `unreadable`: what lies in them is not counted.
    ///
    /// # Errors
    /// [`EngineError`] when the storage does not answer; [`EngineError::NoBlob`] when a blob's size is not known.
    pub fn take(
        &mut self,
        repository: &Repository,
        blobs: &mut BlobReader<'_>,
        snapshot: &Snapshot,
        interrupt: &Interrupt,
        unreadable: &mut dyn FnMut(&[u8], EngineError),
    ) -> Result<(), EngineError> {
        let root = snapshot.file.tree;
        let places = BlobReader::new(repository, blobs.index(), backstay_storage::ReadCache::Use, interrupt);
        let mut links: HashSet<(u64, u64)> = HashSet::new();
        if self.mode == Mode::RawData {
            self.blob(&places, BlobKind::Tree, root)?;
        }
        walk(repository, blobs, root, interrupt, &mut |step| {
            match step {
                Step::Unreadable { path, error } => unreadable(path, error),
                Step::Entry { path, entry, .. } => return self.entry(&places, path, entry, &mut links),
            }
            Ok(Flow::Into)
        })?;
        self.stats.snapshots += 1;
        Ok(())
    }

    fn entry(
        &mut self,
        places: &BlobReader<'_>,
        path: &[u8],
        entry: &Entry,
        links: &mut HashSet<(u64, u64)>,
    ) -> Result<Flow, EngineError> {
        match self.mode {
            Mode::RestoreSize => self.restored(entry, links),
            Mode::FilesByContents => {
                if self.contents.insert(contents(entry)) {
                    self.stats.files += 1;
                    self.stats.bytes += entry.shown.size;
                }
            }
            Mode::BlobsPerFile => self.file(places, path, entry)?,
            Mode::RawData => {
                for id in &entry.content {
                    self.blob(places, BlobKind::Data, *id)?;
                }
                if let Some(tree) = entry.subtree
                    && !self.blob(places, BlobKind::Tree, tree)?
                {
                    return Ok(Flow::Past);
                }
            }
        }
        Ok(Flow::Into)
    }

    /// Counts an entry as a restore would write it: the bytes of a file with several names once.
    fn restored(&mut self, entry: &Entry, links: &mut HashSet<(u64, u64)>) {
        let shown = &entry.shown;
        self.stats.files += 1;
        if shown.links == 1 || entry.is_dir() || links.insert((shown.inode, shown.device_id)) || shown.inode == 0 {
            self.stats.bytes += shown.size;
        }
    }

    fn file(&mut self, places: &BlobReader<'_>, path: &[u8], entry: &Entry) -> Result<(), EngineError> {
        if !self.contents.insert(contents(entry)) {
            return Ok(());
        }
        for id in &entry.content {
            if self.file_paths.insert(path.to_vec()) {
                self.stats.files += 1;
            }
            if self.file_blobs.insert((path.to_vec(), *id)) {
                self.stats.blobs += 1;
                self.stats.bytes += places.find(BlobKind::Data, id)?.plain_bytes();
            }
        }
        Ok(())
    }

    /// Counts a blob; false when it was counted before.
    fn blob(&mut self, places: &BlobReader<'_>, kind: BlobKind, id: Id) -> Result<bool, EngineError> {
        let fresh = if kind == BlobKind::Tree { self.trees.insert(id) } else { self.data.insert(id) };
        if fresh {
            let place = places.find(kind, &id)?;
            let (stored, plain) = (u64::from(place.length), place.plain_bytes() + SEAL_BYTES as u64);
            self.stats.blobs += 1;
            self.stats.bytes += stored;
            self.stats.plain_bytes += plain;
            if place.plain_length.is_some() {
                self.stats.compressed_bytes += stored;
                self.stats.compressed_plain_bytes += plain;
            }
        }
        Ok(fresh)
    }
}

/// Returns what tells files apart that hold different things.
fn contents(entry: &Entry) -> [u8; 32] {
    let mut hash = Sha256::new();
    entry.content.iter().for_each(|id| hash.update(id.0));
    hash.finalize().into()
}
