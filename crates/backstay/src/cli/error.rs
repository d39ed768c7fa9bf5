//! How a command ends: its exit code, and for an error a heading, the chain of causes and what to do next.

use std::io::Write;
use std::process::ExitCode;

use backstay_api::ClientError;
use backstay_db::{OpenError, SealError};

use super::human;
use crate::roles::data_dir::DataDirError;
use crate::roles::installation::StartError;
use crate::roles::master_key::KeyError;

/// Exit codes: restic's where restic has one, ours from 20 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It did not work.
    Failed = 1,
    /// Some entries could not be read.
    Partial = 3,
    /// There is no repository where one should be.
    NoRepository = 10,
    /// Others use the repository.
    Locked = 11,
    /// No key opens with the password.
    Password = 12,
    /// Ended by a signal or a cancel.
    Interrupted = 130,
    /// What was given cannot be used.
    Input = 20,
    /// Another process works in the data directory.
    Busy = 21,
    /// The data directory was written by a newer version.
    Newer = 22,
    /// The storage is full.
    StorageFull = 23,
    /// A read-back found harm.
    Damaged = 24,
    /// There is no such thing.
    NotFound = 25,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error for a person.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: Exit,
    heading: String,
    causes: Vec<String>,
    hint: String,
}

impl CliError {
    pub(crate) fn new(exit: Exit, heading: impl Into<String>) -> Self {
        Self { exit, heading: heading.into(), causes: Vec::new(), hint: String::new() }
    }

    /// Makes it from an error, whose causes become lines of their own.
    pub(crate) fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Self { causes, ..Self::new(exit, error.to_string()) }
    }

    /// Puts a heading above it; the old one becomes its first cause.
    pub(crate) fn under(mut self, heading: String) -> Self {
        let cause = std::mem::replace(&mut self.heading, heading);
        self.causes.insert(0, cause);
        self
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.to_owned();
        self
    }

    /// Says one thing more about what to do next.
    pub(crate) fn also(mut self, hint: &str) -> Self {
        self.hint = [self.hint.as_str(), hint].join(" ").trim().to_owned();
        self
    }

    #[cfg(test)]
    pub(crate) fn heading(&self) -> String {
        self.heading.clone()
    }

    /// Ends with another exit code.
    pub(crate) fn with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Returns the exit code.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns heading and causes in one line, for programs.
    pub(crate) fn line(&self) -> String {
        let causes = self.causes.iter().map(String::as_str);
        std::iter::once(self.heading.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
    }

    /// Prints it to standard error and returns the exit code. Names in it may hold anything: each part stays one line.
    pub(crate) fn print(&self) -> ExitCode {
        let mut text = format!("backstay: {}\n", human::shown(&self.heading));
        for cause in &self.causes {
            text.push_str(&format!("  because: {}\n", human::shown(cause)));
        }
        if !self.hint.is_empty() {
            text.push_str(&format!("  next: {}\n", human::shown(&self.hint)));
        }
        // Nobody may be listening; the exit code says it too.
        let _ = std::io::stderr().write_all(text.as_bytes());
        self.exit.into()
    }
}

impl From<DataDirError> for CliError {
    fn from(error: DataDirError) -> Self {
        let (exit, hint) = match &error {
            DataDirError::Unknown => (Exit::Input, "Name one with --data-dir."),
            DataDirError::Missing { .. } => {
                (Exit::Input, "`backstay quickstart DIR` makes one; if it is elsewhere, name it with --data-dir.")
            }
            DataDirError::NotUtf8 { .. } => (Exit::Input, "Name another place with --data-dir."),
            DataDirError::Busy { .. } => {
                (Exit::Busy, "Wait until it has ended (`backstay up` ends with Ctrl-C), or use another --data-dir.")
            }
            DataDirError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => {
                    (Exit::StorageFull, "Free some space there, or choose another place with --data-dir.")
                }
                _ => (Exit::Failed, "Run it as the user who owns the data directory, or choose another --data-dir."),
            },
        };
        Self::from_error(exit, &error).hint(hint)
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self::from_error(Exit::Input, &error).hint("Put the key back from its copy; each replica needs the same one.")
    }
}

impl From<SealError> for CliError {
    fn from(error: SealError) -> Self {
        let hint = match &error {
            SealError::Key { .. } => {
                "Is it the master key of this database? Older keys stand below the newest in the same file, one a line."
            }
            SealError::Store(_) => "Starting again is safe.",
            SealError::Missing { .. } | SealError::Broken { .. } => "Put the row back from a copy of the database.",
        };
        let exit = if matches!(error, SealError::Store(_)) { Exit::Failed } else { Exit::Input };
        Self::from_error(exit, &error).under("the sealed secrets of the database cannot be used".to_owned()).hint(hint)
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::DataDir(error) => error.into(),
            StartError::Database(OpenError::Newer { .. }) => Self::from_error(Exit::Newer, &error)
                .hint("Use the newer program, or another data directory with --data-dir."),
            StartError::Remote { url, source } => url.error(&source),
            StartError::Door { .. } => {
                Self::from_error(Exit::Failed, &error).hint("Name another ADDRESS:PORT with --listen.")
            }
            StartError::Key(error) => error.into(),
            StartError::Seal(error) => error.into(),
            error => Self::from_error(Exit::Failed, &error).hint("Running it again is safe."),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Problem { problem } => {
                let exit = match problem.code.as_str() {
                    "not_found" | "no_path" => Exit::NotFound,
                    "invalid" | "malformed" | "taken" | "too_large" => Exit::Input,
                    _ => Exit::Failed,
                };
                Self::new(exit, problem.detail.clone()).hint(&problem.hint)
            }
            ClientError::Transport { .. } => {
                let said = Self::from_error(Exit::Failed, &error);
                let hint = if !error.is_certificate() {
                    "Is the server running? Is --server right, http:// or https:// too?"
                } else if said.line().contains("expired") {
                    "Renew the server's certificate: it shows the new one within a minute. Are both clocks right?"
                } else if said.line().contains("not valid for name") {
                    "Speak to the server by a name that its certificate has: --server https://NAME:PORT."
                } else {
                    "Name the file with the certificate of the authority that signed the server's: --ca-file F \
                     (client.ca_file, BACKSTAY_CA_FILE)."
                };
                said.hint(hint)
            }
            ClientError::Authorities { .. } => Self::from_error(Exit::Input, &error)
                .hint("Name a file in PEM with --ca-file (-----BEGIN CERTIFICATE-----)."),
            ClientError::Shown => Self::from_error(Exit::Failed, &error),
            ClientError::Changes => {
                Self::from_error(Exit::Input, &error).hint("--watch repeats what only looks. Do this once, without it.")
            }
            ClientError::Foreign { .. } => Self::from_error(Exit::Failed, &error).hint("Check --server."),
        }
    }
}
