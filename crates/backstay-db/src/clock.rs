//! What a clock that went back has left: rows that it dated in the future, which would rest until it comes there again.
//!
//! Each table is a statement of its own, so that nothing waits for all; who was interrupted does it again.

use std::time::Duration;

use backstay_core::domain::lease::LEASE_TTL;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, UpdateMany};

use crate::Database;
use crate::database::commit;
use crate::entity::{agent, digest, job, job_due, lease, monitor, outbox, proof, upkeep, watch};
use crate::error::store_error;
use crate::row::{Row, micros_of};

/// By how much a clock went back, in microseconds, and what it says now.
#[derive(Clone, Copy)]
struct Back {
    now: i64,
    by: i64,
}

impl Back {
    /// Returns an update of the rows whose cell is to come; the end of time stays.
    fn to_come<E: EntityTrait>(self, column: E::Column) -> UpdateMany<E> {
        let is_to_come = column.gt(self.now).and(column.lt(Timestamp::MAX.as_microsecond()));
        self.also(E::update_many().filter(is_to_come), column)
    }

    /// Sets one more cell, which is not to come later than this either.
    fn also<E: EntityTrait>(self, update: UpdateMany<E>, column: E::Column) -> UpdateMany<E> {
        let nearer = Expr::case(column.gt(self.now + self.by), Expr::col(column).sub(self.by)).finally(self.now);
        let kept = Expr::case(column.lte(self.now), Expr::col(column)).finally(nearer);
        update.col_expr(column, kept.into())
    }
}

impl Database {
    /// Returns when the heartbeat that ends last does.
    pub(crate) async fn latest_heartbeat(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = agent::Entity::find().order_by_desc(agent::Column::ExpiresAt).one(&self.reader).await;
        let row = row.map_err(store_error)?;
        row.map(|row| Row::of("agent", &row.id).instant("expires_at", row.expires_at)).transpose()
    }

    /// Brings nearer what is dated in the future, and returns how many rows that were.
    pub(crate) async fn bring_nearer(&self, now: Timestamp, by: Duration) -> Result<u64, StoreError> {
        let back = Back { now: now.as_microsecond(), by: micros_of(by) };
        let mut rows = self.retrying(|| self.jobs_nearer(back)).await?;
        rows += self.nearer(|| back.to_come::<watch::Entity>(watch::Column::DueAt)).await?;
        rows += self
            .nearer(|| back.also(back.to_come::<digest::Entity>(digest::Column::DueAt), digest::Column::FromAt))
            .await?;
        rows += self.nearer(|| back.to_come::<upkeep::Entity>(upkeep::Column::DueAt)).await?;
        rows += self.nearer(|| back.to_come::<proof::Entity>(proof::Column::DueAt)).await?;
        rows += self.nearer(|| back.to_come::<monitor::Entity>(monitor::Column::DueAt)).await?;
        rows += self.nearer(|| back.to_come::<outbox::Entity>(outbox::Column::DueAt)).await?;
        // From when it pinged last its next one is counted.
        for column in [monitor::Column::EndedAt, monitor::Column::StartedAt] {
            let done =
                || monitor::Entity::update_many().col_expr(column, Expr::val(back.now)).filter(column.gt(back.now));
            rows += self.nearer(done).await?;
        }
        for column in [lease::Column::LeasedAt, lease::Column::ProgressedAt] {
            let done =
                || lease::Entity::update_many().col_expr(column, Expr::val(back.now)).filter(column.gt(back.now));
            rows += self.nearer(done).await?;
        }
        // Last of all: who begins again sees by these that it is not done.
        let until = back.now + micros_of(LEASE_TTL);
        let ends = agent::Column::ExpiresAt;
        let heartbeats = || agent::Entity::update_many().col_expr(ends, Expr::val(until)).filter(ends.gt(until));
        Ok(rows + self.nearer(heartbeats).await?)
    }

    async fn nearer<E: EntityTrait>(
        &self,
        update: impl Fn() -> UpdateMany<E> + Send + Sync,
    ) -> Result<u64, StoreError> {
        let done = self.retrying(|| async { update().exec(&self.writer).await.map_err(store_error) }).await?;
        Ok(done.rows_affected)
    }

    /// Brings jobs and their places in the queue nearer, together: both say when a job is due.
    async fn jobs_nearer(&self, back: Back) -> Result<u64, StoreError> {
        let tx = self.begin().await?;
        for column in [job::Column::NotBeforeAt, job::Column::WakeAt] {
            let places = Query::select()
                .column(job_due::Column::JobId)
                .from(job_due::Entity)
                .and_where(job_due::Column::DueAt.gt(back.now))
                .take();
            let update = back.to_come::<job::Entity>(column).filter(job::Column::Id.in_subquery(places));
            update.exec(&tx).await.map_err(store_error)?;
        }
        let done = back.to_come::<job_due::Entity>(job_due::Column::DueAt).exec(&tx).await.map_err(store_error)?;
        commit(tx).await?;
        Ok(done.rows_affected)
    }
}
