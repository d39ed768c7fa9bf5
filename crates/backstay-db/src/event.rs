//! Events, each chained to the one before it in its tenant.

use backstay_core::domain::event::{Event, chain_hash};
use backstay_core::ports::store::{ChainedEvent, StoreError};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::entity::{event, tenant};
use crate::error::{insert_error, store_error};

/// Adds an event at the end of its tenant's chain. The place and the hash before it are read in the same transaction;
/// the tenant's row is locked meanwhile, so that two replicas do not take one place.
pub(crate) async fn event_append(tx: &DatabaseTransaction, event: &Event) -> Result<(), StoreError> {
    let tenant_id = event.tenant_id.to_string();
    tenant::Entity::find_by_id(&tenant_id).lock_exclusive().one(tx).await.map_err(store_error)?;
    let last = event::Entity::find()
        .filter(event::Column::TenantId.eq(&tenant_id))
        .order_by_desc(event::Column::Sequence)
        .one(tx)
        .await
        .map_err(store_error)?;
    let sequence = last.as_ref().map_or(1, |last| last.sequence + 1);
    let hash = chain_hash(event, sequence, last.as_ref().map(|last| last.hash.as_str()));
    let row = event::Model::of(&ChainedEvent { event: event.clone(), sequence, hash });
    let id = row.id.clone();
    let insert = event::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "event", id))
}
