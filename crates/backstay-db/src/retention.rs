//! What is swept, each kind in small batches, so that no sweep holds anything for long.
//!
//! An ended job goes with its attempts and what it could not read; snapshots and evidence stay, they refer to jobs by
//! name only. Events go from the beginning of their tenant's chain, and the hash of the last one that went stays, so
//! that the rest can still be verified. An agent goes when it is long dead and holds nothing.

use async_trait::async_trait;
use backstay_core::domain::id::TenantId;
use backstay_core::domain::sweep::{HISTORY_MIN, Sweepable};
use backstay_core::ports::store::StoreError;
use backstay_core::ports::sweep::SweepStore;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::Database;
use crate::database::commit;
use crate::entity::{
    agent, agent_token, alert, answer, attempt, checkpoint, event, event_anchor, event_cursor, job, job_unread, lease,
    outbox, snapshot,
};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::history::rows_limit;

/// Returns the question for jobs that ended before a moment, oldest first.
pub(crate) fn ended_question(before: Timestamp, rows_max: u32) -> Select<job::Entity> {
    job::Entity::find()
        .filter(job::Column::FinishedAt.lt(before.as_microsecond()))
        .order_by_asc(job::Column::FinishedAt)
        .limit(rows_limit(rows_max))
}

#[async_trait]
impl SweepStore for Database {
    async fn rows_sweep(&self, what: Sweepable, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        match what {
            Sweepable::Jobs => {
                let swept = self.retrying(|| self.job_sweep_once(before, rows_max)).await?;
                self.retrying(|| self.set_sweep(before)).await?;
                Ok(swept)
            }
            Sweepable::Snapshots => self.retrying(|| self.snapshot_sweep_once(before, rows_max)).await,
            Sweepable::Messages => self.message_sweep(before, rows_max).await,
            Sweepable::Alerts => self.alert_sweep(before, rows_max).await,
            Sweepable::Answers => self.answer_sweep(before).await,
            Sweepable::Agents => self.agent_sweep(before).await,
            Sweepable::Events => Ok(0),
        }
    }

    async fn event_sweep(&self, tenant: TenantId, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        self.retrying(|| self.event_sweep_once(tenant, before, rows_max)).await
    }
}

/// Returns the question for rows of snapshots that were forgotten before a moment.
pub(crate) fn forgotten_question(before: Timestamp, rows_max: u32) -> Select<snapshot::Entity> {
    snapshot::Entity::find()
        .filter(snapshot::Column::ForgottenAt.lt(before.as_microsecond()))
        .order_by_asc(snapshot::Column::ForgottenAt)
        .limit(rows_limit(rows_max))
}

/// Returns the question for messages that were over before a moment.
pub(crate) fn over_question(over: outbox::Column, before: Timestamp, rows_max: u32) -> Select<outbox::Entity> {
    outbox::Entity::find().filter(over.lt(before.as_microsecond())).order_by_asc(over).limit(rows_limit(rows_max))
}

/// Returns the question for alerts that ended before a moment.
pub(crate) fn alert_question(before: Timestamp, rows_max: u32) -> Select<alert::Entity> {
    alert::Entity::find()
        .filter(alert::Column::EndedAt.lt(before.as_microsecond()))
        .order_by_asc(alert::Column::EndedAt)
        .limit(rows_limit(rows_max))
}

impl Database {
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

