//! Purges of tenants: one row a tenant from its announcement on, and the chain of what was destroyed.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{exactly_when, id, number, number_some, parent, word_some};
use super::step::{create_index, create_table, drop_table};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Purge;

#[async_trait::async_trait]
impl MigrationTrait for Purge {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager, purge(manager.get_database_backend())).await?;
        // Empty before there is a record: a unique key takes many empty cells.
        let index = Index::create().unique().col("sequence").take();
        create_index(manager, "purge", "uq_purge_sequence", index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_table(manager, "purge").await
    }
}

fn purge(backend: DbBackend) -> TableCreateStatement {
    let text = |name: &'static str| long_text(backend, name).null().take();
    let of_record = |column: &str| exactly_when(column, "sequence IS NOT NULL");
    Table::create()
        .table("purge")
        .col(id("tenant_id").primary_key())
        .col(id("id"))
        .col(number("announced_at"))
        .col(number("due_at"))
        .col(number_some("confirmed_at"))
        .col(text("facts"))
        .col(number_some("sequence"))
        .col(text("document"))
        .col(word_some("hash"))
        .col(word_some("public_key"))
        .col(ColumnDef::new("signature").string_len(128).null().take())
        .col(number_some("done_at"))
        .check(("purge_wait", Expr::cust("due_at > announced_at")))
        .check(("purge_facts", Expr::cust(exactly_when("facts", "confirmed_at IS NOT NULL"))))
        // Nothing is destroyed that nobody confirmed.
        .check(("purge_order", Expr::cust("sequence IS NULL OR confirmed_at >= due_at")))
        .check(("purge_document", Expr::cust(of_record("document"))))
        .check(("purge_hash", Expr::cust(of_record("hash"))))
        .check(("purge_key", Expr::cust(of_record("public_key"))))
        .check(("purge_signature", Expr::cust(of_record("signature"))))
        .check(("purge_done", Expr::cust(of_record("done_at"))))
        .foreign_key(&mut parent("purge", "tenant_id", "tenant", "id"))
        .take()
}
