//! Doing what a plan says, in the one order in which every moment leaves a good repository.

use backstay_storage::ReadCache;

use super::plan::{Fate, PrunePlan, PrunePreview};
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::compression::Decompressor;
use crate::format::id::{Id, IdSet};
use crate::format::index::{INDEX_BLOBS_MAX, IndexFile, PackNumber};
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, PackWriter, PackedBlob, judge_length, read_header};
use crate::interrupt::Interrupt;
use crate::lock::{LockGuard, LockMode};
use crate::repository::{Repository, pack_part};

/// A new pack is written when it has so many bytes: restic's default.
const PACK_BYTES: usize = 16 << 20;

/// Bytes that are fetched at once from a pack that is rewritten.
const FETCH_BYTES: u64 = 32 << 20;

/// Packs that one index file names at the most: packs without blobs count too.
const INDEX_PACKS_MAX: usize = 10_000;

/// Does what the plan says, and returns what was done. It may be repeated, after a failure too: what is done stays done.
///
/// # Errors
/// [`EngineError::LockLost`] when the lock is not the exclusive one that the plan was made under, or is gone;
/// [`EngineError`] as soon as anything goes wrong: nothing is removed after that.
pub fn apply(
    repository: &Repository,
    plan: PrunePlan,
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<PrunePreview, EngineError> {
    if guard.mode() != LockMode::Exclusive || guard.number() != plan.lock {
        return Err(EngineError::LockLost { place: repository.place() });
    }
    guard.check()?;
    let mut index = IndexWriter { repository, guard, interrupt, file: IndexFile::default() };
    if !plan.replaced.is_empty() || !plan.ledger.unnamed.is_empty() {
        rewrite(repository, &plan, guard, interrupt, &mut index)?;
        index_write(&plan, &mut index)?;
        index.flush()?;
    }
    let files: Vec<Id> = plan.replaced.iter().map(|part| plan.ledger.parts[*part].id).collect();
    remove(repository, FileKind::Index, &files, guard, interrupt)?;
    let over = plan.ledger.packs.iter().zip(&plan.fates).filter(|(_, fate)| **fate == Fate::Remove);
    let over: Vec<Id> = over.map(|(pack, _)| pack.id).collect();
    remove(repository, FileKind::Pack, &over, guard, interrupt)?;
    Ok(plan.preview)
}

/// Removes files, each batch after a look at the lock.
fn remove(
    repository: &Repository,
    kind: FileKind,
    ids: &[Id],
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    const BATCH: usize = 64;
    for batch in ids.chunks(BATCH) {
        guard.check()?;
        for id in batch {
            interrupt.check()?;
            repository.file_remove(kind, id, interrupt)?;
        }
    }
    Ok(())
}

/// Names in new index files what the replaced ones named: kept packs as before, others as packs to delete.
fn index_write(plan: &PrunePlan, index: &mut IndexWriter<'_>) -> Result<(), EngineError> {
    let ledger = &plan.ledger;
    let mut named = IdSet::default();
    for part in &plan.replaced {
        let part = &ledger.parts[*part];
        let known = part.known.clone().map(PackNumber::Known);
        for number in known.chain(part.pending.clone().map(PackNumber::Pending)) {
            let place = ledger.pack_of(number);
            let pack = &ledger.packs[place];
            if !named.insert(pack.id) {
                continue;
            }
            let blobs = || ledger.blobs(place).into_iter().map(|(_, blob)| blob).collect::<Vec<PackedBlob>>();
            let bytes = pack.there_bytes.unwrap_or(0);
            match plan.fates[place] {
                Fate::Keep | Fate::Recover => index.file.push(pack.id, &blobs()),
                Fate::Rewrite | Fate::Mark => index.file.push_pending(pack.id, &blobs(), bytes, plan.now),
                Fate::Wait => {
                    let at = pack.marked_at.unwrap_or(plan.now);
                    index.file.push_pending(pack.id, &blobs(), bytes, at);
                }
                Fate::Remove | Fate::Forget => {}
            }
            index.flush_if_full()?;
        }
    }
    for (id, bytes) in &ledger.unnamed {
        index.file.push_pending(*id, &[], *bytes, plan.now);
        index.flush_if_full()?;
    }
    Ok(())
}

/// Copies what is needed out of packs that are rewritten.
fn rewrite(
    repository: &Repository,
    plan: &PrunePlan,
    guard: &LockGuard,
    interrupt: &Interrupt,
    index: &mut IndexWriter<'_>,
) -> Result<(), EngineError> {
    let mut copier = Copier {
        repository,
        decompressor: Decompressor::default(),
        plain: Vec::new(),
        data: PackWriter::new(Vec::new()),
        trees: PackWriter::new(Vec::new()),
    };
    for (place, pack) in plan.ledger.packs.iter().enumerate() {
        if plan.fates[place] != Fate::Rewrite {
            continue;
        }
        interrupt.check()?;
        if guard.is_lost() {
            return Err(EngineError::LockLost { place: repository.place() });
        }
        let needed = plan.ledger.blobs(place).into_iter().filter(|(blob, _)| plan.chosen.has(*blob));
        let needed: Vec<PackedBlob> = needed.map(|(_, blob)| blob).collect();
        for run in runs(&needed) {
            copier.copy(&pack.id, run, index, interrupt)?;
        }
    }
    copier.finish(BlobKind::Data, index)?;
    copier.finish(BlobKind::Tree, index)
}

/// Cuts blobs that are in order of their offsets into runs that are fetched at once.
fn runs(blobs: &[PackedBlob]) -> Vec<&[PackedBlob]> {
    let mut runs = Vec::new();
    let mut begin = 0;
    for at in 1..=blobs.len() {
        let ends = at == blobs.len() || {
            let (first, last) = (&blobs[begin], &blobs[at]);
            u64::from(last.offset) + u64::from(last.length) - u64::from(first.offset) > FETCH_BYTES
        };
        if ends {
            runs.push(&blobs[begin..at]);
            begin = at;
        }
    }
    runs
}

/// Opens blobs, proves them, and seals them into new packs.
struct Copier<'a> {
    repository: &'a Repository,
    decompressor: Decompressor,
    plain: Vec<u8>,
    data: PackWriter,
    trees: PackWriter,
}

