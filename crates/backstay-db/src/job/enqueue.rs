//! Puts a job in the queue, or says which one stands in its way. The two unique keys decide; this only asks them.

use backstay_core::domain::event::Event;
use backstay_core::domain::job::{Job, StateName};
use backstay_core::ports::store::{Enqueued, StoreError};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};

use super::due::due_add;
use super::look::place_put;
use crate::dialect::insert_unless_taken;
use crate::entity::job;
use crate::error::{insert_error, store_error};
use crate::event::{event_append, tenant_locked};
use crate::retire::job_permit;
use crate::row::Row;

/// Inserts the job with its event; when a key is taken, only `skipped` is told. The same job twice is one job: whoever
/// did not hear the first answer gets it again, and nothing is told.
pub(super) async fn enqueue(
    tx: &DatabaseTransaction,
    job: &Job,
    enqueued: &Event,
    skipped: Option<&Event>,
) -> Result<Enqueued, StoreError> {
    if job.state.name() != StateName::Queued {
        return Err(StoreError::Move { job_id: job.id, from: job.state.name(), to: StateName::Queued });
    }
    let mut row = job::Model::of(job);
    place_put(tx, &mut row).await?;
    let tenant = tenant_locked(tx, job.tenant_id).await?;
    job_permit(tx, job).await?;
    let inserted = insert_unless_taken(tx, row.clone().into_active_model()).await;
    if inserted.map_err(|error| insert_error(error, "job", &row.id))? {
        due_add(tx, &row, &job.state).await?;
        event_append(tx, &tenant, enqueued).await?;
        return Ok(Enqueued::New(job.id));
    }
    let same = job::Entity::find_by_id(&row.id).one(tx).await.map_err(store_error)?;
    if same.is_some_and(|same| same.is_as_enqueued(&row)) {
        return Ok(Enqueued::New(job.id));
    }
    let answer = standing_in_the_way(tx, &row).await?;
    if let Some(skipped) = skipped {
        event_append(tx, &tenant, skipped).await?;
    }
    Ok(answer)
}

/// Returns the job that has one of the keys. An occurrence that is known is the more precise answer, so it comes first.
async fn standing_in_the_way(tx: &DatabaseTransaction, row: &job::Model) -> Result<Enqueued, StoreError> {
    if let Some(key) = &row.occurrence_key {
        let query = job::Entity::find().filter(job::Column::OccurrenceKey.eq(key));
        if let Some(other) = query.one(tx).await.map_err(store_error)? {
            return Ok(Enqueued::Known(Row::of("job", &other.id).parse("id", &other.id)?));
        }
    }
    if let Some(key) = &row.live_key {
        let query = job::Entity::find().filter(job::Column::LiveKey.eq(key));
        if let Some(other) = query.one(tx).await.map_err(store_error)? {
            return Ok(Enqueued::Overlaps(Row::of("job", &other.id).parse("id", &other.id)?));
        }
    }
    Err(StoreError::Taken { noun: "job", key: row.id.clone() })
}
