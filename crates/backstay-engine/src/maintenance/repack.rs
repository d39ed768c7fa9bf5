//! Blobs that move from pack to pack: fetched in runs, opened and hashed, sealed anew and looked at, and named in index
//! files once their packs are there. Who comes in: prune, repair, rewrite and copy.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_storage::ReadCache;
use jiff::Timestamp;

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::compression::Decompressor;
use crate::format::id::Id;
use crate::format::index::{INDEX_BLOBS_MAX, IndexFile};
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, PackWriter, PackedBlob, judge_length, read_header};
use crate::interrupt::Interrupt;
use crate::lock::{LockGuard, LockMode};
use crate::repository::{REMOVALS, Repository, pack_part};

/// A new pack is written when it has so many bytes: restic's default.
pub(super) const PACK_BYTES: usize = 16 << 20;

/// Bytes that are fetched at once from a pack.
pub(super) const FETCH_BYTES: u64 = 32 << 20;

/// Packs after which long work names what it has written: so much is written again when the process dies.
pub(super) const PACKS_UNNAMED_MAX: usize = 64;

/// Packs that one index file names at the most: packs without blobs count too.
const INDEX_PACKS_MAX: usize = 10_000;

/// Judges the lock that a plan is applied under: the exclusive one that it was made under, and still there.
///
/// # Errors
/// [`EngineError::LockLost`].
pub(super) fn held_alone(repository: &Repository, guard: &LockGuard, number: u64) -> Result<(), EngineError> {
    if guard.mode() != LockMode::Exclusive || guard.number() != number {
        return Err(EngineError::LockLost { place: repository.place() });
    }
    guard.check()
}

/// Removes files, several at once, after a look at the lock: before each batch, and within one whenever the last look was
/// not a moment ago, as after a machine's sleep. A lock that is lost raises the interrupt: none is begun after that.
pub(super) fn remove(
    repository: &Repository,
    kind: FileKind,
    ids: &[Id],
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    const BATCH: usize = 64;
    for batch in ids.chunks(BATCH) {
        guard.check()?;
        for few in batch.chunks(REMOVALS) {
            interrupt.check()?;
            guard.check_unless_recent()?;
            repository.files_remove(kind, few, interrupt)?;
        }
    }
    Ok(())
}

/// The first failure of several that work at once: the others take nothing more.
#[derive(Debug, Default)]
pub(super) struct FirstFailure {
    failed: AtomicBool,
    /// Whether nothing more may be written.
    is_final: AtomicBool,
    error: Mutex<Option<EngineError>>,
}

impl FirstFailure {
    /// Says whether there was one.
    pub(super) fn is_there(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn note(&self, error: EngineError) {
        self.is_final.fetch_or(ends_writing(&error), Ordering::AcqRel);
        self.error.lock().expect("no holder panics").get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }
}

/// Ends the work of all when one of them panics: the others need not copy to the end what will not be named.
struct Ending<'a>(&'a FirstFailure);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.note(EngineError::Panicked { does: "copies" });
        }
    }
}

/// Says whether nothing may be written after an error, not even what is sealed: who was told to stop has no time for packs
/// that are not full; a machine that errs, and who has lost the lock, write nothing more.
const fn ends_writing(error: &EngineError) -> bool {
    use EngineError::{Interrupted, LockLost, Machine, Panicked};
    matches!(error, Interrupted | LockLost { .. } | Machine { .. } | Panicked { .. })
}

