//! The queue: job, agent, lease, attempt, checkpoint, and what an attempt could not read.
//!
//! Two keys of a job promise what no code has to remember: `live_key` is the item of a live backup and nothing else,
//! so an item has at most one; `occurrence_key` names item and moment, so an occurrence has one job for ever. They are
//! plain unique columns, because MariaDB has no partial index.

use sea_orm_migration::prelude::*;

use super::column::{COUNTS, exactly_when, id, id_some, never_negative, number, number_some, parent, word, word_some};
use super::step::{create_index, create_table, drop_table};
use crate::dialect::long_text;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Queue;

/// States in which a backup keeps another one of its item out.
const LIVE: &str = "state IN ('queued', 'leased', 'waiting', 'cancelling')";
/// States that lead nowhere.
const FINAL: &str = "state IN ('succeeded', 'failed', 'damaged', 'cancelled')";

#[async_trait::async_trait]
impl MigrationTrait for Queue {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in [job(backend), agent(), lease(), attempt(), checkpoint(), job_unread(backend)] {
            create_table(manager, table).await?;
        }
        for (table, name, index) in indexes() {
            create_index(manager, table, name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["job_unread", "checkpoint", "attempt", "lease", "agent", "job"] {
            drop_table(manager, table).await?;
        }
        Ok(())
    }
}

fn job(backend: sea_orm::DbBackend) -> TableCreateStatement {
    let mut table = Table::create()
        .table("job")
        .col(id("id").primary_key())
        .col(id("tenant_id"))
        .col(id_some("plan_id"))
        .col(id_some("item_id"))
        .col(id("repository_id"))
        .col(id_some("set_id"))
        .col(number_some("set_place"))
        .col(word("kind"))
        .col(word("repository_access"))
        .col(long_text(backend, "instruction_json").not_null())
        .col(word("trigger_kind"))
        .col(number_some("occurrence_at"))
        .col(id_some("follow_up_of"))
        .col(number("breach_at"))
        .col(number("priority"))
        .col(number("attempt_token"))
        .col(number("failure_count"))
        .col(number("created_at"))
        .col(word("state"))
        .col(number_some("not_before_at"))
        .col(id_some("agent_id"))
        .col(number_some("wake_at"))
        .col(word_some("outcome"))
        .col(word_some("failure_class"))
        .col(long_text(backend, "message").null())
        .col(number_some("finished_at"))
        .col(id_some("live_key"))
        .col(word_some("occurrence_key"))
        .foreign_key(&mut parent("job", "tenant_id", "tenant", "id"))
        .foreign_key(&mut parent("job", "plan_id", "plan", "id"))
        .foreign_key(&mut parent("job", "item_id", "item", "id"))
        .foreign_key(&mut parent("job", "repository_id", "repository", "id"))
        .foreign_key(&mut parent("job", "set_id", "job_set", "id"))
        .take();
    for count in COUNTS {
        table.col(number(count));
    }
    for (name, check) in job_checks() {
        table.check((name, Expr::cust(check)));
    }
    table
}

/// Each state's own columns, and no others.
fn job_checks() -> Vec<(&'static str, String)> {
    let counts = COUNTS.into_iter().chain(["attempt_token", "failure_count", "set_place"]);
    vec![
        ("job_kind", "kind IN ('discover', 'backup', 'copy', 'restore', 'prune', 'verify')".to_owned()),
        (
            "job_state",
            "state IN ('queued', 'leased', 'waiting', 'succeeded', 'failed', 'damaged', 'cancelling', 'cancelled', \
             'parked')"
                .to_owned(),
        ),
        ("job_access", "repository_access IN ('shared', 'alone')".to_owned()),
        ("job_trigger", "trigger_kind IN ('occurrence', 'request', 'follow_up')".to_owned()),
        ("job_occurrence", exactly_when("occurrence_at", "trigger_kind = 'occurrence'")),
        ("job_follow_up", exactly_when("follow_up_of", "trigger_kind = 'follow_up'")),
        ("job_set_place", exactly_when("set_place", "set_id IS NOT NULL")),
        ("job_not_before", exactly_when("not_before_at", "state = 'queued'")),
        ("job_agent", exactly_when("agent_id", "state IN ('leased', 'cancelling')")),
        ("job_wake", exactly_when("wake_at", "state = 'waiting'")),
        ("job_outcome", exactly_when("outcome", "state = 'succeeded'")),
        ("job_outcome_word", "outcome IS NULL OR outcome IN ('complete', 'partial', 'unchanged')".to_owned()),
        ("job_failure", exactly_when("failure_class", "state IN ('failed', 'parked')")),
        (
            "job_failure_word",
            "failure_class IS NULL OR failure_class IN ('source', 'storage', 'storage_full', 'repository', \
             'repository_missing', 'password', 'target', \
             'agent_lost', 'internal')"
                .to_owned(),
        ),
        ("job_message", exactly_when("message", "state IN ('waiting', 'failed', 'damaged', 'parked')")),
        ("job_finished", exactly_when("finished_at", FINAL)),
        ("job_live", exactly_when("live_key", &format!("kind = 'backup' AND item_id IS NOT NULL AND {LIVE}"))),
        ("job_live_item", "live_key IS NULL OR live_key = item_id".to_owned()),
        ("job_occurrence_key", exactly_when("occurrence_key", "trigger_kind = 'occurrence' AND item_id IS NOT NULL")),
        ("job_counts", never_negative(counts)),
    ]
}

fn agent() -> TableCreateStatement {
    Table::create()
        .table("agent")
        .col(id("id").primary_key())
        .col(number("first_seen_at"))
        .col(number("expires_at"))
        .take()
}

fn lease() -> TableCreateStatement {
    let progress = ["files_done", "bytes_done", "files_total", "bytes_total", "unread_count"];
    Table::create()
        .table("lease")
        .col(id("job_id").primary_key())
        .col(number("token"))
        .col(id("agent_id"))
        .col(id("repository_id"))
        .col(word("repository_access").check(Expr::cust("repository_access IN ('shared', 'alone')")))
        .col(number("leased_at"))
        .col(number("progressed_at"))
        .col(word_some("phase").check(Expr::cust("phase IN ('opening', 'working', 'publishing')")))
        .col(number("files_done"))
        .col(number("bytes_done"))
        .col(number_some("files_total"))
        .col(number_some("bytes_total"))
        .col(number("unread_count"))
        .check(("lease_progress", Expr::cust(never_negative(progress))))
        .check(("lease_token", Expr::cust("token >= 1")))
        .foreign_key(&mut parent("lease", "job_id", "job", "id"))
        .foreign_key(&mut parent("lease", "agent_id", "agent", "id"))
        .foreign_key(&mut parent("lease", "repository_id", "repository", "id"))
        .take()
}

fn attempt() -> TableCreateStatement {
    Table::create()
        .table("attempt")
        .col(id("job_id"))
        .col(number("token").check(Expr::cust("token >= 1")))
        .col(id("agent_id"))
        .col(number("leased_at"))
        .col(number_some("ended_at"))
        .col(word_some("ending").check(Expr::cust("ending IN ('finished', 'waited', 'lost')")))
        .check(("attempt_ended", Expr::cust(exactly_when("ended_at", "ending IS NOT NULL"))))
        .primary_key(Index::create().col("job_id").col("token"))
        .foreign_key(&mut parent("attempt", "job_id", "job", "id"))
        .take()
}

fn checkpoint() -> TableCreateStatement {
    Table::create()
        .table("checkpoint")
        .col(id("job_id").primary_key())
        .col(number("token").check(Expr::cust("token >= 1")))
        .col(ColumnDef::new("body").blob().not_null().take())
        .foreign_key(&mut parent("checkpoint", "job_id", "job", "id"))
        .take()
}

fn job_unread(backend: sea_orm::DbBackend) -> TableCreateStatement {
    Table::create()
        .table("job_unread")
        .col(id("job_id").primary_key())
        .col(number("unread_count").check(Expr::cust(never_negative(["unread_count"]))))
        .col(long_text(backend, "entries_json").not_null())
        .foreign_key(&mut parent("job_unread", "job_id", "job", "id"))
        .take()
}

fn indexes() -> Vec<(&'static str, &'static str, IndexCreateStatement)> {
    let index = Index::create;
    vec![
        ("job", "uq_job_live_key", index().col("live_key").unique().take()),
        ("job", "uq_job_occurrence_key", index().col("occurrence_key").unique().take()),
        // The claim walks the queued jobs in the order in which they are leased; finished ones lie elsewhere in it.
        (
            "job",
            "ix_job_lease",
            index().col("state").col("breach_at").col(("priority", IndexOrder::Desc)).col("id").take(),
        ),
        ("job", "ix_job_plan", index().col("plan_id").col("id").take()),
        ("job", "ix_job_item", index().col("item_id").col("id").take()),
        ("agent", "ix_agent_expires_at", index().col("expires_at").take()),
        ("lease", "ix_lease_agent", index().col("agent_id").take()),
        ("lease", "ix_lease_repository", index().col("repository_id").col("repository_access").take()),
    ]
}
