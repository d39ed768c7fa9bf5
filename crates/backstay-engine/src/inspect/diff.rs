//! What differs between two trees.

use backstay_storage::ReadCache;

use super::entry::{Entries, Entry, read_tree};
use crate::browse::join;
use crate::error::EngineError;
use crate::format::id::{Id, IdSet};
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::repository::{BlobReader, Repository};

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root, with a leading `/`, and a `/` at the end of a folder.
    pub path: Vec<u8>,
    /// `+` only in the second, `-` only in the first, `T` another kind, `M` other bytes, `?` other bytes and all else the
    /// same, `U` other metadata.
    pub modifier: &'static str,
}

/// What is only in one of the two.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub dirs: u64,
    /// Links, devices and the like.
    pub others: u64,
    /// Blobs of files.
    pub data_blobs: u64,
    /// Blobs of folders.
    pub tree_blobs: u64,
    /// Their bytes, plain.
    pub bytes: u64,
}

/// The whole difference in numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Files with other bytes.
    pub changed_files: u64,
    /// What the second has.
    pub added: Side,
    /// What the first has.
    pub removed: Side,
}

/// Whether entries that differ in metadata alone are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// They are.
    Tell,
    /// They are not.
    Ignore,
}

/// Blobs of one side.
#[derive(Debug, Default)]
struct Blobs {
    data: IdSet,
    trees: IdSet,
}

impl Blobs {
    fn add(&mut self, entry: &Entry) {
        if entry.is_file() {
            self.data.extend(&entry.content);
        }
        self.trees.extend(entry.subtree.filter(|_| entry.is_dir()));
    }
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    First,
    Second,
}

struct Comparison<'a, 'b> {
    repository: &'a Repository,
    blobs: &'a mut BlobReader<'b>,
    metadata: Metadata,
    interrupt: &'a Interrupt,
    each: &'a mut dyn FnMut(Change),
    totals: Totals,
    first: Blobs,
    second: Blobs,
    common: Blobs,
    work: Vec<Work>,
}

/// What is still to be compared: a pair of folders, or a folder that one side alone has.
enum Work {
    Pair(Vec<u8>, Id, Id),
    Same(Id),
    Only(Of, Vec<u8>, Id),
    Told(Change),
}

/// Compares two trees and hands each difference to `each`, in the order of paths.
///
/// # Errors
/// [`EngineError`] when a tree cannot be read: half a comparison would be a wrong one.
pub fn compare(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    trees: [Id; 2],
    metadata: Metadata,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(Change),
) -> Result<Totals, EngineError> {
    let mut all = Comparison {
        repository,
        blobs,
        metadata,
        interrupt,
        each,
        totals: Totals::default(),
        first: Blobs::default(),
        second: Blobs::default(),
        common: Blobs::default(),
        work: vec![Work::Pair(Vec::new(), trees[0], trees[1])],
    };
    all.first.trees.insert(trees[0]);
    all.second.trees.insert(trees[1]);
    while let Some(work) = all.work.pop() {
        all.interrupt.check()?;
        match work {
            Work::Told(change) => (all.each)(change),
            Work::Pair(path, first, second) => all.pair(&path, first, second)?,
            Work::Same(tree) => all.same(tree)?,
            Work::Only(of, path, tree) => all.only(of, &path, tree)?,
        }
    }
    all.sum()
}

impl Comparison<'_, '_> {
    fn entries(&mut self, tree: &Id) -> Result<Entries, EngineError> {
        read_tree(self.repository, self.blobs, tree)
    }

