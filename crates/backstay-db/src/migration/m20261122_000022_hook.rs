//! Hooks and stall limits: two classes of failures, two phases, an event that warns, and what watched jobs tell.

use sea_orm_migration::prelude::*;

use super::step::{add_column, drop_column, replace_check, replace_column_check, run};

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Hook;

/// The checks of words that an earlier step wrote: table, column, whether it may be empty, as it was, as it is.
const WORDS: [(&str, &str, Null, &str, &str); 3] = [
    (
        "job",
        "streak_class",
        Null::Yes,
        "streak_class IN ('source', 'storage', 'storage_full', 'repository', 'repository_missing', \
         'password', 'target', 'agent_lost', 'internal', 'quota')",
        "streak_class IN ('source', 'storage', 'storage_full', 'repository', 'repository_missing', \
         'password', 'target', 'agent_lost', 'internal', 'quota', 'hook', 'stalled')",
    ),
    (
        "lease",
        "phase",
        Null::Yes,
        "phase IN ('opening', 'working', 'publishing')",
        "phase IN ('before', 'opening', 'working', 'publishing', 'after')",
    ),
    (
        "event",
        "kind",
        Null::No,
        "kind IN ('enqueued', 'skipped', 'succeeded', 'failed', 'damaged', 'cancelled', 'parked', 'rescued', \
         'paused', 'resumed')",
        "kind IN ('enqueued', 'skipped', 'succeeded', 'failed', 'damaged', 'cancelled', 'parked', 'rescued', \
         'paused', 'resumed', 'warned')",
    ),
];

/// Whether a column may be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    Yes,
    No,
}

const CLASS: &str = "job_failure_word";
const CLASS_WAS: &str = "failure_class IS NULL OR failure_class IN ('source', 'storage', 'storage_full', 'repository', \
     'repository_missing', 'password', 'target', 'agent_lost', 'internal', 'quota')";
const CLASS_IS: &str = "failure_class IS NULL OR failure_class IN ('source', 'storage', 'storage_full', 'repository', \
     'repository_missing', 'password', 'target', 'agent_lost', 'internal', 'quota', 'hook', 'stalled')";

/// Makes rows with the new words such as an older program can read. Events are not among them: they are chained, and a
/// database that holds some with the new word refuses the way back.
const OLDER: [&str; 4] = [
    "UPDATE job SET failure_class = 'internal' WHERE failure_class IN ('hook', 'stalled')",
    "UPDATE job SET streak_class = 'internal' WHERE streak_class IN ('hook', 'stalled')",
    "UPDATE lease SET phase = 'opening' WHERE phase = 'before'",
    "UPDATE lease SET phase = 'publishing' WHERE phase = 'after'",
];

fn column(null: Null) -> &'static str {
    match null {
        Null::Yes => "varchar(64) NULL",
        Null::No => "varchar(64) NOT NULL",
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Hook {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let watched = ColumnDef::new("watched_count").big_integer().not_null().default(0).take();
        add_column(manager, "lease", "watched_count", watched).await?;
        replace_check(manager, "job", CLASS, CLASS_WAS, CLASS_IS).await?;
        for (table, name, null, was, is) in WORDS {
            replace_column_check(manager, (table, name, column(null)), was, is).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for older in OLDER {
            run(manager, older).await?;
        }
        for (table, name, null, was, is) in WORDS {
            replace_column_check(manager, (table, name, column(null)), is, was).await?;
        }
        replace_check(manager, "job", CLASS, CLASS_IS, CLASS_WAS).await?;
        drop_column(manager, "lease", "watched_count").await
    }
}
