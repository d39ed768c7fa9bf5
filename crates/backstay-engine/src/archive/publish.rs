//! The last step: a snapshot file, which makes all that was written before it visible.

use backstay_core::domain::unread::Unread;
use bytes::Bytes;
use jiff::Timestamp;

use super::counters::{Counters, get};
use super::options::ArchiveOptions;
use super::run::PARTIAL_TAG;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::object::FileKind;
use crate::format::snapshot::{SnapshotFile, Summary};
use crate::repository::Repository;
use crate::seen::SeenIndex;

/// A tree that is wholly in the repository, and that no snapshot names yet.
#[derive(Debug)]
pub struct Archived<'a> {
    repository: &'a Repository,
    options: &'a ArchiveOptions,
    paths: Vec<String>,
    tree: Id,
    parent: Option<(Id, SnapshotFile)>,
    summary: Summary,
    unread: Unread,
    bytes_stored: u64,
    roots_changed: u64,
    seen: SeenIndex,
}

/// A snapshot that is in the repository.
#[derive(Debug)]
pub struct Published {
    /// Its id.
    pub id: Id,
    /// Its tree.
    pub tree: Id,
    /// What making it took.
    pub summary: Summary,
    /// What could not be read.
    pub unread: Unread,
    /// Bytes that were written to storage.
    pub bytes_stored: u64,
}

/// What a backup read and would have published.
#[derive(Debug)]
pub struct Rehearsed {
    /// Its tree.
    pub tree: Id,
    /// What making it took.
    pub summary: Summary,
    /// What could not be read.
    pub unread: Unread,
    /// Bytes that were written to storage; none in a rehearsal.
    pub bytes_stored: u64,
}

impl<'a> Archived<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        options: &'a ArchiveOptions,
        paths: Vec<String>,
        tree: Id,
        parent: Option<(Id, SnapshotFile)>,
        counters: Counters,
        seen: SeenIndex,
    ) -> Self {
        let files = [&counters.files_new, &counters.files_changed, &counters.files_unmodified].map(get);
        let summary = Summary {
            files_new: files[0],
            files_changed: files[1],
            files_unmodified: files[2],
            dirs_new: get(&counters.dirs_new),
            dirs_changed: get(&counters.dirs_changed),
            dirs_unmodified: get(&counters.dirs_unmodified),
            data_blobs: get(&counters.data_blobs),
            tree_blobs: get(&counters.tree_blobs),
            data_added: get(&counters.added),
            data_added_packed: get(&counters.packed),
            total_files_processed: files.iter().sum(),
            total_bytes_processed: get(&counters.bytes),
            ..Summary::default()
        };
        let (bytes_stored, roots_changed) = (get(&counters.stored), get(&counters.roots_changed));
        let unread = counters.unread.into_inner().expect("no holder panics");
        Self { repository, options, paths, tree, parent, summary, unread, bytes_stored, roots_changed, seen }
    }

    /// Says whether the parent snapshot has the same tree, bit for bit: publishing it would say nothing new.
    pub fn is_unchanged(&self) -> bool {
        self.parent.as_ref().is_some_and(|(_, parent)| parent.tree == self.tree)
    }

    /// Says whether the parent snapshot has all that was read as it is, whatever became of the folders above it: their
    /// times stand in the snapshot too, and change with what others do there.
    pub fn is_unchanged_below(&self) -> bool {
        let Summary { files_new, files_changed, dirs_new, dirs_changed, .. } = self.summary;
        let changed = files_new + files_changed + dirs_new + dirs_changed + self.roots_changed;
        self.is_unchanged() || self.parent.is_some() && changed == 0
    }

    /// Says whether everything could be read.
    pub fn is_whole(&self) -> bool {
        self.unread.is_empty()
    }

    /// Returns what was read and written, and publishes nothing. What was written stays, in no snapshot, until a prune.
    pub fn leave(self) -> Rehearsed {
        Rehearsed { tree: self.tree, summary: self.summary, unread: self.unread, bytes_stored: self.bytes_stored }
    }

    /// Looks again whether all that the snapshot refers to is to stay, and writes the snapshot file. The caller has made
    /// sure, just before, that it still holds its lease: the second look must come after it.
    ///
    /// # Errors
    /// [`EngineError::Overtaken`] when a prune came between: nothing is published then. [`EngineError::Storage`].
    /// [`EngineError::Interrupted`]: it may be published then or not.
    pub fn publish(self, ended_at: Timestamp) -> Result<Published, EngineError> {
        self.seal(ended_at).publish()
    }

    /// Makes the snapshot file, whose name is known from then on, and writes nothing.
    pub fn seal(mut self, ended_at: Timestamp) -> Sealed<'a> {
        self.summary.backup_start = self.options.started_at.to_string();
        self.summary.backup_end = ended_at.to_string();
        let mut tags = self.options.tags.clone();
        if !self.unread.is_empty() {
            tags.push(PARTIAL_TAG.to_owned());
        }
        let file = SnapshotFile {
            time: self.options.started_at.to_string(),
            parent: self.parent.map(|(id, _)| id),
            tree: self.tree,
            paths: self.paths,
            hostname: self.options.hostname.clone(),
            username: self.options.username.clone(),
            tags,
            program_version: Some(self.options.program_version.clone()),
            summary: Some(self.summary.clone()),
        };
        let (id, sealed) = self.repository.file_seal(&file.write());
        let published = Published {
            id,
            tree: self.tree,
            summary: self.summary,
            unread: self.unread,
            bytes_stored: self.bytes_stored + sealed.len() as u64,
        };
        Sealed { repository: self.repository, published, sealed, seen: self.seen }
    }
}

/// A snapshot that has its name, and is not in the repository yet.
#[derive(Debug)]
pub struct Sealed<'a> {
    repository: &'a Repository,
    published: Published,
    sealed: Bytes,
    seen: SeenIndex,
}

impl Sealed<'_> {
    /// Returns what it will be.
    pub const fn foreseen(&self) -> &Published {
        &self.published
    }

    /// Looks again and writes the file, as [`Archived::publish`].
    ///
    /// # Errors
    /// As [`Archived::publish`].
    pub fn publish(self) -> Result<Published, EngineError> {
        self.seen.look_again(self.repository)?;
        let Self { repository, published, sealed, seen } = self;
        repository.file_put(FileKind::Snapshot, &published.id, sealed, seen.interrupt())?;
        Ok(published)
    }
}
