//! Storages that many repositories lie in. A repository of before says itself where it lies: its cell is empty.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{id, id_some, number_some, parent, word};
use super::step::{add_column, create_index, create_table, drop_column, drop_table};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Storage;

#[async_trait::async_trait]
impl MigrationTrait for Storage {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager, storage(manager.get_database_backend())).await?;
        let index = Index::create().unique().col("tenant_id").col("name").col("retired_mark").take();
        create_index(manager, "storage", "uq_storage_live_name", index).await?;
        add_column(manager, "repository", "storage_id", id_some("storage_id")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "repository", "storage_id").await?;
        drop_table(manager, "storage").await
    }
}

fn storage(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("storage")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        .col(word("kind"))
        .col(long_text(backend, "settings_json").not_null())
        .col(long_text(backend, "credentials_json").null())
        .col(number_some("retired_at"))
        .col(ColumnDef::new("retired_mark").string_len(36).not_null().default("").take())
        .foreign_key(&mut parent("storage", "tenant_id", "tenant", "id"))
        .take()
}
