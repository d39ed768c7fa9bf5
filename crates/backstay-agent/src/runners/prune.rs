//! Forgets what the control plane says, then removes data that nothing refers to, alone in the repository.
//!
//! A snapshot that is not there any more was forgotten by an attempt that died: all of it may be done again. The lease is
//! renewed before each step that cannot be undone, and the engine looks at its lock before each removal.

use std::collections::HashSet;
use std::sync::Arc;

use backstay_core::domain::id::SnapshotId;
use backstay_core::domain::job::{Forget, Job, Leased, LeasedRepository, PruneCounts, Work};
use backstay_core::ports::job::JobResult;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::maintenance::prune::PruneOptions;
use backstay_engine::maintenance::{forget, prune};
use backstay_engine::{EngineError, EngineProgress, Interrupt};

use super::fence::Fence;
use super::{RunError, Runner};
use crate::repository::{ended, lock_alone, open};

/// Runs a prune.
pub(super) async fn run(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let Work::Prune { forget, doubtful } = &job.state.work else {
        return Err(RunError::Unsupported { what: "a prune without its list".to_owned() });
    };
    let ids = |rows: &[Forget]| rows.iter().map(id_of).collect::<Result<Vec<_>, RunError>>();
    let (goes, doubtful) = (ids(forget)?, ids(doubtful)?);
    let forgotten = forget.iter().map(|row| row.snapshot_id).collect();
    let (leased, username) = (job.state.repository.clone(), runner.options.username.clone());
    // Until it is known what is rewritten, its steps keep the stall limit away; then packs are counted as files.
    let progress = Arc::clone(&runner.progress);
    let interrupt = runner.interrupt.counting(Arc::clone(&progress));
    let fence = Arc::new(Fence::new(runner, job.lease_key()));
    let thread = move || forget_and_prune(&leased, (&goes, &doubtful), &username, &progress, &interrupt, &fence);
    let (missing, counts) = tokio::task::spawn_blocking(thread).await??;
    Ok(JobResult::Pruned { forgotten, missing, counts })
}

/// A snapshot's id here, and what the repository calls it.
type Known = (SnapshotId, Id);

/// Reads what the repository calls a snapshot. One that is no id ends the job before anything is removed.
fn id_of(row: &Forget) -> Result<Known, RunError> {
    let wrong = || RunError::Unsupported { what: format!("forgetting `{}`, which is no restic id", row.foreign_id) };
    Ok((row.snapshot_id, Id::from_hex(&row.foreign_id).ok_or_else(wrong)?))
}

/// Returns which of the doubtful snapshots are not there, and what was done.
fn forget_and_prune(
    leased: &LeasedRepository,
    (goes, doubtful): (&[Known], &[Known]),
    username: &str,
    progress: &EngineProgress,
    interrupt: &Interrupt,
    fence: &Arc<Fence>,
) -> Result<(Vec<SnapshotId>, PruneCounts), EngineError> {
    let repository = match open(leased, interrupt) {
        // No backup has made it yet.
        Err(EngineError::NoRepository { .. }) if !leased.has_snapshots && goes.is_empty() => {
            return Ok((Vec::new(), PruneCounts { bytes_left: Some(0), ..PruneCounts::default() }));
        }
        answer => answer?,
    };
    let asked = Arc::clone(fence);
    // The lease is renewed whenever the lock is looked at: before each batch that is removed, and each index file.
    let lock = lock_alone(&repository, leased, fence.key, username, interrupt)?.fenced(move || asked.check().map(drop));
    let work = || {
        let mut missing: Vec<SnapshotId> = Vec::new();
        if !doubtful.is_empty() {
            // A prune that died removed them, and the rules have kept them since: their rows must not say for ever that
            // they are there.
            let there: HashSet<Id> = repository.file_list(FileKind::Snapshot, interrupt)?.into_iter().collect();
            missing.extend(doubtful.iter().filter(|(_, id)| !there.contains(id)).map(|(row, _)| *row));
        }
        for (_, id) in goes {
            // Each of them, after a look at lock and lease: who lost it in the middle must not remove what somebody pinned
            // meanwhile.
            forget::apply(&repository, std::slice::from_ref(id), &lock, interrupt)?;
        }
        let planned = prune::plan(&repository, &PruneOptions::default(), &lock, interrupt)?;
        Ok((missing, prune::apply(&repository, planned, &lock, progress, interrupt)?))
    };
    let done = work();
    let (missing, done) = ended(Some(lock), done)?;
    let counts = PruneCounts {
        bytes_freed: done.bytes_freed,
        bytes_pending: done.bytes_freed_later,
        packs_waiting: done.packs_waiting,
        bytes_rewritten: done.bytes_rewritten,
        bytes_left: Some(done.bytes_left),
    };
    Ok((missing, counts))
}
