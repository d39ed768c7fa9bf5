//! `backstay engine backup`: makes a snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use backstay_core::domain::unread::Unread;
use backstay_engine::EngineProgress;
use backstay_engine::archive::exclude::{Excludes, FileSystems};
use backstay_engine::archive::options::{AccessTimes, ArchiveOptions, ChangeRule, Recheck, RootRule};
use backstay_engine::archive::run::{archive, rehearse};
use backstay_engine::archive::stream::{archive_stream, rehearse_stream};
use backstay_engine::format::id::Id;
use backstay_engine::format::snapshot::Summary;
use backstay_engine::format::time::FileTime;
use backstay_engine::lock::LockMode;
use backstay_engine::select::{self, Filter};
use jiff::Timestamp;
use serde::Serialize;

use super::args::PatternArgs;
use super::context::{Context, Opened};
use super::error;
use super::progress::{Live, Shape};
use super::restore::entries;
use super::roots::{self, Input, RootArgs};
use super::view::{Grouping, short};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;
use crate::roles::engine::{username, variable};
use crate::roles::system;
use backstay_engine::size::bytes;

/// Packs that are uploaded at once at the most, unless it is said: 192 MiB of them.
const UPLOADS: usize = 12;

/// Most packs that are uploaded at once: each is held in memory, and no server is faster with more connections.
const UPLOADS_MAX: usize = 64;

/// What is backed up, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    roots: RootArgs,
    #[command(flatten)]
    excludes: ExcludeArgs,
    /// Write nothing; say what would be saved
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Read everything, whatever an earlier snapshot says
    #[arg(short, long)]
    force: bool,
    /// The snapshot that unchanged files are taken from [default: the newest of the group]
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "force")]
    parent: Option<String>,
    /// What the group of a snapshot is, to find its parent: host, paths, tags
    #[arg(short, long, value_name = "GROUP", value_parser = Grouping::read, default_value = "host,paths")]
    group_by: Grouping,
    /// Name of the machine in the snapshot [env: RESTIC_HOST] [default: this machine's]
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Option<String>,
    /// Tags of the snapshot
    #[arg(long, value_name = "TAG[,TAG…]")]
    tag: Vec<String>,
    /// The snapshot's time, as "2026-01-31 12:00:00" [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::find::instant)]
    time: Option<FileTime>,
    /// A file is unchanged whatever the change of its inode says
    #[arg(long)]
    ignore_ctime: bool,
    /// A file is unchanged whatever its inode and the change of it say
    #[arg(long)]
    ignore_inode: bool,
    /// Keep times of last access
    #[arg(long)]
    with_atime: bool,
    /// Make no snapshot that is the same as its parent
    #[arg(long)]
    skip_if_unchanged: bool,
    /// Do not open and hash new blobs again before they leave
    #[arg(long)]
    no_extra_verify: bool,
    /// Threads that read [env: RESTIC_READ_CONCURRENCY] [default: one a processor]
    #[arg(long, value_name = "N")]
    read_concurrency: Option<usize>,
    /// Packs that are uploaded at once, if that helps; each takes 16 MiB of memory [default: 12]
    #[arg(long, value_name = "N")]
    packs_in_flight: Option<usize>,
    /// Accepted for restic's sake: the size is estimated beside the work
    #[arg(long, hide = true)]
    no_scan: bool,
}

