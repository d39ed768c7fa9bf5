//! What maintenance knows of packs: the index with its files, and each pack once, with what is there of it.

use std::ops::Range;

use jiff::Timestamp;

use crate::error::EngineError;
use crate::format::id::{Id, IdMap};
use crate::format::index::{BlobCopy, Index, PackNumber};
use crate::format::object::FileKind;
use crate::format::pack::{HEADER_BYTES, PackedBlob, header_entry_bytes};
use crate::interrupt::Interrupt;
use crate::maintenance::by_pack::BlobsByPack;
use crate::repository::Repository;

/// A pack, however many index files name it.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) id: Id,
    /// Whether an index file names it like any other: then it is no pack that is about to go, whatever others say.
    pub(super) is_known: bool,
    /// Since when it is about to go; none when it is not, or when no index file says since when.
    pub(super) marked_at: Option<Timestamp>,
    /// Its bytes by what the index says about its blobs; none when it says nothing about them.
    pub(super) named_bytes: Option<u64>,
    /// Its bytes in the storage; none when it is not there.
    pub(super) there_bytes: Option<u64>,
    /// Sealed bytes of blobs that are needed, and that this pack is to give.
    pub(super) used_bytes: u64,
    /// Sealed bytes of its other blobs.
    pub(super) unused_bytes: u64,
}

/// An index file and the numbers of what it names.
#[derive(Debug)]
pub(super) struct IndexPart {
    pub(super) id: Id,
    pub(super) known: Range<u32>,
    pub(super) pending: Range<u32>,
    pub(super) blob_count: usize,
}

/// The index of a repository with what a prune must know beside it.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) index: Index,
    pub(super) parts: Vec<IndexPart>,
    pub(super) packs: Vec<Pack>,
    /// Packs in the storage that no index file names, with their bytes.
    pub(super) unnamed: Vec<(Id, u64)>,
    known: Vec<u32>,
    pending: Vec<u32>,
    blobs: BlobsByPack,
}

impl Ledger {
    /// Reads the index and lists the packs.
    pub(super) fn read(repository: &Repository, interrupt: &Interrupt) -> Result<Self, EngineError> {
        let (ledger, mut unreadable) = Self::read_what_can_be(repository, interrupt)?;
        unreadable.pop().map_or(Ok(ledger), |(_, error)| Err(error))
    }

