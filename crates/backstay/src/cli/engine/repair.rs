//! `backstay engine repair`: makes a damaged repository whole again: its index, its packs, its snapshots.

use std::path::PathBuf;
use std::sync::Arc;

use backstay_engine::EngineProgress;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::repair::index::{self, IndexPreview, PacksRead};
use backstay_engine::maintenance::repair::packs::{self, PacksPreview};
use backstay_engine::select;
use serde_json::json;

use super::context::Context;
use super::progress::{Live, Shape};
use super::view::short;
use super::{error, repair_snapshots};
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is repaired.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Make the index name what the packs hold that are there
    Index(Index),
    /// Save what is intact in damaged packs, and remove them
    Packs(Packs),
    /// Make snapshots anew without what is lost
    Snapshots(repair_snapshots::Verb),
}

/// How the index is repaired.
#[derive(Debug, clap::Args)]
struct Index {
    /// Read the headers of all packs, also of those that the index names as they are
    #[arg(long)]
    read_all_packs: bool,
    /// Write nothing; say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Which packs are repaired.
#[derive(Debug, clap::Args)]
struct Packs {
    /// The packs, as `check --read-data` and `repair index` name them
    #[arg(value_name = "PACK", required = true)]
    packs: Vec<String>,
    /// Where the bytes of damaged packs are saved before anything is done [default: the folder that this is called in]
    #[arg(long, value_name = "DIR")]
    save_to: Option<PathBuf>,
    /// Write nothing; say what would be saved
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    match &verb.part {
        Part::Index(verb) => index_run(context, verb),
        Part::Packs(verb) => packs_run(context, verb),
        Part::Snapshots(verb) => repair_snapshots::run(context, verb),
    }
}

/// Returns the lock that a repair works under.
pub(super) const fn mode(dry_run: bool) -> LockMode {
    if dry_run { LockMode::Shared } else { LockMode::Exclusive }
}

fn index_run(context: &Context, verb: &Index) -> Result<Exit, CliError> {
    let (opened, guard) = context.open_locked(mode(verb.dry_run))?;
    let lock = guard.needed("repair")?;
    let read = if verb.read_all_packs { PacksRead::All } else { PacksRead::Doubtful };
    context.output.note("looking at what the index names and at what is there");
    let progress = Arc::new(EngineProgress::default());
    let live = Live::begin(context.output, "reading packs", Shape::Of("packs"), &progress);
    let planned = index::plan(&opened.repository, read, lock, &progress, &context.interrupt);
    drop(live);
    let planned = guard.explain(planned).map_err(|error| error::engine(&error))?;
    let preview = planned.preview.clone();
    if !verb.dry_run {
        let done = index::apply(&opened.repository, planned, lock, &context.interrupt);
        guard.explain(done).map_err(|error| error::engine(&error))?;
    }
    guard.release(context);
    index_tell(context, &preview, verb.dry_run)
}

fn index_tell(context: &Context, done: &IndexPreview, dry_run: bool) -> Result<Exit, CliError> {
    let output = &context.output;
    for file in &done.index_files_unreadable {
        output.warn("reading the index", &format!("index {}", file.id), &file.problem);
    }
    for pack in &done.packs_missing {
        output.warn("listing packs", &format!("pack {pack}"), "the index names it and it is not there");
    }
    for pack in &done.packs_unreadable {
        output.warn("reading packs", &format!("pack {}", pack.id), &pack.problem);
    }
    if output.json() {
        let hex = |ids: &mut dyn Iterator<Item = &Id>| ids.map(|id| id.to_hex()).collect::<Vec<_>>();
        output.value(&json!({
            "message_type": "summary",
            "dry_run": dry_run,
            "index_files": done.index_files,
            "index_files_replaced": done.index_files_replaced,
            "index_files_unreadable": hex(&mut done.index_files_unreadable.iter().map(|file| &file.id)),
            "packs": done.packs,
            "packs_read": done.packs_read,
            "packs_added": done.packs_added,
            "packs_corrected": done.packs_corrected,
            "packs_missing": hex(&mut done.packs_missing.iter()),
            "packs_unreadable": hex(&mut done.packs_unreadable.iter().map(|pack| &pack.id)),
            "blobs_added": done.blobs_added,
            "blobs_lost": done.blobs_lost,
        }));
    } else if done.is_idle() {
        output.line("the index is right as it is");
    } else {
        let (would, were) = if dry_run { ("would be ", "") } else { ("", "") };
        let files = human::count(done.index_files_replaced);
        let (added, corrected) = (human::count(done.packs_added), human::count(done.packs_corrected));
        output.line(&format!("{files} of {} index files {would}replaced{were}", human::count(done.index_files)));
        output
            .line(&format!("{added} packs {would}added, {corrected} corrected, {} dropped", done.packs_missing.len()));
        let (blobs, lost) = (human::count(done.blobs_added), human::count(done.blobs_lost));
        output.line(&format!("{blobs} blobs {would}named that were not; {lost} are lost"));
    }
    if done.blobs_lost > 0 {
        output.note("back up again what is still at its source; `backstay engine repair snapshots` drops what is lost");
    }
    if done.packs_unreadable.is_empty() {
        return Ok(Exit::Done);
    }
    let ids: Vec<String> = done.packs_unreadable.iter().map(|pack| pack.id.to_hex()).collect();
    let heading = format!("{} packs cannot be read; they were left", ids.len());
    let hint = format!("Save what is intact in them: `backstay engine repair packs {}`.", ids.join(" "));
    Err(CliError::new(Exit::Failed, heading).hint(&hint))
}

fn packs_run(context: &Context, verb: &Packs) -> Result<Exit, CliError> {
    let (opened, guard) = context.open_locked(mode(verb.dry_run))?;
    let lock = guard.needed("repair")?;
    let mut ids = Vec::new();
    for word in &verb.packs {
        ids.push(match Id::from_hex(word) {
            Some(id) => id,
            None => {
                let all = opened.repository.file_list(FileKind::Pack, &context.interrupt);
                let all = all.map_err(|error| error::engine(&error))?;
                let unknown = |_| error::input(format!("`{word}` names no pack, or several"), "Give all 64 digits.");
                select::expand(&all, word).map_err(unknown)?
            }
        });
    }
    context.output.note("looking for what is intact");
    let progress = Arc::new(EngineProgress::default());
    let live = Live::begin(context.output, "reading packs", Shape::Of("packs"), &progress);
    let planned = packs::plan(&opened.repository, &ids, lock, &progress, &context.interrupt);
    drop(live);
    let planned = guard.explain(planned).map_err(|error| error::engine(&error))?;
    let mut files = Vec::new();
    if !verb.dry_run {
        let folder = verb.save_to.clone().unwrap_or_else(|| PathBuf::from("."));
        let progress = Arc::new(EngineProgress::default());
        let live = Live::begin(context.output, "saving", Shape::Of("packs"), &progress);
        let done = packs::apply(&opened.repository, &planned, &folder, lock, &progress, &context.interrupt);
        drop(live);
        files = guard.explain(done).map_err(|error| error::engine(&error))?;
    }
    guard.release(context);
    packs_tell(context, &planned.preview, &files, verb.dry_run);
    Ok(Exit::Done)
}

fn packs_tell(context: &Context, done: &PacksPreview, files: &[PathBuf], dry_run: bool) {
    let output = &context.output;
    let kind = |kind: BlobKind| if kind == BlobKind::Tree { "tree" } else { "data" };
    let lost: usize = done.packs.iter().map(|pack| pack.lost.len()).sum();
    for pack in &done.packs {
        for blob in &pack.lost {
            output.warn("saving blobs", &format!("{} blob {}", kind(blob.kind), blob.id), "it cannot be had");
        }
        if output.json() {
            output.value(&json!({
                "message_type": "pack",
                "id": pack.id.to_hex(),
                "bytes": pack.bytes,
                "blobs_saved": pack.blobs_saved,
                "blobs_elsewhere": pack.blobs_elsewhere,
                "blobs_lost": pack.lost.len(),
            }));
        } else {
            let id = short(&pack.id);
            let (saved, elsewhere) = (human::count(pack.blobs_saved), human::count(pack.blobs_elsewhere));
            let would = if dry_run { "would be " } else { "" };
            let lost = pack.lost.len();
            output.line(&format!(
                "pack {id}: {saved} blobs {would}saved, {elsewhere} are elsewhere too, {lost} are lost"
            ));
        }
    }
    if output.json() {
        return output.value(&json!({
            "message_type": "summary",
            "dry_run": dry_run,
            "packs": done.packs.len(),
            "bytes_saved": done.bytes_saved,
            "blobs_lost": lost,
            "index_files_replaced": done.index_files_replaced,
            "files": files,
        }));
    }
    for file in files {
        output.line(&format!("the pack's bytes are kept in {}", human::shown(&file.display().to_string())));
    }
    if lost > 0 {
        output.note("back up again what is still at its source; `backstay engine repair snapshots` drops what is lost");
    }
}
