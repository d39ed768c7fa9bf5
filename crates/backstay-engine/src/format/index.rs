//! Index files, and the index of a whole repository in memory.
//!
//! In memory a blob takes 48 bytes in one sorted list: 32 of id, its pack's number with its kind in the highest bit,
//! offset, length and plain length. Lists are merged once, at the end of loading; a look-up is a binary search.

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::crypto::SEAL_BYTES;
use super::id::Id;
use super::pack::{BlobKind, HEADER_BYTES, PackedBlob, header_entry_bytes};

/// Blobs that one index file names at the most, as restic does.
pub const INDEX_BLOBS_MAX: usize = 50_000;

/// Bit of [`IndexedBlob::pack`] that says that the blob holds a tree.
const TREE_BIT: u32 = 1 << 31;

/// An index file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IndexFile {
    packs: Vec<IndexPack>,
}

/// A pack in an index file.
#[derive(Debug, Serialize, Deserialize)]
struct IndexPack {
    id: Id,
    blobs: Vec<IndexBlob>,
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
        let blob = |blob: &PackedBlob| IndexBlob {
            id: blob.id,
            kind: match blob.kind {
                BlobKind::Data => IndexBlobKind::Data,
                BlobKind::Tree => IndexBlobKind::Tree,
            },
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.plain_length,
        };
        self.packs.push(IndexPack { id: pack, blobs: blobs.iter().map(blob).collect() });
    }

    /// Returns how many blobs it names.
    pub fn blob_count(&self) -> usize {
        self.packs.iter().map(|pack| pack.blobs.len()).sum()
    }

    /// Says whether it names no pack.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// Returns it as JSON.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an index is JSON")
    }

    /// Reads it from JSON.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn read(plain: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(plain).map_err(|error| FormatError::shape("index", error))
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

/// 48 bytes a blob.
#[derive(Debug, Clone, Copy)]
struct IndexedBlob {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    /// Zero when it is not compressed.
    plain_length: u32,
}

/// A pack that the index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPack {
    /// Its id.
    pub id: Id,
    /// Its bytes: those of its blobs and of the header that names them.
    pub size_bytes: u64,
}

/// The index of a repository, as it was when it was loaded.
#[derive(Debug, Default)]
pub struct Index {
    blobs: Vec<IndexedBlob>,
    packs: Vec<KnownPack>,
}

impl Index {
    /// Takes in an index file. [`Index::sort`] must follow the last one.
    pub fn take(&mut self, file: IndexFile) {
        for pack in file.packs {
            let number = u32::try_from(self.packs.len()).expect("an index names fewer than 2^31 packs");
            self.packs.push(KnownPack { id: pack.id, size_bytes: size_of_pack(&pack.blobs) });
            self.blobs.extend(pack.blobs.iter().map(|blob| IndexedBlob {
                id: blob.id,
                pack: match blob.kind {
                    IndexBlobKind::Data => number,
                    IndexBlobKind::Tree => number | TREE_BIT,
                },
                offset: blob.offset,
                length: blob.length,
                plain_length: blob.uncompressed_length.unwrap_or(0),
            }));
        }
    }

    /// Makes the index ready for look-ups.
    pub fn sort(&mut self) {
        self.blobs.shrink_to_fit();
        self.blobs.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(a.pack.cmp(&b.pack)));
    }

    /// Returns where a blob lies; none when the index does not name it.
    pub fn find(&self, kind: BlobKind, id: &Id) -> Option<BlobPlace> {
        let first = self.blobs.partition_point(|blob| blob.id < *id);
        let same = self.blobs[first..].iter().take_while(|blob| blob.id == *id);
        let wanted = kind == BlobKind::Tree;
        let blob = same.into_iter().find(|blob| (blob.pack & TREE_BIT != 0) == wanted)?;
        Some(BlobPlace {
            pack: self.packs[(blob.pack & !TREE_BIT) as usize].id,
            offset: blob.offset,
            length: blob.length,
            plain_length: (blob.plain_length > 0).then_some(blob.plain_length),
        })
    }

    /// Says whether the index names a blob.
    pub fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.find(kind, id).is_some()
    }

    /// Returns the packs that it names.
    pub fn packs(&self) -> &[KnownPack] {
        &self.packs
    }

    /// Returns how many blobs it names.
    pub fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    /// Returns the blobs that the packs which `wanted` takes hold.
    pub fn blobs_in(&self, wanted: impl Fn(&Id) -> bool) -> Vec<(BlobKind, Id)> {
        let wanted: Vec<bool> = self.packs.iter().map(|pack| wanted(&pack.id)).collect();
        let inside = self.blobs.iter().filter(|blob| wanted[(blob.pack & !TREE_BIT) as usize]);
        let kind = |pack: u32| if pack & TREE_BIT == 0 { BlobKind::Data } else { BlobKind::Tree };
        inside.map(|blob| (kind(blob.pack), blob.id)).collect()
    }
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
    fn a_blob_takes_48_bytes() {
        assert_eq!(size_of::<IndexedBlob>(), 48);
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
}
