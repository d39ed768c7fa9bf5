//! Turns a claimed row into a job in the hand: looks up what the job needs, secrets included.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryFutureExt as _;
use futures::future::try_join3;

use super::context::Context;
use super::quota;
use super::request::snapshot_there;
use super::retention::forget_list;
use crate::domain::backup::BackupTerms;
use crate::domain::id::{AgentId, ItemId};
use crate::domain::item::Item;
use crate::domain::job::{Instruction, Job, Leased, LeasedRepository, Target, Work};
use crate::domain::repository::Repository;
use crate::domain::secret::SecretReference;
use crate::domain::snapshot::Snapshot;
use crate::domain::source::Source;
use crate::domain::storage::{AccessKey, Purpose, purposes};
use crate::ports::job::LeaseError;
use crate::ports::secret::SecretError;
use crate::ports::store::{Claimed, Page, SnapshotFilter, StoreError};

/// Returns the job as its agent gets it.
pub(super) async fn job_in_hand(
    context: &Context,
    claimed: Claimed,
    agent_id: AgentId,
    ttl: Duration,
) -> Result<Job<Leased>, LeaseError> {
    let Claimed { job, epoch, checkpoint } = claimed;
    // None of these waits for another one: what a lease takes is the longest of them.
    let permit = quota::start_permit(context, &job);
    let repository = context.declarations.repository_get(job.repository_id).map_err(LeaseError::from);
    let work = work_of(context, &job).map_err(LeaseError::from);
    let ((), repository, work) = try_join3(permit, repository, work).await?;
    // A snapshot that the work names is known; else it is asked for one.
    let known = match &work {
        Work::Backup { parent, .. } => parent.is_some(),
        Work::Restore { .. } | Work::Verify { .. } => true,
        Work::Prune { .. } | Work::Discover => false,
    };
    let repository = repository_open(context, &job, repository, known).await?;
    let state = Leased { agent_id, ttl, epoch, repository, checkpoint, work };
    Ok(Job {
        id: job.id,
        tenant_id: job.tenant_id,
        plan_id: job.plan_id,
        item_id: job.item_id,
        repository_id: job.repository_id,
        set: job.set,
        instruction: job.instruction,
        trigger: job.trigger,
        breach_at: job.breach_at,
        overlap: job.overlap,
        priority: job.priority,
        attempt_token: job.attempt_token,
        streak: job.streak,
        counts: job.counts,
        created_at: job.created_at,
        trace: job.trace,
        state,
    })
}

/// Brings the repository together with the secret that opens it.
async fn repository_open(
    context: &Context,
    job: &Job,
    repository: Repository,
    has_snapshots: bool,
) -> Result<LeasedRepository, LeaseError> {
    let name = repository.name.clone();
    let opened = leased(context, repository, purposes(job.kind()), has_snapshots).await;
    opened.map_err(|error| match error {
        // The database was away for a moment: that says nothing of the secret.
        SecretError::Store(error) => LeaseError::Store(error),
        source => LeaseError::Secret { job_id: job.id, repository: name, source },
    })
}

/// Brings a repository together with the secrets that open it and its storage, for these purposes, and with whether a
/// snapshot in it is known, if the caller does not know one.
pub(super) async fn leased(
    context: &Context,
    mut repository: Repository,
    purposes: &[Purpose],
    has_snapshots: bool,
) -> Result<LeasedRepository, SecretError> {
    if let Some(id) = repository.storage_id {
        // What opens it now: it may be another one than when the repository was declared.
        repository.credentials = context.declarations.storage_get(id).await?.credentials;
    }
    let password = context.secrets.secret_read(&repository.password).await?;
    let mut credentials = BTreeMap::new();
    for (purpose, reference) in repository.credentials.iter().filter(|(purpose, _)| purposes.contains(purpose)) {
        credentials.insert(*purpose, access_key(context, reference).await?);
    }
    let filter = SnapshotFilter { repository_id: Some(repository.id), ..SnapshotFilter::default() };
    let one = Page { before: None, rows_max: 1 };
    let has_snapshots = has_snapshots || !context.history.snapshot_list(filter, one).await?.is_empty();
    Ok(LeasedRepository { repository, password, credentials, has_snapshots })
}

/// Returns the access key that a reference names.
pub(super) async fn access_key(context: &Context, reference: &SecretReference) -> Result<AccessKey, SecretError> {
    let text = context.secrets.secret_read(reference).await?;
    AccessKey::parse(&text).map_err(|source| SecretError::Key { reference: reference.clone(), source })
}

/// Looks up the rows that a job's instruction names.
async fn work_of(context: &Context, job: &Job) -> Result<Work, StoreError> {
    match &job.instruction {
        Instruction::Backup => {
            let read = source_and_item(context, job.item_id);
            let plan = async {
                let Some(id) = job.plan_id else { return Ok(None) };
                context.declarations.plan_get(id).await.map(Some)
            };
            let ((source, item), parent, plan) = try_join3(read, newest(context, job), plan).await?;
            let plan_name = plan.as_ref().map_or(&source.name, |plan| &plan.name).to_string();
            let BackupTerms { skip_if_unchanged, hooks, stall_limit, .. } =
                plan.map_or_else(BackupTerms::default, |plan| plan.backup);
            let skip_if_unchanged = skip_if_unchanged && parent.as_ref().is_some_and(|parent| parent.is_good);
            Ok(Work::Backup { source, item, parent, plan_name, skip_if_unchanged, hooks, stall_limit })
        }
        Instruction::Restore { snapshot_id, target, terms } => Ok(Work::Restore {
            snapshot: snapshot_there(context, *snapshot_id).await?,
            target: target.clone(),
            terms: terms.clone(),
            home: match target {
                Target::Directory(_) => None,
                Target::Source { .. } => Some(Box::new(source_and_item(context, job.item_id).await?)),
            },
        }),
        Instruction::Verify { snapshot_id, sample, slice } => {
            let (source, item) = source_and_item(context, job.item_id).await?;
            let snapshot = snapshot_there(context, *snapshot_id).await?;
            Ok(Work::Verify { snapshot, sample: *sample, slice: *slice, source, item })
        }
        Instruction::Prune => {
            let repository = context.declarations.repository_get(job.repository_id).await?;
            Ok(Work::Prune { forget: forget_list(context, &repository).await? })
        }
        Instruction::Discover { .. } => Ok(Work::Discover),
    }
}

/// Returns an item's newest snapshot in a repository, partial or not: what it has of a file it has whole, so an unchanged
/// file need not be read again because another one could not be read then.
pub(super) async fn newest(context: &Context, job: &Job) -> Result<Option<Snapshot>, StoreError> {
    let repository_id = Some(job.repository_id);
    let filter = SnapshotFilter { item_id: job.item_id, repository_id, ..SnapshotFilter::default() };
    let rows = context.history.snapshot_list(filter, Page { before: None, rows_max: 1 }).await?;
    Ok(rows.into_iter().next())
}

/// Returns an item and the source that it belongs to.
async fn source_and_item(context: &Context, id: Option<ItemId>) -> Result<(Source, Item), StoreError> {
    let id = id.ok_or(StoreError::NotFound { noun: "item", key: "of a job that names none".to_owned() })?;
    let item = context.declarations.item_get(id).await?;
    let source = context.declarations.source_get(item.source_id).await?;
    Ok((source, item))
}
