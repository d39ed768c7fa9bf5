//! Maintenance windows: times in which nothing starts by schedule.

use backstay_core::ports::schedule::MaintenanceRow;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A maintenance window to declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceCreate {
    /// What people call it; they read it as the reason why nothing starts.
    pub name: String,
    /// Name of the tenant whose plans it holds back; everybody's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its first moment; now when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first moment after it; it lasts until it is taken away when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Id of the tenant whose plans it holds back; none for everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Its first moment.
    pub from: String,
    /// The first moment after it; none while it lasts until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl From<&MaintenanceRow> for MaintenanceView {
    fn from(row: &MaintenanceRow) -> Self {
        let window = &row.window;
        Self {
            id: row.id.to_string(),
            name: window.name.clone(),
            tenant_id: window.tenant_id.map(|id| id.to_string()),
            from: window.from.to_string(),
            until: (window.until < Timestamp::MAX).then(|| window.until.to_string()),
        }
    }
}
