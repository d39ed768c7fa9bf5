//! What a worker does with a blob: hash, ask whether it is known, compress, seal into a pack of its own.

use super::counters::{Counters, add};
use super::known::KnownBlobs;
use super::options::Recheck;
use super::upload::Uploads;
use crate::error::EngineError;
use crate::format::chunker::is_hole;
use crate::format::compression::{Compressor, Decompressor, id_of_packed};
use crate::format::id::Id;
use crate::format::pack::{BlobKind, PackWriter, PackedBlob};
use crate::repository::Repository;

/// A pack is sent when it has so many bytes: restic's default.
const PACK_BYTES: usize = 16 << 20;

/// A pack is sent when it has so many blobs: its header stays below restic's limit of 16 MiB, and its index small.
const PACK_BLOBS_MAX: usize = 10_000;

fn plain_length(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("a blob is far smaller than 4 GiB")
}

/// A worker's two open packs and its zstd contexts.
pub(super) struct Packer<'a> {
    repository: &'a Repository,
    known: &'a KnownBlobs<'a>,
    uploads: &'a Uploads<'a>,
    counters: &'a Counters,
    recheck: Recheck,
    data: PackWriter,
    trees: PackWriter,
    compressor: Compressor,
    decompressor: Decompressor,
    packed: Vec<u8>,
    opened: Vec<u8>,
    plain: Vec<u8>,
    /// The id of a hole's blob, once this worker has saved one: the others of an image cost no hash.
    hole: Option<Id>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        known: &'a KnownBlobs<'a>,
        uploads: &'a Uploads<'a>,
        counters: &'a Counters,
        recheck: Recheck,
    ) -> Self {
        Self {
            repository,
            known,
            uploads,
            counters,
            recheck,
            data: PackWriter::new(uploads.buffer()),
            trees: PackWriter::new(uploads.buffer()),
            compressor: Compressor::default(),
            decompressor: Decompressor::default(),
            packed: Vec::new(),
            opened: Vec::new(),
            plain: Vec::new(),
            hole: None,
        }
    }

    /// Saves a blob unless it is known, and returns its id.
    ///
    /// # Errors
    /// [`EngineError::Machine`] when it does not open to what was sealed.
    pub(super) fn save(&mut self, kind: BlobKind, plain: &[u8]) -> Result<Id, EngineError> {
        if kind == BlobKind::Data && is_hole(plain) {
            if let Some(id) = self.hole {
                return Ok(id);
            }
            let id = self.save_hashed(kind, plain)?;
            self.hole = Some(id);
            return Ok(id);
        }
        self.save_hashed(kind, plain)
    }

    fn save_hashed(&mut self, kind: BlobKind, plain: &[u8]) -> Result<Id, EngineError> {
        let id = Id::of(plain);
        if !self.known.claim(kind, &id) {
            return Ok(id);
        }
        // Trees are always compressed in format 2; data that does not shrink is stored as it is.
        let shrinks = match kind {
            BlobKind::Tree => {
                self.compressor.compress(plain, &mut self.packed);
                true
            }
            BlobKind::Data => self.compressor.shrink(plain, &mut self.packed),
        };
        self.seal(kind, id, (!shrinks).then_some(plain), plain.len() as u64)?;
        Ok(id)
    }

    /// Says whether a tree is new, and takes it for known from now on.
    pub(super) fn is_new_tree(&self, id: &Id) -> bool {
        self.known.claim(BlobKind::Tree, id)
    }

    /// Saves a new tree that was hashed elsewhere; `fill` appends its compressed text, which lies in its pack alone.
    ///
    /// # Errors
    /// As [`Packer::save`].
    pub(super) fn save_large_tree(
        &mut self,
        id: Id,
        plain_bytes: u64,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), EngineError> {
        let key = self.repository.key();
        let blob = self.trees.push_with(key, BlobKind::Tree, id, Some(plain_length(plain_bytes)), fill);
        if self.recheck == Recheck::Each {
            let broken = |_| EngineError::Machine { id };
            let found = self.trees.look_at(key, &blob, id_of_packed).map_err(broken)?;
            if found != (id, plain_bytes) {
                return Err(EngineError::Machine { id });
            }
        }
        self.count_and_send(&blob, plain_bytes);
        Ok(())
    }

    /// Seals a blob into its pack: these plain bytes, or what was compressed.
    fn seal(&mut self, kind: BlobKind, id: Id, plain: Option<&[u8]>, plain_bytes: u64) -> Result<(), EngineError> {
        let (stored, plain_length) = match plain {
            Some(plain) => (plain, None),
            None => (&self.packed[..], Some(plain_length(plain_bytes))),
        };
        let pack = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        };
        let blob = pack.push(self.repository.key(), kind, id, stored, plain_length);
        if self.recheck == Recheck::Each {
            self.opened.clear();
            self.opened.extend_from_slice(pack.sealed(&blob));
            self.recheck(&blob)?;
        }
        self.count_and_send(&blob, plain_bytes);
        Ok(())
    }

    /// Counts a blob that was sealed, and sends its pack when it is full.
    fn count_and_send(&mut self, blob: &PackedBlob, plain_bytes: u64) {
        let kind = blob.kind;
        let blobs = if kind == BlobKind::Data { &self.counters.data_blobs } else { &self.counters.tree_blobs };
        add(blobs, 1);
        add(&self.counters.added, plain_bytes);
        add(&self.counters.packed, u64::from(blob.length));
        self.send_if(kind, |pack| pack.len() >= PACK_BYTES || pack.blob_count() >= PACK_BLOBS_MAX);
    }

    /// Opens what was sealed and hashes it again.
    fn recheck(&mut self, blob: &PackedBlob) -> Result<(), EngineError> {
        let broken = |_| EngineError::Machine { id: blob.id };
        let opened = self.repository.key().open_in_place(&mut self.opened, "blob").map_err(broken)?;
        let plain = match blob.plain_length {
            Some(length) => {
                self.decompressor.decompress(opened, length as usize, &mut self.plain).map_err(broken)?;
                &self.plain[..]
            }
            None => opened,
        };
        if Id::of(plain) == blob.id { Ok(()) } else { Err(EngineError::Machine { id: blob.id }) }
    }

    /// Counts bytes of a file that was read elsewhere.
    pub(super) fn count_bytes(&self, bytes: u64) {
        add(&self.counters.bytes, bytes);
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) {
        for kind in [BlobKind::Data, BlobKind::Tree] {
            self.send_if(kind, |_| true);
        }
    }

    fn send_if(&mut self, kind: BlobKind, full: impl FnOnce(&PackWriter) -> bool) {
        let pack = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        };
        if !pack.is_empty() && full(pack) {
            let next = PackWriter::new(self.uploads.buffer());
            let full = std::mem::replace(pack, next);
            self.uploads.send(full.finish(self.repository.key()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backstay_testkit::fakes::storage::FakeStorage;
    use jiff::Timestamp;

    use super::*;
    use crate::archive::options::{ArchiveOptions, Writing};
    use crate::format::compression::PieceCompressor;
    use crate::format::index::Index;
    use crate::interrupt::Interrupt;
    use crate::progress::EngineProgress;
    use crate::repository::Maker;

    fn with_packer(test: impl FnOnce(&mut Packer<'_>)) {
        let maker = Maker { username: "ada".to_owned(), hostname: "host".to_owned(), at: Timestamp::UNIX_EPOCH };
        let storage = Arc::new(FakeStorage::default());
        let repository =
            Repository::create(storage, &"secret".to_owned().into(), maker, &Interrupt::default()).unwrap();
        let (index, counters, interrupt) = (Index::default(), Counters::default(), Interrupt::default());
        let options = ArchiveOptions::new(Vec::new(), "backstay test", Timestamp::UNIX_EPOCH);
        let known = KnownBlobs::new(&index);
        let progress = EngineProgress::default();
        let uploads = Uploads::new(&repository, &counters, (&interrupt, &progress), &options, Writing::Real);
        test(&mut Packer::new(&repository, &known, &uploads, &counters, Recheck::Each));
    }

    #[test]
    fn a_blob_that_opens_to_something_else_is_found() {
        with_packer(|packer| {
            for (kind, plain) in [(BlobKind::Data, &[7; 5_000][..]), (BlobKind::Data, b"x"), (BlobKind::Tree, b"{}")] {
                let id = packer.save(kind, plain).unwrap();
                let pack = if kind == BlobKind::Data { &packer.data } else { &packer.trees };
                let sealed = pack.newest().unwrap();
                packer.opened = pack.sealed(&sealed).to_vec();
                packer.recheck(&sealed).unwrap();
                let pack = if kind == BlobKind::Data { &packer.data } else { &packer.trees };
                packer.opened = pack.sealed(&sealed).to_vec();
                let other = PackedBlob { id: Id::of(b"other"), ..sealed };
                assert_ne!(id, other.id);
                assert!(matches!(packer.recheck(&other), Err(EngineError::Machine { .. })));
            }
        });
    }

    #[test]
    fn the_tree_of_a_wide_folder_that_opens_to_something_else_is_found() {
        let text = vec![b' '; 9 << 20];
        let fill = |packed: &mut Vec<u8>| {
            let mut compressor = PieceCompressor::new(packed);
            compressor.push(&text);
            compressor.finish();
        };
        with_packer(|packer| {
            packer.save_large_tree(Id::of(&text), text.len() as u64, fill).unwrap();
            for (id, bytes) in [(Id::of(b"other"), text.len()), (Id::of(&text), text.len() + 1)] {
                let saved = packer.save_large_tree(id, bytes as u64, fill);
                assert!(matches!(saved, Err(EngineError::Machine { .. })), "{saved:?}");
            }
        });
    }
}
