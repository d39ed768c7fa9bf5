//! When plans, sources and repositories were retired; their names can be taken again.
//!
//! The mark is empty while a row lives and its id afterwards: a plain unique key with it holds the names of those that
//! live apart on every database.

use sea_orm_migration::prelude::*;

use super::column::number_some;
use super::step::{add_column, create_index, drop_column, drop_index, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Retire;

/// What can be retired: table, the key of its names, and the key of before.
const TABLES: [(&str, &str, &str); 3] = [
    ("source", "uq_source_live_name", "uq_source_name"),
    ("repository", "uq_repository_live_name", "uq_repository_name"),
    ("plan", "uq_plan_live_name", "uq_plan_name"),
];

#[async_trait::async_trait]
impl MigrationTrait for Retire {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, key, before) in TABLES {
            add_column(manager, table, "retired_at", number_some("retired_at")).await?;
            let mark = ColumnDef::new("retired_mark").string_len(36).not_null().default("").take();
            add_column(manager, table, "retired_mark", mark).await?;
            let index = Index::create().unique().col("tenant_id").col("name").col("retired_mark").take();
            create_index(manager, table, key, index).await?;
            // Afterwards: MariaDB wants an index for the foreign key at every moment.
            drop_index(manager, table, before).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, key, before) in TABLES {
            // An older program knows one row of a name: those that were retired are called by their ids.
            let apart = format!("UPDATE {table} SET name = id WHERE retired_mark <> ''");
            run(manager, &apart).await?;
            let index = Index::create().unique().col("tenant_id").col("name").take();
            create_index(manager, table, before, index).await?;
            drop_index(manager, table, key).await?;
            for column in ["retired_mark", "retired_at"] {
                drop_column(manager, table, column).await?;
            }
        }
        Ok(())
    }
}
