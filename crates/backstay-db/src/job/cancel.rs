//! Asks for a job's end: at once when nobody holds it, by the holder's next standing when somebody does.

use backstay_core::domain::event::Event;
use backstay_core::domain::id::JobId;
use backstay_core::domain::job::{JobState, StateName};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::{DatabaseTransaction, EntityTrait};

use super::due::{due_locked, due_put};
use super::state::{job_locked, move_to};
use crate::entity::checkpoint;
use crate::error::store_error;
use crate::event::{event_append, tenant_locked};

/// Cancels a job or asks its holder to stop, and returns the new state.
pub(super) async fn cancel(
    tx: &DatabaseTransaction,
    id: JobId,
    now: Timestamp,
    cancelled: &Event,
) -> Result<JobState, StoreError> {
    let tenant = tenant_locked(tx, cancelled.tenant_id).await?;
    due_locked(tx, id).await?;
    let row = job_locked(tx, id).await?;
    let job = row.clone().read()?;
    let next = match &job.state {
        JobState::Cancelling { .. } | JobState::Cancelled { .. } => return Ok(job.state),
        JobState::Leased { agent_id } => JobState::Cancelling { agent_id: *agent_id },
        _ => JobState::Cancelled { finished_at: now },
    };
    let moved = move_to(&row, id, &next)?.exec(tx).await.map_err(store_error)?;
    if moved.rows_affected == 0 {
        // The row is locked since it was read, so this cannot be; and if it is, nothing must be told.
        return Err(StoreError::Move { job_id: id, from: job.state.name(), to: next.name() });
    }
    due_put(tx, &row, &next).await?;
    if next.name() == StateName::Cancelled {
        checkpoint::Entity::delete_by_id(id.to_string()).exec(tx).await.map_err(store_error)?;
        event_append(tx, &tenant, cancelled).await?;
    }
    Ok(next)
}
