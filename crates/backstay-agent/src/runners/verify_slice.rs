//! Proves a slice of a repository for its budget, and drills the restore of a snapshot to a folder that goes with the job.

use std::path::Path;
use std::sync::Arc;

use backstay_core::domain::job::{Job, JobCounts, Leased};
use backstay_core::domain::proof::Slice;
use backstay_core::domain::sample::{DrillRule, SampleRule};
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::ports::job::JobResult;
use backstay_engine::EngineError;
use backstay_engine::restore::drill::free_bytes;
use backstay_engine::verify::slice::{SliceOptions, verify_slice};

use super::{RunError, Runner};
use crate::repository::{ended, lock_to_read, open};
use crate::sources::private::PrivateFolder;

/// Files of one drill: enough of each size class, and no folder of a million names.
const DRILL_FILES_MAX: usize = 1_000;

/// Bytes of one drill: some seconds at a disk's rate, some minutes over a slow line; a rate is known by then.
const DRILL_BYTES_MAX: u64 = 256 << 20;

/// A drill takes at most this part of what is free where it writes: others need room too.
const DRILL_FREE_PART: u64 = 10;

/// Runs a verify of a slice.
pub(super) async fn run(
    runner: &Runner,
    job: &Job<Leased>,
    (snapshot, sample, slice): (&Snapshot, SampleRule, Slice),
) -> Result<JobResult, RunError> {
    let (leased, foreign_id) = (job.state.repository.clone(), snapshot.foreign_id.clone());
    let (lease, username) = (job.lease_key(), runner.options.username.clone());
    let (started_at, workers) = (runner.options.clock.now(), runner.options.threads);
    let progress = Arc::clone(&runner.progress);
    // A check counts no files: its steps keep the stall limit away.
    let interrupt = runner.interrupt.counting(Arc::clone(&runner.progress));
    let thread = move || {
        let repository = open(&leased, &interrupt)?;
        let lock = lock_to_read(&repository, &leased, lease, &username, &interrupt)?;
        let prove = || {
            // Removed with all that is in it when this ends, however it does.
            let folder = scratch(&std::env::temp_dir())?;
            let options = SliceOptions {
                repository_id: leased.repository.id,
                slice,
                snapshot: &foreign_id,
                drill: drill_rule(folder.path(), sample.seed)?,
                folder: folder.path(),
                workers,
                started_at,
            };
            verify_slice(&repository, &options, &progress, &interrupt)
        };
        let found = prove();
        ended(lock, found)
    };
    let findings = tokio::task::spawn_blocking(thread).await??;
    let bytes = findings.bytes_fetched.saturating_add(findings.bytes_read);
    let counts = JobCounts { files: findings.files_read, bytes, ..JobCounts::default() };
    Ok(JobResult::Verified { findings: Box::new(findings), counts })
}

/// Makes the folder that a drill writes to: nobody else may look into it.
fn scratch(below: &Path) -> Result<PrivateFolder, EngineError> {
    PrivateFolder::make(below).map_err(|error| refused(below, &error))
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> EngineError {
    let problem = format!("no restore can be drilled there: {error}; TMPDIR of the agent names another folder");
    EngineError::Target { path: path.display().to_string(), problem }
}

/// Returns how much a drill may restore to a folder.
fn drill_rule(folder: &Path, seed: u64) -> Result<DrillRule, EngineError> {
    let free = free_bytes(folder).map_err(|error| refused(folder, &error))?;
    Ok(DrillRule { files_max: DRILL_FILES_MAX, bytes_max: bytes_max(free), seed })
}

/// Returns the bytes that a drill may take of what is free.
const fn bytes_max(free: u64) -> u64 {
    let part = free / DRILL_FREE_PART;
    if part < DRILL_BYTES_MAX { part } else { DRILL_BYTES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_leaves_room() {
        assert_eq!(bytes_max(0), 0);
        assert_eq!(bytes_max(1_000), 100);
        assert_eq!(bytes_max(u64::MAX), DRILL_BYTES_MAX);
    }
}
