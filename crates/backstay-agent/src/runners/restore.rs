//! Brings a snapshot back to a target.

use std::sync::Arc;

use backstay_core::domain::job::{Job, JobCounts, Leased, Outcome, Reconciliation, Target, Work};
use backstay_core::ports::job::JobResult;
use backstay_core::ports::source::WayBack;
use backstay_engine::pattern::Patterns;
use backstay_engine::restore::{Reconcile, RestoreOptions, Special, restore};

use super::{RunError, Runner, back};
use crate::own::is_written_by_us;
use crate::repository::{ended, lock_to_read, open};

/// Runs a restore.
pub(super) async fn run(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let Work::Restore { snapshot, target, terms, home } = &job.state.work else {
        return Err(RunError::Unsupported { what: "a restore without a snapshot".to_owned() });
    };
    let target = match target {
        Target::Directory(target) => target,
        Target::Source { name } => {
            let way = WayBack { name: name.clone(), reconciliation: terms.reconciliation };
            return back::run(runner, job, home.as_deref(), &snapshot.foreign_id, way).await;
        }
    };
    if is_written_by_us(target) {
        return Err(RunError::Own { target: target.display().to_string() });
    }
    let reconcile = match terms.reconciliation {
        Reconciliation::Fail => Reconcile::Fail,
        Reconciliation::Skip => Reconcile::Skip,
        Reconciliation::Overwrite => Reconcile::Overwrite,
        Reconciliation::OverwriteIfChanged => Reconcile::OverwriteIfChanged,
        Reconciliation::Rename => Reconcile::Rename,
        other @ (Reconciliation::Merge | Reconciliation::Mirror) => {
            return Err(RunError::Unsupported { what: format!("reconciliation {}", other.word()) });
        }
    };
    let (include, exclude) = (Patterns::new(&terms.include)?, Patterns::new(&terms.exclude)?);
    let is_part = !terms.include.is_empty();
    let terms = terms.clone();
    let (repository, foreign_id, target) = (job.state.repository.clone(), snapshot.foreign_id.clone(), target.clone());
    // What is in place is read without a count of its own: each step of that is a sign of life.
    let progress = Arc::clone(&runner.progress);
    let interrupt = runner.interrupt.counting(Arc::clone(&progress));
    let workers = runner.options.threads;
    // Another attempt of this job finishes what one that died began.
    let resume = job.id.to_string();
    let (lease, username) = (job.lease_key(), runner.options.username.clone());
    let thread = move || {
        let options = RestoreOptions {
            sub_path: terms.path.as_bytes(),
            include,
            exclude,
            reconcile,
            special: if terms.special { Special::Make } else { Special::LeaveOut },
            verify: terms.read_back,
            workers,
            resume: Some(&resume),
            ..RestoreOptions::new(&foreign_id, &target)
        };
        let leased = repository;
        let repository = open(&leased, &interrupt)?;
        let lock = lock_to_read(&repository, &leased, lease, &username, &interrupt)?;
        let restored = restore(&repository, &options, &progress, &interrupt);
        ended(lock, restored)
    };
    let restored = tokio::task::spawn_blocking(thread).await??;
    let done = [restored.files, restored.dirs, restored.others, restored.unchanged, restored.skipped];
    if is_part && restored.unread.is_empty() && done.iter().sum::<u64>() == 0 {
        return Err(RunError::NothingFits);
    }
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