/// What is left out.
#[derive(Debug, clap::Args)]
struct ExcludeArgs {
    #[command(flatten)]
    patterns: PatternArgs,
    /// Leave out what lies in folders that a CACHEDIR.TAG marks
    #[arg(long)]
    exclude_caches: bool,
    /// Leave out what lies beside this file, if it begins with the header
    #[arg(long, value_name = "NAME[:HEADER]")]
    exclude_if_present: Vec<String>,
    /// Leave out larger files, as 500k, 20M or 1G
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    exclude_larger_than: Option<u64>,
    /// Stay on the file systems of what is named
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

impl ExcludeArgs {
    fn excludes(&self) -> Result<Excludes, CliError> {
        let mut excludes = Excludes::default();
        self.patterns.add_to(&mut excludes)?;
        if self.exclude_caches {
            excludes.add_caches();
        }
        for text in &self.exclude_if_present {
            let added = excludes.add_if_present(text);
            added.map_err(|wrong| CliError::from_error(Exit::Failed, &wrong).hint("Write NAME or NAME:HEADER."))?;
        }
        if let Some(bytes) = self.exclude_larger_than {
            excludes.larger_than(bytes);
        }
        if self.one_file_system {
            excludes.file_systems(FileSystems::RootsOwn);
        }
        Ok(excludes)
    }
}

/// How a backup went, in restic's shape and order.
#[derive(Serialize)]
struct SummaryLine<'a> {
    message_type: &'static str,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    dirs_new: u64,
    dirs_changed: u64,
    dirs_unmodified: u64,
    data_blobs: u64,
    tree_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    total_duration: f64,
    backup_start: &'a str,
    backup_end: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// What became of a backup.
struct Done {
    id: Option<Id>,
    summary: Summary,
    unread: Unread,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let excludes = verb.excludes.excludes()?;
    let (opened, guard) = context.open_locked(LockMode::Shared)?;
    // Once nothing else can go wrong: a command is started here.
    let input = verb.roots.input(context)?;
    let roots = input.roots();
    let engine = |error| error::engine(&error);
    let began_at = Timestamp::now();
    let parent = match verb.force {
        true => None,
        false => parent(context, verb, &opened, &roots, began_at)?,
    };
    match (&parent, verb.force) {
        (Some(id), _) => context.output.note(&format!("unchanged files are taken from snapshot {}", short(id))),
        (None, false) => context.output.note("no earlier snapshot of this: everything is read"),
        (None, true) => {}
    }
    let options = ArchiveOptions {
        root_rule: RootRule::Anything,
        excludes,
        parent,
        change_rule: match (verb.ignore_inode, verb.ignore_ctime) {
            (true, _) => ChangeRule::IgnoreInode,
            (false, true) => ChangeRule::IgnoreChangeTime,
            (false, false) => ChangeRule::Full,
        },
        access_times: if verb.with_atime { AccessTimes::Kept } else { AccessTimes::Left },
        hostname: host(verb),
        username: username(),
        tags: tags(verb),
        workers: workers(verb),
        uploads: verb.packs_in_flight.unwrap_or(UPLOADS).clamp(1, UPLOADS_MAX),
        recheck: if verb.no_extra_verify { Recheck::Off } else { Recheck::Each },
        ..ArchiveOptions::new(roots, program(), verb.time.and_then(timestamp).unwrap_or(began_at))
    };
    let progress = Arc::new(EngineProgress::default());
    let live = Live::begin(context.output, "backing up", Shape::Backup, &progress);
    let done = if verb.dry_run {
        let rehearsed = match input {
            Input::Roots(_) => rehearse(&opened.repository, &options, &progress, &context.interrupt),
            Input::Stream(name, stream) => {
                rehearse_stream(&opened.repository, &options, &name, stream, &progress, &context.interrupt)
            }
        };
        let rehearsed = guard.explain(rehearsed).map_err(engine)?;
        Done { id: None, summary: rehearsed.summary, unread: rehearsed.unread }
    } else {
        let archived = match input {
            Input::Roots(_) => archive(&opened.repository, &options, &progress, &context.interrupt),
            Input::Stream(name, stream) => {
                archive_stream(&opened.repository, &options, &name, stream, &progress, &context.interrupt)
            }
        };
        let archived = guard.explain(archived).map_err(engine)?;
        if verb.skip_if_unchanged && archived.is_unchanged() {
            guard.check().map_err(engine)?;
            let left = archived.leave();
            Done { id: None, summary: left.summary, unread: left.unread }
        } else {
            context.interrupt.check().map_err(engine)?;
            guard.check().map_err(engine)?;
            let published = archived.publish(Timestamp::now()).map_err(engine)?;
            guard.check().map_err(engine)?;
            Done { id: Some(published.id), summary: published.summary, unread: published.unread }
        }
    };
    drop(live);
    guard.release(context);
    Ok(tell(context, verb, &done, began_at))
}

/// Returns what the snapshot says it was made by.
pub(super) fn program() -> String {
    format!("backstay {}", env!("CARGO_PKG_VERSION"))
}

fn timestamp(time: FileTime) -> Option<Timestamp> {
    Timestamp::new(time.seconds, i32::try_from(time.nanoseconds).ok()?).ok()
}

fn host(verb: &Verb) -> String {
    verb.host.clone().or_else(|| variable("RESTIC_HOST")).unwrap_or_else(system::hostname)
}

fn tags(verb: &Verb) -> Vec<String> {
    verb.tag.iter().flat_map(|list| list.split(',')).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn workers(verb: &Verb) -> usize {
    let asked = variable("RESTIC_READ_CONCURRENCY").and_then(|text| text.parse().ok());
    let asked = verb.read_concurrency.or(asked).filter(|count| *count > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from))
}

/// Finds the snapshot that unchanged files are taken from.
fn parent(
    context: &Context,
    verb: &Verb,
    opened: &Opened,
    roots: &[PathBuf],
    now: Timestamp,
) -> Result<Option<Id>, CliError> {
    if let Some(word) = &verb.parent {
        let found = select::one(&opened.repository, word, &Filter::default(), &context.interrupt);
        return Ok(Some(found.map_err(|error| error::select(&error))?.id));
    }
    let all = select::read_all(&opened.repository, &context.interrupt).map_err(|error| error::engine(&error))?;
    // A snapshot that cannot be read costs time here, and nothing else.
    context.tell_unreadable(&all.unreadable);
    let text = |path: &PathBuf| roots::clean(path).to_str().map(str::to_owned);
    let by = verb.group_by;
    let filter = Filter {
        hosts: if by.host { vec![host(verb)] } else { Vec::new() },
        paths: if by.paths { roots.iter().filter_map(text).collect() } else { Vec::new() },
        tags: if by.tags { vec![tags(verb)] } else { Vec::new() },
    };
    let limit = verb.time.or_else(|| FileTime::read(&now.to_string())).unwrap_or_default();
    let known = all.read.into_iter().filter(|snapshot| snapshot.time <= limit).collect();
    Ok(select::newest(known, &filter).map(|snapshot| snapshot.id))
}

/// Tells how it went.
fn tell(context: &Context, verb: &Verb, done: &Done, began_at: Timestamp) -> Exit {
    let (output, summary) = (&context.output, &done.summary);
    for entry in &done.unread.entries {
        output.warn("archival", &entry.path, &entry.reason);
    }
    let named = done.unread.entries.len() as u64;
    if done.unread.count > named {
        output.warn("archival", "", &format!("and {} more could not be read", done.unread.count - named));
    }
    let now = Timestamp::now();
    let elapsed = std::time::Duration::try_from(now.duration_since(began_at)).unwrap_or_default();
    if output.json() {
        let (began, ended) = (began_at.to_string(), now.to_string());
        output.value(&SummaryLine {
            message_type: "summary",
            files_new: summary.files_new,
            files_changed: summary.files_changed,
            files_unmodified: summary.files_unmodified,
            dirs_new: summary.dirs_new,
            dirs_changed: summary.dirs_changed,
            dirs_unmodified: summary.dirs_unmodified,
            data_blobs: summary.data_blobs,
            tree_blobs: summary.tree_blobs,
            data_added: summary.data_added,
            data_added_packed: summary.data_added_packed,
            total_files_processed: summary.total_files_processed,
            total_bytes_processed: summary.total_bytes_processed,
            total_duration: elapsed.as_secs_f64(),
            backup_start: if summary.backup_start.is_empty() { &began } else { &summary.backup_start },
            backup_end: if summary.backup_end.is_empty() { &ended } else { &summary.backup_end },
            snapshot_id: done.id.map(Id::to_hex),
            dry_run: verb.dry_run,
        });
    } else if !output.is_quiet() {
        people(context, verb, done, elapsed);
    }
    if done.unread.is_empty() {
        return Exit::Done;
    }
    let heading = format!("{} could not be read, and the snapshot is without", entries(done.unread.count));
    let partial = CliError::new(Exit::Partial, heading);
    output.failed(&partial.hint("Make them readable, or leave them out with --exclude, and back up again."))
}

fn people(context: &Context, verb: &Verb, done: &Done, elapsed: std::time::Duration) {
    let (output, summary) = (&context.output, &done.summary);
    let row = |what: &str, new, changed, unmodified| {
        let counts = [new, changed, unmodified].map(human::count);
        format!("{what:<9}{:>9} new {:>9} changed {:>9} unmodified", counts[0], counts[1], counts[2])
    };
    output.line(&row("files", summary.files_new, summary.files_changed, summary.files_unmodified));
    output.line(&row("folders", summary.dirs_new, summary.dirs_changed, summary.dirs_unmodified));
    let (files, bytes) = (human::count(summary.total_files_processed), human::bytes(summary.total_bytes_processed));
    output.line(&format!("looked at {files} files, {bytes}, in {}", human::duration(elapsed)));
    let (added, packed) = (human::bytes(summary.data_added), human::bytes(summary.data_added_packed));
    match (verb.dry_run, done.id) {
        (true, _) => output.line(&format!("would add {added} ({packed} stored); nothing was written")),
        (false, None) => output.line("the same as its parent: no snapshot was made"),
        (false, Some(id)) => output.line(&format!("snapshot {} saved, {added} added ({packed} stored)", short(&id))),
    }
}
