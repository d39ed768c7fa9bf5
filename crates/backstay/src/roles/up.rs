//! Server and agent in one process on 127.0.0.1, until told to end.

use backstay_agent::Commands;

use super::data_dir::DataDir;
use super::door::Door;
use super::installation::{Installation, Ways, WithAgent};
use super::own_database::OwnDatabase;
use super::service::Service;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::cli::screen::Screen;
use crate::cli::server_protect::copied;
use crate::cli::signal::Signals;

/// Runs until a signal. Running jobs are given back to the queue; a second signal ends the process at once.
///
/// # Errors
/// [`CliError`] when it does not start.
pub(crate) async fn run(
    data: &DataDir,
    with_agent: WithAgent,
    commands: Commands,
    (door, ways): (Option<Door>, Ways),
    screen: &Screen,
) -> Result<(), CliError> {
    let (mut signals, service) = (Signals::listen(), Service::of_environment());
    let installation = Installation::start_with(data, with_agent, commands, (door, ways)).await?;
    let place = human::shown(&data.path().display().to_string());
    screen.say(&format!("backstay works in {place} and answers at {}", installation.url));
    if let Some(door) = &installation.door {
        screen.say(&format!("for others it listens at {door}"));
    }
    screen.say("other backstay commands on this machine find it by themselves; Ctrl-C ends it");
    installation.told_to(&service);
    let own = OwnDatabase::of_data_dir(data);
    // Whoever cannot be asked now will be asked by the doctor.
    if matches!(copied(&installation.client, Some(&own)).await, Ok(None)) {
        screen
            .say("nothing backs up this installation's own database: `backstay server protect --repository NAME` does");
    }
    signals.next().await;
    service.stopping();
    screen.say("ending: running jobs go back to the queue (Ctrl-C again to end at once)");
    tokio::select! {
        () = installation.stop() => Ok(()),
        () = signals.next() => {
            let ended = CliError::new(Exit::Interrupted, "ended at once");
            ended.hint("Start it again: jobs that were running go back to the queue then.").print();
            // No waiting for anything: an end at any moment is what the next start is made for.
            std::process::exit(Exit::Interrupted as i32);
        }
    }
}
