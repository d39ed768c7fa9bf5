//! A folder that is being archived: its entries, and how much of it is still under way.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::roots::Place;
use crate::browse::join;
use crate::format::id::Id;
use crate::format::node::{ExtendedAttribute, Metadata, NodeKind};
use crate::system::{System, SystemCall};

/// Most bytes of a path that is opened in one call: below PATH_MAX, with room for a name.
const STEP_BYTES_MAX: usize = 3_800;

/// A folder under way. Whoever finishes its last part writes its tree.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) origin: Origin,
    /// The folder above and our place among its entries; none for the snapshot's own root.
    pub(super) above: Option<(Arc<Folder>, usize)>,
    /// The tree that the parent snapshot has for it.
    pub(super) parent_tree: Option<Id>,
    /// Its entries, sorted by the bytes of their names; set once, by the worker that lists it.
    pub(super) entries: OnceLock<Vec<Entry>>,
    /// Folders above it in the snapshot.
    pub(super) depth: usize,
    /// Whether it was not there any more when it was to be listed: it is named then, and has no place in the snapshot.
    gone: AtomicBool,
    /// Parts under way: its own listing, its batches of files, its folders.
    parts: AtomicUsize,
}

/// Where a folder's entries come from.
#[derive(Debug)]
pub(super) enum Origin {
    /// From what the backup was told: roots, and folders on the way to them.
    Told(BTreeMap<Vec<u8>, Place>),
    /// From a root on disk.
    Root(Box<Root>),
    /// From the folder of its name in the one above.
    Below,
}

/// A root that is a folder.
#[derive(Debug)]
pub(super) struct Root {
    /// As it was told.
    pub(super) path: PathBuf,
    /// From `/` on, for patterns.
    pub(super) absolute: Vec<u8>,
    /// The device that the backup stays on when it stays on one.
    pub(super) device: u64,
    /// Whether the caller named it.
    pub(super) named: bool,
    /// Held open once it is: whatever is put in its place while it is read is not taken for it.
    pub(super) opened: OnceLock<Arc<OwnedFd>>,
}

/// An entry of a folder under way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    pub(super) kind: NodeKind,
    pub(super) metadata: Metadata,
    /// Its extended attributes; not set for a file before it is read.
    pub(super) attributes: OnceLock<Box<[ExtendedAttribute]>>,
    /// What became of it; not set for what is not saved.
    pub(super) saved: OnceLock<Saved>,
}

/// What an entry became.
#[derive(Debug, Clone)]
pub(super) enum Saved {
    /// A regular file: its blobs, and how many bytes were read.
    File(Blobs, u64),
    /// A folder: its tree.
    Dir(Id),
    /// A symbolic link: where it leads.
    Symlink(Box<[u8]>),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A device that is read by characters.
    CharDevice,
    /// A device that is read by blocks.
    BlockDevice,
}

/// The blobs of a file. Most files have one or none, which then lie in the entry itself: a folder can have a million.
#[derive(Debug, Clone)]
pub(super) enum Blobs {
    /// None, or one.
    Few(Option<Id>),
    /// Any number.
    Many(Arc<[Id]>),
}

impl From<&[Id]> for Blobs {
    fn from(blobs: &[Id]) -> Self {
        match blobs {
            [] => Self::Few(None),
            [one] => Self::Few(Some(*one)),
            many => Self::Many(many.into()),
        }
    }
}

impl From<Vec<Id>> for Blobs {
    fn from(blobs: Vec<Id>) -> Self {
        Self::from(&*blobs)
    }
}

impl std::ops::Deref for Blobs {
    type Target = [Id];

    fn deref(&self) -> &[Id] {
        match self {
            Self::Few(few) => few.as_slice(),
            Self::Many(many) => many,
        }
    }
}

/// Something that a worker can take.
#[derive(Debug)]
pub(super) enum Task {
    /// List a folder.
    List(Arc<Folder>),
    /// Read these files of a folder.
    Read(Arc<Folder>, Vec<usize>),
}

/// A folder's own place on disk, open where it is one.
#[derive(Debug)]
pub(super) enum Opened {
    /// The folder.
    Folder(OwnedFd),
    /// Nothing: its entries are paths that the backup was told.
    Told,
}

