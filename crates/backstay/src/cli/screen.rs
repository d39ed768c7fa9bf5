//! What is printed: tables and messages for people, JSON for programs.
//!
//! Results go to standard output, messages about them to standard error; with `--json` nothing but one JSON value goes to
//! standard output. What standard output does not take is remembered, and the command ends with it (`printed`).

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::error::{CliError, Exit};
use super::human;

/// Why standard output did not take what was printed: the first reason. A process has one standard output.
static REFUSED: Mutex<Option<io::Error>> = Mutex::new(None);

/// What is printed while it is held back: a whole answer is shown at once in the place of the one before.
static HELD: Mutex<Option<String>> = Mutex::new(None);

/// Holds back what is printed from now on.
pub(crate) fn hold() {
    *HELD.lock().expect("nobody panics while keeping lines") = Some(String::new());
}

/// Returns what was held back, and holds nothing back any more.
pub(crate) fn released() -> String {
    HELD.lock().expect("nobody panics while keeping lines").take().unwrap_or_default()
}

/// Keeps a line where lines are held back; false where they are not.
fn held(text: &str) -> bool {
    let mut held = HELD.lock().expect("nobody panics while keeping lines");
    let Some(lines) = held.as_mut() else { return false };
    lines.push_str(text);
    lines.push('\n');
    true
}

/// Whether whoever read standard output went away.
static IS_ALONE: AtomicBool = AtomicBool::new(false);

/// Says whether nobody reads standard output any more.
pub(crate) fn is_alone() -> bool {
    IS_ALONE.load(Ordering::Relaxed)
}

/// Remembers why something could not be printed. A reader that went away (`| head`) is no error.
fn took(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        IS_ALONE.store(true, Ordering::Relaxed);
    } else {
        REFUSED.lock().expect("nobody panics while keeping an error").get_or_insert(error);
    }
}

/// Says whether all that was printed reached standard output; of what did not, once.
///
/// # Errors
/// [`CliError`]: somebody counts on an answer that nobody has.
pub(crate) fn printed() -> Result<(), CliError> {
    took(io::stdout().flush());
    match REFUSED.lock().expect("nobody panics while keeping an error").take() {
        None => Ok(()),
        Some(error) => {
            Err(unwritten(&error).under("the answer could not be written to standard output".to_owned()).hint(
                "What was asked for is done, and its answer is lost: free some space there, or ask again elsewhere.",
            ))
        }
    }
}

/// Returns the error of an output that takes no more.
pub(crate) fn unwritten(error: &io::Error) -> CliError {
    let exit = if error.kind() == io::ErrorKind::StorageFull { Exit::StorageFull } else { Exit::Failed };
    CliError::from_error(exit, error)
}

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
        io::stderr().is_terminal()
    }

    /// Prints a line of a result; [`printed`] says in the end whether it was taken.
    pub(crate) fn line(&self, text: &str) {
        if !self.muted && !held(text) {
            took(writeln!(io::stdout(), "{text}"));
        }
    }

    /// Writes bytes of a result as they are.
    ///
    /// # Errors
    /// Standard output does not take them.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        if self.muted {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Prints a message for a person; nothing with `--json`.
    pub(crate) fn say(&self, text: &str) {
        if !self.json && !self.muted && !held(text) {
            let _ = writeln!(io::stderr(), "{text}");
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
        if table.width() == Some(0) {
            // A terminal that nobody told its size: a script's, or one in a container.
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(heading.iter().map(|word| word.to_uppercase()));
        rows.into_iter().for_each(|row| {
            table.add_row(row.iter().map(|cell| human::shown(cell)));
        });
        for line in table.lines() {
            self.line(line.trim_end());
        }
    }
}
