//! Brings a snapshot back to a folder, laid out as restic lays it out: absolute paths under the target.
//!
//! ```text
//!  walk the trees: make folders, plan files      (nothing but folders and files exists yet: no link can lead out)
//!    ▼
//!  parts sorted by pack and offset: each pack is read once, in long ranges
//!    ▼  N workers: read a range, open each blob, write it at its place; the last part of a file sets its metadata
//!  links, then metadata of folders, deepest first
//! ```
//!
//! Every name is opened beneath the target without following links. A file of which a blob is damaged is removed and
//! named, never left with wrong bytes. `plan` walks, `write` moves the bytes, `metadata` sets what is around them.

mod plan;
mod write;
mod metadata;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use backstay_core::domain::unread::Unread;
use backstay_storage::ReadCache;
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::EngineError;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// What a restore is told.
#[derive(Debug, Clone)]
pub struct RestoreOptions<'a> {
    /// The snapshot's id.
    pub snapshot: &'a str,
    /// The folder: made when it is not there, and must be empty.
    pub target: &'a Path,
    /// Threads that write; at least one.
    pub workers: usize,
}

/// What a restore did.
#[derive(Debug, Default)]
pub struct Restored {
    /// Regular files written.
    pub files: u64,
    /// Folders made.
    pub dirs: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Entries that could not be restored.
    pub unread: Unread,
}

/// Restores a whole snapshot to a folder.
///
/// # Errors
/// [`EngineError::Target`] when the folder is not empty, [`EngineError::NoSnapshot`], [`EngineError::Interrupted`],
/// [`EngineError::Storage`], [`EngineError::Write`] when the target is full. An entry that cannot be restored is no
/// error: it is counted and named.
pub fn restore(
    repository: &Repository,
    options: &RestoreOptions<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Restored, EngineError> {
    let (_, snapshot) = repository.snapshot_read(options.snapshot)?;
    let target = open_empty(options.target)?;
    let index = repository.index_load(interrupt)?;
    let mut blobs = BlobReader::new(repository, &index, ReadCache::Use);
    let mut plan = plan::make(repository, &mut blobs, snapshot.tree, &target, progress, interrupt)?;
    progress.set_totals(plan.files.len() as u64, plan.bytes);
    write::run(repository, &index, &mut plan, &target, options.workers, progress, interrupt)?;
    metadata::links(&mut plan, &target);
    metadata::folders(&mut plan, &target);
    let written = plan.files.iter().filter(|file| !file.failed());
    let (files, bytes) = written.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.metadata.size));
    Ok(Restored { files, bytes, dirs: plan.folders.len() as u64, unread: plan.unread })
}

/// Opens the target, and refuses one that holds anything.
fn open_empty(path: &Path) -> Result<OwnedFd, EngineError> {
    let failed = |source| EngineError::Write { path: path.display().to_string(), source };
    let wrong = |problem: &str| EngineError::Target { path: path.display().to_string(), problem: problem.to_owned() };
    match std::fs::metadata(path) {
        Ok(known) if !known.is_dir() => return Err(wrong("is not a folder; name a new or an empty one")),
        Ok(_) => {}
        Err(_) => std::fs::create_dir_all(path).map_err(failed)?,
    }
    if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
        return Err(wrong("is not empty; name a new or an empty folder"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|error| failed(error.into()))
}

/// Opens something beneath the target, without following any link.
fn open_beneath(target: &OwnedFd, path: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(target, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// Returns a path below the target for a person.
fn shown(path: &[u8]) -> String {
    PathBuf::from("/").join(String::from_utf8_lossy(path).as_ref()).display().to_string()
}
