//! Queues what follows a job, in the transaction that ends it. Who comes in: `settle`.

use backstay_core::domain::id::JobId;
use backstay_core::domain::job::Job;
use backstay_core::domain::job_set::{is_complete, members};
use backstay_core::ports::store::{Enqueued, FollowUp, StoreError};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Select};

use super::enqueue::enqueue;
use crate::dialect::insert_unless_taken;
use crate::entity::{job, job_set};
use crate::error::{insert_error, store_error};
use crate::event::{TenantLock, event_append};

/// Queues what follows a job that ended just now, unless its set is not complete yet. The tenant is locked, so that of two
/// members which end at once the second one sees the first. Returns the jobs that are queued now.
pub(super) async fn follow_ups_put(
    tx: &DatabaseTransaction,
    tenant: &TenantLock,
    ended: &job::Model,
    follow_ups: &[FollowUp],
) -> Result<Vec<JobId>, StoreError> {
    let mut queued = Vec::new();
    if follow_ups.is_empty() || !completes_its_set(tx, ended).await? {
        return Ok(queued);
    }
    for follow_up in follow_ups {
        if let Some(set) = &follow_up.set {
            let inserted = insert_unless_taken(tx, job_set::Model::of(set).into_active_model()).await;
            inserted.map_err(|error| insert_error(error, "job set", set.id.to_string()))?;
        }
        for next in &follow_up.jobs {
            match enqueue(tx, &next.job, &next.enqueued, Some(&next.skipped)).await {
                // It was made before; or its plan was retired since it was looked at.
                Ok(Enqueued::Overlaps(_) | Enqueued::Known(_))
                | Err(StoreError::Taken { noun: "job", .. } | StoreError::Retired { .. }) => {}
                Ok(Enqueued::New(id)) => queued.push(id),
                Err(error) => return Err(error),
            }
        }
        if let Some(told) = &follow_up.told {
            event_append(tx, tenant, told).await?;
        }
    }
    Ok(queued)
}

/// Returns the question for the members of a set.
pub(crate) fn members_question(set: &str) -> Select<job::Entity> {
    job::Entity::find().filter(job::Column::SetId.eq(set))
}

/// Returns the question for a member of a set that has not ended.
pub(crate) fn live_member_question(set: &str) -> Select<job::Entity> {
    members_question(set).filter(job::Column::FinishedAt.is_null()).limit(1)
}

/// Says whether a job is in no set, or was the last that its set waited for.
async fn completes_its_set(tx: &DatabaseTransaction, ended: &job::Model) -> Result<bool, StoreError> {
    let Some(set) = &ended.set_id else { return Ok(true) };
    // Most members end while others are at work: then no more than one is read.
    if live_member_question(set).one(tx).await.map_err(store_error)?.is_some() {
        return Ok(false);
    }
    let row = job_set::Entity::find_by_id(set).one(tx).await.map_err(store_error)?;
    let Some(row) = row else { return Ok(false) };
    let jobs = members_question(set).all(tx).await.map_err(store_error)?;
    let jobs = jobs.into_iter().map(job::Model::read).collect::<Result<Vec<Job>, _>>()?;
    let states: Vec<_> = members(jobs).iter().map(|job| (job.state.name(), job.state.outcome())).collect();
    Ok(is_complete(row.read()?.wanted, &states))
}
