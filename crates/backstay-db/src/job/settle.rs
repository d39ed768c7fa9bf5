//! Ends a live lease with all its rows, in one transaction: an attempt's result is there whole or not at all.

use backstay_core::domain::adoption::Adoption;
use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::attempt::{AttemptEnd, LeaseKey};
use backstay_core::domain::backup::Confirmation;
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::id::{JobId, TenantId};
use backstay_core::domain::job::{JobCounts, JobKind, StateName};
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::LeaseError;
use backstay_core::ports::store::{Settlement, StoreError};
use jiff::Timestamp;
use sea_orm::ActiveValue::NotSet;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    UpdateMany,
};

use super::due::due_put;
use super::follow_up::follow_ups_put;
use super::held::lease_alive;
use super::state::{job_locked, move_to, put_streak};
use crate::declaration::source_insert;
use crate::dialect::insert_unless_taken;
use crate::entity::{attempt, checkpoint, evidence, job, job_unread, lease, snapshot, suspicion};
use crate::error::{insert_error, store_error};
use crate::event::{event_append, tenant_locked};
use crate::now::Now;
use crate::proof::slice_put;
use crate::quota::{StoredChange, UsageChange, usage_move};
use crate::row::count_cell;
use crate::upkeep::pruned_put;

/// Writes what came of an attempt and ends its lease; returns the jobs that are queued after it.
pub(super) async fn settle(
    tx: &DatabaseTransaction,
    now: &Now,
    key: LeaseKey,
    settlement: &Settlement,
) -> Result<Vec<JobId>, LeaseError> {
    let tenant = match tenant_of(settlement) {
        Some(tenant) => Some(tenant_locked(tx, tenant).await?),
        None => None,
    };
    lease_alive(tx, now, key).await?;
    let row = job_locked(tx, key.job_id).await?;
    let to = settlement.state.name();
    if matches!(to, StateName::Leased | StateName::Cancelling) {
        // Both are states of a job that somebody holds, and after this nobody does.
        return Err(StoreError::Move { job_id: key.job_id, from: row.state_name()?, to }.into());
    }
    let update = put_streak(move_to(&row, key.job_id, &settlement.state)?, settlement.streak);
    let update = put_counts(update, &settlement.counts).filter(job::Column::AttemptToken.eq(key.token.0));
    if update.exec(tx).await.map_err(store_error)?.rows_affected == 0 {
        return Err(LeaseError::Lost { job_id: key.job_id, token: key.token });
    }
    due_put(tx, &row, &settlement.state).await?;
    // A back-off is a result too; only a job that was given back without counting a failure has waited.
    let waited = to == StateName::Waiting && settlement.streak.is_none();
    let ending = if waited { AttemptEnd::Waited } else { AttemptEnd::Finished };
    lease_end(tx, key, now.read(tx).await?, ending, to).await?;
    unread_put(tx, key.job_id, &settlement.unread).await?;
    if let Some(snapshot) = &settlement.snapshot {
        let snapshots = snapshot_add(tx, snapshot).await?;
        let stored = StoredChange::More(snapshot.counts.bytes_stored);
        usage_move(tx, &row.repository_id, UsageChange { stored, snapshots }).await?;
    }
    if let Some(confirmed) = &settlement.confirmed {
        snapshot_confirm(tx, &row, confirmed).await?;
    }
    if let Some(evidence) = &settlement.evidence {
        evidence_add(tx, evidence).await?;
    }
    if let Some(pruned) = &settlement.pruned {
        pruned_put(tx, &row.repository_id, pruned, now.read(tx).await?).await?;
    }
    if let Some(read) = &settlement.slice_read {
        slice_put(tx, &row.repository_id, read, now.read(tx).await?).await?;
    }
    adopted_put(tx, &row.repository_id, &settlement.adopted).await?;
    if let Some(suspicion) = &settlement.suspicion {
        suspicion_add(tx, suspicion).await?;
    }
    if let Some(tenant) = &tenant {
        for event in settlement.warnings.iter().chain(&settlement.event) {
            event_append(tx, tenant, event).await?;
        }
        return Ok(follow_ups_put(tx, tenant, &row, &settlement.follow_ups).await?);
    }
    Ok(Vec::new())
}

