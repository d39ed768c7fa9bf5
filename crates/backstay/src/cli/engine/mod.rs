//! `backstay engine …`: restic's commands on a repository, in one process and with no server.
//!
//! One file a verb. Options, JSON lines, environment and exit codes are restic's, so that a script that calls restic can
//! call this; words for people are our own. `context` is what all verbs have (repository, lock, interrupt), `output`
//! what they print, `view` how a snapshot is shown, `error` how a failure is told.
//!
//! Absent on purpose: plans, leases, evidence. A first signal raises the interrupt, a second one ends the process.

pub(crate) mod error;
mod args;
mod context;
mod output;
mod progress;
mod view;
mod init;
mod backup;
mod restore;
mod roots;
mod snapshots;
mod ls;
mod cat;
mod find;
mod diff;
mod stats;
mod dump;
mod check;
mod forget;
mod prune;
mod prices;
mod repair;
mod repair_snapshots;
mod rewrite;
mod copy;
mod key;
mod key_rotate;
mod unlock;

use std::time::Duration;

use backstay_engine::Interrupt;

pub(crate) use self::args::Engine;
use self::args::Verb;
use self::context::Context;
use self::output::Output;
use super::error::{CliError, Exit};
use super::screen::{Screen, printed};
use super::signal::Signals;

/// Longest wait, after a signal, for the work to end by itself: a storage that does not answer must not hold the
/// program. A second less the time that the end of the process takes.
const CANCEL_TIME_MAX: Duration = Duration::from_millis(850);

/// Does what a verb says and returns how it went.
pub(crate) async fn run(engine: Engine, screen: &Screen) -> Result<Exit, CliError> {
    let mut signals = Signals::listen();
    let interrupt = Interrupt::default();
    let output = Output::new(*screen, engine.quiet, engine.verbose);
    let context = Context::new(engine.access, engine.locking, output, interrupt.clone());
    let verb = engine.verb;
    let mut work = tokio::task::spawn_blocking(move || dispatch(&context, verb));
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = signals.next() => {
            interrupt.raise();
            output.note("stopping: what was saved stays, and the next run goes on from there (Ctrl-C again to end at once)");
            tokio::select! {
                ended = &mut work => ended,
                () = tokio::time::sleep(CANCEL_TIME_MAX) => end_at_once(output),
                () = signals.next() => end_at_once(output),
            }
        }
    };
    let answer = ended.unwrap_or_else(|error| Err(CliError::new(Exit::Failed, format!("the work broke off: {error}"))));
    // restic has one code for what it could not print.
    let printed = || printed().map_err(|error| error.with(Exit::Failed));
    let answer = answer.and_then(|exit| printed().map(|()| exit));
    Ok(answer.unwrap_or_else(|error| output.failed(&error)))
}

/// Ends the process without waiting for anything: an end at any moment is what the next run is made for.
fn end_at_once(output: Output) -> ! {
    let error = CliError::new(Exit::Interrupted, "ended at once");
    output.failed(
        &error.hint("Run it again: what was saved stays. A lock that was left is seen to be dead by the next run."),
    );
    std::process::exit(Exit::Interrupted as i32);
}

fn dispatch(context: &Context, verb: Verb) -> Result<Exit, CliError> {
    match verb {
        Verb::Init(verb) => init::run(context, &verb),
        Verb::Backup(verb) => backup::run(context, &verb),
        Verb::Restore(verb) => restore::run(context, &verb),
        Verb::Snapshots(verb) => snapshots::run(context, &verb),
        Verb::Ls(verb) => ls::run(context, &verb),
        Verb::Cat(verb) => cat::run(context, &verb),
        Verb::Find(verb) => find::run(context, &verb),
        Verb::Diff(verb) => diff::run(context, &verb),
        Verb::Stats(verb) => stats::run(context, &verb),
        Verb::Dump(verb) => dump::run(context, &verb),
        Verb::Check(verb) => check::run(context, &verb),
        Verb::Forget(verb) => forget::run(context, &verb),
        Verb::Prune(verb) => prune::run(context, &verb),
        Verb::Repair(verb) => repair::run(context, &verb),
        Verb::Rewrite(verb) => rewrite::run(context, &verb),
        Verb::Copy(verb) => copy::run(context, &verb),
        Verb::Key(verb) => key::run(context, &verb),
        Verb::Unlock(verb) => unlock::run(context, &verb),
    }
}
