//! How far each plan's schedule is, what holds starts back, and what jobs must not run beside.
//!
//! A plan's state is a row of its own: the plan is what people declare, the state what the scheduler writes. A lease's
//! overlap key is unique: what the database promises no code path has to remember.

use sea_orm_migration::prelude::*;

use super::column::{id, id_some, never_negative, number, number_some, parent};
use super::step::{add_column, create_index, create_table, drop_column, drop_index, drop_table, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Schedule;

/// Makes a state for each plan that there is; it is looked at at once. A second run finds nothing to do.
const FILL: &str = "INSERT INTO plan_schedule (plan_id, next_due_at, skipped_before, revision) \
     SELECT id, 0, 0, 0 FROM plan WHERE id NOT IN (SELECT plan_id FROM plan_schedule)";

/// The tables that carry the overlap key of a job.
const KEYED: [&str; 3] = ["job", "job_due", "lease"];

#[async_trait::async_trait]
impl MigrationTrait for Schedule {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager, plan_schedule()).await?;
        create_table(manager, maintenance()).await?;
        for table in KEYED {
            add_column(manager, table, "overlap_key", id_some("overlap_key")).await?;
        }
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        run(manager, FILL).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, name, _) in indexes().into_iter().filter(|(table, ..)| *table != "plan_schedule") {
            drop_index(manager, table, name).await?;
        }
        for table in KEYED {
            drop_column(manager, table, "overlap_key").await?;
        }
        drop_table(manager, "maintenance").await?;
        drop_table(manager, "plan_schedule").await
    }
}

fn plan_schedule() -> TableCreateStatement {
    let counts = ["skipped_before", "revision", "waiting_late_ms", "waiting_missed"];
    // An occurrence waits as a whole or not at all.
    let whole = "(waiting_planned_at IS NULL) = (waiting_not_before_at IS NULL) \
         AND (waiting_planned_at IS NULL) = (waiting_start_by_at IS NULL) \
         AND (waiting_planned_at IS NULL) = (waiting_missed IS NULL)";
    Table::create()
        .table("plan_schedule")
        .col(id("plan_id").primary_key())
        .col(number_some("last_planned_at"))
        .col(number_some("next_due_at"))
        .col(number_some("paused_at"))
        .col(number_some("waiting_planned_at"))
        .col(number_some("waiting_not_before_at"))
        .col(number_some("waiting_start_by_at"))
        .col(number_some("waiting_late_ms"))
        .col(number_some("waiting_missed"))
        .col(number("skipped_before"))
        .col(number("revision"))
        .check(("plan_schedule_counts", Expr::cust(never_negative(counts))))
        .check(("plan_schedule_waiting", Expr::cust(whole)))
        .foreign_key(&mut parent("plan_schedule", "plan_id", "plan", "id"))
        .take()
}

/// Windows in which nothing starts. One without an end, of everybody, is the pause of the installation.
fn maintenance() -> TableCreateStatement {
    Table::create()
        .table("maintenance")
        .col(id("id").primary_key())
        .col(ColumnDef::new("name").string_len(255).not_null().take())
        .col(id_some("tenant_id"))
        .col(number("from_at"))
        .col(number_some("until_at"))
        .check(("maintenance_order", Expr::cust("until_at IS NULL OR until_at > from_at")))
        .foreign_key(&mut parent("maintenance", "tenant_id", "tenant", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    vec![
        ("plan_schedule", "ix_plan_schedule_due", index().col("next_due_at").take()),
        ("job", "ix_job_overlap", index().col("overlap_key").col("live_key").take()),
        ("lease", "uq_lease_overlap", index().unique().col("overlap_key").take()),
    ]
}
