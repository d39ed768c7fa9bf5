//! Makes a snapshot of an item: open the source, read it into the repository, make sure of the lease, publish.

use std::sync::Arc;

use backstay_core::domain::adoption::PLAN_TAG;
use backstay_core::domain::job::{Job, JobCounts, Leased, LeasedRepository, Outcome, Work};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::ports::job::JobResult;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::publish::{Published, Rehearsed};
use backstay_engine::format::id::Id;
use backstay_engine::format::snapshot::Summary;
use backstay_engine::repository::Maker;
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use jiff::Timestamp;

use super::fence::Fence;
use super::hook::HookRun;
use super::open::Reading;
use super::published::Told;
use super::{RunError, Runner, published, stall};
use crate::repository::{lock_shared, open_or_create, unlock};

/// Packs that are uploaded at once at the most: 192 MiB of them. A disk gets fewer.
const UPLOADS: usize = 12;

/// Runs a backup, with the hooks of its plan around it.
pub(super) async fn run(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let Work::Backup { hooks, stall_limit, .. } = &job.state.work else {
        return Err(RunError::Unsupported { what: "a backup without a source".to_owned() });
    };
    let found = stall::within(runner, *stall_limit, published::found(runner, job)).await?;
    if let Some((result, Told::Hook)) = found {
        return Ok(result);
    }
    if hooks.is_empty() {
        return match found {
            Some((result, _)) => Ok(result),
            None => stall::within(runner, *stall_limit, attempt(runner, job)).await,
        };
    }
    let hooks = HookRun::permitted(runner, job, hooks)?;
    if let Some((result, _)) = found {
        return hooks.after(result).await;
    }
    let tried = match hooks.before().await {
        Ok(()) => stall::within(runner, *stall_limit, attempt(runner, job)).await,
        Err(failed) => Err(failed),
    };
    match tried {
        Ok(result) => hooks.after(result).await,
        Err(failed) => Err(hooks.after_failure(failed).await),
    }
}

/// Makes the snapshot.
async fn attempt(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let Work::Backup { source, item, parent, plan_name, skip_if_unchanged, .. } = &job.state.work else {
        return Err(RunError::Unsupported { what: "a backup without a source".to_owned() });
    };
    let reading = Reading::of(runner, source, &item.name).await?;
    let parent = parent.as_ref().and_then(|snapshot| Id::from_hex(&snapshot.foreign_id));
    let options = options_of(runner, &reading, parent, plan_name);
    let taken_at = options.started_at;
    let repository = job.state.repository.clone();
    let (progress, interrupt) = (Arc::clone(&runner.progress), runner.interrupt.clone());
    let fence = Fence::new(runner, job.lease_key());
    let ending = if *skip_if_unchanged { Ending::SkipIfUnchanged } else { Ending::Publish };
    let ending = (ending, parent.is_some());
    let thread = move || read_and_publish(&repository, reading, &options, ending, (&progress, &interrupt), &fence);
    Ok(match (tokio::task::spawn_blocking(thread).await??, parent) {
        (Ended::Unchanged(left), Some(parent)) => JobResult::Confirmed {
            snapshot: PublishedSnapshot { foreign_id: parent.to_hex(), taken_at },
            counts: JobCounts { bytes_stored: left.bytes_stored, ..counts_of(&left.summary) },
            warning: None,
        },
        (Ended::Unchanged(_), None) => {
            return Err(RunError::Unsupported { what: "a confirmation of no snapshot".to_owned() });
        }
        (Ended::Published(published), parent) => result_of(&published, parent.is_some(), taken_at),
    })
}

fn options_of(runner: &Runner, reading: &Reading, parent: Option<Id>, plan_name: &str) -> ArchiveOptions {
    let options = &runner.options;
    ArchiveOptions {
        parent,
        hostname: options.hostname.clone(),
        username: options.username.clone(),
        tags: vec![format!("{PLAN_TAG}{plan_name}")],
        workers: options.threads,
        uploads: UPLOADS,
        excludes: reading.excludes(),
        ..ArchiveOptions::new(reading.roots(), options.program_version.clone(), options.clock.now())
    }
}

/// What becomes of an item that is as its parent snapshot has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A snapshot of the same tree is published.
    Publish,
    /// None is; the parent is confirmed.
    SkipIfUnchanged,
}

/// How the reading ended, with the lease held just before.
enum Ended {
    /// A snapshot is in the repository.
    Published(Published),
    /// All of it was read, and it is as the parent has it.
    Unchanged(Rehearsed),
}

fn read_and_publish(
    repository: &LeasedRepository,
    reading: Reading,
    options: &ArchiveOptions,
    (ending, has_parent): (Ending, bool),
    (progress, interrupt): (&EngineProgress, &Interrupt),
    fence: &Fence,
) -> Result<Ended, EngineError> {
    let (username, hostname) = (options.username.clone(), options.hostname.clone());
    let leased = repository;
    let repository = open_or_create(leased, Maker { username, hostname, at: options.started_at }, interrupt)?;
    let lock = lock_shared(&repository, leased, fence.key, &options.username, interrupt)?;
    let archived = lock.explain(reading.archive(&repository, options, progress, interrupt))?;
    lock.check()?;
    let ended_at = fence.check()?;
    if ending == Ending::SkipIfUnchanged && archived.is_unchanged_below() && archived.is_whole() {
        let left = archived.leave();
        unlock(lock);
        return Ok(Ended::Unchanged(left));
    }
    let sealed = archived.seal(ended_at);
    // Whoever dies from here on has written down what he was about to publish: the next attempt hands it in.
    if let Some(note) = published::note(&result_of(sealed.foreseen(), has_parent, options.started_at), Told::Nobody) {
        fence.note(&note)?;
    }
    let published = sealed.publish()?;
    // Whoever removed our lock meanwhile may have begun to prune: then the snapshot does not count.
    lock.check()?;
    unlock(lock);
    Ok(Ended::Published(published))
}

fn counts_of(summary: &Summary) -> JobCounts {
    JobCounts {
        files: summary.total_files_processed,
        files_unmodified: summary.files_unmodified,
        dirs: summary.dirs_new + summary.dirs_changed + summary.dirs_unmodified,
        bytes: summary.total_bytes_processed,
        bytes_added: summary.data_added,
        bytes_stored: 0,
        unread: 0,
    }
}

fn result_of(published: &Published, has_parent: bool, taken_at: Timestamp) -> JobResult {
    let summary = &published.summary;
    let changed = summary.files_new + summary.files_changed + summary.dirs_new + summary.dirs_changed;
    let outcome = match (published.unread.is_empty(), has_parent && changed == 0) {
        (false, _) => Outcome::Partial,
        (true, true) => Outcome::Unchanged,
        (true, false) => Outcome::Complete,
    };
    let counts =
        JobCounts { bytes_stored: published.bytes_stored, unread: published.unread.count, ..counts_of(summary) };
    let snapshot = PublishedSnapshot { foreign_id: published.id.to_hex(), taken_at };
    JobResult::BackedUp { outcome, snapshot, counts, unread: published.unread.clone(), warning: None }
}
