//! `backstay engine stats`: counts what snapshots hold.

use backstay_engine::inspect::stats::{Counter, Mode, Stats};
use backstay_engine::lock::LockMode;
use backstay_engine::select;
use serde::Serialize;

use super::args::FilterArgs;
use super::context::{Context, exit_after};
use super::error;
use crate::cli::error::{CliError, Exit};
use crate::cli::human;

/// What is counted, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    #[command(flatten)]
    filter: FilterArgs,
    /// The way of counting
    #[arg(long, value_enum, default_value = "restore-size")]
    mode: ModeArg,
    /// Ids, the beginnings of them, or `latest`; all snapshots when none is given
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

/// A way of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ModeArg {
    /// What a restore of each snapshot would write
    RestoreSize,
    /// Files that differ in what they hold
    FilesByContents,
    /// Blobs of each file, by what it holds and its path
    BlobsPerFile,
    /// What lies in the storage
    RawData,
}

/// Totals in restic's shape: what is zero is left out.
#[derive(Serialize)]
struct StatsLine {
    total_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_uncompressed_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_space_saving: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_file_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_blob_count: Option<u64>,
    snapshots_count: u64,
}

impl From<&Stats> for StatsLine {
    fn from(stats: &Stats) -> Self {
        let some = |count: u64| (count > 0).then_some(count);
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let not_zero = |number: &f64| *number != 0.0;
        let saved = share(stats.bytes, stats.plain_bytes).map(|share| (1.0 - share) * 100.0);
        Self {
            total_size: stats.bytes,
            total_uncompressed_size: some(stats.plain_bytes),
            compression_ratio: share(stats.compressed_plain_bytes, stats.compressed_bytes),
            compression_progress: share(stats.compressed_plain_bytes, stats.plain_bytes)
                .map(|share| share * 100.0)
                .filter(not_zero),
            compression_space_saving: saved.filter(not_zero),
            total_file_count: some(stats.files),
            total_blob_count: some(stats.blobs),
            snapshots_count: stats.snapshots,
        }
    }
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<Exit, CliError> {
    let (opened, _guard) = context.open_locked(LockMode::Shared)?;
    let engine = |error| error::engine(&error);
    let many = select::many(&opened.repository, &verb.snapshots, &verb.filter.filter(), &context.interrupt);
    let many = many.map_err(engine)?;
    for (word, error) in &many.ignored {
        context.output.warn("choosing snapshots", word, &format!("left out: {error}"));
    }
    let mut harm = context.tell_unreadable(&many.unreadable);
    let index = opened.index(&context.interrupt)?;
    let mut blobs = opened.blobs(&index, &context.interrupt);
    let mode = match verb.mode {
        ModeArg::RestoreSize => Mode::RestoreSize,
        ModeArg::FilesByContents => Mode::FilesByContents,
        ModeArg::BlobsPerFile => Mode::BlobsPerFile,
        ModeArg::RawData => Mode::RawData,
    };
    let mut counter = Counter::new(mode);
    for snapshot in &many.chosen {
        let taken = counter.take(&opened.repository, &mut blobs, snapshot, &context.interrupt, &mut |path, error| {
            harm = true;
            context.tell_folder(path, &error);
        });
        taken.map_err(engine)?;
    }
    let line = StatsLine::from(counter.stats());
    if context.output.json() {
        context.output.value(&line);
    } else {
        people(context, &line, mode);
    }
    Ok(exit_after(harm))
}

fn people(context: &Context, line: &StatsLine, mode: Mode) {
    let say = |what: &str, value: String| context.output.line(&format!("{what:<22}{value}"));
    say("snapshots", human::count(line.snapshots_count));
    if let Some(files) = line.total_file_count {
        let what = if mode == Mode::RestoreSize { "entries" } else { "files" };
        say(what, human::count(files));
    }
    if let Some(blobs) = line.total_blob_count {
        say("blobs", human::count(blobs));
    }
    say(if mode == Mode::RawData { "stored" } else { "size" }, human::bytes(line.total_size));
    if let (Some(plain), Some(saved)) = (line.total_uncompressed_size, line.compression_space_saving) {
        say("before compression", format!("{}; {saved:.1} % saved", human::bytes(plain)));
    }
}
