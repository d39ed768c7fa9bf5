//! One run: workers, uploaders, and how they end together.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use backstay_storage::ReadCache;

use super::attributes::AttributeReader;
use super::counters::{Counters, add};
use super::estimate;
use super::files::READ_BYTES;
use super::folder::{Folder, Origin, Task};
use super::known::KnownBlobs;
use super::links::HardLinks;
use super::options::{ArchiveOptions, RootRule, Writing};
use super::owners::Owners;
use super::packer::Packer;
use super::publish::{Archived, Rehearsed};
use super::queue::Queue;
use super::roots::{lay_out, unreadable};
use super::upload::Uploads;
use crate::blob::Ahead;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::object::FileKind;
use crate::format::snapshot::SnapshotFile;
use crate::format::time::FileTime;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};
use crate::seen::SeenIndex;

/// How long before the parent's beginning an inode must have changed last, so that what the parent has of its attributes
/// is believed: longer than the steps in which file systems count time.
const ATTRIBUTES_MARGIN_SECONDS: i64 = 2;

pub(super) use backstay_core::domain::adoption::PARTIAL_TAG;

/// What all workers share.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a ArchiveOptions,
    pub(super) known: &'a KnownBlobs<'a>,
    pub(super) uploads: &'a Uploads<'a>,
    pub(super) counters: &'a Counters,
    pub(super) progress: &'a EngineProgress,
    pub(super) queue: Queue<Task>,
    pub(super) owners: Owners,
    pub(super) links: HardLinks,
    /// Inodes that changed last before this moment have the attributes that the parent says; none when it is not asked.
    pub(super) attributes_until: Option<FileTime>,
    /// The tree of the snapshot.
    pub(super) root: OnceLock<Id>,
    /// Trees of the parent that workers fetched for each other.
    trees_ahead: Ahead,
    interrupt: &'a Interrupt,
    roots_failed: AtomicUsize,
    root_failure: Mutex<Option<EngineError>>,
}

/// What one worker has for itself.
pub(super) struct Worker<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) packer: Packer<'a>,
    pub(super) blobs: BlobReader<'a>,
    pub(super) attributes: AttributeReader,
    pub(super) buffer: Vec<u8>,
    pub(super) tree: Vec<u8>,
}

impl Run<'_> {
    /// Says whether workers should leave.
    pub(super) fn stopped(&self) -> bool {
        self.interrupt.is_raised() || self.uploads.has_failed()
    }

    /// Returns how many tasks wait at the most when a blob of a large file is handed over: one for each worker, so that
    /// those that are free find one while the file's own worker saves another. None where there is no other worker.
    pub(super) fn handed_max(&self) -> usize {
        if self.options.workers > 1 { self.options.workers } else { 0 }
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

    /// Notes that a root could not be read: the end of the run where roots have to be there, else the end when none is
    /// left of those that were named.
    pub(super) fn root_failed(&self, path: &Path, named: bool, error: io::Error) {
        if named && self.options.root_rule == RootRule::Folders {
            return self.fail(unreadable(path, error));
        }
        self.unread(path, &error);
        if named {
            self.roots_failed.fetch_add(1, Ordering::Relaxed);
            self.root_failure.lock().expect("no holder panics").get_or_insert(unreadable(path, error));
        }
    }
}

impl<'a> Worker<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        Self {
            run,
            packer: Packer::new(run.repository, run.known, run.uploads, run.counters, run.options.recheck),
            blobs: BlobReader::new(run.repository, run.known.index(), ReadCache::Use, run.interrupt)
                .sharing(&run.trees_ahead),
            attributes: AttributeReader::new(),
            buffer: vec![0; READ_BYTES],
            tree: Vec::new(),
        }
    }

    pub(super) fn work(&mut self, task: Task) {
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
            Task::Save(blob) => return self.save_handed(&blob),
        };
        if !self.run.stopped() && folder.part_done() {
            self.close(&folder);
        }
    }
}

/// Reads roots into a repository. Everything that it wrote is durable and indexed when this returns, in success, in
/// failure and after an interrupt; no snapshot names it before [`Archived::publish`].
///
/// # Errors
/// [`EngineError::Source`] when a root cannot be read that has to be, or none can, [`EngineError::Interrupted`],
/// [`EngineError::Storage`] and whatever else ends a run as a whole. An entry that could not be read is no error: it is
/// counted and named.
pub fn archive<'a>(
    repository: &'a Repository,
    options: &'a ArchiveOptions,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Archived<'a>, EngineError> {
    run(repository, options, progress, interrupt, Writing::Real)
}