/// Lets several copiers work at once, each with packs of its own, until each has ended; returns the packs that they wrote,
/// and their bytes. After the first failure what was sealed is written and named all the same, where that may be.
///
/// # Errors
/// The first failure. The others have ended then, and `copy` has looked at [`FirstFailure::is_there`].
pub(super) fn with_copiers(
    count: usize,
    repository: &Repository,
    index: &IndexWriter<'_>,
    copy: impl Fn(&mut Repacker<'_>, &FirstFailure) -> Result<(), EngineError> + Sync,
) -> Result<(u64, u64), EngineError> {
    let first = FirstFailure::default();
    let copier = || {
        let _ending = Ending(&first);
        let mut repacker = Repacker::new(repository, index);
        if let Err(error) = copy(&mut repacker, &first) {
            first.note(error);
        }
        if !first.is_final.load(Ordering::Acquire)
            && let Err(error) = repacker.finish()
        {
            first.note(error);
        }
        (repacker.packs, repacker.bytes)
    };
    let written = std::thread::scope(|scope| {
        let copiers: Vec<_> = (0..count).map(|_| scope.spawn(copier)).collect();
        let mut written = (0, 0);
        for copier in copiers {
            // Who panicked has noted it.
            if let Ok((packs, bytes)) = copier.join() {
                written = (written.0 + packs, written.1 + bytes);
            }
        }
        written
    });
    match first.error.into_inner().expect("no holder panics") {
        None => Ok(written),
        Some(error @ EngineError::Panicked { .. }) => Err(error),
        Some(error) => {
            // Whatever goes wrong now says less than what went wrong first.
            let _ = index.flush();
            Err(error)
        }
    }
}

/// Bytes between two blobs that are fetched rather than asked for around: a request takes longer.
const GAP_BYTES: u64 = 256 << 10;

/// Cuts blobs that are in order of their offsets into runs that are fetched at once, with all that lies between.
pub(super) fn runs(blobs: &[PackedBlob]) -> Vec<&[PackedBlob]> {
    cut(blobs, u64::MAX)
}

/// As [`runs`], without what lies between blobs that are far from each other.
pub(super) fn runs_with_gaps(blobs: &[PackedBlob]) -> Vec<&[PackedBlob]> {
    cut(blobs, GAP_BYTES)
}

fn cut(blobs: &[PackedBlob], gap_bytes_max: u64) -> Vec<&[PackedBlob]> {
    let mut runs = Vec::new();
    let mut begin = 0;
    for at in 1..=blobs.len() {
        let ends = at == blobs.len() || {
            let (first, before, last) = (&blobs[begin], &blobs[at - 1], &blobs[at]);
            let gap = u64::from(last.offset).saturating_sub(u64::from(before.offset) + u64::from(before.length));
            u64::from(last.offset) + u64::from(last.length) - u64::from(first.offset) > FETCH_BYTES
                || gap > gap_bytes_max
        };
        if ends {
            runs.push(&blobs[begin..at]);
            begin = at;
        }
    }
    runs
}

/// Opens blobs and proves them.
pub(super) struct Opener<'a> {
    repository: &'a Repository,
    decompressor: Decompressor,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(repository: &'a Repository) -> Self {
        Self { repository, decompressor: Decompressor::default(), plain: Vec::new(), sealed: Vec::new() }
    }

    /// Returns what was sealed in a blob, compressed or not, once its hash was looked at.
    pub(super) fn open(&mut self, pack: &Id, blob: &PackedBlob, sealed: &[u8]) -> Result<&[u8], EngineError> {
        let told = |source| EngineError::Format {
            place: format!("blob {} at {} in {}", blob.id, blob.offset, FileKind::Pack.key(pack)),
            source,
        };
        judge_length(blob.kind, blob.length, blob.plain_length).map_err(told)?;
        self.sealed.clear();
        self.sealed.extend_from_slice(sealed);
        let stored = self.repository.key().open_in_place(&mut self.sealed, "blob").map_err(told)?;
        let plain = match blob.plain_length {
            Some(length) => {
                self.decompressor.decompress(stored, length as usize, &mut self.plain).map_err(told)?;
                &self.plain[..]
            }
            None => &*stored,
        };
        let found = Id::of(plain);
        if found == blob.id {
            Ok(stored)
        } else {
            Err(told(FormatError::Hash { what: "blob", wanted: blob.id, found }))
        }
    }

    /// Fetches a run of blobs of a pack and hands each to `each`, opened, or why it does not open.
    ///
    /// # Errors
    /// [`EngineError`] when the run cannot be fetched; what `each` returns.
    pub(super) fn each_of_run(
        &mut self,
        pack: &Id,
        run: &[PackedBlob],
        interrupt: &Interrupt,
        mut each: impl FnMut(&PackedBlob, Result<&[u8], EngineError>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let begin = u64::from(first.offset);
        let end = u64::from(last.offset) + u64::from(last.length);
        let fetched = self.repository.pack_read(pack, begin..end, ReadCache::Use, interrupt)?;
        for blob in run {
            interrupt.check()?;
            let from = (blob.offset - first.offset) as usize;
            let sealed = fetched.get(from..from + blob.length as usize).unwrap_or_default();
            each(blob, self.open(pack, blob, sealed))?;
        }
        Ok(())
    }
}

/// Seals blobs into new packs, and has these named once they are there.
pub(super) struct Repacker<'a> {
    repository: &'a Repository,
    index: &'a IndexWriter<'a>,
    data: PackWriter,
    trees: PackWriter,
    opened: Vec<u8>,
    /// Packs that were written.
    pub(super) packs: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl<'a> Repacker<'a> {
    pub(super) fn new(repository: &'a Repository, index: &'a IndexWriter<'a>) -> Self {
        let (data, trees) = (PackWriter::new(Vec::new()), PackWriter::new(Vec::new()));
        Self { repository, index, data, trees, opened: Vec::new(), packs: 0, bytes: 0 }
    }

    /// Seals a blob; `stored` is the plain blob, or its compressed bytes where `plain_length` says how many it has without.
    pub(super) fn add(
        &mut self,
        kind: BlobKind,
        id: Id,
        stored: &[u8],
        plain_length: Option<u32>,
    ) -> Result<(), EngineError> {
        let writer = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        };
        let new = writer.push(self.repository.key(), kind, id, stored, plain_length);
        self.opened.clear();
        self.opened.extend_from_slice(writer.sealed(&new));
        let opened = self.repository.key().open_in_place(&mut self.opened, "blob");
        if !opened.is_ok_and(|opened| *opened == *stored) {
            // It must not be written with what is sealed after it, nor by whoever ends the work.
            *writer = PackWriter::new(Vec::new());
            return Err(EngineError::Machine { id });
        }
        if writer.len() >= PACK_BYTES || writer.blob_count() >= INDEX_PACKS_MAX {
            self.finish_kind(kind)?;
        }
        Ok(())
    }

    /// Writes the open packs, and names them.
    pub(super) fn finish(&mut self) -> Result<(), EngineError> {
        self.finish_kind(BlobKind::Data)?;
        self.finish_kind(BlobKind::Tree)
    }

    /// Ends the work and returns how it ended. What was sealed is written also when it ended early, and then named at once: it
    /// need not be sealed again.
    pub(super) fn end(mut self, work: Result<(), EngineError>) -> Result<(), EngineError> {
        let ended = match work {
            Err(ref error) if ends_writing(error) => work,
            // Whatever goes wrong now says less than what went wrong first.
            work => work.and(self.finish()),
        };
        if ended.is_err() {
            let _ = self.index.flush();
        }
        ended
    }

    fn finish_kind(&mut self, kind: BlobKind) -> Result<(), EngineError> {
        let writer = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        };
        if writer.is_empty() {
            return Ok(());
        }
        let pack = std::mem::replace(writer, PackWriter::new(Vec::new())).finish(self.repository.key());
        let header = read_header(self.repository.key(), &pack.body);
        if !header.is_ok_and(|header| header == pack.blobs) {
            return Err(EngineError::Machine { id: pack.id });
        }
        (self.packs, self.bytes) = (self.packs + 1, self.bytes + pack.body.len() as u64);
        let part = pack_part(&pack);
        self.repository.pack_write(&pack.id, pack.body.into(), part, self.index.interrupt)?;
        self.index.push(pack.id, &pack.blobs)
    }
}

