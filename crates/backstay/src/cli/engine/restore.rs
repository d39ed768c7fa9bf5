//! `backstay engine restore`: brings a snapshot back to a folder.

use std::path::PathBuf;
use std::sync::Arc;

use backstay_engine::EngineProgress;
use backstay_engine::inspect::entry::go_text;
use backstay_engine::lock::LockMode;
use backstay_engine::pattern::{Case, Patterns};
use backstay_engine::restore::{
    Action, Owners, Reconcile, RestoreOptions, RestorePlan, Restored, Special, apply, plan,
};
use serde_json::json;

use super::args::FilterArgs;
use super::context::{Context, shown_path};
use super::error;
use super::progress::{Live, Shape};
use super::view;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is restored, where to and how.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// The folder to restore to; made when it is not there
    #[arg(short, long, value_name = "DIR")]
    target: PathBuf,
    /// Write nothing; say what would be restored
    #[arg(long)]
    dry_run: bool,
    /// Restore only what this pattern matches
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<String>,
    /// The same; letters of different case are the same
    #[arg(long, value_name = "PATTERN")]
    iinclude: Vec<String>,
    /// Restore only what the patterns in this file match
    #[arg(long, value_name = "F")]
    include_file: Vec<PathBuf>,
    /// The same; letters of different case are the same
    #[arg(long, value_name = "F")]
    iinclude_file: Vec<PathBuf>,
    /// Leave out what this pattern matches
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// The same; letters of different case are the same
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,
    /// Leave out what the patterns in this file match
    #[arg(long, value_name = "F")]
    exclude_file: Vec<PathBuf>,
    /// The same; letters of different case are the same
    #[arg(long, value_name = "F")]
    iexclude_file: Vec<PathBuf>,
    /// What becomes of files that are there
    #[arg(long, value_name = "BEHAVIOR", value_enum, default_value = "always")]
    overwrite: Overwrite,
    /// Give files to who has the snapshot's names on this machine
    #[arg(long)]
    ownership_by_name: bool,
    /// Runs of zeros take no room on the disk
    #[arg(long)]
    sparse: bool,
    /// Read every file back at the end and compare it with the snapshot
    #[arg(long)]
    verify: bool,
    /// An id, the beginning of one or `latest`, with `:FOLDER` for what lies below a folder
    #[arg(value_name = "SNAPSHOT[:FOLDER]")]
    snapshot: String,
}

/// What becomes of files that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Overwrite {
    /// They are replaced
    Always,
    /// They are replaced when size or modification differ
    IfChanged,
    /// They are replaced when the snapshot's is newer
    IfNewer,
    /// They stay
    Never,
}

/// Reads patterns as they were typed and those in files: one a line, `#` begins a comment.
fn patterns(lists: [(&[String], &[PathBuf], Case); 2]) -> Result<Patterns, CliError> {
    let mut patterns = Patterns::default();
    let wrong = |error: backstay_engine::pattern::PatternError| {
        error::input(error.to_string(), "Write * ? [a-z] and **, and \\ before a letter.")
    };
    for (words, files, case) in lists {
        for word in words {
            patterns.push(word.as_bytes(), case).map_err(wrong)?;
        }
        for file in files {
            let text = std::fs::read(file).map_err(|error| {
                error::input(format!("the patterns in {} cannot be read: {error}", file.display()), "Check its name.")
            })?;
            for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
                if !line.is_empty() && !line.starts_with(b"#") {
                    patterns.push(line, case).map_err(wrong)?;
                }
            }
        }
    }
    Ok(patterns)
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let include = patterns([
        (&verb.include, &verb.include_file, Case::Matters),
        (&verb.iinclude, &verb.iinclude_file, Case::Ignored),
    ])?;
    let exclude = patterns([
        (&verb.exclude, &verb.exclude_file, Case::Matters),
        (&verb.iexclude, &verb.iexclude_file, Case::Ignored),
    ])?;
    let engine = |error| error::engine(&error);
    let (opened, guard) = context.open_locked(LockMode::Shared)?;
    let (snapshot, folder) = opened.snapshot(&verb.snapshot, &verb.filter.filter(), &context.interrupt)?;
    let target = human::shown(&verb.target.display().to_string());
    context.output.note(&format!("restoring {} to {target}", view::sentence(&snapshot)));
    let id = snapshot.id.to_hex();
    let options = RestoreOptions {
        sub_path: &folder,
        include,
        exclude,
        reconcile: match verb.overwrite {
            Overwrite::Always => Reconcile::Overwrite,
            Overwrite::IfChanged => Reconcile::OverwriteIfChanged,
            Overwrite::IfNewer => Reconcile::OverwriteIfNewer,
            Overwrite::Never => Reconcile::Skip,
        },
        special: Special::Make,
        owners: if verb.ownership_by_name { Owners::Name } else { Owners::Number },
        sparse: verb.sparse,
        verify: verb.verify,
        workers: std::thread::available_parallelism().map_or(2, usize::from),
        ..RestoreOptions::new(&id, &verb.target)
    };
    let began = std::time::Instant::now();
    let progress = Arc::new(EngineProgress::default());
    let live = Live::begin(context.output, "restoring", Shape::Restore, &progress);
    let planned = guard.explain(plan(&opened.repository, &options, &progress, &context.interrupt)).map_err(engine)?;
    let totals = Totals::of(&planned);
    if context.output.verbose() > 1 {
        each(context, &planned);
    }
    let mut totals = totals;
    let done = if verb.dry_run {
        Restored { unread: planned.unread, ..Restored::default() }
    } else {
        let applied = apply(&opened.repository, planned, &options, &progress, &context.interrupt);
        let applied = guard.explain(applied).map_err(engine)?;
        totals.right_already(&applied);
        applied
    };
    drop(live);
    guard.release(context);
    tell(context, verb, &totals, &done, began.elapsed())
}

