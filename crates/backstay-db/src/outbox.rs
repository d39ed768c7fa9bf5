//! The outbox: who sends a message, and how that went.
//!
//! A claim moves `due_at` on and counts the try; of two that saw the same row one finds it as it was. The count is the
//! fencing token: what an older try says is refused.

use std::time::Duration;

use backstay_core::domain::id::{ChannelId, MessageId};
use backstay_core::ports::notice::{OutboxCounts, OutboxRow};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, PaginatorTrait as _, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use crate::Database;
use crate::entity::{alert, outbox};
use crate::error::store_error;
use crate::history::rows_limit;
use crate::row::micros_of;

/// Returns the question for messages that are due, the longest due first.
pub(crate) fn outbox_question(now: Timestamp, but: &[ChannelId], rows_max: u32) -> Select<outbox::Entity> {
    let due = outbox::Entity::find().filter(outbox::Column::DueAt.lte(now.as_microsecond()));
    let due = match but {
        [] => due,
        but => due.filter(outbox::Column::ChannelId.is_not_in(but.iter().map(ToString::to_string))),
    };
    due.order_by_asc(outbox::Column::DueAt).limit(rows_limit(rows_max))
}

/// Takes away what waits for a row's channel and is older than it, and returns how often that was tried. Ids of messages are
/// in the order of time.
pub(crate) async fn replace_waiting(tx: &DatabaseTransaction, row: &outbox::Model) -> Result<i64, StoreError> {
    let older = Condition::all()
        .add(outbox::Column::ChannelId.eq(&row.channel_id))
        .add(outbox::Column::DueAt.is_not_null())
        .add(outbox::Column::Id.lt(&row.id));
    let waiting = outbox::Entity::find().filter(older.clone()).all(tx).await.map_err(store_error)?;
    outbox::Entity::delete_many().filter(older).exec(tx).await.map_err(store_error)?;
    Ok(waiting.iter().map(|row| row.tries).max().unwrap_or(0))
}

/// Says whether a row is there, something waits for its channel, or what is younger than the row was told there.
pub(crate) async fn has_younger_or_waiting(tx: &DatabaseTransaction, row: &outbox::Model) -> Result<bool, StoreError> {
    // Asked at each look while a backup is young: the channel's messages are gone through once.
    if outbox::Entity::find_by_id(&row.id).one(tx).await.map_err(store_error)?.is_some() {
        return Ok(true);
    }
    let other = Condition::any().add(outbox::Column::DueAt.is_not_null()).add(outbox::Column::Id.gt(&row.id));
    let query = outbox::Entity::find().filter(outbox::Column::ChannelId.eq(&row.channel_id)).filter(other).limit(1);
    Ok(query.one(tx).await.map_err(store_error)?.is_some())
}

impl Database {
    pub(crate) async fn claim_messages(
        &self,
        but: &[ChannelId],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let now = self.now.read(&self.reader).await?;
        // Some more than wished: others claim at the same time.
        let due =
            outbox_question(now, but, count_max.saturating_mul(4)).all(&self.reader).await.map_err(store_error)?;
        let mut claimed = Vec::new();
        for row in due {
            if claimed.len() == count_max as usize {
                break;
            }
            let until = self.now.expr(self.writer.get_database_backend()).add(micros_of(ttl));
            let claim = outbox::Entity::update_many()
                .col_expr(outbox::Column::DueAt, until)
                .col_expr(outbox::Column::Tries, Expr::val(row.tries + 1))
                .filter(outbox::Column::Id.eq(&row.id))
                .filter(outbox::Column::Tries.eq(row.tries))
                .filter(outbox::Column::DueAt.eq(row.due_at));
            if claim.exec(&self.writer).await.map_err(store_error)?.rows_affected == 1 {
                let message_id = row.id.clone();
                match (outbox::Model { tries: row.tries + 1, ..row }).read() {
                    Ok(row) => claimed.push(row),
                    // It comes again when the claim is over; it must not hold the others up.
                    Err(error) => tracing::error!(message_id, error = %error, "a message cannot be read"),
                }
            }
        }
        Ok(claimed)
    }

    pub(crate) async fn message_sent(&self, id: MessageId, tries: u32) -> Result<bool, StoreError> {
        let sent = outbox::Entity::update_many()
            .col_expr(outbox::Column::DueAt, Expr::val(Option::<i64>::None))
            .col_expr(outbox::Column::SentAt, self.now.expr(self.writer.get_database_backend()));
        self.message_end(sent, id, tries).await
    }

    pub(crate) async fn message_failed(
        &self,
        id: MessageId,
        tries: u32,
        error: &str,
        again_after: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let now = || self.now.expr(self.writer.get_database_backend());
        let failed = outbox::Entity::update_many().col_expr(outbox::Column::LastError, Expr::val(error));
        let failed = match again_after {
            Some(after) => failed.col_expr(outbox::Column::DueAt, now().add(micros_of(after))),
            None => failed
                .col_expr(outbox::Column::DueAt, Expr::val(Option::<i64>::None))
                .col_expr(outbox::Column::GivenUpAt, now()),
        };
        self.message_end(failed, id, tries).await
    }

    async fn message_end(
        &self,
        update: sea_orm::UpdateMany<outbox::Entity>,
        id: MessageId,
        tries: u32,
    ) -> Result<bool, StoreError> {
        let update = update
            .filter(outbox::Column::Id.eq(id.to_string()))
            .filter(outbox::Column::Tries.eq(i64::from(tries)))
            .filter(outbox::Column::DueAt.is_not_null());
        Ok(update.exec(&self.writer).await.map_err(store_error)?.rows_affected == 1)
    }

    pub(crate) async fn message_counts(&self) -> Result<OutboxCounts, StoreError> {
        let count = async |query: Select<outbox::Entity>| query.count(&self.reader).await.map_err(store_error);
        let alerts = alert::Entity::find().filter(alert::Column::EndedAt.is_null()).count(&self.reader).await;
        Ok(OutboxCounts {
            waiting: count(outbox::Entity::find().filter(outbox::Column::DueAt.is_not_null())).await?,
            given_up: count(outbox::Entity::find().filter(outbox::Column::GivenUpAt.is_not_null())).await?,
            alerts_live: alerts.map_err(store_error)?,
        })
    }
}
