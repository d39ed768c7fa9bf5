//! Looks at this machine's installation, changes nothing, and says of each thing how it is, what that means and what to do.
//!
//! What a server knows is asked by the command line. Absent on purpose: mending.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::certificate_dates::not_after;
use super::config::Config;
use super::data_dir::{DataDir, DataDirError};
use super::database_url::DatabaseUrl;
use super::home::Rows;
use crate::cli::error::CliError;
use crate::cli::human;

/// Bytes that must be free below the data directory: a night of rows, logs and a prune's packs.
const FREE_BYTES_WARN: u64 = 5 << 30;

/// Bytes below which the next write may fail.
const FREE_BYTES_BAD: u64 = 256 << 20;

/// How long before its end a certificate is told: what renews by itself has done so by then.
const CERTIFICATE_WARN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Tools of other systems that people restore with, or that sources call.
const TOOLS: [&str; 8] =
    ["restic", "sqlite3", "pg_dump", "pg_restore", "mariadb-dump", "mysqldump", "fusermount3", "systemctl"];

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Good to know.
    Info,
    /// As it should be.
    Ok,
    /// It works, and may not for long, or protects less than it could.
    Warn,
    /// It does not work.
    Bad,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) verdict: Verdict,
    /// How it is, and what that means.
    pub(crate) says: String,
    /// What to do; empty when nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) next: String,
}

impl Finding {
    pub(crate) fn new(what: &'static str, verdict: Verdict, says: impl Into<String>, next: &str) -> Self {
        Self { what, verdict, says: says.into(), next: next.to_owned() }
    }

    pub(crate) fn ok(what: &'static str, says: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, says, "")
    }
}

/// Looks at what lies in a data directory.
pub(crate) fn data_directory(data: &DataDir, config: &Config) -> Vec<Finding> {
    let (path, rows) = (data.path(), Rows::of(config));
    match data.must_exist(rows) {
        Ok(()) => {}
        Err(DataDirError::Io { path, source }) => {
            let says = format!("{} cannot be looked at: {source}", path.display());
            let next = "Run this as the user who owns the data directory.";
            return vec![Finding::new("data directory", Verdict::Bad, says, next)];
        }
        Err(error) => {
            let next = "`backstay quickstart DIR` makes one; if it is elsewhere, name it with --data-dir.";
            return vec![Finding::new("data directory", Verdict::Bad, error.to_string(), next)];
        }
    }
    let mut found = vec![private("data directory", path, Verdict::Warn, "It holds keys."), space(path)];
    found.extend(database(data, config));
    found.push(master_key(data, config));
    if rows == Rows::Here {
        found.push(private("signing key", &data.signing_key(), Verdict::Bad, "Who reads it can sign evidence."));
    }
    found.extend(recovery_keys(&path.join("keys")));
    found
}

/// Looks at the key that opens sealed secrets.
fn master_key(data: &DataDir, config: &Config) -> Finding {
    let (what, back) = ("master key", "Put it back from its copy.");
    let path = data.master_key();
    let named = match Rows::of(config) {
        Rows::Here => Ok(None),
        Rows::Elsewhere => super::master_key::of(config),
    };
    match named {
        Ok(Some(_)) => Finding::ok(what, "settings name one that can be read"),
        Err(error) => Finding::new(what, Verdict::Bad, CliError::from(error).line(), back),
        Ok(None) if matches!(path.try_exists(), Ok(false)) => {
            let says = format!("{} is not there: sealed secrets cannot be opened", path.display());
            Finding::new(what, Verdict::Bad, says, back)
        }
        Ok(None) => private(what, &path, Verdict::Bad, "Who reads it opens every sealed secret."),
    }
}

/// Says which server rows lie on, and whether rows of an earlier time are left here; nothing when they lie here.
fn database(data: &DataDir, config: &Config) -> Vec<Finding> {
    let (what, see) = ("database", "`backstay config show` says who names it (server.database_url).");
    match DatabaseUrl::of(config) {
        Ok(None) => Vec::new(),
        Ok(Some(_)) if data.must_exist(Rows::Here).is_ok() => {
            let says = format!("rows in {} are not used: settings name another database", data.database().display());
            vec![Finding::new(what, Verdict::Warn, says, see)]
        }
        Ok(Some(url)) => vec![Finding::ok(what, format!("rows lie in {}", url.shown()))],
        Err(error) => vec![Finding::new(what, Verdict::Bad, error.line(), see)],
    }
}

