//! How a job's newest attempts failed: the class and how many of it in a row, beside the count of all.
//!
//! Both are there or none is. A job that failed before this step has none, and its next failure begins a row.

use sea_orm_migration::prelude::*;

use super::column::{number_some, word_some};
use super::step::{add_column, drop_column};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Streak;

const CLASSES: &str = "streak_class IN ('source', 'storage', 'storage_full', 'repository', 'repository_missing', \
     'password', 'target', 'agent_lost', 'internal')";

#[async_trait::async_trait]
impl MigrationTrait for Streak {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let class = word_some("streak_class").check(Expr::cust(CLASSES)).take();
        add_column(manager, "job", "streak_class", class).await?;
        let whole = "(streak_count IS NULL) = (streak_class IS NULL) AND (streak_count IS NULL OR streak_count >= 1)";
        let count = number_some("streak_count").check(Expr::cust(whole)).take();
        add_column(manager, "job", "streak_count", count).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // In this order: the check of the count, which goes with it, names the class.
        drop_column(manager, "job", "streak_count").await?;
        drop_column(manager, "job", "streak_class").await
    }
}
