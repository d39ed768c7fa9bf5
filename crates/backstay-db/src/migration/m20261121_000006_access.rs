//! The API's door: tokens, answers that are remembered for a day, and the chain of who asked for a change.
//!
//! Who asked outlives tokens and tenants, so the chain refers to them without a foreign key.

use sea_orm_migration::prelude::*;

use super::column::{id, id_some, number, number_some, parent, word};
use super::step::{create_index, create_table, drop_index, drop_table};
use crate::dialect::{is_transactional, long_text};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Access;

#[async_trait::async_trait]
impl MigrationTrait for Access {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in [api_token(), remembered_answer(backend), change_record(backend)] {
            create_table(manager, table).await?;
        }
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // MariaDB has dropped the index that it had made for the foreign key, and refuses to drop the one that took its
        // place. There it stays, and the next `up` finds it.
        if is_transactional(manager.get_database_backend()) {
            for (table, index) in [("job", "ix_job_tenant"), ("snapshot", "ix_snapshot_tenant")] {
                drop_index(manager, table, index).await?;
            }
        }
        for table in ["change_record", "remembered_answer", "api_token"] {
            drop_table(manager, table).await?;
        }
        Ok(())
    }
}

const ROLES: &str = "role IN ('admin', 'operator', 'tenant_admin', 'restorer', 'reader', 'agent')";

fn api_token() -> TableCreateStatement {
    Table::create()
        .table("api_token")
        .col(id("id").primary_key())
        .col(word("name"))
        .col(word("hash"))
        .col(word("role").check(Expr::cust(ROLES)))
        .col(id_some("tenant_id"))
        .col(ColumnDef::new("kinds").string_len(255).not_null().take())
        .col(number("created_at"))
        .col(number_some("expires_at"))
        .col(number_some("last_used_at"))
        .col(number_some("revoked_at"))
        .foreign_key(&mut parent("api_token", "tenant_id", "tenant", "id"))
        .take()
}

fn remembered_answer(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("remembered_answer")
        .col(word("caller"))
        .col(ColumnDef::new("answer_key").string_len(128).not_null().take())
        .col(word("request_hash"))
        .col(number("asked_at"))
        .col(number_some("status"))
        .col(long_text(backend, "body").null())
        .primary_key(Index::create().col("caller").col("answer_key"))
        .take()
}

fn change_record(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("change_record")
        .col(id("id").primary_key())
        .col(number("sequence").check(Expr::cust("sequence >= 1")))
        .col(ColumnDef::new("previous_hash").string_len(64).null().take())
        .col(number("asked_at"))
        .col(id_some("token_id"))
        .col(word("role").check(Expr::cust(ROLES)))
        .col(id_some("tenant_id"))
        .col(word("operation"))
        .col(long_text(backend, "path").not_null())
        .col(word("hash"))
        .col(ColumnDef::new("signature").string_len(128).not_null().take())
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let columns = |columns: &[&'static str]| {
        let mut index = Index::create();
        for column in columns {
            index.col(*column);
        }
        index.take()
    };
    vec![
        ("api_token", "uq_api_token_hash", columns(&["hash"]).unique().take()),
        ("api_token", "ix_api_token_tenant", columns(&["tenant_id", "id"])),
        ("remembered_answer", "ix_remembered_answer_asked", columns(&["asked_at"])),
        ("change_record", "uq_change_record_sequence", columns(&["sequence"]).unique().take()),
        // Lists of one tenant, newest first.
        ("job", "ix_job_tenant", columns(&["tenant_id", "id"])),
        ("snapshot", "ix_snapshot_tenant", columns(&["tenant_id", "id"])),
    ]
}
