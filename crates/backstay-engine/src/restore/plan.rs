//! What a restore will write: made in one walk over the trees, which makes the folders on its way.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use backstay_core::domain::unread::Unread;
use backstay_core::managers::job::chain;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{open_beneath, shown};
use crate::browse::{Met, walk};
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::index::BlobPlace;
use crate::format::node::{Metadata, Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// All that a restore writes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) folders: Vec<(Vec<u8>, Metadata)>,
    pub(super) links: Vec<(Vec<u8>, Vec<u8>, Metadata)>,
    pub(super) files: Vec<FilePlan>,
    pub(super) parts: Vec<Part>,
    pub(super) bytes: u64,
    pub(super) unread: Unread,
}

/// A regular file to write.
#[derive(Debug)]
pub(super) struct FilePlan {
    pub(super) path: Vec<u8>,
    pub(super) metadata: Metadata,
    parts_left: AtomicU32,
    failed: AtomicBool,
}

/// A blob to write at a place of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) place: BlobPlace,
    pub(super) id: Id,
    pub(super) file: usize,
    pub(super) offset: u64,
}

impl FilePlan {
    /// Says that one of its parts is written; true for the last.
    pub(super) fn part_written(&self) -> bool {
        self.parts_left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Says whether nothing is to be written into it.
    pub(super) fn has_no_part(&self) -> bool {
        self.parts_left.load(Ordering::Acquire) == 0
    }

    /// Says that it cannot be restored; true the first time.
    pub(super) fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Walks a snapshot, makes its folders below the target and plans the rest.
pub(super) fn make(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    root: Id,
    target: &OwnedFd,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Plan, EngineError> {
    let mut plan = Plan::default();
    let places = BlobReader::new(repository, blobs.index(), backstay_storage::ReadCache::Use);
    walk(repository, blobs, root, progress, interrupt, &mut |met| {
        match met {
            Met::Unreadable(path, error) => plan.unread.push(shown(path), chain(&error)),
            Met::Entry(path, node) => plan.take(&places, target, path, node)?,
        }
        Ok(())
    })?;
    plan.parts.sort_unstable_by_key(|part| (part.place.pack, part.place.offset));
    Ok(plan)
}

impl Plan {
    fn take(
        &mut self,
        places: &BlobReader<'_>,
        target: &OwnedFd,
        path: &[u8],
        node: &Node<'_>,
    ) -> Result<(), EngineError> {
        match node.kind {
            NodeKind::Dir => match make_folder(target, path) {
                Ok(()) => self.folders.push((path.to_vec(), node.metadata)),
                Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) => {
                    return Err(EngineError::Write { path: shown(path), source: error.into() });
                }
                Err(error) => self.unread.push(shown(path), format!("could not be made: {error}")),
            },
            NodeKind::File => self.take_file(places, path, node),
            NodeKind::Symlink => self.links.push((path.to_vec(), node.target.to_vec(), node.metadata)),
            _ => self.unread.push(shown(path), "devices and FIFOs are not restored yet".to_owned()),
        }
        Ok(())
    }

    fn take_file(&mut self, places: &BlobReader<'_>, path: &[u8], node: &Node<'_>) {
        let file = self.files.len();
        let before = self.parts.len();
        let mut offset = 0;
        for id in &node.content {
            match places.find(BlobKind::Data, id) {
                Ok(place) => {
                    self.parts.push(Part { place, id: *id, file, offset });
                    offset += place.plain_bytes();
                }
                Err(error) => {
                    self.parts.truncate(before);
                    return self.unread.push(shown(path), chain(&error));
                }
            }
        }
        self.bytes += offset;
        let parts = u32::try_from(node.content.len()).unwrap_or(u32::MAX);
        let (parts_left, failed) = (AtomicU32::new(parts), AtomicBool::new(false));
        self.files.push(FilePlan { path: path.to_vec(), metadata: node.metadata, parts_left, failed });
    }
}

/// Makes a folder that only we can enter, until its own mode is set.
fn make_folder(target: &OwnedFd, path: &[u8]) -> rustix::io::Result<()> {
    let (above, name) = split(path);
    let above = open_beneath(target, above, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    rustix::fs::mkdirat(&above, name, Mode::RWXU)
}

/// Splits a path into its folder and its name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
