//! `backstay repository stats`: what a repository holds, as the rows know it; no storage is asked.

use std::collections::BTreeMap;

use backstay_api::Client;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::snapshot::{SnapshotQuery, SnapshotView};
use serde::Serialize;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::named::{self, items_of};
use super::repository::named;
use super::screen::Screen;
use super::snapshots_of::all;

/// What a repository holds.
#[derive(Debug, Serialize)]
struct Stats {
    repository: String,
    /// All of it.
    total: Sum,
    /// For each item, by its name.
    items: Vec<ItemStats>,
    /// Bytes of all snapshots for each byte that their backups wrote; none before anything was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_by_dedup_and_compression: Option<f64>,
}

/// What snapshots come to.
#[derive(Debug, Default, Clone, Serialize)]
struct Sum {
    snapshots: u64,
    /// Files of the newest.
    newest_files: u64,
    /// Bytes of the newest: what a restore of it brings back.
    newest_bytes: u64,
    /// Bytes of all snapshots, as if each stood alone.
    bytes: u64,
    /// Bytes that their backups added, before compression.
    bytes_added: u64,
    /// Bytes that their backups wrote to the storage.
    bytes_stored: u64,
    /// When the newest was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_at: Option<String>,
}

/// What the snapshots of an item come to.
#[derive(Debug, Serialize)]
struct ItemStats {
    item: String,
    /// Names of the plans that put it there.
    plans: Vec<String>,
    #[serde(flatten)]
    sum: Sum,
}

impl Sum {
    /// Adds a snapshot; the newest comes first.
    fn add(&mut self, row: &SnapshotView) {
        if self.snapshots == 0 {
            self.newest_files = row.counts.files;
            self.newest_bytes = row.counts.bytes;
            self.newest_at = Some(row.taken_at.clone());
        }
        self.snapshots += 1;
        self.bytes += row.counts.bytes;
        self.bytes_added += row.counts.bytes_added;
        self.bytes_stored += row.counts.bytes_stored;
    }

    /// Adds what the snapshots of an item come to.
    fn join(&mut self, other: &Self) {
        self.snapshots += other.snapshots;
        self.newest_files += other.newest_files;
        self.newest_bytes += other.newest_bytes;
        self.bytes += other.bytes;
        self.bytes_added += other.bytes_added;
        self.bytes_stored += other.bytes_stored;
        self.newest_at = self.newest_at.take().max(other.newest_at.clone());
    }

    fn cells(&self, name: &str, plans: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            plans.to_owned(),
            human::count(self.snapshots),
            self.newest_at.as_deref().map(human::instant).unwrap_or_default(),
            human::bytes(self.newest_bytes),
            human::bytes(self.bytes),
            human::bytes(self.bytes_stored),
        ]
    }
}

pub(super) async fn run(common: &Common, repository: &str, screen: &Screen) -> Result<Exit, CliError> {
    let stats = look(common, async |client| stats(client, repository).await).await?;
    let rows = stats.items.iter().map(|row| row.sum.cells(&row.item, &row.plans.join(", ")));
    let rows: Vec<_> = rows.chain([stats.total.cells("all", "")]).collect();
    let heading = ["item", "plans", "snapshots", "newest", "size", "all sizes", "written"];
    screen.rows(&stats, &heading, rows, "");
    if let Some(factor) = stats.saved_by_dedup_and_compression {
        screen.say(&format!(
            "\nEach byte that was written holds {factor:.1} bytes of snapshots: the rest was there already, or compressed.\n\
             What backups of forgotten snapshots wrote is not counted, and may still be used."
        ));
    }
    Ok(Exit::Done)
}

async fn stats(client: &Client, repository: &str) -> Result<Stats, CliError> {
    let repository = named(client, repository).await?;
    let plans = plans_by_item(client, &repository.id).await?;
    let query = SnapshotQuery { repository_id: Some(repository.id.clone()), ..SnapshotQuery::default() };
    let mut sums: BTreeMap<(String, String), Sum> = BTreeMap::new();
    for row in all(client, query).await? {
        let name = row.item_name.clone().unwrap_or_else(|| row.item_id.clone());
        sums.entry((name, row.item_id.clone())).or_default().add(&row);
    }
    let mut total = Sum::default();
    sums.values().for_each(|sum| total.join(sum));
    let item = |((item, id), sum)| ItemStats { item, plans: plans.get(&id).cloned().unwrap_or_default(), sum };
    let items = sums.into_iter().map(item).collect();
    let factor = (total.bytes_stored > 0).then(|| total.bytes as f64 / total.bytes_stored as f64);
    Ok(Stats { repository: repository.name, total, items, saved_by_dedup_and_compression: factor })
}

/// Returns the names of the plans that put an item into a repository, by the item's id.
async fn plans_by_item(client: &Client, repository_id: &str) -> Result<BTreeMap<String, Vec<String>>, CliError> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let plans = named::all(client, RetiredQuery::all(), Client::plan_list).await?.rows;
    for plan in plans.into_iter().filter(|plan| plan.repository_id == repository_id) {
        for item in items_of(client, &plan.source_id).await?.rows {
            found.entry(item.id).or_default().push(plan.name.clone());
        }
    }
    Ok(found)
}
