//! What a backup leaves behind: the row of the snapshot that it published, or the confirmation of the one before.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::lease::newest;
use crate::domain::backup::Confirmation;
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

/// A clock that is further behind than this is told of.
const BEHIND_TOLD: Duration = Duration::from_secs(300);

/// Returns by how much an agent's clock is behind, where that is worth a word: it says that it began before the job was made.
pub(super) fn behind(job: &Job, published: &PublishedSnapshot) -> Option<Duration> {
    let behind = Duration::try_from(job.created_at.duration_since(published.taken_at)).ok()?;
    (behind > BEHIND_TOLD).then_some(behind)
}

/// Returns the row of a published snapshot; none for a job on no item. It has no moment before its job was made, whatever
/// the agent's clock says: what was saved last is the newest, for retention and RPO.
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
        taken_at: published.taken_at.max(job.created_at),
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
