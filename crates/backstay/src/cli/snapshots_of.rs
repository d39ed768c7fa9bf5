//! Which snapshots a verb means that takes several: all of a plan, an item or a repository, or the newest of each item.

use std::collections::BTreeSet;

use backstay_api::types::list::{ByName, RetiredQuery};
use backstay_api::types::snapshot::{SnapshotQuery, SnapshotView};
use backstay_api::{Client, ClientError};

use backstay_core::domain::id::PlanId;

use super::error::CliError;
use super::named::{self, called, items_of, one};

/// Whose snapshots are meant; all when nothing is said.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Whose {
    /// Only snapshots of this plan: its name or id
    #[arg(long)]
    plan: Option<String>,
    /// Only snapshots of this item: its name or id
    #[arg(long)]
    item: Option<String>,
}

/// Returns all snapshots that a query names and that are not forgotten, newest first.
pub(super) async fn all(client: &Client, query: SnapshotQuery) -> Result<Vec<SnapshotView>, ClientError> {
    Ok(client.all(query, Client::snapshot_list).await?.rows)
}

/// Returns the snapshots that are meant, newest first.
pub(super) async fn of(client: &Client, whose: &Whose) -> Result<Vec<SnapshotView>, CliError> {
    let (mut query, mut items) = (SnapshotQuery::default(), None);
    if let Some(plan) = &whose.plan {
        let plans = match plan.parse::<PlanId>() {
            Ok(_) => named::by_id(client, plan, Client::plan_show).await?.into_iter().collect(),
            Err(_) => {
                let query = RetiredQuery { retired: true, ..RetiredQuery::by_name(plan) };
                called(client, plan, query, Client::plan_list).await?
            }
        };
        // One that lives answers to its name; of those that were retired, the only one of that name.
        let lives = plans.iter().any(|row| row.retired_at.is_none() && row.name == *plan);
        let found =
            one("plan", plan, plans, |row| (&row.id, (row.retired_at.is_none() || !lives).then_some(&*row.name)))?;
        query.repository_id = Some(found.repository_id);
        let rows = items_of(client, &found.source_id).await?.rows;
        items = Some(rows.into_iter().map(|row| row.id).collect::<BTreeSet<_>>());
    }
    let is_meant = |row: &SnapshotView| {
        let of_item = |item: &String| row.item_id == *item || row.item_name.as_ref() == Some(item);
        items.as_ref().is_none_or(|items| items.contains(&row.item_id)) && whose.item.as_ref().is_none_or(of_item)
    };
    let mut rows = all(client, query).await?;
    rows.retain(is_meant);
    Ok(rows)
}

/// Keeps the newest snapshot of each item in each repository; the rows are newest first.
pub(super) fn newest(rows: Vec<SnapshotView>) -> Vec<SnapshotView> {
    let mut seen = BTreeSet::new();
    rows.into_iter().filter(|row| seen.insert((row.item_id.clone(), row.repository_id.clone()))).collect()
}
