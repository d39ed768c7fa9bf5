//! Since when a person wants a snapshot forgotten.

use sea_orm_migration::prelude::*;

use super::column::number_some;
use super::step::{add_column, drop_column};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Unwanted;

#[async_trait::async_trait]
impl MigrationTrait for Unwanted {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "snapshot", "unwanted_at", number_some("unwanted_at")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "snapshot", "unwanted_at").await
    }
}
