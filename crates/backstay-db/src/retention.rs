//! What is swept: ended jobs, told events, dead agents, each in small batches, so that no sweep holds anything for long.
//!
//! An ended job goes with its attempts and what it could not read; snapshots and evidence stay, they refer to jobs by
//! name only. Events go from the beginning of their tenant's chain, and the hash of the last one that went stays, so
//! that the rest can still be verified. An agent goes when it is long dead and holds nothing.

use std::time::Duration;

use backstay_core::domain::id::TenantId;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::Database;
use crate::database::commit;
use crate::entity::{agent, agent_token, attempt, checkpoint, event, event_anchor, job, job_unread, lease};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::history::rows_limit;
use crate::row::micros_of;

/// The least that is kept, whatever is asked: an occurrence has one job for ever because its row is there, and no
/// schedule looks further back than a month.
const KEEP_MIN: Duration = Duration::from_secs(62 * 86_400);

/// Returns the question for jobs that ended before a moment, oldest first.
pub(crate) fn ended_question(before: Timestamp, rows_max: u32) -> Select<job::Entity> {
    job::Entity::find()
        .filter(job::Column::FinishedAt.lt(before.as_microsecond()))
        .order_by_asc(job::Column::FinishedAt)
        .limit(rows_limit(rows_max))
}

impl Database {
    /// Deletes jobs that ended before `before` (and at least two months ago), at most a page of them, and returns how
    /// many. Safe to repeat.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was deleted.
    pub async fn job_sweep(&self, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        self.retrying(|| self.job_sweep_once(before, rows_max)).await
    }

    async fn job_sweep_once(&self, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let before = before.min(self.kept_from(&tx).await?);
        let rows = ended_question(before, rows_max).all(&tx).await.map_err(store_error)?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids = || rows.iter().map(|row| &row.id);
        attempt::Entity::delete_many()
            .filter(attempt::Column::JobId.is_in(ids()))
            .exec(&tx)
            .await
            .map_err(store_error)?;
        let unread = job_unread::Entity::delete_many().filter(job_unread::Column::JobId.is_in(ids()));
        unread.exec(&tx).await.map_err(store_error)?;
        let checkpoints = checkpoint::Entity::delete_many().filter(checkpoint::Column::JobId.is_in(ids()));
        checkpoints.exec(&tx).await.map_err(store_error)?;
        let jobs = job::Entity::delete_many().filter(job::Column::Id.is_in(ids()));
        let swept = jobs.filter(job::Column::FinishedAt.is_not_null()).exec(&tx).await.map_err(store_error)?;
        commit(tx).await?;
        Ok(swept.rows_affected)
    }

    /// Deletes a tenant's events told before `before` (and at least two months ago) from the beginning of its chain, at
    /// most a page of them, and returns how many. Safe to repeat.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was deleted.
    pub async fn event_sweep(&self, tenant: TenantId, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        self.retrying(|| self.event_sweep_once(tenant, before, rows_max)).await
    }

    async fn event_sweep_once(&self, tenant: TenantId, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let before = before.min(self.kept_from(&tx).await?).as_microsecond();
        tenant_locked(&tx, tenant).await?;
        let of_tenant = || event::Column::TenantId.eq(tenant.to_string());
        let oldest = event::Entity::find().filter(of_tenant()).order_by_asc(event::Column::Sequence);
        let rows = oldest.limit(rows_limit(rows_max)).all(&tx).await.map_err(store_error)?;
        let Some(last) = rows.into_iter().take_while(|row| row.happened_at < before).last() else { return Ok(0) };
        let anchor =
            event_anchor::Model { tenant_id: last.tenant_id.clone(), sequence: last.sequence, hash: last.hash.clone() };
        let replace = OnConflict::column(event_anchor::Column::TenantId)
            .update_columns([event_anchor::Column::Sequence, event_anchor::Column::Hash])
            .to_owned();
        let insert = event_anchor::Entity::insert(anchor.into_active_model()).on_conflict(replace);
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "anchor of the events of tenant", tenant.to_string()))?;
        let gone = event::Entity::delete_many().filter(of_tenant()).filter(event::Column::Sequence.lte(last.sequence));
        let swept = gone.exec(&tx).await.map_err(store_error)?;
        commit(tx).await?;
        Ok(swept.rows_affected)
    }

    /// Returns place and hash of a tenant's last event that was swept; none while all are there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event_anchor(&self, tenant: TenantId) -> Result<Option<(i64, String)>, StoreError> {
        let query = event_anchor::Entity::find_by_id(tenant.to_string());
        let row = query.one(&self.reader).await.map_err(store_error)?;
        Ok(row.map(|row| (row.sequence, row.hash)))
    }

    /// Deletes agents whose heartbeat ended more than `dead_for` ago and who hold no lease; returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn agent_sweep(&self, dead_for: Duration) -> Result<u64, StoreError> {
        let now = self.now.read(&self.writer).await?.as_microsecond();
        let holds = Query::select().column(lease::Column::AgentId).from(lease::Entity).take();
        let dead = agent::Entity::delete_many()
            .filter(agent::Column::ExpiresAt.lt(now.saturating_sub(micros_of(dead_for))))
            .filter(Expr::col(agent::Column::Id).not_in_subquery(holds));
        let swept = dead.exec(&self.writer).await.map_err(store_error)?;
        // A token stays with its agent; one that came so long ago and is not there any more has none.
        let there = Query::select().column(agent::Column::Id).from(agent::Entity).take();
        let unbound = agent_token::Entity::delete_many()
            .filter(agent_token::Column::BoundAt.lt(now.saturating_sub(micros_of(dead_for))))
            .filter(Expr::col(agent_token::Column::AgentId).not_in_subquery(there));
        unbound.exec(&self.writer).await.map_err(store_error)?;
        Ok(swept.rows_affected)
    }

    /// Returns the moment from which on everything is kept.
    async fn kept_from(&self, tx: &sea_orm::DatabaseTransaction) -> Result<Timestamp, StoreError> {
        Ok(self.now.read(tx).await?.saturating_sub(KEEP_MIN).unwrap_or(Timestamp::MIN))
    }
}
