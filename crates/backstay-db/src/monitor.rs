//! Monitors and their pings. What is told of a monitor is an event at the end of its tenant's chain, written with its row.

use async_trait::async_trait;
use backstay_core::domain::id::{MonitorId, PingId, TenantId};
use backstay_core::domain::monitor::{Monitor, PINGS_KEPT, Ping};
use backstay_core::domain::name::Name;
use backstay_core::ports::monitor::{MonitorStore, MonitorWrite};
use backstay_core::ports::store::{NamedFilter, Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select,
};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::entity::monitor::live_key;
use crate::entity::{monitor, ping};
use crate::error::{insert_error, store_error};
use crate::event::{event_append, tenant_locked};
use crate::history::rows_limit;
use crate::page::{monitors_question, pings_question};
use crate::row::{count_cell, readable};

/// Pings beyond those that are kept which one write takes away: one comes with each, the rest is slack.
const GONE_MAX: u64 = 20;

/// Returns the question for monitors that are due to be looked at, the longest due first.
pub(crate) fn monitor_question(now: Timestamp, rows_max: u32) -> Select<monitor::Entity> {
    monitor::Entity::find()
        .filter(monitor::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(monitor::Column::DueAt)
        .limit(rows_limit(rows_max))
}

/// Returns the question for the pings of a monitor, newest first.
pub(crate) fn ping_question(id: &str) -> Select<ping::Entity> {
    ping::Entity::find().filter(ping::Column::MonitorId.eq(id)).order_by_desc(ping::Column::Id)
}

/// Puts a monitor in the place of its revision; false when another one is there.
async fn row_put(tx: &DatabaseTransaction, row: &Monitor) -> Result<bool, StoreError> {
    use monitor::Column;
    let new = monitor::Model::of(row);
    let update = monitor::Entity::update_many()
        .col_expr(Column::LiveKey, Expr::val(new.live_key))
        .col_expr(Column::Rhythm, Expr::val(new.rhythm))
        .col_expr(Column::TimeZone, Expr::val(new.time_zone))
        .col_expr(Column::GraceMs, Expr::val(new.grace_ms))
        .col_expr(Column::RetiredAt, Expr::val(new.retired_at))
        .col_expr(Column::EndedAt, Expr::val(new.ended_at))
        .col_expr(Column::EndedWell, Expr::val(new.ended_well))
        .col_expr(Column::StartedAt, Expr::val(new.started_at))
        .col_expr(Column::Told, Expr::val(new.told))
        .col_expr(Column::DueAt, Expr::val(new.due_at))
        .col_expr(Column::Revision, Expr::val(new.revision))
        .filter(Column::Id.eq(&new.id))
        .filter(Column::Revision.eq(count_cell(row.revision)));
    Ok(update.exec(tx).await.map_err(store_error)?.rows_affected == 1)
}

/// Adds a ping, and takes the oldest away of those that are too many.
async fn ping_put(tx: &DatabaseTransaction, row: &Ping) -> Result<(), StoreError> {
    let new = ping::Model::of(row);
    let monitor = new.monitor_id.clone();
    let insert = ping::Entity::insert(new.into_active_model()).exec_without_returning(tx).await;
    insert.map_err(|error| insert_error(error, "ping", row.id.to_string()))?;
    let beyond = ping_question(&monitor).select_only().column(ping::Column::Id);
    let beyond = beyond.offset(u64::from(PINGS_KEPT)).limit(GONE_MAX).into_tuple::<String>();
    let gone = beyond.all(tx).await.map_err(store_error)?;
    if gone.is_empty() {
        return Ok(());
    }
    let delete = ping::Entity::delete_many().filter(ping::Column::Id.is_in(gone));
    delete.exec(tx).await.map(drop).map_err(store_error)
}

impl Database {
    async fn monitor_put_once(&self, write: MonitorWrite<'_>) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let tenant = match write.event {
            Some(_) => Some(tenant_locked(&tx, write.row.tenant_id).await?),
            None => None,
        };
        // Dropped here, nothing is written.
        if !row_put(&tx, write.row).await? {
            return Ok(false);
        }
        if let Some(row) = write.ping {
            ping_put(&tx, row).await?;
        }
        if let (Some(tenant), Some(event)) = (&tenant, write.event) {
            event_append(&tx, tenant, event).await?;
        }
        commit(tx).await?;
        Ok(true)
    }
}

#[async_trait]
impl MonitorStore for Database {
    async fn monitor_add(&self, row: &Monitor) -> Result<(), StoreError> {
        let insert = monitor::Entity::insert(monitor::Model::of(row).into_active_model());
        let done = insert.exec_without_returning(&self.writer).await;
        done.map(drop).map_err(|error| insert_error(error, "monitor", row.name.as_str()))
    }

    async fn monitor_get(&self, id: MonitorId) -> Result<Monitor, StoreError> {
        let row = monitor::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "monitor", id)?.read()
    }

    async fn monitor_find(&self, tenant: TenantId, name: &Name) -> Result<Option<Monitor>, StoreError> {
        let key = live_key(&tenant.to_string(), name.as_str());
        let query = monitor::Entity::find().filter(monitor::Column::LiveKey.eq(key));
        query.one(&self.reader).await.map_err(store_error)?.map(monitor::Model::read).transpose()
    }

    async fn monitor_page(&self, filter: &NamedFilter, page: Page<MonitorId>) -> Result<Vec<Monitor>, StoreError> {
        let rows = monitors_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(monitor::Model::read).collect()
    }

    async fn monitor_put(&self, write: MonitorWrite<'_>) -> Result<bool, StoreError> {
        self.retrying(|| self.monitor_put_once(write)).await
    }

    async fn monitor_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Monitor>, StoreError> {
        let rows = monitor_question(now, rows_max).all(&self.reader).await.map_err(store_error)?;
        Ok(readable(rows, "monitor", |row| row.id.clone(), monitor::Model::read))
    }

    async fn ping_page(&self, id: MonitorId, page: Page<PingId>) -> Result<Vec<Ping>, StoreError> {
        let rows = pings_question(&id.to_string(), &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(ping::Model::read).collect()
    }
}
