//! Index files, and the index of a whole repository in memory.
//!
//! A blob takes 48 bytes in one sorted list: 32 of id, its pack's number with its kind in the highest bit, offset, length
//! and plain length. A long list lies in a file (`sorted`), so that memory is bounded whatever the repository.
//!
//! A pack under `packs_to_delete` (rustic's field, which restic reads over) is about to go: its blobs can be read, and
//! are never taken for known by a backup, also when another index file still names the pack as any other.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FormatError;
use super::crypto::SEAL_BYTES;
use super::id::{Id, IdSet};
use super::pack::{BlobKind, HEADER_BYTES, PackedBlob, header_entry_bytes};
use super::sorted::{Record, SortedList, number_at};

/// Blobs that one index file names at the most, as restic does.
pub const INDEX_BLOBS_MAX: usize = 50_000;

/// Blobs that are kept in memory, 48 MiB; more lie in a file. A repository of a terabyte of usual files stays in memory.
const BLOBS_IN_MEMORY: usize = 1 << 20;

/// Bit of [`Known::pack`] that says that the blob holds a tree.
const TREE_BIT: u32 = 1 << 31;

/// Bit of [`Known::pack`] that says that the pack is about to go: such blobs sort behind all others of their id.
const PENDING_BIT: u32 = 1 << 30;

/// The pack's number in [`Known::pack`].
const NUMBER: u32 = PENDING_BIT - 1;

/// A blob of an index: 48 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    /// Zero when it is not compressed.
    plain_length: u32,
}

impl Record for Known {
    const BYTES: usize = 48;

    fn write(&self, into: &mut [u8]) {
        into[..32].copy_from_slice(&self.id.0);
        for (at, number) in [self.pack, self.offset, self.length, self.plain_length].into_iter().enumerate() {
            into[32 + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
        }
    }

    fn read(from: &[u8]) -> Self {
        let id = Id(*from.first_chunk().expect("a record begins with an id"));
        let [pack, offset, length, plain_length] = [32, 36, 40, 44].map(|at| number_at(from, at));
        Self { id, pack, offset, length, plain_length }
    }

    fn prefix(&self) -> u64 {
        prefix(&self.id)
    }
}

/// Returns the beginning of an id, which sorts as ids do.
fn prefix(id: &Id) -> u64 {
    u64::from_be_bytes(*id.0.first_chunk().expect("an id has 32 bytes"))
}

impl Known {
    /// Returns it without what stands for other things in its pack's number, and its pack.
    fn unpacked(self) -> (PackedBlob, PackNumber) {
        let number = self.pack & NUMBER;
        let pack = if self.pack & PENDING_BIT == 0 { PackNumber::Known(number) } else { PackNumber::Pending(number) };
        let kind = if self.pack & TREE_BIT == 0 { BlobKind::Data } else { BlobKind::Tree };
        let plain_length = (self.plain_length > 0).then_some(self.plain_length);
        (PackedBlob { id: self.id, kind, offset: self.offset, length: self.length, plain_length }, pack)
    }
}

/// An index file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IndexFile {
    packs: Vec<IndexPack>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    packs_to_delete: Vec<IndexPack>,
}

/// A pack in an index file.
#[derive(Debug, Serialize, Deserialize)]
struct IndexPack {
    id: Id,
    blobs: Vec<IndexBlob>,
    /// When it was marked, RFC 3339; rustic writes it for other packs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

/// A blob in an index file.
#[derive(Debug, Serialize, Deserialize)]
struct IndexBlob {
    id: Id,
    #[serde(rename = "type")]
    kind: IndexBlobKind,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncompressed_length: Option<u32>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum IndexBlobKind {
    Data,
    Tree,
}

impl IndexFile {
    /// Adds a pack.
    pub fn push(&mut self, pack: Id, blobs: &[PackedBlob]) {
        let blobs = blobs.iter().map(IndexBlob::from).collect();
        self.packs.push(IndexPack { id: pack, blobs, time: None, size: None });
    }

    /// Adds a pack that is about to go: what it holds, its size, and since when.
    pub fn push_pending(&mut self, pack: Id, blobs: &[PackedBlob], size_bytes: u64, marked_at: Timestamp) {
        let blobs = blobs.iter().map(IndexBlob::from).collect();
        let (time, size) = (Some(marked_at.to_string()), Some(size_bytes));
        self.packs_to_delete.push(IndexPack { id: pack, blobs, time, size });
    }

