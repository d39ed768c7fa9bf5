//! Which snapshots and blobs the target lacks; nothing is changed.

use std::collections::HashMap;

use backstay_storage::ReadCache;
use serde_json::Value;

use crate::browse::tree_entries;
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::{Id, IdSet};
use crate::format::index::Index;
use crate::format::node::NodeKind;
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::maintenance::bits::Bits;
use crate::maintenance::tree_queue::TreeQueue;
use crate::repository::{BlobReader, Repository};
use crate::seen::SeenIndex;
use crate::select::Snapshot;

/// A snapshot of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotCopy {
    /// Its id in the source.
    pub id: Id,
    /// The snapshot of the target that is the same already; none when it is to be copied.
    pub already: Option<Id>,
}

/// What a copy would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyPreview {
    /// The snapshots, in the order in which they were given.
    pub snapshots: Vec<SnapshotCopy>,
    /// Blobs that are sent.
    pub blobs: u64,
    /// Their sealed bytes in the source.
    pub bytes: u64,
    /// Blobs that the target has.
    pub blobs_there: u64,
    /// Packs that are read.
    pub packs: u64,
}

/// What a copy would do.
#[derive(Debug)]
pub struct CopyPlan {
    /// What it comes to.
    pub preview: CopyPreview,
    pub(super) index: Index,
    /// The copy of each blob that is sent.
    pub(super) wanted: Bits,
    /// Snapshot files that are written, with the ids that they have in the source.
    pub(super) files: Vec<(Id, Vec<u8>)>,
    /// The target's index, which says what need not be sent.
    pub(super) seen: SeenIndex,
}

/// Decides what is copied. The caller holds a lock of any mode in both repositories. `there` is every snapshot of the
/// target.
///
/// # Errors
/// [`EngineError`] when an index file, or a tree of a snapshot that is copied, cannot be read: half a snapshot is none.
pub fn plan(
    (source, target): (&Repository, &Repository),
    chosen: &[Snapshot],
    there: &[Snapshot],
    interrupt: &Interrupt,
) -> Result<CopyPlan, EngineError> {
    let (index, known) = (source.index_load(interrupt)?, target.index_load(interrupt)?);
    let mut preview = CopyPreview::default();
    let mut files = Vec::new();
    let by_original = by_original(there);
    let mut roots = Vec::new();
    for snapshot in chosen {
        let told = |error| source.told(FileKind::Snapshot, &snapshot.id, FormatError::shape("snapshot", error));
        let mut value: Value = serde_json::from_slice(&snapshot.plain).map_err(told)?;
        let original = value["original"].as_str().map_or_else(|| snapshot.id.to_hex(), str::to_owned);
        let same = by_original.get(&original).into_iter().flatten().find(|other| is_same(other, snapshot, &value));
        preview.snapshots.push(SnapshotCopy { id: snapshot.id, already: same.map(|same| same.id) });
        if same.is_none() {
            // A parent means nothing in another repository.
            value.as_object_mut().map(|fields| fields.remove("parent"));
            value["original"] = original.into();
            files.push((snapshot.id, serde_json::to_vec(&value).expect("a snapshot is JSON")));
            roots.push(snapshot.file.tree);
        }
    }
    let wanted = wanted(source, &index, &known, roots, &mut preview, interrupt)?;
    let mut packs = IdSet::default();
    for place in (0..index.blob_count()).filter(|place| wanted.has(*place)) {
        preview.blobs += 1;
        let at = index.place(place);
        preview.bytes += u64::from(at.length);
        packs.insert(at.pack);
    }
    preview.packs = packs.len() as u64;
    Ok(CopyPlan { preview, index, wanted, files, seen: SeenIndex::new(&known, interrupt) })
}

/// Returns a bit for each blob that the target lacks: at the first of its copies.
fn wanted(
    source: &Repository,
    index: &Index,
    known: &Index,
    roots: Vec<Id>,
    preview: &mut CopyPreview,
    interrupt: &Interrupt,
) -> Result<Bits, EngineError> {
    let (mut seen, mut wanted) = (Bits::new(index.blob_count()), Bits::new(index.blob_count()));
    let mut meet = |kind: BlobKind, id: &Id| match index.copies(kind, id).next() {
        None => Err(EngineError::NoBlob { id: *id, place: source.place() }),
        Some(place) if !seen.set(place) => Ok(None),
        Some(place) => {
            match known.contains(kind, id) {
                true => preview.blobs_there += 1,
                false => _ = wanted.set(place),
            }
            // Of trees that wait, four bytes are held.
            Ok(Some(place as u32))
        }
    };
    let mut trees = TreeQueue::default();
    for root in roots {
        trees.extend(meet(BlobKind::Tree, &root)?);
    }
    let mut blobs = BlobReader::new(source, index, ReadCache::Use, interrupt);
    while let Some(tree) = trees.next(&mut blobs)? {
        interrupt.check()?;
        // Also below trees that the target has: a copy that was cut sends trees before what they name.
        tree_entries(source, &mut blobs, &tree, |node| {
            for id in &node.content {
                meet(BlobKind::Data, id)?;
            }
            match node.subtree {
                Some(subtree) => trees.extend(meet(BlobKind::Tree, &subtree)?),
                None if node.kind == NodeKind::Dir => {
                    let problem = FormatError::shape("tree", "a folder without a tree");
                    return Err(EngineError::Format { place: format!("tree {tree}"), source: problem });
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(wanted)
}

/// Returns snapshots by the ids that they once had, and by their own.
fn by_original(there: &[Snapshot]) -> HashMap<String, Vec<&Snapshot>> {
    let mut all: HashMap<String, Vec<&Snapshot>> = HashMap::new();
    for snapshot in there {
        all.entry(snapshot.id.to_hex()).or_default().push(snapshot);
        let value = serde_json::from_slice::<Value>(&snapshot.plain).ok();
        if let Some(original) = value.as_ref().and_then(|value| value["original"].as_str()) {
            all.entry(original.to_owned()).or_default().push(snapshot);
        }
    }
    all
}

/// Says whether a snapshot of the target is the same as one of the source, by restic's rule: all but parent, original and
/// what making it took.
fn is_same(other: &Snapshot, snapshot: &Snapshot, value: &Value) -> bool {
    let Ok(theirs) = serde_json::from_slice::<Value>(&other.plain) else { return false };
    let (a, b) = (&other.file, &snapshot.file);
    let holds = |all: &[String], some: &[String]| all.len() == some.len() && some.iter().all(|one| all.contains(one));
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    other.time == snapshot.time
        && a.tree == b.tree
        && a.hostname == b.hostname
        && a.username == b.username
        && holds(&a.paths, &b.paths)
        && holds(&a.tags, &b.tags)
        && ["uid", "gid"].iter().all(|name| number(&theirs[*name]) == number(&value[*name]))
        && list(&theirs["excludes"]) == list(&value["excludes"])
}
