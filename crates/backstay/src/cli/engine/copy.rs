//! `backstay engine copy`: copies snapshots from another repository.

use std::sync::Arc;

use backstay_engine::EngineProgress;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::copy::{Copied, CopyPreview, apply, plan};
use backstay_engine::select;
use serde_json::json;

use super::args::FilterArgs;
use super::context::{Context, exit_after};
use super::error;
use super::progress::{Live, Shape};
use super::view::short;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::roles::engine::FromAccess;

/// What is copied.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    from: FromAccess,
    /// Write nothing; say what would be copied
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Ids of snapshots in the other repository, or the beginnings of them [default: all that fit]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let source = context.open_from(&verb.from)?;
    let target = context.open()?;
    if source.repository.id() == target.repository.id() {
        return Err(error::input("both are the same repository", "Check --repo and --from-repo."));
    }
    let from = context.lock(&source, LockMode::Shared)?;
    // `--no-lock` is for a source that may only be read.
    let guard = context.lock_whatever(&target, LockMode::Shared)?;
    let lock = guard.needed("copy")?;
    let (chosen, _, harm) = context.choose(&source.repository, &verb.snapshots, &verb.filter.filter())?;
    let there = select::read_all(&target.repository, &context.interrupt).map_err(|error| error::engine(&error))?;
    context.tell_unreadable(&there.unreadable);
    let both = (&source.repository, &target.repository);
    context.output.note("looking for what is to be copied");
    let planned = from.explain(guard.explain(plan(both, &chosen, &there.read, &context.interrupt)));
    let planned = planned.map_err(|error| error::engine(&error))?;
    let preview = planned.preview.clone();
    let mut done = Copied::default();
    if !verb.dry_run {
        let progress = Arc::new(EngineProgress::default());
        let live = Live::begin(context.output, "copying", Shape::Of("blobs"), &progress);
        let applied = from.explain(guard.explain(apply(both, planned, lock, &progress, &context.interrupt)));
        drop(live);
        done = applied.map_err(|error| error::engine(&error))?;
    }
    guard.release(context);
    from.release(context);
    tell(context, &preview, &done, verb.dry_run);
    Ok(exit_after(harm))
}

fn tell(context: &Context, preview: &CopyPreview, done: &Copied, dry_run: bool) {
    let output = &context.output;
    for one in &preview.snapshots {
        let new = done.snapshots.iter().find(|(old, _)| *old == one.id).map(|(_, new)| *new).or(one.already);
        if output.json() {
            output.value(&json!({
                "message_type": "snapshot",
                "snapshot": one.id.to_hex(),
                "new_snapshot": new.map(backstay_engine::format::id::Id::to_hex),
                "copied_before": one.already.is_some(),
            }));
            continue;
        }
        let id = short(&one.id);
        output.line(&match (one.already, new) {
            (Some(there), _) => format!("snapshot {id}: was copied before, to {}", short(&there)),
            (None, Some(new)) => format!("snapshot {id}: copied to {}", short(&new)),
            (None, None) => format!("snapshot {id}: would be copied"),
        });
    }
    let before = preview.snapshots.iter().filter(|one| one.already.is_some()).count();
    if output.json() {
        return output.value(&json!({
            "message_type": "summary",
            "dry_run": dry_run,
            "snapshots": preview.snapshots.len(),
            "snapshots_copied": done.snapshots.len(),
            "snapshots_copied_before": before,
            "blobs": preview.blobs,
            "blobs_there": preview.blobs_there,
            "bytes": preview.bytes,
            "packs_read": preview.packs,
            "packs_written": done.packs,
            "bytes_written": done.bytes,
        }));
    }
    let (blobs, bytes) = (human::count(preview.blobs), human::bytes(preview.bytes));
    let (would, there) = (if dry_run { "would be " } else { "" }, human::count(preview.blobs_there));
    output.line(&format!("{blobs} blobs {would}sent, {bytes}; {there} were there"));
}
