//! Making a plan: one walk over the trees, one look at the target for each entry that may be there. Nothing is changed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use backstay_core::managers::job::chain;
use backstay_storage::ReadCache;
use rustix::fs::{FileType, Stat};

use super::options::{Owners, Reconcile, RestoreOptions, Special};
use super::plan::{Action, Entry, Extra, NewEntry, Part, ROOT, RestorePlan};
use super::target::{Target, shown};
use crate::blob::TREES_AHEAD;
use crate::browse::{DEPTH_MAX, find, tree_entries};
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::index::Index;
use crate::format::node::{Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::format::time::FileTime;
use crate::interrupt::Interrupt;
use crate::pattern::Match;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};
use crate::system::SystemCall;

/// Bytes that a file system takes as a name, everywhere on Linux.
const NAME_BYTES_MAX: usize = 255;

/// What is told of an entry with a longer one.
const LONG_NAME: &str = "its name has more bytes than a file system takes";

/// What is behind the name of what is restored beside something.
const RENAMED: &[u8] = b".restored";

/// Names that are tried beside something before it is given up.
const RENAMES_MAX: u32 = 10_000;

/// The attribute that lends rights to a program.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// Walks a snapshot and decides what happens to each entry. `target` is none when it is not there, or holds nothing.
pub(super) fn decide(
    repository: &Repository,
    index: &Index,
    options: &RestoreOptions<'_>,
    target: Option<&Target>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<RestorePlan, EngineError> {
    let mut blobs = BlobReader::new(repository, index, ReadCache::Use, interrupt);
    let (_, snapshot) = repository.snapshot_read(options.snapshot, interrupt)?;
    let root = match options.sub_path.iter().any(|byte| *byte != b'/') {
        false => snapshot.tree,
        true => {
            let folder = find(repository, &mut blobs, snapshot.tree, options.sub_path)?;
            let path = || String::from_utf8_lossy(options.sub_path).into_owned();
            folder.subtree.ok_or_else(|| EngineError::NoPath { path: path(), wanted: "folder" })?
        }
    };
    let mut walk = Walk {
        plan: RestorePlan::default(),
        options,
        target,
        index,
        place: repository.place(),
        links: HashMap::new(),
        owners: HashMap::new(),
        groups: HashMap::new(),
        renames: Vec::new(),
    };
    let mut folders = vec![Folder { entry: ROOT, depth: 0, tree: root, held: Held::of(target.is_some()) }];
    while !folders.is_empty() {
        // Whatever their order, a folder comes before what lies in it.
        let taken = folders.split_off(folders.len().saturating_sub(TREES_AHEAD));
        blobs.fetch_trees_ahead(taken.iter().map(|folder| &folder.tree))?;
        for folder in taken {
            interrupt.check()?;
            progress.looked.fetch_add(1, Ordering::Relaxed);
            walk.folder(repository, &mut blobs, folder, &mut folders)?;
        }
    }
    let mut plan = walk.finish();
    plan.bad_copies = blobs.take_bad_copies();
    Ok(plan)
}

/// A folder to look into.
struct Folder {
    entry: u32,
    depth: usize,
    tree: Id,
    held: Held,
}

/// What the target has at a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A folder that may hold something.
    Folder,
    /// Nothing yet.
    Nothing,
    /// What stays there and is no folder.
    Other,
    /// It cannot be made.
    Refused,
}

impl Held {
    const fn of(there: bool) -> Self {
        if there { Self::Folder } else { Self::Nothing }
    }
}

