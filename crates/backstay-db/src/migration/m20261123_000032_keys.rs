//! The keys of the tables that are empty most of the time are their newest indexes on PostgreSQL (decision 0057).
//!
//! Of indexes that cost the same it takes the newest, and while a table is empty those cost the same that have the key's
//! column anywhere: a row was looked for by its key through the whole index of tenants.

use sea_orm::{ConnectionTrait as _, DbBackend};
use sea_orm_migration::prelude::*;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Keys;

/// The tables; nothing refers to them.
const TABLES: [&str; 2] = ["job_due", "lease"];

#[async_trait::async_trait]
impl MigrationTrait for Keys {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        for table in TABLES {
            let anew = format!(
                "ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD CONSTRAINT {table}_pkey PRIMARY KEY (job_id)"
            );
            manager.get_connection().execute_unprepared(&anew).await?;
        }
        Ok(())
    }

    /// There is nothing to take back: the schema is the same.
    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
