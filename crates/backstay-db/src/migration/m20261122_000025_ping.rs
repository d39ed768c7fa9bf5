//! Pings: channels that send them, monitors that wait for them, the pings that came, and tokens that may bring them.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{id, never_negative, number, number_some, parent, word, word_some};
use super::step::{create_index, create_table, drop_table, replace_column_check};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Ping;

const CHANNEL: (&str, &str, &str) = ("channel", "kind", "varchar(64) NOT NULL");
const CHANNEL_WAS: &str = "kind IN ('smtp', 'webhook')";
const CHANNEL_IS: &str = "kind IN ('smtp', 'webhook', 'ping')";

const TOKEN: (&str, &str, &str) = ("api_token", "role", "varchar(64) NOT NULL");
const CHANGE: (&str, &str, &str) = ("change_record", "role", "varchar(64) NOT NULL");
const ROLE_WAS: &str = "role IN ('admin', 'operator', 'tenant_admin', 'restorer', 'reader', 'agent')";
const ROLE_IS: &str = "role IN ('admin', 'operator', 'tenant_admin', 'restorer', 'reader', 'agent', 'pinger')";

#[async_trait::async_trait]
impl MigrationTrait for Ping {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace_column_check(manager, CHANNEL, CHANNEL_WAS, CHANNEL_IS).await?;
        for column in [TOKEN, CHANGE] {
            replace_column_check(manager, column, ROLE_WAS, ROLE_IS).await?;
        }
        create_table(manager, monitor()).await?;
        create_table(manager, ping(manager.get_database_backend())).await?;
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["ping", "monitor"] {
            drop_table(manager, table).await?;
        }
        for column in [CHANGE, TOKEN] {
            replace_column_check(manager, column, ROLE_IS, ROLE_WAS).await?;
        }
        replace_column_check(manager, CHANNEL, CHANNEL_IS, CHANNEL_WAS).await
    }
}

fn monitor() -> TableCreateStatement {
    Table::create()
        .table("monitor")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(word("name"))
        // Tenant and name while it lives: a unique key takes many empty cells.
        .col(ColumnDef::new("live_key").string_len(128).null().take())
        .col(ColumnDef::new("rhythm").string_len(255).not_null().take())
        .col(word("time_zone"))
        .col(number("grace_ms"))
        .col(number("created_at"))
        .col(number_some("retired_at"))
        .col(number_some("ended_at"))
        .col(number_some("ended_well"))
        .col(number_some("started_at"))
        .col(word_some("told").check(Expr::cust("told IS NULL OR told IN ('overdue', 'failed')")))
        .col(number_some("due_at"))
        .col(number("revision"))
        .check(("monitor_counts", Expr::cust(never_negative(["grace_ms", "revision"]))))
        .check(("monitor_ended", Expr::cust("(ended_at IS NULL) = (ended_well IS NULL)")))
        // What is retired is expected no more, and its name is free.
        .check(("monitor_live", Expr::cust("(retired_at IS NULL) = (live_key IS NOT NULL)")))
        .check(("monitor_due", Expr::cust("(retired_at IS NULL) = (due_at IS NOT NULL)")))
        .foreign_key(&mut parent("monitor", "tenant_id", "tenant", "id"))
        .take()
}

fn ping(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("ping")
        .col(id("id").primary_key())
        .col(id("monitor_id"))
        .col(number("at"))
        .col(word("kind").check(Expr::cust("kind IN ('success', 'start', 'fail', 'log')")))
        .col(number_some("exit_code"))
        .col(long_text(backend, "body").not_null())
        .foreign_key(&mut parent("ping", "monitor_id", "monitor", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    vec![
        ("monitor", "uq_monitor_live", index().unique().col("live_key").take()),
        ("monitor", "ix_monitor_due", index().col("due_at").take()),
        ("monitor", "ix_monitor_tenant", index().col("tenant_id").take()),
        ("ping", "ix_ping_monitor", index().col("monitor_id").col("id").take()),
    ]
}
