//! Snapshots that take the place of others: planned, published, and only then the old ones forgotten.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::tree::{Editor, Held, TreeRewriter};
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::{Id, IdMap};
use crate::format::object::FileKind;
use crate::lock::LockGuard;
use crate::maintenance::repack::{IndexWriter, PACKS_UNNAMED_MAX, Repacker, held_alone, remove};
use crate::select::Snapshot;

/// Whether the old snapshots go when the new ones are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// They stay, and the new ones get a tag.
    Keep,
    /// They go.
    Forget,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Same,
    /// A new one takes its place.
    Replaced,
    /// The new one is there already, from a run before.
    Already(Id),
    /// Nothing of it can be read.
    Lost(String),
}

/// What would become of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPreview {
    /// The snapshot.
    pub id: Id,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Paths in it that change.
    pub paths: u64,
    /// Regular files that the new one holds.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a new snapshot says other than the old one, beside its tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewFacts {
    /// The name of the machine.
    pub host: Option<String>,
    /// When it was taken, RFC 3339.
    pub time: Option<String>,
    /// Whether the counts of what it holds are said: always when its tree changed and this is given.
    pub counts: Counts,
}

/// When a snapshot's summary says anew how much it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counts {
    /// Never.
    #[default]
    AsTheyAre,
    /// When the tree changed.
    OfChangedTrees,
    /// Always.
    Anew,
}

/// A new snapshot.
#[derive(Debug)]
struct New {
    old: Snapshot,
    tree: Id,
    plain: Vec<u8>,
    is_there: bool,
}

/// What would become of snapshots. It is worth something only as long as the lock that it was made under.
#[derive(Debug)]
pub struct SnapshotPlan {
    /// What becomes of each, in the order in which they were given.
    pub snapshots: Vec<SnapshotPreview>,
    /// Whether the old ones go.
    pub old: Old,
    news: Vec<New>,
    /// Snapshots of which nothing can be read.
    lost: Vec<Id>,
    lock: u64,
}

/// What was done with snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// New snapshots with those that they replace.
    pub written: Vec<(Id, Id)>,
    /// Snapshots that were forgotten.
    pub forgotten: Vec<Id>,
}

/// An editor that counts, and whose snapshot is known to it.
pub(in crate::maintenance) trait SnapshotEditor: Editor {
    /// Comes before the entries of a snapshot.
    fn begin(&mut self, snapshot: &Id);

    /// Returns how many paths changed since then.
    fn paths(&self) -> u64;
}

