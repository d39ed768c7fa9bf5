//! `backstay engine forget`: removes snapshots, by rules or by name.

use std::collections::BTreeMap;

use backstay_core::domain::retention::{Count, Period, Reason, RetentionPolicy, Within};
use backstay_engine::format::id::Id;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::forget::{ForgetGroup, GroupBy, apply, plan, snapshots};
use backstay_engine::select::{self, Filter, Snapshot};
use jiff::Timestamp;
use serde::Serialize;

use super::args::filter;
use super::context::{Context, Guard, Opened};
use super::view::{self, Grouping, SnapshotView};
use super::{error, prune};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// Which snapshots go.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    keep: KeepArgs,
    /// Only snapshots of this machine; any of them when given several times [env: RESTIC_HOST]
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Only snapshots with all these tags; any of the lists when given several times
    #[arg(long, value_name = "TAG[,TAG…]")]
    tag: Vec<String>,
    /// Only snapshots of this path; of all of them when given several times
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// The rules hold for each group: of host, paths, tags
    #[arg(short, long, value_name = "GROUP", value_parser = Grouping::read, default_value = "host,paths")]
    group_by: Grouping,
    /// Leave paths out
    #[arg(short, long)]
    compact: bool,
    /// Remove nothing; say what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Prune afterwards, when snapshots were removed
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    limits: prune::Limits,
    /// Also when nothing of a group would be left
    #[arg(long)]
    unsafe_allow_remove_all: bool,
    /// Ids of snapshots, or the beginnings of them: these go, whatever the rules say
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

/// Rules.
#[derive(Debug, clap::Args)]
struct KeepArgs {
    /// Keep the last N snapshots
    #[arg(short = 'l', long, value_name = "N", default_value = "0", hide_default_value = true)]
    keep_last: Count,
    /// Keep the last of each of the last N hours that have one
    #[arg(short = 'H', long, value_name = "N", default_value = "0", hide_default_value = true)]
    keep_hourly: Count,
    /// The same for days
    #[arg(short = 'd', long, value_name = "N", default_value = "0", hide_default_value = true)]
    keep_daily: Count,
    /// The same for weeks
    #[arg(short = 'w', long, value_name = "N", default_value = "0", hide_default_value = true)]
    keep_weekly: Count,
    /// The same for months
    #[arg(short = 'm', long, value_name = "N", default_value = "0", hide_default_value = true)]
    keep_monthly: Count,
    /// The same for years
    #[arg(short = 'y', long, value_name = "N", default_value = "0", hide_default_value = true)]
    keep_yearly: Count,
    /// Keep what is younger than this, counted from the newest, as 1y5m7d2h
    #[arg(long, value_name = "DURATION")]
    keep_within: Option<Within>,
    /// Keep the last of each hour of that time
    #[arg(long, value_name = "DURATION")]
    keep_within_hourly: Option<Within>,
    /// The same for days
    #[arg(long, value_name = "DURATION")]
    keep_within_daily: Option<Within>,
    /// The same for weeks
    #[arg(long, value_name = "DURATION")]
    keep_within_weekly: Option<Within>,
    /// The same for months
    #[arg(long, value_name = "DURATION")]
    keep_within_monthly: Option<Within>,
    /// The same for years
    #[arg(long, value_name = "DURATION")]
    keep_within_yearly: Option<Within>,
    /// Keep what has all these tags; any of the lists when given several times
    #[arg(long, value_name = "TAG[,TAG…]")]
    keep_tag: Vec<String>,
}

impl KeepArgs {
    fn policy(&self) -> RetentionPolicy {
        RetentionPolicy {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within.unwrap_or_default(),
            keep_within_hourly: self.keep_within_hourly.unwrap_or_default(),
            keep_within_daily: self.keep_within_daily.unwrap_or_default(),
            keep_within_weekly: self.keep_within_weekly.unwrap_or_default(),
            keep_within_monthly: self.keep_within_monthly.unwrap_or_default(),
            keep_within_yearly: self.keep_within_yearly.unwrap_or_default(),
            keep_tags: self.keep_tag.iter().map(|list| list.split(',').map(str::to_owned).collect()).collect(),
            minimum: 0,
        }
    }
}

/// A group in restic's shape and order.
#[derive(Serialize)]
struct GroupLine {
    tags: Option<Vec<String>>,
    host: String,
    paths: Option<Vec<String>>,
    keep: Option<Vec<SnapshotView>>,
    remove: Option<Vec<SnapshotView>>,
    reasons: Option<Vec<ReasonLine>>,
}