    /// As [`Ledger::read`]; also returns the index files that are damaged.
    pub(super) fn read_what_can_be(
        repository: &Repository,
        interrupt: &Interrupt,
    ) -> Result<(Self, Vec<(Id, EngineError)>), EngineError> {
        let (mut index, mut parts, mut unreadable) = (Index::default(), Vec::new(), Vec::new());
        let counts = |index: &Index| (index.packs().len() as u32, index.pending().len() as u32);
        let ids = repository.file_list(FileKind::Index, interrupt)?;
        repository.each_index_file(&ids, interrupt, |id, file| {
            // What came broken may lie there whole.
            let file = file.or_else(|error| match error.is_harm() {
                // Why it cannot be read now, where that is no harm, says more: what may lie there whole must not be replaced.
                true => repository.index_file_read_again(id, interrupt),
                false => Err(error),
            });
            let file = match file {
                Ok(file) => file,
                Err(error) if error.is_harm() => {
                    unreadable.push((*id, error));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let (before, blob_count) = (counts(&index), file.blob_count());
            index.take(file);
            let after = counts(&index);
            parts.push(IndexPart { id: *id, known: before.0..after.0, pending: before.1..after.1, blob_count });
            Ok(())
        })?;
        index.sort();
        let there = repository.pack_list(interrupt)?;
        Ok((Self::new(index, parts, there, interrupt)?, unreadable))
    }

    /// Makes one of a sorted index, its files, and the packs that are there.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn new(
        index: Index,
        parts: Vec<IndexPart>,
        there: Vec<(Id, u64)>,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        let mut packs: Vec<Pack> = Vec::new();
        let mut places: IdMap<u32> = IdMap::default();
        let mut place_of = |id: Id| {
            *places.entry(id).or_insert_with(|| {
                let (named_bytes, there_bytes, marked_at) = (None, None, None);
                let pack =
                    Pack { id, is_known: false, marked_at, named_bytes, there_bytes, used_bytes: 0, unused_bytes: 0 };
                packs.push(pack);
                packs.len() as u32 - 1
            })
        };
        let known: Vec<u32> = index.packs().iter().map(|pack| place_of(pack.id)).collect();
        let pending: Vec<u32> = index.pending().iter().map(|pack| place_of(pack.id)).collect();
        known.iter().for_each(|place| packs[*place as usize].is_known = true);
        for (place, pack) in pending.iter().zip(index.pending()) {
            let one = &mut packs[*place as usize];
            // The latest mark counts: whoever marked it again had found it needed between.
            one.marked_at = if one.is_known { None } else { one.marked_at.max(pack.marked_at) };
        }
        let mut unnamed = Vec::new();
        for (id, bytes) in there {
            match places.get(&id) {
                Some(place) => packs[*place as usize].there_bytes = Some(bytes),
                None => unnamed.push((id, bytes)),
            }
        }
        let pack_of = |number| Some(place_in(&known, &pending, number));
        let blobs = BlobsByPack::new(&index, packs.len(), pack_of, interrupt)?;
        let mut ledger = Self { index, parts, packs, unnamed, known, pending, blobs };
        for place in 0..ledger.packs.len() {
            interrupt.check()?;
            let blobs = ledger.blobs(place);
            let end = blobs.iter().map(|(_, blob)| u64::from(blob.offset) + u64::from(blob.length)).max();
            let entries = blobs.iter().map(|(_, blob)| header_entry_bytes(blob.plain_length.is_some()));
            ledger.packs[place].named_bytes = end.map(|end| end + HEADER_BYTES + entries.sum::<u64>());
        }
        Ok(ledger)
    }

    /// Returns the place of a pack in [`Ledger::packs`].
    pub(super) fn pack_of(&self, number: PackNumber) -> usize {
        place_in(&self.known, &self.pending, number) as usize
    }

    /// Returns of each blob where the index names it first, and its copies: each once, in the order of packs.
    pub(super) fn copies_of_each(&self) -> impl Iterator<Item = (usize, Vec<PackCopy>)> {
        self.index.copies_of_each().map(move |copies| {
            let copy = |BlobCopy { place, blob, pack }: &BlobCopy| {
                let (pack, offset, bytes) = (self.pack_of(*pack), blob.offset, u64::from(blob.length));
                PackCopy { pack, offset, place: *place, bytes }
            };
            let mut found: Vec<PackCopy> = copies.iter().map(copy).collect();
            found.sort_unstable();
            found.dedup_by_key(|copy| (copy.pack, copy.offset));
            (copies[0].place, found)
        })
    }

    /// Returns all blobs of a pack in order, each once, with their places in the index.
    pub(super) fn blobs(&self, pack: usize) -> Vec<(usize, PackedBlob)> {
        let mut blobs = self.blobs.of(pack);
        // Two index files may name the same blob of the same pack.
        blobs.dedup_by(|b, a| a.1 == b.1);
        blobs
    }
}

/// A copy of a blob, in the order of where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackCopy {
    /// The place of its pack in [`Ledger::packs`].
    pub(super) pack: usize,
    /// Where it begins there.
    pub(super) offset: u32,
    /// Its place in the index.
    pub(super) place: usize,
    /// Its sealed bytes.
    pub(super) bytes: u64,
}

/// Returns the place of a pack by the places of those that index files name.
fn place_in(known: &[u32], pending: &[u32], number: PackNumber) -> u32 {
    match number {
        PackNumber::Known(number) => known[number as usize],
        PackNumber::Pending(number) => pending[number as usize],
    }
}