    async fn event_sweep_once(&self, tenant: TenantId, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let before = before.min(self.kept_from(&tx).await?).as_microsecond();
        tenant_locked(&tx, tenant).await?;
        let of_tenant = || event::Column::TenantId.eq(tenant.to_string());
        let oldest = event::Entity::find().filter(of_tenant()).order_by_asc(event::Column::Sequence);
        let rows = oldest.limit(rows_limit(rows_max)).all(&tx).await.map_err(store_error)?;
        // What alerts have not taken in yet stays, however old it is.
        let cursor = event_cursor::Entity::find_by_id(tenant.to_string()).one(&tx).await.map_err(store_error)?;
        let followed = cursor.map_or(0, |cursor| cursor.sequence);
        let goes = |row: &event::Model| row.happened_at < before && row.sequence <= followed;
        let Some(last) = rows.into_iter().take_while(goes).last() else { return Ok(0) };
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

    /// Deletes rows of snapshots that were forgotten. Evidence about them stays: it has all it says in its document.
    async fn snapshot_sweep_once(&self, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        let before = before.min(self.kept_from(&tx).await?);
        let rows = forgotten_question(before, rows_max).all(&tx).await.map_err(store_error)?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids = || rows.iter().map(|row| &row.id);
        // A repository of restic's kind needs no parent to restore its child.
        let orphans = snapshot::Entity::update_many()
            .col_expr(snapshot::Column::ParentId, Expr::val(Option::<String>::None))
            .filter(snapshot::Column::ParentId.is_in(ids()));
        orphans.exec(&tx).await.map_err(store_error)?;
        let gone = snapshot::Entity::delete_many().filter(snapshot::Column::Id.is_in(ids()));
        let swept = gone.exec(&tx).await.map_err(store_error)?;
        commit(tx).await?;
        Ok(swept.rows_affected)
    }

    /// Deletes messages that were sent or given up.
    async fn message_sweep(&self, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        let mut swept = 0;
        for over in [outbox::Column::SentAt, outbox::Column::GivenUpAt] {
            let rows = over_question(over, before, rows_max).all(&self.reader).await.map_err(store_error)?;
            let gone = outbox::Entity::delete_many()
                .filter(outbox::Column::Id.is_in(rows.iter().map(|row| &row.id)))
                .filter(outbox::Column::DueAt.is_null());
            swept += gone.exec(&self.writer).await.map_err(store_error)?.rows_affected;
        }
        Ok(swept)
    }

    /// Deletes alerts that ended; one that began again meanwhile stays.
    async fn alert_sweep(&self, before: Timestamp, rows_max: u32) -> Result<u64, StoreError> {
        let rows = alert_question(before, rows_max).all(&self.reader).await.map_err(store_error)?;
        let gone = alert::Entity::delete_many()
            .filter(alert::Column::Id.is_in(rows.iter().map(|row| &row.id)))
            .filter(alert::Column::EndedAt.lt(before.as_microsecond()));
        Ok(gone.exec(&self.writer).await.map_err(store_error)?.rows_affected)
    }

    /// Forgets answers. Their key has two parts, so they go in one statement: they are few, being of two days.
    async fn answer_sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        let gone = answer::Entity::delete_many().filter(answer::Column::AskedAt.lt(before.as_microsecond()));
        Ok(gone.exec(&self.writer).await.map_err(store_error)?.rows_affected)
    }

    /// Deletes agents whose heartbeat ended before a moment and who hold no lease.
    async fn agent_sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        let holds = Query::select().column(lease::Column::AgentId).from(lease::Entity).take();
        let dead = agent::Entity::delete_many()
            .filter(agent::Column::ExpiresAt.lt(before.as_microsecond()))
            .filter(Expr::col(agent::Column::Id).not_in_subquery(holds));
        let swept = dead.exec(&self.writer).await.map_err(store_error)?;
        // A token stays with its agent; one that came so long ago and is not there any more has none.
        let there = Query::select().column(agent::Column::Id).from(agent::Entity).take();
        let unbound = agent_token::Entity::delete_many()
            .filter(agent_token::Column::BoundAt.lt(before.as_microsecond()))
            .filter(Expr::col(agent_token::Column::AgentId).not_in_subquery(there));
        unbound.exec(&self.writer).await.map_err(store_error)?;
        Ok(swept.rows_affected)
    }

    /// Returns the moment from which on everything is kept.
    pub(crate) async fn kept_from(&self, tx: &sea_orm::DatabaseTransaction) -> Result<Timestamp, StoreError> {
        Ok(self.now.read(tx).await?.saturating_sub(HISTORY_MIN).unwrap_or(Timestamp::MIN))
    }
}
