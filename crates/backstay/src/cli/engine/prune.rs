//! `backstay engine prune`: removes data that no snapshot needs, in two phases.

use std::sync::Arc;
use std::time::Duration;

use backstay_engine::EngineProgress;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::prune::{GRACE, PruneOptions, PrunePreview, UnusedLimit, apply, plan};
use serde_json::json;

use super::args::duration;
use super::context::{Context, Guard, Opened};
use super::error;
use super::prices::{Estimate, PriceArgs};
use super::progress::{Live, Shape};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use backstay_engine::size::bytes;

/// What is removed.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// Remove nothing; say what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    limits: Limits,
}

/// How far a prune goes.
#[derive(Debug, clap::Args)]
pub(super) struct Limits {
    /// How much unused data may stay: 5%, 500M or unlimited
    #[arg(long, value_name = "LIMIT", value_parser = unused, default_value = "5%")]
    max_unused: UnusedLimit,
    /// Copy no more than this out of packs that are rewritten
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_repack_size: Option<u64>,
    /// How long data that nothing needs stays before it goes, so that a writer beside us loses nothing; 0s only when
    /// nobody else uses the repository [default: 23h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    grace: Option<Duration>,
    #[command(flatten)]
    prices: PriceArgs,
}

fn unused(text: &str) -> Result<UnusedLimit, String> {
    if text == "unlimited" {
        return Ok(UnusedLimit::Unlimited);
    }
    match text.strip_suffix('%') {
        Some(percent) => match percent.trim().parse() {
            Ok(percent) if percent < 100 => Ok(UnusedLimit::Percent(percent)),
            _ => Err(format!("`{text}` is no share; write 0% to 99%")),
        },
        None => bytes(text).map(UnusedLimit::Bytes),
    }
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let mode = if verb.dry_run { LockMode::Shared } else { LockMode::Exclusive };
    let (opened, guard) = context.open_locked(mode)?;
    work(context, &opened, &guard, &verb.limits, verb.dry_run)?;
    guard.release(context);
    Ok(Exit::Done)
}

/// Prunes under a lock that was taken before.
pub(super) fn work(
    context: &Context,
    opened: &Opened,
    guard: &Guard,
    limits: &Limits,
    dry_run: bool,
) -> Result<(), CliError> {
    let lock = guard.lock().ok_or_else(|| error::input("prune needs its lock", "Leave --no-lock out."))?;
    let options = PruneOptions {
        grace: limits.grace.unwrap_or(GRACE),
        unused: limits.max_unused,
        rewrite_bytes_max: limits.max_repack_size,
    };
    let prices = limits.prices.prices()?;
    context.output.note("looking for data that no snapshot needs");
    let planned = plan(&opened.repository, &options, lock, &context.interrupt);
    let planned = guard.explain(planned).map_err(|error| error::engine(&error))?;
    let fetched = (planned.bytes_fetched, planned.fetching_took);
    let freed = planned.preview.bytes_freed + planned.preview.bytes_freed_later;
    let freed = freed.saturating_sub(planned.preview.bytes_rewritten);
    let estimate = Estimate::new(planned.work(), fetched, prices, freed);
    tell_estimate(context, &planned.preview, &estimate, dry_run);
    let done = match dry_run {
        true => planned.preview.clone(),
        false => {
            let progress = Arc::new(EngineProgress::default());
            let live = Live::begin(context.output, "rewriting", Shape::Of("packs"), &progress);
            let applied = guard.explain(apply(&opened.repository, planned, lock, &progress, &context.interrupt));
            drop(live);
            applied.map_err(|error| error::engine(&error))?
        }
    };
    tell(context, &done, &estimate, options.grace, dry_run);
    Ok(())
}

/// Tells what it will take, before anything is done.
fn tell_estimate(context: &Context, preview: &PrunePreview, estimate: &Estimate, dry_run: bool) {
    if !context.output.json() {
        if !dry_run {
            let [now, later] = [preview.bytes_freed, preview.bytes_freed_later].map(human::bytes);
            let copied = human::bytes(preview.bytes_rewritten);
            context
                .output
                .note(&format!("{now} go now and {later} with a later prune; {copied} are copied to new packs"));
        }
        return estimate.words().iter().for_each(|words| context.output.note(words));
    }
    if !dry_run {
        let mut line = json!({
            "message_type": "plan",
            "bytes_freed": preview.bytes_freed,
            "bytes_freed_later": preview.bytes_freed_later,
            "bytes_rewritten": preview.bytes_rewritten,
        });
        estimate.add_to(&mut line);
        context.output.value(&line);
    }
}

fn tell(context: &Context, done: &PrunePreview, estimate: &Estimate, grace: Duration, dry_run: bool) {
    let output = &context.output;
    if output.json() {
        let mut line = json!({
            "message_type": "summary",
            "dry_run": dry_run,
            "snapshots": done.snapshots,
            "packs_kept": done.packs_kept,
            "packs_rewritten": done.packs_rewritten,
            "packs_marked": done.packs_marked,
            "packs_unnamed": done.packs_unnamed,
            "packs_waiting": done.packs_waiting,
            "packs_recovered": done.packs_recovered,
            "packs_removed": done.packs_removed,
            "bytes_used": done.bytes_used,
            "bytes_unused_after": done.bytes_unused_after,
            "bytes_rewritten": done.bytes_rewritten,
            "bytes_freed": done.bytes_freed,
            "bytes_freed_later": done.bytes_freed_later,
        });
        estimate.add_to(&mut line);
        return output.value(&line);
    }
    let would = if dry_run { "would be " } else { "" };
    let row = |what: &str, packs: u64, bytes: Option<u64>| {
        vec![what.to_owned(), human::count(packs), bytes.map(human::bytes).unwrap_or_default()]
    };
    let rows = vec![
        row("stay", done.packs_kept, Some(done.bytes_used + done.bytes_unused_after)),
        row(&format!("{would}rewritten"), done.packs_rewritten, Some(done.bytes_rewritten)),
        row(&format!("{would}removed"), done.packs_removed, Some(done.bytes_freed)),
        row(&format!("{would}marked"), done.packs_marked + done.packs_unnamed, Some(done.bytes_freed_later)),
        row("marked before", done.packs_waiting, None),
    ];
    output.screen.table(&["", "packs", "size"], rows);
    if done.packs_marked + done.packs_unnamed + done.packs_waiting + done.packs_rewritten > 0 {
        let grace = human::duration(grace);
        output
            .note(&format!("what is marked goes with the first prune after {grace}: until then a writer may need it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_share_a_size_or_none() {
        assert_eq!(unused("5%"), Ok(UnusedLimit::Percent(5)));
        assert_eq!(unused("500M"), Ok(UnusedLimit::Bytes(500 << 20)));
        assert_eq!(unused("unlimited"), Ok(UnusedLimit::Unlimited));
        for wrong in ["100%", "-1%", "much"] {
            assert!(unused(wrong).is_err(), "{wrong}");
        }
    }
}
