//! Maintenance of a repository in which a byte is changed: it makes nothing worse, spreads nothing wrong, and what is
//! repaired is whole.

use std::sync::Arc;
use std::time::Duration;

use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::repair::index::PacksRead;
use backstay_engine::maintenance::repair::{packs, snapshots};
use backstay_engine::maintenance::rewrite::snapshot::{Old, Outcome};
use backstay_engine::select::read_all;
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::ObjectStorage;
use backstay_testkit::fakes::storage::FakeStorage;

use super::copy::{empty_like, try_copy};
use super::flips::{Seen, Small, body_of, open, small};
use super::mortal::{Mortal, copy_of};
use super::proof::remove;
use super::prune::{alone, thorough, try_prune};
use super::repair::try_repair_index;

/// Of so many bytes one is changed: not by a power of two, so that every place of a structure has its turn.
const EVERY: usize = 7;

/// Judges what was done, and both looks.
type Judge<'j> = dyn Fn(&str, &Result<(), EngineError>, Seen, Seen) + 'j;

/// Does some work on a repository with each of some bytes changed; `judge` gets what was done and both looks.
fn whichever_byte_is_changed(
    what: &str,
    small: &Small,
    work: &dyn Fn(&Repository) -> Result<(), EngineError>,
    judge: &Judge<'_>,
) {
    let (mut flips, mut refused) = (0, 0);
    for key in small.template.keys().iter().filter(|key| !key.starts_with("keys/") && *key != "config") {
        for at in (0..body_of(&small.template, key).len()).step_by(EVERY) {
            let storage = copy_of(&small.template);
            storage.tamper(key, |body| body[at] ^= 1 << (at % 8));
            let repository = open(&storage).unwrap();
            let context = format!("byte {at} of {key}, then {what}");
            let before = small.restored(&repository, &context);
            let done = work(&repository);
            assert!(done.as_ref().err().is_none_or(EngineError::is_harm), "{context}: {done:?}");
            let after = small.restored(&repository, &context);
            judge(&context, &done, before, after);
            (flips, refused) = (flips + 1, refused + usize::from(done.is_err()));
        }
    }
    println!("{what}: {flips} bytes were changed, {refused} runs refused");
    assert!(flips > 150 && refused < flips, "{flips} {refused}");
}

#[test]
fn a_prune_makes_nothing_worse() {
    let small = small();
    remove(&small.template, FileKind::Snapshot.key(&small.snapshots[0]).as_str());
    let work = |repository: &Repository| {
        // What is marked by the first goes by the second.
        try_prune(repository, &thorough(Duration::ZERO))?;
        try_prune(repository, &thorough(Duration::ZERO)).map(drop)
    };
    whichever_byte_is_changed("a prune", &small, &work, &|context, _, before, after| {
        assert_eq!(before, after, "{context}");
    });
}

#[test]
fn a_copy_is_right_or_none() {
    let small = small();
    // One that is empty, made once: a new key costs more than a copy.
    let storage = Mortal::new(Arc::new(FakeStorage::default()));
    let target = empty_like(&open(&small.template).unwrap(), Arc::clone(&storage) as Arc<dyn ObjectStorage>);
    let empty = copy_of(&storage.inner());
    let work = |repository: &Repository| {
        storage.become_copy_of(&empty);
        if let Some((_, error)) = read_all(repository, &Interrupt::default())?.unreadable.pop() {
            return Err(error);
        }
        let done = try_copy(repository, &target);
        let found = check(&target, &ReadData::All, &Interrupt::default()).unwrap();
        assert!(found.is_whole(), "{found:?}");
        assert!(done.is_ok() || found.snapshots == 0, "{done:?} {found:?}");
        done.map(drop)
    };
    whichever_byte_is_changed("a copy", &small, &work, &|context, _, before, after| {
        assert_eq!(before, after, "{context}");
    });
}

/// Index, packs, snapshots, as the repairs themselves say.
fn repair(repository: &Repository) -> Result<(), EngineError> {
    let (interrupt, progress) = (Interrupt::default(), EngineProgress::default());
    let found = check(repository, &ReadData::All, &interrupt)?;
    let index = try_repair_index(repository, PacksRead::All)?;
    let mut damaged: Vec<Id> = index.packs_unreadable.iter().map(|pack| pack.id).collect();
    let named = found.findings.iter().filter_map(|one| one.place.strip_prefix("pack ").and_then(Id::from_hex));
    damaged.extend(named.filter(|id| !index.packs_missing.contains(id)));
    let folder = tempfile::tempdir().unwrap();
    if !damaged.is_empty() {
        let guard = alone(repository)?;
        let planned = packs::plan(repository, &damaged, &guard, &progress, &interrupt)?;
        packs::apply(repository, &planned, folder.path(), &guard, &progress, &interrupt)?;
        guard.release()?;
    }
    let guard = alone(repository)?;
    let all = read_all(repository, &interrupt)?;
    let chosen = (all.read.clone(), &all.read[..]);
    let mut tell = |_: &Id, _: &[u8], _: &snapshots::Loss| {};
    let planned = snapshots::plan(repository, chosen, Old::Forget, &mut tell, &guard, &progress, &interrupt)?;
    let same = planned.plan.snapshots.iter().filter(|one| one.outcome == Outcome::Same).count();
    let done = snapshots::apply(repository, planned, &guard, &progress, &interrupt)?;
    guard.release()?;
    assert_eq!(same + done.forgotten.len(), all.read.len());
    // What is left, but for a snapshot file that cannot be read, is whole.
    let left = check(repository, &ReadData::All, &interrupt)?;
    assert_eq!(left.finding_count as usize, all.unreadable.len(), "{left:?}");
    Ok(())
}

#[test]
fn what_is_repaired_is_whole() {
    let small = small();
    whichever_byte_is_changed("repairs", &small, &repair, &|context, done, before, after| {
        assert!(done.is_ok(), "{context}: {done:?}");
        assert!(after.whole >= before.whole, "{context}: {before:?} {after:?}");
    });
}
