//! What a job's three writes (queued, leased, ended) need not do (decision 0044).
//!
//! Indexes leave out the rows whose cell is empty, where a database can have such. And PostgreSQL and MariaDB are no longer
//! asked whether what a job refers to is there: they write a lock into each of these rows to keep it from being deleted,
//! and nobody deletes tenants, plans, items or repositories. Whoever inserts a job looks for them in its transaction.
//! SQLite cannot drop a reference, and its own costs it little.

use sea_orm_migration::prelude::*;

use super::step::{add_reference, create_index, drop_index, drop_reference};
use crate::dialect::has_partial_indexes;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Partial;

/// An index: table, name, columns before and now, and the rows that it has now.
type Narrowed = (&'static str, &'static str, &'static [&'static str], &'static [&'static str], &'static str);

const INDEXES: [Narrowed; 9] = [
    ("job", "ix_job_finished", &["finished_at"], &["finished_at"], "finished_at IS NOT NULL"),
    ("job", "ix_job_repository", &["repository_id", "finished_at"], &["repository_id"], "finished_at IS NULL"),
    ("job", "ix_job_set", &["set_id"], &["set_id"], "set_id IS NOT NULL"),
    (
        "job",
        "ix_job_overlap",
        &["overlap_key", "live_key"],
        &["overlap_key"],
        "live_key IS NOT NULL AND overlap_key IS NOT NULL",
    ),
    ("job", "uq_job_live_key", &["live_key"], &["live_key"], "live_key IS NOT NULL"),
    ("job", "uq_job_occurrence_key", &["occurrence_key"], &["occurrence_key"], "occurrence_key IS NOT NULL"),
    ("lease", "uq_lease_overlap", &["overlap_key"], &["overlap_key"], "overlap_key IS NOT NULL"),
    (
        "snapshot",
        "ix_snapshot_forgotten",
        &["forgotten_at", "taken_at"],
        &["forgotten_at", "taken_at"],
        "forgotten_at IS NOT NULL",
    ),
    ("snapshot", "ix_snapshot_parent", &["parent_id"], &["parent_id"], "parent_id IS NOT NULL"),
];

/// What a job refers to, and the table of each.
const PARENTS: [(&str, &str); 4] =
    [("tenant_id", "tenant"), ("plan_id", "plan"), ("item_id", "item"), ("repository_id", "repository")];

fn index(name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    for column in columns {
        index.col(*column);
    }
    if name.starts_with("uq_") {
        index.unique();
    }
    index.take()
}

#[async_trait::async_trait]
impl MigrationTrait for Partial {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if has_partial_indexes(manager.get_database_backend()) {
            for (table, name, _, now, rows) in INDEXES {
                drop_index(manager, table, name).await?;
                create_index(manager, table, name, index(name, now).and_where(Expr::cust(rows)).take()).await?;
            }
        }
        for (column, _) in PARENTS {
            drop_reference(manager, "job", column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (column, parent) in PARENTS {
            add_reference(manager, "job", column, parent).await?;
        }
        if has_partial_indexes(manager.get_database_backend()) {
            for (table, name, before, ..) in INDEXES {
                drop_index(manager, table, name).await?;
                create_index(manager, table, name, index(name, before)).await?;
            }
        }
        Ok(())
    }
}
