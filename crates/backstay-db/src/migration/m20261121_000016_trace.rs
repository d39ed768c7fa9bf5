//! To which trace a job belongs.

use sea_orm_migration::prelude::*;

use super::step::{add_column, drop_column};

/// Letters of a `traceparent`.
const LETTERS: u32 = 55;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Trace;

#[async_trait::async_trait]
impl MigrationTrait for Trace {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new("trace_parent").string_len(LETTERS).null().take();
        add_column(manager, "job", "trace_parent", column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "job", "trace_parent").await
    }
}