    /// Returns how many blobs it names.
    pub fn blob_count(&self) -> usize {
        self.packs.iter().chain(&self.packs_to_delete).map(|pack| pack.blobs.len()).sum()
    }

    /// Returns how many packs it names.
    pub fn pack_count(&self) -> usize {
        self.packs.len() + self.packs_to_delete.len()
    }

    /// Says whether it names no pack.
    pub fn is_empty(&self) -> bool {
        self.pack_count() == 0
    }

    /// Returns it as JSON.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an index is JSON")
    }

    /// Returns the packs that it names, and those that it says are about to go.
    pub(crate) fn pack_ids(&self) -> (impl Iterator<Item = Id>, impl Iterator<Item = Id>) {
        (self.packs.iter().map(|pack| pack.id), self.packs_to_delete.iter().map(|pack| pack.id))
    }

    /// Reads it from JSON.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn read(plain: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(plain).map_err(|error| FormatError::shape("index", error))
    }
}

impl From<&PackedBlob> for IndexBlob {
    fn from(blob: &PackedBlob) -> Self {
        Self {
            id: blob.id,
            kind: match blob.kind {
                BlobKind::Data => IndexBlobKind::Data,
                BlobKind::Tree => IndexBlobKind::Tree,
            },
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.plain_length,
        }
    }
}

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPlace {
    /// The pack.
    pub pack: Id,
    /// Where it begins there.
    pub offset: u32,
    /// Its sealed bytes.
    pub length: u32,
    /// Its bytes after decompression; none when it is not compressed.
    pub plain_length: Option<u32>,
}

impl BlobPlace {
    /// Returns how many bytes the blob has, decrypted and decompressed.
    pub fn plain_bytes(&self) -> u64 {
        let sealed = u64::from(self.length);
        self.plain_length.map_or_else(|| sealed.saturating_sub(SEAL_BYTES as u64), u64::from)
    }
}

/// A copy of a blob in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobCopy {
    /// Its place in the sorted list.
    pub(crate) place: usize,
    /// What the index says of it.
    pub(crate) blob: PackedBlob,
    /// Where it lies.
    pub(crate) pack: PackNumber,
}

/// A pack that the index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPack {
    /// Its id.
    pub id: Id,
    /// Its bytes: those of its blobs and of the header that names them.
    pub size_bytes: u64,
}

/// A pack that is about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingPack {
    /// Its id.
    pub id: Id,
    /// Its bytes, as far as the index knows them.
    pub size_bytes: u64,
    /// Since when; none when the index does not say.
    pub marked_at: Option<Timestamp>,
}

/// Which pack of an index: its place in [`Index::packs`] or in [`Index::pending`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackNumber {
    /// Of a pack like any other.
    Known(u32),
    /// Of a pack that is about to go.
    Pending(u32),
}

/// The index of a repository, as it was when it was loaded.
#[derive(Debug)]
pub struct Index {
    /// The files that it was read from.
    files: Vec<Id>,
    blobs: SortedList<Known>,
    packs: Vec<KnownPack>,
    pending: Vec<PendingPack>,
    /// Packs that are about to go by one index file and are like any other by another: a prune died between two writes.
    doubtful: IdSet,
}

impl Default for Index {
    fn default() -> Self {
        Self::with_blobs_in_memory(BLOBS_IN_MEMORY)
    }
}

impl Index {
    /// Makes an empty one that keeps so many blobs in memory, and more in a file.
    pub(crate) fn with_blobs_in_memory(count: usize) -> Self {
        let (files, packs, pending) = (Vec::new(), Vec::new(), Vec::new());
        Self { files, blobs: SortedList::with_run(count), packs, pending, doubtful: IdSet::default() }
    }

    /// Takes in an index file. [`Index::sort`] must follow the last one.
    pub fn take(&mut self, file: IndexFile) {
        for pack in file.packs {
            let number = number_of(self.packs.len());
            self.packs.push(KnownPack { id: pack.id, size_bytes: size_of_pack(&pack.blobs) });
            self.take_blobs(number, &pack.blobs);
        }
        for pack in file.packs_to_delete {
            let number = number_of(self.pending.len()) | PENDING_BIT;
            let marked_at = pack.time.as_deref().and_then(|time| time.parse().ok());
            let size_bytes = pack.size.unwrap_or_else(|| size_of_pack(&pack.blobs));
            self.pending.push(PendingPack { id: pack.id, size_bytes, marked_at });
            self.take_blobs(number, &pack.blobs);
        }
    }

