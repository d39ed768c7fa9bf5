//! What is told: a decision is written as a whole, with the mark that it was based on.
//!
//! Locks are taken in the order of all writers: the tenant first, then the mark, alerts, messages.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::channel::Channel;
use backstay_core::domain::id::{AlertId, ChannelId, MessageId, PlanId, TenantId};
use backstay_core::domain::message::Purpose;
use backstay_core::domain::quota::Usage;
use backstay_core::ports::notice::{
    AlertFilter, AlertRow, Behind, DigestDue, DigestTold, Mark, NoticeStore, NoticeWrite, OutboxCounts, OutboxRow,
    Outgoing, Watched,
};
use backstay_core::ports::store::{NamedFilter, Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::{insert_unless_taken, is_among};
use crate::entity::alert::subject_hash;
use crate::entity::{alert, channel, digest, digest_told, event, event_cursor, item, outbox, watch};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::history::rows_limit;
use crate::outbox::{has_younger_or_waiting, replace_waiting};
use crate::row::{Row, count_cell, json_cell};
use crate::told::FactsTwin;

/// Returns the question for items that are due to be looked at, the longest due first.
pub(crate) fn watch_question(now: Timestamp, rows_max: u32) -> Select<watch::Entity> {
    watch::Entity::find()
        .filter(watch::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(watch::Column::DueAt)
        .limit(rows_limit(rows_max))
}

/// Returns the question for tenants with events that were not taken in.
pub(crate) fn behind_question(rows_max: u32) -> Select<event_cursor::Entity> {
    event_cursor::Entity::find()
        .filter(event_cursor::Column::BehindSequence.gt(0))
        .order_by_asc(event_cursor::Column::BehindSequence)
        .limit(rows_limit(rows_max))
}

/// Returns the question for windows that are over, the longest over first.
pub(crate) fn digest_question(now: Timestamp, rows_max: u32) -> Select<digest::Entity> {
    digest::Entity::find()
        .filter(digest::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(digest::Column::DueAt)
        .limit(rows_limit(rows_max))
}

/// Returns the question for all alerts of a subject.
pub(crate) fn subject_question(tenant: TenantId, subject: &str) -> Select<alert::Entity> {
    alert::Entity::find()
        .filter(alert::Column::TenantId.eq(tenant.to_string()))
        .filter(alert::Column::SubjectHash.eq(subject_hash(subject)))
}

/// Adds the place up to which a new tenant's events were taken in.
pub(crate) async fn cursor_add(tx: &DatabaseTransaction, id: TenantId) -> Result<(), StoreError> {
    let row = event_cursor::Model { tenant_id: id.to_string(), sequence: 0, behind_sequence: None };
    let insert = event_cursor::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "event cursor of tenant", id.to_string()))
}

/// Notes that a tenant has a new event.
pub(crate) async fn cursor_behind(tx: &DatabaseTransaction, tenant: &str, sequence: i64) -> Result<(), StoreError> {
    let update = event_cursor::Entity::update_many()
        .col_expr(event_cursor::Column::BehindSequence, Expr::val(sequence))
        .filter(event_cursor::Column::TenantId.eq(tenant));
    update.exec(tx).await.map(drop).map_err(store_error)
}

/// Notes that tenants have new events, up to the newest of each.
pub(crate) async fn cursors_behind(tx: &DatabaseTransaction, tenants: &BTreeSet<TenantId>) -> Result<(), StoreError> {
    let tenant = event_cursor::Column::TenantId;
    let newest = Query::select()
        .expr(Expr::col((event::Entity, event::Column::Sequence)).max())
        .from(event::Entity)
        .and_where(Expr::col((event::Entity, event::Column::TenantId)).equals((event_cursor::Entity, tenant)))
        .take();
    let update = event_cursor::Entity::update_many()
        .col_expr(event_cursor::Column::BehindSequence, Expr::from(newest))
        .filter(is_among(tx.get_database_backend(), tenant, tenants.iter().map(ToString::to_string)));
    update.exec(tx).await.map(drop).map_err(store_error)
}

/// Has the items of a plan looked at at once: a row for each that has none.
pub(crate) async fn watch_plan(tx: &DatabaseTransaction, plan: PlanId, source: &str) -> Result<(), StoreError> {
    let again = watch::Entity::update_many()
        .col_expr(watch::Column::DueAt, Expr::val(0i64))
        .filter(watch::Column::PlanId.eq(plan.to_string()));
    again.exec(tx).await.map_err(store_error)?;
    let known = Query::select()
        .column(watch::Column::ItemId)
        .from(watch::Entity)
        .and_where(Expr::col(watch::Column::PlanId).eq(plan.to_string()))
        .take();
    let items = Query::select()
        .expr(Expr::val(plan.to_string()))
        .column(item::Column::Id)
        .expr(Expr::val(0i64))
        .from(item::Entity)
        .and_where(Expr::col(item::Column::SourceId).eq(source))
        .and_where(Expr::col(item::Column::Id).not_in_subquery(known))
        .take();
    let mut insert = Query::insert();
    insert.into_table(watch::Entity).columns([watch::Column::PlanId, watch::Column::ItemId, watch::Column::DueAt]);
    insert.select_from(items).map_err(|error| store_error(sea_orm::DbErr::Custom(error.to_string())))?;
    tx.execute(&insert).await.map(drop).map_err(store_error)
}

impl Database {
    async fn notice_put_once(&self, write: &NoticeWrite) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let of_mark = match &write.mark {
            Some(Mark::Events { tenant_id, .. }) => Some(*tenant_id),
            _ => None,
        };
        // A result may be written beside a beginning: one of them is first.
        let of_start = || write.messages.iter().find(|row| is_start(row)).and_then(|row| row.tenant_id);
        let of_alert = || write.alerts.first().map(|row| row.tenant_id);
        if let Some(tenant) = of_mark.or_else(of_alert).or_else(of_start) {
            tenant_locked(&tx, tenant).await?;
        }
        if let Some(mark) = &write.mark
            && !mark_put(&tx, mark).await?
        {
            return Ok(false);
        }
        for row in &write.alerts {
            if !alert_put(&tx, row).await? {
                return Ok(false);
            }
        }
        for outgoing in &write.messages {
            let mut row = outbox::Model::of(outgoing);
            if is_start(outgoing) {
                if has_younger_or_waiting(&tx, &row).await? {
                    continue;
                }
            } else if outgoing.message.purpose.is_ping() {
                row.tries = replace_waiting(&tx, &row).await?;
            }
            insert_unless_taken(&tx, row.into_active_model()).await.map_err(store_error)?;
        }
        commit(tx).await?;
        Ok(true)
    }
}

