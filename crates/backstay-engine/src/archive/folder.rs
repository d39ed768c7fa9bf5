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

use super::handed::HandedBlob;
use super::roots::Place;
use crate::browse::join;
use crate::format::id::Id;
use crate::format::node::{ExtendedAttribute, Metadata, NodeKind};
use crate::format::time::FileTime;
use crate::format::tree::FILE_BLOBS_MAX;
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
    /// Its entries; set once, by the worker that lists it.
    pub(super) listing: OnceLock<Listing>,
    /// Folders above it in the snapshot.
    pub(super) depth: usize,
    /// Whether it was not there any more when it was to be listed: it is named then, and has no place in the snapshot.
    gone: AtomicBool,
    /// Parts under way: its own listing, its batches of files, its folders.
    parts: AtomicUsize,
    /// Blobs of its files that were read.
    blobs: AtomicUsize,
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

/// The entries of a folder, sorted by the bytes of their names, which lie one behind another.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    names: Vec<u8>,
}

impl Listing {
    /// Adds an entry.
    ///
    /// # Errors
    /// That there are more bytes of names than any tree can hold.
    pub(super) fn push(&mut self, name: &[u8], entry: Entry) -> Result<(), Errno> {
        let name_at = u32::try_from(self.names.len()).map_err(|_| Errno::FBIG)?;
        let name_bytes = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        self.names.extend_from_slice(name);
        self.entries.push(Entry { name_at, name_bytes, ..entry });
        Ok(())
    }

    pub(super) fn sort(&mut self) {
        let names = &self.names;
        self.entries.sort_unstable_by(|a, b| a.name_in(names).cmp(b.name_in(names)));
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        entry.name_in(&self.names)
    }
}

/// An entry of a folder under way. Its name lies in the listing.
#[derive(Debug)]
pub(super) struct Entry {
    name_at: u32,
    name_bytes: u16,
    pub(super) kind: NodeKind,
    pub(super) metadata: KeptMetadata,
    /// Its extended attributes; not set for a file before it is read.
    attributes: OnceLock<Option<Box<Attributes>>>,
    /// What became of it; not set for what is not saved.
    pub(super) saved: OnceLock<Saved>,
}

/// Extended attributes of an entry.
pub(super) type Attributes = Box<[ExtendedAttribute]>;

impl Entry {
    pub(super) fn new(kind: NodeKind, metadata: KeptMetadata, saved: OnceLock<Saved>) -> Self {
        Self { name_at: 0, name_bytes: 0, kind, metadata, attributes: OnceLock::new(), saved }
    }

    fn name_in<'n>(&self, names: &'n [u8]) -> &'n [u8] {
        &names[self.name_at as usize..][..usize::from(self.name_bytes)]
    }

    /// Sets its attributes, once.
    pub(super) fn attributes_set(&self, attributes: Attributes) {
        let attributes = (!attributes.is_empty()).then(|| Box::new(attributes));
        self.attributes.set(attributes).expect("attributes are read once");
    }

    /// Returns its attributes; none before they are set.
    pub(super) fn attributes(&self) -> &[ExtendedAttribute] {
        self.attributes.get().and_then(Option::as_deref).map_or(&[], |attributes| attributes)
    }
}

/// Metadata as a folder under way holds it, which can have a million entries: what most of them share is held once.
#[derive(Debug)]
pub(super) struct KeptMetadata {
    /// Nanoseconds since 1970; [`ELSEWHERE`] for instants that `shared` has.
    modified: i64,
    changed: i64,
    inode: u64,
    pub(super) size: u64,
    shared: Arc<Metadata>,
}

/// Stands for an instant that lies in the shared part: one of other centuries.
const ELSEWHERE: i64 = i64::MIN;

/// Stands for an access time that is the time of the modification.
const NEVER: FileTime = FileTime { seconds: i64::MIN, nanoseconds: 0 };

const NANOSECONDS: i64 = 1_000_000_000;

/// Returns an instant in one number; none when it does not fit.
fn packed(time: FileTime) -> Option<i64> {
    let packed = time.seconds.checked_mul(NANOSECONDS)?.checked_add(i64::from(time.nanoseconds))?;
    (packed != ELSEWHERE && i64::from(time.nanoseconds) < NANOSECONDS).then_some(packed)
}

fn unpacked(packed: i64, elsewhere: FileTime) -> FileTime {
    let nanoseconds = u32::try_from(packed.rem_euclid(NANOSECONDS)).unwrap_or(0);
    if packed == ELSEWHERE { elsewhere } else { FileTime { seconds: packed.div_euclid(NANOSECONDS), nanoseconds } }
}

impl KeptMetadata {
    pub(super) fn get(&self) -> Metadata {
        let modified = unpacked(self.modified, self.shared.modified);
        let changed = unpacked(self.changed, self.shared.changed);
        let accessed = if self.shared.accessed == NEVER { modified } else { self.shared.accessed };
        Metadata { modified, accessed, changed, inode: self.inode, size: self.size, ..*self.shared }
    }
}

/// What the last entries of a folder had that most of its entries share.
#[derive(Debug, Default)]
pub(super) struct SharedMetadata(Vec<Arc<Metadata>>);

impl SharedMetadata {
    /// Few enough to be looked through for each entry.
    const MAX: usize = 8;

