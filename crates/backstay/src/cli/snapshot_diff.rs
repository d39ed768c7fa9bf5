//! `backstay snapshot diff`: what differs between two snapshots.

use backstay_api::types::snapshot::{DiffQuery, DiffView, DifferenceView, OneSideView};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::snapshot::find as snapshot_id;

/// Rows of one call: as many as the server gives.
const PAGE_ROWS: u32 = 500;

/// What is compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The first snapshot's id, or the beginning of its restic id
    snapshot: String,
    /// The second one's, in the same repository
    id: String,
    /// Also tell what differs in metadata alone
    #[arg(long)]
    metadata: bool,
    /// Most rows; the sums are of all
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

pub(super) async fn run(common: &Common, verb: &Diff, screen: &Screen) -> Result<Exit, CliError> {
    let told = look(common, async |client| {
        let first = snapshot_id(client, &verb.snapshot).await?;
        let with = snapshot_id(client, &verb.id).await?;
        let mut told: Option<DiffView> = None;
        loop {
            let seen = told.as_ref().map_or(0, |told| told.rows.len() as u64);
            let limit = u32::try_from(verb.limit - seen).unwrap_or(PAGE_ROWS).min(PAGE_ROWS);
            let (with, metadata) = (with.clone(), verb.metadata);
            let query = DiffQuery { with, metadata, from: Some(seen), limit: Some(limit) };
            let page = client.snapshot_diff(&first, &query).await?;
            let told = match &mut told {
                Some(told) => {
                    told.rows.extend(page.rows);
                    told.next_from = page.next_from;
                    told
                }
                None => told.insert(page),
            };
            if told.next_from.is_none() || told.rows.len() as u64 >= verb.limit {
                return Ok(told.clone());
            }
        }
    })
    .await?;
    if screen.json() {
        screen.value(&told);
        return Ok(Exit::Done);
    }
    for row in &told.rows {
        screen.line(&format!("{:<5}{}", letter(row), human::shown(&row.path)));
    }
    if told.next_from.is_some() {
        screen.say(&format!("there are more than {} rows; --limit shows more", verb.limit));
    }
    screen.line(&sums(&told));
    Ok(Exit::Done)
}

/// Returns restic's letter of a difference.
fn letter(row: &DifferenceView) -> &str {
    match row.difference.as_str() {
        "added" => "+",
        "removed" => "-",
        "modified" => "M",
        "modified_unseen" => "M?",
        "retyped" => "T",
        _ => "U",
    }
}

/// Returns what differs in all.
fn sums(told: &DiffView) -> String {
    let side = |side: &OneSideView| {
        let (files, dirs, others) = (human::count(side.files), human::count(side.dirs), human::count(side.others));
        format!("{files} files, {dirs} folders, {others} others; {} of blobs", human::bytes(side.bytes))
    };
    format!(
        "\nchanged  {} files\nadded    {}\nremoved  {}",
        human::count(told.changed_files),
        side(&told.added),
        side(&told.removed)
    )
}
