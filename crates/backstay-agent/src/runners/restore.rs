//! Brings a snapshot back to a target.

use std::sync::Arc;

use backstay_core::domain::job::{Job, JobCounts, Leased, Outcome, Reconciliation, Target, Work};
use backstay_core::ports::job::JobResult;
use backstay_engine::restore::{RestoreOptions, restore};

use super::{RunError, Runner};
use crate::repository::{ended, lock_to_read, open};

/// Runs a restore.
pub(super) async fn run(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let Work::Restore { snapshot, target: Target::Directory(target), reconciliation } = &job.state.work else {
        return Err(RunError::Unsupported { what: "a restore without a snapshot".to_owned() });
    };
    if *reconciliation != Reconciliation::Fail {
        return Err(RunError::Unsupported { what: format!("reconciliation {}", reconciliation.word()) });
    }
    let (repository, foreign_id, target) = (job.state.repository.clone(), snapshot.foreign_id.clone(), target.clone());
    let (progress, interrupt) = (Arc::clone(&runner.progress), runner.interrupt.clone());
    let workers = runner.options.threads;
    // Another attempt of this job finishes what one that died began.
    let resume = job.id.to_string();
    let (lease, username) = (job.lease_key(), runner.options.username.clone());
    let thread = move || {
        let options = RestoreOptions { workers, resume: Some(&resume), ..RestoreOptions::new(&foreign_id, &target) };
        let leased = repository;
        let repository = open(&leased)?;
        let lock = lock_to_read(&repository, &leased, lease, &username, &interrupt)?;
        let restored = restore(&repository, &options, &progress, &interrupt);
        ended(lock, restored)
    };
    let restored = tokio::task::spawn_blocking(thread).await??;
    let outcome = if restored.unread.is_empty() { Outcome::Complete } else { Outcome::Partial };
    let counts = JobCounts {
        files: restored.files,
        dirs: restored.dirs,
        bytes: restored.bytes,
        unread: restored.unread.count,
        ..JobCounts::default()
    };
    Ok(JobResult::Restored { outcome, counts, unread: restored.unread })
}
