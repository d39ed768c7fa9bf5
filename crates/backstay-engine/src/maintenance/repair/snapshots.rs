//! Repair of snapshots: new ones without what is lost, every changed path told.
//!
//! Lost is what the index does not name, and a tree that cannot be read. Contents that are there and damaged are found by
//! `check --read-data`; `packs` takes them out of the index. A snapshot whose root is lost has nothing to repair: it is named,
//! and goes only when old snapshots are to be forgotten.

use super::index::header_read;
use crate::browse::join;
use crate::error::EngineError;
use crate::format::id::{Id, IdMap, IdSet};
use crate::format::index::Index;
use crate::format::node::{Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::maintenance::bits::{Bits, LostIds};
use crate::maintenance::rewrite::snapshot::{self, NewFacts, Old, Outcome, Rewritten, SnapshotEditor, SnapshotPlan};
use crate::maintenance::rewrite::tree::{Edit, Editor, TreeRewriter};
use crate::progress::EngineProgress;
use crate::repository::Repository;
use crate::select::Snapshot;

/// The tag of a repaired snapshot whose old one stays: restic's.
pub const TAG: &str = "repaired";

/// What changes at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Parts of a file are lost; the others stay, one after another.
    Parts {
        /// How many are lost.
        lost: u64,
        /// Of how many.
        of: u64,
        /// Bytes that the file had.
        bytes_before: u64,
        /// Bytes that it has left.
        bytes_after: u64,
    },
    /// All is there, and the size that the entry said was wrong.
    Size {
        /// What it said.
        bytes_before: u64,
        /// What is right.
        bytes_after: u64,
    },
    /// A folder cannot be read: an empty one takes its place.
    Folder {
        /// Why.
        problem: String,
    },
}

/// Hears of each path that changes.
pub type Teller<'t> = &'t mut dyn FnMut(&Id, &[u8], &Loss);

/// What a repair of snapshots would do. It is worth something only as long as the lock that it was made under.
#[derive(Debug)]
pub struct SnapshotsPlan {
    /// What becomes of each.
    pub plan: SnapshotPlan,
    /// What is wrong with the index: nothing may be dropped by it. None when it is right.
    pub index_wrong: Option<String>,
    index: Index,
    /// Blobs whose packs are not in the storage, by their places.
    gone: Bits,
}

/// Decides what becomes of these snapshots; `tell` hears of each path that changes. `all` is every snapshot of the
/// repository. `guard` is a lock of any mode for a preview, and an exclusive one when the plan is to be applied. `progress`
/// counts snapshots as files.
///
/// # Errors
/// [`EngineError`] when an index file cannot be read, or the storage does not answer. Lost data is no error.
pub fn plan(
    repository: &Repository,
    (chosen, all): (Vec<Snapshot>, &[Snapshot]),
    old: Old,
    tell: Teller<'_>,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<SnapshotsPlan, EngineError> {
    let index = repository.index_load(interrupt)?;
    let Compared { gone, mut wrong, unnamed } = compare(repository, &index, interrupt)?;
    let mut mender = Mender::new(&index, &gone, tell);
    let means = (TAG, &NewFacts::default(), old);
    let rewriter = TreeRewriter::new(repository, &index, progress, interrupt);
    let plan = snapshot::plan(rewriter, (chosen, all), &mut mender, means, guard)?;
    let lost = mender.lost;
    let hidden = if lost.is_empty() { 0 } else { count_hidden(repository, &unnamed, &lost, interrupt)? };
    if hidden > 0 {
        wrong.push(format!("{hidden} packs are not named and may hold what would be dropped"));
    }
    let mend = || format!("{}; repair the index first, and the packs that it names as unreadable", wrong.join(", "));
    let index_wrong = (!wrong.is_empty()).then(mend);
    Ok(SnapshotsPlan { plan, index_wrong, index, gone })
}

