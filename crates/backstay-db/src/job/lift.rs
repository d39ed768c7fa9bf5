//! Puts a parked job back in the queue: a person mended what parked it, or the plan changed.

use backstay_core::domain::event::Event;
use backstay_core::domain::id::JobId;
use backstay_core::domain::job::{JobState, StateName};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait as _, QueryFilter};

use super::due::due_put;
use super::state::{job_locked, move_to, put_streak};
use crate::entity::job::{self, StateCells};
use crate::error::{insert_error, store_error};
use crate::event::{event_append, tenant_locked};

/// Lifts a parked job and returns its new state.
pub(super) async fn lift(
    tx: &DatabaseTransaction,
    id: JobId,
    now: Timestamp,
    lifted: &Event,
) -> Result<JobState, StoreError> {
    let tenant = tenant_locked(tx, lifted.tenant_id).await?;
    let row = job_locked(tx, id).await?;
    let job = row.clone().read()?;
    let next = JobState::Queued { not_before: now };
    if job.state.name() != StateName::Parked {
        return Err(StoreError::Move { job_id: id, from: job.state.name(), to: StateName::Queued });
    }
    // The unique key decides; this only keeps the transaction usable for a clear answer.
    let taken = || StoreError::Taken { noun: "live backup of the item of job", key: id.to_string() };
    if let Some(key) = StateCells::of(job.kind(), job.item_id, &next).live_key {
        let live = job::Entity::find().filter(job::Column::LiveKey.eq(key)).count(tx).await.map_err(store_error)?;
        if live > 0 {
            return Err(taken());
        }
    }
    let moved = put_streak(move_to(&row, id, &next)?, None).exec(tx).await;
    let moved = moved.map_err(|error| insert_error(error, "live backup of the item of job", id.to_string()))?;
    if moved.rows_affected == 0 {
        return Err(StoreError::Move { job_id: id, from: job.state.name(), to: next.name() });
    }
    due_put(tx, &row, &next).await?;
    event_append(tx, &tenant, lifted).await?;
    Ok(next)
}
