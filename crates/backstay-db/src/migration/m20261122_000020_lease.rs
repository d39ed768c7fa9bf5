//! The leases of some tenants: what a claim among many tenants asks for.

use sea_orm_migration::prelude::*;

use super::step::{create_index, drop_index};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Lease;

#[async_trait::async_trait]
impl MigrationTrait for Lease {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::create().col("tenant_id").col("job_id").take();
        create_index(manager, "lease", "ix_lease_tenant", index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "lease", "ix_lease_tenant").await
    }
}