    fn pair(&mut self, path: &[u8], first: Id, second: Id) -> Result<(), EngineError> {
        let (mut ours, mut theirs) = (self.entries(&first)?, self.entries(&second)?);
        let (mut a, mut b) = (ours.next().transpose()?, theirs.next().transpose()?);
        // What is found waits on the stack, last first, so that a folder's own differences follow it at once.
        let mut found = Vec::new();
        loop {
            let order = match (&a, &b) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.name.cmp(&b.name),
            };
            let one = if order.is_le() { std::mem::replace(&mut a, ours.next().transpose()?) } else { None };
            let other = if order.is_ge() { std::mem::replace(&mut b, theirs.next().transpose()?) } else { None };
            match (one, other) {
                (Some(one), Some(other)) => self.both(path, &one, &other, &mut found),
                (Some(one), None) => self.one(Of::First, path, &one, &mut found),
                (None, Some(other)) => self.one(Of::Second, path, &other, &mut found),
                (None, None) => {}
            }
        }
        self.work.extend(found.into_iter().rev());
        Ok(())
    }

    fn both(&mut self, folder: &[u8], a: &Entry, b: &Entry, found: &mut Vec<Work>) {
        self.first.add(a);
        self.second.add(b);
        let path = join(folder, &a.name);
        let other_kind = a.shown.kind != b.shown.kind;
        let other_bytes = a.is_file() && b.is_file() && a.content != b.content;
        let same = || a.same_but_content(b);
        let modifier = match () {
            () if other_bytes => {
                self.totals.changed_files += 1;
                if same() { "M?" } else { "M" }
            }
            () if self.metadata == Metadata::Tell && (!same() || a.content != b.content) => {
                if other_kind {
                    "TU"
                } else {
                    "U"
                }
            }
            () if other_kind => "T",
            () => "",
        };
        if !modifier.is_empty() {
            found.push(Work::Told(Change { path: told(&path, b), modifier }));
        }
        if let (true, true, Some(first), Some(second)) = (a.is_dir(), b.is_dir(), a.subtree, b.subtree) {
            found.push(if first == second { Work::Same(first) } else { Work::Pair(path, first, second) });
        }
    }

    fn one(&mut self, of: Of, folder: &[u8], entry: &Entry, found: &mut Vec<Work>) {
        let path = join(folder, &entry.name);
        let (side, blobs, modifier) = match of {
            Of::First => (&mut self.totals.removed, &mut self.first, "-"),
            Of::Second => (&mut self.totals.added, &mut self.second, "+"),
        };
        match () {
            () if entry.is_file() => side.files += 1,
            () if entry.is_dir() => side.dirs += 1,
            () => side.others += 1,
        }
        blobs.add(entry);
        found.push(Work::Told(Change { path: told(&path, entry), modifier }));
        if let (true, Some(tree)) = (entry.is_dir(), entry.subtree) {
            found.push(Work::Only(of, path, tree));
        }
    }

    fn only(&mut self, of: Of, path: &[u8], tree: Id) -> Result<(), EngineError> {
        let mut found = Vec::new();
        for entry in self.entries(&tree)? {
            let entry = entry?;
            self.one(of, path, &entry, &mut found);
        }
        self.work.extend(found.into_iter().rev());
        Ok(())
    }

    /// Collects the blobs of a folder that both have: they count for neither.
    fn same(&mut self, tree: Id) -> Result<(), EngineError> {
        if !self.common.trees.insert(tree) {
            return Ok(());
        }
        for entry in self.entries(&tree)? {
            let entry = entry?;
            if entry.is_file() {
                self.common.data.extend(&entry.content);
            }
            self.work.extend(entry.subtree.filter(|_| entry.is_dir()).map(Work::Same));
        }
        Ok(())
    }

    fn sum(self) -> Result<Totals, EngineError> {
        let mut totals = self.totals;
        let places = BlobReader::new(self.repository, self.blobs.index(), ReadCache::Use, self.interrupt);
        let sides = [(&mut totals.removed, &self.first, &self.second), (&mut totals.added, &self.second, &self.first)];
        for (side, own, other) in sides {
            for id in own.data.iter().filter(|id| !other.data.contains(*id) && !self.common.data.contains(*id)) {
                side.data_blobs += 1;
                side.bytes += places.find(BlobKind::Data, id)?.plain_bytes();
            }
            for id in own.trees.iter().filter(|id| !other.trees.contains(*id) && !self.common.trees.contains(*id)) {
                side.tree_blobs += 1;
                side.bytes += places.find(BlobKind::Tree, id)?.plain_bytes();
            }
        }
        Ok(totals)
    }
}

/// Returns a path as it is told.
fn told(path: &[u8], entry: &Entry) -> Vec<u8> {
    let end: &[u8] = if entry.is_dir() { b"/" } else { b"" };
    [b"/", path, end].concat()
}
