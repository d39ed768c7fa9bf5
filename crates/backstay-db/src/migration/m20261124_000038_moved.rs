//! When a plan was given the repository that it has: from then on it counts its RPO there.

use sea_orm_migration::prelude::*;

use super::column::number_some;
use super::step::{add_column, drop_column};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Moved;

#[async_trait::async_trait]
impl MigrationTrait for Moved {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "plan", "moved_at", number_some("moved_at")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "plan", "moved_at").await
    }
}
