//! `backstay engine rewrite`: makes snapshots anew without what should not be in them, or with another host or time.

use std::sync::Arc;

use backstay_engine::EngineProgress;
use backstay_engine::archive::exclude::Excludes;
use backstay_engine::format::id::Id;
use backstay_engine::format::time::FileTime;
use backstay_engine::maintenance::rewrite::snapshot::{Counts, Rewritten};
use backstay_engine::maintenance::rewrite::{RewriteOptions, apply, plan};
use serde_json::json;

use super::args::{FilterArgs, PatternArgs};
use super::context::{Context, exit_after, shown_path};
use super::progress::{Live, Shape};
use super::view::short;
use super::{error, repair, repair_snapshots};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is rewritten.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    patterns: PatternArgs,
    /// Remove the old snapshots when the new ones are there
    #[arg(long)]
    forget: bool,
    /// Another name of the machine
    #[arg(long, value_name = "HOST")]
    new_host: Option<String>,
    /// Another time, as "2026-01-31 12:00:00"
    #[arg(long, value_name = "TIME", value_parser = super::find::instant)]
    new_time: Option<FileTime>,
    /// Count what snapshots hold that do not say it
    #[arg(short, long)]
    snapshot_summary: bool,
    /// Write nothing; say what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Ids of snapshots, or the beginnings of them [default: all that fit]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

impl Verb {
    fn options(&self) -> Result<RewriteOptions, CliError> {
        let mut excludes = Excludes::default();
        self.patterns.add_to(&mut excludes)?;
        let host = self.new_host.clone().filter(|host| !host.is_empty());
        let time = self.new_time.map(|time| {
            let mut text = Vec::new();
            time.push(&mut text);
            String::from_utf8(text).expect("a time is ASCII")
        });
        if self.patterns.is_empty() && host.is_none() && time.is_none() && !self.snapshot_summary {
            return Err(error::input("nothing says what is to change", "Give --exclude, --new-host or --new-time."));
        }
        let counts = if self.snapshot_summary { Counts::Anew } else { Counts::OfChangedTrees };
        Ok(RewriteOptions { excludes, host, time, counts, old: repair_snapshots::old(self.forget) })
    }
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let options = verb.options()?;
    let (opened, guard) = context.open_locked(repair::mode(verb.dry_run))?;
    let lock = guard.needed("rewrite")?;
    let (chosen, all, harm) = context.choose(&opened.repository, &verb.snapshots, &verb.filter.filter())?;
    let progress = Arc::new(EngineProgress::default());
    let live = Live::begin(context.output, "looking", Shape::Of("snapshots"), &progress);
    let mut tell = |id: &Id, path: &[u8]| live.beside(|| tell_path(context, id, path));
    let chosen = (chosen, &all[..]);
    let planned = plan(&opened.repository, &options, chosen, &mut tell, lock, &progress, &context.interrupt);
    drop(live);
    let planned = guard.explain(planned).map_err(|error| error::engine(&error))?;
    let previews = planned.plan.snapshots.clone();
    let mut done = Rewritten::default();
    if !verb.dry_run {
        let progress = Arc::new(EngineProgress::default());
        let live = Live::begin(context.output, "writing", Shape::Of("snapshots"), &progress);
        let applied = apply(&opened.repository, &options, planned, lock, &progress, &context.interrupt);
        drop(live);
        done = guard.explain(applied).map_err(|error| error::engine(&error))?;
    }
    guard.release(context);
    repair_snapshots::tell_snapshots(context, &previews, &done, (verb.dry_run, options.old));
    Ok(exit_after(harm))
}

fn tell_path(context: &Context, id: &Id, path: &[u8]) {
    let output = &context.output;
    if output.json() {
        let path = format!("/{}", String::from_utf8_lossy(path));
        let line =
            json!({ "message_type": "changed_path", "snapshot": id.to_hex(), "path": path, "change": "excluded" });
        output.value(&line);
    } else if output.verbose() > 0 {
        output.line(&human::shown(&format!("{} {}: left out", short(id), shown_path(path))));
    }
}