impl Folder {
    pub(super) fn new(origin: Origin, above: Option<(Arc<Folder>, usize)>, parent_tree: Option<Id>) -> Arc<Self> {
        let depth = above.as_ref().map_or(0, |(above, _)| above.depth + 1);
        let (gone, parts) = (AtomicBool::new(false), AtomicUsize::new(1));
        Arc::new(Self { origin, above, parent_tree, entries: OnceLock::new(), depth, gone, parts })
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

    /// Returns the root that it lies in, and the path from there; none for what lies above all roots.
    pub(super) fn root(&self) -> Option<(&Root, Vec<u8>)> {
        let (mut folder, mut names) = (self, Vec::new());
        let root = loop {
            match (&folder.origin, &folder.above) {
                (Origin::Root(root), _) => break root,
                (Origin::Below, Some((above, place))) => {
                    names.push(&*above.entries()[*place].name);
                    folder = above;
                }
                _ => return None,
            }
        };
        names.reverse();
        Some((root, names.join(&b'/')))
    }

    /// Returns its path from `/` on, for patterns.
    pub(super) fn absolute(&self) -> Vec<u8> {
        self.root().map_or_else(Vec::new, |(root, below)| match &*below {
            b"" => root.absolute.clone(),
            below if root.absolute == b"/" => [b"/", below].concat(),
            below => join(&root.absolute, below),
        })
    }

    /// Returns the path of an entry, for a person and for calls that take whole paths.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        match (&self.origin, self.root()) {
            (Origin::Told(places), _) => places.get(name).map_or_else(PathBuf::new, |place| place.path().clone()),
            (_, Some((root, below))) => root.path.join(OsStr::from_bytes(&below)).join(OsStr::from_bytes(name)),
            (_, None) => PathBuf::from(OsStr::from_bytes(name)),
        }
    }

    /// Returns its own path, for a person.
    pub(super) fn path(&self) -> PathBuf {
        match self.root() {
            Some((root, below)) if below.is_empty() => root.path.clone(),
            Some((root, below)) => root.path.join(OsStr::from_bytes(&below)),
            None => PathBuf::from("/"),
        }
    }

    /// Returns its own name in the folder above; an empty one for the snapshot's root.
    pub(super) fn name(&self) -> &[u8] {
        self.above.as_ref().map_or(b"", |(above, place)| &above.entries()[*place].name)
    }

    /// Opens it below its root that is held open, following no link: what is put in the place of the root, or of a folder
    /// on the way, is not read for it.
    pub(super) fn open(&self, system: &System) -> Result<Opened, Errno> {
        let Some((root, below)) = self.root() else { return Ok(Opened::Told) };
        system.before(SystemCall::Open, self.name())?;
        let held = match root.opened.get() {
            Some(held) => held,
            None => {
                let held = Arc::new(open_root(&root.path, OFlags::NOFOLLOW)?);
                root.opened.get_or_init(|| held)
            }
        };
        open_beneath(held, &below).map(Opened::Folder)
    }
}

impl Drop for Folder {
    /// Lets the folders above go one by one: thousands of them, each dropped by the one below, would need a stack as
    /// deep.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some((folder, _)) = above {
            above = Arc::into_inner(folder).and_then(|mut folder| folder.above.take());
        }
    }
}

/// Opens a root.
pub(super) fn open_root(path: &std::path::Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// Opens a folder beneath another, in steps where the path is longer than the system takes.
fn open_beneath(root: &OwnedFd, below: &[u8]) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (mut held, mut rest) = (None, below);
    while rest.len() > STEP_BYTES_MAX {
        let cut = rest[..STEP_BYTES_MAX].iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
        let from = held.as_ref().unwrap_or(root);
        held = Some(rustix::fs::openat2(from, &rest[..cut], flags | OFlags::PATH, Mode::empty(), resolve)?);
        rest = &rest[cut + 1..];
    }
    let rest = if rest.is_empty() { b"." } else { rest };
    rustix::fs::openat2(held.as_ref().unwrap_or(root), rest, flags | OFlags::RDONLY, Mode::empty(), resolve)
}
