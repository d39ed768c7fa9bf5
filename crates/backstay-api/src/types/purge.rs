//! Purges of tenants.

use backstay_core::domain::purge::{Inventory, Purge, file};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::instant_some;

/// A purge to announce.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeAnnounce {
    /// How long it waits before it may be confirmed, a day at least; seven days when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// A purge to confirm: there is no way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeConfirm {
    /// Id of the announced purge.
    pub purge_id: String,
}

/// What a tenant has that a purge ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InventoryView {
    /// Names of the plans that are retired.
    pub plans: Vec<String>,
    /// Repositories, of which the data is left where it lies.
    pub repositories: Vec<PurgedRepositoryView>,
    /// Names of the sealed secrets that are destroyed.
    pub secrets: Vec<String>,
    /// Tokens that are revoked.
    pub tokens: u64,
    /// Channels that are removed.
    pub channels: u64,
    /// Monitors that are retired.
    pub monitors: u64,
    /// Snapshots that it has.
    pub snapshots: u64,
    /// Bytes that it stores.
    pub stored_bytes: u64,
}

/// A repository, and what becomes of its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgedRepositoryView {
    /// Its name.
    pub name: String,
    /// Where its bytes lie.
    pub place: String,
    /// Whether they can be read afterwards, and by whom.
    pub fate: String,
}

/// How far the purge of a tenant is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeView {
    /// Id of the tenant.
    pub tenant_id: String,
    /// `none`, `announced`, `confirmed` (it did not come to its end: confirm it again) or `done`.
    pub state: String,
    /// Its id, by which it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<String>,
    /// From when on it may be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// When it was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
    /// What there is to destroy now; none once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroys: Option<InventoryView>,
    /// The record of what was destroyed, as `backstay evidence verify` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl PurgeView {
    /// Makes the view of a tenant's purge, as far as it is.
    pub fn new(tenant_id: String, purge: Option<&Purge>, destroys: Option<&Inventory>) -> Self {
        let state = match purge {
            None => "none",
            Some(Purge { record: Some(_), .. }) => "done",
            Some(Purge { confirmed: Some(_), .. }) => "confirmed",
            Some(_) => "announced",
        };
        let confirmed = purge.and_then(|purge| purge.confirmed.as_ref());
        Self {
            tenant_id,
            state: state.to_owned(),
            id: purge.map(|purge| purge.id.to_string()),
            announced_at: instant_some(purge.map(|purge| purge.announced_at)),
            due_at: instant_some(purge.map(|purge| purge.due_at)),
            confirmed_at: instant_some(confirmed.map(|confirmed| confirmed.at)),
            destroys: destroys.map(InventoryView::from),
            file: purge.and_then(|purge| purge.record.as_ref()).map(file),
        }
    }
}

impl From<&Inventory> for InventoryView {
    fn from(all: &Inventory) -> Self {
        let repository = |row: &backstay_core::domain::purge::PurgedRepository| PurgedRepositoryView {
            name: row.name.to_string(),
            place: row.place(),
            fate: row.fate(),
        };
        Self {
            plans: all.plans.iter().map(ToString::to_string).collect(),
            repositories: all.repositories.iter().map(repository).collect(),
            secrets: all.secrets.iter().map(ToString::to_string).collect(),
            tokens: all.tokens,
            channels: all.channels,
            monitors: all.monitors,
            snapshots: all.usage.snapshots,
            stored_bytes: all.usage.bytes,
        }
    }
}
