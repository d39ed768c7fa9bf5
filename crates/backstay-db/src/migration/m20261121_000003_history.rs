//! What happened: snapshot, evidence, event.
//!
//! Evidence and events outlive the jobs and snapshots that they tell of, so they refer to those without a foreign key.

use sea_orm_migration::prelude::*;

use super::column::{COUNTS, id, id_some, never_negative, number, number_some, parent, word, word_some};
use super::step::{create_index, create_table, drop_table};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct History;

#[async_trait::async_trait]
impl MigrationTrait for History {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in [snapshot(), evidence(backend), event(backend)] {
            create_table(manager, table).await?;
        }
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["event", "evidence", "snapshot"] {
            drop_table(manager, table).await?;
        }
        Ok(())
    }
}

fn snapshot() -> TableCreateStatement {
    let mut table = Table::create()
        .table("snapshot")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(id("item_id"))
        .col(id("repository_id"))
        .col(id("job_id"))
        .col(ColumnDef::new("foreign_id").string_len(255).not_null().take())
        .col(id_some("parent_id"))
        .col(number("taken_at"))
        .col(word("outcome").check(Expr::cust("outcome IN ('complete', 'partial', 'unchanged')")))
        .col(number_some("protected_until_at"))
        .check(("snapshot_counts", Expr::cust(never_negative(COUNTS))))
        .foreign_key(&mut parent("snapshot", "tenant_id", "tenant", "id"))
        .foreign_key(&mut parent("snapshot", "item_id", "item", "id"))
        .foreign_key(&mut parent("snapshot", "repository_id", "repository", "id"))
        .foreign_key(&mut parent("snapshot", "parent_id", "snapshot", "id"))
        .take();
    for count in COUNTS {
        table.col(number(count));
    }
    table
}

fn evidence(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("evidence")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(id("item_id"))
        .col(long_text(backend, "item_name").not_null())
        .col(id("snapshot_id"))
        .col(ColumnDef::new("snapshot_foreign_id").string_len(255).not_null().take())
        .col(id("job_id"))
        .col(number("sequence").check(Expr::cust("sequence >= 1")))
        .col(word_some("previous_hash"))
        .col(word("verdict").check(Expr::cust("verdict IN ('proved', 'damaged')")))
        .col(long_text(backend, "document").not_null())
        .col(word("hash"))
        .col(word("public_key"))
        .col(ColumnDef::new("signature").string_len(128).not_null().take())
        .col(number("created_at"))
        .check(("evidence_chain", Expr::cust("(previous_hash IS NULL) = (sequence = 1)")))
        .foreign_key(&mut parent("evidence", "tenant_id", "tenant", "id"))
        .foreign_key(&mut parent("evidence", "item_id", "item", "id"))
        .take()
}

fn event(backend: sea_orm::DbBackend) -> TableCreateStatement {
    let kinds = "kind IN ('enqueued', 'skipped', 'succeeded', 'failed', 'damaged', 'cancelled', 'parked', 'rescued', \
         'paused', 'resumed')";
    Table::create()
        .table("event")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(number("sequence").check(Expr::cust("sequence >= 1")))
        .col(word("kind").check(Expr::cust(kinds)))
        .col(id_some("job_id"))
        .col(id_some("item_id"))
        .col(number("happened_at"))
        .col(long_text(backend, "message").not_null())
        .col(word("hash"))
        .foreign_key(&mut parent("event", "tenant_id", "tenant", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    vec![
        ("snapshot", "uq_snapshot_foreign_id", index().col("repository_id").col("foreign_id").unique().take()),
        ("snapshot", "ix_snapshot_newest", index().col("item_id").col("repository_id").col("taken_at").take()),
        ("snapshot", "ix_snapshot_item", index().col("item_id").col("id").take()),
        ("snapshot", "ix_snapshot_repository", index().col("repository_id").col("id").take()),
        ("evidence", "uq_evidence_sequence", index().col("item_id").col("sequence").unique().take()),
        ("event", "uq_event_sequence", index().col("tenant_id").col("sequence").unique().take()),
    ]
}
