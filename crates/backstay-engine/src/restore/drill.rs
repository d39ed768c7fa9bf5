//! A restore drill: some files of a snapshot are restored to a folder of their own, read back and compared by hash.
//!
//! It goes the way of a restore, with fewer files: the same plan, the same writers, the same reading back. The caller
//! makes the folder and takes it away.

use std::io;
use std::path::Path;

use backstay_core::domain::evidence::{Drill, Findings};
use backstay_core::domain::sample::{DrillRule, choose_drill};
use backstay_core::domain::unread::Unread;

use super::options::{Owners, Reconcile, RestoreOptions, Special};
use super::plan::{Action, Entry, ROOT, RestorePlan};
use super::{apply, plan};
use crate::error::EngineError;
use crate::format::node::NodeKind;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::Repository;

/// Restores some files of a snapshot to an empty folder and writes what was found: the drill, the snapshot's totals, and
/// as a difference each file that did not come back as it was saved.
///
/// # Errors
/// [`EngineError::Target`] and [`EngineError::Write`] when the folder takes nothing, [`EngineError::Interrupted`],
/// [`EngineError::Storage`]. Harm is no error.
pub fn drill(
    repository: &Repository,
    options: &RestoreOptions<'_>,
    rule: DrillRule,
    findings: &mut Findings,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Drill, EngineError> {
    let options = RestoreOptions {
        reconcile: Reconcile::Fail,
        special: Special::LeaveOut,
        owners: Owners::Own,
        verify: true,
        resume: None,
        ..options.clone()
    };
    let mut planned = plan(repository, &options, progress, interrupt)?;
    let files: Vec<u32> = (0..).zip(&planned.entries).filter(|(_, entry)| may_go(entry)).map(|(at, _)| at).collect();
    let sizes: Vec<u64> = files.iter().map(|at| planned.entry(*at).size).collect();
    (findings.files_total, findings.bytes_total) = (sizes.len() as u64, sizes.iter().sum());
    let (chosen, files_too_large) = choose_drill(&sizes, rule);
    let chosen: Vec<u32> = chosen.into_iter().map(|place| files[place]).collect();
    // A tree that cannot be read, a blob that no index names: the look at all trees finds them.
    planned.unread = Unread::default();
    keep(&mut planned, &chosen);
    let done = apply(repository, planned, &options, progress, interrupt)?;
    let missing = (chosen.len() as u64).saturating_sub(done.files.min(done.verified));
    // Metadata that the folder's file system does not take is no harm: only files that did not come back are.
    for entry in done.unread.entries.iter().filter(|_| missing > 0) {
        findings.differs(entry.path.clone(), format!("drill: {}", entry.reason));
    }
    if missing > 0 && done.unread.is_empty() {
        findings.differs("drill".to_owned(), format!("{missing} of {} files did not come back", chosen.len()));
    }
    for bad in done.bad_copies {
        findings.differs(bad.place, format!("{}; another copy of it is good", bad.problem));
    }
    Ok(Drill {
        files: done.files,
        files_compared: done.verified,
        files_too_large,
        bytes: done.bytes,
        took: done.wrote_for,
    })
}

/// Returns the bytes that are free for the caller where a folder lies.
///
/// # Errors
/// What the system says.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Says whether an entry is a file that can be chosen.
fn may_go(entry: &Entry) -> bool {
    entry.kind == NodeKind::File && entry.wanted && entry.action == Action::Create
}

/// Leaves these files in a plan, with the folders that they lie in, and nothing else. Who drills must be able to read them
/// back and to take them away, whatever their modes are.
fn keep(planned: &mut RestorePlan, chosen: &[u32]) {
    for entry in &mut planned.entries {
        entry.wanted = false;
        entry.mode |= if entry.kind == NodeKind::Dir { 0o700 } else { 0o600 };
    }
    for file in chosen {
        let mut at = *file;
        while at != ROOT && !planned.entry(at).wanted {
            planned.entries[at as usize].wanted = true;
            at = planned.entry(at).parent;
        }
    }
    let entries = &planned.entries;
    planned.parts.retain(|part| entries[part.entry as usize].wanted);
}
