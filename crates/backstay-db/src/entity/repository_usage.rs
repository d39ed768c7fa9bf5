//! What a repository stores, as a row.

use backstay_core::domain::id::TenantId;
use backstay_core::domain::quota::Usage;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "repository_usage")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) repository_id: String,
    pub(crate) tenant_id: String,
    /// Bytes that backups added and prunes left.
    pub(crate) stored_bytes: i64,
    /// Snapshots that were not forgotten.
    pub(crate) snapshot_count: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn tenant(&self) -> Result<TenantId, StoreError> {
        Row::of("repository_usage", &self.repository_id).parse("tenant_id", &self.tenant_id)
    }

    pub(crate) fn read(&self) -> Result<Usage, StoreError> {
        let row = Row::of("repository_usage", &self.repository_id);
        Ok(Usage {
            bytes: row.count("stored_bytes", self.stored_bytes)?,
            snapshots: row.count("snapshot_count", self.snapshot_count)?,
        })
    }
}