fn is_start(outgoing: &Outgoing) -> bool {
    outgoing.message.purpose == Purpose::Started
}

/// Moves a mark on; false when it is not where it was seen.
async fn mark_put(tx: &DatabaseTransaction, mark: &Mark) -> Result<bool, StoreError> {
    let done = match mark {
        Mark::Events { tenant_id, from, to } => {
            use event_cursor::Column;
            let behind =
                Expr::cust_with_values("CASE WHEN behind_sequence > ? THEN behind_sequence ELSE NULL END", [*to]);
            let behind = if tx.get_database_backend() == sea_orm::DbBackend::Postgres {
                Expr::cust_with_values("CASE WHEN behind_sequence > $1 THEN behind_sequence ELSE NULL END", [*to])
            } else {
                behind
            };
            let update = event_cursor::Entity::update_many()
                .col_expr(Column::Sequence, Expr::val(*to))
                .col_expr(Column::BehindSequence, behind)
                .filter(Column::TenantId.eq(tenant_id.to_string()))
                .filter(Column::Sequence.eq(*from));
            update.exec(tx).await
        }
        Mark::Watch { seen, due_at } => {
            use watch::Column;
            let update = watch::Entity::update_many()
                .col_expr(Column::DueAt, Expr::val(due_at.as_microsecond()))
                .filter(Column::PlanId.eq(seen.plan_id.to_string()))
                .filter(Column::ItemId.eq(seen.item_id.to_string()))
                .filter(Column::DueAt.eq(seen.due_at.as_microsecond()));
            update.exec(tx).await
        }
        Mark::Digest { seen, due_at, told } => {
            use digest::Column;
            let update = digest::Entity::update_many()
                .col_expr(Column::FromAt, Expr::val(seen.due_at.as_microsecond()))
                .col_expr(Column::DueAt, Expr::val(due_at.as_microsecond()))
                .filter(Column::ChannelId.eq(seen.channel_id.to_string()))
                .filter(Column::DueAt.eq(seen.due_at.as_microsecond()));
            let done = update.exec(tx).await.map_err(store_error)?;
            for told in told.iter().filter(|_| done.rows_affected == 1) {
                told_put(tx, seen.channel_id, told).await?;
            }
            return Ok(done.rows_affected == 1);
        }
    };
    Ok(done.map_err(store_error)?.rows_affected == 1)
}

