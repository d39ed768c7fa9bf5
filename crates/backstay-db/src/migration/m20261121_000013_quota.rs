//! What tenants may store, what their repositories store, and the class of a job that found no room.

use sea_orm_migration::prelude::*;

use super::column::{id, never_negative, number, number_some, parent};
use super::step::{create_index, create_table, drop_table, replace_check, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Quota;

/// Makes a row for each repository that there is: what the snapshots that are there have added. The next prune sets right
/// what that leaves out. A second run finds nothing to do.
const FILL: &str = "INSERT INTO repository_usage (repository_id, tenant_id, stored_bytes, snapshot_count) \
     SELECT r.id, r.tenant_id, \
     COALESCE((SELECT SUM(s.stored_bytes) FROM snapshot s WHERE s.repository_id = r.id AND s.forgotten_at IS NULL), 0), \
     (SELECT COUNT(*) FROM snapshot s WHERE s.repository_id = r.id AND s.forgotten_at IS NULL) \
     FROM repository r WHERE r.id NOT IN (SELECT repository_id FROM repository_usage)";

/// The check of the classes of failures, and how it was before.
const CHECK: &str = "job_failure_word";
const WAS: &str = "failure_class IS NULL OR failure_class IN ('source', 'storage', 'storage_full', 'repository', \
     'repository_missing', 'password', 'target', 'agent_lost', 'internal')";
const IS: &str = "failure_class IS NULL OR failure_class IN ('source', 'storage', 'storage_full', 'repository', \
     'repository_missing', 'password', 'target', 'agent_lost', 'internal', 'quota')";

#[async_trait::async_trait]
impl MigrationTrait for Quota {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager, quota()).await?;
        create_table(manager, repository_usage()).await?;
        let index = Index::create().col("tenant_id").take();
        create_index(manager, "repository_usage", "ix_repository_usage_tenant", index).await?;
        run(manager, FILL).await?;
        replace_check(manager, "job", CHECK, WAS, IS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let older = "UPDATE job SET failure_class = 'internal' WHERE failure_class = 'quota'";
        run(manager, older).await?;
        replace_check(manager, "job", CHECK, IS, WAS).await?;
        drop_table(manager, "repository_usage").await?;
        drop_table(manager, "quota").await
    }
}

fn quota() -> TableCreateStatement {
    Table::create()
        .table("quota")
        .col(id("tenant_id").primary_key())
        .col(number_some("quota_bytes"))
        .col(number_some("quota_snapshot_count"))
        .check(("quota_counts", Expr::cust(never_negative(["quota_bytes", "quota_snapshot_count"]))))
        .foreign_key(&mut parent("quota", "tenant_id", "tenant", "id"))
        .take()
}

fn repository_usage() -> TableCreateStatement {
    Table::create()
        .table("repository_usage")
        .col(id("repository_id").primary_key())
        .col(id("tenant_id"))
        .col(number("stored_bytes"))
        .col(number("snapshot_count"))
        .check(("repository_usage_counts", Expr::cust(never_negative(["stored_bytes", "snapshot_count"]))))
        .foreign_key(&mut parent("repository_usage", "repository_id", "repository", "id"))
        .foreign_key(&mut parent("repository_usage", "tenant_id", "tenant", "id"))
        .take()
}
