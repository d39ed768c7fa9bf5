//! `backstay engine key`: who opens the repository.

use std::path::PathBuf;

use backstay_engine::format::object::FileKind;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::key::{self, KeyError};
use backstay_engine::repository::Maker;
use backstay_engine::select;
use secrecy::SecretString;
use serde::Serialize;

use super::context::Context;
use super::error;
use super::view::short;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::roles::engine::{not_empty, password_in, username};
use crate::roles::system;

/// What is done with keys.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List keys
    List,
    /// Add a key for another password
    Add(New),
    /// Remove a key
    Remove {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Replace the key in use by one for another password
    Passwd(New),
    /// Put a new password in the place of the one in --password-file, in two halves: nobody is locked out in between
    Rotate(super::key_rotate::Rotate),
}

/// A new key.
#[derive(Debug, clap::Args)]
struct New {
    /// A file that holds the new password
    #[arg(long, value_name = "F")]
    new_password_file: Option<PathBuf>,
    /// The new password is empty
    #[arg(long, conflicts_with = "new_password_file")]
    new_insecure_no_password: bool,
    /// Name of the machine in the key's file
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Name of the user in the key's file
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

impl New {
    fn password(&self) -> Result<SecretString, CliError> {
        match &self.new_password_file {
            Some(file) => not_empty(password_in(file)?),
            None if self.new_insecure_no_password => Ok(SecretString::from(String::new())),
            None => Err(error::input("nothing says the new password", "Name a file with --new-password-file.")),
        }
    }

    fn maker(&self) -> Maker {
        Maker {
            username: self.user.clone().unwrap_or_else(username),
            hostname: self.host.clone().unwrap_or_else(system::hostname),
            at: jiff::Timestamp::now(),
        }
    }
}

/// Returns who makes a key here and now.
pub(super) fn maker() -> Maker {
    Maker { username: username(), hostname: system::hostname(), at: jiff::Timestamp::now() }
}

/// A key in restic's shape.
#[derive(Serialize)]
struct KeyLine {
    current: bool,
    id: String,
    #[serde(rename = "userName")]
    user_name: String,
    #[serde(rename = "hostName")]
    host_name: String,
    created: String,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    match &verb.action {
        Action::List => list(context),
        Action::Add(new) => add(context, new),
        Action::Remove { id } => remove(context, id),
        Action::Passwd(new) => passwd(context, new),
        Action::Rotate(rotate) => super::key_rotate::run(context, rotate),
    }
}

fn told(error: &KeyError) -> CliError {
    match error {
        KeyError::Engine(error) => error::engine(error),
        error => CliError::from_error(Exit::Failed, error).hint("`backstay engine key list` lists what there is."),
    }
}

fn list(context: &Context) -> Result<Exit, CliError> {
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let keys = key::list(&opened.repository, &context.interrupt).map_err(|error| error::engine(&error))?;
    let lines: Vec<KeyLine> = keys
        .into_iter()
        .map(|key| KeyLine {
            current: key.is_current,
            id: key.id.to_hex(),
            user_name: key.username,
            host_name: key.hostname,
            created: human::instant(&key.created),
        })
        .collect();
    if context.output.json() {
        context.output.value(&lines);
        return Ok(Exit::Done);
    }
    let row = |line: KeyLine| {
        let mark = if line.current { "in use" } else { "" };
        vec![line.id[..8].to_owned(), line.user_name, line.host_name, line.created, mark.to_owned()]
    };
    context.output.screen.table(&["id", "user", "host", "created", ""], lines.into_iter().map(row).collect());
    Ok(Exit::Done)
}

fn add(context: &Context, new: &New) -> Result<Exit, CliError> {
    let password = new.password()?;
    let (opened, guard) = context.open_locked(LockMode::Shared)?;
    let id = key::add(&opened.repository, &password, new.maker(), &context.interrupt)
        .map_err(|error| error::engine(&error))?;
    guard.release(context);
    context.output.line(&format!("saved new key {}", short(&id)));
    Ok(Exit::Done)
}

fn remove(context: &Context, word: &str) -> Result<Exit, CliError> {
    let (opened, guard) = context.open_locked(LockMode::Exclusive)?;
    let ids = opened.repository.file_list(FileKind::Key, &context.interrupt).map_err(|error| error::engine(&error))?;
    let hint = "`backstay engine key list` lists what there is.";
    let id = select::expand(&ids, word)
        .map_err(|_| error::input(format!("`{word}` is not the beginning of one key's id"), hint))?;
    let lock = guard.lock().ok_or_else(no_lock)?;
    explained(key::remove(&opened.repository, &id, lock, &context.interrupt))?;
    guard.release(context);
    context.output.line(&format!("removed key {}", short(&id)));
    Ok(Exit::Done)
}

fn passwd(context: &Context, new: &New) -> Result<Exit, CliError> {
    let password = new.password()?;
    let (opened, guard) = context.open_locked(LockMode::Exclusive)?;
    let lock = guard.lock().ok_or_else(no_lock)?;
    let id = explained(key::passwd(&opened.repository, &password, new.maker(), lock, &context.interrupt))?;
    guard.release(context);
    context.output.line(&format!("saved new key {} and removed the one that was in use", short(&id)));
    Ok(Exit::Done)
}

pub(super) fn explained<T>(answer: Result<T, KeyError>) -> Result<T, CliError> {
    answer.map_err(|error| told(&error))
}

fn no_lock() -> CliError {
    error::input("this needs its lock", "Leave --no-lock out.")
}
