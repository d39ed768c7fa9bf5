//! What a backup leaves behind: the row of the snapshot that it published, or the confirmation of the one before.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::lease::newest;
use crate::domain::backup::Confirmation;
use crate::domain::digest::time_words;
use crate::domain::id::SnapshotId;
use crate::domain::job::{Job, JobCounts, Outcome};
use crate::domain::rpo::counts as is_enough;
use crate::domain::snapshot::{PublishedSnapshot, Snapshot};
use crate::domain::unread::Unread;
use crate::ports::store::{Page, SnapshotFilter, StoreError};

/// Says whether what a backup read counts for the RPO, as its plan is now.
pub(super) async fn is_good(
    context: &Context,
    job: &Job,
    outcome: Outcome,
    unread: &Unread,
) -> Result<bool, StoreError> {
    let accepted = match (outcome, job.plan_id) {
        (Outcome::Partial, Some(plan)) => context.declarations.plan_get(plan).await?.backup.accept_unread,
        _ => Vec::new(),
    };
    Ok(is_enough(outcome, unread, &accepted))
}

/// A clock that is further behind or ahead than this is told of.
const WRONG_TOLD: Duration = Duration::from_secs(300);

/// Says by how much an agent's clock is wrong, where that is worth a word: it says that it began before the job was
/// made, or that it will begin.
pub(super) fn wrong_clock(job: &Job, published: &PublishedSnapshot, now: Timestamp) -> Option<String> {
    let told = |from: Timestamp, until: Timestamp, how: &str| {
        let by = Duration::try_from(until.duration_since(from)).ok().filter(|by| *by > WRONG_TOLD)?;
        Some(format!("the agent's clock is at least {} {how}: set it right", time_words(by)))
    };
    let taken_at = published.taken_at;
    told(taken_at, job.created_at, "behind").or_else(|| told(now, taken_at, "ahead"))
}

/// Returns the row of a published snapshot; none for a job on no item. It has no moment before its job was made and
/// none to come, whatever the agent's clock says: what was saved last is the newest, for retention and RPO, and grows
/// old from now on.
pub(super) fn snapshot_row(
    context: &Context,
    (job, now): (&Job, Timestamp),
    (published, outcome, is_good): (&PublishedSnapshot, Outcome, bool),
    counts: JobCounts,
) -> Option<Snapshot> {
    Some(Snapshot {
        id: SnapshotId::new(now, context.ten()),
        tenant_id: job.tenant_id,
        item_id: job.item_id?,
        repository_id: job.repository_id,
        job_id: job.id,
        foreign_id: published.foreign_id.clone(),
        parent_id: None,
        taken_at: published.taken_at.max(job.created_at).min(now),
        outcome,
        is_good,
        confirmed_at: None,
        counts,
        protected_until: None,
        pinned_at: None,
        held_at: None,
        unwanted_at: None,
        forgotten_at: None,
    })
}

/// Returns what a backup confirms that published nothing: the item's newest snapshot, which must be good and the one that
/// was compared. The moment is the one from which on the item was read; where the agent's clock says that it was before the job
/// was made, or that it is to come, it is when the job was made.
///
/// # Errors
/// [`StoreError::NotFound`] when it is not: then nothing is confirmed.
pub(super) async fn confirmation(
    context: &Context,
    (job, now): (&Job, Timestamp),
    compared: &PublishedSnapshot,
) -> Result<Confirmation, StoreError> {
    let newest = newest(context, job).await?;
    match newest.filter(|row| row.is_good && row.foreign_id == compared.foreign_id) {
        Some(row) => {
            let at = if compared.taken_at > now { job.created_at } else { compared.taken_at.max(job.created_at) };
            Ok(Confirmation { snapshot_id: row.id, at })
        }
        None => Err(StoreError::NotFound { noun: "good newest snapshot", key: compared.foreign_id.clone() }),
    }
}

/// Returns the snapshot that a job published; none when it published none, or that one is forgotten.
pub(super) async fn made_by(context: &Context, job: &Job) -> Result<Option<Snapshot>, StoreError> {
    let repository_id = Some(job.repository_id);
    let filter = SnapshotFilter { item_id: job.item_id, repository_id, ..SnapshotFilter::default() };
    let rows = context.history.snapshot_list(filter, Page::first()).await?;
    Ok(rows.into_iter().find(|row| row.job_id == job.id))
}
