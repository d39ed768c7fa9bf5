//! Forget: which snapshots stay, by rules or by name, and removing the others. Their data goes with a prune.

use std::collections::BTreeMap;

use backstay_core::domain::adoption::PARTIAL_TAG;
use backstay_core::domain::retention::{Candidate, Preview, RetentionPolicy, keep};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::format::object::FileKind;
use crate::format::snapshot::SnapshotFile;
use crate::interrupt::Interrupt;
use crate::lock::{LockGuard, LockMode};
use crate::repository::Repository;

/// What snapshots of one group have in common. restic's default is host and paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The machine.
    pub host: bool,
    /// All paths.
    pub paths: bool,
    /// All tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { host: true, paths: true, tags: false }
    }
}

/// What a group has in common; empty where that was not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The machine.
    pub host: String,
    /// All paths, sorted.
    pub paths: Vec<String>,
    /// All tags, sorted.
    pub tags: Vec<String>,
}

/// What becomes of a group.
#[derive(Debug, Clone)]
pub struct ForgetGroup {
    /// What its snapshots have in common.
    pub key: GroupKey,
    /// Each snapshot with the rules that keep it, newest first; and those that go, in the order in which they do.
    pub preview: Preview<Id>,
}

/// Reads all snapshots for which `takes` says yes.
///
/// # Errors
/// [`EngineError`] when the list is not complete or any snapshot cannot be read: what is not known is not counted, and
/// rules on a shorter list would drop what they should keep.
pub fn snapshots(
    repository: &Repository,
    takes: &dyn Fn(&SnapshotFile) -> bool,
    interrupt: &Interrupt,
) -> Result<Vec<(Id, SnapshotFile)>, EngineError> {
    let mut all = Vec::new();
    let ids = repository.file_list(FileKind::Snapshot, interrupt)?;
    repository.each_file(FileKind::Snapshot, &ids, interrupt, |id, plain| {
        let file = repository.snapshot_parse(id, plain)?;
        if takes(&file) {
            all.push((*id, file));
        }
        Ok(())
    })?;
    Ok(all)
}

/// Decides by rules which snapshots stay.
///
/// # Errors
/// [`EngineError::Format`] when a snapshot's time cannot be read.
pub fn plan(
    snapshots: &[(Id, SnapshotFile)],
    group_by: GroupBy,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Result<Vec<ForgetGroup>, EngineError> {
    let mut groups: BTreeMap<GroupKey, Vec<Candidate<Id>>> = BTreeMap::new();
    for (id, file) in snapshots {
        let wrong = || FormatError::shape("snapshot", format!("`{}` is no instant", file.time));
        let told = |source| EngineError::Format { place: FileKind::Snapshot.key(id).to_string(), source };
        let candidate = Candidate {
            id: *id,
            parent: None,
            taken_at: taken_at(&file.time).ok_or_else(|| told(wrong()))?,
            tags: file.tags.clone(),
            is_good: !file.tags.iter().any(|tag| tag == PARTIAL_TAG),
            is_pinned: false,
            is_held: false,
            protected_until: None,
            is_unwanted: false,
        };
        groups.entry(key_of(file, group_by)).or_default().push(candidate);
    }
    Ok(groups.into_iter().map(|(key, group)| ForgetGroup { key, preview: keep(policy, &group, now) }).collect())
}

/// Removes snapshots in this order, and returns how many. One that is not there is removed already.
///
/// # Errors
/// [`EngineError::LockLost`] when the lock is not exclusive or is gone; [`EngineError::Interrupted`],
/// [`EngineError::Storage`]. Those before it are removed then, and it may be repeated.
pub fn apply(
    repository: &Repository,
    ids: &[Id],
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<u64, EngineError> {
    if guard.mode() != LockMode::Exclusive {
        return Err(EngineError::LockLost { place: repository.place() });
    }
    let mut count = 0;
    for id in ids {
        interrupt.check()?;
        guard.check()?;
        repository.file_remove(FileKind::Snapshot, id, interrupt)?;
        count += 1;
    }
    Ok(count)
}

fn key_of(file: &SnapshotFile, group_by: GroupBy) -> GroupKey {
    let sorted = |wanted: bool, words: &[String]| {
        let mut words = if wanted { words.to_vec() } else { Vec::new() };
        words.sort_unstable();
        words
    };
    GroupKey {
        host: if group_by.host { file.hostname.clone() } else { String::new() },
        paths: sorted(group_by.paths, &file.paths),
        tags: sorted(group_by.tags, &file.tags),
    }
}

/// Returns when a snapshot was taken, by the calendar of the offset that its time carries: restic counts days so.
fn taken_at(time: &str) -> Option<Zoned> {
    let at: Timestamp = time.parse().ok()?;
    let offset = Pieces::parse(time).ok()?.to_numeric_offset().unwrap_or(Offset::UTC);
    Some(at.to_zoned(TimeZone::fixed(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_place_where_it_was_taken() {
        for (text, day) in [("2026-01-31T23:30:00-05:00", 31), ("2026-01-31T23:30:00Z", 31)] {
            assert_eq!(taken_at(text).unwrap().day(), day, "{text}");
        }
        assert!(taken_at("yesterday").is_none());
    }
}
