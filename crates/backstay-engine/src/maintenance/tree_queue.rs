//! Trees that wait to be read, each once: those that are next are fetched together. Who comes in: prune, check and copy,
//! which read all trees of a repository in whatever order.

use crate::blob::TREES_AHEAD;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::pack::BlobKind;
use crate::repository::BlobReader;

/// Trees that wait, by their places in the index: four bytes each.
#[derive(Debug, Default)]
pub(super) struct TreeQueue {
    waiting: Vec<u32>,
    taken: Vec<u32>,
}

impl TreeQueue {
    /// Returns the next tree; none when none waits. The newest come first, so that few wait.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub(super) fn next(&mut self, blobs: &mut BlobReader<'_>) -> Result<Option<Id>, EngineError> {
        let index = blobs.index();
        if self.taken.is_empty() {
            self.taken = self.waiting.split_off(self.waiting.len().saturating_sub(TREES_AHEAD));
            let places = self.taken.iter().map(|place| index.place(*place as usize)).collect();
            blobs.fetch_ahead(BlobKind::Tree, places)?;
        }
        Ok(self.taken.pop().map(|place| index.blob(place as usize).0.id))
    }
}

impl Extend<u32> for TreeQueue {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, places: T) {
        self.waiting.extend(places);
    }
}
