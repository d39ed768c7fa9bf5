//! `backstay engine find`: finds entries by name, or where a blob, tree or pack is used.

use backstay_engine::format::index::Index;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::format::time::FileTime;
use backstay_engine::inspect::entry::{Shown, go_permissions, go_text};
use backstay_engine::inspect::find::{Ids, Names, Object, Objects, Place, by_id, by_name};
use backstay_engine::lock::LockMode;
use backstay_engine::pattern::{Case, Patterns};
use backstay_engine::select::{self, Snapshot};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::FilterArgs;
use super::context::{Context, Opened, exit_after, shown_path};
use super::{error, ls, view};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// The words are ids of blobs, or the beginnings of them
    #[arg(long, conflicts_with_all = ["tree", "pack"])]
    blob: bool,
    /// The words are ids of trees
    #[arg(long, conflicts_with = "pack")]
    tree: bool,
    /// The words are ids of packs
    #[arg(long)]
    pack: bool,
    /// Also say in which pack it lies
    #[arg(long)]
    show_pack_id: bool,
    /// Letters of different case are the same
    #[arg(short, long)]
    ignore_case: bool,
    /// Show modes, owners, sizes and times
    #[arg(short, long)]
    long: bool,
    /// Show sizes in KiB, MiB, …
    #[arg(long)]
    human_readable: bool,
    /// Not modified before this, as 2026-01-31 or "2026-01-31 12:00:00"
    #[arg(short = 'O', long, value_name = "TIME", value_parser = instant)]
    oldest: Option<FileTime>,
    /// Not modified after this
    #[arg(short = 'N', long, value_name = "TIME", value_parser = instant)]
    newest: Option<FileTime>,
    /// Oldest snapshots first
    #[arg(short = 'R', long)]
    reverse: bool,
    /// Look into this snapshot alone; can be given several times
    #[arg(short, long, value_name = "ID")]
    snapshot: Vec<String>,
    /// Patterns of names, with * ? [] and **; any of them
    #[arg(value_name = "PATTERN", required = true)]
    words: Vec<String>,
}

/// Reads an instant in the machine's time zone.
pub(super) fn instant(text: &str) -> Result<FileTime, String> {
    let wrong = || format!("`{text}` is no instant; write 2026-01-31 or \"2026-01-31 12:00:00\"");
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return FileTime::read(&at.to_string()).ok_or_else(wrong);
    }
    let local: jiff::civil::DateTime = text.parse().map_err(|_| wrong())?;
    let at = local.to_zoned(jiff::tz::TimeZone::system()).map_err(|_| wrong())?;
    FileTime::read(&at.timestamp().to_string()).ok_or_else(wrong)
}

/// An entry that was found, in restic's shape and order.
#[derive(Serialize)]
struct Match {
    path: String,
    permissions: String,
    #[serde(flatten)]
    shown: Shown,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let many = select::many(&opened.repository, &verb.snapshot, &verb.filter.filter(), &context.interrupt);
    let mut many = many.map_err(|error| error::engine(&error))?;
    for (word, error) in &many.ignored {
        context.output.warn("choosing snapshots", word, &format!("left out: {error}"));
    }
    let harm = context.tell_unreadable(&many.unreadable);
    many.chosen.sort_by(|a, b| if verb.reverse { a.time.cmp(&b.time) } else { b.time.cmp(&a.time) });
    let index = opened.index(&context.interrupt)?;
    let harmed = match verb.blob || verb.tree || verb.pack {
        true => objects(context, verb, &opened, &index, &many.chosen)?,
        false => names(context, verb, &opened, &index, &many.chosen)?,
    };
    Ok(exit_after(harm || harmed))
}

