//! What a tenant may store, as a row; a tenant without one has no limit.

use backstay_core::domain::id::TenantId;
use backstay_core::domain::quota::Quota;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quota")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant_id: String,
    /// None for no limit.
    pub(crate) quota_bytes: Option<i64>,
    /// None for no limit.
    pub(crate) quota_snapshot_count: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(tenant: TenantId, quota: Quota) -> Self {
        Self {
            tenant_id: tenant.to_string(),
            quota_bytes: quota.bytes.map(count_cell),
            quota_snapshot_count: quota.snapshots.map(count_cell),
        }
    }

    pub(crate) fn tenant(&self) -> Result<TenantId, StoreError> {
        Row::of("quota", &self.tenant_id).parse("tenant_id", &self.tenant_id)
    }

    pub(crate) fn read(&self) -> Result<Quota, StoreError> {
        let row = Row::of("quota", &self.tenant_id);
        let count = |column: &str, cell: Option<i64>| cell.map(|count| row.count(column, count)).transpose();
        Ok(Quota {
            bytes: count("quota_bytes", self.quota_bytes)?,
            snapshots: count("quota_snapshot_count", self.quota_snapshot_count)?,
        })
    }
}
