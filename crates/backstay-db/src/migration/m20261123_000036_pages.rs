//! Indexes for pages of what people declare: of one tenant, newest first, and by name.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::step::{add_reference, create_index, drop_index, drop_reference};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Pages;

/// Tables whose rows have an owner, and its column.
const OWNED: [(&str, &str); 8] = [
    ("source", "tenant_id"),
    ("storage", "tenant_id"),
    ("repository", "tenant_id"),
    ("plan", "tenant_id"),
    ("template", "tenant_id"),
    ("channel", "tenant_id"),
    ("monitor", "tenant_id"),
    ("item", "source_id"),
];

/// Tables whose rows are looked for by name, whoever owns them.
const NAMED: [&str; 7] = ["source", "storage", "repository", "plan", "template", "channel", "monitor"];

#[async_trait::async_trait]
impl MigrationTrait for Pages {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, owner) in OWNED {
            let index = Index::create().col(owner).col("id").take();
            create_index(manager, table, &format!("ix_{table}_page"), index).await?;
        }
        for table in NAMED {
            let index = Index::create().col("name").col("id").take();
            create_index(manager, table, &format!("ix_{table}_name"), index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in NAMED {
            drop_index(manager, table, &format!("ix_{table}_name")).await?;
        }
        // MariaDB gives up an index that a reference goes by only when it makes another one for that.
        let is_bound = manager.get_database_backend() == DbBackend::MySql;
        for (table, owner) in OWNED {
            if is_bound {
                drop_reference(manager, table, owner).await?;
            }
            drop_index(manager, table, &format!("ix_{table}_page")).await?;
            if is_bound {
                add_reference(manager, table, owner, if owner == "source_id" { "source" } else { "tenant" }).await?;
            }
        }
        Ok(())
    }
}
