//! `backstay item …`.

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;
use super::show::show;

/// What can be asked of items.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show one item
    Show {
        /// The item's id
        id: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::Show { id } = verb;
    show(screen, &look(common, async |client| Ok(client.item_show(&id).await?)).await?);
    Ok(Exit::Done)
}
