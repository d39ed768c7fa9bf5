//! The door, closed further: when the run of a remembered answer began, and which token an agent works with.
//!
//! An agent's row says nothing about tokens: agents in the server's own process have none.

use sea_orm_migration::prelude::*;

use super::column::{id, number, number_some};
use super::step::{add_column, create_index, create_table, drop_column, drop_table, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Door;

/// A request that was being answered during the upgrade was begun when it was asked. A second run changes nothing.
const FILL: &str = "UPDATE remembered_answer SET began_at = asked_at WHERE status IS NULL AND began_at IS NULL";

#[async_trait::async_trait]
impl MigrationTrait for Door {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "remembered_answer", "began_at", number_some("began_at")).await?;
        run(manager, FILL).await?;
        create_table(manager, agent_token()).await?;
        create_index(manager, "agent_token", "ix_agent_token_bound", Index::create().col("bound_at").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_table(manager, "agent_token").await?;
        drop_column(manager, "remembered_answer", "began_at").await
    }
}

fn agent_token() -> TableCreateStatement {
    // Without foreign keys: it is there before the agent's first heartbeat, and outlives the token.
    Table::create()
        .table("agent_token")
        .col(id("agent_id").primary_key())
        .col(id("token_id"))
        .col(number("bound_at"))
        .take()
}
