//! Whose turn it is: how a job's newest attempts failed, what a job makes use of, and how many may at a time.
//!
//! A streak's class and count are both there or none is. A job that failed before this step has none, and its next
//! failure begins a row. Of jobs from before this step nobody knows host and endpoint: their cells stay empty.

use sea_orm_migration::prelude::*;

use super::column::{id_some, number, number_some, word, word_some};
use super::step::{add_column, create_index, create_table, drop_column, drop_index, drop_table, run};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Turns;

const CLASSES: &str = "streak_class IN ('source', 'storage', 'storage_full', 'repository', 'repository_missing', \
     'password', 'target', 'agent_lost', 'internal', 'quota')";

/// Fill the new columns from the jobs that there are, and make the one row of rules. A second run changes nothing.
const FILL: [&str; 4] = [
    "UPDATE job_due SET tenant_id = (SELECT tenant_id FROM job WHERE job.id = job_due.job_id) WHERE tenant_id IS NULL",
    "UPDATE lease SET tenant_id = (SELECT tenant_id FROM job WHERE job.id = lease.job_id) WHERE tenant_id IS NULL",
    "UPDATE lease SET kind = (SELECT kind FROM job WHERE job.id = lease.job_id) WHERE kind IS NULL",
    "INSERT INTO queue_rules (id, revision, rules_json) SELECT 'installation', 0, '{}' FROM (SELECT 1 AS one) AS once \
     WHERE NOT EXISTS (SELECT id FROM queue_rules)",
];

/// The tables that know what their job makes use of.
const PLACED: [&str; 3] = ["job", "job_due", "lease"];

#[async_trait::async_trait]
impl MigrationTrait for Turns {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let class = word_some("streak_class").check(Expr::cust(CLASSES)).take();
        add_column(manager, "job", "streak_class", class).await?;
        let whole = "(streak_count IS NULL) = (streak_class IS NULL) AND (streak_count IS NULL OR streak_count >= 1)";
        let count = number_some("streak_count").check(Expr::cust(whole)).take();
        add_column(manager, "job", "streak_count", count).await?;
        for table in PLACED {
            for name in ["source_host", "storage_endpoint"] {
                add_column(manager, table, name, ColumnDef::new(name).string_len(255).null().take()).await?;
            }
        }
        add_column(manager, "job_due", "tenant_id", id_some("tenant_id")).await?;
        add_column(manager, "lease", "tenant_id", id_some("tenant_id")).await?;
        add_column(manager, "lease", "kind", word_some("kind")).await?;
        create_table(manager, queue_rules(manager.get_database_backend())).await?;
        // In the order in which a tenant's jobs are leased.
        let tenant = Index::create()
            .col("state")
            .col("tenant_id")
            .col("breach_at")
            .col(("priority", IndexOrder::Desc))
            .col("job_id")
            .take();
        create_index(manager, "job_due", "ix_job_due_tenant", tenant).await?;
        for fill in FILL {
            run(manager, fill).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "job_due", "ix_job_due_tenant").await?;
        drop_table(manager, "queue_rules").await?;
        drop_column(manager, "lease", "kind").await?;
        drop_column(manager, "lease", "tenant_id").await?;
        drop_column(manager, "job_due", "tenant_id").await?;
        for table in PLACED {
            for name in ["storage_endpoint", "source_host"] {
                drop_column(manager, table, name).await?;
            }
        }
        // In this order: the check of the count, which goes with it, names the class.
        drop_column(manager, "job", "streak_count").await?;
        drop_column(manager, "job", "streak_class").await
    }
}

/// How many jobs may run at a time, and how tenants share: one row, which a claim that must count locks.
fn queue_rules(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("queue_rules")
        .col(word("id").primary_key().check(Expr::cust("id = 'installation'")))
        .col(number("revision"))
        .col(long_text(backend, "rules_json").not_null())
        .take()
}
