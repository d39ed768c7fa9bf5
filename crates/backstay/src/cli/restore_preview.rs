//! `backstay snapshot restore --dry-run`: what would be brought back and where to, without asking for it.
//!
//! Absent on purpose: how each file would meet what is there. The agent decides that when it writes.

use std::path::Path;

use backstay_api::Client;
use backstay_api::types::snapshot::{EntryQuery, EntryView, SnapshotRestore, SnapshotView};
use backstay_core::domain::job::Reconciliation;
use serde::Serialize;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::snapshot::{entry_row, find};

/// What would be brought back.
#[derive(Debug, Serialize)]
struct Preview<'a> {
    dry_run: bool,
    snapshot: SnapshotView,
    restore: &'a SnapshotRestore,
    /// What lies in the folder that is brought back.
    entries: Vec<EntryView>,
}

/// Says what a restore would bring back.
///
/// # Errors
/// What the restore would be refused for, as far as it can be seen from here.
pub(super) async fn run(
    common: &Common,
    snapshot: &str,
    body: &SnapshotRestore,
    screen: &Screen,
) -> Result<Exit, CliError> {
    let terms = body.terms().map_err(|error| CliError::new(Exit::Input, error.to_string()))?;
    // Where a server elsewhere is asked, the folder is on the machine of its agent.
    if let Some(target) = body.target_path.as_deref().filter(|_| common.own_data_dir().is_some())
        && terms.reconciliation == Reconciliation::Fail
    {
        must_be_empty(Path::new(target))?;
    }
    let (view, entries) = look(common, async |client| {
        let id = find(client, snapshot).await?;
        let query = EntryQuery::of(body.path.as_deref().unwrap_or("/"));
        let list = async |client: &Client, query: &EntryQuery| client.snapshot_entries(&id, query).await;
        Ok((client.snapshot_show(&id).await?, client.all(query, list).await?.rows))
    })
    .await?;
    let rows = entries.iter().map(entry_row).collect();
    let said = words(&view, body);
    let preview = Preview { dry_run: true, snapshot: view, restore: body, entries };
    screen.rows(&preview, &["mode", "size", "modified", "name"], rows, "the folder is empty");
    screen.say(&said);
    Ok(Exit::Done)
}

fn must_be_empty(target: &Path) -> Result<(), CliError> {
    let is_filled = std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some());
    match is_filled {
        false => Ok(()),
        true => Err(CliError::new(Exit::Failed, format!("{} is not empty", target.display()))
            .hint("Empty the target, or name another one; --reconciliation says how a restore meets what is there.")),
    }
}

/// Says it in a sentence or two.
fn words(snapshot: &SnapshotView, body: &SnapshotRestore) -> String {
    let item = snapshot.item_name.as_deref().unwrap_or(&snapshot.item_id);
    let to = body.target_path.as_deref().unwrap_or("its source");
    let files = format!("{} files, {}", human::count(snapshot.counts.files), human::bytes(snapshot.counts.bytes));
    let part = match (&body.path, body.include.is_empty() && body.exclude.is_empty()) {
        (None, true) => "all of it",
        (Some(_), true) => "this folder of it",
        (_, false) => "what the patterns take of it",
    };
    let taken = human::instant(&snapshot.taken_at);
    let text = format!("the snapshot of {item}, {taken}, has {files}: {part} would go to {to}; nothing was done");
    human::shown(&text)
}
