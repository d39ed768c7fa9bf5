//! `backstay event …`.

use backstay_api::types::event::EventQuery;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use crate::roles::quickstart::TENANT;

/// What can be asked of events.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List a tenant's events, oldest first
    List {
        /// Whose
        #[arg(long, default_value = TENANT)]
        tenant: String,
        /// Only from this number on
        #[arg(long, default_value_t = 1)]
        from: i64,
        /// Most rows
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::List { tenant, from, limit } = verb;
    let query = EventQuery { tenant: Some(tenant), from_sequence: Some(from), limit: Some(limit) };
    let list = look(common, async |client| Ok(client.event_list(&query).await?)).await?;
    let row = |row: &backstay_api::types::event::EventView| {
        vec![row.sequence.to_string(), human::instant(&row.at), row.kind.clone(), row.message.clone()]
    };
    screen.rows(
        &list,
        &["number", "at", "kind", "what happened"],
        list.rows.iter().map(row).collect(),
        "there is no event yet",
    );
    Ok(Exit::Done)
}