struct Walk<'a> {
    plan: RestorePlan,
    options: &'a RestoreOptions<'a>,
    target: Option<&'a Target>,
    index: &'a Index,
    place: String,
    /// Numbers of sets of hard links, by device, inode and a hash of the content.
    links: HashMap<(u64, u64, u64), u32>,
    owners: HashMap<String, Option<u32>>,
    groups: HashMap<String, Option<u32>>,
    /// Entries of folders of which some are restored beside something, and the folders.
    renames: Vec<(Range<usize>, u32)>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        repository: &Repository,
        blobs: &mut BlobReader<'_>,
        folder: Folder,
        folders: &mut Vec<Folder>,
    ) -> Result<(), EngineError> {
        let path = if folder.entry == ROOT { Vec::new() } else { self.plan.path(folder.entry) };
        let first = self.plan.entries.len();
        let mut held = folder.held;
        let opened = match (held, self.target) {
            (Held::Folder, Some(target)) => match target.folder(&path) {
                Ok(opened) => Some(opened),
                Err(error) => {
                    self.plan.unread.push(shown(&path), format!("could not be looked into: {error}"));
                    held = Held::Refused;
                    None
                }
            },
            _ => None,
        };
        let mut below = Vec::new();
        let listed = tree_entries(repository, blobs, &folder.tree, |node| {
            let said = self.selected(&path, node);
            let may = node.kind == NodeKind::Dir && said.child_may_match;
            if !(said.matched || may) {
                return Ok(());
            }
            if u16::try_from(node.name.len()).is_err() {
                let path = shown(&crate::browse::join(&path, &node.name));
                self.plan.unread.push(path, LONG_NAME.to_owned());
                return Ok(());
            }
            if self.plan.entries.len() >= ROOT as usize {
                let problem = "holds more entries than one restore can bring back; name a part of it".to_owned();
                return Err(EngineError::Target { path: self.options.target.display().to_string(), problem });
            }
            let (index, held) = self.entry(folder.entry, held, opened.as_ref(), node, said.matched);
            if let (true, Some(tree)) = (may, node.subtree) {
                below.push(Folder { entry: index, depth: folder.depth + 1, tree, held });
            }
            Ok(())
        });
        match listed {
            Ok(()) => {}
            // What was taken of it is dropped with it: a tree is judged as a whole before its first entry is handed out.
            Err(error) if error.is_harm() => self.plan.unread.push(shown(&path), chain(&error)),
            Err(error) => return Err(error),
        }
        if self.plan.entries[first..].iter().any(|entry| entry.action == Action::Rename) {
            self.renames.push((first..self.plan.entries.len(), folder.entry));
        }
        for folder in below {
            if folder.depth > DEPTH_MAX {
                self.plan.fail(folder.entry, format!("it lies deeper than {DEPTH_MAX} folders"));
            } else {
                folders.push(folder);
            }
        }
        Ok(())
    }

    /// Says whether an entry is asked for, and whether something below it may be.
    fn selected(&self, folder: &[u8], node: &Node<'_>) -> Match {
        let (include, exclude) = (&self.options.include, &self.options.exclude);
        if include.is_empty() && exclude.is_empty() {
            return Match { matched: true, child_may_match: true };
        }
        let path = crate::browse::join(folder, &node.name);
        if exclude.matches(&path) {
            return Match::default();
        }
        if include.is_empty() { Match { matched: true, child_may_match: true } } else { include.look(&path) }
    }

    /// Takes in an entry, and returns what the target has at it when it is a folder.
    fn entry(
        &mut self,
        parent: u32,
        above: Held,
        opened: Option<&OwnedFd>,
        node: &Node<'_>,
        wanted: bool,
    ) -> (u32, Held) {
        let metadata = &node.metadata;
        let long = node.name.len() > NAME_BYTES_MAX;
        let opened = opened.zip(self.target);
        let there = opened.filter(|_| !long).map_or(Ok(None), |(folder, target)| target.look(folder, &node.name));
        let (action, held, problem) = match (above, &there) {
            (Held::Refused, _) => (Action::Fail, Held::Refused, Some("what it lies in cannot be restored".to_owned())),
            (Held::Other, _) => (Action::Skip, Held::Other, None),
            _ if long => (Action::Fail, Held::Refused, Some(LONG_NAME.to_owned())),
            (_, Err(error)) => (Action::Fail, Held::Refused, Some(format!("could not be looked at: {error}"))),
            (_, Ok(None)) => (Action::Create, Held::Nothing, None),
            (_, Ok(Some(stat))) => self.meet(opened, node, stat),
        };
        let (action, problem) = match (action, self.refused(node)) {
            (Action::Skip | Action::Fail, _) | (_, None) => (action, problem),
            (_, Some(words)) => (Action::Fail, Some(words.to_owned())),
        };
        let (uid, gid) = self.owner(node);
        let (modified, accessed) = (metadata.modified, metadata.accessed);
        let mode = (metadata.mode & 0o7777) as u16;
        let (kind, size) = (node.kind, 0);
        let new = NewEntry { size, modified, accessed, mode, parent, uid, gid, kind, action, wanted: false };
        let index = self.plan.push(&node.name, new);
        if wanted {
            self.want(index);
            if let Some(words) = problem {
                self.plan.fail(index, words);
            }
        }
        self.extra(index, node);
        if kind == NodeKind::File && wanted && !matches!(action, Action::Skip | Action::Fail) {
            self.content(index, node);
        }
        // `matches` needs the bytes of the blobs, which only now are known.
        if let (Action::Unchanged, NodeKind::File, Ok(Some(stat))) = (action, kind, &there)
            && self.plan.entry(index).size != stat.st_size.unsigned_abs()
        {
            let action = if self.options.reconcile == Reconcile::Rename { Action::Rename } else { Action::Overwrite };
            self.plan.entries[index as usize].action = action;
        }
        (index, held)
    }

    /// Marks an entry and the folders that it lies in as asked for: they are made for it, and get their metadata.
    fn want(&mut self, index: u32) {
        let mut at = index;
        while at != ROOT && !self.plan.entries[at as usize].wanted {
            self.plan.entries[at as usize].wanted = true;
            at = self.plan.entries[at as usize].parent;
        }
    }

    /// Returns why an entry is never restored, whatever is there.
    fn refused(&self, node: &Node<'_>) -> Option<&'static str> {
        let device = matches!(node.kind, NodeKind::CharDevice | NodeKind::BlockDevice);
        match node.kind {
            NodeKind::Other => Some("is of a kind that this version does not know"),
            _ if device && self.options.special == Special::LeaveOut => {
                Some("is a device, and devices were not asked for")
            }
            _ => None,
        }
    }

    /// Decides about an entry at whose place something is.
    fn meet(
        &self,
        opened: Option<(&OwnedFd, &Target)>,
        node: &Node<'_>,
        stat: &Stat,
    ) -> (Action, Held, Option<String>) {
        let there = FileType::from_raw_mode(stat.st_mode);
        let reconcile = self.options.reconcile;
        if node.kind == NodeKind::Dir && there == FileType::Directory {
            return (Action::Unchanged, Held::Folder, None);
        }
        let seconds = FileTime { seconds: stat.st_mtime, nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) };
        let same = self.is_same(opened, node, stat, there, seconds);
        let (action, held) = match reconcile {
            Reconcile::Skip => (Action::Skip, Held::Other),
            Reconcile::OverwriteIfNewer if !is_newer(node.metadata.modified, seconds) => (Action::Skip, Held::Other),
            _ if same => (Action::Unchanged, Held::Nothing),
            Reconcile::Rename => (Action::Rename, Held::Nothing),
            _ => (Action::Overwrite, Held::Nothing),
        };
        let in_the_way = action == Action::Overwrite && there == FileType::Directory;
        match opened.map(|(folder, target)| target.holds_nothing(folder, &node.name)) {
            Some(Ok(false)) if in_the_way => {
                (Action::Fail, Held::Refused, Some("a folder that is not empty is at its place".to_owned()))
            }
            Some(Err(error)) if in_the_way => {
                (Action::Fail, Held::Refused, Some(format!("what is at its place could not be read: {error}")))
            }
            _ => (action, held, None),
        }
    }

    /// Says whether what is there is what would be made, so that there is nothing to do but its metadata. Of a file,
    /// size is compared when its blobs are known.
    fn is_same(
        &self,
        opened: Option<(&OwnedFd, &Target)>,
        node: &Node<'_>,
        stat: &Stat,
        there: FileType,
        modified: FileTime,
    ) -> bool {
        let trusted = matches!(self.options.reconcile, Reconcile::OverwriteIfChanged | Reconcile::Rename);
        match (node.kind, there) {
            (NodeKind::File, FileType::RegularFile) => trusted && modified == node.metadata.modified,
            (NodeKind::Fifo, FileType::Fifo) | (NodeKind::Socket, FileType::Socket) => true,
            (NodeKind::CharDevice, FileType::CharacterDevice) | (NodeKind::BlockDevice, FileType::BlockDevice) => {
                stat.st_rdev == node.metadata.device
            }
            (NodeKind::Symlink, FileType::Symlink) => {
                let read = opened.map(|(folder, target)| {
                    target.system().before(SystemCall::ReadLink, &node.name)?;
                    rustix::fs::readlinkat(folder, &*node.name, Vec::new())
                });
                matches!(read, Some(Ok(target)) if target.to_bytes() == &*node.target)
            }
            _ => false,
        }
    }

    /// Returns who is to own an entry.
    fn owner(&mut self, node: &Node<'_>) -> (u32, u32) {
        let (uid, gid) = (node.metadata.uid, node.metadata.gid);
        if self.options.owners != Owners::Name {
            return (uid, gid);
        }
        let user = |name: &str| uzers::get_user_by_name(name).map(|user| user.uid());
        let group = |name: &str| uzers::get_group_by_name(name).map(|group| group.gid());
        (
            named(&mut self.owners, &node.user, user).unwrap_or(uid),
            named(&mut self.groups, &node.group, group).unwrap_or(gid),
        )
    }

    /// Keeps what few entries have.
    fn extra(&mut self, index: u32, node: &Node<'_>) {
        let lends_rights = |name: &[u8]| name == CAPABILITY;
        let mut attributes = node.extended_attributes.clone();
        let entry = self.plan.entry(index);
        let mut rights = entry.mode & 0o6000 != 0 && entry.kind != NodeKind::Symlink;
        if self.options.special == Special::LeaveOut {
            rights |= attributes.iter().any(|attribute| lends_rights(&attribute.name));
            attributes.retain(|attribute| !lends_rights(&attribute.name));
            self.plan.rights_left_out += u64::from(rights && entry.is_restored());
        }
        let links = self.links_of(index, node);
        let special = matches!(node.kind, NodeKind::Symlink | NodeKind::CharDevice | NodeKind::BlockDevice);
        if attributes.is_empty() && links == 0 && !special {
            return;
        }
        let (attributes, target) = (attributes.into(), node.target.to_vec().into());
        self.plan.entries[index as usize].extra = u32::try_from(self.plan.extras.len()).expect("at most one an entry");
        self.plan.extras.push(Extra { attributes, target, device: node.metadata.device, links });
    }

    /// Puts an entry that has other names into its set, and returns the set's number plus one. Names whose content
    /// differs, because it changed between them, are files of their own.
    fn links_of(&mut self, index: u32, node: &Node<'_>) -> u32 {
        let metadata = &node.metadata;
        if metadata.links < 2 || node.kind == NodeKind::Dir || !self.plan.entry(index).is_restored() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        (node.kind, &node.content, &node.target).hash(&mut hasher);
        let next = self.plan.links.len() as u32;
        let set = *self.links.entry((metadata.device_id, metadata.inode, hasher.finish())).or_insert(next);
        if set == next {
            self.plan.links.push(Vec::new());
        }
        self.plan.links[set as usize].push(index);
        set + 1
    }

    /// Plans the blobs of a file.
    fn content(&mut self, index: u32, node: &Node<'_>) {
        let before = self.plan.parts.len();
        let mut at = 0u64;
        for id in &node.content {
            let Some(place) = self.index.find(BlobKind::Data, id) else {
                let error = EngineError::NoBlob { id: *id, place: self.place.clone() };
                self.plan.parts.truncate(before);
                self.plan.entries[index as usize].action = Action::Fail;
                return self.plan.fail(index, chain(&error));
            };
            let part = Part::new(&mut self.plan.packs, *id, &place, index, at);
            self.plan.parts.push(part);
            at = at.saturating_add(place.plain_bytes());
        }
        let entry: &mut Entry = &mut self.plan.entries[index as usize];
        entry.size = at;
        *entry.parts_left.get_mut() = u32::try_from(node.content.len()).unwrap_or(u32::MAX);
    }

    /// Gives the entries of one folder that are restored beside something their other names.
    fn find_names(&mut self, range: Range<usize>, folder: u32) {
        // Only a folder that is there holds what others are beside of, and such a one keeps its own name.
        let path = if folder == ROOT { Vec::new() } else { self.plan.path(folder) };
        let opened = self.target.and_then(|target| Some((target.folder(&path).ok()?, target)));
        let renamed: Vec<usize> = range.clone().filter(|at| self.plan.entries[*at].action == Action::Rename).collect();
        let mut names: HashSet<Vec<u8>> = range.map(|at| self.plan.name(&self.plan.entries[at]).to_vec()).collect();
        for at in renamed {
            let index = u32::try_from(at).expect("an index");
            let name = self.plan.name(&self.plan.entries[at]).to_vec();
            let is_free = |name: &Vec<u8>| {
                let there = opened.as_ref().map(|(folder, target)| target.look(folder, name));
                !names.contains(name) && matches!(there, Some(Ok(None)))
            };
            match (1..=RENAMES_MAX).map(|number| beside(&name, number)).find(is_free) {
                Some(free) => {
                    self.plan.rename(index, &free);
                    names.insert(free);
                }
                None => {
                    self.plan.entries[at].action = Action::Fail;
                    self.plan.fail(index, "no name beside it is free".to_owned());
                }
            }
        }
    }

    /// Finds names, and drops the parts that nobody writes or reads back.
    fn finish(mut self) -> RestorePlan {
        for (range, folder) in std::mem::take(&mut self.renames) {
            self.find_names(range, folder);
        }
        let (verify, entries) = (self.options.verify, &self.plan.entries);
        self.plan.parts.retain(|part| {
            let entry = &entries[part.entry as usize];
            entry.is_written() || verify && entry.is_restored()
        });
        self.plan
    }
}