/// Writes index files of restic's size. Several threads may hand it packs.
pub(super) struct IndexWriter<'a> {
    repository: &'a Repository,
    guard: &'a LockGuard,
    interrupt: &'a Interrupt,
    packs_max: usize,
    /// The one that is being filled.
    file: Mutex<IndexFile>,
    /// Files that were written and packs that they name, where somebody wants to know.
    noted: Option<Mutex<Written>>,
}

/// Index files and packs.
type Written = (Vec<Id>, Vec<Id>);

impl<'a> IndexWriter<'a> {
    pub(super) fn new(repository: &'a Repository, guard: &'a LockGuard, interrupt: &'a Interrupt) -> Self {
        Self { repository, guard, interrupt, packs_max: INDEX_PACKS_MAX, file: Mutex::default(), noted: None }
    }

    /// Writes a file for so many packs, and not only when it is full.
    pub(super) fn each(self, packs_max: usize) -> Self {
        Self { packs_max, ..self }
    }

    /// Notes what it writes.
    pub(super) fn noting(self) -> Self {
        Self { noted: Some(Mutex::default()), ..self }
    }

    /// Returns what was noted since then.
    pub(super) fn noted(&self) -> Written {
        self.noted
            .as_ref()
            .map(|noted| std::mem::take(&mut *noted.lock().expect("no holder panics")))
            .unwrap_or_default()
    }

    /// Writes files only when they are full from now on.
    pub(super) fn whole(self) -> Self {
        self.each(INDEX_PACKS_MAX)
    }

    /// Names a pack that is there.
    pub(super) fn push(&self, pack: Id, blobs: &[PackedBlob]) -> Result<(), EngineError> {
        self.fill(|file| file.push(pack, blobs))
    }

    /// Names a pack as one that is about to go, since when.
    pub(super) fn push_pending(
        &self,
        pack: Id,
        blobs: &[PackedBlob],
        size_bytes: u64,
        marked_at: Timestamp,
    ) -> Result<(), EngineError> {
        self.fill(|file| file.push_pending(pack, blobs, size_bytes, marked_at))
    }

    fn fill(&self, name: impl FnOnce(&mut IndexFile)) -> Result<(), EngineError> {
        let mut file = self.file.lock().expect("no holder panics");
        name(&mut file);
        let full = file.blob_count() >= INDEX_BLOBS_MAX || file.pack_count() >= self.packs_max;
        if full { self.write(&mut file) } else { Ok(()) }
    }

    /// Writes what is not written yet.
    pub(super) fn flush(&self) -> Result<(), EngineError> {
        self.write(&mut self.file.lock().expect("no holder panics"))
    }

    fn write(&self, file: &mut IndexFile) -> Result<(), EngineError> {
        if !file.is_empty() {
            // After a sleep somebody else may have pruned: what we would write then names packs that are gone.
            self.guard.check()?;
            let file = std::mem::take(file);
            let (packs, _) = file.pack_ids();
            let (id, _) = self.repository.file_write(FileKind::Index, &file.write(), self.interrupt)?;
            if let Some(noted) = &self.noted {
                let mut noted = noted.lock().expect("no holder panics");
                noted.0.push(id);
                noted.1.extend(packs);
            }
        }
        Ok(())
    }
}
