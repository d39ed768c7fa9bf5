//! Check: whether a repository is whole. Structure always, data as much as is asked for; every harm is named with the
//! snapshots and paths that it touches.
//!
//! Harm is a finding, not an error, and the check goes on. What is in the repository may grow meanwhile: snapshots are
//! listed first, so all that they need is there when the rest is looked at. Memory is that of the index, which lies in a
//! file when it is long, some for each pack, and two bits a blob; and, while data is read, of the few packs that are read
//! at once.

mod data;
mod trees;

pub use data::ReadData;

use crate::error::EngineError;
use crate::format::id::{Id, IdMap};
use crate::format::index::{Index, PackNumber};
use crate::format::object::FileKind;
use crate::interrupt::Interrupt;
use crate::maintenance::bits::Bits;
use crate::repository::Repository;

/// Findings that are named; more are counted.
const NAMED_MAX: usize = 1_000;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The damaged thing: an object, a blob, or a path in a snapshot.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A path in a snapshot that cannot be restored as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// The snapshot.
    pub snapshot: Id,
    /// The path, from the root on; a folder stands for all below it.
    pub path: String,
}

/// What a check looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Different trees that were read.
    pub trees: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Packs of which every byte was read.
    pub packs_read: u64,
    /// Bytes that were read of them.
    pub bytes_read: u64,
    /// The last pack that was read, in the order of their names: where the next check by bytes goes on.
    pub read_up_to: Option<Id>,
    /// Packs that are about to go.
    pub packs_pending: u64,
    /// Packs that no index file names: litter, no harm. A prune removes it.
    pub packs_unnamed: u64,
    /// How much harm was found.
    pub finding_count: u64,
    /// The first of it.
    pub findings: Vec<Finding>,
    /// How many paths it touches.
    pub affected_count: u64,
    /// The first of them.
    pub affected: Vec<Affected>,
}

impl Checked {
    /// Says whether no harm was found.
    pub fn is_whole(&self) -> bool {
        self.finding_count == 0
    }

    fn found(&mut self, place: String, problem: String) {
        self.finding_count += 1;
        if self.findings.len() < NAMED_MAX {
            self.findings.push(Finding { place, problem });
        }
    }

    /// Takes in an error that says harm; any other ends the check.
    fn harm(&mut self, place: String, error: EngineError) -> Result<(), EngineError> {
        if !error.is_harm() {
            return Err(error);
        }
        self.found(place, backstay_core::managers::job::chain(&error));
        Ok(())
    }

    fn affects(&mut self, snapshot: Id, path: &[u8]) {
        self.affected_count += 1;
        if self.affected.len() < NAMED_MAX {
            self.affected.push(Affected { snapshot, path: format!("/{}", String::from_utf8_lossy(path)) });
        }
    }
}

/// Looks whether a repository is whole. The caller holds a lock of any mode.
///
/// # Errors
/// [`EngineError::Storage`] when a list is not complete or the storage does not answer: a check that did not see all
/// says nothing. [`EngineError::Interrupted`]. Harm is no error.
pub fn check(repository: &Repository, read: &ReadData, interrupt: &Interrupt) -> Result<Checked, EngineError> {
    let mut checked = Checked::default();
    let snapshots = repository.file_list(FileKind::Snapshot, interrupt)?;
    let index = index_load(repository, &mut checked, interrupt)?;
    let mut broken = Bits::new(index.blob_count());
    let packs = packs_check(repository, &index, &mut broken, &mut checked, interrupt)?;
    data::check(repository, &index, read, &packs, &mut broken, &mut checked, interrupt)?;
    trees::check(repository, &index, &snapshots, (&broken, read), &mut checked, interrupt)?;
    Ok(checked)
}

/// Reads all index files that can be read.
fn index_load(repository: &Repository, checked: &mut Checked, interrupt: &Interrupt) -> Result<Index, EngineError> {
    let mut index = Index::default();
    let ids = repository.file_list(FileKind::Index, interrupt)?;
    repository.each_index_file(&ids, interrupt, |id, file| {
        match file {
            Ok(file) => index.take(file),
            Err(error) => checked.harm(format!("index {id}"), error)?,
        }
        Ok(())
    })?;
    index.sort();
    checked.packs = index.packs().len() as u64;
    checked.packs_pending = index.pending().len() as u64;
    Ok(index)
}

/// Looks whether all packs are there and have the right size, and returns those that are: each once, sorted by name,
/// with its bytes. Blobs of the others are marked as broken.
fn packs_check(
    repository: &Repository,
    index: &Index,
    broken: &mut Bits,
    checked: &mut Checked,
    interrupt: &Interrupt,
) -> Result<Vec<(Id, u64)>, EngineError> {
    let there: IdMap<u64> = repository.pack_list(interrupt)?.into_iter().collect();
    let mut whole: IdMap<bool> = IdMap::default();
    for pack in index.packs() {
        let problem = match there.get(&pack.id) {
            None => "is not in the storage".to_owned(),
            Some(bytes) if *bytes != pack.size_bytes => format!("has {bytes} bytes instead of {}", pack.size_bytes),
            Some(_) => {
                whole.entry(pack.id).or_insert(true);
                continue;
            }
        };
        if whole.insert(pack.id, false) != Some(false) {
            checked.found(format!("pack {}", pack.id), problem);
        }
    }
    // What is about to go is harm only where a snapshot needs it: the walk over trees finds that out.
    let pending: IdMap<u64> = index.pending().iter().map(|pack| (pack.id, pack.size_bytes)).collect();
    let is_cut = |id: &Id| there.get(id).is_none_or(|bytes| pending.get(id).is_some_and(|named| bytes < named));
    let gone = |pack: PackNumber| match pack {
        PackNumber::Known(_) => whole.get(&index.pack_id(pack)) == Some(&false),
        PackNumber::Pending(_) => is_cut(&index.pack_id(pack)),
    };
    for place in 0..index.blob_count() {
        if gone(index.blob(place).1) {
            broken.set(place);
        }
    }
    let unnamed = there.keys().filter(|id| !whole.contains_key(id) && !pending.contains_key(id));
    checked.packs_unnamed = unnamed.count() as u64;
    let mut packs: Vec<(Id, u64)> = whole.iter().filter(|(_, whole)| **whole).map(|(id, _)| (*id, there[id])).collect();
    packs.sort_unstable();
    Ok(packs)
}
