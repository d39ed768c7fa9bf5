//! Verbs and the options that several of them have.

use std::time::Duration;

use backstay_engine::select::Filter;

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
    /// Print a file of a snapshot
    Dump(super::dump::Verb),
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
