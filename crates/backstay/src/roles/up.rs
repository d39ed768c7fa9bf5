//! Server and agent in one process on 127.0.0.1, until told to end.

use super::data_dir::DataDir;
use super::installation::{Installation, WithAgent};
use crate::cli::error::CliError;
use crate::cli::screen::Screen;
use crate::cli::signal::Signals;

/// Runs until a signal. Running jobs are given back to the queue.
///
/// # Errors
/// [`CliError`] when it does not start.
pub(crate) async fn run(data: &DataDir, screen: &Screen) -> Result<(), CliError> {
    let mut signals = Signals::listen();
    let installation = Installation::start(data, WithAgent::Yes).await?;
    screen.say(&format!("backstay works in {} and answers at {}", data.path().display(), installation.url));
    screen.say("other backstay commands on this machine find it by themselves; Ctrl-C ends it");
    signals.next().await;
    screen.say("ending: running jobs go back to the queue");
    installation.stop().await;
    Ok(())
}
