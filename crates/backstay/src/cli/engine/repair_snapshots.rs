//! `backstay engine repair snapshots`: makes snapshots anew without what is lost, and names every path.

use std::sync::Arc;

use backstay_engine::EngineProgress;
use backstay_engine::format::id::Id;
use backstay_engine::maintenance::repair::snapshots::{Loss, apply, plan};
use backstay_engine::maintenance::rewrite::snapshot::{Old, Outcome, Rewritten, SnapshotPreview};
use serde_json::{Value, json};

use super::args::FilterArgs;
use super::context::{Context, exit_after, shown_path};
use super::progress::{Live, Shape};
use super::view::short;
use super::{error, repair};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// Which snapshots are repaired.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// Write nothing; say what would be lost
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove the old snapshots when the new ones are there
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Ids of snapshots, or the beginnings of them [default: all that fit]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, guard) = context.open_locked(repair::mode(verb.dry_run))?;
    let lock = guard.needed("repair")?;
    let (chosen, all, harm) = context.choose(&opened.repository, &verb.snapshots, &verb.filter.filter())?;
    context.output.note("looking for what is lost");
    let progress = Arc::new(EngineProgress::default());
    let live = Live::begin(context.output, "looking", Shape::Of("snapshots"), &progress);
    let mut tell = |id: &Id, path: &[u8], loss: &Loss| live.beside(|| tell_loss(context, id, path, loss));
    let old = old(verb.forget);
    let chosen = (chosen, &all[..]);
    let planned = plan(&opened.repository, chosen, old, &mut tell, lock, &progress, &context.interrupt);
    drop(live);
    let planned = guard.explain(planned).map_err(|error| error::engine(&error))?;
    let previews = planned.plan.snapshots.clone();
    if let Some(problem) = &planned.index_wrong {
        context.output.warn("comparing the index with the storage", "", problem);
    }
    let mut done = Rewritten::default();
    if !verb.dry_run {
        let progress = Arc::new(EngineProgress::default());
        let live = Live::begin(context.output, "writing", Shape::Of("snapshots"), &progress);
        let applied = apply(&opened.repository, planned, lock, &progress, &context.interrupt);
        drop(live);
        done = guard.explain(applied).map_err(|error| error::engine(&error))?;
    }
    guard.release(context);
    tell_snapshots(context, &previews, &done, (verb.dry_run, old));
    let left = old == Old::Keep && previews.iter().any(|one| matches!(one.outcome, Outcome::Lost(_)));
    if left && !verb.dry_run {
        let heading = "there are snapshots of which nothing can be read; they were left";
        return Err(
            CliError::new(Exit::Failed, heading).hint("Remove them with --forget, or with `backstay engine forget`.")
        );
    }
    Ok(exit_after(harm))
}

/// Returns what becomes of old snapshots.
pub(super) const fn old(forget: bool) -> Old {
    if forget { Old::Forget } else { Old::Keep }
}

fn tell_loss(context: &Context, id: &Id, path: &[u8], loss: &Loss) {
    let output = &context.output;
    if output.json() {
        let mut line = json!({
            "message_type": "changed_path",
            "snapshot": id.to_hex(),
            "path": format!("/{}", String::from_utf8_lossy(path)),
        });
        let more = match loss {
            Loss::Parts { lost, of, bytes_before, bytes_after } => json!({
                "change": "parts_lost", "parts_lost": lost, "parts": of,
                "bytes_before": bytes_before, "bytes_after": bytes_after,
            }),
            Loss::Size { bytes_before, bytes_after } => {
                json!({ "change": "size_corrected", "bytes_before": bytes_before, "bytes_after": bytes_after })
            }
            Loss::Folder { problem } => json!({ "change": "folder_emptied", "problem": problem }),
        };
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        return output.value(&line);
    }
    let what = match loss {
        Loss::Parts { lost, of, bytes_before, bytes_after } => {
            let (before, after) = (human::bytes(*bytes_before), human::bytes(*bytes_after));
            format!("{lost} of {of} parts are lost, {after} of {before} are left")
        }
        Loss::Size { bytes_after, .. } => format!("its size is {}", human::bytes(*bytes_after)),
        Loss::Folder { problem } => format!("the folder is lost, an empty one takes its place: {problem}"),
    };
    output.line(&human::shown(&format!("{} {}: {what}", short(id), shown_path(path))));
}

/// Tells what became, or would become, of each snapshot.
pub(super) fn tell_snapshots(
    context: &Context,
    previews: &[SnapshotPreview],
    done: &Rewritten,
    (dry_run, old): (bool, Old),
) {
    let output = &context.output;
    let is_changed = |one: &&SnapshotPreview| one.outcome != Outcome::Same;
    for one in previews.iter().filter(is_changed) {
        let new = done.written.iter().find(|(_, old)| *old == one.id).map(|(new, _)| *new);
        let (word, new) = match &one.outcome {
            Outcome::Same => ("same", None),
            Outcome::Replaced => ("replaced", new),
            Outcome::Already(there) => ("already", Some(*there)),
            Outcome::Lost(_) => ("lost", None),
        };
        if output.json() {
            output.value(&json!({
                "message_type": "snapshot",
                "snapshot": one.id.to_hex(),
                "outcome": word,
                "new_snapshot": new.map(Id::to_hex),
                "changed_paths": one.paths,
                "files": one.files,
                "bytes": one.bytes,
                "forgotten": done.forgotten.contains(&one.id),
            }));
            continue;
        }
        let (id, paths) = (short(&one.id), human::count(one.paths));
        output.line(&match (&one.outcome, new) {
            (Outcome::Lost(problem), _) => human::shown(&format!("snapshot {id}: nothing can be read: {problem}")),
            (Outcome::Already(_), Some(new)) => format!("snapshot {id}: {} takes its place already", short(&new)),
            (_, Some(new)) => format!("snapshot {id}: {} takes its place, {paths} paths changed", short(&new)),
            (_, None) => format!("snapshot {id}: a new one would take its place, {paths} paths would change"),
        });
    }
    let count = |wanted: &dyn Fn(&Outcome) -> bool| previews.iter().filter(|one| wanted(&one.outcome)).count();
    let changed = count(&|outcome| matches!(outcome, Outcome::Replaced));
    if output.json() {
        return output.value(&json!({
            "message_type": "summary",
            "dry_run": dry_run,
            "snapshots": previews.len(),
            "snapshots_changed": changed,
            "snapshots_changed_before": count(&|outcome| matches!(outcome, Outcome::Already(_))),
            "snapshots_lost": count(&|outcome| matches!(outcome, Outcome::Lost(_))),
            "snapshots_forgotten": done.forgotten.len(),
            "changed_paths": previews.iter().map(|one| one.paths).sum::<u64>(),
        }));
    }
    let (of, would) = (previews.len(), if dry_run { "would be " } else { "" });
    output.line(&format!("{changed} of {of} snapshots {would}made anew, {} forgotten", done.forgotten.len()));
    if old == Old::Forget && !done.forgotten.is_empty() {
        output.note("`backstay engine prune` removes the data that nothing needs any more");
    }
}