/// Decides what becomes of each of these snapshots, which are counted as files. `all` is every snapshot of the repository.
pub(in crate::maintenance) fn plan(
    mut rewriter: TreeRewriter<'_>,
    (chosen, all): (Vec<Snapshot>, &[Snapshot]),
    editor: &mut dyn SnapshotEditor,
    (tag, facts, old): (&str, &NewFacts, Old),
    guard: &LockGuard,
) -> Result<SnapshotPlan, EngineError> {
    let (repository, interrupt, progress) = (rewriter.repository, rewriter.interrupt, rewriter.progress);
    progress.set_totals(chosen.len() as u64, 0);
    let (mut snapshots, mut news, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    let mut originals: IdMap<Vec<&Snapshot>> = IdMap::default();
    for snapshot in all {
        let original = serde_json::from_slice::<Original<'_>>(&snapshot.plain).ok().and_then(|file| file.original);
        if let Some(original) = original.and_then(Id::from_hex) {
            originals.entry(original).or_default().push(snapshot);
        }
    }
    for snapshot in chosen {
        interrupt.check()?;
        editor.begin(&snapshot.id);
        let changed = rewriter.rewrite(snapshot.file.tree, editor, None)?;
        let mut preview =
            SnapshotPreview { id: snapshot.id, outcome: Outcome::Same, paths: editor.paths(), files: 0, bytes: 0 };
        match changed {
            None => {
                preview.outcome = Outcome::Lost(format!("its root, tree {}, cannot be read", snapshot.file.tree));
                lost.push(snapshot.id);
            }
            Some((tree, held)) => {
                (preview.files, preview.bytes) = (held.files, held.bytes);
                let told = |source| repository.told(FileKind::Snapshot, &snapshot.id, source);
                if let Some(value) = changed_file(&snapshot, tree, held, facts).map_err(told)? {
                    let value = finished(value, &snapshot, tag, old);
                    let says_so =
                        |plain: &[u8]| serde_json::from_slice::<Value>(plain).is_ok_and(|other| other == value);
                    let of_this = originals.get(&snapshot.id).into_iter().flatten();
                    let there = of_this.copied().find(|other| says_so(&other.plain));
                    preview.outcome = there.map_or(Outcome::Replaced, |there| Outcome::Already(there.id));
                    let plain = serde_json::to_vec(&value).expect("a snapshot is JSON");
                    news.push(New { old: snapshot, tree, plain, is_there: there.is_some() });
                }
            }
        }
        snapshots.push(preview);
        progress.done(1, 0);
    }
    Ok(SnapshotPlan { snapshots, old, news, lost, lock: guard.number() })
}

/// Does what the plan says: trees, index, snapshots, and then the old ones go.
pub(in crate::maintenance) fn apply(
    mut rewriter: TreeRewriter<'_>,
    plan: SnapshotPlan,
    editor: &mut dyn SnapshotEditor,
    guard: &LockGuard,
) -> Result<Rewritten, EngineError> {
    let (repository, interrupt, progress) = (rewriter.repository, rewriter.interrupt, rewriter.progress);
    held_alone(repository, guard, plan.lock)?;
    let names = IndexWriter::new(repository, guard, interrupt).each(PACKS_UNNAMED_MAX);
    let mut repacker = Repacker::new(repository, &names);
    let mut others = plan.news.iter().filter(|new| !new.is_there && new.tree != new.old.file.tree);
    progress.set_totals(others.clone().count() as u64, 0);
    let rewritten = others.try_for_each(|new| {
        editor.begin(&new.old.id);
        let written = rewriter.rewrite(new.old.file.tree, editor, Some(&mut repacker))?;
        if written.map(|(tree, _)| tree) != Some(new.tree) {
            let source = FormatError::shape("snapshot", "it changed since the plan was made");
            return Err(repository.told(FileKind::Snapshot, &new.old.id, source));
        }
        progress.done(1, 0);
        Ok(())
    });
    repacker.end(rewritten)?;
    names.flush()?;
    progress.publishing.store(true, Ordering::Relaxed);
    let mut done = Rewritten::default();
    for new in plan.news.iter().filter(|new| !new.is_there) {
        interrupt.check()?;
        guard.check()?;
        let (id, _) = repository.file_write(FileKind::Snapshot, &new.plain, interrupt)?;
        done.written.push((id, new.old.id));
    }
    // A snapshot counts as good only when the lock was still there afterwards.
    guard.check()?;
    if plan.old == Old::Forget {
        done.forgotten = plan.news.iter().map(|new| new.old.id).chain(plan.lost).collect();
        remove(repository, FileKind::Snapshot, &done.forgotten, guard, interrupt)?;
    }
    Ok(done)
}

/// Which snapshot another took the place of: what restic notes in it.
#[derive(serde::Deserialize)]
struct Original<'a> {
    original: Option<&'a str>,
}

/// Returns the changed snapshot; none when it says the same as before.
fn changed_file(snapshot: &Snapshot, tree: Id, held: Held, facts: &NewFacts) -> Result<Option<Value>, FormatError> {
    let wrong = |error: serde_json::Error| FormatError::shape("snapshot", error);
    let before: Value = serde_json::from_slice(&snapshot.plain).map_err(wrong)?;
    let mut after = before.clone();
    after["tree"] = tree.to_hex().into();
    if let Some(host) = &facts.host {
        after["hostname"] = host.clone().into();
    }
    if let Some(time) = &facts.time {
        after["time"] = time.clone().into();
    }
    let counted = match facts.counts {
        Counts::AsTheyAre => false,
        Counts::OfChangedTrees => tree != snapshot.file.tree,
        Counts::Anew => true,
    };
    if counted {
        if !after["summary"].is_object() {
            after["summary"] = json!({});
        }
        after["summary"]["total_files_processed"] = held.files.into();
        after["summary"]["total_bytes_processed"] = held.bytes.into();
    }
    Ok((after != before).then_some(after))
}

/// Returns the snapshot with what restic says of one that takes another's place.
fn finished(mut value: Value, snapshot: &Snapshot, tag: &str, old: Old) -> Value {
    value["original"] = snapshot.id.to_hex().into();
    if old == Old::Keep && !snapshot.file.tags.iter().any(|known| known == tag) {
        let mut tags = snapshot.file.tags.clone();
        tags.push(tag.to_owned());
        value["tags"] = tags.into();
    }
    value
}
