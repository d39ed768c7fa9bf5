//! `--watch`: the same answer again, until somebody interrupts it.
//!
//! The verb is run anew each time, with a client that changes nothing. On a terminal each answer takes the place of the one
//! before; elsewhere one follows the other, and with `--json` there is a value for each. What goes wrong at first ends it;
//! what goes wrong later is shown, and the next answer may be good again.

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use clap::Parser as _;
use jiff::Zoned;
use tokio::time::sleep;

use super::args::{Args, Noun};
use super::connect::running;
use super::error::{CliError, Exit};
use super::human;
use super::screen::{Screen, hold, is_alone, printed, released};
use super::signal::Signals;
use super::{dispatch, told};

/// Puts the cursor in the first corner and clears what is there.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Runs a verb again and again; [`Exit::Done`] when it was interrupted.
///
/// # Errors
/// [`CliError`]: the verb is not one that only looks, or its first answer is an error.
pub(super) async fn run(first: Args, every: Duration, screen: &Screen) -> Result<Exit, CliError> {
    if !repeats(&first.noun) {
        let error = CliError::new(Exit::Input, "this verb has no answer that could be shown again");
        return Err(error.hint("--watch is for verbs that ask a server: `backstay job list --watch`."));
    }
    let mut signals = Signals::listen();
    let (mut args, mut is_first) = (Some(first), true);
    loop {
        hold();
        let ended = tokio::select! {
            ended = once(args.take(), screen) => ended,
            () = signals.next() => Ok(Exit::Interrupted),
        };
        let answer = released();
        match ended {
            Ok(Exit::Interrupted) => return Ok(Exit::Done),
            Ok(_) => show(&answer, is_first, screen),
            Err(error) if is_first => return Err(error),
            // No half of an answer, and nothing but answers where a program reads them.
            Err(error) if screen.json() => drop(error.print()),
            Err(error) => show(&human::shown(&error.line()), is_first, screen),
        }
        printed()?;
        if is_alone() {
            return Ok(Exit::Done);
        }
        is_first = false;
        tokio::select! {
            () = sleep(every) => {}
            () = signals.next() => return Ok(Exit::Done),
        }
    }
}

/// Makes one look. Without a server nothing changes that could be watched, and a server is not started for each look.
async fn once(args: Option<Args>, screen: &Screen) -> Result<Exit, CliError> {
    let args = match args {
        Some(args) => args,
        // A verb uses its arguments up; files may say something else by now.
        None => {
            let mut args = Args::parse();
            told(&mut args)?;
            args
        }
    };
    if running(&args.common).is_none() {
        let error = CliError::new(Exit::NotFound, "no server runs here whose answers could be watched");
        return Err(error.hint("Start one with `backstay up`, or name one with --server."));
    }
    dispatch(args, screen).await
}

/// Shows an answer: in the place of the one before on a terminal, after it elsewhere.
fn show(answer: &str, is_first: bool, screen: &Screen) {
    let answer = answer.trim_end_matches('\n');
    if screen.json() {
        return screen.line(answer);
    }
    let at = Zoned::now().strftime("%H:%M:%S").to_string();
    if stdout().is_terminal() {
        screen.line(&format!("{CLEAR}{at}\n\n{answer}"));
    } else {
        let space = if is_first { "" } else { "\n" };
        screen.line(&format!("{space}{at}\n{answer}"));
    }
}

/// Says whether a verb's answer can be shown again: verbs that ask a server, and not those that start something, or write
/// files.
const fn repeats(noun: &Noun) -> bool {
    !matches!(
        noun,
        Noun::Quickstart(_)
            | Noun::Recover(_)
            | Noun::Up(_)
            | Noun::Install(_)
            | Noun::Completion(_)
            | Noun::Man(_)
            | Noun::SupportBundle(_)
            | Noun::Recovery(_)
            | Noun::Server(_)
            | Noun::Apply(_)
            | Noun::Export(_)
            | Noun::Import(_)
            | Noun::Config(_)
            | Noun::Agent(super::agent::Verb::Run)
            | Noun::Snapshot(super::snapshot::Verb::Cat(_))
            | Noun::Event(super::event::Verb::Follow { .. })
            | Noun::Job(super::job::Verb::Watch { .. })
            | Noun::Call(_)
            | Noun::Engine(_)
    )
}
