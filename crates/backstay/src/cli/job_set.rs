//! `backstay job set …`.

use backstay_api::types::job_set::{JobSetDetail, JobSetMember, JobSetView};
use backstay_api::types::list::PageQuery;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of job sets.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List job sets, newest first
    List {
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one job set: its members, whether it is complete, and what is missing
    Show {
        /// The set's id
        id: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { limit } => {
            let query = PageQuery { before: None, limit: Some(limit) };
            let list = look(common, async |client| Ok(client.job_set_list(&query).await?)).await?;
            let row = |row: &JobSetView| {
                vec![row.name.clone(), row.wanted.to_string(), human::instant(&row.created_at), row.id.clone()]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "wanted", "asked", "id"], rows, "there is no job set yet");
        }
        Verb::Show { id } => {
            let detail = look(common, async |client| Ok(client.job_set_show(&id).await?)).await?;
            show(screen, &detail);
        }
    }
    Ok(Exit::Done)
}

fn show(screen: &Screen, detail: &JobSetDetail) {
    if screen.json() {
        return screen.value(detail);
    }
    let when = |at: &Option<String>| at.as_deref().map(human::instant).unwrap_or_default();
    let row = |row: &JobSetMember| {
        let state = match &row.outcome {
            Some(outcome) if outcome != "complete" => format!("{} ({outcome})", row.state),
            _ => row.state.clone(),
        };
        let item = row.item_name.clone().unwrap_or_default();
        vec![item, state, when(&row.began_at), when(&row.finished_at), row.job_id.clone()]
    };
    let rows = detail.members.iter().map(row).collect();
    screen.rows(detail, &["item", "state", "began", "ended", "job"], rows, "the set has no member");
    let of = format!("{} of {}", detail.members.len(), detail.set.wanted);
    screen.line(&format!("\n{}: {of} members", if detail.complete { "complete" } else { "not complete" }));
    detail.missing.iter().for_each(|missing| screen.line(&format!("  {}", human::shown(missing))));
}
