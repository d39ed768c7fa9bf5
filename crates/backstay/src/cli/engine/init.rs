//! `backstay engine init`: makes a repository.

use backstay_engine::Repository;
use backstay_engine::repository::Maker;
use backstay_storage::Presence;
use serde_json::json;

use super::context::Context;
use super::error;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::roles::engine::{FromAccess, username};
use crate::roles::system;

/// What is made.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// The format: there is one, 2
    #[arg(long, value_name = "N", value_parser = ["2", "stable", "latest"], default_value = "stable")]
    repository_version: String,
    /// Cut files as the repository does that is named with --from-repo: what is copied between both is the same data
    #[arg(long)]
    copy_chunker_params: bool,
    #[command(flatten)]
    from: FromAccess,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let location = context.access.location()?;
    let password = context.access.password()?;
    let other = verb.copy_chunker_params.then(|| context.open_from(&verb.from)).transpose()?;
    let storage = context.access.storage(Presence::Create)?;
    let maker = Maker { username: username(), hostname: system::hostname(), at: jiff::Timestamp::now() };
    let made = match other {
        Some(other) => Repository::create_like(storage, &password, maker, &other.repository, &context.interrupt),
        None => Repository::create(storage, &password, maker, &context.interrupt),
    };
    let made = made.map_err(|error| error::engine(&error))?;
    if context.output.json() {
        let id = made.id().to_hex();
        context.output.value(&json!({ "message_type": "initialized", "id": id, "repository": location }));
        return Ok(Exit::Done);
    }
    context.output.line(&format!("made repository {} in {}", &made.id().to_hex()[..10], human::shown(&made.place())));
    context.output.note("keep the password: without it nobody can read the repository, you included");
    Ok(Exit::Done)
}
