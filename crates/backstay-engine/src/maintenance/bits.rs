//! A set of places in an index, at a bit each.

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
