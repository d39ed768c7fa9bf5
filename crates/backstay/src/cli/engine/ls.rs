//! `backstay engine ls`: lists what a snapshot holds.

use backstay_engine::inspect::entry::{Entry, go_permissions, go_text, unix_permissions};
use backstay_engine::inspect::walk::{Flow, Step, walk};
use backstay_engine::lock::LockMode;
use backstay_engine::select;
use serde::Serialize;

use super::args::FilterArgs;
use super::context::{Context, exit_after, shown_path};
use super::error;
use super::view::{self, SnapshotView};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is listed.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// Show modes, owners, sizes and times
    #[arg(short, long)]
    long: bool,
    /// Show sizes in KiB, MiB, …
    #[arg(long)]
    human_readable: bool,
    /// Also what lies deeper below the folders that are named
    #[arg(long)]
    recursive: bool,
    /// The other way around
    #[arg(long)]
    reverse: bool,
    /// The order
    #[arg(short, long, value_name = "MODE", value_enum, default_value = "name")]
    sort: Sort,
    /// An id, the beginning of one or `latest`, with `:FOLDER` for what lies below a folder
    #[arg(value_name = "SNAPSHOT[:FOLDER]")]
    snapshot: String,
    /// Absolute paths of folders: only what lies in them
    #[arg(value_name = "DIR")]
    dirs: Vec<String>,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    Name,
    Size,
    #[value(alias = "time")]
    Mtime,
    Atime,
    Ctime,
    Extension,
}

/// An entry in restic's shape and order.
#[derive(Serialize)]
struct NodeLine<'a> {
    name: String,
    #[serde(rename = "type")]
    kind: &'a str,
    path: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    permissions: String,
    mtime: &'a str,
    atime: &'a str,
    ctime: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    inode: u64,
    message_type: &'static str,
    struct_type: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A snapshot at the head of a list.
#[derive(Serialize)]
struct SnapshotLine {
    #[serde(flatten)]
    snapshot: SnapshotView,
    message_type: &'static str,
    struct_type: &'static str,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    if let Some(wrong) = verb.dirs.iter().find(|dir| !dir.starts_with('/')) {
        return Err(error::input(format!("`{wrong}` is no absolute path in a snapshot"), "Begin it with a slash."));
    }
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let (snapshot, folder) = opened.snapshot(&verb.snapshot, &verb.filter.filter(), &context.interrupt)?;
    let index = opened.index(&context.interrupt)?;
    let mut blobs = opened.blobs(&index, &context.interrupt);
    let engine = |error| error::engine(&error);
    let root = select::tree_of(&opened.repository, &mut blobs, &snapshot, &folder).map_err(engine)?;
    if context.output.json() {
        let mut snapshot = SnapshotView::new(&snapshot);
        snapshot.tree = root.to_hex();
        context.output.value(&SnapshotLine { snapshot, message_type: "snapshot", struct_type: "snapshot" });
    } else {
        context.output.note(&format!("{}:", view::sentence(&snapshot)));
    }
    let dirs: Vec<Vec<&[u8]>> = verb.dirs.iter().map(|dir| parts(dir.as_bytes())).collect();
    let in_order = verb.sort == Sort::Name && !verb.reverse;
    let mut kept: Vec<(Vec<u8>, Entry)> = Vec::new();
    let mut harm = false;
    let walked = walk(&opened.repository, &mut blobs, root, &context.interrupt, &mut |step| {
        let (path, entry) = match step {
            Step::Entry { path, entry, .. } => (path, entry),
            Step::Unreadable { path, error } => {
                harm = true;
                context.tell_folder(path, &error);
                return Ok(Flow::Into);
            }
        };
        let place = parts(path);
        let inside = dirs.is_empty() || dirs.iter().any(|dir| place.starts_with(dir));
        if inside && in_order {
            show(context, verb, path, entry);
        } else if inside {
            kept.push((path.to_vec(), entry.clone()));
        }
        let deeper = inside && (verb.recursive || dirs.is_empty()) || dirs.iter().any(|dir| dir.starts_with(&place));
        Ok(if deeper { Flow::Into } else { Flow::Past })
    });
    walked.map_err(engine)?;
    sort(&mut kept, verb.sort);
    if verb.reverse {
        kept.reverse();
    }
    kept.iter().for_each(|(path, entry)| show(context, verb, path, entry));
    Ok(exit_after(harm))
}

fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect()
}

fn sort(entries: &mut [(Vec<u8>, Entry)], by: Sort) {
    let extension = |path: &[u8]| {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        name.iter().rposition(|byte| *byte == b'.').map(|at| name[at..].to_vec()).unwrap_or_default()
    };
    match by {
        Sort::Name => {}
        Sort::Size => entries.sort_by_key(|(_, entry)| entry.shown.size),
        Sort::Mtime => entries.sort_by(|a, b| a.1.shown.mtime.cmp(&b.1.shown.mtime)),
        Sort::Atime => entries.sort_by(|a, b| a.1.shown.atime.cmp(&b.1.shown.atime)),
        Sort::Ctime => entries.sort_by(|a, b| a.1.shown.ctime.cmp(&b.1.shown.ctime)),
        Sort::Extension => entries.sort_by_cached_key(|(path, _)| extension(path)),
    }
}

fn show(context: &Context, verb: &Verb, path: &[u8], entry: &Entry) {
    let shown = &entry.shown;
    if context.output.json() {
        return context.output.value(&NodeLine {
            name: go_text(&entry.name),
            kind: &shown.kind,
            path: format!("/{}", go_text(path)),
            uid: shown.uid,
            gid: shown.gid,
            size: entry.is_file().then_some(shown.size),
            mode: shown.mode.into(),
            permissions: go_permissions(shown.mode),
            mtime: &shown.mtime,
            atime: &shown.atime,
            ctime: &shown.ctime,
            inode: shown.inode,
            message_type: "node",
            struct_type: "node",
        });
    }
    context.output.line(&line(path, entry, verb.long, verb.human_readable));
}

/// Returns an entry's line for a person.
pub(super) fn line(path: &[u8], entry: &Entry, long: bool, human_readable: bool) -> String {
    let (shown, path) = (&entry.shown, shown_path(path));
    if !long {
        return path;
    }
    let size = if human_readable { human::bytes(shown.size) } else { shown.size.to_string() };
    let end = match shown.linktarget.as_str() {
        "" => String::new(),
        target => format!(" -> {}", human::shown(target)),
    };
    let (mode, time) = (unix_permissions(shown.mode), human::instant(&shown.mtime));
    format!("{mode} {:>5} {:>5} {size:>12} {time} {path}{end}", shown.uid, shown.gid)
}
