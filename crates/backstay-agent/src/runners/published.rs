//! What an attempt published before it ran the hook `after`: kept as the job's checkpoint, so that an attempt that died in
//! the hook, or was turned off by it, loses no snapshot.
//!
//! The next attempt makes sure that the snapshot is there, and hands it in: nothing is read again, and no hook runs twice.

use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::job::{Job, JobCounts, Leased, Outcome};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::JobResult;
use backstay_engine::repository::Maker;
use serde_json::{Value, json};

use super::{RunError, Runner};
use crate::repository::open_or_create;

/// Keeps what was published. Without it an attempt that dies in its hook is done again, which costs time and no data.
pub(super) async fn keep(runner: &Runner, job: &Job<Leased>, result: &JobResult) {
    let JobResult::BackedUp { outcome, snapshot, counts, unread, .. } = result else { return };
    let JobCounts { files, files_unmodified, dirs, bytes, bytes_added, bytes_stored, unread: _ } = *counts;
    let note = json!({
        "published": snapshot.foreign_id,
        "taken_at": snapshot.taken_at.to_string(),
        "outcome": outcome.word(),
        "counts": [files, files_unmodified, dirs, bytes, bytes_added, bytes_stored],
        "unread": unread.count,
    });
    let Ok(checkpoint) = Checkpoint::new(note.to_string().into_bytes()) else { return };
    if let Err(error) = runner.jobs.job_checkpoint(job.lease_key(), &checkpoint).await {
        tracing::warn!(job_id = %job.id, error = %error, "what was published could not be noted before the hook");
    }
}

/// Returns the result of an earlier attempt that published and did not come to hand it in; none when there was none, or its
/// snapshot is not there any more.
pub(super) async fn found(runner: &Runner, job: &Job<Leased>) -> Result<Option<JobResult>, RunError> {
    let Some((foreign_id, result)) = job.state.checkpoint.as_ref().and_then(|note| read(note.body())) else {
        return Ok(None);
    };
    let leased = job.state.repository.clone();
    let options = &runner.options;
    let (username, hostname) = (options.username.clone(), options.hostname.clone());
    let maker = Maker { username, hostname, at: options.clock.now() };
    let interrupt = runner.interrupt.clone();
    let is_there = move || {
        let repository = open_or_create(&leased, maker, &interrupt)?;
        Ok::<_, backstay_engine::EngineError>(repository.snapshot_read(&foreign_id, &interrupt).is_ok())
    };
    let is_there = tokio::task::spawn_blocking(is_there).await??;
    Ok(is_there.then_some(result))
}

fn read(body: &[u8]) -> Option<(String, JobResult)> {
    let note: Value = serde_json::from_slice(body).ok()?;
    let foreign_id = note["published"].as_str()?.to_owned();
    let count = |place: usize| note["counts"][place].as_u64();
    let unread = note["unread"].as_u64()?;
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
        warning: Some(
            "an earlier attempt ended in its hook after and was not heard of; the hook did not run again".to_owned(),
        ),
    };
    Some((foreign_id, result))
}
