//! Sources and their items.

use backstay_core::domain::item::Item;
use backstay_core::domain::source::Source;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A source to declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceCreate {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant.
    pub name: String,
    /// Source kind.
    pub kind: String,
    /// Settings of that kind; never a secret.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
}

/// Other settings for a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceUpdate {
    /// All settings, in the place of those that it had; never a secret.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Source kind.
    pub kind: String,
    /// Settings of that kind.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// When it was retired; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
}

impl From<&Source> for SourceView {
    fn from(source: &Source) -> Self {
        Self {
            id: source.id.to_string(),
            tenant_id: source.tenant_id.to_string(),
            name: source.name.to_string(),
            kind: source.kind.clone(),
            settings: source.settings.clone(),
            retired_at: source.retired_at.map(|at| at.to_string()),
        }
    }
}

/// An item of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemView {
    /// Its id.
    pub id: String,
    /// Id of its source.
    pub source_id: String,
    /// How the source calls it.
    pub name: String,
    /// When a discovery did not find it any more; none while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vanished_at: Option<String>,
}

impl From<&Item> for ItemView {
    fn from(item: &Item) -> Self {
        Self {
            id: item.id.to_string(),
            source_id: item.source_id.to_string(),
            name: item.name.clone(),
            vanished_at: item.vanished_at.map(|at| at.to_string()),
        }
    }
}