/// Returns the tenant whose rows a settlement adds, if it adds any.
fn tenant_of(settlement: &Settlement) -> Option<TenantId> {
    let of_event = settlement.event.iter().chain(&settlement.warnings).next().map(|event| event.tenant_id);
    let of_snapshot = settlement.snapshot.as_ref().map(|snapshot| snapshot.tenant_id);
    let of_next = settlement.follow_ups.iter().flat_map(|next| &next.jobs).next().map(|next| next.job.tenant_id);
    of_event.or(of_snapshot).or(settlement.evidence.as_ref().map(|record| record.place.tenant_id)).or(of_next)
}

/// Removes the lease, writes how its attempt ended, and drops the checkpoint of a job that has come to its end.
pub(super) async fn lease_end(
    tx: &DatabaseTransaction,
    key: LeaseKey,
    ended_at: Timestamp,
    ending: AttemptEnd,
    state: StateName,
) -> Result<(), StoreError> {
    let id = key.job_id.to_string();
    lease::Entity::delete_by_id(&id).exec(tx).await.map_err(store_error)?;
    attempt::Entity::update_many()
        .col_expr(attempt::Column::EndedAt, Expr::val(ended_at.as_microsecond()))
        .col_expr(attempt::Column::Ending, Expr::val(ending.word()))
        .filter(attempt::Column::JobId.eq(&id))
        .filter(attempt::Column::Token.eq(key.token.0))
        .exec(tx)
        .await
        .map_err(store_error)?;
    if state.is_final() {
        checkpoint::Entity::delete_by_id(&id).exec(tx).await.map_err(store_error)?;
    }
    Ok(())
}

fn put_counts(update: UpdateMany<job::Entity>, counts: &JobCounts) -> UpdateMany<job::Entity> {
    update
        .col_expr(job::Column::FileCount, Expr::val(count_cell(counts.files)))
        .col_expr(job::Column::FileUnmodifiedCount, Expr::val(count_cell(counts.files_unmodified)))
        .col_expr(job::Column::DirCount, Expr::val(count_cell(counts.dirs)))
        .col_expr(job::Column::ContentBytes, Expr::val(count_cell(counts.bytes)))
        .col_expr(job::Column::AddedBytes, Expr::val(count_cell(counts.bytes_added)))
        .col_expr(job::Column::StoredBytes, Expr::val(count_cell(counts.bytes_stored)))
        .col_expr(job::Column::UnreadCount, Expr::val(count_cell(counts.unread)))
}

/// Replaces what the attempt before could not read.
async fn unread_put(tx: &DatabaseTransaction, job: JobId, unread: &Unread) -> Result<(), StoreError> {
    job_unread::Entity::delete_by_id(job.to_string()).exec(tx).await.map_err(store_error)?;
    if unread.is_empty() && unread.entries.is_empty() {
        return Ok(());
    }
    let row = job_unread::Model::of(job, unread).into_active_model();
    let insert = job_unread::Entity::insert(row).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "list of unread entries of job", job.to_string()))
}

/// Adds what a plan is suspected of, unless it is already: the first one is what a person must look at.
async fn suspicion_add(tx: &DatabaseTransaction, found: &Suspicion) -> Result<(), StoreError> {
    let known = suspicion::Entity::find_by_id(found.plan_id.to_string()).one(tx).await.map_err(store_error)?;
    if known.is_some() {
        return Ok(());
    }
    let insert = suspicion::Entity::insert(suspicion::Model::of(found).into_active_model());
    let done = insert.exec_without_returning(tx).await;
    done.map(drop).map_err(|error| insert_error(error, "suspicion of plan", found.plan_id.to_string()))
}

