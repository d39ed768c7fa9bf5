//! Events, each chained to the one before it in its tenant.

use backstay_core::domain::event::{Event, chain_hash};
use backstay_core::domain::id::TenantId;
use backstay_core::ports::store::{ChainedEvent, StoreError};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::dialect::parent_lock;
use crate::entity::{event, event_anchor, tenant};
use crate::error::{insert_error, store_error};
use crate::notice::cursor_behind;

/// Locks a tenant's row until the transaction ends. Whoever will append an event does this before it locks or inserts
/// anything else: all lock in one order (tenant, agent, lease, queue, repository, job), so that none waits for one that
/// waits for it.
pub(crate) async fn tenant_locked(tx: &DatabaseTransaction, id: TenantId) -> Result<(), StoreError> {
    let query = tenant::Entity::find_by_id(id.to_string()).lock(parent_lock(tx.get_database_backend()));
    query.one(tx).await.map(drop).map_err(store_error)
}

/// Adds an event at the end of its tenant's chain. The place and the hash before it are read in the same transaction;
/// the tenant's row is locked meanwhile, so that two replicas do not take one place.
pub(crate) async fn event_append(tx: &DatabaseTransaction, event: &Event) -> Result<(), StoreError> {
    let tenant_id = event.tenant_id.to_string();
    tenant_locked(tx, event.tenant_id).await?;
    let last = event::Entity::find()
        .filter(event::Column::TenantId.eq(&tenant_id))
        .order_by_desc(event::Column::Sequence)
        .one(tx)
        .await
        .map_err(store_error)?;
    let last = match last {
        Some(last) => Some((last.sequence, last.hash)),
        // All may have been swept: the chain goes on from the last one that was.
        None => {
            let anchor = event_anchor::Entity::find_by_id(&tenant_id).one(tx).await.map_err(store_error)?;
            anchor.map(|anchor| (anchor.sequence, anchor.hash))
        }
    };
    let sequence = last.as_ref().map_or(1, |(sequence, _)| sequence + 1);
    let hash = chain_hash(event, sequence, last.as_ref().map(|(_, hash)| hash.as_str()));
    let row = event::Model::of(&ChainedEvent { event: event.clone(), sequence, hash });
    let id = row.id.clone();
    let insert = event::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map_err(|error| insert_error(error, "event", id))?;
    cursor_behind(tx, &tenant_id, sequence).await
}
