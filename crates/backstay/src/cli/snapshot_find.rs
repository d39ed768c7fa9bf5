//! `backstay snapshot find`: where a file lies in snapshots, and how it was then.

use backstay_api::Client;
use backstay_api::types::snapshot::{EntryView, FindQuery, FoundEntryView, SnapshotView};
use serde::Serialize;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::snapshot::{entry_row, find as snapshot_id};
use super::snapshots_of::{Whose, newest, of};

/// Rows of one call: as many as the server gives.
const PAGE_ROWS: u32 = 500;

/// What is looked for, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Find {
    /// A pattern such as *.conf, hosts or /etc/hosts
    pattern: String,
    /// Only in this snapshot: its id, or the beginning of its restic id
    #[arg(long, conflicts_with_all = ["plan", "item", "all"])]
    snapshot: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// In every snapshot, newest first, instead of the newest one of each item
    #[arg(long)]
    all: bool,
    /// Most rows
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// What was found in a snapshot.
#[derive(Debug, Serialize)]
struct Found {
    snapshot_id: String,
    foreign_id: String,
    item_name: Option<String>,
    taken_at: String,
    rows: Vec<FoundEntryView>,
    unreadable: Vec<String>,
}

/// What was found in all of them.
#[derive(Debug, Default, Serialize)]
struct All {
    looked_into: usize,
    snapshots: Vec<Found>,
    has_more: bool,
}

pub(super) async fn run(common: &Common, verb: &Find, screen: &Screen) -> Result<Exit, CliError> {
    let all = look(common, async |client| {
        let snapshots = match &verb.snapshot {
            Some(given) => vec![client.snapshot_show(&snapshot_id(client, given).await?).await?],
            None if verb.all => of(client, &verb.whose).await?,
            None => newest(of(client, &verb.whose).await?),
        };
        find_all(client, verb, snapshots).await
    })
    .await?;
    let rows = all.snapshots.iter().flat_map(|found| found.rows.iter().map(|row| cells(found, row))).collect();
    let heading = ["taken", "snapshot", "mode", "size", "modified", "path"];
    let none = format!("nothing matches in {} snapshots", all.looked_into);
    screen.rows(&all, &heading, rows, &none);
    if all.has_more {
        screen.say(&format!("there are more than {} rows; narrow the pattern, or give --limit", verb.limit));
    }
    let unreadable = all.snapshots.iter().flat_map(|found| found.unreadable.iter().map(move |path| (found, path)));
    let mut exit = Exit::Done;
    for (found, path) in unreadable {
        screen.say(&format!("{}: {} cannot be read, and was not looked into", digits(found), human::shown(path)));
        exit = Exit::Partial;
    }
    Ok(exit)
}

/// Looks into snapshots one after the other, until there are rows enough.
async fn find_all(client: &Client, verb: &Find, snapshots: Vec<SnapshotView>) -> Result<All, CliError> {
    let mut all = All::default();
    let mut left = verb.limit;
    for snapshot in snapshots {
        if left == 0 {
            all.has_more = true;
            break;
        }
        let (found, has_more) = find_in(client, &verb.pattern, snapshot, left).await?;
        all.looked_into += 1;
        all.has_more |= has_more;
        left -= found.rows.len() as u64;
        if !found.rows.is_empty() || !found.unreadable.is_empty() {
            all.snapshots.push(found);
        }
    }
    Ok(all)
}

/// Looks into one snapshot, by page, and says whether there are more rows than are wanted.
async fn find_in(client: &Client, pattern: &str, snapshot: SnapshotView, most: u64) -> Result<(Found, bool), CliError> {
    let SnapshotView { id, foreign_id, item_name, taken_at, .. } = snapshot;
    let (mut rows, mut from) = (Vec::new(), 0);
    let (unreadable, has_more) = loop {
        let limit = u32::try_from(most - rows.len() as u64).unwrap_or(PAGE_ROWS).min(PAGE_ROWS);
        let query = FindQuery { pattern: pattern.to_owned(), from: Some(from), limit: Some(limit) };
        let page = client.snapshot_find(&id, &query).await?;
        rows.extend(page.rows);
        match page.next_from {
            Some(next) if (rows.len() as u64) < most => from = next,
            // Each page is a walk from the beginning, and meets what cannot be read again: the last one has all.
            next => break (page.unreadable, next.is_some()),
        }
    };
    Ok((Found { snapshot_id: id, foreign_id, item_name, taken_at, rows, unreadable }, has_more))
}

fn cells(found: &Found, row: &FoundEntryView) -> Vec<String> {
    let FoundEntryView { path, kind, size_bytes, modified_at, mode } = row.clone();
    let mut cells = vec![human::instant(&found.taken_at), digits(found)];
    cells.extend(entry_row(&EntryView { name: path, kind, size_bytes, modified_at, mode }));
    cells
}

fn digits(found: &Found) -> String {
    found.foreign_id.chars().take(8).collect()
}
