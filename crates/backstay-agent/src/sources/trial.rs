//! Trying a source before a backup does: steps on threads that may block, waited for so long and no longer.

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use backstay_core::domain::probe::{ProbeStep, StepOutcome};
use backstay_core::managers::job::chain;
use backstay_core::ports::source::SourceError;
use backstay_engine::archive::command::CommandReader;

use super::run::{closed, tool};

/// Longest that all steps of a test are waited for: they fit into a request.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(45);

/// Longest that a program may take to say its version.
const VERSION_TIME_MAX: Duration = Duration::from_secs(10);

/// The steps of a test so far.
#[derive(Debug)]
pub(super) struct Trial {
    ends_at: tokio::time::Instant,
    steps: Vec<ProbeStep>,
}

impl Trial {
    /// Begins a test.
    pub(super) fn begin() -> Self {
        Self { ends_at: tokio::time::Instant::now() + TRIAL_TIME_MAX, steps: Vec::new() }
    }

    /// Takes a step.
    pub(super) async fn step(&mut self, step: String, work: impl FnOnce() -> StepOutcome + Send + 'static) {
        let began = Instant::now();
        let outcome = match tokio::time::timeout_at(self.ends_at, tokio::task::spawn_blocking(work)).await {
            Ok(Ok(outcome)) => outcome,
            // A thread that panicked said nothing either.
            Ok(Err(_)) | Err(_) => failed("no answer in time", "look whether the disk, or the server behind it, hangs"),
        };
        self.steps.push(ProbeStep { step, purpose: None, took: began.elapsed(), outcome });
    }

    /// As [`Trial::step`], for what either works or says why not.
    pub(super) async fn attempt(
        &mut self,
        step: String,
        work: impl FnOnce() -> Result<String, SourceError> + Send + 'static,
    ) {
        self.step(step, move || work().map_or_else(|error| refused(&error), |said| StepOutcome::Well { said })).await;
    }

    /// Looks whether another project's program is there, and which one it is.
    pub(super) async fn program(&mut self, program: &'static str, package: &'static str) {
        let work = move || {
            tool(program, package)?;
            let told = |source| SourceError::Failed { what: format!("{program} does not say its version"), source };
            version(program).map_err(told)
        };
        self.attempt(format!("program {program}"), work).await;
    }

    /// Returns the steps.
    pub(super) fn end(self) -> Vec<ProbeStep> {
        self.steps
    }
}

/// Returns what a program calls itself.
fn version(program: &str) -> std::io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--version");
    let mut text = String::new();
    CommandReader::start(closed(command), Some(VERSION_TIME_MAX))?.read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Returns the outcome of a step that did not work.
pub(super) fn failed(said: &str, next: &str) -> StepOutcome {
    StepOutcome::Failed { said: said.to_owned(), next: next.to_owned() }
}

/// What servers of databases say, and what to do about it; the first that is in it counts.
const SAID: &[(&str, &str)] = &[
    ("password file", "put the password into that file, which its owner alone may read"),
    ("authentication failed", "look at user and password_file of the source"),
    ("no password supplied", "name a password_file in the source"),
    ("Access denied", "look at user and password_file of the source, and at what that user may read"),
    ("permission denied", "let that user read it"),
    ("does not exist", "look at the name, and whether the server is the one that was meant"),
    ("Unknown database", "look at the name, and whether the server is the one that was meant"),
    ("onnection refused", "look whether the server runs, and at host and port of the source"),
    ("an't connect", "look whether the server runs, and at host and port of the source"),
    ("translate host name", "look at host of the source, and at the machine's name servers"),
];

/// Returns the outcome of what cannot be read as it is.
pub(super) fn refused(error: &SourceError) -> StepOutcome {
    let said = chain(error);
    let next = match error {
        SourceError::Missing { place } if place.starts_with("the program") => "install it on the agent's machine",
        SourceError::Missing { .. } => "is its disk mounted? If it moved, make a source of the new place",
        SourceError::NotAFolder { .. } => "name the folder that it lies in",
        SourceError::Denied { .. } => "let the user who runs the agent read it",
        SourceError::Settings(_) => "give it other settings: backstay source update NAME --set NAME=VALUE",
        _ => {
            let found = SAID.iter().find(|(words, _)| said.contains(words));
            found.map_or("try it by hand on the agent's machine, as the user who runs the agent", |(_, next)| next)
        }
    };
    failed(&said, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a step that hangs is waited for, or when what a program says of itself is lost.
    #[tokio::test]
    async fn steps_are_told_in_their_order() {
        let mut trial = Trial::begin();
        trial.program("sh-that-is-not-there", "dash").await;
        trial.program("tar", "tar").await;
        trial.ends_at = tokio::time::Instant::now();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        trial.attempt("a disk that hangs".to_owned(), move || Ok(format!("{:?}", held.recv()))).await;
        drop(hold);
        let steps = trial.end();
        let said: Vec<String> = steps.iter().map(|row| format!("{}: {:?}", row.step, row.outcome)).collect();
        assert!(said[0].contains("Debian's package dash") && said[0].contains("install it"), "{said:?}");
        assert!(said[1].starts_with("program tar: Well { said: \"tar (GNU tar)"), "{said:?}");
        assert!(said[2].contains("no answer in time"), "{said:?}");
    }
}