async fn told_put(tx: &DatabaseTransaction, channel: ChannelId, told: &DigestTold) -> Result<(), StoreError> {
    let key = (channel.to_string(), told.tenant_id.to_string());
    digest_told::Entity::delete_by_id(key.clone()).exec(tx).await.map_err(store_error)?;
    let facts_json = json_cell(&FactsTwin::of(&told.facts));
    let row = digest_told::Model { channel_id: key.0, tenant_id: key.1, sequence: told.sequence, facts_json };
    let insert = digest_told::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "digest", channel.to_string()))
}

/// Puts an alert in the place of its revision; false when another one is there.
async fn alert_put(tx: &DatabaseTransaction, row: &AlertRow) -> Result<bool, StoreError> {
    use alert::Column;
    let new = alert::Model::of(row);
    if row.revision == 0 {
        return insert_unless_taken(tx, new.into_active_model()).await.map_err(store_error);
    }
    let update = alert::Entity::update_many()
        .col_expr(Column::Title, Expr::val(new.title))
        .col_expr(Column::Message, Expr::val(new.message))
        .col_expr(Column::Severity, Expr::val(new.severity))
        .col_expr(Column::SinceAt, Expr::val(new.since_at))
        .col_expr(Column::LastAt, Expr::val(new.last_at))
        .col_expr(Column::ToldAt, Expr::val(new.told_at))
        .col_expr(Column::ToldCount, Expr::val(new.told_count))
        .col_expr(Column::HeldCount, Expr::val(new.held_count))
        .col_expr(Column::AcknowledgedBy, Expr::val(new.acknowledged_by))
        .col_expr(Column::AcknowledgedAt, Expr::val(new.acknowledged_at))
        .col_expr(Column::SilencedUntil, Expr::val(new.silenced_until))
        .col_expr(Column::SilenceReason, Expr::val(new.silence_reason))
        .col_expr(Column::EndedAt, Expr::val(new.ended_at))
        .col_expr(Column::Revision, Expr::val(new.revision))
        .filter(Column::Id.eq(&new.id))
        .filter(Column::Revision.eq(count_cell(row.revision)));
    Ok(update.exec(tx).await.map_err(store_error)?.rows_affected == 1)
}

#[async_trait]
impl NoticeStore for Database {
    async fn channel_add(&self, channel: &Channel, digest_due_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.retrying(|| self.channel_add_once(channel, digest_due_at)).await
    }

