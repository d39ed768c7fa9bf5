//! One run: workers, uploaders, and how they end together.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_storage::ReadCache;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::counters::{Counters, add};
use super::estimate;
use super::files::READ_BYTES;
use super::folder::{Folder, Saved, Task};
use super::known::KnownBlobs;
use super::options::ArchiveOptions;
use super::owners::Owners;
use super::packer::Packer;
use super::publish::Archived;
use super::queue::Queue;
use super::upload::Uploads;
use super::walk::metadata_of;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::node::{Content, NewNode};
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::format::snapshot::SnapshotFile;
use crate::format::tree::{self, TREE_BYTES_MAX, TreeWriter};
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// What all workers share.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) known: &'a KnownBlobs<'a>,
    pub(super) uploads: &'a Uploads<'a>,
    pub(super) counters: &'a Counters,
    pub(super) progress: &'a EngineProgress,
    pub(super) queue: Queue<Task>,
    /// The root, held open: whatever is put in its place while it is read is not taken for it.
    root_folder: OwnedFd,
    root_path: &'a Path,
    interrupt: &'a Interrupt,
    owners: Owners,
    root: OnceLock<Id>,
}

/// What one worker has for itself.
pub(super) struct Worker<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) packer: Packer<'a>,
    pub(super) blobs: BlobReader<'a>,
    pub(super) buffer: Vec<u8>,
    tree: Vec<u8>,
}

impl Run<'_> {
    /// Says whether workers should leave.
    pub(super) fn stopped(&self) -> bool {
        self.interrupt.is_raised() || self.uploads.has_failed()
    }

    /// Opens a folder below the root that is held open, following no link: what is put in the place of the root, or of a
    /// folder on the way, is not read for it.
    pub(super) fn open_folder(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let below = path.strip_prefix(self.root_path).unwrap_or(path);
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root_folder, below, flags, Mode::empty(), resolve)
    }

    /// Ends the run with a failure.
    pub(super) fn fail(&self, error: EngineError) {
        self.uploads.fail(error);
    }

    /// Counts and names an entry that could not be read.
    pub(super) fn unread(&self, path: &Path, error: &io::Error) {
        let path = path.display().to_string();
        self.counters.unread.lock().expect("no holder panics").push(path, error.to_string());
        add(&self.progress.unread, 1);
    }
}

impl<'a> Worker<'a> {
    fn new(run: &'a Run<'a>, options: &ArchiveOptions) -> Self {
        Self {
            run,
            packer: Packer::new(run.repository, run.known, run.uploads, run.counters, options.recheck),
            blobs: BlobReader::new(run.repository, run.known.index(), ReadCache::Use),
            buffer: vec![0; READ_BYTES],
            tree: Vec::new(),
        }
    }

    fn work(&mut self, task: Task) {
        if self.run.stopped() {
            return;
        }
        let folder = match task {
            Task::List(folder) => {
                self.list(&folder);
                folder
            }
            Task::Read(folder, batch) => {
                self.read_batch(&folder, &batch);
                folder
            }
        };
        if !self.run.stopped() && folder.part_done() {
            self.close(&folder);
        }
    }

    /// Writes the tree of a folder whose last part is done, and of those above it whose last part that was.
    fn close(&mut self, folder: &Folder) {
        let mut folder = folder;
        loop {
            let tree = match self.save_folder(folder) {
                Ok(tree) => tree,
                Err(error) => return self.run.fail(error),
            };
            let Some((above, place)) = &folder.above else {
                self.run.root.set(tree).expect("the root is closed once");
                return;
            };
            if !folder.is_gone() {
                above.entries()[*place].saved.set(Saved::Dir(tree)).expect("a folder is closed once");
            }
            if !above.part_done() {
                return;
            }
            folder = above;
        }
    }

    /// Writes a folder's tree and counts it.
    fn save_folder(&mut self, folder: &Folder) -> Result<Id, EngineError> {
        let tree = self.write_tree(folder)?;
        let counters = self.run.counters;
        let counter = match folder.parent_tree {
            None => &counters.dirs_new,
            Some(before) if before == tree => &counters.dirs_unmodified,
            Some(_) => &counters.dirs_changed,
        };
        add(counter, 1);
        Ok(tree)
    }

