//! What an attempt is about to publish, or has published before it ran the hook `after`: kept as the job's checkpoint, so
//! that an attempt that died between the snapshot and the job's end leaves no snapshot that nobody knows.
//!
//! The next attempt makes sure that the snapshot is there and whole, and hands it in: nothing is read again, and no hook runs
//! twice. One that is not there was never published, and the work is done again.

use std::sync::Arc;

use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::job::{Job, JobCounts, Leased, Outcome};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::JobResult;
use backstay_engine::format::id::Id;
use backstay_engine::maintenance::repair::snapshots::is_whole;
use backstay_engine::repository::Maker;
use backstay_engine::{EngineError, select};
use serde_json::{Value, json};

use super::{RunError, Runner};
use crate::repository::{lock_shared, open_or_create, unlock};

/// Who has heard of what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nobody: it may not even be there.
    Nobody,
    /// The hook `after`: it is there, and was looked at under its lock.
    Hook,
}

/// Returns the note of what is published, or about to be; none for a result that publishes nothing.
pub(super) fn note(result: &JobResult, told: Told) -> Option<Checkpoint> {
    let JobResult::BackedUp { outcome, snapshot, counts, unread, .. } = result else { return None };
    let JobCounts { files, files_unmodified, dirs, bytes, bytes_added, bytes_stored, unread: _ } = *counts;
    let note = json!({
        "published": snapshot.foreign_id,
        "taken_at": snapshot.taken_at.to_string(),
        "outcome": outcome.word(),
        "counts": [files, files_unmodified, dirs, bytes, bytes_added, bytes_stored],
        "unread": unread.count,
        "is_in_hook": told == Told::Hook,
    });
    Checkpoint::new(note.to_string().into_bytes()).ok()
}

/// Notes that the hook `after` begins. Without it a hook may run twice.
pub(super) async fn keep(runner: &Runner, job: &Job<Leased>, result: &JobResult) {
    let Some(checkpoint) = note(result, Told::Hook) else { return };
    if let Err(error) = runner.jobs.job_checkpoint(job.lease_key(), &checkpoint).await {
        tracing::warn!(job_id = %job.id, error = %error, "what was published could not be noted before the hook");
    }
}

/// Returns the result of an earlier attempt that published and did not come to hand it in, and who heard of it; none when
/// there was none, or its snapshot is not there any more, or not whole.
pub(super) async fn found(runner: &Runner, job: &Job<Leased>) -> Result<Option<(JobResult, Told)>, RunError> {
    let Some((foreign_id, result, told)) = job.state.checkpoint.as_ref().and_then(|note| read(note.body())) else {
        return Ok(None);
    };
    let leased = job.state.repository.clone();
    let options = &runner.options;
    let (username, hostname) = (options.username.clone(), options.hostname.clone());
    let (lease, maker) = (job.lease_key(), Maker { username, hostname, at: options.clock.now() });
    // Reading all its trees counts nothing: each step is a sign of life.
    let interrupt = runner.interrupt.counting(Arc::clone(&runner.progress));
    let look = move || {
        let username = maker.username.clone();
        let repository = open_or_create(&leased, maker, &interrupt)?;
        let lock = lock_shared(&repository, &leased, lease, &username, &interrupt)?;
        let found = Id::from_hex(&foreign_id).map_or(Ok(None), |id| match select::read(&repository, id, &interrupt) {
            Err(EngineError::NoSnapshot { .. }) => Ok(None),
            answer => answer.map(Some),
        });
        let is_there = found.and_then(|found| match found {
            Some(snapshot) => is_whole(&repository, snapshot, &lock, &interrupt),
            None => Ok(false),
        });
        let is_there = lock.explain(is_there);
        unlock(lock);
        is_there
    };
    let is_there = tokio::task::spawn_blocking(look).await??;
    Ok(is_there.then_some((result, told)))
}

fn read(body: &[u8]) -> Option<(String, JobResult, Told)> {
    let note: Value = serde_json::from_slice(body).ok()?;
    let foreign_id = note["published"].as_str()?.to_owned();
    let count = |place: usize| note["counts"][place].as_u64();
    let unread = note["unread"].as_u64()?;
    // Notes of before had no such word, and were written before the hook.
    let told = if note["is_in_hook"].as_bool().unwrap_or(true) { Told::Hook } else { Told::Nobody };
    let in_hook = "an earlier attempt ended in its hook after and was not heard of; the hook did not run again";
    let counts = JobCounts {
        files: count(0)?,
        files_unmodified: count(1)?,
        dirs: count(2)?,
        bytes: count(3)?,
        bytes_added: count(4)?,
        bytes_stored: count(5)?,
        unread,
    };
    let result = JobResult::BackedUp {
        outcome: Outcome::from_word(note["outcome"].as_str()?)?,
        snapshot: PublishedSnapshot {
            foreign_id: foreign_id.clone(),
            taken_at: note["taken_at"].as_str()?.parse().ok()?,
        },
        counts,
        // They are counted and not named: what a plan accepts cannot be told of them.
        unread: Unread { count: unread, ..Unread::default() },
        warning: (told == Told::Hook).then(|| in_hook.to_owned()),
    };
    Some((foreign_id, result, told))
}