    async fn channel_get(&self, id: ChannelId) -> Result<Channel, StoreError> {
        let row = channel::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "channel", id)?.read()
    }

    async fn channel_page(&self, filter: &NamedFilter, page: Page<ChannelId>) -> Result<Vec<Channel>, StoreError> {
        self.channels(filter, page).await
    }

    async fn channel_put(
        &self,
        seen: &Channel,
        new: &Channel,
        digest_due_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.retrying(|| self.channel_put_once(seen, new, digest_due_at)).await
    }

    async fn channel_remove(&self, id: ChannelId) -> Result<(), StoreError> {
        self.retrying(|| self.channel_remove_once(id)).await
    }

    async fn alert_get(&self, id: AlertId) -> Result<AlertRow, StoreError> {
        let row = alert::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "alert", id)?.read()
    }

    async fn alert_list(&self, filter: AlertFilter, page: Page<AlertId>) -> Result<Vec<AlertRow>, StoreError> {
        let mut query = alert::Entity::find();
        if let Some(tenant) = filter.tenant_id {
            query = query.filter(alert::Column::TenantId.eq(tenant.to_string()));
        }
        if filter.is_live {
            query = query.filter(alert::Column::EndedAt.is_null());
        }
        if let Some(before) = page.before {
            query = query.filter(alert::Column::Id.lt(before.to_string()));
        }
        let query = query.order_by_desc(alert::Column::Id).limit(rows_limit(page.rows_max));
        let rows = query.all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(alert::Model::read).collect()
    }

    async fn alert_find(&self, tenant: TenantId, subject: &str) -> Result<Vec<AlertRow>, StoreError> {
        let rows = subject_question(tenant, subject).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(alert::Model::read).collect()
    }

    async fn notice_put(&self, write: &NoticeWrite) -> Result<bool, StoreError> {
        self.retrying(|| self.notice_put_once(write)).await
    }

    async fn watch_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Watched>, StoreError> {
        let rows = watch_question(now, rows_max).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(watch::Model::read).collect()
    }

    async fn event_list_behind(&self, rows_max: u32) -> Result<Vec<Behind>, StoreError> {
        let rows = behind_question(rows_max).all(&self.reader).await.map_err(store_error)?;
        let read = |row: event_cursor::Model| {
            let tenant_id = Row::of("event_cursor", &row.tenant_id).parse("tenant_id", &row.tenant_id)?;
            Ok(Behind { tenant_id, sequence: row.sequence })
        };
        rows.into_iter().map(read).collect()
    }

    async fn digest_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<DigestDue>, StoreError> {
        let rows = digest_question(now, rows_max).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(digest::Model::read).collect()
    }

    async fn usage_get(&self, tenant: TenantId) -> Result<Usage, StoreError> {
        self.usage_of(tenant).await
    }

    async fn digest_told(&self, channel: ChannelId, tenant: TenantId) -> Result<Option<DigestTold>, StoreError> {
        let query = digest_told::Entity::find_by_id((channel.to_string(), tenant.to_string()));
        let Some(row) = query.one(&self.reader).await.map_err(store_error)? else { return Ok(None) };
        let place = Row::of("digest_told", &row.channel_id);
        let facts = place.json::<FactsTwin>("facts_json", &row.facts_json)?.read(place)?;
        Ok(Some(DigestTold { tenant_id: tenant, facts, sequence: row.sequence }))
    }

    async fn outbox_lease(
        &self,
        but: &[ChannelId],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.claim_messages(but, count_max, ttl).await
    }

    async fn outbox_sent(&self, id: MessageId, tries: u32) -> Result<bool, StoreError> {
        self.message_sent(id, tries).await
    }

    async fn outbox_failed(
        &self,
        id: MessageId,
        tries: u32,
        error: &str,
        again_after: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.message_failed(id, tries, error, again_after).await
    }

    async fn outbox_get(&self, id: MessageId) -> Result<OutboxRow, StoreError> {
        let row = outbox::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "message", id)?.read()
    }

    async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        self.message_counts().await
    }
}
