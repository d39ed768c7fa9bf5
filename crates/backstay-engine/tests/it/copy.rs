//! A copy in another repository is what restic's copy is, is sent once, and may die anywhere.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::copy::{Copied, CopyPreview, apply, plan};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage, ReadCache};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use futures::executor::block_on;

use super::house::{House, PASSWORD, local, maker, password};
use super::lock::lock;
use super::mortal::{Mortal, copy_of};
use super::proof::{pack_key, places};
use super::prune::{alone, thorough, try_prune, two_snapshots, write_out};
use super::restic::restics;
use super::rewrite::{all, facts};
use super::tree;

pub(crate) fn try_copy(source: &Repository, target: &Repository) -> Result<(CopyPreview, Copied), EngineError> {
    // Locks of a process that died before are over.
    alone(target)?.release()?;
    let guard = lock(target, LockMode::Shared)?;
    let interrupt = Interrupt::default();
    let there = backstay_engine::select::read_all(target, &interrupt)?.read;
    let planned = plan((source, target), &all(source), &there, &interrupt)?;
    let preview = planned.preview.clone();
    let done = apply((source, target), planned, &guard, &EngineProgress::default(), &interrupt)?;
    guard.release()?;
    Ok((preview, done))
}

pub(crate) fn empty_like(source: &Repository, storage: Arc<dyn ObjectStorage>) -> Repository {
    Repository::create_like(storage, &password(), maker(), source, &Interrupt::default()).unwrap()
}

fn target_of(house: &House) -> (Repository, Arc<FakeStorage>) {
    let storage = Arc::new(FakeStorage::default());
    (empty_like(&house.repository, Arc::clone(&storage) as Arc<dyn ObjectStorage>), storage)
}

/// Opens a repository in memory from a folder that it is laid out in.
fn laid_out(storage: &FakeStorage) -> House {
    let home = tempfile::tempdir().unwrap();
    write_out(storage, &home.path().join("repository"));
    House::opened(home)
}

