//! Channels of the kind `ping`.

use sea_orm_migration::prelude::*;

use super::step::replace_column_check;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Ping;

const CHANNEL: (&str, &str, &str) = ("channel", "kind", "varchar(64) NOT NULL");
const CHANNEL_WAS: &str = "kind IN ('smtp', 'webhook')";
const CHANNEL_IS: &str = "kind IN ('smtp', 'webhook', 'ping')";

#[async_trait::async_trait]
impl MigrationTrait for Ping {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_column_check(manager, CHANNEL, CHANNEL_WAS, CHANNEL_IS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_column_check(manager, CHANNEL, CHANNEL_IS, CHANNEL_WAS).await
    }
}
