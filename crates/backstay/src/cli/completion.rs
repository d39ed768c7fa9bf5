//! `backstay completion SHELL`, and what a shell hears when somebody presses Tab.
//!
//! The script that a shell loads calls this program back, with the words so far behind `--` and the shell's name in the
//! variable `COMPLETE`. Verbs and options come from the command line itself, names of rows from a server that runs
//! (`candidates`). Whatever goes wrong then is silence: a terminal in which somebody types is no place for an error.

use clap::{Command, CommandFactory as _};
use clap_complete::engine::ArgValueCandidates;
use clap_complete::env::{CompleteEnv, EnvCompleter, Shells};

use super::args::Args;
use super::candidates::{What, candidates};
use super::error::{CliError, Exit};
use super::screen::Screen;

/// What a shell says with its name that it wants to know how a line goes on.
const VARIABLE: &str = "COMPLETE";

/// Shells that there are scripts for.
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// Where names of rows stand: the noun and what stands above it, the argument, and of what it is the name. An empty noun is any.
const PLACES: &[(&str, &str, What)] = &[
    ("plan", "plan", What::Plan),
    ("plan", "id", What::Plan),
    ("plan", "source", What::SourceId),
    ("plan", "repository", What::RepositoryId),
    ("plan", "template", What::Template),
    ("template", "template", What::Template),
    ("template", "above", What::Template),
    ("monitor", "monitor", What::Monitor),
    ("repository", "repository", What::Repository),
    ("repository", "storage", What::Storage),
    ("storage", "storage", What::Storage),
    ("source", "source", What::Source),
    ("source", "id", What::SourceId),
    ("secret", "secret", What::Secret),
    ("channel", "channel", What::Channel),
    ("token", "id", What::TokenId),
    ("tenant", "id", What::TenantId),
    ("alert", "id", What::AlertId),
    ("maintenance", "id", What::MaintenanceId),
    ("evidence", "id", What::EvidenceId),
    ("job", "id", What::Job),
    ("job", "ids", What::Job),
    ("job set", "id", What::JobSet),
    ("job", "set", What::JobSet),
    ("snapshot", "id", What::Snapshot),
    ("snapshot", "snapshot", What::Snapshot),
    ("snapshot", "plan", What::Plan),
    ("", "tenant", What::Tenant),
];

/// What to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(value_parser = SHELLS)]
    shell: String,
}

/// Prints the script for a shell.
pub(super) fn run(verb: &Verb, screen: &Screen) -> Result<Exit, CliError> {
    let shells = Shells::builtins();
    let shell: &dyn EnvCompleter = shells.completer(&verb.shell).expect("clap takes only the names of these");
    let mut script = Vec::new();
    // By its name, not its path: an update may lie elsewhere.
    shell
        .write_registration(VARIABLE, "backstay", "backstay", "backstay", &mut script)
        .map_err(|error| CliError::from_error(Exit::Failed, &error))?;
    screen.line(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}

/// Answers a shell that asks how a line goes on, and says whether one did.
pub(super) fn answered() -> bool {
    let asked = std::env::var(VARIABLE).ok().filter(|shell| Shells::builtins().completer(shell).is_some());
    if asked.is_none() {
        return false;
    }
    let here = std::env::current_dir().ok();
    let env = CompleteEnv::with_factory(command).completer("backstay");
    // An error would be a line in the middle of what somebody types.
    let _ = env.try_complete(std::env::args_os(), here.as_deref());
    true
}

/// Returns the command line, with who knows the names of rows at each argument that is one.
fn command() -> Command {
    with_names(Args::command(), "")
}

/// Adds them to a command and all below it. `noun` is the words that lead to it.
fn with_names(command: Command, noun: &str) -> Command {
    let command = command.mut_subcommands(|below| {
        let name = below.get_name().to_owned();
        let noun = if below.has_subcommands() { format!("{noun} {name}").trim().to_owned() } else { noun.to_owned() };
        with_names(below, &noun)
    });
    if noun == "engine" {
        return command;
    }
    let is_place = |of: &str| of == noun || of.is_empty();
    command.mut_args(|argument| {
        let id = argument.get_id().as_str();
        let place = PLACES.iter().find(|(of, place, _)| *place == id && is_place(of));
        match place.filter(|_| argument.get_action().takes_values()) {
            Some((.., what)) => argument.add(ArgValueCandidates::new(|| candidates(*what))),
            None => argument,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns each place where an argument has somebody who knows names.
    fn places(command: &Command, noun: &str, found: &mut BTreeSet<(String, String)>) {
        for argument in command.get_arguments().filter(|argument| argument.get::<ArgValueCandidates>().is_some()) {
            found.insert((noun.to_owned(), argument.get_id().to_string()));
        }
        for below in command.get_subcommands() {
            let noun = if below.has_subcommands() { format!("{noun} {}", below.get_name()) } else { noun.to_owned() };
            places(below, noun.trim(), found);
        }
    }

    #[test]
    fn each_shell_has_its_script() {
        let known: BTreeSet<&str> = Shells::builtins().names().collect();
        assert_eq!(known, BTreeSet::from(SHELLS));
    }

    #[test]
    fn each_place_is_one() {
        command().debug_assert();
        let mut found = BTreeSet::new();
        places(&command(), "", &mut found);
        for (noun, argument, _) in PLACES {
            let is_there = found.iter().any(|(of, id)| id == argument && (noun.is_empty() || of == noun));
            assert!(is_there, "`{noun}` has no argument `{argument}`");
        }
        assert!(!found.iter().any(|(noun, _)| noun.starts_with("engine")), "its repositories are no rows");
    }
}
