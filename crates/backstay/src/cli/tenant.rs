//! `backstay tenant …`.

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;

/// What can be asked of tenants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all tenants
    List,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::List = verb;
    let list = look(common, async |client| Ok(client.tenant_list().await?)).await?;
    let rows = list.rows.iter().map(|row| vec![row.name.clone(), row.id.clone()]).collect();
    screen.rows(&list, &["name", "id"], rows, "there is no tenant yet");
    Ok(Exit::Done)
}