/// What a plan would do, in restic's counts.
#[derive(Debug, Default)]
struct Totals {
    /// Entries that are made, replaced or set right.
    entries: u64,
    bytes: u64,
    /// Regular files that the plan counts as unchanged.
    unchanged: u64,
    /// Regular files that stay as they are.
    skipped: u64,
    skipped_bytes: u64,
}

impl Totals {
    fn of(plan: &RestorePlan) -> Self {
        let mut totals = Self::default();
        plan.each(|entry| match entry.action {
            Action::Create | Action::Overwrite | Action::Rename => {
                totals.entries += 1;
                totals.bytes += entry.size_bytes;
            }
            Action::Unchanged if entry.kind != backstay_engine::format::node::NodeKind::File => totals.entries += 1,
            Action::Unchanged | Action::Skip => {
                totals.unchanged += u64::from(entry.action == Action::Unchanged);
                totals.skipped += 1;
                totals.skipped_bytes += entry.size_bytes;
            }
            Action::Fail => {}
        });
        totals
    }

    /// Takes out files that were to be replaced and held the right bytes already.
    fn right_already(&mut self, done: &Restored) {
        let found = done.unchanged.saturating_sub(self.unchanged).min(self.entries);
        let bytes = if found > 0 { self.bytes.saturating_sub(done.bytes) } else { 0 };
        self.entries -= found;
        self.skipped += found;
        self.bytes -= bytes;
        self.skipped_bytes += bytes;
    }
}

/// Says what becomes of each entry.
fn each(context: &Context, plan: &RestorePlan) {
    let output = &context.output;
    plan.each(|entry| {
        let action = match entry.action {
            Action::Create | Action::Rename => "restored",
            Action::Overwrite => "updated",
            Action::Unchanged | Action::Skip => "unchanged",
            Action::Fail => return,
        };
        if output.json() {
            let item = format!("/{}", go_text(&entry.path));
            let line =
                json!({ "message_type": "verbose_status", "action": action, "item": item, "size": entry.size_bytes });
            return output.value(&line);
        }
        output.line(&format!("{action:<9} {} ({})", shown_path(&entry.path), human::bytes(entry.size_bytes)));
    });
}

fn tell(
    context: &Context,
    verb: &Verb,
    totals: &Totals,
    done: &Restored,
    elapsed: std::time::Duration,
) -> Result<Exit, CliError> {
    let output = &context.output;
    for entry in &done.unread.entries {
        output.warn("restore", &entry.path, &entry.reason);
    }
    let named = done.unread.entries.len() as u64;
    if done.unread.count > named {
        output.warn("restore", "", &format!("and {} more could not be restored", done.unread.count - named));
    }
    if output.json() {
        let mut line = json!({ "message_type": "summary" });
        let restored = totals.entries.saturating_sub(done.unread.count);
        let counts = [
            ("seconds_elapsed", elapsed.as_secs()),
            ("total_files", totals.entries),
            ("files_restored", restored),
            ("files_skipped", totals.skipped),
            ("total_bytes", totals.bytes),
            ("bytes_restored", totals.bytes),
            ("bytes_skipped", totals.skipped_bytes),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            line[name] = count.into();
        }
        output.value(&line);
    } else if !output.is_quiet() {
        let (entries, bytes) = (human::count(totals.entries), human::bytes(totals.bytes));
        let took = human::duration(elapsed);
        output.line(&match verb.dry_run {
            true => format!("would restore {entries} entries, {bytes}; nothing was written"),
            false => format!("restored {entries} entries, {bytes}, in {took}"),
        });
        if totals.skipped > 0 {
            let (files, bytes) = (human::count(totals.skipped), human::bytes(totals.skipped_bytes));
            output.line(&format!("left {files} files, {bytes}, as they are"));
        }
        if verb.verify && !verb.dry_run {
            output.line(&format!("read {} files back: they hold what the snapshot does", human::count(done.verified)));
        }
    }
    if done.unread.is_empty() {
        return Ok(Exit::Done);
    }
    let heading = format!("{} could not be restored", entries(done.unread.count));
    Err(CliError::new(Exit::Failed, heading)
        .hint("The lines above say why; running it again restores what is missing."))
}

/// Returns a count of entries in words.
pub(super) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{} entries", human::count(count)) }
}
