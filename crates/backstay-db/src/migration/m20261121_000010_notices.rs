//! What is told to people: channels, alerts, the outbox, and how far watchers have looked.
//!
//! An outbox row refers to its channel by name only: a message outlives the channel that it was for.

use sea_orm_migration::prelude::*;

use super::column::{id, id_some, never_negative, number, number_some, parent, word};
use super::step::{create_index, create_table, drop_table, run};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Notices;

/// Events that are there already were for nobody: the first channel does not tell of years gone by.
const FILL_EVENTS: &str = "INSERT INTO event_cursor (tenant_id, sequence, behind_sequence) \
     SELECT id, COALESCE((SELECT MAX(sequence) FROM event WHERE tenant_id = tenant.id), 0), NULL FROM tenant \
     WHERE id NOT IN (SELECT tenant_id FROM event_cursor)";

/// Each item of each plan is looked at at once.
const FILL_WATCH: &str = "INSERT INTO watch (plan_id, item_id, due_at) \
     SELECT plan.id, item.id, 0 FROM plan JOIN item ON item.source_id = plan.source_id \
     WHERE NOT EXISTS (SELECT 1 FROM watch w WHERE w.plan_id = plan.id AND w.item_id = item.id)";

#[async_trait::async_trait]
impl MigrationTrait for Notices {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in
            [channel(backend), digest(), digest_told(backend), alert(backend), outbox(backend), event_cursor(), watch()]
        {
            create_table(manager, table).await?;
        }
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        run(manager, FILL_EVENTS).await?;
        run(manager, FILL_WATCH).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["watch", "event_cursor", "outbox", "alert", "digest_told", "digest", "channel"] {
            drop_table(manager, table).await?;
        }
        Ok(())
    }
}

fn channel(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("channel")
        .col(id("id").primary_key())
        .col(id_some("tenant_id"))
        // The tenant's id, or `-`: a unique key takes no two empty cells for one.
        .col(word("owner"))
        .col(word("name"))
        .col(word("kind").check(Expr::cust("kind IN ('smtp', 'webhook')")))
        .col(long_text(backend, "settings_json").not_null())
        .col(long_text(backend, "rules_json").not_null())
        .col(ColumnDef::new("digest_window").string_len(128).null().take())
        .col(number("created_at"))
        .check(("channel_owner", Expr::cust("owner = COALESCE(tenant_id, '-')")))
        .foreign_key(&mut parent("channel", "tenant_id", "tenant", "id"))
        .take()
}

fn digest() -> TableCreateStatement {
    Table::create()
        .table("digest")
        .col(id("channel_id").primary_key())
        .col(number("from_at"))
        .col(number("due_at"))
        .foreign_key(&mut parent("digest", "channel_id", "channel", "id"))
        .take()
}

fn digest_told(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("digest_told")
        .col(id("channel_id"))
        .col(id("tenant_id"))
        .col(number("sequence"))
        .col(long_text(backend, "facts_json").not_null())
        .primary_key(Index::create().col("channel_id").col("tenant_id"))
        .foreign_key(&mut parent("digest_told", "channel_id", "channel", "id"))
        .foreign_key(&mut parent("digest_told", "tenant_id", "tenant", "id"))
        .take()
}

fn alert(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("alert")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("topic"))
        // Subjects are of any length, hence the key over their hash.
        .col(word("subject_hash"))
        .col(long_text(backend, "subject").not_null())
        .col(long_text(backend, "title").not_null())
        .col(long_text(backend, "message").not_null())
        .col(word("severity").check(Expr::cust("severity IN ('info', 'warning', 'error', 'critical')")))
        .col(number("since_at"))
        .col(number("last_at"))
        .col(number_some("told_at"))
        .col(number("told_count"))
        .col(number("held_count"))
        .col(ColumnDef::new("acknowledged_by").string_len(255).null().take())
        .col(number_some("acknowledged_at"))
        .col(number_some("silenced_until"))
        .col(long_text(backend, "silence_reason").not_null())
        .col(number_some("ended_at"))
        .col(number("revision"))
        .check(("alert_counts", Expr::cust(never_negative(["told_count", "held_count", "revision"]))))
        .foreign_key(&mut parent("alert", "tenant_id", "tenant", "id"))
        .take()
}

fn outbox(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("outbox")
        .col(id("id").primary_key())
        .col(id("channel_id"))
        .col(id_some("tenant_id"))
        .col(long_text(backend, "document_json").not_null())
        .col(number("created_at"))
        .col(number_some("due_at"))
        .col(number("tries"))
        .col(long_text(backend, "last_error").null().take())
        .col(number_some("sent_at"))
        .col(number_some("given_up_at"))
        .check(("outbox_counts", Expr::cust(never_negative(["tries"]))))
        // It waits, was sent, or was given up: one of them.
        .check(("outbox_end", Expr::cust("(due_at IS NULL) = (sent_at IS NOT NULL OR given_up_at IS NOT NULL)")))
        .check(("outbox_one_end", Expr::cust("sent_at IS NULL OR given_up_at IS NULL")))
        .take()
}

fn event_cursor() -> TableCreateStatement {
    Table::create()
        .table("event_cursor")
        .col(id("tenant_id").primary_key())
        .col(number("sequence"))
        // The newest event, while it was not taken in: an index over it holds nothing else.
        .col(number_some("behind_sequence"))
        .foreign_key(&mut parent("event_cursor", "tenant_id", "tenant", "id"))
        .take()
}

fn watch() -> TableCreateStatement {
    Table::create()
        .table("watch")
        .col(id("plan_id"))
        .col(id("item_id"))
        .col(number("due_at"))
        .primary_key(Index::create().col("plan_id").col("item_id"))
        .foreign_key(&mut parent("watch", "plan_id", "plan", "id"))
        .foreign_key(&mut parent("watch", "item_id", "item", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    vec![
        ("channel", "uq_channel_name", index().unique().col("owner").col("name").take()),
        ("digest", "ix_digest_due", index().col("due_at").take()),
        ("alert", "uq_alert_subject", index().unique().col("tenant_id").col("subject_hash").col("topic").take()),
        ("alert", "ix_alert_tenant", index().col("tenant_id").col("id").take()),
        ("outbox", "ix_outbox_due", index().col("due_at").take()),
        ("outbox", "ix_outbox_channel", index().col("channel_id").col("due_at").take()),
        ("event_cursor", "ix_event_cursor_behind", index().col("behind_sequence").take()),
        ("watch", "ix_watch_due", index().col("due_at").take()),
    ]
}