/// Judges who may read a file or folder.
fn private(what: &'static str, path: &Path, open: Verdict, means: &str) -> Finding {
    match std::fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            let mode = found.permissions().mode() & 0o777;
            let says = format!("{} is open to others (mode {mode:o}). {means}", path.display());
            Finding::new(what, open, says, &format!("chmod go= '{}'", path.display()))
        }
        Ok(_) => Finding::ok(what, format!("{} is for its owner alone", path.display())),
        Err(error) => Finding::new(
            what,
            Verdict::Bad,
            format!("{} cannot be looked at: {error}", path.display()),
            "Run this as the user who owns the data directory.",
        ),
    }
}

fn space(path: &Path) -> Finding {
    let what = "free space";
    let Ok(found) = rustix::fs::statvfs(path) else {
        let says = format!("the system does not say how much is free at {}", path.display());
        return Finding::new(what, Verdict::Warn, says, "");
    };
    space_of(path, found.f_bavail.saturating_mul(found.f_frsize))
}

/// Judges how many bytes are free.
fn space_of(path: &Path, free_bytes: u64) -> Finding {
    let says = format!("{} free at {}", human::bytes(free_bytes), path.display());
    let next = "Free some space there, or move repositories to another storage.";
    match free_bytes {
        0..FREE_BYTES_BAD => Finding::new("free space", Verdict::Bad, format!("{says}: the next write may fail"), next),
        FREE_BYTES_BAD..FREE_BYTES_WARN => Finding::new("free space", Verdict::Warn, says, next),
        _ => Finding::ok("free space", says),
    }
}

fn recovery_keys(folder: &Path) -> Vec<Finding> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let says = format!("{} cannot be looked at: {error}", folder.display());
            let next = "Run this as the user who owns the data directory, or put the folder back from its copy.";
            return vec![Finding::new("recovery key", Verdict::Bad, says, next)];
        }
    };
    let keys = entries.flatten().map(|entry| entry.path());
    let mut keys: Vec<PathBuf> = keys.filter(|path| path.extension().is_some_and(|end| end == "key")).collect();
    keys.sort();
    let means = "Who reads it reads the backups.";
    keys.iter().map(|path| private("recovery key", path, Verdict::Bad, means)).collect()
}

/// Judges the certificate that settings name; nothing when they name none.
pub(crate) fn certificate(config: &Config, now: Timestamp) -> Option<Finding> {
    let path = config.text("server.tls_certificate_file")?;
    let renew = "Renew it: the server shows the new one within a minute.";
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let ends_at = read.and_then(|text| not_after(&text).ok_or_else(|| "it holds no certificate (PEM)".to_owned()));
    Some(match ends_at {
        Err(problem) => {
            let says = format!("{path} cannot be read: {problem}");
            Finding::new("certificate", Verdict::Bad, says, "Name a file in PEM with --tls-certificate.")
        }
        Ok(at) if at <= now => {
            Finding::new("certificate", Verdict::Bad, format!("{path} ended at {at}: nobody trusts it"), renew)
        }
        Ok(at) if at.duration_since(now) < CERTIFICATE_WARN => {
            Finding::new("certificate", Verdict::Warn, format!("{path} ends at {at}"), renew)
        }
        Ok(at) => Finding::ok("certificate", format!("{path} is good until {at}")),
    })
}

/// Says which tools of other systems are there.
pub(crate) fn tools(path: Option<&std::ffi::OsStr>) -> Finding {
    let folders: Vec<PathBuf> = path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    let is_there = |tool: &&&str| folders.iter().any(|folder| folder.join(tool).is_file());
    let (there, missing): (Vec<&str>, Vec<&str>) = TOOLS.iter().partition(|tool| is_there(tool));
    let words = |tools: &[&str]| if tools.is_empty() { "none".to_owned() } else { tools.join(", ") };
    let says = format!("there: {}; not there: {}", words(&there), words(&missing));
    Finding::new("tools", Verdict::Info, says, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_judged_by_what_is_left() {
        let verdict = |bytes| space_of(Path::new("/d"), bytes).verdict;
        let found = [0, FREE_BYTES_BAD - 1, FREE_BYTES_BAD, FREE_BYTES_WARN - 1, FREE_BYTES_WARN].map(verdict);
        assert_eq!(found, [Verdict::Bad, Verdict::Bad, Verdict::Warn, Verdict::Warn, Verdict::Ok]);
    }

    #[test]
    fn tools_are_looked_for_on_the_path() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("restic"), "").unwrap();
        let says = tools(Some(home.path().as_os_str())).says;
        assert!(says.starts_with("there: restic; not there: sqlite3, pg_dump"), "{says}");
        assert!(tools(None).says.starts_with("there: none"));
    }
}
