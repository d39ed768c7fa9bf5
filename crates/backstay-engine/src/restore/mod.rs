//! Brings a snapshot back to a folder, to a tar stream, or one file of it to a writer.
//!
//! ```text
//!  plan: walk the trees, look at the target, decide for each entry     (nothing is changed: a dry run ends here)
//!    ▼
//!  apply: folders; then parts that are right already are dropped; the others are sorted by pack and offset
//!    ▼  N workers: read a range, open each blob, write it at its place; the last part of a file sets its metadata
//!  hard links, symbolic links and special files, reading back when asked, then metadata of folders, deepest first
//! ```
//!
//! Paths lie under the target as they lie in the snapshot, or below the sub-path that was asked for. Every name is opened
//! beneath the target without following links. A file of which a blob is damaged is removed and named, never left with
//! wrong bytes; when none of it was written yet, what was there stays. A run that was cut short is finished by another:
//! the modification is set last, so a file that has it is done, and any other is compared blob by blob.
//! `options` says what can be asked, `decide` makes a `plan`, the rest consumes it. Absent on purpose: locks, leases.

pub mod options;
pub mod plan;
mod decide;
mod target;
mod write;
mod existing;
mod special;
mod metadata;
mod mark;
mod stage;
pub mod drill;
pub mod stream;
pub mod command;
pub mod tar;

use std::time::{Duration, Instant};

use backstay_core::domain::unread::Unread;

pub use self::options::{Owners, Reconcile, RestoreOptions, Special};
pub use self::plan::{Action, PlanCounts, PlannedEntry, RestorePlan};
pub use self::stream::{DumpOptions, Dumped, dump};

use self::mark::Mark;
use self::metadata::Rules;
use self::plan::{Part, state};
use self::target::Target;
use crate::error::EngineError;
use crate::format::node::NodeKind;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BadCopy, Repository};

/// What a restore did.
#[derive(Debug, Default)]
pub struct Restored {
    /// Regular files that were written or linked.
    pub files: u64,
    /// Folders made or joined.
    pub dirs: u64,
    /// Bytes of the files that were written or linked.
    pub bytes: u64,
    /// Links, FIFOs, sockets and devices.
    pub others: u64,
    /// Regular files that were there already, by size and modification or by content; their metadata was set.
    pub unchanged: u64,
    /// Entries that were left as they are there.
    pub skipped: u64,
    /// Bytes that were fetched and written.
    pub bytes_written: u64,
    /// Regular files that were read back at the end.
    pub verified: u64,
    /// How long it took until all was written, before anything was read back.
    pub wrote_for: Duration,
    /// Entries of which setuid, setgid or a capability was left out because rights were not asked for.
    pub rights_left_out: u64,
    /// Copies of blobs that were found to be bad and cost nothing, because another copy was good: a check says more.
    pub bad_copies: Vec<BadCopy>,
    /// Entries that could not be restored, or not with all of their metadata.
    pub unread: Unread,
}

/// What all steps of a restore know.
struct Run<'a> {
    repository: &'a Repository,
    options: &'a RestoreOptions<'a>,
    target: &'a Target,
    rules: Rules,
    progress: &'a EngineProgress,
    interrupt: &'a Interrupt,
}

/// Says what a restore with these options would do. Nothing is changed.
///
/// # Errors
/// [`EngineError::Target`] when the target is no folder, or holds something and nothing was said about that;
/// [`EngineError::NoSnapshot`], [`EngineError::NoPath`], [`EngineError::Interrupted`], [`EngineError::Storage`]. An entry
/// that cannot be restored is no error: it is counted and named.
pub fn plan(
    repository: &Repository,
    options: &RestoreOptions<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<RestorePlan, EngineError> {
    let target = Target::open(options.target, &options.system)?;
    let resumes = Mark::judge(target.as_ref(), options)?;
    let reconcile = if resumes { Reconcile::OverwriteIfChanged } else { options.reconcile };
    let met = if reconcile == Reconcile::Fail { None } else { target.as_ref() };
    let index = repository.index_load(interrupt)?;
    let options = RestoreOptions { reconcile, ..options.clone() };
    decide::decide(repository, &index, &options, met, progress, interrupt)
}

/// Does what a plan says, which was made with the same options.
///
/// # Errors
/// [`EngineError::Target`], [`EngineError::Interrupted`], [`EngineError::Storage`], [`EngineError::Write`] when the
/// target is full or takes nothing. Another run then finishes what this one began.
pub fn apply(
    repository: &Repository,
    mut plan: RestorePlan,
    options: &RestoreOptions<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Restored, EngineError> {
    let began = Instant::now();
    let target = Target::make(options.target, &options.system)?;
    let mark = Mark::set(&target, options)?;
    let rules = Rules::new(options.special, options.owners, &options.system);
    let run = Run { repository, options, target: &target, rules, progress, interrupt };
    let plan = &mut plan;
    let all = if options.verify { plan.parts.clone() } else { Vec::new() };
    let counts = plan.counts();
    progress.set_totals(counts.files, counts.bytes);
    special::make_folders(&run, plan)?;
    let mut done = Restored { skipped: counts.skip, rights_left_out: plan.rights_left_out, ..Restored::default() };
    done.bytes_written = files(&run, plan)?;
    special::make_others(&run, plan)?;
    done.wrote_for = began.elapsed();
    if options.verify {
        plan.parts = all;
        done.verified = existing::read_back(plan, &target, options.workers, interrupt)?;
    }
    done.dirs = special::settle_folders(&run, plan)?;
    for entry in plan.entries.iter().filter(|entry| entry.is_restored() && !entry.has(state::FAILED)) {
        match entry.kind {
            NodeKind::Dir => {}
            NodeKind::File if entry.has(state::MATCHED) => done.unchanged += 1,
            NodeKind::File => {
                done.files += 1;
                done.bytes += entry.size;
            }
            _ => done.others += 1,
        }
    }
    mark.remove(&target)?;
    done.unread = std::mem::take(&mut plan.unread);
    done.bad_copies = std::mem::take(&mut plan.bad_copies);
    Ok(done)
}

/// Restores: [`plan`], then [`apply`].
///
/// # Errors
/// Those of both.
pub fn restore(
    repository: &Repository,
    options: &RestoreOptions<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Restored, EngineError> {
    let plan = plan(repository, options, progress, interrupt)?;
    apply(repository, plan, options, progress, interrupt)
}

/// Writes and links the regular files, and returns how many bytes were written.
fn files(run: &Run<'_>, plan: &mut RestorePlan) -> Result<u64, EngineError> {
    special::choose_links(plan);
    let mut others: Vec<Part> = Vec::new();
    let mut parts = std::mem::take(&mut plan.parts);
    parts.retain(|part| {
        let entry = plan.entry(part.entry);
        if entry.has(state::LINKED) && entry.is_written() {
            others.push(*part);
        }
        entry.is_written() && !entry.has(state::LINKED | state::FAILED)
    });
    plan.parts = parts;
    let spared = existing::spare(plan, run.target, run.options, run.interrupt)?;
    run.progress.done(0, spared);
    let mut written = write::run(run, plan)?;
    loop {
        let again = special::make_links(run, plan)?;
        if again.is_empty() {
            return Ok(written);
        }
        plan.parts = others.iter().filter(|part| again.contains(&part.entry)).copied().collect();
        written += write::run(run, plan)?;
    }
}