    fn take_blobs(&mut self, number: u32, blobs: &[IndexBlob]) {
        for blob in blobs {
            self.blobs.push(Known {
                id: blob.id,
                pack: match blob.kind {
                    IndexBlobKind::Data => number,
                    IndexBlobKind::Tree => number | TREE_BIT,
                },
                offset: blob.offset,
                length: blob.length,
                plain_length: blob.uncompressed_length.unwrap_or(0),
            });
        }
    }

    /// Notes a file that was taken in.
    pub(crate) fn note_file(&mut self, id: Id) {
        self.files.push(id);
    }

    /// Returns the files that it was read from, in no order.
    pub(crate) fn files(&self) -> &[Id] {
        &self.files
    }

    /// Returns the packs that a backup may take blobs from.
    pub(crate) fn packs_to_take(&self) -> impl Iterator<Item = Id> {
        self.packs.iter().map(|pack| pack.id).filter(|id| !self.doubtful.contains(id))
    }

    /// Makes the index ready for look-ups.
    pub fn sort(&mut self) {
        assert!(u32::try_from(self.blobs.len()).is_ok(), "an index names fewer than 2^32 blobs");
        self.blobs.sort();
        let pending: IdSet = self.pending.iter().map(|pack| pack.id).collect();
        self.doubtful = self.packs.iter().map(|pack| pack.id).filter(|id| pending.contains(id)).collect();
    }

    /// Returns the places of all copies of a blob in the sorted list; those that are about to go come last.
    pub(crate) fn copies(&self, kind: BlobKind, id: &Id) -> std::ops::Range<usize> {
        let bit = if kind == BlobKind::Tree { TREE_BIT } else { 0 };
        self.blobs.equal(prefix(id), |blob| (blob.id, blob.pack & TREE_BIT).cmp(&(*id, bit)))
    }

    /// Returns the blob at a place of the sorted list, and its pack.
    pub(crate) fn blob(&self, place: usize) -> (PackedBlob, PackNumber) {
        self.blobs.get(place).unpacked()
    }

    /// Returns all blobs with their packs, in the order of their places.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (PackedBlob, PackNumber)> {
        self.blobs.iter().map(Known::unpacked)
    }

    /// Returns the copies of each blob, together, in the order of their places.
    pub(crate) fn copies_of_each(&self) -> impl Iterator<Item = Vec<BlobCopy>> {
        let mut blobs = self.blobs().enumerate().map(|(place, (blob, pack))| BlobCopy { place, blob, pack }).peekable();
        std::iter::from_fn(move || {
            let first = blobs.next()?;
            let mut copies = vec![first];
            while let Some(other) = blobs.next_if(|other| other.blob.order() == first.blob.order()) {
                copies.push(other);
            }
            Some(copies)
        })
    }

    /// Returns the id of a pack.
    pub(crate) fn pack_id(&self, number: PackNumber) -> Id {
        match number {
            PackNumber::Known(number) => self.packs[number as usize].id,
            PackNumber::Pending(number) => self.pending[number as usize].id,
        }
    }

    /// Returns where all copies of a blob lie, each place once: those that are about to go last.
    pub fn places(&self, kind: BlobKind, id: &Id) -> Vec<BlobPlace> {
        let mut places = Vec::new();
        for place in self.copies(kind, id).map(|place| self.place(place)) {
            // Two index files may name the same blob of the same pack.
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Returns where the blob at a place of the sorted list lies.
    pub(crate) fn place(&self, place: usize) -> BlobPlace {
        let (blob, pack) = self.blob(place);
        let (offset, length, plain_length) = (blob.offset, blob.length, blob.plain_length);
        BlobPlace { pack: self.pack_id(pack), offset, length, plain_length }
    }

    /// Returns where a blob lies; none when the index does not name it. One in a pack that is about to go is found when
    /// there is no other.
    pub fn find(&self, kind: BlobKind, id: &Id) -> Option<BlobPlace> {
        self.copies(kind, id).next().map(|place| self.place(place))
    }

    /// Says whether a backup need not write a blob: it is in a pack that nobody is about to remove.
    pub fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.copies(kind, id).any(|place| match self.blob(place).1 {
            PackNumber::Known(number) => {
                self.doubtful.is_empty() || !self.doubtful.contains(&self.packs[number as usize].id)
            }
            PackNumber::Pending(_) => false,
        })
    }

    /// Returns the packs that it names, without those that are about to go.
    pub fn packs(&self) -> &[KnownPack] {
        &self.packs
    }

    /// Returns the packs that are about to go.
    pub fn pending(&self) -> &[PendingPack] {
        &self.pending
    }

    /// Returns how many blobs it names.
    pub fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    /// Returns the blobs that the packs which `wanted` takes hold.
    pub fn blobs_in(&self, wanted: impl Fn(&Id) -> bool) -> Vec<(BlobKind, Id)> {
        let known: Vec<bool> = self.packs.iter().map(|pack| wanted(&pack.id)).collect();
        let pending: Vec<bool> = self.pending.iter().map(|pack| wanted(&pack.id)).collect();
        let is_inside = |number: &PackNumber| match number {
            PackNumber::Known(number) => known[*number as usize],
            PackNumber::Pending(number) => pending[*number as usize],
        };
        self.blobs().filter(|(_, pack)| is_inside(pack)).map(|(blob, _)| (blob.kind, blob.id)).collect()
    }
}

