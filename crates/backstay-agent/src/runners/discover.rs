//! Reads what the snapshots of a repository say of themselves. Nothing is written but the lock.

use std::sync::Arc;

use backstay_core::domain::adoption::{FOUND_MAX, FoundSnapshot, PROGRAM};
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::job::{Job, JobCounts, Leased, LeasedRepository};
use backstay_core::domain::unread::Unread;
use backstay_core::managers::job::chain;
use backstay_core::ports::job::JobResult;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::snapshot::SnapshotFile;
use backstay_engine::format::time::FileTime;
use backstay_engine::{EngineError, Interrupt, Repository};
use jiff::Timestamp;

use super::{RunError, Runner};
use crate::repository::{ended, lock_to_read, open};

/// Runs a discover.
pub(super) async fn run(runner: &Runner, job: &Job<Leased>) -> Result<JobResult, RunError> {
    let (leased, lease) = (job.state.repository.clone(), job.lease_key());
    let (username, hostname) = (runner.options.username.clone(), runner.options.hostname.clone());
    // It counts no files: its steps keep the stall limit away.
    let interrupt = runner.interrupt.counting(Arc::clone(&runner.progress));
    let thread = move || look_through(&leased, lease, (&username, &hostname), &interrupt);
    tokio::task::spawn_blocking(thread).await?
}

fn look_through(
    leased: &LeasedRepository,
    lease: LeaseKey,
    (username, hostname): (&str, &str),
    interrupt: &Interrupt,
) -> Result<JobResult, RunError> {
    let repository = open(leased, interrupt)?;
    let lock = lock_to_read(&repository, leased, lease, username, interrupt)?;
    let (found, unread) = ended(lock, snapshots(&repository, hostname, interrupt))?;
    match found.len() {
        count @ FOUND_MAX.. if count > FOUND_MAX => Err(RunError::Many { count }),
        _ => Ok(JobResult::Discovered { found, unread }),
    }
}

/// Returns what each snapshot says of itself, and those that cannot be read.
fn snapshots(
    repository: &Repository,
    hostname: &str,
    interrupt: &Interrupt,
) -> Result<(Vec<FoundSnapshot>, Unread), EngineError> {
    let (mut found, mut unread) = (Vec::new(), Unread::default());
    for id in repository.file_list(FileKind::Snapshot, interrupt)? {
        interrupt.check()?;
        match repository.snapshot_read(&id.to_hex(), interrupt) {
            Ok((_, file)) => match found_of(id.to_hex(), file, hostname) {
                Ok(one) => found.push(one),
                Err(problem) => unread.push(format!("snapshot {id}"), problem),
            },
            // It was forgotten while the others were read.
            Err(EngineError::NoSnapshot { .. }) => {}
            Err(error) if error.is_harm() => unread.push(format!("snapshot {id}"), chain(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok((found, unread))
}

fn instant(text: &str) -> Option<Timestamp> {
    let time = FileTime::read(text)?;
    Timestamp::new(time.seconds, i32::try_from(time.nanoseconds).ok()?).ok()
}

fn found_of(foreign_id: String, file: SnapshotFile, hostname: &str) -> Result<FoundSnapshot, String> {
    let taken_at = instant(&file.time).ok_or_else(|| format!("its time `{}` is none", file.time))?;
    let summary = file.summary.unwrap_or_default();
    let counts = JobCounts {
        files: summary.total_files_processed,
        files_unmodified: summary.files_unmodified,
        dirs: summary.dirs_new + summary.dirs_changed + summary.dirs_unmodified,
        bytes: summary.total_bytes_processed,
        bytes_added: summary.data_added,
        bytes_stored: summary.data_added_packed,
        unread: 0,
    };
    Ok(FoundSnapshot {
        foreign_id,
        taken_at,
        is_of_this_machine: file.hostname == hostname,
        is_of_this_program: file.program_version.is_some_and(|program| program.starts_with(PROGRAM)),
        hostname: file.hostname,
        paths: file.paths,
        tags: file.tags,
        counts,
    })
}
