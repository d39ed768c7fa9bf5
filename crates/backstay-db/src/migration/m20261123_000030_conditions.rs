//! What a claim, an end and an event need not ask for at each statement (decision 0052).
//!
//! PostgreSQL reads the text of each `CHECK` of a table anew for each statement that writes to it: the job's twenty-two
//! took three quarters of such a statement. Each table of the queue now has one, which calls a function: that is read once
//! a connection. It says what they said. SQLite and MariaDB read a check once, and keep theirs.
//!
//! And PostgreSQL and MariaDB are no longer asked whether a lease's job, agent and repository and an attempt's job are
//! there, as in 0044: the claim holds all three rows in its transaction.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::column::{COUNTS, exactly_when, never_negative};
use super::step::{add_reference, checks_apart, checks_joined, drop_reference};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Conditions;

/// What is referred to: table, column, and the table of the other row.
const REFERENCES: [(&str, &str, &str); 4] = [
    ("lease", "job_id", "job"),
    ("lease", "agent_id", "agent"),
    ("lease", "repository_id", "repository"),
    ("attempt", "job_id", "job"),
];

const CLASSES: &str = "('source', 'storage', 'storage_full', 'repository', 'repository_missing', 'password', 'target', \
     'agent_lost', 'internal', 'quota', 'hook', 'stalled')";

/// Returns the tables with their checks as earlier steps left them on PostgreSQL, which named those that have no name of
/// ours.
fn tables() -> [(&'static str, Vec<(&'static str, String)>); 5] {
    [("job", job()), ("job_due", job_due()), ("lease", lease()), ("attempt", attempt()), ("event", event())]
}

fn job() -> Vec<(&'static str, String)> {
    let counts = COUNTS.into_iter().chain(["attempt_token", "failure_count", "set_place"]);
    let live = "kind = 'backup' AND item_id IS NOT NULL AND state IN ('queued', 'leased', 'waiting', 'cancelling')";
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
        ("job_failure_word", format!("failure_class IS NULL OR failure_class IN {CLASSES}")),
        ("job_message", exactly_when("message", "state IN ('waiting', 'failed', 'damaged', 'parked')")),
        ("job_finished", exactly_when("finished_at", "state IN ('succeeded', 'failed', 'damaged', 'cancelled')")),
        ("job_live", exactly_when("live_key", live)),
        ("job_live_item", "live_key IS NULL OR live_key = item_id".to_owned()),
        ("job_occurrence_key", exactly_when("occurrence_key", "trigger_kind = 'occurrence' AND item_id IS NOT NULL")),
        ("job_counts", never_negative(counts)),
        ("job_streak_class_check", format!("streak_class IN {CLASSES}")),
        (
            "job_check",
            "(streak_count IS NULL) = (streak_class IS NULL) AND (streak_count IS NULL OR streak_count >= 1)"
                .to_owned(),
        ),
    ]
}

fn job_due() -> Vec<(&'static str, String)> {
    vec![
        ("job_due_state_check", "state IN ('queued', 'waiting')".to_owned()),
        ("job_due_repository_access_check", "repository_access IN ('shared', 'alone')".to_owned()),
    ]
}

fn lease() -> Vec<(&'static str, String)> {
    let progress = ["files_done", "bytes_done", "files_total", "bytes_total", "unread_count"];
    vec![
        ("lease_repository_access_check", "repository_access IN ('shared', 'alone')".to_owned()),
        ("lease_phase_check", "phase IN ('before', 'opening', 'working', 'publishing', 'after')".to_owned()),
        ("lease_progress", never_negative(progress)),
        ("lease_token", "token >= 1".to_owned()),
    ]
}

fn attempt() -> Vec<(&'static str, String)> {
    vec![
        ("attempt_token_check", "token >= 1".to_owned()),
        ("attempt_ending_check", "ending IN ('finished', 'waited', 'lost')".to_owned()),
        ("attempt_ended", exactly_when("ended_at", "ending IS NOT NULL")),
    ]
}

fn event() -> Vec<(&'static str, String)> {
    let kinds = "kind IN ('enqueued', 'skipped', 'succeeded', 'failed', 'damaged', 'cancelled', 'parked', 'rescued', \
         'paused', 'resumed', 'warned', 'suspected', 'cleared')";
    vec![("event_sequence_check", "sequence >= 1".to_owned()), ("event_kind_check", kinds.to_owned())]
}

#[async_trait::async_trait]
impl MigrationTrait for Conditions {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            for (table, checks) in tables() {
                checks_joined(manager, table, &checks).await?;
            }
        }
        for (table, column, _) in REFERENCES {
            drop_reference(manager, table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, parent) in REFERENCES {
            add_reference(manager, table, column, parent).await?;
        }
        if manager.get_database_backend() == DbBackend::Postgres {
            for (table, checks) in tables() {
                checks_apart(manager, table, &checks).await?;
            }
        }
        Ok(())
    }
}
