//! `backstay engine snapshots`: lists snapshots.

use backstay_engine::lock::LockMode;
use backstay_engine::select::{self, Snapshot};
use serde_json::json;

use super::args::FilterArgs;
use super::context::{Context, exit_after};
use super::error;
use super::view::{self, Grouping, SnapshotView};
use crate::cli::error::{CliError, Exit};

/// Which snapshots, and how they are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// Leave paths out
    #[arg(short, long)]
    compact: bool,
    /// Put snapshots together by host, paths and tags
    #[arg(short, long, value_name = "GROUP", value_parser = Grouping::read)]
    group_by: Option<Grouping>,
    /// Only the last N of each host and path
    #[arg(long, value_name = "N")]
    latest: Option<usize>,
    /// Ids, or the beginnings of them
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let many = select::many(&opened.repository, &verb.snapshots, &verb.filter.filter(), &context.interrupt);
    let mut many = many.map_err(|error| error::engine(&error))?;
    for (word, error) in &many.ignored {
        context.output.warn("choosing snapshots", word, &format!("left out: {error}"));
    }
    let harm = context.tell_unreadable(&many.unreadable);
    many.chosen.sort_by(|a, b| a.time.cmp(&b.time).then(a.id.cmp(&b.id)));
    let groups = view::group(many.chosen, verb.group_by.unwrap_or_default());
    let groups = groups.into_iter().map(|(key, snapshots)| (key, newest(snapshots, verb.latest)));
    let output = &context.output;
    if output.json() {
        let views = |snapshots: &[Snapshot]| snapshots.iter().map(SnapshotView::new).collect::<Vec<_>>();
        match verb.group_by {
            Some(by) if by != Grouping::default() => {
                let group = |(key, snapshots): (_, Vec<_>)| json!({ "group_key": key, "snapshots": views(&snapshots) });
                output.value(&groups.map(group).collect::<Vec<_>>());
            }
            _ => output.value(&groups.flat_map(|(_, snapshots)| views(&snapshots)).collect::<Vec<_>>()),
        }
        return Ok(exit_after(harm));
    }
    let groups: Vec<_> = groups.collect();
    if groups.is_empty() {
        output.note("there is no snapshot that fits");
    }
    for (key, snapshots) in groups {
        if verb.group_by.is_some() {
            output.line(&format!("{}:", key.sentence()));
        }
        let end = if verb.compact { 4 } else { view::HEADING.len() };
        let cut = |row: Vec<String>| match row.split_last() {
            Some((size, rest)) if verb.compact => rest.iter().take(end).chain([size]).cloned().collect(),
            _ => row,
        };
        let heading = cut(view::HEADING.map(str::to_owned).to_vec());
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        output.screen.table(&heading, snapshots.iter().map(|snapshot| cut(view::row(snapshot))).collect());
        output.note(&format!("{} snapshots", snapshots.len()));
    }
    Ok(exit_after(harm))
}

/// Keeps the newest of each host and paths. They come and stay oldest first.
fn newest(snapshots: Vec<Snapshot>, latest: Option<usize>) -> Vec<Snapshot> {
    let Some(latest) = latest else { return snapshots };
    let by = Grouping { host: true, paths: true, tags: false };
    let groups = view::group(snapshots, by).into_iter();
    let mut kept: Vec<_> = groups
        .flat_map(|(_, snapshots)| {
            let skip = snapshots.len().saturating_sub(latest);
            snapshots.into_iter().skip(skip)
        })
        .collect();
    kept.sort_by(|a, b| a.time.cmp(&b.time).then(a.id.cmp(&b.id)));
    kept
}