fn number_of(count: usize) -> u32 {
    u32::try_from(count).ok().filter(|number| *number < PENDING_BIT).expect("an index names fewer than 2^30 packs")
}

/// Returns the bytes of a pack that holds these blobs and no other: restic names each blob of a pack in one index file.
fn size_of_pack(blobs: &[IndexBlob]) -> u64 {
    let ends = blobs.iter().map(|blob| u64::from(blob.offset) + u64::from(blob.length));
    let entries = blobs.iter().map(|blob| header_entry_bytes(blob.uncompressed_length.is_some()));
    ends.max().unwrap_or(0) + HEADER_BYTES + entries.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: BlobKind, id: Id, offset: u32, plain_length: Option<u32>) -> PackedBlob {
        PackedBlob { id, kind, offset, length: 40, plain_length }
    }

    #[test]
    fn a_blob_of_an_index_comes_back_from_its_bytes() {
        let known = Known { id: Id::of(b"x"), pack: TREE_BIT | 5, offset: 2, length: 3, plain_length: u32::MAX };
        let mut bytes = [0; Known::BYTES];
        known.write(&mut bytes);
        assert_eq!((Known::read(&bytes), size_of::<Known>()), (known, Known::BYTES));
    }

    #[test]
    fn blobs_are_found_by_kind_and_id() {
        let (one, two, pack) = (Id::of(b"1"), Id::of(b"2"), Id::of(b"pack"));
        let mut file = IndexFile::default();
        let same = [blob(BlobKind::Data, one, 0, None), blob(BlobKind::Tree, one, 40, Some(90))];
        file.push(pack, &same);
        let read = IndexFile::read(&file.write()).unwrap();
        assert_eq!((read.blob_count(), file.is_empty()), (2, false));
        let mut index = Index::default();
        index.take(read);
        index.sort();
        assert_eq!(index.find(BlobKind::Data, &one).unwrap().offset, 0);
        let tree = index.find(BlobKind::Tree, &one).unwrap();
        assert_eq!(tree, BlobPlace { pack, offset: 40, length: 40, plain_length: Some(90) });
        assert!(!index.contains(BlobKind::Data, &two));
        assert_eq!(index.packs(), [KnownPack { id: pack, size_bytes: 80 + 36 + 37 + 41 }]);
    }

    #[test]
    fn what_is_about_to_go_can_be_read_and_is_not_known() {
        let (one, two, three) = (Id::of(b"1"), Id::of(b"2"), Id::of(b"3"));
        let (kept, gone, both) = (Id::of(b"kept"), Id::of(b"gone"), Id::of(b"both"));
        let at = |id| blob(BlobKind::Data, id, 0, None);
        let (mut old, mut new) = (IndexFile::default(), IndexFile::default());
        old.push(both, &[at(three)]);
        new.push(kept, &[at(one)]);
        new.push_pending(gone, &[at(one), at(two)], 7, Timestamp::UNIX_EPOCH);
        new.push_pending(both, &[at(three)], 9, Timestamp::UNIX_EPOCH);
        let mut index = Index::default();
        index.take(IndexFile::read(&new.write()).unwrap());
        index.take(old);
        index.sort();
        for (id, pack, known) in [(one, kept, true), (two, gone, false), (three, both, false)] {
            assert_eq!(index.find(BlobKind::Data, &id).unwrap().pack, pack);
            assert_eq!(index.contains(BlobKind::Data, &id), known);
        }
        let marked_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(index.pending()[0], PendingPack { id: gone, size_bytes: 7, marked_at });
        assert!(!String::from_utf8(IndexFile::default().write()).unwrap().contains("delete"), "as restic writes it");
    }
}
