//! What verbs print: results to standard output, all else to standard error, JSON lines of restic's shape.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::cli::screen::Screen;

/// Where and how much a verb prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) screen: Screen,
    quiet: bool,
    verbose: u8,
}

impl Output {
    pub(super) const fn new(screen: Screen, quiet: bool, verbose: u8) -> Self {
        Self { screen, quiet, verbose }
    }

    /// Says whether JSON is wanted.
    pub(super) const fn json(&self) -> bool {
        self.screen.json()
    }

    /// Returns how often `--verbose` was given.
    pub(super) const fn verbose(&self) -> u8 {
        self.verbose
    }

    /// Says whether how far it is may be shown.
    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a line of a result for a person.
    pub(super) fn line(&self, text: &str) {
        self.screen.line(text);
    }

    /// Prints one JSON value on a line of its own.
    pub(super) fn value(&self, value: &impl Serialize) {
        self.screen.line(&serde_json::to_string(value).expect("what is printed is JSON"));
    }

    /// Tells a person what happens; nothing with `--json` or `--quiet`.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.screen.say(&human::shown(text));
        }
    }

    /// Tells of something that did not go well; with `--json` as restic's line of an error.
    pub(super) fn warn(&self, during: &str, item: &str, problem: &str) {
        let text = if self.json() {
            let error = json!({ "message": problem });
            json!({ "message_type": "error", "error": error, "during": during, "item": item }).to_string()
        } else if item.is_empty() {
            human::shown(problem)
        } else {
            human::shown(&format!("{item}: {problem}"))
        };
        // Nobody may be listening; the exit code says it too.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Prints how a verb failed and returns its exit code.
    pub(super) fn failed(&self, error: &CliError) -> Exit {
        if self.json() {
            let text = json!({ "message_type": "exit_error", "code": error.exit() as u8, "message": error.line() });
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            let _: ExitCode = error.print();
        }
        error.exit()
    }

    /// Writes raw bytes to standard output.
    ///
    /// # Errors
    /// [`CliError`] when they cannot be written: half of them would look like all.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let done = out.write_all(bytes).and_then(|()| out.flush());
        done.map_err(|error| CliError::new(Exit::Failed, format!("standard output took not all bytes: {error}")))
    }
}
