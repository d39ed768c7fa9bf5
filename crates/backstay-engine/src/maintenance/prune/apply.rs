//! Doing what a plan says, in the one order in which every moment leaves a good repository.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::plan::{Fate, PrunePlan, PrunePreview};
use crate::error::EngineError;
use crate::format::id::{Id, IdSet};
use crate::format::index::PackNumber;
use crate::format::object::FileKind;
use crate::format::pack::PackedBlob;
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::maintenance::repack::{IndexWriter, Opener, PACKS_UNNAMED_MAX, held_alone, remove, runs, with_copiers};
use crate::progress::EngineProgress;
use crate::repository::Repository;

/// Copiers that work at once: while one waits for the storage the others compute. Each holds what it fetched and the two packs
/// that it fills, 40 MB with packs of usual size.
const COPIERS: usize = 3;

/// Does what the plan says, and returns what was done. It may be repeated, after a failure too: what is done stays done.
/// `progress` counts packs that are rewritten as files, and the bytes that are copied out of them.
///
/// # Errors
/// [`EngineError::LockLost`] when the lock is not the exclusive one that the plan was made under, or is gone;
/// [`EngineError`] as soon as anything goes wrong: nothing is removed after that.
pub fn apply(
    repository: &Repository,
    mut plan: PrunePlan,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<PrunePreview, EngineError> {
    held_alone(repository, guard, plan.lock)?;
    // First of all, while the files that say since when they are marked are there: what a cut leaves is removed by the next
    // prune, without another grace, and where one may not be removed nothing is written. Every file that names one of them
    // names it as about to go.
    let over = plan.ledger.packs.iter().zip(&plan.fates).filter(|(_, fate)| **fate == Fate::Remove);
    let over: Vec<Id> = over.map(|(pack, _)| pack.id).collect();
    remove(repository, FileKind::Pack, &over, guard, interrupt)?;
    if !plan.replaced.is_empty() || !plan.ledger.unnamed.is_empty() {
        let index = IndexWriter::new(repository, guard, interrupt).each(PACKS_UNNAMED_MAX);
        rewrite(repository, &plan, &index, guard, progress, interrupt)?;
        // Copying may have taken hours, and the grace begins when others can see the marks.
        plan.now = guard.storage_now_at_most();
        let index = index.whole();
        index_write(&plan, &index)?;
        index.flush()?;
    }
    progress.publishing.store(true, Ordering::Relaxed);
    let files: Vec<Id> = plan.replaced.iter().map(|part| plan.ledger.parts[*part].id).collect();
    remove(repository, FileKind::Index, &files, guard, interrupt)?;
    Ok(plan.preview)
}

/// Names in new index files what the replaced ones named: kept packs as before, others as packs to delete.
fn index_write(plan: &PrunePlan, index: &IndexWriter<'_>) -> Result<(), EngineError> {
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
                Fate::Keep | Fate::Recover => index.push(pack.id, &blobs())?,
                Fate::Rewrite | Fate::Mark => index.push_pending(pack.id, &blobs(), bytes, plan.now)?,
                Fate::Wait => {
                    let at = pack.marked_at.unwrap_or(plan.now);
                    index.push_pending(pack.id, &blobs(), bytes, at)?;
                }
                Fate::Remove | Fate::Forget => {}
            }
        }
    }
    for (id, bytes) in &ledger.unnamed {
        index.push_pending(*id, &[], *bytes, plan.now)?;
    }
    Ok(())
}

/// Copies what is needed out of packs that are rewritten, and names it as it goes, also when it ends early: the next prune
/// finds it in packs that are needed whole, and copies only the others.
fn rewrite(
    repository: &Repository,
    plan: &PrunePlan,
    index: &IndexWriter<'_>,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let is_rewritten = |place: &usize| plan.fates[*place] == Fate::Rewrite;
    let copiers = (0..plan.fates.len()).filter(is_rewritten).take(COPIERS).count();
    let places = Mutex::new((0..plan.fates.len()).filter(is_rewritten));
    progress.set_totals(plan.preview.packs_rewritten, plan.preview.bytes_rewritten);
    let copied = with_copiers(copiers, repository, index, |repacker, first| {
        let mut opener = Opener::new(repository);
        while !first.is_there() {
            let Some(place) = places.lock().expect("no holder panics").next() else { break };
            interrupt.check()?;
            if guard.is_lost() {
                return Err(EngineError::LockLost { place: repository.place() });
            }
            let needed = plan.ledger.blobs(place).into_iter().filter(|(blob, _)| plan.chosen.has(*blob));
            let needed: Vec<PackedBlob> = needed.map(|(_, blob)| blob).collect();
            for run in runs(&needed) {
                opener.each_of_run(&plan.ledger.packs[place].id, run, interrupt, |blob, stored| {
                    progress.done(0, u64::from(blob.length));
                    repacker.add(blob.kind, blob.id, stored?, blob.plain_length)
                })?;
            }
            progress.done(1, 0);
        }
        Ok(())
    });
    copied.map(drop)
}
