//! The second look: whether what a snapshot will refer to is still what it was when the index was read.
//!
//! A prune that was paused may mark packs, or remove them, long after its lock went to somebody else. Whoever refers to
//! such a pack would publish a snapshot whose data is about to go. So the index is looked at again, after the last look
//! at the lease and before the snapshot is written; `docs/explanation/ownership.md` has the argument.

use crate::error::EngineError;
use crate::format::id::{Id, IdSet};
use crate::format::index::{Index, IndexFile};
use crate::format::object::FileKind;
use crate::interrupt::Interrupt;
use crate::repository::Repository;

/// The index as a backup, or a copy into the repository, took it in.
#[derive(Debug)]
pub(crate) struct SeenIndex {
    /// Its files, and those that whoever works wrote itself.
    files: IdSet,
    /// Packs that blobs may have been taken from, and its own.
    packs: IdSet,
    interrupt: Interrupt,
}

impl SeenIndex {
    /// Remembers an index and the files that it was read from, and who may ask the work to stop.
    pub(crate) fn new(index: &Index, interrupt: &Interrupt) -> Self {
        let (files, packs) = (index.files().iter().copied().collect(), index.packs_to_take().collect());
        Self { files, packs, interrupt: interrupt.clone() }
    }

    /// Returns what the work stops at.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Adds index files and packs that the work wrote: a prune of rustic's, which knows no locks, may meet those of a
    /// long first backup.
    pub(crate) fn add_own(&mut self, (files, packs): (Vec<Id>, Vec<Id>)) {
        self.files.extend(files);
        self.packs.extend(packs);
    }

    /// Makes sure that each pack is still there and not about to go. Costs one list when nobody else wrote.
    ///
    /// # Errors
    /// [`EngineError::Overtaken`]; what stops the look itself.
    pub(crate) fn look_again(&self, repository: &Repository) -> Result<(), EngineError> {
        let now: IdSet = repository.file_list(FileKind::Index, &self.interrupt)?.into_iter().collect();
        let is_gone = self.files.iter().any(|id| !now.contains(id));
        let (mut named, mut marked) = (IdSet::default(), IdSet::default());
        // While all files are there, what they name is named: only the new ones can say something else.
        for id in now.iter().filter(|id| is_gone || !self.files.contains(*id)) {
            let plain = repository.file_read(FileKind::Index, id, &self.interrupt)?;
            let file = IndexFile::read(&plain).map_err(|source| repository.told(FileKind::Index, id, source))?;
            let (names, marks) = file.pack_ids();
            named.extend(names);
            marked.extend(marks);
        }
        let is_lost = |pack: &&Id| marked.contains(*pack) || is_gone && !named.contains(*pack);
        let count = self.packs.iter().filter(is_lost).count() as u64;
        if count == 0 { Ok(()) } else { Err(EngineError::Overtaken { place: repository.place(), count }) }
    }
}
