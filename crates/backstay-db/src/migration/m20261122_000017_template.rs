//! Templates of plans: what each says, and what a plan says itself.
//!
//! A plan of before says all that its row holds: its cell is empty.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{id, parent, word, word_some};
use super::step::{add_column, create_index, create_table, drop_column, drop_table};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Template;

#[async_trait::async_trait]
impl MigrationTrait for Template {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        create_table(manager, template(backend)).await?;
        let index = Index::create().unique().col("tenant_id").col("name").take();
        create_index(manager, "template", "uq_template_name", index).await?;
        add_column(manager, "plan", "template_name", word_some("template_name")).await?;
        add_column(manager, "plan", "said_json", long_text(backend, "said_json").null().take()).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["said_json", "template_name"] {
            drop_column(manager, "plan", column).await?;
        }
        drop_table(manager, "template").await
    }
}

fn template(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("template")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        .col(word_some("above_name"))
        .col(long_text(backend, "said_json").not_null())
        .foreign_key(&mut parent("template", "tenant_id", "tenant", "id"))
        .take()
}
