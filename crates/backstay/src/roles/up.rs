//! Server and agent in one process on 127.0.0.1, until told to end.

use backstay_agent::Commands;

use super::door::Door;
use super::home::Home;
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
    home: &Home,
    with_agent: WithAgent,
    commands: Commands,
    (door, ways): (Option<Door>, Ways),
    screen: &Screen,
) -> Result<(), CliError> {
    let (mut signals, service) = (Signals::listen(), Service::of_environment());
    let missing = home.rows_missing();
    let installation = Installation::start_to_stay(home, with_agent, commands, (door, ways)).await?;
    let place = human::shown(&home.data.path().display().to_string());
    screen.say(&format!("backstay works in {place} and answers at {}", installation.url));
    if let Some(missing) = missing {
        screen.say(&missing);
    }
    if let Some(remote) = &home.remote {
        screen.say(&format!("its rows lie in {}", human::shown(&remote.url.shown())));
        if let Some(left) = home.rows_left() {
            screen.say(&left);
        }
    }
    if let Some(port) = installation.taken {
        screen.say(&format!(
            "port {port}, which it had before, is another program's: until the next start, pings are heard here only"
        ));
    }
    if let Some(door) = &installation.door {
        screen.say(&format!("for others it listens at {door}"));
    }
    screen.say("other backstay commands on this machine find it by themselves; Ctrl-C ends it");
    installation.told_to(&service);
    let own = OwnDatabase::of_home(home);
    // Whoever cannot be asked now will be asked by the doctor.
    if matches!(copied(&installation.client, own.as_ref()).await, Ok(None)) {
        let verb = if home.has_password() { "protect --password-file FILE" } else { "protect" };
        screen.say(&format!(
            "nothing backs up this installation's own database: `backstay server {verb} --repository NAME` does"
        ));
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
