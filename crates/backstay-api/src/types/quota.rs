//! Quotas: what a tenant may store, and how near it is to that.

use backstay_core::domain::quota::{Quota, level, percent};
use backstay_core::managers::quota::Standing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a tenant may store from now on; what is left out has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaPut {
    /// Bytes in all its repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// Snapshots that are not forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_snapshot_count: Option<u64>,
}

impl From<QuotaPut> for Quota {
    fn from(body: QuotaPut) -> Self {
        Self { bytes: body.quota_bytes, snapshots: body.quota_snapshot_count }
    }
}

impl From<Quota> for QuotaPut {
    fn from(quota: Quota) -> Self {
        Self { quota_bytes: quota.bytes, quota_snapshot_count: quota.snapshots }
    }
}

/// How a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaView {
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub tenant: String,
    /// Bytes that it may store; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// Snapshots that it may have; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_snapshot_count: Option<u64>,
    /// Bytes that it stores: what backups added and prunes left.
    pub used_bytes: u64,
    /// Snapshots that it has.
    pub used_snapshot_count: u64,
    /// Hundredths of the limit that is nearer; none without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_percent: Option<u64>,
    /// `green` below 50 %, `yellow` to 80 %, `red` above.
    pub level: String,
}

impl From<&Standing> for QuotaView {
    fn from(standing: &Standing) -> Self {
        let Standing { tenant, quota, usage } = standing;
        Self {
            tenant_id: tenant.id.to_string(),
            tenant: tenant.name.to_string(),
            quota_bytes: quota.bytes,
            quota_snapshot_count: quota.snapshots,
            used_bytes: usage.bytes,
            used_snapshot_count: usage.snapshots,
            used_percent: percent(*quota, *usage),
            level: level(*quota, *usage).word().to_owned(),
        }
    }
}
