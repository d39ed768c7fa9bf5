//! Moving the bytes: packs in long ranges, blobs to their places.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_core::managers::job::chain;
use backstay_storage::{ReadCache, StorageError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::plan::{FilePlan, Part, Plan};
use super::{metadata, open_beneath, shown};
use crate::error::EngineError;
use crate::format::index::Index;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// Bytes between two blobs that are read over rather than asked for twice.
const GAP_BYTES_MAX: u32 = 64 << 10;

/// Bytes of one range: what a worker holds at the most, besides one blob.
const RANGE_BYTES_MAX: u64 = 16 << 20;

/// Writes all files of a plan.
pub(super) fn run(
    repository: &Repository,
    index: &Index,
    plan: &mut Plan,
    target: &OwnedFd,
    workers: usize,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let ranges = ranges_of(&plan.parts);
    let shared = Shared {
        files: &plan.files,
        target,
        progress,
        interrupt,
        problems: Mutex::default(),
        failure: Mutex::default(),
    };
    shared.write_empty_files();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                let mut blobs = BlobReader::new(repository, index, ReadCache::Use);
                while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if shared.stopped() {
                        return;
                    }
                    shared.write_range(repository, &mut blobs, range);
                }
            });
        }
    });
    let Shared { problems, failure, .. } = shared;
    let failure = failure.into_inner().expect("no holder panics");
    let problems = problems.into_inner().expect("no holder panics");
    // Only now: while others still wrote, a part could have made a file again that was removed.
    plan.files.iter().filter(|file| file.failed()).for_each(|file| remove(target, file));
    for (file, problem) in problems {
        plan.unread.push(shown(&plan.files[file].path), problem);
    }
    interrupt.check()?;
    failure.map_or(Ok(()), Err)
}

/// Removes what was written of a file that cannot be restored.
fn remove(target: &OwnedFd, file: &FilePlan) {
    let (above, name) = super::plan::split(&file.path);
    if let Ok(above) = open_beneath(target, above, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        // It may not have been made yet; the end is the same.
        let _ = rustix::fs::unlinkat(&above, name, rustix::fs::AtFlags::empty());
    }
}

/// Groups sorted parts into ranges of one pack each.
fn ranges_of(parts: &[Part]) -> Vec<&[Part]> {
    let near =
        |a: &Part, b: &Part| a.place.pack == b.place.pack && b.place.offset <= end_of(a).saturating_add(GAP_BYTES_MAX);
    let mut ranges = Vec::new();
    for mut run in parts.chunk_by(near) {
        while let Some(first) = run.first() {
            let within = |part: &&Part| u64::from(end_of(part) - first.place.offset) <= RANGE_BYTES_MAX;
            let count = run.iter().take_while(within).count().max(1);
            let (range, rest) = run.split_at(count);
            ranges.push(range);
            run = rest;
        }
    }
    ranges
}

fn end_of(part: &Part) -> u32 {
    part.place.offset.saturating_add(part.place.length)
}

/// What the workers share.
struct Shared<'a> {
    files: &'a [FilePlan],
    target: &'a OwnedFd,
    progress: &'a EngineProgress,
    interrupt: &'a Interrupt,
    problems: Mutex<Vec<(usize, String)>>,
    failure: Mutex<Option<EngineError>>,
}

impl Shared<'_> {
    fn stopped(&self) -> bool {
        self.interrupt.is_raised() || self.failure.lock().expect("no holder panics").is_some()
    }

    fn write_empty_files(&self) {
        for (place, file) in self.files.iter().enumerate().filter(|(_, file)| file.has_no_part()) {
            match self.open_file(file) {
                Ok(open) => self.file_done(place, &open),
                Err(error) => self.problem(place, EngineError::Write { path: shown(&file.path), source: error }),
            }
        }
    }

    /// Reads a range of a pack and writes its blobs.
    fn write_range(&self, repository: &Repository, blobs: &mut BlobReader<'_>, parts: &[Part]) {
        let (Some(first), Some(last)) = (parts.first(), parts.iter().map(end_of).max()) else { return };
        let begin = first.place.offset;
        let range = u64::from(begin)..u64::from(last);
        let body = match repository.pack_read(&first.place.pack, range, ReadCache::Use) {
            Ok(body) => body,
            // The pack ends too early: what lies before its end is still good.
            Err(EngineError::Storage(StorageError::Short { .. })) if first.place != parts[parts.len() - 1].place => {
                for part in parts.chunk_by(|a, b| a.place == b.place) {
                    self.write_range(repository, blobs, part);
                }
                return;
            }
            Err(error) if error.is_harm() => {
                let words = chain(&error);
                parts.iter().for_each(|part| self.damaged(part.file, &words));
                return;
            }
            // The storage does not answer: files are not given up for that, the restore is.
            Err(error) => {
                self.failure.lock().expect("no holder panics").get_or_insert(error);
                return;
            }
        };
        let (mut plain, mut before) = (Vec::new(), None);
        for part in parts {
            if self.stopped() {
                return;
            }
            if self.files[part.file].failed() {
                continue;
            }
            if before != Some(part.place) {
                let from = (part.place.offset - begin) as usize;
                let mut sealed = body[from..from + part.place.length as usize].to_vec();
                if let Err(error) = blobs.open(&part.place, &part.id, &mut sealed, &mut plain) {
                    before = None;
                    self.damaged(part.file, &chain(&error));
                    continue;
                }
                before = Some(part.place);
            }
            self.write_part(part, &plain);
        }
    }

    fn write_part(&self, part: &Part, plain: &[u8]) {
        let file = &self.files[part.file];
        let written = self.open_file(file).and_then(|open| open.write_all_at(plain, part.offset).map(|()| open));
        match written {
            Ok(open) => {
                self.progress.done(0, plain.len() as u64);
                if file.part_written() {
                    self.file_done(part.file, &open);
                }
            }
            Err(source) => self.problem(part.file, EngineError::Write { path: shown(&file.path), source }),
        }
    }

    /// Opens a file below the target, and makes it when it is not there.
    fn open_file(&self, file: &FilePlan) -> std::io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
        Ok(File::from(open_beneath(self.target, &file.path, flags, Mode::RUSR | Mode::WUSR)?))
    }

    fn file_done(&self, place: usize, open: &File) {
        let file = &self.files[place];
        if let Err(source) = metadata::file(open, &file.metadata) {
            let words = format!("its metadata could not be set: {source}");
            self.problems.lock().expect("no holder panics").push((place, words));
        }
        self.progress.done(1, 0);
    }

    /// A file of which a blob cannot be had: what was written of it will be removed.
    fn damaged(&self, place: usize, words: &str) {
        let file = &self.files[place];
        if file.fail() {
            self.problems.lock().expect("no holder panics").push((place, words.to_owned()));
        }
    }

    /// A file that the target does not take; a full target ends the restore.
    fn problem(&self, place: usize, error: EngineError) {
        let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| errno.raw_os_error());
        if let EngineError::Write { source, .. } = &error
            && source.raw_os_error().is_some_and(|errno| full.contains(&errno))
        {
            self.failure.lock().expect("no holder panics").get_or_insert(error);
        } else {
            self.damaged(place, &chain(&error));
        }
    }
}
