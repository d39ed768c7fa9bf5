//! Files that people write: read whole, and their mistakes shown, each at its place.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use backstay_declare::mistake::{Look, Mistake, Weight, render};
use serde_json::json;

use super::error::{CliError, Exit};
use super::screen::Screen;

/// Largest file that is read: a thousand plans are a tenth of it.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Columns where no terminal says how many it has.
const WIDTH: usize = 100;

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct Paper {
    /// What people call it.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
}

impl Paper {
    /// Reads a file; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let from_stdin = path == Path::new("-");
        let name = if from_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let told = |error: &std::io::Error| {
            let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Input };
            CliError::from_error(exit, error).under(format!("{name} cannot be read"))
        };
        let mut bytes = Vec::new();
        if from_stdin {
            std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| told(&error))?;
        } else {
            let file = std::fs::File::open(path).map_err(|error| told(&error))?;
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| told(&error))?;
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(CliError::new(Exit::Input, format!("{name} has more than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line =
                1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            CliError::new(Exit::Input, format!("{name}:{line} is not UTF-8")).hint("Save the file as UTF-8.")
        })?;
        // A mark that some editors of Windows put first.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self { name, text })
    }

    /// Shows mistakes on standard error, or as JSON, and returns how the command ends.
    pub(crate) fn refuse(&self, mistakes: &[Mistake], screen: &Screen) -> CliError {
        if screen.json() {
            screen.value(&json!({ "file": self.name, "mistakes": document(mistakes) }));
        } else {
            self.show(mistakes, Weight::Error);
        }
        let count = mistakes.iter().collect::<std::collections::BTreeSet<_>>().len();
        let count = if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") };
        CliError::new(Exit::Input, format!("{} has {count}; nothing was done", self.name))
    }

    /// Shows mistakes, or warnings, on standard error.
    pub(crate) fn show(&self, mistakes: &[Mistake], weight: Weight) {
        let shown = render(&self.name, &self.text, mistakes, weight, look());
        let _ = std::io::stderr().write_all(shown.as_bytes());
    }
}

fn document(mistakes: &[Mistake]) -> Vec<serde_json::Value> {
    let mut mistakes: Vec<&Mistake> = mistakes.iter().collect();
    mistakes.sort();
    mistakes.dedup();
    let one = |mistake: &&Mistake| {
        json!({
            "line": mistake.at.line, "column": mistake.at.column, "length": mistake.at.length,
            "message": mistake.message, "hint": mistake.hint,
        })
    };
    mistakes.iter().map(one).collect()
}

/// Writes a file that is not there yet, whole and durable.
///
/// # Errors
/// One that is there is kept; or the system does not let it be written.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let written = std::fs::File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let hint = if exists { "It is kept as it is: name another file, or move it away." } else { "" };
        let exit = if exists { Exit::Input } else { Exit::Failed };
        CliError::from_error(exit, &error).under(format!("{} cannot be written", path.display())).hint(hint)
    })
}

/// Returns how wide standard error is, and whether it likes colours.
pub(crate) fn look() -> Look {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let mut table = comfy_table::Table::new();
    table.use_stderr();
    let width = table.width().map(usize::from).or(columns).unwrap_or(WIDTH);
    Look { width, color: colors(std::io::stderr().is_terminal()) }
}

/// Says whether colours may be used where a terminal is, or none.
pub(crate) fn colors(is_terminal: bool) -> bool {
    let says = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !says("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
