//! Whose a sealed secret is and what it is called, so that lists find it by an index; and the tag of an answer that is
//! remembered.

use sea_orm_migration::prelude::*;

use super::column::{id_some, word_some};
use super::step::{add_column, create_index, drop_column, drop_index, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Names;

/// An id is the 36 letters of the tenant's, a stroke and the name. A second run changes nothing.
const FILL: &str = "UPDATE secret SET tenant_id = SUBSTR(id, 1, 36), name = SUBSTR(id, 38) \
     WHERE tenant_id IS NULL AND SUBSTR(id, 37, 1) = '/' AND SUBSTR(id, 1, 13) <> 'installation/'";

#[async_trait::async_trait]
impl MigrationTrait for Names {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "secret", "tenant_id", id_some("tenant_id")).await?;
        add_column(manager, "secret", "name", word_some("name")).await?;
        run(manager, FILL).await?;
        create_index(manager, "secret", "ix_secret_tenant", Index::create().col("tenant_id").col("id").take()).await?;
        create_index(manager, "secret", "ix_secret_name", Index::create().col("name").col("id").take()).await?;
        add_column(manager, "remembered_answer", "etag", word_some("etag")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "remembered_answer", "etag").await?;
        drop_index(manager, "secret", "ix_secret_name").await?;
        drop_index(manager, "secret", "ix_secret_tenant").await?;
        drop_column(manager, "secret", "name").await?;
        drop_column(manager, "secret", "tenant_id").await
    }
}
