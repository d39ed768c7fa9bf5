//! Plans of which so much changed at once that their older snapshots must not go, and the events that tell it.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{id, number};
use super::step::{create_table, drop_table, replace_column_check};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Suspicion;

const KIND: (&str, &str, &str) = ("event", "kind", "varchar(64) NOT NULL");
const WAS: &str = "kind IN ('enqueued', 'skipped', 'succeeded', 'failed', 'damaged', 'cancelled', 'parked', 'rescued', \
     'paused', 'resumed', 'warned')";
const IS: &str = "kind IN ('enqueued', 'skipped', 'succeeded', 'failed', 'damaged', 'cancelled', 'parked', 'rescued', \
     'paused', 'resumed', 'warned', 'suspected', 'cleared')";

#[async_trait::async_trait]
impl MigrationTrait for Suspicion {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager, suspicion(manager.get_database_backend())).await?;
        replace_column_check(manager, KIND, WAS, IS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_column_check(manager, KIND, IS, WAS).await?;
        drop_table(manager, "suspicion").await
    }
}

fn suspicion(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("suspicion")
        .col(id("plan_id").primary_key())
        .col(id("job_id"))
        .col(number("suspected_at"))
        .col(long_text(backend, "message").not_null())
        .take()
}
