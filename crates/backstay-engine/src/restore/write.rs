//! Moving the bytes: packs in long ranges, blobs to their places.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use backstay_core::managers::job::chain;
use backstay_storage::{ReadCache, StorageError};
use rustix::fs::{FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Run;
use super::plan::{Action, Part, RestorePlan, state};
use super::stage::{is_staged, settle, work_path};
use super::target::{is_whole, shown, split};
use crate::error::EngineError;
use crate::format::index::Index;
use crate::format::node::NodeKind;
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::repository::{BadCopy, BlobReader};
use crate::system::{System, SystemCall};

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
        staged: is_staged(run.options),
        copies: Mutex::default(),
        bad_copies: Mutex::default(),
    };
    let (index, next) = (Index::default(), AtomicUsize::new(0));
    shared.finish_files_without_parts();
    std::thread::scope(|scope| {
        for _ in 0..run.options.workers.max(1) {
            scope.spawn(|| {
                let mut blobs = BlobReader::new(run.repository, &index, ReadCache::Use, run.interrupt);
                while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if shared.stopped() {
                        return;
                    }
                    shared.write_range(&mut blobs, range);
                }
            });
        }
    });
    shared.sweep();
    let Shared { problems, failure, bytes, bad_copies, .. } = shared;
    plan.bad_copies.append(&mut bad_copies.into_inner().expect("no holder panics"));
    let failure = failure.into_inner().expect("no holder panics");
    let mut problems = problems.into_inner().expect("no holder panics");
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
    /// Whether files lie beside their places while they are in work.
    staged: bool,
    /// The index, loaded again when a copy is bad: the plan has the first place of each blob alone.
    copies: Mutex<Option<Arc<Index>>>,
    bad_copies: Mutex<Vec<BadCopy>>,
}

