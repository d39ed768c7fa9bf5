//! Listing a folder: names, metadata, what the parent snapshot has, and what must be read.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::counters::add;
use super::folder::{Entry, Folder, Saved, Task};
use super::run::Worker;
use crate::error::EngineError;
use crate::format::node::{Metadata, Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::format::time::FileTime;
use crate::format::tree;

/// Files of one batch: enough that opening their folder again costs nothing, few enough that workers share a folder.
const BATCH_FILES_MAX: usize = 128;

/// Bytes of one batch, for the same reason.
const BATCH_BYTES_MAX: u64 = 32 << 20;

/// What one file system entry is to us.
struct Listed {
    entry: Entry,
    kind: FileType,
}

/// Says whether an error means that the name is there no more. A name that is something else now is not gone: it was
/// never missing, so a state without it never was.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOENT.raw_os_error())
}

/// Returns the metadata that a tree stores.
pub(crate) fn metadata_of(stat: &Stat) -> Metadata {
    let time = |seconds, nanoseconds| FileTime { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) };
    let modified = time(stat.st_mtime, stat.st_mtime_nsec);
    Metadata {
        mode: stat.st_mode & 0o7777,
        modified,
        // The time of last access is left out of backups, as restic does without --with-atime.
        accessed: modified,
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

impl Worker<'_> {
    /// Lists a folder, takes unchanged files from the parent, and queues what is left.
    pub(super) fn list(&mut self, folder: &Arc<Folder>) {
        let opened = self.run.open_folder(&folder.path).map_err(io::Error::from);
        let listed = match opened.and_then(|fd| self.read_folder(folder, &fd)) {
            Ok(listed) => listed,
            // Without the root there is no state to save.
            Err(source) if folder.above.is_none() => {
                let path = folder.path.display().to_string();
                return self.run.fail(EngineError::Source { path, source });
            }
            Err(error) if is_gone(&error) => {
                folder.set_gone();
                Vec::new()
            }
            Err(error) => {
                self.run.unread(&folder.path, &error);
                Vec::new()
            }
        };
        let parent_text = folder.parent_tree.and_then(|tree| self.parent_tree(&tree));
        let parent = parent_text.as_deref().and_then(|text| tree::read(text).ok()).unwrap_or_default();
        let mut parent = parent.iter().peekable();
        let (mut folders, mut to_read) = (Vec::new(), Vec::new());
        let mut entries = Vec::with_capacity(listed.len());
        for Listed { mut entry, kind } in listed {
            let place = entries.len();
            while parent.next_if(|node| *node.name < *entry.name).is_some() {}
            let before = parent.next_if(|node| *node.name == *entry.name);
            match kind {
                FileType::Directory => folders.push((place, before.and_then(|node| node.subtree))),
                FileType::RegularFile => match before.and_then(|node| self.unchanged(&entry, node)) {
                    Some(saved) => self.take_unchanged(&mut entry, saved),
                    None => to_read.push((place, before.is_some())),
                },
                _ => {}
            }
            entries.push(entry);
        }
        let added = to_read.iter().filter(|(_, known)| !known).count();
        add(&self.run.counters.files_new, added as u64);
        add(&self.run.counters.files_changed, (to_read.len() - added) as u64);
        self.queue(folder, entries, &folders, &to_read);
    }

    /// Publishes a folder's entries to the other workers and queues its parts: files first, so that folders, last in,
    /// are taken first and the walk stays ahead of the reading.
    fn queue(
        &self,
        folder: &Arc<Folder>,
        entries: Vec<Entry>,
        folders: &[(usize, Option<crate::format::id::Id>)],
        to_read: &[(usize, bool)],
    ) {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut bytes = u64::MAX;
        for (place, _) in to_read {
            let size = entries[*place].metadata.size;
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
        let below = |(place, tree): &(usize, _)| {
            let path = folder.path.join(OsStr::from_bytes(&entries[*place].name));
            Task::List(Folder::new(path, Some((Arc::clone(folder), *place)), *tree))
        };
        let lists: Vec<Task> = folders.iter().map(below).collect();
        folder.expect(batches.len() + lists.len());
        folder.entries.set(entries).expect("a folder is listed once");
        let reads = batches.into_iter().map(|batch| Task::Read(Arc::clone(folder), batch));
        self.run.queue.push(reads.chain(lists.into_iter().rev()));
    }

    /// Returns the entries of a folder that are saved, sorted by the bytes of their names.
    fn read_folder(&self, folder: &Folder, fd: &OwnedFd) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in Dir::read_from(fd)? {
            // A folder can have millions of entries; what is not listed to its end is not saved when the run ends here.
            if self.run.stopped() {
                break;
            }
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = || folder.path.join(OsStr::from_bytes(name.to_bytes()));
            let stat = match rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Removed since the folder was read: a state without it is a state that was.
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    self.run.unread(&path(), &error.into());
                    continue;
                }
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let entry = Entry { name: name.to_bytes().into(), metadata: metadata_of(&stat), saved: Default::default() };
            match kind {
                FileType::RegularFile | FileType::Directory => {}
                FileType::Symlink => match rustix::fs::readlinkat(fd, name, Vec::new()) {
                    Ok(target) => {
                        entry.saved.set(Saved::Symlink(target.into_bytes().into())).expect("it was made here");
                    }
                    Err(Errno::NOENT) => continue,
                    Err(error) => {
                        self.run.unread(&path(), &error.into());
                        continue;
                    }
                },
                // A socket holds nothing; restic leaves them out too.
                FileType::Socket => continue,
                _ => {
                    self.run.unread(&path(), &io::Error::other("devices and FIFOs are not saved yet"));
                    continue;
                }
            }
            listed.push(Listed { entry, kind });
        }
        listed.sort_unstable_by(|a, b| a.entry.name.cmp(&b.entry.name));
        Ok(listed)
    }

    /// Returns the text of a tree of the parent snapshot; none when it cannot be read: everything is then read anew.
    fn parent_tree(&mut self, tree: &crate::format::id::Id) -> Option<Vec<u8>> {
        match self.blobs.read(BlobKind::Tree, tree) {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::warn!(%tree, error = %error, "a tree of the parent snapshot cannot be read; its files are read again");
                None
            }
        }
    }

    /// Returns what the parent saved of a file when nothing says that it changed: same size, modification, change and
    /// inode (restic's rule), and each of its blobs is there.
    fn unchanged(&self, entry: &Entry, before: &Node<'_>) -> Option<Saved> {
        let (now, then) = (&entry.metadata, &before.metadata);
        let same = before.kind == NodeKind::File
            && now.size == then.size
            && now.modified == then.modified
            && now.changed == then.changed
            && now.inode == then.inode
            && before.content.iter().all(|id| self.run.known.indexed(BlobKind::Data, id));
        same.then(|| Saved::File(before.content.clone().into(), then.size))
    }

    fn take_unchanged(&self, entry: &mut Entry, saved: Saved) {
        entry.saved.set(saved).expect("it was made here");
        add(&self.run.counters.files_unmodified, 1);
        add(&self.run.counters.bytes, entry.metadata.size);
        self.run.progress.done(1, entry.metadata.size);
    }
}
