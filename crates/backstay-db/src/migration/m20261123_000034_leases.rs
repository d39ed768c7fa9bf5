//! The leases of a tenant by when they began: a claim passes over rows of leases that are gone.

use sea_orm_migration::prelude::*;

use super::step::{create_index, drop_index};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Leases;

/// Puts another index of tenants in the place of that of leases.
async fn leases_by(manager: &SchemaManager<'_>, columns: &[&'static str]) -> Result<(), DbErr> {
    let mut index = Index::create();
    for column in columns {
        index.col(*column);
    }
    drop_index(manager, "lease", "ix_lease_tenant").await?;
    create_index(manager, "lease", "ix_lease_tenant", index).await
}

#[async_trait::async_trait]
impl MigrationTrait for Leases {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        leases_by(manager, &["tenant_id", "leased_at"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        leases_by(manager, &["tenant_id"]).await
    }
}
