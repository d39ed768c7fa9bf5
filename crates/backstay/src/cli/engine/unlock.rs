//! `backstay engine unlock`: removes locks of the dead.

use backstay_engine::EngineError;
use backstay_engine::format::object::FileKind;
use backstay_engine::lock::LockMode;
use futures::executor::block_on;

use super::context::Context;
use super::error;
use crate::cli::error::{CliError, Exit};

/// Which locks go.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// Also locks whose holders may be alive: only when you know that nobody uses the repository
    #[arg(long)]
    remove_all: bool,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let opened = context.open()?;
    let engine = |error: EngineError| error::engine(&error);
    let before = opened.repository.file_list(FileKind::Lock, &context.interrupt).map_err(engine)?;
    if verb.remove_all {
        for id in &before {
            block_on(opened.storage.object_remove(&FileKind::Lock.key(id))).map_err(|error| error::storage(&error))?;
        }
    } else {
        // Whoever takes a lock removes those of the dead. One that is held alone by the living keeps us out, and stays.
        match context.lock(&opened, LockMode::Shared) {
            Ok(guard) => guard.release(context),
            Err(error) if error.exit() == Exit::Locked => {}
            Err(error) => return Err(error),
        }
    }
    let after = opened.repository.file_list(FileKind::Lock, &context.interrupt).map_err(engine)?;
    let gone = before.iter().filter(|id| !after.contains(id)).count();
    if !context.output.json() {
        context.output.line(&format!("removed {gone} of {} locks", before.len()));
        if !after.is_empty() {
            context.output.note("the others may be of the living; --remove-all removes them too");
        }
    }
    Ok(Exit::Done)
}
