//! `backstay engine dump`: prints a file of a snapshot, or a folder as a tar archive.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use backstay_engine::EngineProgress;
use backstay_engine::lock::LockMode;
use backstay_engine::restore::{DumpOptions, dump};

use super::args::FilterArgs;
use super::context::Context;
use super::{error, restore};
use crate::cli::error::{CliError, Exit};

/// What is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// The archive of a folder
    #[arg(short, long, value_name = "FORMAT", value_parser = ["tar"], default_value = "tar")]
    archive: String,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// An id, the beginning of one or `latest`, with `:FOLDER` for a folder in it
    #[arg(value_name = "SNAPSHOT[:FOLDER]")]
    snapshot: String,
    /// The path of the file or folder there; / for all of it
    #[arg(value_name = "PATH")]
    file: String,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, guard) = context.open_locked(LockMode::Shared)?;
    let (snapshot, folder) = opened.snapshot(&verb.snapshot, &verb.filter.filter(), &context.interrupt)?;
    let unwritten = |error: std::io::Error| {
        let path = verb.target.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        error::input(format!("{path} cannot be written: {error}"), "Name another file with --target.")
    };
    let mut out: Box<dyn Write> = match &verb.target {
        Some(path) => Box::new(File::create(path).map_err(unwritten)?),
        None if std::io::stdout().is_terminal() && verb.file.trim_matches('/').is_empty() => {
            let hint = "Name a file with --target, or send it on with |.";
            return Err(error::input("an archive is nothing for a terminal", hint));
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let path = verb.file.trim_matches('/').as_bytes();
    let options = DumpOptions { snapshot: &snapshot.id.to_hex(), sub_path: trim(&folder), path };
    let dumped = dump(&opened.repository, &options, &mut out, &EngineProgress::default(), &context.interrupt);
    let dumped = guard.explain(dumped).map_err(|error| error::engine(&error))?;
    guard.release(context);
    for entry in &dumped.unread.entries {
        context.output.warn("dump", &entry.path, &entry.reason);
    }
    if dumped.unread.is_empty() {
        return Ok(Exit::Done);
    }
    let heading = format!("the archive is without {}", restore::entries(dumped.unread.count));
    Err(CliError::new(Exit::Failed, heading).hint("The lines above say why."))
}

fn trim(path: &[u8]) -> &[u8] {
    let begin = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(begin, |at| at + 1);
    &path[begin..end]
}
