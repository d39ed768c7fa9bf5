//! Sending what the target lacks: pack by pack, index files as they come, snapshots last.

use backstay_storage::ReadCache;

use super::plan::CopyPlan;
use crate::error::EngineError;
use crate::format::compression::Compressor;
use crate::format::id::Id;
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, PackedBlob};
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::maintenance::ledger::Ledger;
use crate::maintenance::repack::{Opener, Repacker, runs_with_gaps};
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// Packs after which an index file is written: what a cut copy would send again is bounded.
const INDEX_PACKS: u64 = 16;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Snapshots that were written, each with its id in the source.
    pub snapshots: Vec<(Id, Id)>,
    /// Blobs that were sent.
    pub blobs: u64,
    /// Packs that were written.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Does what the plan says. `guard` is the lock in the target under which the plan was made, of any mode. It may be
/// repeated with a new plan, after a failure too: what an index file names is not sent again. `progress` counts blobs as
/// files.
///
/// # Errors
/// [`EngineError`] as soon as anything goes wrong: no snapshot is written after that.
pub fn apply(
    (source, target): (&Repository, &Repository),
    plan: CopyPlan,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Copied, EngineError> {
    guard.check()?;
    progress.set_totals(plan.preview.blobs, plan.preview.bytes);
    let CopyPlan { index, wanted, files, .. } = plan;
    let ledger = Ledger::new(index, Vec::new(), Vec::new());
    let mut repacker = Repacker::new(target, guard, interrupt);
    let mut copied = Copied::default();
    let mut send = || -> Result<(), EngineError> {
        let mut opener = Opener::new(source);
        let mut others = BlobReader::new(source, &ledger.index, ReadCache::Use, interrupt);
        let mut named = 0;
        for place in 0..ledger.packs.len() {
            let blobs = ledger.blobs(place).into_iter().filter(|(blob, _)| wanted.has(*blob));
            let blobs: Vec<PackedBlob> = blobs.map(|(_, blob)| blob).collect();
            let pack = ledger.packs[place].id;
            for run in runs_with_gaps(&blobs) {
                interrupt.check()?;
                let mut done = 0;
                let fetched = opener.each_of_run(&pack, run, interrupt, |blob, stored| {
                    match stored {
                        Ok(stored) => repacker.add(blob.kind, blob.id, stored, blob.plain_length)?,
                        Err(error) if error.is_harm() => send_other_copy(&mut others, &mut repacker, blob)?,
                        Err(error) => return Err(error),
                    }
                    done += 1;
                    progress.done(1, u64::from(blob.length));
                    Ok(())
                });
                match fetched {
                    // The pack is gone or short: another may have what it had.
                    Err(error) if error.is_harm() && done == 0 => {
                        for blob in run {
                            interrupt.check()?;
                            send_other_copy(&mut others, &mut repacker, blob)?;
                            progress.done(1, u64::from(blob.length));
                        }
                    }
                    answer => answer?,
                }
                copied.blobs += run.len() as u64;
            }
            if repacker.packs >= named + INDEX_PACKS {
                named = repacker.packs;
                repacker.index.flush()?;
            }
        }
        Ok(())
    };
    let sent = send();
    // What was read is kept and named also when it ends early: it is not sent again. Who was told to stop has no time to
    // send packs that are not full.
    let kept = if matches!(sent, Err(EngineError::Interrupted)) { Ok(()) } else { repacker.finish() };
    let named = kept.and_then(|()| repacker.index.flush());
    sent?;
    named?;
    (copied.packs, copied.bytes) = (repacker.packs, repacker.bytes);
    progress.publishing.store(true, std::sync::atomic::Ordering::Relaxed);
    for (id, plain) in files {
        interrupt.check()?;
        guard.check()?;
        let (new, _) = target.file_write(FileKind::Snapshot, &plain, interrupt)?;
        copied.snapshots.push((id, new));
    }
    // A snapshot counts as good only when the lock was still there afterwards.
    guard.check()?;
    Ok(copied)
}

/// Sends a blob that cannot be had where the plan says: from any other pack that has it.
fn send_other_copy(
    others: &mut BlobReader<'_>,
    repacker: &mut Repacker<'_>,
    blob: &PackedBlob,
) -> Result<(), EngineError> {
    let (plain, mut packed) = (others.read(blob.kind, &blob.id)?, Vec::new());
    Compressor::default().compress(&plain, &mut packed);
    let shrinks = blob.kind == BlobKind::Tree || packed.len() < plain.len();
    let length = u32::try_from(plain.len()).ok().filter(|_| shrinks);
    repacker.add(blob.kind, blob.id, if shrinks { &packed } else { &plain }, length)
}
