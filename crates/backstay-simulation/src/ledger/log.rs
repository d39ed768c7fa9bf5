//! What was written since the last look, row by row: triggers of the simulation's own note each row as it is put.
//!
//! A look costs one statement, however many tables there are, and misses nothing that a transaction did: what was rolled
//! back is not in the log either. The product does not know of it.

use sea_orm::{DbBackend, Statement};
use serde_json::Value;

use crate::table::{Row, Table};

/// The tables that are watched, with the cells that promises are about; of a message's document its purpose.
const WATCHED: &[(&str, &[&str])] = &[
    ("event", &["id", "tenant_id", "sequence", "kind", "job_id", "item_id", "happened_at", "message", "hash"]),
    (
        "job",
        &[
            "id",
            "tenant_id",
            "plan_id",
            "item_id",
            "repository_id",
            "kind",
            "state",
            "attempt_token",
            "outcome",
            "occurrence_at",
            "follow_up_of",
            "created_at",
        ],
    ),
    ("job_due", &["job_id", "state", "due_at"]),
    ("lease", &["job_id", "token", "agent_id", "progressed_at", "disowned_at"]),
    ("attempt", &["job_id", "token", "ending"]),
    ("agent", &["id", "expires_at"]),
    (
        "snapshot",
        &[
            "job_id",
            "tenant_id",
            "item_id",
            "foreign_id",
            "taken_at",
            "outcome",
            "forgotten_at",
            "good",
            "confirmed_at",
            "pinned_at",
            "held_at",
        ],
    ),
    ("plan", &["id", "schedule_json"]),
    ("queue_rules", &["rules_json"]),
    ("quota", &["tenant_id", "quota_snapshot_count"]),
    ("plan_schedule", &["plan_id", "next_due_at", "paused_at"]),
    ("event_cursor", &["tenant_id", "sequence", "behind_sequence"]),
    ("watch", &["plan_id", "item_id", "due_at"]),
    (
        "alert",
        &[
            "tenant_id",
            "topic",
            "subject",
            "severity",
            "since_at",
            "told_at",
            "acknowledged_at",
            "silenced_until",
            "ended_at",
        ],
    ),
    ("digest", &["channel_id", "due_at"]),
    ("outbox", &["id", "channel_id", "tenant_id", "purpose", "created_at", "due_at", "sent_at"]),
];

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It was put in.
    Added,
    /// It was written over.
    Changed,
    /// It was taken away.
    Gone,
}

/// A row that was written; one that is gone as it was last.
pub(super) struct Written {
    pub(super) table: String,
    pub(super) done: Done,
    row: Value,
}

impl Written {
    fn cell(&self, column: &str) -> &Value {
        self.row.get(column).unwrap_or_else(|| panic!("{} has no {column}", self.table))
    }

    /// Returns a text; none where there is none.
    pub(super) fn word(&self, column: &str) -> Option<String> {
        self.cell(column).as_str().map(ToOwned::to_owned)
    }

    /// Returns a text.
    pub(super) fn text(&self, column: &str) -> String {
        self.word(column).unwrap_or_else(|| panic!("{} without {column}", self.table))
    }

    /// Returns a number; none where there is none.
    pub(super) fn count(&self, column: &str) -> Option<i64> {
        self.cell(column).as_i64()
    }

    /// Returns a number.
    pub(super) fn number(&self, column: &str) -> i64 {
        self.count(column).unwrap_or_else(|| panic!("{} without {column}", self.table))
    }
}

/// Returns the rows of one table.
pub(super) fn of<'a>(table: &'a str, written: &'a [Written]) -> impl Iterator<Item = &'a Written> {
    written.iter().filter(move |row| row.table == table)
}

/// The log of one year, and how far it was read.
pub(super) struct Log {
    seen: i64,
}

impl Log {
    /// Begins a log; the rows that are there are its first lines.
    pub(super) fn begin(table: &Table) -> Self {
        table.execute("CREATE TABLE simulation_log (place INTEGER PRIMARY KEY, told TEXT, done TEXT, line TEXT)");
        for (name, columns) in WATCHED {
            let line = |row: &str| {
                let cell = |column: &&str| match *column {
                    "purpose" => format!("'purpose', json_extract({row}document_json, '$.purpose')"),
                    column => format!("'{column}', {row}{column}"),
                };
                let cells: Vec<String> = columns.iter().map(cell).collect();
                format!("json_object({})", cells.join(", "))
            };
            for (verb, done, row) in [("INSERT", "+", "NEW."), ("UPDATE", "~", "NEW."), ("DELETE", "-", "OLD.")] {
                table.execute(&format!(
                    "CREATE TRIGGER simulation_{name}_{verb} AFTER {verb} ON {name} BEGIN INSERT INTO simulation_log \
                     (told, done, line) VALUES ('{name}', '{done}', {}); END",
                    line(row)
                ));
            }
            table.execute(&format!(
                "INSERT INTO simulation_log (told, done, line) SELECT '{name}', '+', {} FROM {name}",
                line("")
            ));
        }
        Self { seen: 0 }
    }

    /// Returns what was written since this was asked last, in its order.
    pub(super) fn since(&mut self, table: &Table) -> Vec<Written> {
        let question = Statement::from_sql_and_values(
            DbBackend::Sqlite,
            "SELECT place, told, done, line FROM simulation_log WHERE place > ? ORDER BY place",
            [self.seen.into()],
        );
        let written = |row: Row| {
            self.seen = row.number("place");
            let done = match &*row.text("done") {
                "+" => Done::Added,
                "~" => Done::Changed,
                _ => Done::Gone,
            };
            let row_text = row.text("line");
            let row_value = serde_json::from_str(&row_text).unwrap_or_else(|error| panic!("{row_text}: {error}"));
            Written { table: row.text("told"), done, row: row_value }
        };
        table.ask(question).into_iter().map(written).collect()
    }
}
