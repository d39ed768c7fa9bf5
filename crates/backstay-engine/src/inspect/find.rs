//! Finding entries by name, and where blobs, trees and packs are used.

use super::entry::Entry;
use super::walk::{Flow, Step, walk};
use crate::error::EngineError;
use crate::format::id::{Id, IdSet};
use crate::format::time::FileTime;
use crate::interrupt::Interrupt;
use crate::pattern::Patterns;
use crate::repository::{BlobReader, Repository};
use crate::select::Snapshot;

/// What entries are looked for.
#[derive(Debug, Default)]
pub struct Names {
    /// Any of these patterns matches the path.
    pub patterns: Patterns,
    /// Not modified before.
    pub oldest: Option<FileTime>,
    /// Not modified after.
    pub newest: Option<FileTime>,
}

/// A place where something was found.
#[derive(Debug)]
pub struct Place<'a> {
    /// The path, without a leading `/`.
    pub path: &'a [u8],
    /// The entry.
    pub entry: &'a Entry,
    /// The tree that it stands in.
    pub tree: &'a Id,
}

/// Hands all entries of a snapshot that are looked for to `each`.
///
/// # Errors
/// [`EngineError`] when the storage does not answer. Folders that cannot be read are handed to `unreadable`.
pub fn by_name(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    snapshot: &Snapshot,
    names: &Names,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(Place<'_>),
    unreadable: &mut dyn FnMut(&[u8], EngineError),
) -> Result<(), EngineError> {
    walk(repository, blobs, snapshot.file.tree, interrupt, &mut |step| {
        let (path, entry, tree) = match step {
            Step::Entry { path, entry, tree } => (path, entry, tree),
            Step::Unreadable { path, error } => {
                unreadable(path, error);
                return Ok(Flow::Into);
            }
        };
        let said = names.patterns.look(path);
        if said.matched && is_of_age(names, entry) {
            each(Place { path, entry, tree });
        }
        Ok(if said.matched || said.child_may_match { Flow::Into } else { Flow::Past })
    })
}

fn is_of_age(names: &Names, entry: &Entry) -> bool {
    let modified = FileTime::read(&entry.shown.mtime).unwrap_or_default();
    names.oldest.is_none_or(|oldest| modified >= oldest) && names.newest.is_none_or(|newest| modified <= newest)
}

/// Ids that are looked for, whole or by their beginning.
#[derive(Debug, Default)]
pub struct Ids {
    /// Whole ids.
    pub whole: IdSet,
    /// Beginnings of ids, hexadecimal.
    pub beginnings: Vec<String>,
}

impl Ids {
    /// Makes it from words that somebody typed.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ids = Self::default();
        for word in words {
            match Id::from_hex(word) {
                Some(id) => {
                    ids.whole.insert(id);
                }
                None => ids.beginnings.push(word.to_ascii_lowercase()),
            }
        }
        ids
    }

    /// Says whether an id is one of them.
    pub fn takes(&self, id: &Id) -> bool {
        self.whole.contains(id)
            || !self.beginnings.is_empty() && {
                let hex = id.to_hex();
                self.beginnings.iter().any(|beginning| !beginning.is_empty() && hex.starts_with(beginning))
            }
    }
}

/// What ids are looked for in a snapshot.
#[derive(Debug, Default)]
pub struct Objects {
    /// Blobs of files.
    pub blobs: Ids,
    /// Trees.
    pub trees: Ids,
}

/// What was found.
#[derive(Debug)]
pub enum Object<'a> {
    /// A blob of a file.
    Blob(Id, Place<'a>),
    /// The tree of a folder.
    Tree(Id, Place<'a>),
    /// The tree of the root.
    Root(Id),
}

/// Hands all uses of blobs and trees in a snapshot to `each`.
///
/// # Errors
/// [`EngineError`] when the storage does not answer. Folders that cannot be read are handed to `unreadable`.
pub fn by_id(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    snapshot: &Snapshot,
    objects: &Objects,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(Object<'_>),
    unreadable: &mut dyn FnMut(&[u8], EngineError),
) -> Result<(), EngineError> {
    if objects.trees.takes(&snapshot.file.tree) {
        each(Object::Root(snapshot.file.tree));
    }
    walk(repository, blobs, snapshot.file.tree, interrupt, &mut |step| {
        match step {
            Step::Unreadable { path, error } => unreadable(path, error),
            Step::Entry { path, entry, tree } => {
                if let Some(subtree) = entry.subtree.filter(|id| entry.is_dir() && objects.trees.takes(id)) {
                    each(Object::Tree(subtree, Place { path, entry, tree }));
                }
                let blobs = entry.content.iter().filter(|id| entry.is_file() && objects.blobs.takes(id));
                blobs.for_each(|id| each(Object::Blob(*id, Place { path, entry, tree })));
            }
        }
        Ok(Flow::Into)
    })
}
