//! Turns a claimed row into a job in the hand: looks up what the job needs, secrets included.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryFutureExt as _;
use futures::future::try_join;

use super::context::Context;
use super::quota;
use super::request::snapshot_there;
use super::retention::{forget_list, others};
use crate::domain::attempt::{AttemptToken, LeaseKey};
use crate::domain::backup::BackupTerms;
use crate::domain::id::{AgentId, ItemId};
use crate::domain::item::Item;
use crate::domain::job::{Instruction, Job, JobKind, Leased, LeasedRepository, Target, Work};
use crate::domain::repository::{Repository, RepositoryAccess, RepositoryEpoch};
use crate::domain::secret::SecretReference;
use crate::domain::snapshot::Snapshot;
use crate::domain::source::Source;
use crate::domain::storage::{AccessKey, Purpose, purposes};
use crate::ports::job::LeaseError;
use crate::ports::secret::SecretError;
use crate::ports::store::{BackupFacts, BackupPlace, Claimed, Page, SnapshotFilter, StoreError};

/// Returns the job as its agent gets it.
pub(super) async fn job_in_hand(
    context: &Context,
    claimed: Claimed,
    agent_id: AgentId,
    ttl: Duration,
) -> Result<Job<Leased>, LeaseError> {
    let Claimed { job, epoch, checkpoint } = claimed;
    // None of these waits for another one: what a lease takes is the longest of them.
    let work = work_of(context, &job, epoch);
    let over = leases_over(context, &job).map_err(LeaseError::from);
    let ((repository, has_snapshots, work), over) = try_join(work, over).await?;
    let mut repository = repository_open(context, &job, repository, has_snapshots).await?;
    repository.over = over;
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

/// Most attempts of one job whose locks are told: one that was tried more often waited hours in between, and nobody refreshes
/// a lock for so long.
const ATTEMPTS_OVER_MAX: i64 = 16;

/// Returns leases that are over of jobs that are not: an agent that died leaves its lock in the repository.
async fn leases_over(context: &Context, job: &Job) -> Result<Vec<LeaseKey>, StoreError> {
    // A first attempt beside others meets none but a prune's, and is tried again.
    if job.kind().repository_access() != RepositoryAccess::Alone && job.attempt_token <= AttemptToken(1) {
        return Ok(Vec::new());
    }
    // Only who has it alone keeps it from those who share it.
    let is_alone = job.kind().repository_access() == RepositoryAccess::Alone;
    let is_in_the_way = |kind: &&JobKind| is_alone || kind.repository_access() == RepositoryAccess::Alone;
    let kinds: Vec<JobKind> = JobKind::ALL.iter().filter(is_in_the_way).copied().collect();
    let newest = context.retention.lease_list_over(job.repository_id, &kinds).await?;
    let own = is_alone.then_some(LeaseKey { job_id: job.id, token: AttemptToken(job.attempt_token.0 - 1) });
    let attempts = |last: LeaseKey| {
        let tokens = (last.token.0 - ATTEMPTS_OVER_MAX).max(0) + 1..=last.token.0;
        tokens.map(move |token| LeaseKey { token: AttemptToken(token), ..last })
    };
    Ok(newest.into_iter().chain(own).flat_map(attempts).collect())
}

/// Brings the repository together with the secret that opens it.
async fn repository_open(
    context: &Context,
    job: &Job,
    repository: Repository,
    has_snapshots: Option<bool>,
) -> Result<LeasedRepository, LeaseError> {
    let name = repository.name.clone();
    let opened = opened(context, repository, purposes(job.kind()), has_snapshots).await;
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
    repository: Repository,
    purposes: &[Purpose],
    has_snapshots: Option<bool>,
) -> Result<LeasedRepository, SecretError> {
    opened(context, with_references(context, repository).await?, purposes, has_snapshots).await
}

/// Returns a repository with what opens its storage now: that may be another one than when the repository was declared.
async fn with_references(context: &Context, mut repository: Repository) -> Result<Repository, StoreError> {
    if let Some(id) = repository.storage_id {
        repository.credentials = context.declarations.storage_get(id).await?.credentials;
    }
    Ok(repository)
}

/// As [`leased`], for a repository that has what opens its storage now.
async fn opened(
    context: &Context,
    repository: Repository,
    purposes: &[Purpose],
    has_snapshots: Option<bool>,
) -> Result<LeasedRepository, SecretError> {
    let password = context.secrets.secret_read(&repository.password).await?;
    let mut credentials = BTreeMap::new();
    for (purpose, reference) in repository.credentials.iter().filter(|(purpose, _)| purposes.contains(purpose)) {
        credentials.insert(*purpose, access_key(context, reference).await?);
    }
    let has_snapshots = match has_snapshots {
        Some(has) => has,
        None => {
            let filter = SnapshotFilter { repository_id: Some(repository.id), ..SnapshotFilter::default() };
            let one = Page { before: None, rows_max: 1 };
            !context.history.snapshot_list(filter, one).await?.is_empty()
        }
    };
    Ok(LeasedRepository { repository, password, credentials, has_snapshots, over: Vec::new() })
}

/// Returns the access key that a reference names.
pub(super) async fn access_key(context: &Context, reference: &SecretReference) -> Result<AccessKey, SecretError> {
    let text = context.secrets.secret_read(reference).await?;
    AccessKey::parse(&text).map_err(|source| SecretError::Key { reference: reference.clone(), source })
}

/// Looks up a job's repository, with what opens its storage now, whether a snapshot in it is known where that came up, and
/// the rows that its instruction names.
async fn work_of(
    context: &Context,
    job: &Job,
    epoch: RepositoryEpoch,
) -> Result<(Repository, Option<bool>, Work), LeaseError> {
    if job.instruction == Instruction::Backup {
        return backup_of(context, job).await;
    }
    let repository = async {
        let repository = context.declarations.repository_get(job.repository_id).await?;
        with_references(context, repository).await
    };
    let (repository, work) = try_join(repository, other_work(context, job, epoch)).await?;
    // A snapshot that the work names is known.
    let has_snapshots = matches!(work, Work::Restore { .. } | Work::Verify { .. }).then_some(true);
    Ok((repository, has_snapshots, work))
}

/// Looks up what a backup needs, and whether its tenant has room for it.
async fn backup_of(context: &Context, job: &Job) -> Result<(Repository, Option<bool>, Work), LeaseError> {
    let none = || StoreError::NotFound { noun: "item", key: "of a job that names none".to_owned() };
    let item_id = job.item_id.ok_or_else(none)?;
    let place = BackupPlace { item_id, repository_id: job.repository_id, plan_id: job.plan_id };
    let (facts, parent) = try_join(context.declarations.backup_facts(&place), newest(context, job)).await?;
    let BackupFacts { item, source, repository, plan, quota } = facts;
    quota::start_permit(context, job, (quota, item_id)).await?;
    let plan_name = plan.as_ref().map_or(&source.name, |plan| &plan.name).to_string();
    let BackupTerms { skip_if_unchanged, hooks, stall_limit, .. } =
        plan.map_or_else(BackupTerms::default, |plan| plan.backup);
    let skip_if_unchanged = skip_if_unchanged && parent.as_ref().is_some_and(|parent| parent.is_good);
    // A parent is known; without one it is asked for any.
    let has_snapshots = parent.is_some().then_some(true);
    let work = Work::Backup { source, item, parent, plan_name, skip_if_unchanged, hooks, stall_limit };
    Ok((repository, has_snapshots, work))
}

/// Looks up the rows that the instruction of a job other than a backup names.
async fn other_work(context: &Context, job: &Job, epoch: RepositoryEpoch) -> Result<Work, StoreError> {
    match &job.instruction {
        Instruction::Backup => Err(StoreError::NotFound { noun: "work of job", key: job.id.to_string() }),
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
            let forget = forget_list(context, &repository).await?;
            // Each prune's lease grows the epoch. Where one between did not tell its end, rows may name what it removed.
            let doubtful = match context.retention.prune_settled(repository.id).await?.0 + 1 == epoch.0 {
                true => Vec::new(),
                false => others(context, repository.id, &forget).await?,
            };
            Ok(Work::Prune { forget, doubtful })
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