/// Why a snapshot stays.
#[derive(Serialize)]
struct ReasonLine {
    snapshot: SnapshotView,
    matches: Vec<String>,
}

/// A snapshot that stays, with the rules that keep it.
type Kept<'a> = (&'a Snapshot, Vec<String>);

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let filter = filter(&verb.host, &verb.tag, &verb.path);
    let policy = verb.keep.policy();
    if context.locking.no_lock && !verb.dry_run {
        return Err(error::input("forget needs its lock", "Leave --no-lock out, or add --dry-run."));
    }
    if verb.snapshots.is_empty() && policy.has_no_rule() {
        allow_all(verb, &filter)?;
    }
    let (opened, guard) = context.open_locked(LockMode::Exclusive)?;
    let gone = match verb.snapshots.is_empty() {
        false => by_name(context, verb, &opened)?,
        true => by_rules(context, verb, &opened, &filter, &policy)?,
    };
    if verb.dry_run {
        if !context.output.json() {
            context.output.note(&format!("would remove {}; nothing was removed", snapshots_of(gone.len())));
        }
        return Ok(Exit::Done);
    }
    remove(context, &opened, &guard, &gone)?;
    if !gone.is_empty() && !context.output.json() {
        context.output.line(&format!("removed {}", snapshots_of(gone.len())));
        if !verb.prune {
            context.output.note("their data stays until `backstay engine prune`");
        }
    }
    if verb.prune && !gone.is_empty() {
        prune::work(context, &opened, &guard, &verb.limits, false)?;
    }
    guard.release(context);
    Ok(Exit::Done)
}

/// Returns a count of snapshots in words.
pub(super) fn snapshots_of(count: usize) -> String {
    if count == 1 { "1 snapshot".to_owned() } else { format!("{count} snapshots") }
}

/// Refuses to remove everything by an oversight.
fn allow_all(verb: &Verb, filter: &Filter) -> Result<(), CliError> {
    match (verb.unsafe_allow_remove_all, filter.is_empty()) {
        (true, false) => Ok(()),
        (true, true) => {
            Err(error::input("removing all snapshots of a repository must say which", "Add --host, --tag or --path."))
        }
        (false, _) => Err(error::input(
            "no rule is given, so nothing is removed",
            "Give a rule, as --keep-daily 7, or name snapshots.",
        )),
    }
}

fn remove(context: &Context, opened: &Opened, guard: &Guard, gone: &[Id]) -> Result<(), CliError> {
    let Some(lock) = guard.lock() else { return Ok(()) };
    let removed = apply(&opened.repository, gone, lock, &context.interrupt);
    guard.explain(removed).map_err(|error| error::engine(&error))?;
    Ok(())
}

/// Returns the snapshots that were named. One that is not there is told and no reason to keep the others.
fn by_name(context: &Context, verb: &Verb, opened: &Opened) -> Result<Vec<Id>, CliError> {
    let filter = filter(&verb.host, &verb.tag, &verb.path);
    let many = select::many(&opened.repository, &verb.snapshots, &filter, &context.interrupt);
    let many = many.map_err(|error| error::engine(&error))?;
    for (word, error) in &many.ignored {
        context.output.warn("choosing snapshots", word, &format!("left out: {error}"));
    }
    if !context.output.json() {
        many.chosen.iter().for_each(|snapshot| context.output.line(&human::shown(&view::sentence(snapshot))));
    }
    Ok(many.chosen.iter().map(|snapshot| snapshot.id).collect())
}

/// Decides by rules, shows it, and returns what goes.
fn by_rules(
    context: &Context,
    verb: &Verb,
    opened: &Opened,
    filter: &Filter,
    policy: &RetentionPolicy,
) -> Result<Vec<Id>, CliError> {
    let engine = |error| error::engine(&error);
    let known = snapshots(&opened.repository, &|file| filter.takes(file), &context.interrupt).map_err(engine)?;
    let by = GroupBy { host: verb.group_by.host, paths: verb.group_by.paths, tags: verb.group_by.tags };
    let groups = plan(&known, by, policy, Timestamp::now()).map_err(engine)?;
    let all = select::read_all(&opened.repository, &context.interrupt).map_err(engine)?;
    let all: BTreeMap<Id, Snapshot> = all.read.into_iter().map(|snapshot| (snapshot.id, snapshot)).collect();
    let mut gone = Vec::new();
    let mut lines = Vec::new();
    for group in &groups {
        let (kept, dropped) = split(group, &all, policy.has_no_rule());
        if kept.is_empty() && !verb.unsafe_allow_remove_all {
            let heading = format!("the rules would remove every snapshot of {}", name_of(group));
            return Err(error::input(
                heading,
                "Mend the rules, or say that it is meant with --unsafe-allow-remove-all.",
            ));
        }
        if context.output.json() {
            lines.push(line(group, &kept, &dropped));
        } else {
            show(context, verb, group, &kept, &dropped);
        }
        gone.extend(dropped.iter().map(|snapshot| snapshot.id));
    }
    if context.output.json() {
        context.output.value(&lines);
    }
    Ok(gone)
}