    fn write_tree(&mut self, folder: &Folder) -> Result<Id, EngineError> {
        let mut writer = TreeWriter::new(std::mem::take(&mut self.tree));
        for entry in folder.entries() {
            let mut metadata = entry.metadata;
            let content = match entry.saved.get() {
                None => continue,
                Some(Saved::File(blobs, size)) => {
                    metadata.size = *size;
                    Content::File(blobs)
                }
                Some(Saved::Dir(tree)) => Content::Dir(*tree),
                Some(Saved::Symlink(target)) => Content::Symlink(target),
            };
            let user = self.run.owners.user(metadata.uid);
            let group = self.run.owners.group(metadata.gid);
            writer.push(&NewNode {
                name: &entry.name,
                metadata: &metadata,
                user: &user,
                group: &group,
                extended_attributes: &[],
                content,
            });
        }
        self.tree = writer.finish();
        if self.tree.len() as u64 > TREE_BYTES_MAX {
            let problem = format!(
                "its list of entries has {} bytes; more than {TREE_BYTES_MAX} cannot be read back",
                self.tree.len()
            );
            return Err(unreadable(&folder.path, io::Error::other(problem)));
        }
        self.packer.save(BlobKind::Tree, &self.tree)
    }

    /// Puts the root's tree under the folders of its path, as restic lays out an absolute path.
    fn wrap(&mut self, root: &Path, mut tree: Id) -> Result<Id, EngineError> {
        let mut path = root.to_path_buf();
        for name in names_of(root).iter().rev() {
            // A link on the way to the root is saved as the folder that it leads to.
            let stat = match path == root {
                true => rustix::fs::fstat(&self.run.root_folder),
                false => rustix::fs::statat(CWD, &path, AtFlags::empty()),
            };
            let stat = stat.map_err(|error| unreadable(&path, error.into()))?;
            let metadata = metadata_of(&stat);
            let (user, group) = (self.run.owners.user(metadata.uid), self.run.owners.group(metadata.gid));
            let mut writer = TreeWriter::new(std::mem::take(&mut self.tree));
            let content = Content::Dir(tree);
            writer.push(&NewNode {
                name,
                metadata: &metadata,
                user: &user,
                group: &group,
                extended_attributes: &[],
                content,
            });
            self.tree = writer.finish();
            tree = self.packer.save(BlobKind::Tree, &self.tree)?;
            path.pop();
        }
        Ok(tree)
    }
}

/// Reads a tree into a repository. Everything that it wrote is durable and indexed when this returns, in success, in
/// failure and after an interrupt; no snapshot names it before [`Archived::publish`].
///
/// # Errors
/// [`EngineError::Source`] when the root cannot be read, [`EngineError::Interrupted`], [`EngineError::Storage`] and
/// whatever else ends a run as a whole. An entry that could not be read is no error: it is counted and named.
pub fn archive<'a>(
    repository: &'a Repository,
    options: &'a ArchiveOptions,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Archived<'a>, EngineError> {
    let root_folder = open_root(&options.root).map_err(|error| unreadable(&options.root, error.into()))?;
    let index = repository.index_load(interrupt)?;
    let parent = options.parent.and_then(|id| parent_of(repository, &id));
    let counters = Counters::default();
    let known = KnownBlobs::new(&index);
    let uploads = Uploads::new(repository, &counters, interrupt, options.uploads);
    let run = Run {
        repository,
        known: &known,
        uploads: &uploads,
        counters: &counters,
        progress,
        queue: Queue::new(),
        root_folder,
        root_path: &options.root,
        interrupt,
        owners: Owners::default(),
        root: OnceLock::new(),
    };
    let mut blobs = BlobReader::new(repository, &index, ReadCache::Use);
    let parent_tree = parent.as_ref().and_then(|(_, file)| descend(&mut blobs, file.tree, &options.root));
    run.queue.push([Task::List(Folder::new(options.root.clone(), None, parent_tree))]);
    let summary = parent.as_ref().and_then(|(_, file)| file.summary.as_ref());
    if let Some(summary) = summary {
        progress.set_totals(summary.total_files_processed, summary.total_bytes_processed);
    }
    let tree = work(&run, options, summary.is_none());
    progress.publishing.store(true, Ordering::Relaxed);
    let indexed = uploads.finish();
    let tree = match (uploads.take_failure(), tree) {
        (Some(error), _) => return Err(error),
        (None, tree) => tree,
    };
    indexed?;
    interrupt.check()?;
    let tree = tree.ok_or(EngineError::Interrupted)?;
    Ok(Archived::new(repository, options, tree, parent.map(|(id, _)| id), counters))
}

