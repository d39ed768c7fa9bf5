//! Listing a folder: names, metadata, what the parent snapshot has, and what must be read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::Bearer;
use super::close::TREE_PIECE_BYTES;
use super::counters::add;
use super::exclude::Scope;
use super::files::vanished;
use super::folder::{Entry, FileContent, Folder, Listing, Opened, Origin, Root, Saved, SharedMetadata, Task};
use super::options::{AccessTimes, ChangeRule};
use super::roots::Place;
use super::run::Worker;
use crate::browse::DEPTH_MAX;
use crate::format::id::Id;
use crate::format::node::{ExtendedAttribute, Metadata, Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::format::time::FileTime;
use crate::format::tree::{self, TreeReader};
use crate::system::SystemCall;

/// Files of one batch: enough that opening their folder again costs nothing, few enough that workers share a folder.
const BATCH_FILES_MAX: usize = 128;

/// Bytes of one batch, for the same reason.
const BATCH_BYTES_MAX: u64 = 32 << 20;

/// Folders among entries that come from what the backup was told, by name: where their own entries come from.
type Origins = BTreeMap<Box<[u8]>, Origin>;

/// What the parent snapshot has of a folder.
enum Before {
    /// Nothing, or nothing that can be read.
    Nothing,
    /// The text of its tree.
    Small(Vec<u8>),
    /// A tree that is too large to be held whole.
    Large(Box<TreeReader>),
}

/// What was found among the entries of a folder: folders with their trees in the parent, and files that must be read,
/// with whether the parent has them.
#[derive(Default)]
struct Found {
    folders: Vec<(usize, Option<Id>)>,
    to_read: Vec<(usize, bool)>,
}

/// Says whether an error means that the name is there no more. A name that is something else now is not gone: it was
/// never missing, so a state without it never was.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOENT.raw_os_error())
}

/// Returns the metadata that a tree stores.
pub(crate) fn metadata_of(stat: &Stat) -> Metadata {
    metadata_with(stat, AccessTimes::Left)
}

fn metadata_with(stat: &Stat, access_times: AccessTimes) -> Metadata {
    let time = |seconds, nanoseconds| FileTime { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) };
    let modified = time(stat.st_mtime, stat.st_mtime_nsec);
    Metadata {
        mode: stat.st_mode & 0o7777,
        modified,
        accessed: match access_times {
            AccessTimes::Left => modified,
            AccessTimes::Kept => time(stat.st_atime, stat.st_atime_nsec),
        },
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
        uid: stat.st_uid,
        gid: stat.st_gid,
        inode: stat.st_ino,
        device_id: stat.st_dev,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        links: stat.st_nlink as _,
        device: stat.st_rdev,
    }
}

/// Returns what a tree calls a sort of entry.
const fn kind_of(kind: FileType) -> NodeKind {
    match kind {
        FileType::RegularFile => NodeKind::File,
        FileType::Directory => NodeKind::Dir,
        FileType::Symlink => NodeKind::Symlink,
        FileType::Fifo => NodeKind::Fifo,
        FileType::Socket => NodeKind::Socket,
        FileType::CharacterDevice => NodeKind::CharDevice,
        FileType::BlockDevice => NodeKind::BlockDevice,
        FileType::Unknown => NodeKind::Other,
    }
}

/// Says whether an entry of a folder is one of the roots that the backup was told.
fn is_root(folder: &Folder, name: &[u8]) -> bool {
    matches!(&folder.origin, Origin::Told(places) if matches!(places.get(name), Some(Place::Root { .. })))
}

/// Says whether a root's own metadata is as the parent has it: the change of its inode tells of all that is not compared.
fn is_same_root(entry: &Entry, before: &Node<'_>) -> bool {
    let (now, then) = (entry.metadata.get(), &before.metadata);
    before.kind == entry.kind
        && (now.mode, now.uid, now.gid) == (then.mode, then.uid, then.gid)
        && (now.modified, now.changed) == (then.modified, then.changed)
}

