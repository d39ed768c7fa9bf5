//! How far the proofs of repositories are, and the budgets behind them.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{id, id_some, number, number_some, parent};
use super::step::{add_column, create_index, create_table, drop_column, drop_table, run};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Proof;

const FILL: &str = "INSERT INTO proof (repository_id, due_at, slices_json, drills_json) \
     SELECT id, 0, '[]', '[]' FROM repository WHERE id NOT IN (SELECT repository_id FROM proof)";

#[async_trait::async_trait]
impl MigrationTrait for Proof {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // None for the default, zero for never.
        add_column(manager, "repository", "verify_within_ms", number_some("verify_within_ms")).await?;
        create_table(manager, proof(manager.get_database_backend())).await?;
        create_index(manager, "proof", "ix_proof_due", Index::create().col("due_at").take()).await?;
        run(manager, FILL).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_table(manager, "proof").await?;
        drop_column(manager, "repository", "verify_within_ms").await
    }
}

fn proof(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("proof")
        .col(id("repository_id").primary_key())
        .col(number("due_at"))
        .col(number_some("began_at"))
        .col(id_some("drilled_item_id"))
        .col(long_text(backend, "slices_json").not_null())
        .col(long_text(backend, "drills_json").not_null())
        .foreign_key(&mut parent("proof", "repository_id", "repository", "id"))
        .take()
}
