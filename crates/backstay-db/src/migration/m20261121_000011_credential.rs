//! What opens a repository's storage: references to secrets, by purpose.

use sea_orm_migration::prelude::*;

use super::step::{add_column, drop_column};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Credential;

#[async_trait::async_trait]
impl MigrationTrait for Credential {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // None for a storage that needs none, as those of older versions do.
        let column = long_text(manager.get_database_backend(), "credentials_json").null().take();
        add_column(manager, "repository", "credentials_json", column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "repository", "credentials_json").await
    }
}