/// Opens the root, which may be named through links, and makes sure that it can be listed.
fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    rustix::fs::Dir::read_from(&folder).map(|_| folder)
}

/// Runs uploaders and workers until nothing is left, and returns the tree of the path's first folder.
fn work(run: &Run<'_>, options: &ArchiveOptions, count_first: bool) -> Option<Id> {
    let walked = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _closing = Closing { run, walked };
        let uploaders: Vec<_> = (0..options.uploads.max(1)).map(|_| scope.spawn(|| run.uploads.run())).collect();
        if count_first {
            let done = || walked.load(Ordering::Relaxed) || run.stopped();
            scope.spawn(move || estimate::run(&options.root, run.progress, run.interrupt, &done));
        }
        let workers: Vec<_> = (1..options.workers.max(1)).map(|_| scope.spawn(|| one_worker(run, options))).collect();
        let mut worker = Worker::new(run, options);
        run.queue.drain(|task| worker.work(task));
        for other in workers {
            other.join().expect("a worker does not panic");
        }
        walked.store(true, Ordering::Relaxed);
        let root = run.root.get().copied().filter(|_| !run.stopped());
        let tree = root.and_then(|tree| worker.wrap(&options.root, tree).map_err(|error| run.fail(error)).ok());
        worker.packer.finish();
        run.uploads.close();
        for uploader in uploaders {
            uploader.join().expect("an uploader does not panic");
        }
        tree
    })
}

/// Ends what waits for the workers, also when one of them panics.
struct Closing<'a> {
    run: &'a Run<'a>,
    walked: &'a AtomicBool,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.walked.store(true, Ordering::Relaxed);
        self.run.uploads.close();
    }
}

fn one_worker(run: &Run<'_>, options: &ArchiveOptions) {
    let mut worker = Worker::new(run, options);
    run.queue.drain(|task| worker.work(task));
    worker.packer.finish();
}

/// Returns the parent snapshot; none when it cannot be read: everything is then read anew.
fn parent_of(repository: &Repository, id: &Id) -> Option<(Id, SnapshotFile)> {
    let read = repository.file_read(FileKind::Snapshot, id);
    let file = read
        .and_then(|plain| SnapshotFile::read(&plain).map_err(|source| repository.told(FileKind::Snapshot, id, source)));
    match file {
        Ok(file) => Some((*id, file)),
        Err(error) => {
            tracing::warn!(parent = %id, error = %error, "the parent snapshot cannot be read; everything is read again");
            None
        }
    }
}

/// Returns the tree that a snapshot has at a path; none when it has none.
fn descend(blobs: &mut BlobReader<'_>, tree: Id, path: &Path) -> Option<Id> {
    names_of(path).iter().try_fold(tree, |tree, name| {
        let text = blobs.read(BlobKind::Tree, &tree).ok()?;
        let nodes = tree::read(&text).ok()?;
        nodes.iter().find(|node| *node.name == **name)?.subtree
    })
}

/// Returns the names of a path's folders, from the root on.
fn names_of(path: &Path) -> Vec<Vec<u8>> {
    let name = |part| match part {
        Component::Normal(name) => Some(name.as_bytes().to_vec()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

fn unreadable(path: &Path, source: io::Error) -> EngineError {
    EngineError::Source { path: PathBuf::from(path).display().to_string(), source }
}
