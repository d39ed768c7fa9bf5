//! Proves a slice of a repository: structure as a whole, the slice's packs byte by byte, and a drill of a restore.
//!
//! It is `maintenance::check` with the slice's part of the data, then `restore::drill`. A pack is always of the same slice,
//! so all slices together read every pack that was there when its slice's turn came.

use std::path::Path;
use std::time::Instant;

use backstay_core::domain::evidence::{Drill, Findings, SliceFindings};
use backstay_core::domain::id::RepositoryId;
use backstay_core::domain::proof::Slice;
use backstay_core::domain::sample::DrillRule;
use jiff::Timestamp;

use super::empty;
use crate::error::EngineError;
use crate::interrupt::Interrupt;
use crate::maintenance::check::{Checked, ReadData, check};
use crate::progress::EngineProgress;
use crate::repository::Repository;
use crate::restore::RestoreOptions;
use crate::restore::drill::drill;

/// What a verify of a slice is told.
#[derive(Debug, Clone)]
pub struct SliceOptions<'a> {
    /// The repository's id in the control plane, for the record.
    pub repository_id: RepositoryId,
    /// Which slice.
    pub slice: Slice,
    /// The snapshot whose restore is drilled.
    pub snapshot: &'a str,
    /// How much of it.
    pub drill: DrillRule,
    /// An empty folder that the drill writes to; the caller removes it.
    pub folder: &'a Path,
    /// Threads that write; at least one.
    pub workers: usize,
    /// The moment when reading begins.
    pub started_at: Timestamp,
}

/// Proves a slice and returns what was read and found.
///
/// # Errors
/// As `maintenance::check` and `restore::drill`. Harm is no error.
pub fn verify_slice(
    repository: &Repository,
    options: &SliceOptions<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Findings, EngineError> {
    let began = Instant::now();
    let mut findings = empty(options.started_at);
    let part = ReadData::Part { part: u64::from(options.slice.number), of: u64::from(options.slice.of) };
    let checked = check(repository, &part, interrupt)?;
    take(&mut findings, &checked);
    let restore = RestoreOptions { workers: options.workers, ..RestoreOptions::new(options.snapshot, options.folder) };
    let drill = match drill(repository, &restore, options.drill, &mut findings, progress, interrupt) {
        Ok(drill) => drill,
        // A snapshot that the control plane knows and nobody forgot is lost when it is not there.
        Err(error) if error.is_harm() || matches!(error, EngineError::NoSnapshot { .. }) => {
            let place = format!("drill of snapshot {}", options.snapshot);
            findings.differs(place, backstay_core::managers::job::chain(&error));
            Drill::default()
        }
        Err(error) => return Err(error),
    };
    findings.files_read = drill.files;
    findings.bytes_read = drill.bytes;
    findings.slice = Some(SliceFindings {
        repository_id: options.repository_id,
        slice: options.slice,
        packs_read: checked.packs_read,
        snapshots_walked: checked.snapshots,
        trees_read: checked.trees,
        drill,
    });
    findings.took = began.elapsed();
    Ok(findings)
}

/// Takes in what a check read and found.
fn take(findings: &mut Findings, checked: &Checked) {
    findings.packs_named = checked.packs;
    findings.bytes_fetched = checked.bytes_read;
    for found in &checked.findings {
        findings.differs(found.place.clone(), found.problem.clone());
    }
    // A check names fewer than it counts; harm is never counted smaller.
    findings.difference_count = findings.difference_count.max(checked.finding_count);
}
