//! `backstay agent …`.

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;

/// What can be asked of agents.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List the agents whose heartbeat is alive
    List,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::List = verb;
    let list = look(common, async |client| Ok(client.agent_list().await?)).await?;
    let rows = list.rows.iter().map(|row| vec![row.id.clone()]).collect();
    screen.rows(&list, &["id"], rows, "no agent is alive");
    Ok(Exit::Done)
}
