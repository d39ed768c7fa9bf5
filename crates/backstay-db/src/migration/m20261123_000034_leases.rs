//! The leases of a tenant by when they began: a claim passes over rows of leases that are gone.

use sea_orm_migration::prelude::*;

use super::step::replace_index;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Leases;

#[async_trait::async_trait]
impl MigrationTrait for Leases {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_index(manager, "lease", "ix_lease_tenant", &["tenant_id", "leased_at"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_index(manager, "lease", "ix_lease_tenant", &["tenant_id"]).await
    }
}