impl Copier<'_> {
    fn copy(
        &mut self,
        pack: &Id,
        run: &[PackedBlob],
        index: &mut IndexWriter<'_>,
        interrupt: &Interrupt,
    ) -> Result<(), EngineError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let begin = u64::from(first.offset);
        let end = u64::from(last.offset) + u64::from(last.length);
        let fetched = self.repository.pack_read(pack, begin..end, ReadCache::Use, interrupt)?;
        for blob in run {
            let told = |source| EngineError::Format {
                place: format!("blob {} at {} in {}", blob.id, blob.offset, FileKind::Pack.key(pack)),
                source,
            };
            judge_length(blob.kind, blob.length, blob.plain_length).map_err(told)?;
            let from = (blob.offset - first.offset) as usize;
            let mut sealed = fetched[from..from + blob.length as usize].to_vec();
            let stored = self.repository.key().open_in_place(&mut sealed, "blob").map_err(told)?;
            let plain = match blob.plain_length {
                Some(length) => {
                    self.decompressor.decompress(stored, length as usize, &mut self.plain).map_err(told)?;
                    &self.plain[..]
                }
                None => &*stored,
            };
            let found = Id::of(plain);
            if found != blob.id {
                return Err(told(FormatError::Hash { what: "blob", wanted: blob.id, found }));
            }
            let writer = match blob.kind {
                BlobKind::Data => &mut self.data,
                BlobKind::Tree => &mut self.trees,
            };
            let new = writer.push(self.repository.key(), blob.kind, blob.id, stored, blob.plain_length);
            let mut again = writer.sealed(&new).to_vec();
            let opened = self.repository.key().open_in_place(&mut again, "blob");
            if !opened.is_ok_and(|opened| *opened == *stored) {
                return Err(EngineError::Machine { id: blob.id });
            }
            if writer.len() >= PACK_BYTES || writer.blob_count() >= INDEX_PACKS_MAX {
                self.finish(blob.kind, index)?;
            }
        }
        Ok(())
    }

    /// Writes the open pack of a kind, and names it in the index.
    fn finish(&mut self, kind: BlobKind, index: &mut IndexWriter<'_>) -> Result<(), EngineError> {
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
        let part = pack_part(&pack);
        self.repository.pack_write(&pack.id, pack.body.into(), part, index.interrupt)?;
        index.file.push(pack.id, &pack.blobs);
        index.flush_if_full()
    }
}

/// Writes index files of restic's size.
struct IndexWriter<'a> {
    repository: &'a Repository,
    guard: &'a LockGuard,
    interrupt: &'a Interrupt,
    file: IndexFile,
}

impl IndexWriter<'_> {
    fn flush_if_full(&mut self) -> Result<(), EngineError> {
        let full = self.file.blob_count() >= INDEX_BLOBS_MAX || self.file.pack_count() >= INDEX_PACKS_MAX;
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        if !self.file.is_empty() {
            // After a sleep somebody else may have pruned: what we would write then names packs that are gone.
            self.guard.check()?;
            self.repository.file_write(FileKind::Index, &std::mem::take(&mut self.file).write(), self.interrupt)?;
        }
        Ok(())
    }
}
