//! Job sets: how many members were asked for, and the way from a set to them.

use sea_orm_migration::prelude::*;

use super::column::number;
use super::step::{add_column, create_index, drop_column, drop_index};
use crate::dialect::is_transactional;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Set;

#[async_trait::async_trait]
impl MigrationTrait for Set {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "job_set", "wanted_count", number("wanted_count").default(0).take()).await?;
        // MariaDB has an index of its own for the foreign key.
        if is_transactional(manager.get_database_backend()) {
            create_index(manager, "job", "ix_job_set", Index::create().col("set_id").take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if is_transactional(manager.get_database_backend()) {
            drop_index(manager, "job", "ix_job_set").await?;
        }
        drop_column(manager, "job_set", "wanted_count").await
    }
}
