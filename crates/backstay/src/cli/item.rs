//! `backstay item …`.

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::explain::{self, Zone};
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
    /// Say how old an item's newest good snapshot is, and what is to be expected
    Explain {
        /// The item's id
        id: String,
        #[command(flatten)]
        zone: Zone,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::Show { id } => show(screen, &look(common, async |client| Ok(client.item_show(&id).await?)).await?),
        Verb::Explain { id, zone } => {
            let said = look(common, async |client| Ok(client.item_explain(&id, &zone.query()).await?)).await?;
            explain::show(screen, &said);
        }
    }
    Ok(Exit::Done)
}
