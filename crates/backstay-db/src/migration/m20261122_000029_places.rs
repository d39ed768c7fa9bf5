//! What a job's place in the queue and what is told of it need not do, like 0026 (decision 0049).
//!
//! The index of moments has only jobs that wait, and the index of repositories only those that want one alone, where a
//! database can have such: nobody asks for others by these. And PostgreSQL and MariaDB are no longer asked whether a
//! place's job and an event's tenant are there: the job is inserted in the same transaction and is swept only when it has
//! ended, and nobody deletes a tenant.

use sea_orm_migration::prelude::*;

use super::step::{add_reference, create_index, drop_index, drop_reference};
use crate::dialect::has_partial_indexes;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Places;

/// An index of the hot table: name, columns before and now, and the rows that it has now.
type Narrowed = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);

const INDEXES: [Narrowed; 2] = [
    ("ix_job_due_time", &["state", "due_at"], &["due_at"], "state = 'waiting'"),
    (
        "ix_job_due_repository",
        &["repository_id", "repository_access"],
        &["repository_id"],
        "repository_access = 'alone'",
    ),
];

/// What is referred to: table, column, and the table of the other row.
const REFERENCES: [(&str, &str, &str); 2] = [("job_due", "job_id", "job"), ("event", "tenant_id", "tenant")];

fn index(columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    for column in columns {
        index.col(*column);
    }
    index
}

#[async_trait::async_trait]
impl MigrationTrait for Places {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if has_partial_indexes(manager.get_database_backend()) {
            for (name, _, now, rows) in INDEXES {
                drop_index(manager, "job_due", name).await?;
                create_index(manager, "job_due", name, index(now).and_where(Expr::cust(rows)).take()).await?;
            }
        }
        for (table, column, _) in REFERENCES {
            drop_reference(manager, table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, parent) in REFERENCES {
            add_reference(manager, table, column, parent).await?;
        }
        if has_partial_indexes(manager.get_database_backend()) {
            for (name, before, ..) in INDEXES {
                drop_index(manager, "job_due", name).await?;
                create_index(manager, "job_due", name, index(before)).await?;
            }
        }
        Ok(())
    }
}