/// Looks for names; true when there was harm.
fn names(
    context: &Context,
    verb: &Verb,
    opened: &Opened,
    index: &Index,
    snapshots: &[Snapshot],
) -> Result<bool, CliError> {
    let case = if verb.ignore_case { Case::Ignored } else { Case::Matters };
    let mut patterns = Patterns::default();
    for word in &verb.words {
        let pushed = patterns.push(word.as_bytes(), case);
        pushed.map_err(|wrong| error::input(wrong.to_string(), "Write * ? [a-z] and **, and \\ before a letter."))?;
    }
    let names = Names { patterns, oldest: verb.oldest, newest: verb.newest };
    let mut blobs = opened.blobs(index, &context.interrupt);
    let (mut all, mut harm, output) = (Vec::new(), false, &context.output);
    for snapshot in snapshots {
        let mut matches = Vec::new();
        let mut found = |place: Place<'_>| {
            if output.json() {
                let path = format!("/{}", go_text(place.path));
                let permissions = go_permissions(place.entry.shown.mode);
                return matches.push(json!(Match { path, permissions, shown: place.entry.shown.clone() }));
            }
            if matches.is_empty() {
                output.line(&format!("in {}:", human::shown(&view::sentence(snapshot))));
            }
            matches.push(Value::Null);
            output.line(&ls::line(place.path, place.entry, verb.long, verb.human_readable));
        };
        let looked = by_name(
            &opened.repository,
            &mut blobs,
            snapshot,
            &names,
            &context.interrupt,
            &mut found,
            &mut |path, error| {
                harm = true;
                context.tell_folder(path, &error);
            },
        );
        looked.map_err(|error| error::engine(&error))?;
        if !matches.is_empty() {
            all.push(json!({ "hits": matches.len(), "snapshot": snapshot.id.to_hex(), "matches": matches }));
        }
    }
    match (output.json(), all.is_empty()) {
        (true, _) => output.value(&all),
        (false, true) => output.note("nothing fits"),
        (false, false) => {}
    }
    Ok(harm)
}

/// Looks for blobs, trees and what packs hold; true when there was harm.
fn objects(
    context: &Context,
    verb: &Verb,
    opened: &Opened,
    index: &Index,
    snapshots: &[Snapshot],
) -> Result<bool, CliError> {
    let words = || verb.words.iter().map(String::as_str);
    let mut wanted = Objects::default();
    match (verb.blob, verb.tree) {
        (true, _) => wanted.blobs = Ids::read(words()),
        (_, true) => wanted.trees = Ids::read(words()),
        _ => {
            let packs = Ids::read(words());
            for (kind, id) in index.blobs_in(|pack| packs.takes(pack)) {
                let set = if kind == BlobKind::Data { &mut wanted.blobs } else { &mut wanted.trees };
                set.whole.insert(id);
            }
        }
    }
    let mut blobs = opened.blobs(index, &context.interrupt);
    let (mut all, mut harm, output) = (Vec::new(), false, &context.output);
    for snapshot in snapshots {
        let (id, time) = (snapshot.id.to_hex(), &snapshot.file.time);
        let mut found = |object: Object<'_>| {
            let (kind, word, object, path, tree) = match &object {
                Object::Blob(id, place) => (BlobKind::Data, "blob", *id, place.path, Some(place.tree)),
                Object::Tree(id, place) => (BlobKind::Tree, "tree", *id, place.path, None),
                Object::Root(id) => (BlobKind::Tree, "tree", *id, &b""[..], None),
            };
            if output.json() {
                let path = format!("/{}", go_text(path));
                let mut value = json!({
                    "object_type": word, "id": object.to_hex(), "path": path, "snapshot": id, "time": time,
                });
                if let Some(tree) = tree {
                    value["parent_tree"] = tree.to_hex().into();
                }
                return all.push(value);
            }
            all.push(Value::Null);
            output.line(&format!("{word} {object}"));
            output.line(&format!("  is {} in {}", shown_path(path), human::shown(&view::sentence(snapshot))));
            if let Some(place) = index.find(kind, &object).filter(|_| verb.show_pack_id) {
                output.line(&format!("  lies in pack {}, {} bytes at {}", place.pack, place.length, place.offset));
            }
        };
        let looked = by_id(
            &opened.repository,
            &mut blobs,
            snapshot,
            &wanted,
            &context.interrupt,
            &mut found,
            &mut |path, error| {
                harm = true;
                context.tell_folder(path, &error);
            },
        );
        looked.map_err(|error| error::engine(&error))?;
    }
    match (output.json(), all.is_empty()) {
        (true, _) => output.value(&all),
        (false, true) => output.note("no snapshot uses it"),
        (false, false) => {}
    }
    Ok(harm)
}