#[test]
fn a_copy_is_what_restic_s_is_and_each_skips_what_the_other_copied() {
    let house = House::local();
    two_snapshots(&house);
    let (target, storage) = target_of(&house);
    let (preview, done) = try_copy(&house.repository, &target).unwrap();
    assert_eq!((done.snapshots.len() as u64, done.blobs), (2, preview.blobs));
    assert!(preview.packs > 1 && preview.blobs_there == 0);
    let copied = laid_out(&storage);
    for restic in restics() {
        restic.check(&copied);
    }
    for (old, new) in &done.snapshots {
        let (expected, restored) = (house.restore(old).1, copied.home.path().join("restored").join(new.to_hex()));
        let hex = new.to_hex();
        let options = backstay_engine::restore::RestoreOptions::new(&hex, &restored);
        fs::create_dir_all(restored.parent().unwrap()).unwrap();
        backstay_engine::restore::restore(
            &copied.repository,
            &options,
            &EngineProgress::default(),
            &Interrupt::default(),
        )
        .unwrap();
        tree::assert_same(&expected, &super::house::below(&restored, &house.tree()), tree::Bits::All);
    }
    let Some(restic) = restics().pop() else { return };
    let run = |to: &Path| {
        let output = std::process::Command::new(restic.program())
            .args(["--no-cache", "copy", "-r"])
            .arg(to.join("repository"))
            .arg("--from-repo")
            .arg(house.home.path().join("repository"))
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_FROM_PASSWORD", PASSWORD)
            .env("TZ", "UTC")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // restic finds that all was copied.
    run(copied.home.path());
    assert_eq!(copied.snapshots().len(), 2);
    // What restic copies is the same, and we find that all was copied.
    let theirs = tempfile::tempdir().unwrap();
    let repository = empty_like(&house.repository, local(&theirs.path().join("repository")));
    run(theirs.path());
    assert_eq!(facts(&repository), facts(&copied.repository));
    let (preview, done) = try_copy(&house.repository, &repository).unwrap();
    assert_eq!((preview.blobs, done.snapshots.len()), (0, 0));
    assert!(preview.snapshots.iter().all(|one| one.already.is_some()));
}

/// What files are cut into is the same in both, so a backup after the copy sends nothing.
#[test]
fn a_backup_to_the_copy_finds_all_its_data_there() {
    let house = House::local();
    fs::write(house.tree().join("large"), tree::noise(5, 5 << 20)).unwrap();
    house.backup(None);
    let (target, _) = target_of(&house);
    try_copy(&house.repository, &target).unwrap();
    assert_ne!(target.id(), house.repository.id());
    let options = super::house::options(&house.tree(), None);
    let again = super::house::backup(&target, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert_eq!(again.summary.data_blobs, 0, "{:?}", again.summary);
}

#[test]
fn packs_are_read_once_in_order_and_not_blob_by_blob() {
    let (house, storage) = House::fake();
    two_snapshots(&house);
    let (target, _) = target_of(&house);
    let guard = lock(&target, LockMode::Shared).unwrap();
    let planned = plan((&house.repository, &target), &all(&house.repository), &[], &Interrupt::default()).unwrap();
    let before = storage.calls(Call::Get);
    let (packs, blobs) = (planned.preview.packs, planned.preview.blobs);
    apply((&house.repository, &target), planned, &guard, &EngineProgress::default(), &Interrupt::default()).unwrap();
    guard.release().unwrap();
    assert_eq!(storage.calls(Call::Get) - before, packs);
    assert!(blobs > packs * 5);
}

#[test]
fn a_copy_may_die_at_any_call_and_sends_what_was_named_no_more() {
    let house = House::local();
    two_snapshots(&house);
    let storage = Mortal::new(Arc::new(FakeStorage::default()));
    let target = empty_like(&house.repository, Arc::clone(&storage) as Arc<dyn ObjectStorage>);
    let template = copy_of(&storage.inner());
    let (whole, _) = try_copy(&house.repository, &target).unwrap();
    let (mut deaths, mut resumed) = (0, 0);
    for is_done in [false, true] {
        for nth in 1.. {
            storage.become_copy_of(&template);
            storage.die_at(nth, is_done);
            let done = try_copy(&house.repository, &target);
            let died = storage.revive();
            let context = format!("death {nth}, done {is_done}: {done:?}");
            assert!(died || done.is_ok(), "{context}");
            // Each snapshot that is there can be restored.
            let copied = laid_out(&storage.inner());
            for id in copied.snapshots() {
                let found = copied.try_verify(&id).unwrap();
                assert!(found.files_read > 0, "{context}");
            }
            storage.pass(jiff::SignedDuration::from_mins(40));
            let (preview, _) = try_copy(&house.repository, &target).unwrap();
            resumed += usize::from(preview.blobs < whole.blobs);
            let copied = laid_out(&storage.inner());
            assert_eq!(copied.snapshots().len(), 2, "{context}");
            if nth % 9 == 0 {
                restics().last().into_iter().for_each(|restic| restic.check(&copied));
            }
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 30 && resumed > 5, "{deaths} {resumed}");
}

#[test]
fn what_was_read_before_the_source_failed_is_not_sent_again() {
    let (house, storage) = House::fake();
    two_snapshots(&house);
    let (target, _) = target_of(&house);
    let guard = lock(&target, LockMode::Shared).unwrap();
    let snapshots = all(&house.repository);
    let interrupt = Interrupt::default();
    let planned = plan((&house.repository, &target), &snapshots, &[], &interrupt).unwrap();
    let (blobs, packs) = (planned.preview.blobs, planned.preview.packs);
    storage.harm_from(Call::Get, packs, Harm::Fail);
    let failed = apply((&house.repository, &target), planned, &guard, &EngineProgress::default(), &interrupt);
    storage.heal();
    assert!(failed.is_err() && all(&target).is_empty(), "{failed:?}");
    let left = plan((&house.repository, &target), &snapshots, &[], &interrupt).unwrap();
    assert_eq!((left.preview.packs, left.preview.blobs < blobs), (1, true), "{:?} of {blobs}", left.preview);
    apply((&house.repository, &target), left, &guard, &EngineProgress::default(), &interrupt).unwrap();
    guard.release().unwrap();
    assert!(check(&target, &ReadData::All, &interrupt).unwrap().is_whole());
}

/// Where no pack has a blob whole, no snapshot is written.
#[test]
fn a_damaged_source_is_not_copied_as_if_it_were_whole() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    let place = places(&house, &first, "shared-05")[0];
    storage.tamper(&pack_key(&place), |body| body[place.offset as usize + 30] ^= 1);
    let (target, _) = target_of(&house);
    let refused = try_copy(&house.repository, &target).unwrap_err();
    assert!(refused.is_harm(), "{refused:?}");
    assert_eq!(all(&target).len(), 0);
}

#[test]
fn a_blob_that_is_bad_in_one_pack_is_sent_from_another() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    // A backup that does not see the index writes everything again.
    let indexes: Vec<String> = storage.keys().into_iter().filter(|key| key.starts_with("index/")).collect();
    let get = |key: &String| block_on(storage.object_get(&ObjectKey::new(&**key).unwrap(), None, ReadCache::Use));
    let bodies: Vec<_> = indexes.iter().map(|key| get(key).unwrap()).collect();
    indexes.iter().for_each(|key| super::repair::remove(&storage, key));
    house.backup(None);
    for (key, body) in indexes.iter().zip(bodies) {
        block_on(storage.object_put(&ObjectKey::new(&**key).unwrap(), body)).unwrap();
    }
    // What is found first is bad, or not there.
    let shared = places(&house, &first, "shared-05")[0];
    storage.tamper(&pack_key(&shared), |body| body[shared.offset as usize + 30] ^= 1);
    let other = (6..20)
        .map(|file| places(&house, &first, &format!("shared-{file:02}"))[0])
        .find(|place| place.pack != shared.pack);
    other.into_iter().for_each(|place| super::repair::remove(&storage, &pack_key(&place)));
    let (target, _) = target_of(&house);
    let (_, done) = try_copy(&house.repository, &target).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(done.snapshots.len(), 3);
    let checked = check(&target, &ReadData::All, &Interrupt::default()).unwrap();
    assert!(checked.is_whole(), "{checked:#?}");
}

#[test]
fn a_copy_that_is_told_to_stop_writes_no_snapshot_and_a_prune_beside_it_waits() {
    let house = House::local();
    two_snapshots(&house);
    let (target, _) = target_of(&house);
    let guard = lock(&target, LockMode::Shared).unwrap();
    let waits = super::lock::lock(&target, LockMode::Exclusive).unwrap_err();
    assert!(matches!(waits, EngineError::Locked { .. }), "{waits:?}");
    let planned = plan((&house.repository, &target), &all(&house.repository), &[], &Interrupt::default()).unwrap();
    let stop = Interrupt::default();
    stop.raise();
    let stopped = apply((&house.repository, &target), planned, &guard, &EngineProgress::default(), &stop);
    assert!(matches!(stopped, Err(EngineError::Interrupted)), "{stopped:?}");
    guard.release().unwrap();
    assert_eq!(all(&target).len(), 0);
    try_prune(&target, &thorough(std::time::Duration::ZERO)).unwrap();
    try_copy(&house.repository, &target).unwrap();
    assert_eq!(all(&target).len(), 2);
}

/// A prune that slept through the loss of its lock marks packs of the target that a copy counts on: the copy notices before
/// it publishes, and the next one sends what they had.
///
/// Red without the second look in `copy/apply.rs`.
#[test]
fn a_copy_that_a_prune_came_between_publishes_nothing() {
    let house = House::local();
    let (_, newer) = two_snapshots(&house);
    let (target, storage) = target_of(&house);
    try_copy(&house.repository, &target).unwrap();
    let copied = backstay_engine::select::read_all(&target, &Interrupt::default()).unwrap().read;
    fs::write(house.tree().join("more"), tree::noise(77, 90_000)).unwrap();
    house.backup(Some(newer));
    let guard = lock(&target, LockMode::Shared).unwrap();
    let interrupt = Interrupt::default();
    let planned = plan((&house.repository, &target), &all(&house.repository), &copied, &interrupt).unwrap();
    assert!(planned.preview.blobs > 0 && planned.preview.blobs_there > 0, "{:?}", planned.preview);
    // The prune does not see the lock, as one does not that looked for locks before.
    let key = backstay_engine::format::object::FileKind::Lock.key(&guard.id());
    let kept = block_on(storage.object_get(&key, None, ReadCache::Use)).unwrap();
    block_on(storage.object_remove(&key)).unwrap();
    for snapshot in &copied {
        super::prune::forget_one(&target, &snapshot.id).unwrap();
    }
    assert_ne!(try_prune(&target, &thorough(std::time::Duration::from_secs(3_600))).unwrap().packs_marked, 0);
    block_on(storage.object_put(&key, kept)).unwrap();
    let refused =
        apply((&house.repository, &target), planned, &guard, &EngineProgress::default(), &interrupt).unwrap_err();
    assert!(matches!(refused, EngineError::Overtaken { count, .. } if count > 0), "{refused:?}");
    guard.release().unwrap();
    assert_eq!(backstay_engine::select::read_all(&target, &interrupt).unwrap().read.len(), 0);
    let (_, done) = try_copy(&house.repository, &target).unwrap();
    assert_eq!(done.snapshots.len(), 3);
    let laid = laid_out(&storage);
    for restic in restics() {
        restic.check(&laid);
    }
}
