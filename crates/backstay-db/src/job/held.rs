//! What the holder of a lease may write while it holds it: progress and a checkpoint.

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::job::Progress;
use backstay_core::ports::job::{LeaseError, Standing};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};

use super::heartbeat::{alive_agent, standing_of};
use super::state::job_locked;
use crate::entity::{checkpoint, lease};
use crate::error::{insert_error, store_error};
use crate::now::Now;

/// Returns the lease with this very token, if its agent's heartbeat has not ended by the deciding clock. Nobody else
/// ends it before the transaction does.
///
/// # Errors
/// [`LeaseError::Lost`] when there is none. A stall is not asked for: it ends a lease only when the rescuer acts on it.
pub(super) async fn lease_alive(
    tx: &DatabaseTransaction,
    now: &Now,
    key: LeaseKey,
) -> Result<lease::Model, LeaseError> {
    let row = lease::Entity::find_by_id(key.job_id.to_string())
        .filter(lease::Column::Token.eq(key.token.0))
        .filter(Expr::exists(alive_agent(now.expr(tx.get_database_backend()))))
        .lock_exclusive()
        .one(tx)
        .await
        .map_err(store_error)?;
    row.ok_or(LeaseError::Lost { job_id: key.job_id, token: key.token })
}

/// Stores progress. The stall limit counts from the last progress that differed from the one before.
pub(super) async fn progress_put(
    tx: &DatabaseTransaction,
    now: &Now,
    key: LeaseKey,
    progress: &Progress,
) -> Result<Standing, LeaseError> {
    let before = lease_alive(tx, now, key).await?;
    let mut after = before.clone().with_progress(progress);
    if after != before {
        after.progressed_at = now.read(tx).await?.as_microsecond();
        after.into_active_model().reset_all().update(tx).await.map_err(store_error)?;
    }
    Ok(standing_of(&job_locked(tx, key.job_id).await?)?)
}

/// Stores a checkpoint in the place of the one before.
pub(super) async fn checkpoint_put(
    tx: &DatabaseTransaction,
    now: &Now,
    key: LeaseKey,
    checkpoint: &Checkpoint,
) -> Result<(), LeaseError> {
    let lease = lease_alive(tx, now, key).await?;
    let row = checkpoint::Model { job_id: lease.job_id, token: key.token.0, body: checkpoint.body().to_vec() };
    let replace = OnConflict::column(checkpoint::Column::JobId)
        .update_columns([checkpoint::Column::Token, checkpoint::Column::Body])
        .to_owned();
    let insert = checkpoint::Entity::insert(row.into_active_model()).on_conflict(replace);
    let done = insert.exec_without_returning(tx).await;
    done.map_err(|error| insert_error(error, "checkpoint", key.job_id.to_string()))?;
    Ok(())
}
