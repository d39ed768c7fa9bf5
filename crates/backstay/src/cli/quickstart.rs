//! `backstay quickstart DIR`.

use std::path::PathBuf;

use backstay_agent::Commands;
use backstay_core::domain::evidence::verify_file;
use backstay_server::channels::Reach;

use super::args::Common;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::watch::Watch;
use crate::roles::installation::{Ways, commands_of};
use crate::roles::quickstart::{self, Outcome};

/// Which folder is protected.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// The folder to protect
    dir: PathBuf,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    if common.server().is_some() {
        return Err(CliError::new(
            Exit::Input,
            "quickstart makes an installation on this machine; --server names another one",
        )
        .hint("Leave --server and BACKSTAY_SERVER out."));
    }
    let home = common.home()?;
    let mut watch = Watch::new(screen);
    let commands = commands_of(common.told(), Commands::Allowed);
    let told = (commands, Ways::of(common.told(), Reach::Anywhere));
    let outcome = quickstart::run(&verb.dir, &home, told, &mut watch).await?;
    if screen.json() {
        screen.value(&outcome);
    } else {
        summary(&outcome, &common.program(), screen);
    }
    Ok(exit_of(&outcome))
}

fn exit_of(outcome: &Outcome) -> Exit {
    match (outcome.evidence.verdict.as_str(), outcome.backup.job.outcome.as_deref()) {
        ("proved", Some("partial")) => Exit::Partial,
        ("proved", _) => Exit::Done,
        _ => Exit::Damaged,
    }
}

/// Prints what a person wants to know, most important first.
fn summary(outcome: &Outcome, program: &str, screen: &Screen) {
    let job = &outcome.backup.job;
    let counts = &job.counts;
    let folder = human::shown(&outcome.folder.display().to_string());
    screen.line(&format!("Protected  {folder}"));
    screen.line(&format!(
        "           {} files, {}; {} files were unchanged and not read again",
        human::count(counts.files),
        human::bytes(counts.bytes),
        human::count(counts.files_unmodified)
    ));
    screen.line(&format!(
        "           snapshot {}, {}; {} new, {} written",
        &outcome.snapshot.foreign_id[..8],
        job.outcome.as_deref().unwrap_or("complete"),
        human::bytes(counts.bytes_added),
        human::bytes(counts.bytes_stored)
    ));
    unread(outcome, screen);
    evidence(outcome, screen);
    screen.line("");
    screen.line(&format!("Key        {}", human::shown(&outcome.recovery_key.display().to_string())));
    screen.line("           Without this key nobody can read the backup, you included.");
    screen.line("           Copy it now to a place that does not burn with this machine.");
    screen.line("");
    let (short, program) = (&outcome.snapshot.foreign_id[..8], human::shown(program));
    screen.line(&format!("Next       {program} snapshot list"));
    screen.line(&format!("           {program} snapshot ls {short} '{folder}'"));
    screen.line(&format!("           {program} snapshot restore {short} --target /tmp/restored"));
}

fn unread(outcome: &Outcome, screen: &Screen) {
    let unread = &outcome.backup.unread;
    if unread.count == 0 {
        return screen.line("           everything could be read");
    }
    screen.line(&format!("NOT READ   {} entries are not in this backup:", human::count(unread.count)));
    for entry in unread.entries.iter().take(10) {
        screen.line(&format!("           {}: {}", human::shown(&entry.path), human::shown(&entry.reason)));
    }
    if unread.count > 10 {
        screen.line(&format!("           and more: backstay job show {}", outcome.backup.job.id));
    }
}

fn evidence(outcome: &Outcome, screen: &Screen) {
    let record = &outcome.evidence;
    let facts = verify_file(&record.file).map(|checked| checked.facts).unwrap_or_default();
    let number = |name: &str| {
        let value = facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.as_str());
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    if record.verdict == "proved" {
        screen.line(&format!("Proved     {}", proved(number)));
    } else {
        let message = outcome.verify.job.message.as_deref();
        let message = message.unwrap_or("what was read back is not what was saved");
        screen.line(&format!("DAMAGED    {}", human::shown(message)));
    }
    screen.line(&format!("           evidence {}, signed, number {} of this folder", record.id, record.sequence));
}

/// Returns what was proved, and no more than that: what was read in part is called so, and "no difference" is said of what
/// was compared only.
fn proved(number: impl Fn(&str) -> u64) -> String {
    let [read, in_part, compared] = ["files_read", "files_read_in_part", "files_compared"].map(&number);
    let mut line =
        format!("{} files, {}, were read back from storage", human::count(read), human::bytes(number("bytes_read")));
    if in_part > 0 {
        line.push_str(&format!(", {} of them in part", human::count(in_part)));
    }
    match (read, compared) {
        (0, _) => {}
        (_, 0) if number("files_changed_since") > 0 => {
            line.push_str("; none could be compared with the source: it has changed since");
        }
        (_, 0) => line.push_str("; none could be compared with the source: it could not be opened"),
        _ => {
            line.push_str(&format!("; {} of them were compared with the source: no difference", human::count(compared)))
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_said_than_was_proved() {
        let line = |read: u64, in_part: u64, compared: u64, changed: u64| {
            proved(|name| match name {
                "files_read" => read,
                "files_read_in_part" => in_part,
                "files_compared" => compared,
                "files_changed_since" => changed,
                _ => 2_048,
            })
        };
        let begin = "files, 2.00 KiB, were read back from storage";
        let same = "were compared with the source: no difference";
        assert_eq!(line(9, 0, 8, 1), format!("9 {begin}; 8 of them {same}"));
        assert_eq!(line(9, 1, 9, 0), format!("9 {begin}, 1 of them in part; 9 of them {same}"));
        let none = "none could be compared with the source";
        assert_eq!(line(9, 0, 0, 9), format!("9 {begin}; {none}: it has changed since"));
        assert_eq!(line(9, 0, 0, 0), format!("9 {begin}; {none}: it could not be opened"));
        assert_eq!(line(0, 0, 0, 0), format!("0 {begin}"));
    }
}
