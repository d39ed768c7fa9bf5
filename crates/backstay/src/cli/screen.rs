//! What is printed: tables and messages for people, JSON for programs.
//!
//! Results go to standard output, messages about them to standard error; with `--json` nothing but one JSON value goes to
//! standard output.

use std::io::{IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::human;

/// Where a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    json: bool,
    muted: bool,
}

impl Screen {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, muted: false }
    }

    /// Returns a screen on which nothing is printed: the call is shown, and not what it answers.
    pub(crate) const fn muted(self) -> Self {
        Self { muted: true, ..self }
    }

    /// Says whether JSON is wanted.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Says whether a person sees standard error.
    pub(crate) fn is_live(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// Prints a line of a result. A reader that went away (`| head`) is no error.
    pub(crate) fn line(&self, text: &str) {
        if !self.muted {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// Writes bytes of a result as they are.
    ///
    /// # Errors
    /// Standard output does not take them.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> std::io::Result<()> {
        if self.muted {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Prints a message for a person; nothing with `--json`.
    pub(crate) fn say(&self, text: &str) {
        if !self.json && !self.muted {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Prints a value as JSON.
    pub(crate) fn value(&self, value: &impl Serialize) {
        self.line(&serde_json::to_string_pretty(value).expect("views are JSON"));
    }

    /// Prints rows as a table, or `value` as JSON. No row is said in words. A cell may hold any text: it stays one line.
    pub(crate) fn rows(&self, value: &impl Serialize, heading: &[&str], rows: Vec<Vec<String>>, none: &str) {
        if self.json {
            return self.value(value);
        }
        if rows.is_empty() {
            return self.say(none);
        }
        self.table(heading, rows);
    }

    /// Prints rows as a table. A cell may hold any text: it stays one line.
    pub(crate) fn table(&self, heading: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(heading.iter().map(|word| word.to_uppercase()));
        rows.into_iter().for_each(|row| {
            table.add_row(row.iter().map(|cell| human::shown(cell)));
        });
        for line in table.lines() {
            self.line(line.trim_end());
        }
    }
}
