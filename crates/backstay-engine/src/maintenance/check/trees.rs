//! Every tree of every snapshot, each once; and when something is broken, the snapshots and paths that it touches.

use backstay_storage::ReadCache;

use super::{Checked, ReadData};
use crate::browse::{join, tree_entries};
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::{Id, IdSet};
use crate::format::index::{Index, PackNumber};
use crate::format::node::NodeKind;
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::maintenance::bits::{Bits, LostIds};
use crate::maintenance::tree_queue::TreeQueue;
use crate::repository::{BlobReader, Repository};

/// What is known of blobs.
struct Known<'a> {
    index: &'a Index,
    broken: &'a Bits,
    /// Trees, and data that only packs have which are about to go, that cannot be read.
    unreadable: IdSet,
}

impl Known<'_> {
    /// Says whether a blob cannot be had: no copy of it is whole.
    fn is_lost(&self, kind: BlobKind, id: &Id) -> bool {
        let lost = self.index.copies(kind, id).all(|place| self.broken.has(place));
        lost || self.unreadable.contains(id)
    }
}

/// Looks at all trees.
pub(super) fn check(
    repository: &Repository,
    index: &Index,
    snapshots: &[Id],
    (broken, read): (&Bits, &ReadData),
    checked: &mut Checked,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let mut roots = Vec::new();
    repository.each_file(FileKind::Snapshot, snapshots, interrupt, |id, plain| {
        checked.snapshots += 1;
        match repository.snapshot_parse(id, plain) {
            Ok(file) => roots.push((*id, file.tree)),
            // It was forgotten since the list was made, by somebody beside us: restic's own check would not see it.
            Err(EngineError::NoSnapshot { .. }) => checked.snapshots -= 1,
            Err(error) => checked.harm(format!("snapshot {id}"), error)?,
        }
        Ok(())
    })?;
    let mut known = Known { index, broken, unreadable: IdSet::default() };
    let before = checked.finding_count;
    let pending = each_tree_once(repository, &mut known, &roots, checked, interrupt)?;
    pending_check(repository, &mut known, &pending, *read != ReadData::None, checked, interrupt)?;
    if before > 0 || checked.finding_count > before {
        // Trees below which all is well, of whatever snapshot: most snapshots share nearly all of theirs.
        let mut well = Bits::new(index.blob_count());
        for (snapshot, tree) in &roots {
            name_affected(repository, &known, &mut well, (*snapshot, *tree), checked, interrupt)?;
        }
    }
    Ok(())
}

