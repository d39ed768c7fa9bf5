//! Rows of the queue's tables are looked for by their key through the key's own index on PostgreSQL (decision 0057).
//!
//! While a table is empty all indexes cost the same that have the key's column anywhere, and of those PostgreSQL takes the
//! newest: a lease was looked for through the whole index of tenants, with all rows that are gone. That index has no key any
//! more, and the key of the queue, whose order ends with it, is the newest.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::step::{replace_index, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Keys;

#[async_trait::async_trait]
impl MigrationTrait for Keys {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_index(manager, "lease", "ix_lease_tenant", &["tenant_id"]).await?;
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        // Nothing refers to it.
        let anew = "ALTER TABLE job_due DROP CONSTRAINT job_due_pkey, ADD CONSTRAINT job_due_pkey PRIMARY KEY (job_id)";
        run(manager, anew).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_index(manager, "lease", "ix_lease_tenant", &["tenant_id", "job_id"]).await
    }
}