/// Adds a snapshot; returns how many more there are. A look through the repository may have found it between its publishing
/// and now: then that row becomes this one, with the marks that people gave it.
async fn snapshot_add(tx: &DatabaseTransaction, snapshot: &Snapshot) -> Result<i64, StoreError> {
    let taken = || StoreError::Taken { noun: "snapshot", key: snapshot.foreign_id.clone() };
    let row = snapshot::Model::of(snapshot).into_active_model();
    let inserted = insert_unless_taken(tx, row.clone()).await;
    if inserted.map_err(|error| insert_error(error, "snapshot", snapshot.foreign_id.as_str()))? {
        return Ok(1);
    }
    let discovers = Query::select()
        .column(job::Column::Id)
        .from(job::Entity)
        .and_where(job::Column::RepositoryId.eq(snapshot.repository_id.to_string()))
        .and_where(job::Column::Kind.eq(JobKind::Discover.word()))
        .take();
    let mut made = row.reset_all();
    made.id = NotSet;
    for mark in [&mut made.confirmed_at, &mut made.pinned_at, &mut made.held_at, &mut made.unwanted_at] {
        *mark = NotSet;
    }
    let done = snapshot::Entity::update_many()
        .set(made)
        .filter(snapshot::Column::RepositoryId.eq(snapshot.repository_id.to_string()))
        .filter(snapshot::Column::ForeignId.eq(&snapshot.foreign_id))
        .filter(snapshot::Column::ForgottenAt.is_null())
        .filter(snapshot::Column::JobId.in_subquery(discovers))
        .exec(tx)
        .await
        .map_err(store_error)?;
    if done.rows_affected == 1 { Ok(0) } else { Err(taken()) }
}

/// Writes what a look through a repository found. A snapshot that got its row meanwhile, or was forgotten, has it already.
async fn adopted_put(tx: &DatabaseTransaction, repository: &str, adopted: &Adoption) -> Result<(), StoreError> {
    for (source, item) in &adopted.sources {
        source_insert(tx, source, std::slice::from_ref(item)).await?;
    }
    let mut new = 0;
    for found in &adopted.snapshots {
        let row = snapshot::Model::of(found).into_active_model();
        let inserted = insert_unless_taken(tx, row).await;
        new += i64::from(inserted.map_err(|error| insert_error(error, "snapshot", found.foreign_id.as_str()))?);
    }
    if new > 0 {
        // What they take is known with the next prune.
        usage_move(tx, repository, UsageChange { stored: StoredChange::More(0), snapshots: new }).await?;
    }
    for (id, item) in &adopted.moved {
        snapshot::Entity::update_many()
            .col_expr(snapshot::Column::ItemId, Expr::val(item.to_string()))
            .filter(snapshot::Column::Id.eq(id.to_string()))
            .filter(snapshot::Column::RepositoryId.eq(repository))
            .exec(tx)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Writes when a snapshot of the job's item was confirmed. One that is forgotten proves nothing any more.
async fn snapshot_confirm(
    tx: &DatabaseTransaction,
    job: &job::Model,
    confirmed: &Confirmation,
) -> Result<(), StoreError> {
    let done = snapshot::Entity::update_many()
        .col_expr(snapshot::Column::ConfirmedAt, Expr::val(confirmed.at.as_microsecond()))
        .filter(snapshot::Column::Id.eq(confirmed.snapshot_id.to_string()))
        .filter(snapshot::Column::ItemId.eq(job.item_id.as_deref()))
        .filter(snapshot::Column::RepositoryId.eq(&job.repository_id))
        .filter(snapshot::Column::Good.eq(1))
        .filter(snapshot::Column::ForgottenAt.is_null())
        .exec(tx)
        .await
        .map_err(store_error)?;
    match done.rows_affected {
        0 => Err(StoreError::NotFound { noun: "good snapshot", key: confirmed.snapshot_id.to_string() }),
        _ => Ok(()),
    }
}

/// Adds a record at the end of its item's chain, and nowhere else: it was signed with the hash before it inside.
async fn evidence_add(tx: &DatabaseTransaction, record: &Evidence) -> Result<(), StoreError> {
    let place = &record.place;
    let key = || format!("{} of item {}", place.sequence, place.item_id);
    let newest = evidence::Entity::find()
        .filter(evidence::Column::ItemId.eq(place.item_id.to_string()))
        .order_by_desc(evidence::Column::Sequence)
        .one(tx)
        .await
        .map_err(store_error)?;
    let (sequence, previous) = newest.map_or((1, None), |newest| (newest.sequence + 1, Some(newest.hash)));
    if place.sequence != sequence || place.previous_hash != previous {
        return Err(StoreError::Taken { noun: "place in the chain of evidence,", key: key() });
    }
    let insert = evidence::Entity::insert(evidence::Model::of(record).into_active_model());
    let done = insert.exec_without_returning(tx).await;
    done.map(drop).map_err(|error| insert_error(error, "place in the chain of evidence,", key()))
}
