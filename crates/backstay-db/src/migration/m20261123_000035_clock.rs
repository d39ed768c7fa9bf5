//! By how much the database's clock went back so far: of several replicas that see a step, one brings dates nearer for it.

use sea_orm_migration::prelude::*;

use super::column::number;
use super::step::{add_column, drop_column};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Clock;

#[async_trait::async_trait]
impl MigrationTrait for Clock {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let back = number("clock_back_us").default(0).check(Expr::cust("clock_back_us >= 0")).take();
        add_column(manager, "queue_rules", "clock_back_us", back).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "queue_rules", "clock_back_us").await
    }
}
