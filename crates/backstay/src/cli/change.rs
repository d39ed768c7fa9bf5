//! `backstay change …`.

use backstay_api::types::change::ChangeView;
use backstay_api::types::list::PageQuery;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of the record of changes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List who asked for changes, newest first
    List {
        /// Only rows older than this id
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::List { before, limit } = verb;
    let query = PageQuery { before, limit: Some(limit) };
    let list = look(common, async |client| Ok(client.change_list(&query).await?)).await?;
    let row = |row: &ChangeView| {
        let token = row.token_id.clone().unwrap_or_else(|| "the installation".to_owned());
        vec![row.sequence.to_string(), human::instant(&row.at), row.role.clone(), token, row.operation.clone()]
    };
    let heading = ["number", "at", "role", "token", "asked for"];
    screen.rows(&list, &heading, list.rows.iter().map(row).collect(), "nobody asked for a change yet");
    Ok(Exit::Done)
}
