//! Purges of tenants. Whoever confirms or ends one, and whoever enqueues a job of the tenant, lock its row: one comes before
//! the other.

use async_trait::async_trait;
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{PurgeId, TenantId};
use backstay_core::domain::purge::{Confirmed, Purge, PurgeRecord};
use backstay_core::ports::purge::PurgeStore;
use backstay_core::ports::store::StoreError;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::insert_unless_taken;
use crate::entity::{job, lease, purge, tenant};
use crate::error::{insert_error, store_error};
use crate::event::{TenantLock, event_append, tenant_locked};

/// Refuses what is new of a tenant whose purge is confirmed. The tenant is locked by the caller.
pub(crate) async fn purge_permit(tx: &DatabaseTransaction, tenant_id: TenantId) -> Result<(), StoreError> {
    let row = purge::Entity::find_by_id(tenant_id.to_string()).one(tx).await.map_err(store_error)?;
    if row.is_none_or(|row| row.confirmed_at.is_none()) {
        return Ok(());
    }
    let row = tenant::Entity::find_by_id(tenant_id.to_string()).one(tx).await.map_err(store_error)?;
    Err(StoreError::Purged { tenant: found(row, "tenant", tenant_id)?.name })
}

#[async_trait]
impl PurgeStore for Database {
    async fn purge_get(&self, tenant: TenantId) -> Result<Option<Purge>, StoreError> {
        let row = purge::Entity::find_by_id(tenant.to_string()).one(&self.reader).await.map_err(store_error)?;
        row.map(purge::Model::read).transpose()
    }

    async fn purge_add(&self, purge: &Purge) -> Result<bool, StoreError> {
        self.retrying(|| self.purge_add_once(purge)).await
    }

    async fn purge_drop(&self, id: PurgeId) -> Result<bool, StoreError> {
        let gone = purge::Entity::delete_many()
            .filter(purge::Column::Id.eq(id.to_string()))
            .filter(purge::Column::ConfirmedAt.is_null());
        Ok(gone.exec(&self.writer).await.map_err(store_error)?.rows_affected == 1)
    }

    async fn purge_confirm(&self, id: PurgeId, confirmed: &Confirmed) -> Result<(), StoreError> {
        self.retrying(|| self.purge_confirm_once(id, confirmed)).await
    }

    async fn purge_newest(&self) -> Result<Option<PurgeRecord>, StoreError> {
        let query =
            purge::Entity::find().filter(purge::Column::Sequence.is_not_null()).order_by_desc(purge::Column::Sequence);
        let row = query.one(&self.reader).await.map_err(store_error)?;
        Ok(row.map(purge::Model::read).transpose()?.and_then(|purge| purge.record))
    }

    async fn purge_end(&self, id: PurgeId, record: &PurgeRecord, event: &Event) -> Result<(), StoreError> {
        self.retrying(|| self.purge_end_once(id, record, event)).await
    }
}

impl Database {
    async fn purge_add_once(&self, purge: &Purge) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        tenant_locked(&tx, purge.tenant_id).await?;
        let row = purge::Model::announced(purge).into_active_model();
        let key = purge.tenant_id.to_string();
        let is_new = insert_unless_taken(&tx, row).await.map_err(|error| insert_error(error, "purge", key))?;
        commit(tx).await?;
        Ok(is_new)
    }

    /// Returns the purge with its tenant locked.
    async fn purge_locked(&self, tx: &DatabaseTransaction, id: PurgeId) -> Result<(Purge, TenantLock), StoreError> {
        let query = purge::Entity::find().filter(purge::Column::Id.eq(id.to_string()));
        let seen = found(query.clone().one(tx).await.map_err(store_error)?, "purge", id)?.read()?;
        let tenant = tenant_locked(tx, seen.tenant_id).await?;
        Ok((found(query.one(tx).await.map_err(store_error)?, "purge", id)?.read()?, tenant))
    }

    async fn purge_confirm_once(&self, id: PurgeId, confirmed: &Confirmed) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        if self.purge_locked(&tx, id).await?.0.confirmed.is_some() {
            return Ok(());
        }
        purge::Entity::update_many()
            .col_expr(purge::Column::ConfirmedAt, Expr::val(confirmed.at.as_microsecond()))
            .col_expr(purge::Column::Facts, Expr::val(&confirmed.facts))
            .filter(purge::Column::Id.eq(id.to_string()))
            .exec(&tx)
            .await
            .map_err(store_error)?;
        commit(tx).await
    }

    async fn purge_end_once(&self, id: PurgeId, record: &PurgeRecord, event: &Event) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let (seen, tenant) = self.purge_locked(&tx, id).await?;
        if seen.record.is_some() {
            return Ok(());
        }
        job_none_leased(&tx, seen.tenant_id).await?;
        let update = purge::Entity::update_many()
            .col_expr(purge::Column::Sequence, Expr::val(record.sequence))
            .col_expr(purge::Column::Document, Expr::val(&record.document))
            .col_expr(purge::Column::Hash, Expr::val(&record.hash))
            .col_expr(purge::Column::PublicKey, Expr::val(&record.public_key))
            .col_expr(purge::Column::Signature, Expr::val(&record.signature))
            .col_expr(purge::Column::DoneAt, Expr::val(record.done_at.as_microsecond()))
            .filter(purge::Column::Id.eq(id.to_string()));
        let done = update.exec(&tx).await;
        done.map_err(|error| insert_error(error, "purge", record.sequence.to_string()))?;
        event_append(&tx, &tenant, event).await?;
        commit(tx).await
    }
}

/// Refuses while an agent has a job of a tenant.
async fn job_none_leased(tx: &DatabaseTransaction, tenant: TenantId) -> Result<(), StoreError> {
    let leased = sea_orm::sea_query::Query::select().column(lease::Column::JobId).from(lease::Entity).take();
    let query = job::Entity::find()
        .filter(job::Column::TenantId.eq(tenant.to_string()))
        .filter(job::Column::Id.in_subquery(leased));
    match query.one(tx).await.map_err(store_error)? {
        None => Ok(()),
        Some(row) => Err(StoreError::Busy { noun: "tenant", key: tenant.to_string(), by: format!("job {}", row.id) }),
    }
}
