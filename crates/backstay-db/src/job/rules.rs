//! By what the queue is gone through: one row, with a revision that grows with each change.

use std::collections::{BTreeMap, HashMap};

use backstay_core::domain::fairness::{Caps, Rules, Slot};
use backstay_core::domain::id::{RepositoryId, TenantId};
use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Database;
use crate::entity::queue_rules;
use crate::error::store_error;
use crate::row::{Row, json_cell};

/// The key of the one row.
const KEY: &str = "installation";

/// Twin of [`Rules`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RulesTwin {
    #[serde(skip_serializing_if = "Option::is_none")]
    global: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<ExceptionTwin>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    weights: BTreeMap<Uuid, u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionTwin {
    of: SlotTwin,
    cap: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SlotTwin {
    Global,
    Tenant(Uuid),
    Host(String),
    Repository(Uuid),
    Endpoint(String),
    Kind(String),
}

impl RulesTwin {
    fn of(rules: &Rules) -> Self {
        let caps = &rules.caps;
        let twin = |slot: &Slot| match slot {
            Slot::Global => SlotTwin::Global,
            Slot::Tenant(id) => SlotTwin::Tenant(id.uuid()),
            Slot::Host(host) => SlotTwin::Host(host.clone()),
            Slot::Repository(id) => SlotTwin::Repository(id.uuid()),
            Slot::Endpoint(endpoint) => SlotTwin::Endpoint(endpoint.clone()),
            Slot::Kind(kind) => SlotTwin::Kind(kind.word().to_owned()),
        };
        Self {
            global: caps.global,
            tenant: caps.tenant,
            host: caps.host,
            repository: caps.repository,
            endpoint: caps.endpoint,
            kind: caps.kind,
            exceptions: caps.exceptions.iter().map(|(slot, cap)| ExceptionTwin { of: twin(slot), cap: *cap }).collect(),
            weights: rules.weights.iter().map(|(tenant, weight)| (tenant.uuid(), *weight)).collect(),
        }
    }

    fn read(self, row: Row<'_>) -> Result<Rules, StoreError> {
        let mut exceptions = HashMap::new();
        for ExceptionTwin { of, cap } in self.exceptions {
            let slot = match of {
                SlotTwin::Global => Slot::Global,
                SlotTwin::Tenant(id) => Slot::Tenant(TenantId::from_uuid(id)),
                SlotTwin::Host(host) => Slot::Host(host),
                SlotTwin::Repository(id) => Slot::Repository(RepositoryId::from_uuid(id)),
                SlotTwin::Endpoint(endpoint) => Slot::Endpoint(endpoint),
                SlotTwin::Kind(word) => Slot::Kind(row.word("rules_json", &word, JobKind::from_word)?),
            };
            exceptions.insert(slot, cap);
        }
        let Self { global, tenant, host, repository, endpoint, kind, .. } = self;
        let caps = Caps { global, tenant, host, repository, endpoint, kind, exceptions };
        let weights = self.weights.into_iter().map(|(id, weight)| (TenantId::from_uuid(id), weight)).collect();
        Ok(Rules { caps, weights })
    }
}

fn read(row: queue_rules::Model) -> Result<(Rules, i64), StoreError> {
    let cell = Row::of("queue_rules", &row.id);
    Ok((cell.json::<RulesTwin>("rules_json", &row.rules_json)?.read(cell)?, row.revision))
}

/// Returns the rules, and their revision.
pub(super) async fn rules_of(db: &impl ConnectionTrait) -> Result<(Rules, i64), StoreError> {
    let row = queue_rules::Entity::find_by_id(KEY).one(db).await.map_err(store_error)?;
    row.map_or_else(|| Ok((Rules::default(), 0)), read)
}

/// Returns the rules as [`rules_of`], and keeps others who must count from counting until the transaction ends.
pub(super) async fn rules_locked(tx: &DatabaseTransaction) -> Result<Rules, StoreError> {
    let row = queue_rules::Entity::find_by_id(KEY).lock_exclusive().one(tx).await.map_err(store_error)?;
    Ok(row.map(read).transpose()?.map(|(rules, _)| rules).unwrap_or_default())
}

/// Puts rules in the place of those with a revision.
pub(super) async fn rules_put(db: &Database, seen: i64, rules: &Rules) -> Result<bool, StoreError> {
    let put = queue_rules::Entity::update_many()
        .col_expr(queue_rules::Column::RulesJson, Expr::val(json_cell(&RulesTwin::of(rules))))
        .col_expr(queue_rules::Column::Revision, Expr::col(queue_rules::Column::Revision).add(1))
        .filter(queue_rules::Column::Id.eq(KEY))
        .filter(queue_rules::Column::Revision.eq(seen))
        .exec(&db.writer)
        .await
        .map_err(store_error)?;
    Ok(put.rows_affected == 1)
}