/// Says whether all is there that a snapshot refers to: trees are read, contents looked up in the index and in the storage's
/// list of packs. `guard` is a lock of any mode.
///
/// # Errors
/// As [`plan`].
pub fn is_whole(
    repository: &Repository,
    snapshot: Snapshot,
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<bool, EngineError> {
    let mut nobody = |_: &Id, _: &[u8], _: &Loss| {};
    let progress = EngineProgress::default();
    let made = plan(repository, (vec![snapshot], &[]), Old::Keep, &mut nobody, guard, &progress, interrupt)?;
    Ok(made.plan.snapshots.iter().all(|one| one.outcome == Outcome::Same))
}

/// Does what the plan says. It may be repeated, after a failure too: what is published is not published again.
///
/// # Errors
/// [`EngineError::IndexWrong`] when something would be dropped that may be there: nothing is done then.
/// [`EngineError::LockLost`] when the lock is not the exclusive one that the plan was made under, or is gone;
/// [`EngineError`] as soon as anything goes wrong: nothing is forgotten after that.
pub fn apply(
    repository: &Repository,
    plan: SnapshotsPlan,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Rewritten, EngineError> {
    let changes = plan.plan.snapshots.iter().any(|one| one.outcome != Outcome::Same);
    if let Some(problem) = plan.index_wrong.filter(|_| changes) {
        return Err(EngineError::IndexWrong { place: repository.place(), problem });
    }
    let mut nobody = |_: &Id, _: &[u8], _: &Loss| {};
    let mut mender = Mender::new(&plan.index, &plan.gone, &mut nobody);
    let rewriter = TreeRewriter::new(repository, &plan.index, progress, interrupt);
    snapshot::apply(rewriter, plan.plan, &mut mender, guard)
}

/// The index beside the storage.
struct Compared {
    /// Blobs whose packs are not in the storage, by their places.
    gone: Bits,
    /// What the index says and is not so, in words.
    wrong: Vec<String>,
    /// Packs that it does not name, with their bytes.
    unnamed: Vec<(Id, u64)>,
}

/// Holds the index against the storage.
fn compare(repository: &Repository, index: &Index, interrupt: &Interrupt) -> Result<Compared, EngineError> {
    let there: IdMap<u64> = repository.pack_list(interrupt)?.into_iter().collect();
    let (known, pending) = (index.packs().iter().map(|pack| pack.id), index.pending().iter().map(|pack| pack.id));
    let named: IdSet = known.chain(pending).collect();
    let unnamed = there.iter().filter(|(id, _)| !named.contains(*id)).map(|(id, bytes)| (*id, *bytes)).collect();
    let other = index.packs().iter().filter(|pack| there.get(&pack.id).is_some_and(|bytes| *bytes != pack.size_bytes));
    let missing = index.packs().iter().filter(|pack| !there.contains_key(&pack.id));
    let mut gone = Bits::new(index.blob_count());
    for place in 0..index.blob_count() {
        if !there.contains_key(&index.place(place).pack) {
            gone.set(place);
        }
    }
    let counts = [(missing.count(), "are missing"), (other.count(), "have another size")];
    let wrong = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} packs {what}"));
    Ok(Compared { gone, wrong: wrong.collect(), unnamed })
}

/// Returns how many packs that the index does not name may hold something that is lost: litter of a backup, or of this
/// repair's last try, does not.
fn count_hidden(
    repository: &Repository,
    unnamed: &[(Id, u64)],
    lost: &LostIds,
    interrupt: &Interrupt,
) -> Result<u64, EngineError> {
    let mut count = 0;
    for (id, bytes) in unnamed {
        interrupt.check()?;
        match header_read(repository, id, *bytes, interrupt) {
            Ok(blobs) => count += u64::from(blobs.iter().any(|blob| lost.has(&blob.id))),
            Err(error) if error.is_harm() => count += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Drops what is lost.
struct Mender<'a, 't> {
    index: &'a Index,
    gone: &'a Bits,
    snapshot: Id,
    paths: u64,
    /// Blobs that cannot be had.
    lost: LostIds,
    tell: Teller<'t>,
}

impl<'a, 't> Mender<'a, 't> {
    fn new(index: &'a Index, gone: &'a Bits, tell: Teller<'t>) -> Self {
        Self { index, gone, snapshot: Id([0; 32]), paths: 0, lost: LostIds::default(), tell }
    }

    /// Returns how many bytes a blob of a file has; none when it is lost.
    fn bytes(&self, id: &Id) -> Option<u64> {
        let place = self.index.copies(BlobKind::Data, id).find(|place| !self.gone.has(*place))?;
        Some(self.index.place(place).plain_bytes())
    }
}

impl Editor for Mender<'_, '_> {
    fn enter(&mut self, _: &[u8]) {}

    fn edit(&self, node: &Node<'_>) -> Edit {
        if node.kind != NodeKind::File {
            return Edit::Keep;
        }
        let (mut left, mut bytes) = (Vec::with_capacity(node.content.len()), 0u64);
        for id in &node.content {
            if let Some(more) = self.bytes(id) {
                left.push(*id);
                bytes = bytes.saturating_add(more);
            }
        }
        if left == node.content && bytes == node.metadata.size { Edit::Keep } else { Edit::Content(left, bytes) }
    }

    fn note(&mut self, folder: &[u8], node: &Node<'_>, edit: &Edit) {
        let Edit::Content(left, bytes_after) = edit else { return };
        let (of, bytes_before) = (node.content.len() as u64, node.metadata.size);
        let loss = match of - left.len() as u64 {
            0 => Loss::Size { bytes_before, bytes_after: *bytes_after },
            lost => Loss::Parts { lost, of, bytes_before, bytes_after: *bytes_after },
        };
        let lost: Vec<Id> = node.content.iter().filter(|id| self.bytes(id).is_none()).copied().collect();
        lost.iter().for_each(|id| _ = self.lost.insert(id));
        self.paths += 1;
        (self.tell)(&self.snapshot, &join(folder, &node.name), &loss);
    }

    fn unreadable(&mut self, path: &[u8], tree: Option<Id>, error: EngineError) -> Result<(), EngineError> {
        tree.iter().for_each(|id| _ = self.lost.insert(id));
        self.paths += 1;
        let problem = backstay_core::managers::job::chain(&error);
        (self.tell)(&self.snapshot, path, &Loss::Folder { problem });
        Ok(())
    }

    fn minds_paths(&self) -> bool {
        false
    }
}

impl SnapshotEditor for Mender<'_, '_> {
    fn begin(&mut self, snapshot: &Id) {
        (self.snapshot, self.paths) = (*snapshot, 0);
    }

    fn paths(&self) -> u64 {
        self.paths
    }
}
