//! Events, each chained to the one before it in its tenant.

use std::collections::{BTreeSet, HashMap, HashSet};

use backstay_core::domain::event::{Event, chain_hash};
use backstay_core::domain::id::TenantId;
use backstay_core::ports::store::{ChainedEvent, StoreError};
use sea_orm::sea_query::{Expr, ExprTrait as _, Order, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};

use crate::declaration::found;
use crate::dialect::{is_among, parent_lock};
use crate::entity::{event, event_anchor, tenant};
use crate::error::{insert_error, store_error};
use crate::insert::insert_rows;
use crate::notice::{cursor_behind, cursors_behind};

/// Locks a tenant's row until the transaction ends. Whoever will append an event does this before it locks or inserts
/// anything else: all lock in one order (tenant, agent, lease, queue, repository, job), so that none waits for one that
/// waits for it. A tenant that is not there is not found: events have no reference of the database's own (decision 0049).
pub(crate) async fn tenant_locked(tx: &DatabaseTransaction, id: TenantId) -> Result<TenantLock, StoreError> {
    let query = tenant::Entity::find_by_id(id.to_string()).lock(parent_lock(tx.get_database_backend()));
    found(query.one(tx).await.map_err(store_error)?, "tenant", id).map(|_| TenantLock { id })
}

/// A tenant whose row is locked until the transaction ends: who has this appends to its chain.
#[derive(Debug)]
pub(crate) struct TenantLock {
    id: TenantId,
}

/// Locks tenants' rows as [`tenant_locked`], in the order of their ids.
pub(crate) async fn tenants_locked(tx: &DatabaseTransaction, ids: BTreeSet<TenantId>) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let query = tenant::Entity::find()
        .filter(is_among(tx.get_database_backend(), tenant::Column::Id, ids.iter().map(ToString::to_string)))
        .order_by_asc(tenant::Column::Id)
        .lock(parent_lock(tx.get_database_backend()));
    let rows = query.all(tx).await.map_err(store_error)?;
    let mut locked: HashSet<String> = rows.into_iter().map(|row| row.id).collect();
    ids.iter().try_for_each(|id| found(locked.take(&id.to_string()), "tenant", id).map(drop))
}

/// The end of a tenant's chain.
#[derive(FromQueryResult)]
struct Tail {
    tenant_id: String,
    sequence: Option<i64>,
    hash: Option<String>,
}

/// Returns the question for the ends of tenants' chains: a look at an index for each.
pub(crate) fn tails_question(backend: DbBackend, tenants: &BTreeSet<TenantId>) -> SelectStatement {
    let newest = |column: event::Column| {
        Query::select()
            .column((event::Entity, column))
            .from(event::Entity)
            .and_where(Expr::col((event::Entity, event::Column::TenantId)).equals((tenant::Entity, tenant::Column::Id)))
            .order_by((event::Entity, event::Column::Sequence), Order::Desc)
            .limit(1)
            .take()
    };
    Query::select()
        .expr_as(Expr::col((tenant::Entity, tenant::Column::Id)), "tenant_id")
        .expr_as(newest(event::Column::Sequence), "sequence")
        .expr_as(newest(event::Column::Hash), "hash")
        .from(tenant::Entity)
        .and_where(is_among(backend, tenant::Column::Id, tenants.iter().map(ToString::to_string)))
        .take()
}

/// Adds events at the ends of their tenants' chains, as [`event_append`] does one. The tenants are locked.
pub(crate) async fn events_append(tx: &DatabaseTransaction, events: &[&Event]) -> Result<(), StoreError> {
    let tenants: BTreeSet<TenantId> = events.iter().map(|event| event.tenant_id).collect();
    if tenants.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let statement = backend.build(&tails_question(backend, &tenants));
    let tails = Tail::find_by_statement(statement).all(tx).await.map_err(store_error)?;
    let mut ends: HashMap<String, (i64, String)> =
        tails.into_iter().filter_map(|tail| Some((tail.tenant_id, (tail.sequence?, tail.hash?)))).collect();
    let bare: Vec<String> = tenants.iter().map(ToString::to_string).filter(|id| !ends.contains_key(id)).collect();
    if !bare.is_empty() {
        let anchors = event_anchor::Entity::find().filter(event_anchor::Column::TenantId.is_in(bare));
        let anchors = anchors.all(tx).await.map_err(store_error)?;
        ends.extend(anchors.into_iter().map(|anchor| (anchor.tenant_id, (anchor.sequence, anchor.hash))));
    }
    let mut rows = Vec::new();
    for event in events {
        let end = ends.get(&event.tenant_id.to_string());
        let sequence = end.map_or(1, |(sequence, _)| sequence + 1);
        let hash = chain_hash(event, sequence, end.map(|(_, hash)| hash.as_str()));
        ends.insert(event.tenant_id.to_string(), (sequence, hash.clone()));
        rows.push(event::Model::of(&ChainedEvent { event: (*event).clone(), sequence, hash }).into_active_model());
    }
    insert_rows(tx, rows).await.map_err(|error| insert_error(error, "event", "of many"))?;
    cursors_behind(tx, &tenants).await
}

/// Adds an event at the end of its tenant's chain. The place and the hash before it are read in the same transaction, under
/// the tenant's lock, so that two replicas do not take one place.
pub(crate) async fn event_append(tx: &DatabaseTransaction, lock: &TenantLock, event: &Event) -> Result<(), StoreError> {
    debug_assert_eq!(lock.id, event.tenant_id, "the lock is another tenant's");
    let tenant_id = event.tenant_id.to_string();
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
