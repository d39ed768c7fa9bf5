//! `backstay engine dump`: prints a file of a snapshot.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use backstay_engine::browse;
use backstay_engine::format::node::NodeKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::lock::LockMode;
use backstay_engine::select;

use super::args::FilterArgs;
use super::context::Context;
use super::error;
use crate::cli::error::{CliError, Exit};

/// What is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// An id, the beginning of one or `latest`, with `:FOLDER` for a folder in it
    #[arg(value_name = "SNAPSHOT[:FOLDER]")]
    snapshot: String,
    /// The file's path there
    file: String,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let engine = |error| error::engine(&error);
    let (snapshot, folder) = opened.snapshot(&verb.snapshot, &verb.filter.filter(), &context.interrupt)?;
    let index = opened.index(&context.interrupt)?;
    let mut blobs = opened.blobs(&index);
    let root = select::tree_of(&opened.repository, &mut blobs, &snapshot, &folder).map_err(engine)?;
    let found = browse::find(&opened.repository, &mut blobs, root, verb.file.as_bytes()).map_err(engine)?;
    if found.kind != NodeKind::File {
        return Err(error::input(format!("`{}` is no regular file", verb.file), "Name a file, or restore the folder."));
    }
    let mut out: Box<dyn Write> = match &verb.target {
        Some(path) => Box::new(File::create(path).map_err(|error| unwritten(&error))?),
        None => Box::new(std::io::stdout().lock()),
    };
    for id in &found.content {
        context.interrupt.check().map_err(engine)?;
        let plain = blobs.read(BlobKind::Data, id).map_err(engine)?;
        out.write_all(&plain).map_err(|error| unwritten(&error))?;
    }
    out.flush().map_err(|error| unwritten(&error))?;
    Ok(Exit::Done)
}

fn unwritten(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Failed, format!("the file could not be written whole: {error}"))
        .hint("What was written so far is not the whole file.")
}
