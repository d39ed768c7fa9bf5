//! `backstay repository prune`: asks for a prune and waits for its end, or says what one would forget now.
//!
//! What goes is decided when a prune has its repository alone (decision 0020): a look at it is of this moment.

use std::collections::{BTreeMap, BTreeSet};

use backstay_api::Client;
use backstay_api::types::explain::SnapshotExplainQuery;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::repository::RepositoryView;
use backstay_api::types::snapshot::{SnapshotQuery, SnapshotView};
use serde::Serialize;

use super::args::Common;
use super::connect::{Connection, look};
use super::error::{CliError, Exit};
use super::job::exit_of;
use super::plan::retention_of;
use super::repository::named;
use super::screen::Screen;
use super::snapshots_of::all;
use super::watch::{Watch, watch_job};
use super::{human, named};
use crate::roles::installation::WithAgent;

/// Which repository is pruned.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// The repository's name or id
    repository: String,
    /// Only say which snapshots would go, as things are now; nothing is asked for
    #[arg(long)]
    dry_run: bool,
}

/// What a prune would do to snapshots.
#[derive(Debug, Serialize)]
struct Preview {
    repository: String,
    dry_run: bool,
    /// Those that go, newest first.
    goes: Vec<SnapshotView>,
    /// How many stay.
    stays: usize,
}

pub(super) async fn run(common: &Common, verb: &Prune, screen: &Screen) -> Result<Exit, CliError> {
    if verb.dry_run {
        let preview = look(common, async |client| {
            let found = named(client, &verb.repository).await?;
            preview(client, &found).await
        });
        show(&preview.await?, screen);
        return Ok(Exit::Done);
    }
    let connection = Connection::open(common, WithAgent::Yes).await?;
    let answer = prune(&connection.client, &verb.repository, screen).await;
    connection.close().await;
    answer
}

async fn prune(client: &Client, repository: &str, screen: &Screen) -> Result<Exit, CliError> {
    let found = named(client, repository).await?;
    let job_id = client.repository_prune(&found.id).await?.job_id;
    let mut watch = Watch::new(screen);
    let detail = watch_job(client, &job_id, &format!("pruning {}", found.name), &mut watch).await?;
    super::job::show(screen, &detail);
    Ok(exit_of(&detail.job))
}

/// Asks of each snapshot what the plans of its source say, and of those that no plan speaks of what a person said.
async fn preview(client: &Client, repository: &RepositoryView) -> Result<Preview, CliError> {
    let plans = named::all(client, RetiredQuery::all(), Client::plan_list).await?.rows;
    // All plans of a source say the same of its snapshots: together.
    let (mut said, mut asked) = (BTreeMap::new(), BTreeSet::new());
    for plan in plans.iter().filter(|plan| plan.repository_id == repository.id) {
        if asked.insert(&plan.source_id) {
            let items = retention_of(client, &plan.id).await?.rows;
            let verdicts = items.into_iter().flat_map(|item| item.snapshots);
            said.extend(verdicts.map(|verdict| (verdict.snapshot_id, verdict.is_kept)));
        }
    }
    let query = SnapshotQuery { repository_id: Some(repository.id.clone()), ..SnapshotQuery::default() };
    let (mut goes, mut stays) = (Vec::new(), 0);
    for row in all(client, query).await? {
        let is_kept = match said.get(&row.id) {
            Some(is_kept) => *is_kept,
            None if row.unwanted_at.is_none() => true,
            None => client.snapshot_explain(&row.id, &SnapshotExplainQuery::default()).await?.is_kept.unwrap_or(true),
        };
        if is_kept { stays += 1 } else { goes.push(row) }
    }
    Ok(Preview { repository: repository.name.clone(), dry_run: true, goes, stays })
}

fn show(preview: &Preview, screen: &Screen) {
    let row = |row: &SnapshotView| {
        let why = if row.unwanted_at.is_some() { "a person wants it forgotten" } else { "no rule keeps it" };
        vec![
            human::instant(&row.taken_at),
            row.item_name.clone().unwrap_or_default(),
            row.foreign_id.chars().take(8).collect(),
            why.to_owned(),
            row.id.clone(),
        ]
    };
    let rows = preview.goes.iter().map(row).collect();
    screen.rows(preview, &["taken", "item", "restic id", "why it goes", "id"], rows, "no snapshot would go");
    screen.say(&format!(
        "{} would go and {} stay, as things are now; data that nothing refers to goes too. Nothing was done",
        preview.goes.len(),
        preview.stays
    ));
}