/// Splits a group into what stays and what goes, newest first. That a snapshot is the newest good one is a reason to keep
/// it in a plan; here, as in restic, rules alone are.
fn split<'a>(
    group: &ForgetGroup,
    all: &'a BTreeMap<Id, Snapshot>,
    no_rule: bool,
) -> (Vec<Kept<'a>>, Vec<&'a Snapshot>) {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for verdict in &group.preview.verdicts {
        let Some(snapshot) = all.get(&verdict.id) else { continue };
        let reasons: Vec<String> = match no_rule {
            true => Vec::new(),
            false => verdict.reasons.iter().filter_map(words).collect(),
        };
        if reasons.is_empty() {
            dropped.push(snapshot);
        } else {
            kept.push((snapshot, reasons));
        }
    }
    (kept, dropped)
}

/// Returns a reason in restic's words; none when it is none of restic's.
fn words(reason: &Reason<Id>) -> Option<String> {
    let rule = |period: &Period| format!("{} snapshot", period.word());
    Some(match reason {
        Reason::Last => "last snapshot".to_owned(),
        Reason::Newest(period) => rule(period),
        Reason::Oldest(None) => "oldest last snapshot".to_owned(),
        Reason::Oldest(Some(period)) => format!("oldest {}", rule(period)),
        Reason::Within(within) => format!("within {within}"),
        Reason::WithinNewest(period, within) => format!("{} within {within}", period.word()),
        Reason::WithinOldest(period, within) => format!("oldest {} within {within}", period.word()),
        Reason::Tags(tags) => format!("has tags [{}]", tags.join(", ")),
        Reason::NewestGood | Reason::NewestOfNoneGood | Reason::NoRule => return None,
        other => other.to_string(),
    })
}

fn name_of(group: &ForgetGroup) -> String {
    let key = &group.key;
    let mut parts = Vec::new();
    for (what, words) in [("host", std::slice::from_ref(&key.host)), ("paths", &key.paths[..]), ("tags", &key.tags[..])]
    {
        if words.iter().any(|word| !word.is_empty()) {
            parts.push(format!("{what} {}", words.join(", ")));
        }
    }
    if parts.is_empty() { "the repository".to_owned() } else { human::shown(&parts.join("; ")) }
}

fn line(group: &ForgetGroup, kept: &[Kept<'_>], dropped: &[&Snapshot]) -> GroupLine {
    let some = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    let reasons = kept
        .iter()
        .map(|(snapshot, matches)| ReasonLine { snapshot: SnapshotView::new(snapshot), matches: matches.clone() });
    let views = |snapshots: Vec<SnapshotView>| (!snapshots.is_empty()).then_some(snapshots);
    GroupLine {
        tags: some(&group.key.tags),
        host: group.key.host.clone(),
        paths: some(&group.key.paths),
        keep: views(kept.iter().map(|(snapshot, _)| SnapshotView::new(snapshot)).collect()),
        remove: views(dropped.iter().map(|snapshot| SnapshotView::new(snapshot)).collect()),
        reasons: (!kept.is_empty()).then(|| reasons.collect()),
    }
}

fn show(context: &Context, verb: &Verb, group: &ForgetGroup, kept: &[Kept<'_>], dropped: &[&Snapshot]) {
    let output = &context.output;
    output.line(&format!("{}:", name_of(group)));
    let row = |fate: &str, snapshot: &Snapshot, why: String| {
        let mut row = view::row(snapshot);
        let size = row.pop();
        let paths = row.pop().filter(|_| !verb.compact);
        row.insert(0, fate.to_owned());
        row.push(why);
        row.extend(paths);
        row.extend(size);
        row
    };
    let kept = kept.iter().map(|(snapshot, reasons)| row("keep", snapshot, reasons.join(", ")));
    let dropped = dropped.iter().map(|snapshot| row("remove", snapshot, String::new()));
    let heading: &[&str] = match verb.compact {
        true => &["", "id", "time", "host", "tags", "because", "size"],
        false => &["", "id", "time", "host", "tags", "because", "paths", "size"],
    };
    output.screen.table(heading, kept.chain(dropped).collect());
}
