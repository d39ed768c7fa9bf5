//! Sending what the target lacks: pack by pack, several at once, index files as they come, snapshots last.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_storage::ReadCache;

use super::plan::CopyPlan;
use crate::error::EngineError;
use crate::format::compression::Compressor;
use crate::format::id::Id;
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, PackedBlob};
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::maintenance::bits::Bits;
use crate::maintenance::ledger::Ledger;
use crate::maintenance::repack::{FirstFailure, IndexWriter, Opener, Repacker, runs_with_gaps, with_copiers};
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// Packs after which an index file is written: what a cut copy would send again is bounded.
const INDEX_PACKS: usize = 16;

/// Snapshots that are written after one look at the target's index.
const SNAPSHOTS_A_LOOK: usize = 16;

/// Copiers that work at once: while one waits for either storage the others compute. Each holds what it fetched and the
/// two packs that it fills, 40 MB with packs of usual size, and leaves two packs that are not full.
const COPIERS: usize = 4;

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
/// [`EngineError`] as soon as anything goes wrong: no snapshot is written after that. [`EngineError::Overtaken`] when what
/// the target had is about to go: the next plan sends it.
pub fn apply(
    (source, target): (&Repository, &Repository),
    plan: CopyPlan,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Copied, EngineError> {
    guard.check()?;
    progress.set_totals(plan.preview.blobs, plan.preview.bytes);
    let CopyPlan { index, wanted, files, mut seen, .. } = plan;
    let ledger = Ledger::new(index, Vec::new(), Vec::new(), interrupt)?;
    let names = IndexWriter::new(target, guard, interrupt).each(INDEX_PACKS).noting();
    let runs = Mutex::new(runs_of(&ledger, &wanted));
    let sending = Sending { source, ledger: &ledger, runs, blobs: AtomicU64::default(), progress, interrupt };
    // Packs that are there are named also when it ends early: they are not sent again.
    let (packs, bytes) = with_copiers(COPIERS, target, &names, |repacker, first| sending.send_runs(repacker, first))?;
    names.flush()?;
    seen.add_own(names.noted());
    let mut copied = Copied { blobs: sending.blobs.into_inner(), packs, bytes, ..Copied::default() };
    progress.publishing.store(true, Ordering::Relaxed);
    for (number, (id, plain)) in files.into_iter().enumerate() {
        interrupt.check()?;
        guard.check()?;
        if number % SNAPSHOTS_A_LOOK == 0 {
            // Who slept through the loss of a lock may have pruned what was not sent because it was there.
            seen.look_again(target)?;
        }
        let (new, _) = target.file_write(FileKind::Snapshot, &plain, interrupt)?;
        copied.snapshots.push((id, new));
    }
    // A snapshot counts as good only when the lock was still there afterwards.
    guard.check()?;
    Ok(copied)
}

/// Blobs of a pack that are fetched at once.
struct Run {
    pack: Id,
    blobs: Vec<PackedBlob>,
}

/// Returns what is fetched, pack by pack.
fn runs_of<'a>(ledger: &'a Ledger, wanted: &'a Bits) -> impl Iterator<Item = Run> + Send + use<'a> {
    (0..ledger.packs.len()).flat_map(move |place| {
        let blobs = ledger.blobs(place).into_iter().filter(|(blob, _)| wanted.has(*blob));
        let blobs: Vec<PackedBlob> = blobs.map(|(_, blob)| blob).collect();
        let pack = ledger.packs[place].id;
        let runs = runs_with_gaps(&blobs).into_iter().map(|run| Run { pack, blobs: run.to_vec() });
        runs.collect::<Vec<Run>>()
    })
}

/// What copiers share.
struct Sending<'a, I> {
    source: &'a Repository,
    ledger: &'a Ledger,
    runs: Mutex<I>,
    /// Blobs that were sent.
    blobs: AtomicU64,
    progress: &'a EngineProgress,
    interrupt: &'a Interrupt,
}

impl<I: Iterator<Item = Run> + Send> Sending<'_, I> {
    /// Sends runs until none is left or somebody failed.
    fn send_runs(&self, repacker: &mut Repacker<'_>, first: &FirstFailure) -> Result<(), EngineError> {
        let mut opener = Opener::new(self.source);
        let mut others = BlobReader::new(self.source, &self.ledger.index, ReadCache::Use, self.interrupt);
        loop {
            self.interrupt.check()?;
            if first.is_there() {
                return Ok(());
            }
            let Some(run) = self.runs.lock().expect("no holder panics").next() else { return Ok(()) };
            self.send(&run, &mut opener, &mut others, repacker)?;
            self.blobs.fetch_add(run.blobs.len() as u64, Ordering::Relaxed);
        }
    }

    fn send(
        &self,
        run: &Run,
        opener: &mut Opener<'_>,
        others: &mut BlobReader<'_>,
        repacker: &mut Repacker<'_>,
    ) -> Result<(), EngineError> {
        let mut done = 0;
        let fetched = opener.each_of_run(&run.pack, &run.blobs, self.interrupt, |blob, stored| {
            match stored {
                Ok(stored) => repacker.add(blob.kind, blob.id, stored, blob.plain_length)?,
                Err(error) if error.is_harm() => send_other_copy(others, repacker, blob)?,
                Err(error) => return Err(error),
            }
            done += 1;
            self.progress.done(1, u64::from(blob.length));
            Ok(())
        });
        match fetched {
            // The pack is gone or short: another may have what it had.
            Err(error) if error.is_harm() && done == 0 => run.blobs.iter().try_for_each(|blob| {
                self.interrupt.check()?;
                send_other_copy(others, repacker, blob)?;
                self.progress.done(1, u64::from(blob.length));
                Ok(())
            }),
            answer => answer,
        }
    }
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
