//! `backstay snapshot forget`: snapshots that a person wants gone, and what comes of each.

use backstay_api::Client;
use backstay_api::types::explain::SnapshotExplainQuery;
use backstay_api::types::list::Rows;
use backstay_api::types::snapshot::SnapshotView;
use serde::Serialize;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::snapshot::find;
use super::snapshots_of::{Whose, of};

/// Which snapshots go.
#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    /// The snapshots' ids, the beginnings of their restic ids, or `latest:ITEM`
    #[arg(required_unless_present_any = ["plan", "item"], conflicts_with_all = ["plan", "item"])]
    snapshots: Vec<String>,
    #[command(flatten)]
    whose: Whose,
    /// Do it: asked for with --plan and --item, which mean all snapshots of these
    #[arg(long)]
    yes: bool,
    /// Only say what would become of each, and what keeps it; nothing is done
    #[arg(long)]
    dry_run: bool,
}

/// A snapshot that is unwanted, with what comes of it.
#[derive(Debug, Serialize)]
struct Fate {
    #[serde(flatten)]
    snapshot: SnapshotView,
    /// Whether something keeps it all the same.
    is_kept: bool,
    /// What does.
    reasons: Vec<String>,
}

const HEADING: &[&str] = &["taken", "item", "restic id", "", "why", "id"];

pub(super) async fn run(common: &Common, verb: &Forget, screen: &Screen) -> Result<Exit, CliError> {
    if verb.dry_run {
        let list = Rows { rows: look(common, async |client| preview(client, verb).await).await?, next_before: None };
        let rows = list.rows.iter().map(row).collect();
        screen.rows(&list, HEADING, rows, "there is no such snapshot");
        screen.say("nothing was done: this is what would become of them");
        return Ok(Exit::Done);
    }
    if verb.snapshots.is_empty() && !verb.yes {
        let message = "nothing was done: forgetting all snapshots of a plan or an item asks for --yes. The next prune of \
                       their repository takes them away for good";
        return Err(CliError::new(Exit::Input, message).hint("`backstay snapshot list` shows them."));
    }
    let fates = look(common, async |client| {
        let mut fates = Vec::new();
        for id in ids(client, verb).await? {
            let snapshot = client.snapshot_forget(&id).await?;
            let said = client.snapshot_explain(&id, &SnapshotExplainQuery::default()).await?;
            fates.push(Fate { snapshot, is_kept: said.is_kept.unwrap_or(true), reasons: said.reasons });
        }
        Ok(fates)
    })
    .await?;
    let list = Rows { rows: fates, next_before: None };
    let rows = list.rows.iter().map(row).collect();
    screen.rows(&list, HEADING, rows, "there is no such snapshot");
    if !screen.json() && list.rows.iter().any(|fate| !fate.is_kept) {
        screen.line("What goes, goes with the next prune: `backstay repository prune NAME` does it now.");
    }
    if !screen.json() && list.rows.iter().any(|fate| fate.is_kept) {
        screen.line("What stays goes with a later prune, once nothing of this keeps it any more.");
    }
    if !screen.json() && !list.rows.is_empty() {
        screen.line("`backstay snapshot keep ID` takes it back until then.");
    }
    Ok(Exit::Done)
}

/// Asks what would become of the snapshots that are meant, if all of them were to go.
async fn preview(client: &Client, verb: &Forget) -> Result<Vec<Fate>, CliError> {
    let ids = ids(client, verb).await?;
    // Of an item or a plan all are meant that an item has in a repository: a list of them could be long.
    let wish = if verb.snapshots.is_empty() { "all".to_owned() } else { ids.join(",") };
    let query = SnapshotExplainQuery { zone: None, if_forgotten: Some(wish) };
    let mut fates = Vec::with_capacity(ids.len());
    for id in ids {
        let snapshot = client.snapshot_show(&id).await?;
        let said = client.snapshot_explain(&id, &query).await?;
        fates.push(Fate { snapshot, is_kept: said.is_kept.unwrap_or(true), reasons: said.reasons });
    }
    Ok(fates)
}

/// Returns the ids of the snapshots that are meant.
async fn ids(client: &Client, verb: &Forget) -> Result<Vec<String>, CliError> {
    if verb.snapshots.is_empty() {
        return Ok(of(client, &verb.whose).await?.into_iter().map(|row| row.id).collect());
    }
    let mut ids = Vec::new();
    for given in &verb.snapshots {
        ids.push(find(client, given).await?);
    }
    Ok(ids)
}

fn row(fate: &Fate) -> Vec<String> {
    let view = &fate.snapshot;
    let (what, why) = match fate.is_kept {
        true => ("stays", fate.reasons.join("; ")),
        false => ("goes", "a person wants it forgotten".to_owned()),
    };
    vec![
        human::instant(&view.taken_at),
        view.item_name.clone().unwrap_or_else(|| view.item_id.clone()),
        view.foreign_id.chars().take(8).collect(),
        what.to_owned(),
        why,
        view.id.clone(),
    ]
}