/// Reads each tree once, finds what no index file names, and returns the places of needed data blobs that only packs have
/// which are about to go.
fn each_tree_once(
    repository: &Repository,
    known: &mut Known<'_>,
    roots: &[(Id, Id)],
    checked: &mut Checked,
    interrupt: &Interrupt,
) -> Result<Vec<u32>, EngineError> {
    let index = known.index;
    let mut seen = Bits::new(index.blob_count());
    let mut missing = LostIds::default();
    let (mut trees, mut pending) = (TreeQueue::default(), Vec::new());
    let is_pending = |place| matches!(index.blob(place).1, PackNumber::Pending(_));
    // Returns the place of what was not met before: of trees that wait, four bytes are held.
    let mut meet = |kind: BlobKind, id: &Id, checked: &mut Checked| match index.copies(kind, id).next() {
        Some(place) => {
            let is_new = seen.set(place);
            if is_new && kind == BlobKind::Data && is_pending(place) && index.copies(kind, id).all(is_pending) {
                pending.push(place as u32);
            }
            is_new.then_some(place as u32)
        }
        None => {
            if missing.insert(id) {
                checked.found(format!("blob {id}"), "is in no index".to_owned());
            }
            None
        }
    };
    for (_, tree) in roots {
        trees.extend(meet(BlobKind::Tree, tree, checked));
    }
    let mut blobs = BlobReader::new(repository, index, ReadCache::Bypass, interrupt);
    while let Some(tree) = trees.next(&mut blobs)? {
        interrupt.check()?;
        checked.trees += 1;
        let answer = tree_entries(repository, &mut blobs, &tree, |node| {
            for id in &node.content {
                meet(BlobKind::Data, id, checked);
            }
            match node.subtree {
                Some(subtree) => trees.extend(meet(BlobKind::Tree, &subtree, checked)),
                None if node.kind == NodeKind::Dir => {
                    let source = FormatError::shape("tree", "a folder without a tree");
                    return Err(EngineError::Format { place: format!("tree {tree}"), source });
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = answer {
            known.unreadable.insert(tree);
            checked.harm(format!("tree {tree}"), error)?;
        }
    }
    for bad in blobs.take_bad_copies() {
        checked.found(bad.place, bad.problem);
    }
    Ok(pending)
}

/// Looks at needed blobs that only packs have which are about to go: such a pack is no harm by itself, and is not read with
/// the others. With `reads` each is read.
fn pending_check(
    repository: &Repository,
    known: &mut Known<'_>,
    pending: &[u32],
    reads: bool,
    checked: &mut Checked,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let index = known.index;
    let mut blobs = BlobReader::new(repository, index, ReadCache::Bypass, interrupt);
    for place in pending {
        interrupt.check()?;
        let id = index.blob(*place as usize).0.id;
        let mut problem = "the pack that has it is about to go, and is not there whole".to_owned();
        let mut is_lost = true;
        for copy in index.copies(BlobKind::Data, &id).filter(|copy| !known.broken.has(*copy)) {
            match reads.then(|| blobs.read_at(BlobKind::Data, &index.place(copy), &id)) {
                None | Some(Ok(_)) => is_lost = false,
                Some(Err(error)) if error.is_harm() => problem = backstay_core::managers::job::chain(&error),
                Some(Err(error)) => return Err(error),
            }
        }
        if is_lost {
            known.unreadable.insert(id);
            checked.found(format!("blob {id}"), problem);
        }
    }
    Ok(())
}

/// A subfolder: its path, and its tree.
type Below = (Vec<u8>, Id);

/// A folder whose subfolders are gone through.
struct Folder {
    /// The place of its tree in the index.
    place: usize,
    /// Subfolders that are still to be looked into, each with its tree.
    left: Vec<Below>,
    /// Whether nothing was found in it or below it so far.
    is_well: bool,
}

/// Names the paths of a snapshot that cannot be restored as they were. Trees that are `well` are passed over, and those
/// that turn out to be are added.
fn name_affected(
    repository: &Repository,
    known: &Known<'_>,
    well: &mut Bits,
    (snapshot, root): (Id, Id),
    checked: &mut Checked,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    if known.is_lost(BlobKind::Tree, &root) {
        checked.affects(snapshot, b"");
        return Ok(());
    }
    let index = known.index;
    let mut blobs = BlobReader::new(repository, index, ReadCache::Use, interrupt);
    // A tree that names itself must not keep us for ever.
    let mut seen = Bits::new(index.blob_count());
    let mut folders: Vec<Folder> = Vec::new();
    let mut next = Some((Vec::new(), root));
    loop {
        if let Some((path, tree)) = next.take() {
            interrupt.check()?;
            match index.copies(BlobKind::Tree, &tree).next() {
                Some(place) if well.has(place) => {}
                Some(place) if seen.set(place) => {
                    let (left, is_well) = look(repository, known, &mut blobs, (&path, &tree), snapshot, checked)?;
                    folders.push(Folder { place, left, is_well });
                }
                // It was met before in this snapshot, and something is below it.
                _ => folders.iter_mut().for_each(|above| above.is_well = false),
            }
        }
        let Some(folder) = folders.last_mut() else { return Ok(()) };
        next = folder.left.pop();
        if next.is_none()
            && let Some(done) = folders.pop()
        {
            match done.is_well {
                true => drop(well.set(done.place)),
                false => folders.iter_mut().for_each(|above| above.is_well = false),
            }
        }
    }
}

/// Names what is affected in one folder; returns its subfolders that can be read, and whether nothing was.
fn look(
    repository: &Repository,
    known: &Known<'_>,
    blobs: &mut BlobReader<'_>,
    (path, tree): (&[u8], &Id),
    snapshot: Id,
    checked: &mut Checked,
) -> Result<(Vec<Below>, bool), EngineError> {
    let (mut left, mut is_well) = (Vec::new(), true);
    tree_entries(repository, blobs, tree, |node| {
        let below = join(path, &node.name);
        let is_lost = match node.subtree {
            Some(subtree) => known.is_lost(BlobKind::Tree, &subtree),
            None => node.content.iter().any(|id| known.is_lost(BlobKind::Data, id)),
        };
        if is_lost {
            checked.affects(snapshot, &below);
            is_well = false;
        } else if let Some(subtree) = node.subtree {
            left.push((below, subtree));
        }
        Ok(())
    })?;
    Ok((left, is_well))
}
