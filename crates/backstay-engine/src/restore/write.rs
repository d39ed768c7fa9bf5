//! Moving the bytes: packs in long ranges, blobs to their places.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use backstay_core::managers::job::chain;
use backstay_storage::{ReadCache, StorageError};
use rustix::fs::{FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Run;
use super::plan::{Action, Part, RestorePlan, state};
use super::target::{is_whole, look, remove, shown};
use crate::error::EngineError;
use crate::format::index::Index;
use crate::format::node::NodeKind;
use crate::repository::BlobReader;

/// Bytes between two blobs that are read over rather than asked for twice.
const GAP_BYTES_MAX: u32 = 64 << 10;

/// Bytes of one range: what a worker holds at the most, besides one blob.
const RANGE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a block of zeros that becomes a hole: what file systems keep as one.
const HOLE_BYTES: usize = 4 << 10;

/// Locks that files share while they are made.
const LOCKS: usize = 64;

/// Writes the files of a plan that are not done yet, and returns how many bytes were written.
pub(super) fn run(run: &Run<'_>, plan: &mut RestorePlan) -> Result<u64, EngineError> {
    let mut parts = std::mem::take(&mut plan.parts);
    parts.sort_unstable_by_key(|part| (part.pack, part.offset));
    let ranges = ranges_of(&parts);
    let shared = Shared {
        run,
        plan,
        locks: std::array::from_fn(|_| Mutex::default()),
        problems: Mutex::default(),
        failure: Mutex::default(),
        bytes: AtomicU64::new(0),
    };
    let (index, next) = (Index::default(), AtomicUsize::new(0));
    shared.finish_files_without_parts();
    std::thread::scope(|scope| {
        for _ in 0..run.options.workers.max(1) {
            scope.spawn(|| {
                let mut blobs = BlobReader::new(run.repository, &index, ReadCache::Use).interruptible(run.interrupt);
                while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if shared.stopped() {
                        return;
                    }
                    shared.write_range(&mut blobs, range);
                }
            });
        }
    });
    let Shared { problems, failure, bytes, .. } = shared;
    let failure = failure.into_inner().expect("no holder panics");
    let mut problems = problems.into_inner().expect("no holder panics");
    // Only now: while others still wrote, a part could have made a file again that was removed.
    for (index, entry) in (0..).zip(&plan.entries) {
        if entry.has(state::TOUCHED) && entry.has(state::FAILED) {
            // It may be gone already; the end is the same.
            let _ = run.target.above(&plan.path(index)).and_then(|(above, name)| remove(&above, name));
        }
    }
    problems.sort_unstable();
    for (entry, words) in problems {
        plan.fail(entry, words);
    }
    run.interrupt.check()?;
    failure.map_or(Ok(bytes.into_inner()), Err)
}

/// Groups sorted parts into ranges of one pack each.
pub(super) fn ranges_of(parts: &[Part]) -> Vec<&[Part]> {
    let near = |a: &Part, b: &Part| {
        a.pack == b.pack && b.offset >= a.offset && b.offset <= a.end().saturating_add(GAP_BYTES_MAX)
    };
    let mut ranges = Vec::new();
    for mut run in parts.chunk_by(near) {
        while let Some(first) = run.first() {
            let within = |part: &&Part| u64::from(part.end() - first.offset) <= RANGE_BYTES_MAX;
            let count = run.iter().take_while(within).count().max(1);
            let (range, rest) = run.split_at(count);
            ranges.push(range);
            run = rest;
        }
    }
    ranges
}

/// What the workers share.
struct Shared<'a> {
    run: &'a Run<'a>,
    plan: &'a RestorePlan,
    locks: [Mutex<()>; LOCKS],
    problems: Mutex<Vec<(u32, String)>>,
    failure: Mutex<Option<EngineError>>,
    bytes: AtomicU64,
}

