//! An agent by itself: it leases from a server elsewhere, by HTTP and with an agent's token, until told to end.

use std::sync::Arc;

use backstay_agent::Commands;
use backstay_api::{Client, JobsClient};
use backstay_core::domain::id::AgentId;
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::random::ten_bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::installation::agent_options;
use super::system::{SystemClock, SystemRandom};
use crate::cli::screen::Screen;
use crate::cli::signal::Signals;

/// Works until a signal. Running jobs are given back to the queue; a server that does not answer is asked again.
pub(crate) async fn run(client: &Client, commands: Commands, screen: &Screen) {
    let mut signals = Signals::listen();
    let id = AgentId::new(SystemClock.now(), ten_bytes(&SystemRandom));
    let end = CancellationToken::new();
    let jobs = Arc::new(JobsClient::new(&client.tracing(backstay_trace::current)));
    let working =
        tokio::spawn(backstay_agent::run(jobs, agent_options(id, commands, Arc::new(Notify::new())), end.clone()));
    screen.say(&format!("agent {id} works for {}", client.server()));
    signals.next().await;
    screen.say("ending: running jobs go back to the queue");
    end.cancel();
    // It ends by itself; a second signal ends the process.
    let _ = working.await;
}
