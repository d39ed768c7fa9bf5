//! `backstay agent …`.

use backstay_agent::Commands;

use super::args::Common;
use super::connect::{client, look};
use super::error::{CliError, Exit};
use super::screen::Screen;
use crate::roles::installation::commands_of;
use backstay_api::Client;
use backstay_api::types::list::PageQuery;

/// What can be asked of agents.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List the agents whose heartbeat is alive
    List,
    /// Do jobs of the server at --server until a signal; BACKSTAY_TOKEN is an agent's token
    Run,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    if matches!(verb, Verb::Run) {
        let Some(url) = &common.server() else {
            return Err(CliError::new(Exit::Input, "an agent needs a server").hint("Name it with --server."));
        };
        let token = common.told().token()?.ok_or_else(|| {
            CliError::new(Exit::Input, "an agent needs a token")
                .hint("`backstay token create NAME --role agent` makes one; put it in BACKSTAY_TOKEN, or in a file that BACKSTAY_TOKEN_FILE names.")
        })?;
        let client = client(common, url, token)?;
        // It would ask again for ever: what only a person can mend is said at once.
        client.certificate_trusted().await?;
        let commands = commands_of(common.told(), Commands::Refused);
        crate::roles::agent::run(&client, commands, screen).await;
        return Ok(Exit::Done);
    }
    let list = look(common, async |client| Ok(client.all(PageQuery::default(), Client::agent_list).await?)).await?;
    let rows = list.rows.iter().map(|row| vec![row.id.clone()]).collect();
    screen.rows(&list, &["id"], rows, "no agent is alive");
    Ok(Exit::Done)
}
