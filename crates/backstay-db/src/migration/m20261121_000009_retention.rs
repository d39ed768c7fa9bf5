//! What is kept: the retention of plans, what holds snapshots, when they were forgotten, and when repositories are pruned.
//!
//! A forgotten snapshot's row stays: evidence and jobs tell of it.

use sea_orm_migration::prelude::*;

use super::column::{id, never_negative, number, number_some, parent};
use super::step::{add_column, create_index, create_table, drop_column, drop_index, drop_table, run};
use crate::dialect::{is_transactional, long_text};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Retention;

/// Makes a row for each repository that there is; it is looked at at once. A second run finds nothing to do.
const FILL: &str = "INSERT INTO upkeep (repository_id, due_at, pending_count) \
     SELECT id, 0, 0 FROM repository WHERE id NOT IN (SELECT repository_id FROM upkeep)";

#[async_trait::async_trait]
impl MigrationTrait for Retention {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        // None for a plan that keeps everything, as those of older versions do.
        let retention = long_text(backend, "retention_json").null().take();
        add_column(manager, "plan", "retention_json", retention).await?;
        for column in ["pinned_at", "held_at", "forgotten_at"] {
            add_column(manager, "snapshot", column, number_some(column)).await?;
        }
        create_table(manager, upkeep()).await?;
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        run(manager, FILL).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // MariaDB has dropped the index that it had made for the foreign key, and refuses to drop the one that took its
        // place. There it stays, and the next `up` finds it.
        if is_transactional(manager.get_database_backend()) {
            drop_index(manager, "job", "ix_job_repository").await?;
        }
        drop_table(manager, "upkeep").await?;
        for column in ["forgotten_at", "held_at", "pinned_at"] {
            drop_column(manager, "snapshot", column).await?;
        }
        drop_column(manager, "plan", "retention_json").await
    }
}

fn upkeep() -> TableCreateStatement {
    Table::create()
        .table("upkeep")
        .col(id("repository_id").primary_key())
        .col(number("due_at"))
        .col(number("pending_count"))
        .check(("upkeep_counts", Expr::cust(never_negative(["pending_count"]))))
        .foreign_key(&mut parent("upkeep", "repository_id", "repository", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    vec![
        ("upkeep", "ix_upkeep_due", index().col("due_at").take()),
        ("job", "ix_job_repository", index().col("repository_id").col("finished_at").take()),
    ]
}
