//! Writing a job's new state: one function for every move that a person, an agent or the rescuer makes.

use backstay_core::domain::id::{ItemId, JobId};
use backstay_core::domain::job::{JobKind, JobState, StateName};
use backstay_core::domain::retry::Streak;
use backstay_core::ports::store::StoreError;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, UpdateMany};

use crate::declaration::found;
use crate::entity::job::{self, StateCells, StreakCells};
use crate::error::store_error;
use crate::row::Row;

/// Reads a job that is about to be changed, and keeps others from changing it meanwhile.
pub(super) async fn job_locked(tx: &DatabaseTransaction, id: JobId) -> Result<job::Model, StoreError> {
    let row = job::Entity::find_by_id(id.to_string()).lock_exclusive().one(tx).await.map_err(store_error)?;
    found(row, "job", id)
}

/// Says whether the core's table has this move.
pub(super) fn judge(job_id: JobId, from: StateName, to: StateName) -> Result<(), StoreError> {
    if from.may_become(to) { Ok(()) } else { Err(StoreError::Move { job_id, from, to }) }
}

/// Adds the failures in a row to a move.
pub(super) fn put_streak(update: UpdateMany<job::Entity>, streak: Option<Streak>) -> UpdateMany<job::Entity> {
    let cells = StreakCells::of(streak);
    update
        .col_expr(job::Column::FailureCount, Expr::val(cells.attempts))
        .col_expr(job::Column::StreakClass, Expr::val(cells.class))
        .col_expr(job::Column::StreakCount, Expr::val(cells.count))
}

/// Returns the update that moves `row` to `state`, and only while the row is as it was read: same state, same token.
/// The core's table is asked first.
///
/// # Errors
/// [`StoreError::Move`].
pub(super) fn move_to(row: &job::Model, id: JobId, state: &JobState) -> Result<UpdateMany<job::Entity>, StoreError> {
    judge(id, row.state_name()?, state.name())?;
    let cell = Row::of("job", &row.id);
    let kind = cell.word("kind", &row.kind, JobKind::from_word)?;
    let item = cell.parse_some::<ItemId>("item_id", row.item_id.as_deref())?;
    let cells = StateCells::of(kind, item, state);
    Ok(job::Entity::update_many()
        .col_expr(job::Column::State, Expr::val(cells.state))
        .col_expr(job::Column::NotBeforeAt, Expr::val(cells.not_before_at))
        .col_expr(job::Column::AgentId, Expr::val(cells.agent_id))
        .col_expr(job::Column::WakeAt, Expr::val(cells.wake_at))
        .col_expr(job::Column::Outcome, Expr::val(cells.outcome))
        .col_expr(job::Column::FailureClass, Expr::val(cells.failure_class))
        .col_expr(job::Column::Message, Expr::val(cells.message))
        .col_expr(job::Column::FinishedAt, Expr::val(cells.finished_at))
        .col_expr(job::Column::LiveKey, Expr::val(cells.live_key))
        .filter(job::Column::Id.eq(&row.id))
        .filter(job::Column::State.eq(&row.state))
        .filter(job::Column::AttemptToken.eq(row.attempt_token)))
}
