//! How the backups of a plan go about their work; which snapshots count as good, and which were confirmed.

use sea_orm_migration::prelude::*;

use super::column::number_some;
use super::step::{add_column, drop_column, run};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Backup;

#[async_trait::async_trait]
impl MigrationTrait for Backup {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        add_column(manager, "plan", "backup_json", long_text(backend, "backup_json").null().take()).await?;
        add_column(manager, "snapshot", "confirmed_at", number_some("confirmed_at")).await?;
        let good = ColumnDef::new("good").big_integer().not_null().default(1).take();
        add_column(manager, "snapshot", "good", good).await?;
        let partial = "UPDATE snapshot SET good = 0 WHERE outcome = 'partial'";
        run(manager, partial).await?;
        // Nobody ever wrote it: an item may lie in several repositories, and each has its own newest snapshot.
        drop_column(manager, "item", "confirmed_at").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "item", "confirmed_at", number_some("confirmed_at")).await?;
        for column in ["good", "confirmed_at"] {
            drop_column(manager, "snapshot", column).await?;
        }
        drop_column(manager, "plan", "backup_json").await
    }
}