    /// Takes in the metadata of an entry.
    pub(super) fn keep(&mut self, metadata: &Metadata) -> KeptMetadata {
        let own = Metadata::default();
        let (modified, changed) = (packed(metadata.modified), packed(metadata.changed));
        let shared = Metadata {
            modified: modified.map_or(metadata.modified, |_| own.modified),
            changed: changed.map_or(metadata.changed, |_| own.changed),
            accessed: if metadata.accessed == metadata.modified { NEVER } else { metadata.accessed },
            inode: own.inode,
            size: own.size,
            ..*metadata
        };
        let shared = match self.0.iter().find(|known| ***known == shared) {
            Some(known) => Arc::clone(known),
            None => {
                let shared = Arc::new(shared);
                if self.0.len() == Self::MAX {
                    self.0.remove(0);
                }
                self.0.push(Arc::clone(&shared));
                shared
            }
        };
        let (modified, changed) = (modified.unwrap_or(ELSEWHERE), changed.unwrap_or(ELSEWHERE));
        KeptMetadata { modified, changed, inode: metadata.inode, size: metadata.size, shared }
    }
}

#[cfg(test)]
impl From<Metadata> for KeptMetadata {
    fn from(metadata: Metadata) -> Self {
        SharedMetadata::default().keep(&metadata)
    }
}

/// What an entry became.
#[derive(Debug, Clone)]
pub(super) enum Saved {
    /// A regular file: what it holds.
    File(FileContent),
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

/// The blobs of a file, and how many bytes were read of it.
#[derive(Debug, Clone)]
pub(super) enum FileContent {
    /// No blob or one, and as many bytes as its metadata says: most files. A folder can have a million of them.
    Few(Option<Id>),
    /// All others.
    Many(Arc<(Vec<Id>, u64)>),
}

impl FileContent {
    /// Takes in the blobs of a file whose metadata says so many bytes.
    pub(super) fn new(blobs: Vec<Id>, bytes: u64, listed_bytes: u64) -> Self {
        match *blobs {
            [] if bytes == listed_bytes => Self::Few(None),
            [one] if bytes == listed_bytes => Self::Few(Some(one)),
            _ => Self::Many(Arc::new((blobs, bytes))),
        }
    }

    pub(super) fn blobs(&self) -> &[Id] {
        match self {
            Self::Few(few) => few.as_slice(),
            Self::Many(many) => &many.0,
        }
    }

    /// Returns how many bytes were read of a file whose metadata says so many.
    pub(super) fn bytes(&self, listed_bytes: u64) -> u64 {
        match self {
            Self::Few(_) => listed_bytes,
            Self::Many(many) => many.1,
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
    /// Save a blob of a large file that another worker reads.
    Save(HandedBlob),
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
        let (gone, parts, blobs) = (AtomicBool::new(false), AtomicUsize::new(1), AtomicUsize::new(0));
        Arc::new(Self { origin, above, parent_tree, listing: OnceLock::new(), depth, gone, parts, blobs })
    }

    /// Says that more parts are under way, before they are.
    pub(super) fn expect(&self, parts: usize) {
        self.parts.fetch_add(parts, Ordering::SeqCst);
    }

    /// Says that a part is done; true for the last.
    pub(super) fn part_done(&self) -> bool {
        self.parts.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Says whether so many more blobs of its files can be named in its tree.
    pub(super) fn has_room_for(&self, blobs: usize) -> bool {
        self.blobs.load(Ordering::Relaxed).saturating_add(blobs) <= FILE_BLOBS_MAX
    }

    /// Takes room for the blobs of a file that was read; false when there is not enough.
    pub(super) fn take_room_for(&self, blobs: usize) -> bool {
        let has_room = self.blobs.fetch_add(blobs, Ordering::Relaxed).saturating_add(blobs) <= FILE_BLOBS_MAX;
        if !has_room {
            self.blobs.fetch_sub(blobs, Ordering::Relaxed);
        }
        has_room
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
        self.listing.get().map_or(&[], Listing::entries)
    }

    /// Returns the name of one of its entries.
    pub(super) fn name_of(&self, entry: &Entry) -> &[u8] {
        self.listing.get().map_or(b"", |listing| listing.name(entry))
    }

    /// Returns the root that it lies in, and the path from there; none for what lies above all roots.
    pub(super) fn root(&self) -> Option<(&Root, Vec<u8>)> {
        let (mut folder, mut names) = (self, Vec::new());
        let root = loop {
            match (&folder.origin, &folder.above) {
                (Origin::Root(root), _) => break root,
                (Origin::Below, Some((above, place))) => {
                    names.push(above.name_of(&above.entries()[*place]));
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
        self.above.as_ref().map_or(b"", |(above, place)| above.name_of(&above.entries()[*place]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_kept_as_it_is() {
        let time = |seconds, nanoseconds| FileTime { seconds, nanoseconds };
        let times = [
            time(0, 0),
            time(1_763_744_000, 999_999_999),
            time(-1, 1),
            time(-9_223_372_037, 145_224_192),
            time(-9_223_372_037, 145_224_191),
            time(9_223_372_036, 854_775_807),
            time(9_223_372_036, 854_775_808),
            time(i64::MAX, 5),
            time(i64::MIN, 7),
        ];
        let mut shared = SharedMetadata::default();
        for (at, modified) in times.into_iter().enumerate() {
            for (inode, changed) in (1u64..).zip(times) {
                for accessed in [modified, changed, time(5, 5)] {
                    let mode = 0o600 + at as u32;
                    let metadata =
                        Metadata { mode, modified, accessed, changed, inode, size: inode * 3, ..Metadata::default() };
                    assert_eq!(shared.keep(&metadata).get(), metadata);
                }
            }
        }
        assert_eq!(shared.0.len(), SharedMetadata::MAX);
    }

    #[test]
    fn an_entry_takes_what_is_promised() {
        assert_eq!(size_of::<Entry>(), 112);
    }
}
