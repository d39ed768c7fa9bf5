//! A folder that is being archived: its entries, and how much of it is still under way.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::format::id::Id;
use crate::format::node::Metadata;

/// A folder under way. Whoever finishes its last part writes its tree.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// The folder above and our place among its entries; none for the root.
    pub(super) above: Option<(Arc<Folder>, usize)>,
    /// The tree that the parent snapshot has for it.
    pub(super) parent_tree: Option<Id>,
    /// Its entries, sorted by the bytes of their names; set once, by the worker that lists it.
    pub(super) entries: OnceLock<Vec<Entry>>,
    /// Whether it was not there any more when it was to be listed: a state without it is a state that was.
    gone: AtomicBool,
    /// Parts under way: its own listing, its batches of files, its folders.
    parts: AtomicUsize,
}

/// An entry of a folder under way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    pub(super) metadata: Metadata,
    /// What became of it; not set for what is not saved.
    pub(super) saved: OnceLock<Saved>,
}

/// What an entry became.
#[derive(Debug)]
pub(super) enum Saved {
    /// A regular file: its blobs, and how many bytes were read.
    File(Box<[Id]>, u64),
    /// A folder: its tree.
    Dir(Id),
    /// A symbolic link: where it leads.
    Symlink(Box<[u8]>),
}

/// Something that a worker can take.
#[derive(Debug)]
pub(super) enum Task {
    /// List a folder.
    List(Arc<Folder>),
    /// Read these files of a folder.
    Read(Arc<Folder>, Vec<usize>),
}

impl Folder {
    pub(super) fn new(path: PathBuf, above: Option<(Arc<Folder>, usize)>, parent_tree: Option<Id>) -> Arc<Self> {
        let (gone, parts) = (AtomicBool::new(false), AtomicUsize::new(1));
        Arc::new(Self { path, above, parent_tree, entries: OnceLock::new(), gone, parts })
    }

    /// Says that more parts are under way, before they are.
    pub(super) fn expect(&self, parts: usize) {
        self.parts.fetch_add(parts, Ordering::SeqCst);
    }

    /// Says that a part is done; true for the last.
    pub(super) fn part_done(&self) -> bool {
        self.parts.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Says that it is not there any more.
    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Returns the entries; none before they are listed.
    pub(super) fn entries(&self) -> &[Entry] {
        self.entries.get().map_or(&[], Vec::as_slice)
    }
}