/// Does all that [`archive`] does but writing, and returns what it would have written.
///
/// # Errors
/// As [`archive`].
pub fn rehearse(
    repository: &Repository,
    options: &ArchiveOptions,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Rehearsed, EngineError> {
    run(repository, options, progress, interrupt, Writing::Rehearsed).map(Archived::leave)
}

fn run<'a>(
    repository: &'a Repository,
    options: &'a ArchiveOptions,
    progress: &EngineProgress,
    interrupt: &Interrupt,
    writing: Writing,
) -> Result<Archived<'a>, EngineError> {
    let layout = lay_out(&options.roots, options.root_rule, &options.system)?;
    let index = repository.index_load(interrupt)?;
    let parent = options.parent.and_then(|id| parent_of(repository, &id, interrupt));
    let counters = Counters::default();
    let mut seen = SeenIndex::new(&index, interrupt);
    let known = KnownBlobs::new(&index);
    let uploads = Uploads::new(repository, &counters, (interrupt, progress), options, writing);
    let run = Run {
        repository,
        options,
        known: &known,
        uploads: &uploads,
        counters: &counters,
        progress,
        queue: Queue::new(),
        owners: Owners::default(),
        links: HardLinks::default(),
        attributes_until: parent.as_ref().and_then(|(_, file)| attributes_until(file, options)),
        root: OnceLock::new(),
        trees_ahead: Ahead::default(),
        interrupt,
        roots_failed: AtomicUsize::new(0),
        root_failure: Mutex::default(),
    };
    layout.missing.into_iter().for_each(|(path, error)| run.root_failed(&path, true, error));
    let parent_tree = parent.as_ref().map(|(_, file)| file.tree);
    run.queue.push([Task::List(Folder::new(Origin::Told(layout.places), None, parent_tree))]);
    let summary = parent.as_ref().and_then(|(_, file)| file.summary.as_ref());
    if let Some(summary) = summary {
        progress.set_totals(summary.total_files_processed, summary.total_bytes_processed);
    }
    work(&run, summary.is_none());
    progress.publishing.store(true, Ordering::Relaxed);
    let indexed = uploads.finish();
    if let Some(error) = uploads.take_failure() {
        return Err(error);
    }
    indexed?;
    seen.add_own(uploads.take_written());
    interrupt.check()?;
    if run.roots_failed.load(Ordering::Relaxed) == layout.named
        && let Some(error) = run.root_failure.lock().expect("no holder panics").take()
    {
        return Err(error);
    }
    let tree = run.root.get().copied().ok_or(EngineError::Interrupted)?;
    Ok(Archived::new(repository, options, layout.paths, tree, parent, counters, seen))
}

/// Runs uploaders and workers until nothing is left.
fn work(run: &Run<'_>, count_first: bool) {
    let options = run.options;
    let walked = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let uploaders: Vec<_> = (0..options.uploads.max(1)).map(|_| scope.spawn(|| run.uploads.run())).collect();
        let estimator = count_first.then(|| {
            let done = || walked.load(Ordering::Relaxed) || run.stopped();
            scope.spawn(move || estimate::run(options, run.progress, run.interrupt, &done))
        });
        let workers: Vec<_> = (0..options.workers.max(1)).map(|_| scope.spawn(|| one_worker(run))).collect();
        for worker in workers {
            ended(run, worker.join(), "reads");
        }
        walked.store(true, Ordering::Relaxed);
        run.uploads.close();
        for uploader in uploaders {
            ended(run, uploader.join(), "uploads");
        }
        // An estimate is no part of the backup.
        drop(estimator.map(|estimator| estimator.join()));
    });
}

/// Makes the end of a thread that panicked the end of the run.
fn ended(run: &Run<'_>, joined: std::thread::Result<()>, does: &'static str) {
    if joined.is_err() {
        run.fail(EngineError::Panicked { does });
    }
}

fn one_worker(run: &Run<'_>) {
    let _failing = Failing(run);
    let mut worker = Worker::new(run);
    run.queue.drain(|task| worker.work(task));
    worker.packer.finish();
}

/// Ends the run at once when its worker panics: the others need not read to the end what will not be saved.
struct Failing<'a>(&'a Run<'a>);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(EngineError::Panicked { does: "reads" });
        }
    }
}

/// Returns the parent snapshot; none when it cannot be read: everything is then read anew.
pub(super) fn parent_of(repository: &Repository, id: &Id, interrupt: &Interrupt) -> Option<(Id, SnapshotFile)> {
    let read = repository.file_read(FileKind::Snapshot, id, interrupt);
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

/// Returns the moment up to which the parent's attributes are believed. They are where the same program, machine and
/// user made the parent and could read everything: another program may leave attributes out, another user sees fewer.
fn attributes_until(parent: &SnapshotFile, options: &ArchiveOptions) -> Option<FileTime> {
    let name = |version: &str| version.split(' ').next().map(str::to_owned);
    let same = parent.program_version.as_deref().and_then(name) == name(&options.program_version)
        && parent.hostname == options.hostname
        && parent.username == options.username
        && !parent.tags.iter().any(|tag| tag == PARTIAL_TAG);
    let begun = FileTime::read(&parent.time).filter(|_| same)?;
    Some(FileTime { seconds: begun.seconds - ATTRIBUTES_MARGIN_SECONDS, ..begun })
}
