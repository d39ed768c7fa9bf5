//! The hot table: a row exactly while its job is queued or waiting.
//!
//! It is written in the transaction that moves the job, by the functions here alone. Claim and wake-up lock its rows
//! first and the job's afterwards, and so does whoever takes a queued or waiting job elsewhere.

use backstay_core::domain::id::JobId;
use backstay_core::domain::job::JobState;
use backstay_core::ports::store::StoreError;
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, QuerySelect};

use crate::entity::{job, job_due};
use crate::error::{insert_error, store_error};

/// Returns the moment from which a job in this state is looked at again; none when nobody waits for it.
fn due_at(state: &JobState) -> Option<i64> {
    match state {
        JobState::Queued { not_before: at } | JobState::Waiting { wake_at: at, .. } => Some(at.as_microsecond()),
        _ => None,
    }
}

/// Returns the hot row of a job in a state, if that wants one.
pub(crate) fn due_of(job: &job::Model, state: &JobState) -> Option<job_due::Model> {
    Some(job_due::Model::of(job, state.name().word(), due_at(state)?))
}

/// Makes the hot row what a job's new state wants.
pub(super) async fn due_put(tx: &DatabaseTransaction, job: &job::Model, state: &JobState) -> Result<(), StoreError> {
    job_due::Entity::delete_by_id(&job.id).exec(tx).await.map_err(store_error)?;
    due_add(tx, job, state).await
}

/// Adds the hot row of a new job, if its state wants one.
pub(super) async fn due_add(tx: &DatabaseTransaction, job: &job::Model, state: &JobState) -> Result<(), StoreError> {
    let Some(row) = due_of(job, state) else { return Ok(()) };
    let insert = job_due::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "place in the queue of job", &job.id))
}

/// Locks the hot row of a job, if it has one. Before the job's own row is locked, so that nobody who claims it waits for
/// one who waits for the claim.
pub(super) async fn due_locked(tx: &DatabaseTransaction, id: JobId) -> Result<(), StoreError> {
    let query = job_due::Entity::find_by_id(id.to_string()).lock_exclusive();
    query.one(tx).await.map(drop).map_err(store_error)
}
