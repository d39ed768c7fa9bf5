//! `backstay engine key rotate`: a new password in the place of the one in a file, in two halves that may each run again.
//!
//! ```text
//!  F                    F.new is written ──> a key for it is added, and proved ──> F.old is F, then F is F.new
//!  F, F.old             --finish: the key that F.old opens is removed ──> F.old is removed
//! ```
//!
//! At each moment F opens the repository, so whoever dies here locks nobody out, and running it again goes on. Between the
//! halves both passwords do: a job has read the old one at its lease.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::key;
use backstay_engine::{EngineError, Repository};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::context::{Context, Opened};
use super::error;
use super::key::{explained, maker};
use super::view::short;
use crate::cli::error::{CliError, Exit};
use crate::roles::engine::{not_empty, password_in};
use crate::roles::installation::random_words;

/// Letters of a password that is made here.
const LETTERS: usize = 52;

/// Most keys of one password that are removed: more than anybody made.
const KEYS_MAX: usize = 16;

/// Which half.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// Remove the old key, and the file with its password: when a job has run with the new one
    #[arg(long)]
    finish: bool,
}

/// The files of a rotation.
struct Files {
    current: PathBuf,
    new: PathBuf,
    old: PathBuf,
}

impl Files {
    fn of(context: &Context) -> Result<Self, CliError> {
        let Some(path) = context.access.password_path() else {
            return Err(error::input(
                "only a password that is in a file is rotated here",
                "Name the file with --password-file. A sealed one: docs/how-to/secrets.md.",
            ));
        };
        let current = path.canonicalize().map_err(|problem| failed(&path, &problem))?;
        let beside = |end: &str| {
            let mut name = current.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        Ok(Self { new: beside(".new"), old: beside(".old"), current })
    }

    /// Says whether the new password is in its place, and the old one beside it.
    fn is_swapped(&self) -> Result<bool, CliError> {
        let place = |path: &Path| match std::fs::metadata(path) {
            Ok(file) => Ok(Some((file.dev(), file.ino()))),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(problem) => Err(failed(path, &problem)),
        };
        let old = place(&self.old)?;
        if old.is_none() || old == place(&self.current)? {
            return Ok(false);
        }
        let read = |path: &Path| std::fs::read(path).map(Zeroizing::new).map_err(|problem| failed(path, &problem));
        if *read(&self.old)? == *read(&self.current)? {
            let (old, current) = (self.old.display(), self.current.display());
            return Err(error::input(
                format!("{old} has the same password as {current}, and no rotation left it"),
                "It is in the way: move it to another name, and run this again.",
            ));
        }
        Ok(true)
    }
}

fn failed(path: &Path, problem: &io::Error) -> CliError {
    error::input(format!("{}: {problem}", path.display()), "Nobody is locked out. Mend it, and run this again.")
}

pub(super) fn run(context: &Context, verb: &Rotate) -> Result<Exit, CliError> {
    let files = Files::of(context)?;
    if verb.finish { finish(context, &files) } else { begin(context, &files) }
}

/// Puts a new password in the place of the old one.
fn begin(context: &Context, files: &Files) -> Result<Exit, CliError> {
    if files.is_swapped()? {
        if files.new.exists() {
            let (old, new) = (files.old.display(), files.new.display());
            return Err(error::input(
                format!("{new} is there beside {old}, which the last rotation left"),
                "Run this with --finish, then again without.",
            ));
        }
        return Ok(next(context, files));
    }
    let password = made(files)?;
    let (opened, guard) = context.open_locked(LockMode::Shared)?;
    if open(context, &opened, &password)?.is_none() {
        key::add(&opened.repository, &password, maker(), &context.interrupt).map_err(|error| error::engine(&error))?;
    }
    // By the road that everybody takes: through the list, with the password alone.
    let proved = open(context, &opened, &password)?.is_some_and(|again| again.id() == opened.repository.id());
    guard.release(context);
    if !proved {
        return Err(error::input(
            "the new password does not open the repository",
            "The old password stays in use. Look at the list with `backstay engine key list`, and run this again.",
        ));
    }
    swap(files).map_err(|problem| failed(&files.current, &problem))?;
    Ok(next(context, files))
}

/// Removes what the old password opens, then the old password.
fn finish(context: &Context, files: &Files) -> Result<Exit, CliError> {
    if !files.is_swapped()? {
        let nothing = format!("{} is not there, or is the password in use", files.old.display());
        return Err(error::input(format!("nothing to finish: {nothing}"), "Begin a rotation without --finish."));
    }
    let password = not_empty(password_in(&files.old)?)?;
    let (opened, guard) = context.open_locked(LockMode::Exclusive)?;
    let lock = guard.needed("key rotate")?;
    for _ in 0..KEYS_MAX {
        let Some(old) = open(context, &opened, &password)? else { break };
        explained(key::remove(&opened.repository, &old.key_id(), lock, &context.interrupt))?;
        context.output.line(&format!("removed key {}", short(&old.key_id())));
    }
    guard.release(context);
    std::fs::remove_file(&files.old).and_then(|()| durable(files)).map_err(|problem| failed(&files.old, &problem))?;
    context.output.line("The old password opens nothing any more; a recovery sheet that shows it does not either.");
    Ok(Exit::Done)
}

/// Returns the repository as a password opens it; none when it opens no key.
fn open(context: &Context, opened: &Opened, password: &SecretString) -> Result<Option<Repository>, CliError> {
    match Repository::open(Arc::clone(&opened.storage), password, &context.interrupt) {
        Ok(repository) => Ok(Some(repository)),
        Err(EngineError::Password { .. }) => Ok(None),
        Err(problem) => Err(error::engine(&problem)),
    }
}

/// Returns the new password: the one that an earlier run has written down, or a fresh one.
fn made(files: &Files) -> Result<SecretString, CliError> {
    if files.new.exists() {
        let password = password_in(&files.new)?;
        if password.expose_secret().len() >= LETTERS {
            return Ok(password);
        }
        // It was cut off while it was written: no key was made of it.
        std::fs::remove_file(&files.new).map_err(|problem| failed(&files.new, &problem))?;
    }
    write(files).map_err(|problem| failed(&files.new, &problem))?;
    password_in(&files.new)
}

/// Writes a fresh password down, for those alone who may read the one in use.
fn write(files: &Files) -> io::Result<()> {
    let like = std::fs::metadata(&files.current)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&files.new)?;
    writeln!(file, "{}", random_words())?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        chown(&files.new, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())?;
    file.sync_all()?;
    durable(files)
}

/// Keeps the old password beside the new one, which takes its place in one step.
fn swap(files: &Files) -> io::Result<()> {
    match std::fs::hard_link(&files.current, &files.old) {
        // By a run before this one: it is the same file.
        Err(problem) if problem.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked?,
    }
    durable(files)?;
    std::fs::rename(&files.new, &files.current)?;
    durable(files)
}

fn durable(files: &Files) -> io::Result<()> {
    files.current.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn next(context: &Context, files: &Files) -> Exit {
    let (current, old) = (files.current.display(), files.old.display());
    context
        .output
        .line(&format!("The new password is in {current}. The old one is in {old} and opens the repository too."));
    context
        .output
        .line("When a job has run with the new one, run this again with --finish; then print a new recovery sheet.");
    Exit::Done
}
