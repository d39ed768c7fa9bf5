//! `backstay engine diff`: shows what differs between two snapshots.

use backstay_engine::inspect::diff::{Metadata, Side, compare};
use backstay_engine::inspect::entry::go_text;
use backstay_engine::lock::LockMode;
use backstay_engine::select;
use serde_json::json;

use super::args::FilterArgs;
use super::context::{Context, shown_path};
use super::error;
use super::view;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is compared.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// Also entries that differ in metadata alone
    #[arg(long)]
    metadata: bool,
    /// The first snapshot: an id, the beginning of one or `latest`, with `:FOLDER` for a folder in it
    #[arg(value_name = "SNAPSHOT[:FOLDER]")]
    first: String,
    /// The second one
    #[arg(value_name = "SNAPSHOT[:FOLDER]")]
    second: String,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let engine = |error| error::engine(&error);
    let index = opened.index(&context.interrupt)?;
    let mut blobs = opened.blobs(&index, &context.interrupt);
    let mut trees = Vec::new();
    for text in [&verb.first, &verb.second] {
        let (snapshot, folder) = opened.snapshot(text, &verb.filter.filter(), &context.interrupt)?;
        context.output.note(&format!(
            "{} {}",
            if trees.is_empty() { "from" } else { "to  " },
            view::sentence(&snapshot)
        ));
        trees.push(select::tree_of(&opened.repository, &mut blobs, &snapshot, &folder).map_err(engine)?);
    }
    let metadata = if verb.metadata { Metadata::Tell } else { Metadata::Ignore };
    let output = &context.output;
    let trees = [trees[0], trees[1]];
    let totals = compare(&opened.repository, &mut blobs, trees, metadata, &context.interrupt, &mut |change| {
        if output.json() {
            let path = go_text(&change.path);
            return output.value(&json!({ "message_type": "change", "path": path, "modifier": change.modifier }));
        }
        let path = shown_path(change.path.strip_prefix(b"/").unwrap_or(&change.path));
        output.line(&format!("{:<4} {path}", change.modifier));
    });
    let totals = totals.map_err(engine)?;
    if output.json() {
        output.value(&json!({
            "message_type": "statistics",
            "source_snapshot": verb.first,
            "target_snapshot": verb.second,
            "changed_files": totals.changed_files,
            "added": side(&totals.added),
            "removed": side(&totals.removed),
        }));
        return Ok(Exit::Done);
    }
    let (added, removed) = (&totals.added, &totals.removed);
    output.line("");
    let row =
        |what: &str, new: u64, gone: u64| vec![what.to_owned(), human::count(new), human::count(gone), String::new()];
    let mut rows = vec![
        row("files", added.files, removed.files),
        row("folders", added.dirs, removed.dirs),
        row("others", added.others, removed.others),
        row("data blobs", added.data_blobs, removed.data_blobs),
        row("tree blobs", added.tree_blobs, removed.tree_blobs),
        vec!["bytes".to_owned(), human::bytes(added.bytes), human::bytes(removed.bytes), String::new()],
    ];
    rows[0][3] = human::count(totals.changed_files);
    output.screen.table(&["", "new", "removed", "changed"], rows);
    Ok(Exit::Done)
}

fn side(side: &Side) -> serde_json::Value {
    json!({
        "files": side.files,
        "dirs": side.dirs,
        "others": side.others,
        "data_blobs": side.data_blobs,
        "tree_blobs": side.tree_blobs,
        "bytes": side.bytes,
    })
}
