//! What agents take, so that it can be said why a job waits; and indexes for jobs of a kind, and for how long they took.

use sea_orm_migration::prelude::*;

use super::column::word_some;
use super::step::{add_column, create_index, drop_column, drop_index};
use crate::dialect::has_partial_indexes;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Agent;

#[async_trait::async_trait]
impl MigrationTrait for Agent {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "agent", "kinds", word_some("kinds")).await?;
        create_index(manager, "job", "ix_job_kind", Index::create().col("kind").col("id").take()).await?;
        if has_partial_indexes(manager.get_database_backend()) {
            // Only a success is written there, and once; elsewhere the other index leads past what failed.
            let succeeded = Index::create().col("kind").col("id").and_where(Expr::cust("state = 'succeeded'")).take();
            create_index(manager, "job", "ix_job_succeeded", succeeded).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if has_partial_indexes(manager.get_database_backend()) {
            drop_index(manager, "job", "ix_job_succeeded").await?;
        }
        drop_index(manager, "job", "ix_job_kind").await?;
        drop_column(manager, "agent", "kinds").await
    }
}
