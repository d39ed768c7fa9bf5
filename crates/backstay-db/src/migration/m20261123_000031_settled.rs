//! The epoch of the newest prune whose end was taken in: where another one held the repository since, nobody said what it
//! removed.

use sea_orm_migration::prelude::*;

use super::column::number_some;
use super::step::{add_column, drop_column};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Settled;

#[async_trait::async_trait]
impl MigrationTrait for Settled {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "upkeep", "settled_epoch", number_some("settled_epoch")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "upkeep", "settled_epoch").await
    }
}
