//! The hot table: `job_due` has a row exactly while its job is queued or waiting, and nothing else has to be looked at
//! to find what is due. The claim's index leaves `job`, where millions of ended jobs lie, and what pages and sweeps of
//! history look for gets its own. A lease can be disowned: its agent asked for work and did not name it.

use sea_orm_migration::prelude::*;

use super::column::{id, number, parent, word};
use super::step::{add_column, create_index, create_table, drop_column, drop_index, drop_table, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Hot;

/// Fills the new table from the jobs that there are. A second run finds nothing to do.
const FILL: &str = "INSERT INTO job_due (job_id, state, kind, repository_id, repository_access, due_at, breach_at, \
     priority) SELECT id, state, kind, repository_id, repository_access, COALESCE(not_before_at, wake_at), breach_at, \
     priority FROM job WHERE state IN ('queued', 'waiting') AND id NOT IN (SELECT job_id FROM job_due)";

#[async_trait::async_trait]
impl MigrationTrait for Hot {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager, job_due()).await?;
        create_table(manager, event_anchor()).await?;
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        drop_index(manager, "job", "ix_job_lease").await?;
        drop_index(manager, "snapshot", "ix_snapshot_newest").await?;
        add_column(manager, "lease", "disowned_at", ColumnDef::new("disowned_at").big_integer().null().take()).await?;
        run(manager, FILL).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "lease", "disowned_at").await?;
        let lease = Index::create().col("state").col("breach_at").col(("priority", IndexOrder::Desc)).col("id").take();
        create_index(manager, "job", "ix_job_lease", lease).await?;
        let newest = Index::create().col("item_id").col("repository_id").col("taken_at").take();
        create_index(manager, "snapshot", "ix_snapshot_newest", newest).await?;
        for (table, name, _) in indexes().into_iter().filter(|(table, ..)| *table != "job_due") {
            drop_index(manager, table, name).await?;
        }
        drop_table(manager, "event_anchor").await?;
        drop_table(manager, "job_due").await
    }
}

fn job_due() -> TableCreateStatement {
    Table::create()
        .table("job_due")
        .col(id("job_id").primary_key())
        .col(word("state").check(Expr::cust("state IN ('queued', 'waiting')")))
        .col(word("kind"))
        .col(id("repository_id"))
        .col(word("repository_access").check(Expr::cust("repository_access IN ('shared', 'alone')")))
        .col(number("due_at"))
        .col(number("breach_at"))
        .col(number("priority"))
        .foreign_key(&mut parent("job_due", "job_id", "job", "id"))
        .take()
}

/// Where a tenant's chain of events begins once its oldest were swept: the last one that is gone.
fn event_anchor() -> TableCreateStatement {
    Table::create()
        .table("event_anchor")
        .col(id("tenant_id").primary_key())
        .col(number("sequence").check(Expr::cust("sequence >= 1")))
        .col(word("hash"))
        .foreign_key(&mut parent("event_anchor", "tenant_id", "tenant", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    let claim = index().col("state").col("breach_at").col(("priority", IndexOrder::Desc)).col("job_id").take();
    vec![
        // In the order in which jobs are leased.
        ("job_due", "ix_job_due_claim", claim),
        ("job_due", "ix_job_due_time", index().col("state").col("due_at").take()),
        ("job_due", "ix_job_due_repository", index().col("repository_id").col("repository_access").take()),
        // Two of one moment are told apart by their ids, without sorting all of the item.
        (
            "snapshot",
            "ix_snapshot_newest_good",
            index().col("item_id").col("repository_id").col("taken_at").col("id").take(),
        ),
        ("job", "ix_job_state", index().col("state").col("id").take()),
        ("job", "ix_job_finished", index().col("finished_at").take()),
    ]
}