impl Shared<'_> {
    fn stopped(&self) -> bool {
        self.run.interrupt.is_raised() || self.failure.lock().expect("no holder panics").is_some()
    }

    fn stop(&self, error: EngineError) {
        self.failure.lock().expect("no holder panics").get_or_insert(error);
    }

    fn tell(&self, entry: u32, words: String) {
        self.problems.lock().expect("no holder panics").push((entry, words));
    }

    /// Makes empty files, and sets the metadata of those that are right already.
    fn finish_files_without_parts(&self) {
        for (index, entry) in (0..).zip(&self.plan.entries) {
            if entry.kind != NodeKind::File || !entry.is_restored() || self.stopped() {
                continue;
            }
            let parts = if entry.is_written() { entry.parts_left.load(Ordering::Acquire) } else { 0 };
            if entry.has(state::FAILED | state::LINKED | state::DONE) || parts > 0 {
                continue;
            }
            if entry.action == Action::Unchanged || entry.has(state::MATCHED) {
                entry.set(state::DONE | state::MATCHED);
                self.settle_in_place(index);
                continue;
            }
            match self.open_file(index) {
                Ok(open) => self.file_done(index, &open),
                Err(source) => self.problem(index, source),
            }
        }
    }

    fn settle_in_place(&self, index: u32) {
        let entry = self.plan.entry(index);
        let path = self.plan.path(index);
        let done = match self.run.target.above(&path) {
            Ok((above, name)) => self.run.rules.set_at(&above, name, entry, self.plan.extra_of(entry)),
            Err(error) => Err(format!("its metadata could not be set: {error}")),
        };
        if let Err(words) = done {
            self.tell(index, words);
        }
        if entry.is_written() {
            self.run.progress.done(1, 0);
        }
    }

    /// Reads a range of a pack and writes its blobs.
    fn write_range(&self, blobs: &mut BlobReader<'_>, parts: &[Part]) {
        let alive = |part: &&Part| !self.plan.entry(part.entry).has(state::FAILED);
        let (Some(first), Some(last)) = (parts.iter().find(alive), parts.iter().rfind(alive)) else { return };
        let packs = &self.plan.packs;
        let (begin, pack) = (first.offset, packs.id(first));
        let end = parts.iter().filter(alive).map(Part::end).max().unwrap_or(begin);
        let range = u64::from(begin)..u64::from(end);
        let body = match self.run.repository.pack_read(&pack, range, ReadCache::Use, self.run.interrupt) {
            Ok(body) => body,
            // The pack ends too early: what lies before its end is still good.
            Err(EngineError::Storage(StorageError::Short { .. })) if !first.is_same_blob(last) => {
                parts.chunk_by(Part::is_same_blob).for_each(|part| self.write_range(blobs, part));
                return;
            }
            Err(error) if error.is_harm() => {
                let words = chain(&error);
                parts.iter().for_each(|part| self.damaged(part.entry, &words));
                return;
            }
            // The storage does not answer: files are not given up for that, the restore is.
            Err(error) => return self.stop(error),
        };
        let (mut plain, mut before) = (Vec::new(), None);
        for part in parts.iter().filter(alive) {
            if self.stopped() {
                return;
            }
            if !before.is_some_and(|before| part.is_same_blob(before)) {
                let from = (part.offset - begin) as usize;
                let mut sealed = body[from..from + part.length as usize].to_vec();
                if let Err(error) = blobs.open(&part.place(packs), &part.id, &mut sealed, &mut plain) {
                    before = None;
                    self.damaged(part.entry, &chain(&error));
                    continue;
                }
                before = Some(part);
            }
            self.write_part(part, &plain);
        }
    }

    fn write_part(&self, part: &Part, plain: &[u8]) {
        let entry = self.plan.entry(part.entry);
        let written = self.open_file(part.entry).and_then(|open| {
            if self.run.options.sparse {
                write_sparse(&open, plain, part.at, entry.action == Action::Overwrite)?;
            } else {
                open.write_all_at(plain, part.at)?;
            }
            Ok(open)
        });
        match written {
            Ok(open) => {
                self.bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
                self.run.progress.done(0, plain.len() as u64);
                if entry.parts_left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.file_done(part.entry, &open);
                }
            }
            Err(source) => self.problem(part.entry, source),
        }
    }

    /// Opens a file to write it. The first to come makes it, or makes what is there fit for it.
    fn open_file(&self, index: u32) -> std::io::Result<File> {
        let entry = self.plan.entry(index);
        let path = self.plan.path(index);
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW;
        let again = || Ok(File::from(self.run.target.at(&path, flags, Mode::empty())?));
        if entry.has(state::TOUCHED) {
            return again();
        }
        let _guard = self.locks[index as usize % LOCKS].lock().expect("no holder panics");
        if entry.has(state::TOUCHED) {
            return again();
        }
        let make = flags | OFlags::CREATE | OFlags::EXCL;
        let open = match entry.action {
            Action::Overwrite => self.open_replaced(index, &path)?,
            _ => File::from(self.run.target.at(&path, make, Mode::RUSR | Mode::WUSR)?),
        };
        entry.set(state::TOUCHED);
        if self.run.options.sparse || entry.action == Action::Overwrite {
            open.set_len(entry.size)?;
        }
        Ok(open)
    }

    /// Opens a regular file that has no other name as it is; anything else makes room for a new file.
    fn open_replaced(&self, index: u32, path: &[u8]) -> std::io::Result<File> {
        let (above, name) = self.run.target.above(path)?;
        let entry = self.plan.entry(index);
        let own = Mode::RUSR | Mode::WUSR;
        if let Some(stat) = look(&above, name)? {
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1 {
                let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                let opened = match self.run.target.at(path, flags, Mode::empty()) {
                    Err(Errno::ACCESS) => super::metadata::chmod_at(&above, name, own)
                        .and_then(|()| self.run.target.at(path, flags, Mode::empty())),
                    opened => opened,
                }?;
                // Nobody else reads it until its own mode is set.
                let _ = rustix::fs::fchmod(&opened, own);
                return Ok(File::from(opened));
            }
            if entry.has(state::KEPT) {
                return Err(std::io::Error::other("what is there changed while it was restored"));
            }
            remove(&above, name)?;
        } else if entry.has(state::KEPT) {
            return Err(std::io::Error::other("what was there vanished while it was restored"));
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(self.run.target.at(path, flags, own)?))
    }

    fn file_done(&self, index: u32, open: &File) {
        let entry = self.plan.entry(index);
        entry.set(state::DONE);
        if let Err(words) = self.run.rules.set(open, entry, self.plan.extra_of(entry)) {
            self.tell(index, words);
        }
        self.run.progress.done(1, 0);
    }

    /// A file of which a blob cannot be had: what was written of it will be removed.
    fn damaged(&self, index: u32, words: &str) {
        if self.plan.entry(index).set(state::FAILED) {
            self.tell(index, words.to_owned());
        }
    }

    /// A file that the target does not take; a full target ends the restore.
    fn problem(&self, index: u32, source: std::io::Error) {
        let whole = is_whole(&source);
        let error = EngineError::Write { path: shown(&self.plan.path(index)), source };
        if whole { self.stop(error) } else { self.damaged(index, &chain(&error)) }
    }
}

/// Writes bytes at a place and leaves holes where they are zeros. In a file that held something, holes are made; in a
/// new one of its full size they are there.
fn write_sparse(file: &File, plain: &[u8], at: u64, held: bool) -> std::io::Result<()> {
    let is_zero = |block: &&[u8]| block.iter().all(|byte| *byte == 0);
    // Blocks are those of the file, not those of the blob.
    let lead = (HOLE_BYTES - (at % HOLE_BYTES as u64) as usize) % HOLE_BYTES;
    let (head, rest) = plain.split_at(lead.min(plain.len()));
    let blocks: Vec<&[u8]> =
        std::iter::once(head).filter(|head| !head.is_empty()).chain(rest.chunks(HOLE_BYTES)).collect();
    let mut done = 0usize;
    for run in blocks.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
        let bytes: usize = run.iter().map(|block| block.len()).sum();
        let (from, zero) = (at + done as u64, run.first().is_some_and(is_zero));
        let slice = &plain[done..done + bytes];
        if !zero {
            file.write_all_at(slice, from)?;
        } else if held {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if rustix::fs::fallocate(file, hole, from, bytes as u64).is_err() {
                file.write_all_at(slice, from)?;
            }
        }
        done += bytes;
    }
    Ok(())
}
