//! What people declare: tenant, source, item, repository, plan, job set.

use sea_orm_migration::prelude::*;

use super::column::{id, never_negative, number, number_some, parent, word};
use super::step::{create_index, create_table, drop_table};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Declarations;

#[async_trait::async_trait]
impl MigrationTrait for Declarations {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in [tenant(), source(backend), item(backend), repository(backend), plan(backend), job_set()] {
            create_table(manager, table).await?;
        }
        // A name is unique for its owner. Item names are paths of any length, hence the key over their hash; it also
        // keeps databases that compare without regard to case from taking /A and /a for one.
        for (table, columns) in [
            ("tenant", vec!["name"]),
            ("source", vec!["tenant_id", "name"]),
            ("item", vec!["source_id", "name_hash"]),
            ("repository", vec!["tenant_id", "name"]),
            ("plan", vec!["tenant_id", "name"]),
        ] {
            let mut index = Index::create().unique().take();
            for column in columns {
                index.col(column);
            }
            create_index(manager, table, &format!("uq_{table}_name"), index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["job_set", "plan", "repository", "item", "source", "tenant"] {
            drop_table(manager, table).await?;
        }
        Ok(())
    }
}

fn tenant() -> TableCreateStatement {
    Table::create().table("tenant").col(id("id").primary_key()).col(word("name")).take()
}

fn source(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("source")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        .col(word("kind"))
        .col(long_text(backend, "settings_json").not_null())
        .foreign_key(&mut parent("source", "tenant_id", "tenant", "id"))
        .take()
}

fn item(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("item")
        .col(id("id").primary_key())
        .col(id("source_id"))
        .col(long_text(backend, "name").not_null())
        .col(word("name_hash"))
        .col(number_some("vanished_at"))
        .col(number_some("confirmed_at"))
        .foreign_key(&mut parent("item", "source_id", "source", "id"))
        .take()
}

fn repository(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("repository")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        .col(word("kind").check(Expr::cust("kind IN ('restic')")))
        .col(word("storage_kind"))
        .col(long_text(backend, "storage_settings_json").not_null())
        .col(long_text(backend, "password_reference").not_null())
        .col(number("epoch").check(Expr::cust(never_negative(["epoch"]))))
        .foreign_key(&mut parent("repository", "tenant_id", "tenant", "id"))
        .take()
}

fn plan(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("plan")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        .col(id("source_id"))
        .col(id("repository_id"))
        .col(long_text(backend, "schedule_json").not_null())
        .col(number("rpo_ms").check(Expr::cust(never_negative(["rpo_ms"]))))
        .col(number("created_at"))
        .foreign_key(&mut parent("plan", "tenant_id", "tenant", "id"))
        .foreign_key(&mut parent("plan", "source_id", "source", "id"))
        .foreign_key(&mut parent("plan", "repository_id", "repository", "id"))
        .take()
}

fn job_set() -> TableCreateStatement {
    Table::create()
        .table("job_set")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        .col(number("created_at"))
        .foreign_key(&mut parent("job_set", "tenant_id", "tenant", "id"))
        .take()
}
