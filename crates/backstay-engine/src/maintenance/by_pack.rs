//! The blobs of an index by pack: what one pack holds is read in one stretch, out of a file when there are many.

use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::index::{Index, PackNumber};
use crate::format::pack::{BlobKind, PackedBlob};
use crate::format::sorted::{Record, SortedList, number_at};
use crate::interrupt::Interrupt;

/// Blobs that are kept in memory, 14 MiB; more lie in a file. Less than of an index: each is asked for once or twice, with
/// its neighbours.
const BLOBS_IN_MEMORY: usize = 1 << 18;

/// A blob in a pack, in the order of packs and of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packed {
    pack: u32,
    offset: u32,
    /// Its place in the index.
    place: u32,
    length: u32,
    /// Zero when it is not compressed.
    plain_length: u32,
    is_tree: bool,
    id: Id,
}

impl Record for Packed {
    const BYTES: usize = 53;

    fn write(&self, into: &mut [u8]) {
        let numbers = [self.pack, self.offset, self.place, self.length, self.plain_length];
        for (at, number) in numbers.into_iter().enumerate() {
            into[4 * at..][..4].copy_from_slice(&number.to_le_bytes());
        }
        into[20] = u8::from(self.is_tree);
        into[21..].copy_from_slice(&self.id.0);
    }

    fn read(from: &[u8]) -> Self {
        let [pack, offset, place, length, plain_length] = [0, 4, 8, 12, 16].map(|at| number_at(from, at));
        let id = Id(*from[21..].first_chunk().expect("a record ends with an id"));
        Self { pack, offset, place, length, plain_length, is_tree: from[20] == 1, id }
    }

    fn prefix(&self) -> u64 {
        u64::from(self.pack) << 32 | u64::from(self.offset)
    }
}

/// The blobs of some packs.
#[derive(Debug)]
pub(super) struct BlobsByPack {
    blobs: SortedList<Packed>,
    /// Where each pack's blobs begin in the list, and where the last one's end.
    begins: Vec<u32>,
}

impl BlobsByPack {
    /// Makes one of a sorted index: `pack_of` says which of so many packs is meant by a number, and none of what is left
    /// out.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn new(
        index: &Index,
        packs: usize,
        pack_of: impl Fn(PackNumber) -> Option<u32>,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        Self::with_blobs_in_memory(BLOBS_IN_MEMORY, index, packs, pack_of, interrupt)
    }

    /// As [`BlobsByPack::new`], with another limit of what is kept in memory.
    fn with_blobs_in_memory(
        limit: usize,
        index: &Index,
        packs: usize,
        pack_of: impl Fn(PackNumber) -> Option<u32>,
        interrupt: &Interrupt,
    ) -> Result<Self, EngineError> {
        let mut blobs = SortedList::with_run(limit);
        let mut begins = vec![0; packs + 1];
        for (place, (blob, number)) in index.blobs().enumerate() {
            interrupt.check()?;
            let Some(pack) = pack_of(number) else { continue };
            let place = u32::try_from(place).expect("an index names fewer than 2^32 blobs");
            begins[pack as usize + 1] += 1;
            blobs.push(Packed {
                pack,
                offset: blob.offset,
                place,
                length: blob.length,
                plain_length: blob.plain_length.unwrap_or(0),
                is_tree: blob.kind == BlobKind::Tree,
                id: blob.id,
            });
        }
        blobs.sort();
        let mut end = 0;
        for begin in &mut begins {
            end += *begin;
            *begin = end;
        }
        Ok(Self { blobs, begins })
    }

    /// Returns all blobs of a pack in order, each as often as index files name it, with their places in the index.
    pub(super) fn of(&self, pack: usize) -> Vec<(usize, PackedBlob)> {
        let places = self.begins[pack] as usize..self.begins[pack + 1] as usize;
        let blobs = self.blobs.stretch(places).into_iter();
        blobs.map(|packed| (packed.place as usize, packed.blob())).collect()
    }
}

impl Packed {
    fn blob(&self) -> PackedBlob {
        PackedBlob {
            id: self.id,
            kind: if self.is_tree { BlobKind::Tree } else { BlobKind::Data },
            offset: self.offset,
            length: self.length,
            plain_length: (self.plain_length > 0).then_some(self.plain_length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::index::IndexFile;

    /// Makes an index of packs with blobs of these numbers, some of them named twice.
    fn index(packs: &[Vec<(u8, bool, u16)>], blobs_in_memory: usize) -> Index {
        let mut index = Index::with_blobs_in_memory(blobs_in_memory);
        for (number, blobs) in packs.iter().enumerate() {
            let mut file = IndexFile::default();
            let blobs: Vec<PackedBlob> = blobs
                .iter()
                .map(|(blob, is_tree, offset)| PackedBlob {
                    id: Id::of(&[*blob]),
                    kind: if *is_tree { BlobKind::Tree } else { BlobKind::Data },
                    offset: u32::from(*offset),
                    length: 40 + u32::from(*blob),
                    plain_length: is_tree.then_some(90),
                })
                .collect();
            match number % 3 {
                2 => file.push_pending(Id::of(&[number as u8, 1]), &blobs, 9, jiff::Timestamp::UNIX_EPOCH),
                _ => file.push(Id::of(&[number as u8 / 2, 1]), &blobs),
            }
            index.take(file);
        }
        index.sort();
        index
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn in_a_file_each_pack_holds_what_it_holds_in_memory(
            packs in proptest::collection::vec(proptest::collection::vec((0u8..40, any::<bool>(), 0u16..500), 0..60), 0..12),
        ) {
            let (memory, file) = (index(&packs, usize::MAX), index(&packs, 20));
            prop_assert_eq!(memory.blobs().collect::<Vec<_>>(), file.blobs().collect::<Vec<_>>());
            let all = memory.packs().len() + memory.pending().len();
            let known = memory.packs().len() as u32;
            // One pack of five is left out.
            let pack_of = |number| match number {
                PackNumber::Known(number) => Some(number),
                PackNumber::Pending(number) => Some(known + number),
            };
            let pack_of = |number| pack_of(number).filter(|pack| pack % 5 != 3);
            let one = BlobsByPack::with_blobs_in_memory(usize::MAX, &memory, all, pack_of, &Interrupt::default()).unwrap();
            let other = BlobsByPack::with_blobs_in_memory(15, &file, all, pack_of, &Interrupt::default()).unwrap();
            for pack in 0..all {
                let mut plain: Vec<(usize, PackedBlob)> = (0..memory.blob_count())
                    .map(|place| (place, memory.blob(place)))
                    .filter(|(_, (_, number))| pack_of(*number) == Some(pack as u32))
                    .map(|(place, (blob, _))| (place, blob))
                    .collect();
                plain.sort_by_key(|(place, blob)| (blob.offset, *place));
                prop_assert_eq!(&one.of(pack), &plain);
                prop_assert_eq!(&other.of(pack), &plain);
            }
        }
    }
}
