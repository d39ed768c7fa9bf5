//! The command line: what a person types, and what comes back.
//!
//! One file a noun. A verb takes its arguments, makes one call of the API's client, and prints rows or JSON. Whatever goes
//! wrong folds into one error with a heading, its causes, a hint and an exit code (`error`). `engine` alone speaks to no
//! server: its verbs work on a repository in this process.

pub(crate) mod error;
pub(crate) mod paper;
pub(crate) mod screen;
pub(crate) mod signal;
pub(crate) mod human;
pub(crate) mod watch;
mod args;
mod again;
pub(crate) mod named;
mod connect;
mod quickstart;
mod up;
mod database;
mod install;
mod completion;
mod candidates;
mod man;
mod doctor;
mod support_bundle;
mod recover;
mod recovery;
mod server;
pub(crate) mod server_protect;
mod apply;
mod import;
mod declared;
mod step;
mod config;
mod tenant;
mod tenant_purge;
mod kinds;
mod maintenance;
mod repository;
mod repository_verify;
mod repository_proof;
mod repository_prune;
mod repository_stats;
mod storage;
mod probe;
mod source;
mod plan;
mod plan_next;
mod said;
mod template;
mod monitor;
pub(crate) mod job;
mod job_set;
mod job_watch;
mod job_follow;
mod snapshot;
mod snapshots_of;
mod snapshot_find;
mod restore_preview;
mod snapshot_cat;
mod snapshot_forget;
mod snapshot_diff;
mod evidence;
mod event;
mod item;
mod secret;
mod token;
mod channel;
mod alert;
mod digest;
mod agent;
mod change;
mod caps;
mod explain;
mod quota;
mod retire;
mod call;
mod show;
pub(crate) mod engine;
#[cfg(test)]
mod reference;

use std::process::ExitCode;
use std::time::Duration;

use backstay_api::endpoint::endpoint;
use clap::Parser;

use self::args::{Args, Noun};
use self::error::{CliError, Exit};
use self::screen::Screen;
use crate::roles::telemetry::{self, Traced};

/// Longest wait for threads that are in a call of the system: a read of a disk that does not answer must not hold the
/// program.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// Parses the command line, does what it says, and returns how it went.
pub(crate) fn run() -> ExitCode {
    if completion::answered() {
        return Exit::Done.into();
    }
    let mut args = Args::parse();
    if let Err(error) = told(&mut args) {
        return error.print();
    }
    let traced = match &args.noun {
        Noun::Quickstart(_) | Noun::Up(_) | Noun::Server(_) | Noun::Agent(agent::Verb::Run) => Traced::Yes,
        _ => Traced::No,
    };
    let traces = telemetry::start(traced, args.common.log().as_deref());
    let screen = Screen::new(args.json);
    let is_engine = matches!(args.noun, Noun::Engine(_));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return CliError::new(Exit::Failed, format!("the system gives no threads: {error}")).print();
        }
    };
    let ended = runtime.block_on(async {
        match args.common.watch() {
            Some(every) => again::run(args, every, &screen).await,
            None => dispatch(args, &screen).await,
        }
    });
    // `engine` looks itself, and says it as restic does.
    let printed = || if is_engine { Ok(()) } else { screen::printed() };
    let exit = match ended.and_then(|exit| printed().map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(error) => error.print(),
    };
    runtime.shutdown_timeout(END_TIME_MAX);
    drop(traces);
    exit
}

/// Takes in files, environment and options. Who works on repositories alone asks none of them; who judges files judges them
/// whatever is in them.
fn told(args: &mut Args) -> Result<(), CliError> {
    let typed = match &args.noun {
        Noun::Engine(_) => return Ok(()),
        Noun::Config(config::Verb::Init { .. } | config::Verb::Schema) | Noun::Install(_) => return Ok(()),
        Noun::Import(_) => return Ok(()),
        Noun::Completion(_) | Noun::Man(_) => return Ok(()),
        Noun::Server(server) => server.typed(),
        Noun::Up(up) => up.typed(),
        _ => Vec::new(),
    };
    args.common.load(typed)?;
    if matches!(args.noun, Noun::Config(_)) {
        return Ok(());
    }
    let screen = Screen::new(args.json);
    let mut judged = Ok(());
    for (paper, mistakes) in &args.common.told().mistakes {
        judged = Err(paper.refuse(mistakes, &screen));
    }
    judged
}