impl Shared<'_> {
    fn stopped(&self) -> bool {
        self.run.interrupt.is_raised() || self.failure.lock().expect("no holder panics").is_some()
    }

    /// Removes what was written of files that cannot be had. Only when nobody writes any more: a part could else make a
    /// file again that was removed.
    fn sweep(&self) {
        for (index, entry) in (0..).zip(&self.plan.entries) {
            if entry.has(state::TOUCHED) && entry.has(state::FAILED) {
                let path = self.work_path(index);
                // It may be gone already; the end is the same.
                let _ = self.run.target.above(&path).and_then(|(above, name)| self.run.target.remove(&above, name));
            }
        }
    }

    /// Returns where a file lies while it is written.
    fn work_path(&self, index: u32) -> Vec<u8> {
        let path = self.plan.path(index);
        if self.staged { work_path(self.run.options, &path) } else { path }
    }

    fn stop(&self, error: EngineError) {
        self.failure.lock().expect("no holder panics").get_or_insert(error);
    }

    fn tell(&self, entry: u32, words: String) {
        self.problems.lock().expect("no holder panics").push((entry, words));
    }

    /// Names an entry and the others that become names of its inode.
    fn tell_all_names(&self, index: u32, words: &str) {
        let links = self.plan.extra_of(self.plan.entry(index)).map_or(0, |extra| extra.links);
        let set = self.plan.links.get(links.wrapping_sub(1) as usize).map_or(&[][..], Vec::as_slice);
        let others = set.iter().filter(|other| **other != index && self.plan.entry(**other).has(state::LINKED));
        others.chain([&index]).for_each(|index| self.tell(*index, words.to_owned()));
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
            self.tell_all_names(index, &words);
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
        // A range is fetched whole: one blob that is longer than any has must not be.
        if let Err(source) = first.judge_length() {
            let error = self.run.repository.told(FileKind::Pack, &pack, source);
            parts.chunk_by(Part::is_same_blob).for_each(|same| self.write_other_copy(same, &error));
            return;
        }
        let body = match self.run.repository.pack_read(&pack, range, ReadCache::Use, self.run.interrupt) {
            Ok(body) => body,
            // The pack ends too early: what lies before its end is still good.
            Err(EngineError::Storage(StorageError::Short { .. })) if !first.is_same_blob(last) => {
                parts.chunk_by(Part::is_same_blob).for_each(|part| self.write_range(blobs, part));
                return;
            }
            Err(error) if error.is_harm() => {
                parts.chunk_by(Part::is_same_blob).for_each(|same| self.write_other_copy(same, &error));
                return;
            }
            // The storage does not answer: files are not given up for that, the restore is.
            Err(error) => return self.stop(error),
        };
        let (mut copy, mut plain, mut before) = (Vec::new(), Vec::new(), None);
        for part in parts.iter().filter(alive) {
            if self.stopped() {
                return;
            }
            if !before.is_some_and(|before| part.is_same_blob(before)) {
                let opened = part.slice_of(&body, begin).and_then(|sealed| {
                    copy.clear();
                    copy.extend_from_slice(sealed);
                    blobs.open(BlobKind::Data, &part.place(packs), &part.id, &mut copy, &mut plain)
                });
                if let Err(error) = opened {
                    before = None;
                    self.write_other_copy(std::slice::from_ref(part), &error);
                    continue;
                }
                before = Some(part);
            }
            self.write_part(part, &plain);
        }
    }

    /// Writes a blob whose copy cannot be had from another one. Where there is none, the files that it is part of are
    /// given up.
    fn write_other_copy(&self, parts: &[Part], error: &EngineError) {
        let alive: Vec<&Part> = parts.iter().filter(|part| !self.plan.entry(part.entry).has(state::FAILED)).collect();
        let Some(first) = alive.first() else { return };
        match self.read_other_copy(first) {
            // A copy of another length is of another blob, whatever the index says.
            Ok(Some(plain)) if plain.len() as u64 == first.plain_bytes(&self.plan.packs) => {
                alive.iter().for_each(|part| self.write_part(part, &plain));
            }
            Ok(_) => {
                let words = chain(error);
                alive.iter().for_each(|part| self.damaged(part.entry, &words));
            }
            Err(error) => self.stop(error),
        }
    }

    /// Returns a blob from whichever copy of it can be had.
    fn read_other_copy(&self, part: &Part) -> Result<Option<Vec<u8>>, EngineError> {
        let index = {
            let mut copies = self.copies.lock().expect("no holder panics");
            match &*copies {
                Some(index) => Arc::clone(index),
                None => match self.run.repository.index_load(self.run.interrupt) {
                    Ok(index) => Arc::clone(copies.insert(Arc::new(index))),
                    Err(error) if error.is_harm() => return Ok(None),
                    Err(error) => return Err(error),
                },
            }
        };
        let mut blobs = BlobReader::new(self.run.repository, &index, ReadCache::Use, self.run.interrupt);
        let read = blobs.read(BlobKind::Data, &part.id);
        self.bad_copies.lock().expect("no holder panics").append(&mut blobs.take_bad_copies());
        match read {
            Ok(plain) => Ok(Some(plain)),
            Err(error) if error.is_harm() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_part(&self, part: &Part, plain: &[u8]) {
        let entry = self.plan.entry(part.entry);
        let written = self.open_file(part.entry).and_then(|open| {
            let held = entry.action == Action::Overwrite && !self.staged;
            let file = Written { file: &open, system: self.run.target.system(), name: self.plan.name(entry) };
            if self.run.options.sparse { file.write_sparse(plain, part.at, held) } else { file.write(plain, part.at) }?;
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
        let path = self.work_path(index);
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
            _ if self.staged => self.open_work(&path)?,
            Action::Overwrite => self.open_replaced(index, &path)?,
            _ => File::from(self.run.target.at(&path, make, Mode::RUSR | Mode::WUSR)?),
        };
        entry.set(state::TOUCHED);
        if self.run.options.sparse || entry.action == Action::Overwrite {
            self.run.target.system().before(SystemCall::Write, self.plan.name(entry))?;
            open.set_len(entry.size)?;
        }
        Ok(open)
    }

    /// Makes the file that is in work, and removes what an earlier run left of it.
    fn open_work(&self, path: &[u8]) -> std::io::Result<File> {
        let (above, name) = self.run.target.above(path)?;
        self.run.target.remove(&above, name)?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(self.run.target.at(path, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Opens a regular file that has no other name as it is; anything else makes room for a new file.
    fn open_replaced(&self, index: u32, path: &[u8]) -> std::io::Result<File> {
        let (above, name) = self.run.target.above(path)?;
        let entry = self.plan.entry(index);
        let own = Mode::RUSR | Mode::WUSR;
        if let Some(stat) = self.run.target.look(&above, name)? {
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
            self.run.target.remove(&above, name)?;
        } else if entry.has(state::KEPT) {
            return Err(std::io::Error::other("what was there vanished while it was restored"));
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(self.run.target.at(path, flags, own)?))
    }

    /// A file of which all is written gets its metadata, and its place where it was kept apart.
    fn file_done(&self, index: u32, open: &File) {
        let entry = self.plan.entry(index);
        if let Err(words) = self.run.rules.set(open, self.plan.name(entry), entry, self.plan.extra_of(entry)) {
            self.tell_all_names(index, &words);
        }
        if self.staged
            && let Err(error) = self.settle(index)
        {
            return self.problem(index, error.into());
        }
        entry.set(state::DONE);
        self.run.progress.done(1, 0);
    }

    fn settle(&self, index: u32) -> rustix::io::Result<()> {
        let (path, work) = (self.plan.path(index), self.work_path(index));
        let (above, name) = self.run.target.above(&path)?;
        settle(self.run.target, &above, split(&work).1, name, self.plan.entry(index).action)
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

/// A file that is written.
struct Written<'a> {
    file: &'a File,
    system: &'a System,
    name: &'a [u8],
}

impl Written<'_> {
    /// Writes bytes at a place, in as many goes as it takes.
    fn write(&self, mut plain: &[u8], mut at: u64) -> std::io::Result<()> {
        while !plain.is_empty() {
            let room = self.system.room(SystemCall::Write, self.name, plain.len())?;
            match self.file.write_at(&plain[..room], at) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(written) => (plain, at) = (&plain[written..], at + written as u64),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes bytes at a place and leaves holes where they are zeros. In a file that held something, holes are made; in
    /// a new one of its full size they are there.
    fn write_sparse(&self, plain: &[u8], at: u64, held: bool) -> std::io::Result<()> {
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
                self.write(slice, from)?;
            } else if held {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                if rustix::fs::fallocate(self.file, hole, from, bytes as u64).is_err() {
                    self.write(slice, from)?;
                }
            }
            done += bytes;
        }
        Ok(())
    }
}