impl Worker<'_> {
    /// Lists a folder, takes unchanged files from the parent, and queues what is left.
    pub(super) fn list(&mut self, folder: &Arc<Folder>) {
        let (opened, listing, mut origins) = match self.open_and_read(folder) {
            Ok(found) => found,
            Err(error) => {
                if let Origin::Root(root) = &folder.origin {
                    self.run.root_failed(&root.path, root.named, error);
                } else if is_gone(&error) {
                    folder.set_gone();
                    self.run.unread(&folder.path(), &vanished());
                } else {
                    self.run.unread(&folder.path(), &error);
                }
                (Opened::Told, Listing::default(), Origins::new())
            }
        };
        let mut found = Found::default();
        match self.parent_tree(folder) {
            Before::Nothing => {
                for (place, entry) in listing.entries().iter().enumerate() {
                    self.meet(folder, &opened, place, (listing.name(entry), entry), None, &mut found);
                }
            }
            Before::Small(text) => {
                let parent = tree::read(&text).unwrap_or_default();
                let mut parent = parent.iter().peekable();
                for (place, entry) in listing.entries().iter().enumerate() {
                    let name = listing.name(entry);
                    while parent.next_if(|node| *node.name < *name).is_some() {}
                    let before = parent.next_if(|node| *node.name == *name);
                    self.meet(folder, &opened, place, (name, entry), before, &mut found);
                }
            }
            Before::Large(mut tree) => {
                for (place, entry) in listing.entries().iter().enumerate() {
                    let name = listing.name(entry);
                    // What cannot be read of it is not there: its files are read again.
                    let before = tree.find(name).unwrap_or_default();
                    self.meet(folder, &opened, place, (name, entry), before.as_ref(), &mut found);
                }
            }
        }
        let Found { folders, to_read } = found;
        // Whoever takes them needs the parent's trees of them. What goes wrong is met again there.
        if let Err(error) = self.blobs.fetch_new_trees_ahead(folders.iter().filter_map(|(_, tree)| tree.as_ref())) {
            tracing::debug!(error = %error, "trees of the parent snapshot could not be fetched ahead");
        }
        let folders = folders
            .into_iter()
            .map(|(place, tree)| {
                let name = listing.name(&listing.entries()[place]);
                (place, origins.remove(name).unwrap_or(Origin::Below), tree)
            })
            .collect();
        let added = to_read.iter().filter(|(_, known)| !known).count();
        add(&self.run.counters.files_new, added as u64);
        add(&self.run.counters.files_changed, (to_read.len() - added) as u64);
        self.queue(folder, listing, folders, &to_read);
    }

    /// Decides what becomes of an entry, by what the parent has of it.
    fn meet(
        &mut self,
        folder: &Folder,
        opened: &Opened,
        place: usize,
        (name, entry): (&[u8], &Entry),
        before: Option<&Node<'_>>,
        found: &mut Found,
    ) {
        match entry.kind {
            NodeKind::Dir => found.folders.push((place, before.and_then(|node| node.subtree))),
            NodeKind::File => match before.and_then(|node| self.unchanged(entry, node)) {
                Some(saved) => self.take_unchanged(entry, saved),
                // A file's attributes are read with it.
                None => return found.to_read.push((place, before.is_some())),
            },
            _ => {}
        }
        if is_root(folder, name) && !before.is_some_and(|node| is_same_root(entry, node)) {
            add(&self.run.counters.roots_changed, 1);
        }
        // Of what the backup was told, an older version asked a link instead of the folder behind it.
        let trusted = before.filter(|_| !matches!(folder.origin, Origin::Told(_)));
        let attributes = trusted.and_then(|node| self.attributes_before(entry, node));
        let attributes = attributes.unwrap_or_else(|| self.attributes_of(folder, opened, name));
        entry.attributes_set(attributes);
    }

    /// Publishes a folder's entries to the other workers and queues its parts: files first, so that folders, last in,
    /// are taken first and the walk stays ahead of the reading.
    fn queue(
        &self,
        folder: &Arc<Folder>,
        listing: Listing,
        folders: Vec<(usize, Origin, Option<Id>)>,
        to_read: &[(usize, bool)],
    ) {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut bytes = u64::MAX;
        for (place, _) in to_read {
            let size = listing.entries()[*place].metadata.size;
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH_FILES_MAX && bytes.saturating_add(size) <= BATCH_BYTES_MAX => {
                    batch.push(*place);
                    bytes += size;
                }
                _ => {
                    batches.push(vec![*place]);
                    bytes = size;
                }
            }
        }
        folder.expect(batches.len() + folders.len());
        folder.listing.set(listing).expect("a folder is listed once");
        let below = |(place, origin, tree)| Task::List(Folder::new(origin, Some((Arc::clone(folder), place)), tree));
        let lists: Vec<Task> = folders.into_iter().map(below).collect();
        let reads = batches.into_iter().map(|batch| Task::Read(Arc::clone(folder), batch));
        self.run.queue.push(reads.chain(lists.into_iter().rev()));
    }

    fn open_and_read(&self, folder: &Folder) -> io::Result<(Opened, Listing, Origins)> {
        if folder.depth >= DEPTH_MAX {
            return Err(io::Error::other(format!(
                "it lies deeper than {DEPTH_MAX} folders, which cannot be read back"
            )));
        }
        let opened = folder.open(&self.run.options.system)?;
        let (listing, origins) = match (&opened, &folder.origin) {
            (Opened::Folder(fd), _) => (self.read_folder(folder, fd)?, Origins::new()),
            (Opened::Told, Origin::Told(places)) => self.look_at_told(places),
            (Opened::Told, _) => Default::default(),
        };
        Ok((opened, listing, origins))
    }

    /// Returns the entries of a folder that are saved, sorted by the bytes of their names.
    fn read_folder(&self, folder: &Folder, fd: &OwnedFd) -> io::Result<Listing> {
        let (mut listing, mut shared) = (Listing::default(), SharedMetadata::default());
        let mut scope = self.run.options.excludes.within(|| folder.absolute());
        if let Some(scope) = &mut scope {
            let device = folder.root().map_or(0, |(root, _)| root.device);
            scope.look(fd, device, &mut |name, error| self.run.unread(&folder.path_of(name), &error));
        }
        let (system, shown) = (&self.run.options.system, folder.name());
        system.before(SystemCall::List, shown)?;
        for entry in Dir::read_from(fd)? {
            // A folder can have millions of entries; what is not listed to its end is not saved when the run ends here.
            if self.run.stopped() {
                break;
            }
            system.before(SystemCall::List, shown)?;
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = Path::new(OsStr::from_bytes(name.to_bytes()));
            match self.look(fd, name.to_bytes(), path, scope.as_ref(), &mut shared) {
                Ok(None) => {}
                Ok(Some(found)) => listing.push(name.to_bytes(), found)?,
                // It was renamed or removed between two entries of the list, and all that is in it would be missing.
                Err(Errno::NOENT) if entry.file_type() == FileType::Directory => {
                    self.run.unread(&folder.path_of(name.to_bytes()), &vanished());
                }
                // Removed since the list came to its name, as restic takes it: it was not looked at yet.
                Err(Errno::NOENT) => {}
                Err(error) => self.run.unread(&folder.path_of(name.to_bytes()), &error.into()),
            }
        }
        listing.sort();
        Ok(listing)
    }

    /// Returns what one name is; none for what is left out.
    fn look(
        &self,
        fd: impl std::os::fd::AsFd,
        name: &[u8],
        path: &Path,
        scope: Option<&Scope<'_>>,
        shared: &mut SharedMetadata,
    ) -> Result<Option<Entry>, Errno> {
        if scope.is_some_and(|scope| scope.leaves_out_name(name)) {
            return Ok(None);
        }
        let system = &self.run.options.system;
        system.before(SystemCall::Stat, name)?;
        // No path is the open folder itself.
        let stat = match path.as_os_str().is_empty() {
            true => rustix::fs::fstat(&fd)?,
            false => rustix::fs::statat(&fd, path, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        if scope.is_some_and(|scope| scope.leaves_out(&stat)) {
            return Ok(None);
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let saved = match kind {
            FileType::RegularFile | FileType::Directory => OnceLock::new(),
            FileType::Symlink => {
                system.before(SystemCall::ReadLink, name)?;
                Saved::Symlink(rustix::fs::readlinkat(&fd, path, Vec::new())?.into_bytes().into()).into()
            }
            FileType::Fifo => Saved::Fifo.into(),
            FileType::Socket => Saved::Socket.into(),
            FileType::CharacterDevice => Saved::CharDevice.into(),
            FileType::BlockDevice => Saved::BlockDevice.into(),
            FileType::Unknown => return Err(Errno::OPNOTSUPP),
        };
        let metadata = shared.keep(&metadata_with(&stat, self.run.options.access_times));
        Ok(Some(Entry::new(kind_of(kind), metadata, saved)))
    }

    /// Returns the entries that come from what the backup was told.
    fn look_at_told(&self, places: &BTreeMap<Vec<u8>, Place>) -> (Listing, Origins) {
        let (mut listing, mut origins) = (Listing::default(), Origins::new());
        for (name, place) in places {
            let found = self.look_at_place(place);
            let found = found.and_then(|found| {
                let Some((entry, origin)) = found else { return Ok(()) };
                origins.insert(name.as_slice().into(), origin);
                listing.push(name, entry)
            });
            match found {
                Ok(()) => {}
                Err(error) => {
                    // What lies behind it cannot be read either, and may be all that was named.
                    let named = place.named_below();
                    named.iter().for_each(|path| self.run.root_failed(path, true, error.into()));
                    if named.is_empty() {
                        self.run.root_failed(place.path(), false, error.into());
                    }
                }
            }
        }
        (listing, origins)
    }

    fn look_at_place(&self, place: &Place) -> Result<Option<(Entry, Origin)>, Errno> {
        match place {
            Place::OnTheWay { path, below } => {
                // A link on the way to a root is saved as the folder that it leads to.
                self.run.options.system.before(SystemCall::Stat, path.as_os_str().as_bytes())?;
                let stat = rustix::fs::statat(CWD, path, AtFlags::empty())?;
                let metadata = metadata_with(&stat, self.run.options.access_times);
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Err(Errno::NOTDIR);
                }
                let metadata = SharedMetadata::default().keep(&metadata);
                let entry = Entry::new(NodeKind::Dir, metadata, OnceLock::new());
                Ok(Some((entry, Origin::Told(below.clone()))))
            }
            Place::Root { path, absolute, device, named, opened } => {
                let cut = absolute.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                let (above, own_name) = (&absolute[..cut.max(1)], &absolute[cut + 1..]);
                // What was named is never left out, as with restic since 0.17; what is in it may be.
                let mut scope = match named {
                    true => None,
                    false => self.run.options.excludes.within(|| above.to_vec()),
                };
                if let Some(scope) = &mut scope {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let above = rustix::fs::openat(CWD, above, flags, Mode::empty())?;
                    let complain = &mut |_: &[u8], error| self.run.unread(path, &error);
                    scope.look(&above, *device, complain);
                }
                let shared = &mut SharedMetadata::default();
                let found = match opened {
                    Some(held) => self.look(held, own_name, Path::new(""), scope.as_ref(), shared),
                    None => self.look(CWD, own_name, path, scope.as_ref(), shared),
                }?;
                let origin = Origin::Root(Box::new(Root {
                    path: path.clone(),
                    absolute: absolute.clone(),
                    device: *device,
                    named: *named,
                    opened: opened.clone().map_or_else(OnceLock::new, OnceLock::from),
                }));
                Ok(found.map(|found| (found, origin)))
            }
        }
    }

    /// Returns what the parent snapshot has of a folder; nothing when it cannot be read: everything is then read anew.
    fn parent_tree(&mut self, folder: &Folder) -> Before {
        let Some(tree) = &folder.parent_tree else { return Before::Nothing };
        let read = self.blobs.find(BlobKind::Tree, tree).and_then(|place| {
            if place.plain_bytes() <= TREE_PIECE_BYTES as u64 {
                return self.blobs.read(BlobKind::Tree, tree).map(Before::Small);
            }
            match self.blobs.read_packed(BlobKind::Tree, tree)?.map(TreeReader::new) {
                Some(Ok(large)) => Ok(Before::Large(Box::new(large))),
                _ => self.blobs.read(BlobKind::Tree, tree).map(Before::Small),
            }
        });
        read.unwrap_or_else(|error| {
            tracing::warn!(%tree, error = %error, "a tree of the parent snapshot cannot be read; its files are read again");
            Before::Nothing
        })
    }

    /// Returns what the parent saved of a file when nothing says that it changed (restic's rule), and each of its blobs
    /// is there.
    fn unchanged(&self, entry: &Entry, before: &Node<'_>) -> Option<Saved> {
        let (now, then) = (entry.metadata.get(), &before.metadata);
        let rule = self.run.options.change_rule;
        let same = before.kind == NodeKind::File
            && now.size == then.size
            && now.modified == then.modified
            && (rule != ChangeRule::Full || now.changed == then.changed)
            && (rule == ChangeRule::IgnoreInode || now.inode == then.inode)
            && before.content.iter().all(|id| self.run.known.indexed(BlobKind::Data, id));
        same.then(|| Saved::File(FileContent::new(before.content.clone(), then.size, now.size)))
    }

    fn take_unchanged(&self, entry: &Entry, saved: Saved) {
        entry.saved.set(saved).expect("it was made here");
        add(&self.run.counters.files_unmodified, 1);
        add(&self.run.counters.bytes, entry.metadata.size);
        self.run.progress.done(1, entry.metadata.size);
    }

    /// Returns the attributes that the parent has of an entry, when they can be no others now: the system notes the change
    /// of an attribute as a change of the inode. A change so near to the parent's reading that it may bear the same
    /// moment is not trusted.
    fn attributes_before(&self, entry: &Entry, before: &Node<'_>) -> Option<Box<[ExtendedAttribute]>> {
        let (now, then) = (entry.metadata.get(), &before.metadata);
        let same = before.kind == entry.kind
            && now.inode == then.inode
            && now.device_id == then.device_id
            && now.changed == then.changed
            && now.modified == then.modified
            && self.run.attributes_until.is_some_and(|until| now.changed < until);
        same.then(|| before.extended_attributes[..].into())
    }

    /// Reads the attributes of an entry. What cannot be read is counted and named; the entry is saved without it.
    fn attributes_of(&mut self, folder: &Folder, opened: &Opened, name: &[u8]) -> Box<[ExtendedAttribute]> {
        let place = match &folder.origin {
            Origin::Told(places) => places.get(name),
            _ => None,
        };
        let bearer = match place {
            Some(Place::Root { opened: Some(held), .. }) => Bearer::Open(held),
            Some(Place::OnTheWay { path, .. }) => Bearer::Followed(path.clone()),
            _ => Bearer::entry(opened, name, || folder.path_of(name)),
        };
        self.attributes_from(folder, name, &bearer)
    }

    /// Reads the attributes of what bears them.
    pub(super) fn attributes_from(
        &mut self,
        folder: &Folder,
        name: &[u8],
        bearer: &Bearer<'_>,
    ) -> Box<[ExtendedAttribute]> {
        let unread = |words: String| self.run.unread(&folder.path_of(name), &io::Error::other(words));
        match self.attributes.read(bearer, &self.run.options.system, name) {
            Ok((attributes, words)) => {
                words.into_iter().for_each(unread);
                attributes
            }
            Err(error) => {
                unread(format!("its attributes cannot be listed: {error}"));
                Default::default()
            }
        }
    }
}