async fn dispatch(args: Args, screen: &Screen) -> Result<Exit, CliError> {
    let common = args.common;
    let muted = screen.muted();
    let (shown_on, screen) = (screen, if common.shows() { &muted } else { screen });
    let ended = match args.noun {
        Noun::Quickstart(verb) => quickstart::run(&common, verb, screen).await,
        Noun::Recover(verb) => recover::run(&common, verb, screen).await,
        Noun::Up(_) => up::run(&common, screen).await,
        Noun::Install(verb) => install::run(&verb, screen),
        Noun::Completion(verb) => completion::run(&verb, screen),
        Noun::Man(verb) => man::run(&verb, screen),
        Noun::Doctor => doctor::run(&common, screen).await,
        Noun::SupportBundle(verb) => support_bundle::run(&common, verb, screen).await,
        Noun::Recovery(verb) => recovery::run(&common, verb, screen).await,
        Noun::Server(verb) => server::run(&common, verb, screen).await,
        Noun::Apply(verb) => apply::apply(&common, verb, screen).await,
        Noun::Export(verb) => apply::export(&common, verb, screen).await,
        Noun::Import(verb) => import::run(&verb, screen),
        Noun::Config(verb) => config::run(&common, verb, screen).await,
        Noun::Tenant(verb) => tenant::run(&common, verb, screen).await,
        Noun::Kinds(verb) => kinds::run(&common, verb, screen).await,
        Noun::Repository(verb) => repository::run(&common, verb, screen).await,
        Noun::Storage(verb) => storage::run(&common, verb, screen).await,
        Noun::Source(verb) => source::run(&common, verb, screen).await,
        Noun::Plan(verb) => plan::run(&common, verb, screen).await,
        Noun::Monitor(verb) => monitor::run(&common, verb, screen).await,
        Noun::Template(verb) => template::run(&common, verb, screen).await,
        Noun::Maintenance(verb) => maintenance::run(&common, verb, screen).await,
        Noun::Job(verb) => job::run(&common, verb, screen).await,
        Noun::Snapshot(verb) => snapshot::run(&common, verb, screen).await,
        Noun::Evidence(verb) => evidence::run(&common, verb, screen).await,
        Noun::Event(verb) => event::run(&common, verb, screen).await,
        Noun::Item(verb) => item::run(&common, verb, screen).await,
        Noun::Secret(verb) => secret::run(&common, verb, screen).await,
        Noun::Token(verb) => token::run(&common, verb, screen).await,
        Noun::Channel(verb) => channel::run(&common, verb, screen).await,
        Noun::Alert(verb) => alert::run(&common, verb, screen).await,
        Noun::Digest(verb) => digest::run(&common, verb, screen).await,
        Noun::Agent(verb) => agent::run(&common, verb, screen).await,
        Noun::Quota(verb) => quota::run(&common, verb, screen).await,
        Noun::Change(verb) => change::run(&common, verb, screen).await,
        Noun::Caps(verb) => caps::run(&common, verb, screen).await,
        Noun::Call(verb) => call::run(&common, verb, screen).await,
        Noun::Engine(verb) => engine::run(verb, screen).await,
    };
    if !common.shows() {
        return ended;
    }
    call::print(&common, shown_on);
    match ended {
        // Shown instead of made: that is what was asked for.
        Err(_) if common.shown().is_some_and(|call| !endpoint(call.operation).only_looks()) => Ok(Exit::Done),
        ended => ended,
    }
}

#[cfg(test)]
mod tests {
    use backstay_api::ENDPOINTS;
    use clap::CommandFactory;

    use super::args::Args;

    #[test]
    fn each_endpoint_has_its_verb() {
        let command = Args::command();
        for row in ENDPOINTS.iter().filter(|row| !row.verb.is_empty()) {
            let found = row.verb.split(' ').try_fold(&command, |at, word| at.find_subcommand(word));
            assert!(found.is_some(), "there is no `backstay {}` for {}", row.verb, row.name);
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