/// Returns the number that a name has on this machine; none for no name, and for one that nobody has.
fn named(known: &mut HashMap<String, Option<u32>>, name: &str, ask: impl Fn(&str) -> Option<u32>) -> Option<u32> {
    if name.is_empty() {
        return None;
    }
    if let Some(found) = known.get(name) {
        return *found;
    }
    *known.entry(name.to_owned()).or_insert(ask(name))
}

/// Returns the name of what is restored beside something; cut between letters where it is text.
fn beside(name: &[u8], number: u32) -> Vec<u8> {
    let mut suffix = RENAMED.to_vec();
    if number > 1 {
        suffix.extend_from_slice(format!("-{number}").as_bytes());
    }
    let mut room = name.len().min(NAME_BYTES_MAX - suffix.len());
    if std::str::from_utf8(name).is_ok() {
        while room > 1 && room < name.len() && name[room] & 0xc0 == 0x80 {
            room -= 1;
        }
    }
    [&name[..room], &suffix].concat()
}

fn is_newer(a: FileTime, b: FileTime) -> bool {
    (a.seconds, a.nanoseconds) > (b.seconds, b.nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_another_fits_a_file_system() {
        assert_eq!(beside(b"a.txt", 1), b"a.txt.restored");
        assert_eq!(beside(b"a.txt", 12), b"a.txt.restored-12");
        assert_eq!(beside(&[b'n'; 255], 2).len(), 255);
        let long = "é".repeat(127);
        let cut = beside(long.as_bytes(), 1);
        assert!(cut.len() <= 255 && std::str::from_utf8(&cut).is_ok_and(|text| text.ends_with("é.restored")));
    }
}
