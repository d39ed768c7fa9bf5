//! Sealed secrets by name: which key opens each, and the sealed value.

use sea_orm_migration::prelude::*;

use super::column::word;
use super::step::{create_index, create_table, drop_table};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Secret;

#[async_trait::async_trait]
impl MigrationTrait for Secret {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("secret")
            .col(ColumnDef::new("id").string_len(255).not_null().primary_key().take())
            .col(word("key_id"))
            .col(ColumnDef::new("sealed").blob().not_null().take())
            .take();
        create_table(manager, table).await?;
        create_index(manager, "secret", "ix_secret_key", Index::create().col("key_id").col("id").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_table(manager, "secret").await
    }
}
