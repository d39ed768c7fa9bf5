//! Verbs and the options that several of them have.

use std::path::PathBuf;
use std::time::Duration;

use backstay_engine::archive::exclude::{Case, Excludes};
use backstay_engine::select::Filter;

use super::error;
use crate::cli::error::{CliError, Exit};
use crate::roles::engine::{Access, variable};

/// restic's commands on a repository.
#[derive(Debug, clap::Args)]
pub(crate) struct Engine {
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) locking: Locking,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Say more; twice says what becomes of each entry
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// How a verb meets locks of others.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Locking {
    /// Write no lock, for repositories that may only be read
    #[arg(long, global = true)]
    pub(super) no_lock: bool,
    /// Wait this long for a lock of others, as 30s, 5m or 2h
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub(super) retry_lock: Option<Duration>,
    /// Accepted for restic's sake: nothing is cached on this machine
    #[arg(long, global = true, hide = true)]
    no_cache: bool,
}

/// restic's verbs.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Make a repository
    Init(super::init::Verb),
    /// Back up files and folders
    Backup(Box<super::backup::Verb>),
    /// Bring a snapshot back to a folder
    Restore(Box<super::restore::Verb>),
    /// List snapshots
    Snapshots(super::snapshots::Verb),
    /// List what a snapshot holds
    Ls(super::ls::Verb),
    /// Print an object of the repository
    Cat(super::cat::Verb),
    /// Find entries by name, or where a blob, tree or pack is used
    Find(super::find::Verb),
    /// Show what differs between two snapshots
    Diff(super::diff::Verb),
    /// Count what snapshots hold
    Stats(super::stats::Verb),
    /// Print a file of a snapshot, or a folder as a tar archive
    Dump(super::dump::Verb),
    /// Look for harm
    Check(super::check::Verb),
    /// Remove snapshots, by rules or by name
    Forget(Box<super::forget::Verb>),
    /// Remove data that no snapshot needs
    Prune(super::prune::Verb),
    /// Make a damaged repository whole again, and say what was lost
    Repair(super::repair::Verb),
    /// Make snapshots anew without what should not be in them, or with another host or time
    Rewrite(Box<super::rewrite::Verb>),
    /// Copy snapshots from another repository
    Copy(Box<super::copy::Verb>),
    /// List, add, remove or change keys
    Key(super::key::Verb),
    /// Remove locks of the dead
    Unlock(super::unlock::Verb),
}

/// Patterns of what is left out.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PatternArgs {
    /// Leave out what this pattern matches
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// The same; letters of different case are the same
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,
    /// Leave out what the patterns in this file match
    #[arg(long, value_name = "F")]
    exclude_file: Vec<PathBuf>,
    /// The same; letters of different case are the same
    #[arg(long, value_name = "F")]
    iexclude_file: Vec<PathBuf>,
}

impl PatternArgs {
    /// Says whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        let lists = [self.exclude.is_empty(), self.iexclude.is_empty()];
        lists == [true; 2] && self.exclude_file.is_empty() && self.iexclude_file.is_empty()
    }

    /// Adds them to what is left out.
    ///
    /// # Errors
    /// [`CliError`] when one is no pattern, or a file cannot be read.
    pub(super) fn add_to(&self, excludes: &mut Excludes) -> Result<(), CliError> {
        let hint = "Write * ? [a-z] and **, and \\ before a letter.";
        for (patterns, case) in [(&self.exclude, Case::Counts), (&self.iexclude, Case::Ignored)] {
            for pattern in patterns {
                let added = excludes.add(pattern.as_bytes(), case);
                added.map_err(|wrong| error::input(wrong.to_string(), hint))?;
            }
        }
        for (files, case) in [(&self.exclude_file, Case::Counts), (&self.iexclude_file, Case::Ignored)] {
            for file in files {
                let added = excludes.add_file(file, case, &|name| std::env::var(name).ok());
                added.map_err(|wrong| CliError::from_error(Exit::Failed, &wrong).hint(hint))?;
            }
        }
        Ok(())
    }
}

/// Which snapshots are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// Only snapshots of this machine; any of them when given several times [env: RESTIC_HOST]
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Vec<String>,
    /// Only snapshots with all these tags; any of the lists when given several times
    #[arg(long, value_name = "TAG[,TAG…]")]
    tag: Vec<String>,
    /// Only snapshots of this path; of all of them when given several times
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
}

impl FilterArgs {
    /// Returns the filter; an empty host undoes the variable.
    pub(super) fn filter(&self) -> Filter {
        filter(&self.host, &self.tag, &self.path)
    }
}

/// Makes a filter of hosts, lists of tags and paths as they were typed.
pub(super) fn filter(host: &[String], tag: &[String], path: &[String]) -> Filter {
    let mut hosts = host.to_vec();
    if hosts.is_empty() {
        hosts.extend(variable("RESTIC_HOST"));
    }
    hosts.retain(|host| !host.is_empty());
    let absolute = |path: &String| std::path::absolute(path).ok().and_then(|path| path.to_str().map(str::to_owned));
    Filter {
        hosts,
        tags: tag.iter().map(|list| list.split(',').map(str::to_owned).collect()).collect(),
        paths: path.iter().map(|path| absolute(path).unwrap_or_else(|| path.clone())).collect(),
    }
}

/// Reads a duration as Go writes them: `1h30m`, `45s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write 30s, 5m or 2h");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(wrong()),
        };
        total += Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("45s"), Ok(Duration::from_secs(45)));
        assert_eq!(duration("1.5m500ms"), Ok(Duration::from_millis(90_500)));
        for wrong in ["", "5", "m", "5x", "1h-5m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
