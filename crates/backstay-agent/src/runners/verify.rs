//! Reads a sample of a snapshot back from storage and compares it with the source; a slice of the repository is next door
//! (`verify_slice`).

use std::sync::Arc;

use backstay_core::domain::job::{Job, JobCounts, Leased, Work};
use backstay_core::ports::job::JobResult;
use backstay_core::ports::source::Opened;
use backstay_engine::verify::{VerifyOptions, verify};

use super::{RunError, Runner, verify_slice};
use crate::repository::{ended, lock_to_read, open};
use crate::sources::source_kind;

/// Runs a verify. A source that cannot be opened leaves nothing to compare with; what was saved is still proved.
pub(super) async fn run(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let Work::Verify { snapshot, sample, slice, source, item } = &job.state.work else {
        return Err(RunError::Unsupported { what: "a verify without a snapshot".to_owned() });
    };
    if let Some(slice) = slice {
        return verify_slice::run(runner, job, (snapshot, *sample, *slice)).await;
    }
    let root = match source_kind(&source.kind)?.open(&source.settings, &item.name).await {
        // Only what is in the snapshot is compared: what the source leaves out is nothing that is missing.
        Ok(Opened::Path { path, .. }) => Some(path),
        // A stream is never the same twice: its snapshot is read back and compared with nothing.
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(job_id = %job.id, error = %error, "the source cannot be opened; nothing to compare with");
            None
        }
    };
    let (repository, foreign_id, sample) = (job.state.repository.clone(), snapshot.foreign_id.clone(), *sample);
    let (progress, interrupt) = (Arc::clone(&runner.progress), runner.interrupt.clone());
    let (lease, username) = (job.lease_key(), runner.options.username.clone());
    let started_at = runner.options.clock.now();
    let thread = move || {
        let options = VerifyOptions { snapshot: &foreign_id, sample, source: root.as_deref(), started_at };
        let leased = repository;
        let repository = open(&leased, &interrupt)?;
        let lock = lock_to_read(&repository, &leased, lease, &username, &interrupt)?;
        let found = verify(&repository, &options, &progress, &interrupt);
        ended(lock, found)
    };
    let findings = tokio::task::spawn_blocking(thread).await??;
    let counts = JobCounts { files: findings.files_read, bytes: findings.bytes_read, ..JobCounts::default() };
    Ok(JobResult::Verified { findings: Box::new(findings), counts })
}
