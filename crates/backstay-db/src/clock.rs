//! What a clock that went back has left: rows that it dated in the future, which would rest until it comes there again.
//!
//! All of it is one transaction with the sum of all steps that were seen, which is compared first: of several replicas that see
//! the clock go back one moves the dates, and who is interrupted has moved none.

use std::time::Duration;

use backstay_core::domain::lease::LEASE_TTL;
use backstay_core::ports::schedule::ClockLook;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, UpdateMany};

use crate::Database;
use crate::database::commit;
use crate::entity::{agent, digest, job, job_due, lease, monitor, outbox, proof, queue_rules, upkeep, watch};
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

    /// Returns what the clock says, and by how much it went back before.
    pub(crate) async fn look_at_clock(&self) -> Result<ClockLook, StoreError> {
        // In this order: a step between the two is seen, and that it was made is found out when it is to be made again.
        let row = queue_rules::Entity::find().one(&self.reader).await.map_err(store_error)?;
        let back =
            row.map(|row| Row::of("queue_rules", &row.id).count("clock_back_us", row.clock_back_us)).transpose()?;
        let now = self.now.read(&self.reader).await?;
        Ok(ClockLook { now, back: Duration::from_micros(back.unwrap_or_default()) })
    }

    /// Brings nearer what is dated in the future, and returns how many rows that were; none when another one did it since
    /// the clock was seen so.
    pub(crate) async fn bring_nearer(&self, seen: ClockLook, by: Duration) -> Result<Option<u64>, StoreError> {
        let back = Back { now: seen.now.as_microsecond(), by: micros_of(by) };
        self.retrying(|| self.step_back(micros_of(seen.back), back)).await
    }

    async fn step_back(&self, seen: i64, back: Back) -> Result<Option<u64>, StoreError> {
        let tx = self.begin().await?;
        let of_all = queue_rules::Column::ClockBackUs;
        let step =
            queue_rules::Entity::update_many().col_expr(of_all, Expr::val(seen + back.by)).filter(of_all.eq(seen));
        if changed(&tx, step).await? == 0 {
            return Ok(None);
        }
        let mut rows = jobs_nearer(&tx, back).await?;
        rows += changed(&tx, back.to_come::<watch::Entity>(watch::Column::DueAt)).await?;
        let digests = back.also(back.to_come::<digest::Entity>(digest::Column::DueAt), digest::Column::FromAt);
        rows += changed(&tx, digests).await?;
        rows += changed(&tx, back.to_come::<upkeep::Entity>(upkeep::Column::DueAt)).await?;
        rows += changed(&tx, back.to_come::<proof::Entity>(proof::Column::DueAt)).await?;
        rows += changed(&tx, back.to_come::<monitor::Entity>(monitor::Column::DueAt)).await?;
        rows += changed(&tx, back.to_come::<outbox::Entity>(outbox::Column::DueAt)).await?;
        // From when it pinged last its next one is counted.
        for column in [monitor::Column::EndedAt, monitor::Column::StartedAt] {
            let done = monitor::Entity::update_many().col_expr(column, Expr::val(back.now)).filter(column.gt(back.now));
            rows += changed(&tx, done).await?;
        }
        for column in [lease::Column::LeasedAt, lease::Column::ProgressedAt] {
            let done = lease::Entity::update_many().col_expr(column, Expr::val(back.now)).filter(column.gt(back.now));
            rows += changed(&tx, done).await?;
        }
        let until = back.now + micros_of(LEASE_TTL);
        let ends = agent::Column::ExpiresAt;
        let heartbeats = agent::Entity::update_many().col_expr(ends, Expr::val(until)).filter(ends.gt(until));
        rows += changed(&tx, heartbeats).await?;
        commit(tx).await?;
        Ok(Some(rows))
    }
}

/// Runs an update, and returns how many rows it found.
async fn changed<E: EntityTrait>(tx: &DatabaseTransaction, update: UpdateMany<E>) -> Result<u64, StoreError> {
    Ok(update.exec(tx).await.map_err(store_error)?.rows_affected)
}

/// Jobs that are brought nearer by one statement.
const JOBS_AT_ONCE: usize = 500;

/// Brings jobs and their places in the queue nearer: both say when a job is due.
async fn jobs_nearer(tx: &DatabaseTransaction, back: Back) -> Result<u64, StoreError> {
    let places = job_due::Entity::find().select_only().column(job_due::Column::JobId);
    let places = places.filter(job_due::Column::DueAt.gt(back.now)).into_tuple::<String>();
    // By name: a question within an update is asked for each row of the table on MariaDB.
    for some in places.all(tx).await.map_err(store_error)?.chunks(JOBS_AT_ONCE) {
        for column in [job::Column::NotBeforeAt, job::Column::WakeAt] {
            changed(tx, back.to_come::<job::Entity>(column).filter(job::Column::Id.is_in(some))).await?;
        }
    }
    changed(tx, back.to_come::<job_due::Entity>(job_due::Column::DueAt)).await
}
