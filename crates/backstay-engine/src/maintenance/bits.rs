//! Sets that take little: places in an index at a bit each, and ids that no index has.

use std::collections::HashSet;

use crate::format::id::Id;

/// A bit for each blob of an index.
#[derive(Debug)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    pub(crate) fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    /// Sets a bit, and says whether it was not set before.
    pub(crate) fn set(&mut self, place: usize) -> bool {
        let before = self.has(place);
        self.0[place / 64] |= 1 << (place % 64);
        !before
    }
}

/// Ids of what is lost, at eight bytes each: they are hashes, and two that begin alike are met by nobody.
#[derive(Debug, Default)]
pub(crate) struct LostIds(HashSet<u64>);

impl LostIds {
    /// Adds an id, and says whether it was not there before.
    pub(crate) fn insert(&mut self, id: &Id) -> bool {
        self.0.insert(beginning(id))
    }

    /// Says whether an id is there, or one that begins with the same eight bytes.
    pub(crate) fn has(&self, id: &Id) -> bool {
        self.0.contains(&beginning(id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn beginning(id: &Id) -> u64 {
    u64::from_be_bytes(*id.0.first_chunk().expect("an id has 32 bytes"))
}
