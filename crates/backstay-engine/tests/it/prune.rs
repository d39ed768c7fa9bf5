//! A prune removes what nobody needs and nothing else, whenever it dies, whoever writes beside it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backstay_engine::archive::run::archive;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::lock::{DeadLocks, LockGuard, LockMode, LockOwner, LockTerms};
use backstay_engine::maintenance::forget;
use backstay_engine::maintenance::prune::{PruneOptions, PrunePreview, UnusedLimit, apply, plan};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage, ReadCache};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};

use super::house::{House, backup, maker, options, password};
use super::mortal::{Mortal, copy_of};
use super::restic::restics;
use super::tree::{self, Bits, assert_same};

/// Takes the lock, whatever dead processes left.
pub(crate) fn alone(repository: &Repository) -> Result<LockGuard, EngineError> {
    let dead = DeadLocks { ids: repository.file_list(FileKind::Lock, &Interrupt::default())?, ..DeadLocks::default() };
    let terms = LockTerms { look_again_after: Duration::ZERO, dead, ..LockTerms::default() };
    let owner = LockOwner::this_process("pruner".to_owned());
    repository.lock(LockMode::Exclusive, &owner, &terms, &Interrupt::default())
}

/// Options that leave nothing unused.
pub(crate) fn thorough(grace: Duration) -> PruneOptions {
    PruneOptions { grace, unused: UnusedLimit::Bytes(0), rewrite_bytes_max: None }
}

pub(crate) fn try_prune(repository: &Repository, options: &PruneOptions) -> Result<PrunePreview, EngineError> {
    let guard = alone(repository)?;
    let interrupt = Interrupt::default();
    let plan = plan(repository, options, &guard, &interrupt)?;
    let preview = plan.preview.clone();
    let done = apply(repository, plan, &guard, &EngineProgress::default(), &interrupt)?;
    assert_eq!(preview, done);
    guard.release()?;
    Ok(done)
}

fn prune(repository: &Repository, options: &PruneOptions) -> PrunePreview {
    try_prune(repository, options).unwrap()
}

pub(crate) fn forget_one(repository: &Repository, id: &Id) -> Result<(), EngineError> {
    let guard = alone(repository)?;
    assert_eq!(forget::apply(repository, &[*id], &guard, &Interrupt::default())?, 1);
    guard.release()
}

/// Fills a tree and backs it up twice: the second snapshot shares some of each pack with the first.
pub(crate) fn two_snapshots(house: &House) -> (Id, Id) {
    for file in 0..20u64 {
        fs::write(house.tree().join(format!("shared-{file:02}")), tree::noise(file, 30_000)).unwrap();
        fs::write(house.tree().join(format!("old-{file:02}")), tree::noise(100 + file, 30_000)).unwrap();
    }
    fs::create_dir(house.tree().join("folder")).unwrap();
    fs::write(house.tree().join("folder/text"), tree::text(1, 50_000)).unwrap();
    let first = house.backup(None).id;
    for file in 0..20 {
        fs::remove_file(house.tree().join(format!("old-{file:02}"))).unwrap();
    }
    fs::write(house.tree().join("new"), tree::noise(1_000, 300_000)).unwrap();
    let second = house.backup(Some(first)).id;
    (first, second)
}

fn bytes_of_packs(repository: &Repository) -> u64 {
    repository.pack_list(&Interrupt::default()).unwrap().iter().map(|(_, bytes)| bytes).sum()
}

/// Asserts that all that is left is read back, and that the newest tree is as the source.
fn assert_whole(house: &House) {
    for id in house.snapshots() {
        house.assert_proved(&id);
    }
}

#[test]
fn a_prune_has_two_phases_and_both_restics_find_no_fault_after_each() {
    let house = House::local();
    let (first, second) = two_snapshots(&house);
    let before = bytes_of_packs(&house.repository);
    forget_one(&house.repository, &first).unwrap();
    let options = thorough(Duration::ZERO);
    let marked = prune(&house.repository, &options);
    assert!(marked.packs_rewritten >= 1 && marked.bytes_freed == 0, "{marked:?}");
    assert!(bytes_of_packs(&house.repository) > before, "what was copied is there twice");
    // Only the headers of packs that were written anew are not foreseen.
    let unforeseen = bytes_of_packs(&house.repository).checked_sub(marked.bytes_left).unwrap();
    assert!(unforeseen > 0 && unforeseen < before / 20, "{unforeseen} of {before}");
    for restic in restics() {
        restic.check(&house);
    }
    assert_whole(&house);
    let (all, waiting) = (bytes_of_packs(&house.repository), thorough(Duration::from_secs(3_600)));
    let still = prune(&house.repository, &waiting);
    assert_eq!((still.packs_waiting, still.packs_removed), (marked.packs_rewritten + marked.packs_marked, 0));
    let removed = prune(&house.repository, &options);
    assert_eq!(removed.packs_removed, still.packs_waiting, "{removed:?}");
    assert_eq!(bytes_of_packs(&house.repository), all - removed.bytes_freed);
    assert_eq!((still.bytes_left, removed.bytes_left), (all, all - removed.bytes_freed));
    assert_eq!(removed.bytes_freed, marked.bytes_freed_later);
    for restic in restics() {
        restic.check(&house);
        assert_same(&house.tree(), &restic.restore(&house, &second.to_hex()), Bits::All);
    }
    assert_whole(&house);
    let nothing = prune(&house.repository, &options);
    assert_eq!((nothing.bytes_unused, nothing.packs_removed, nothing.index_files_replaced), (0, 0, 0), "{nothing:?}");
    assert!(bytes_of_packs(&house.repository) < before);
}

/// What a prune says before it starts is what it then asks of the storage.
#[test]
fn the_work_that_is_foreseen_is_the_work_that_is_done() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    for phase in ["marks", "removes"] {
        let guard = alone(&house.repository).unwrap();
        let planned = plan(&house.repository, &thorough(Duration::ZERO), &guard, &Interrupt::default()).unwrap();
        let work = planned.work();
        let calls = || [Call::Put, Call::Get, Call::Remove].map(|call| storage.calls(call));
        let before = calls();
        let done =
            apply(&house.repository, planned, &guard, &EngineProgress::default(), &Interrupt::default()).unwrap();
        let after = calls();
        let count = |at: usize| after[at] - before[at];
        assert_eq!([work.puts, work.gets, work.deletes], [count(0), count(1), count(2)], "{phase}: {work:?}");
        assert!(work.bytes_read >= done.bytes_rewritten && work.bytes_written >= done.bytes_rewritten);
        assert_eq!(work.gets > 0, done.packs_rewritten > 0);
        guard.release().unwrap();
    }
}

/// The grace is counted by the storage's clock, which all share, also where the machines' clocks are days apart.
#[test]
fn a_marked_pack_stays_for_its_grace_by_the_storages_clock() {
    let (house, storage) = mortal_house();
    let (first, _) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    let hour = thorough(Duration::from_secs(3_600));
    let marked = prune(&house.repository, &hour);
    for (minutes, expected) in [(30, 0), (29, 0), (2, marked.packs_rewritten + marked.packs_marked), (60, 0)] {
        storage.pass(SignedDuration::from_mins(minutes));
        assert_eq!(prune(&house.repository, &hour).packs_removed, expected, "{minutes}");
    }
}

/// A clock that was wrong for a day would else keep a pack until it is right.
#[test]
fn a_mark_of_a_time_to_come_is_made_anew() {
    let (house, storage) = mortal_house();
    let (first, _) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    let hour = thorough(Duration::from_secs(3_600));
    storage.pass(SignedDuration::from_hours(24 * 400));
    let marked = prune(&house.repository, &hour);
    let count = marked.packs_rewritten + marked.packs_marked;
    storage.pass(SignedDuration::from_hours(-24 * 400));
    let again = prune(&house.repository, &hour);
    assert_eq!((again.packs_marked, again.packs_waiting), (count, 0), "{again:?}");
    storage.pass(SignedDuration::from_mins(61));
    assert_eq!(prune(&house.repository, &hour).packs_removed, count);
}

/// Returns a house whose storage can die.
pub(crate) fn mortal_house() -> (House, Arc<Mortal>) {
    let (mut house, _) = House::fake();
    let storage = Mortal::new(Arc::new(FakeStorage::default()));
    let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
    house.repository = Repository::create(shared, &password(), maker(), &Interrupt::default()).unwrap();
    (house, storage)
}

/// Writes a storage's objects to a folder, where restic can read them.
pub(crate) fn write_out(storage: &FakeStorage, place: &Path) {
    for key in storage.keys().iter().filter(|key| !key.starts_with("locks/")) {
        let body = block_on(storage.object_get(&ObjectKey::new(&**key).unwrap(), None, ReadCache::Use)).unwrap();
        let file = place.join(key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, body).unwrap();
    }
}

#[test]
fn a_forget_and_a_prune_may_die_at_any_call() {
    let (house, storage) = mortal_house();
    let (first, second) = two_snapshots(&house);
    // Litter of a backup that was cut short.
    let litter = FileKind::Pack.key(&Id::of(b"litter"));
    block_on(storage.object_put(&litter, b"no index names it".as_slice().into())).unwrap();
    let template = copy_of(&storage.inner());
    let options = thorough(Duration::ZERO);
    let restics = restics();
    let later = |storage: &Mortal, options: &PruneOptions| {
        storage.pass(SignedDuration::from_mins(1));
        try_prune(&house.repository, options)
    };
    let mut deaths = 0;
    for is_done in [false, true] {
        for nth in 1.. {
            storage.become_copy_of(&template);
            storage.die_at(nth, is_done);
            let repository = &house.repository;
            let done = forget_one(repository, &first)
                .and_then(|()| later(&storage, &options))
                .and_then(|_| later(&storage, &options));
            let died = storage.revive();
            let context = format!("death {nth}, done {is_done}: {done:?}");
            // Only the removal of a lock that is over may fail without a word.
            assert!(died || done.is_ok(), "{context}");
            for id in house.snapshots() {
                assert!(house.verify(&id).differences.is_empty() || id == first, "{context}: {id}");
            }
            assert!(house.snapshots().contains(&second), "{context}");
            let judge = restics.iter().cycle().nth((nth / 7 % 2) as usize).filter(|_| nth % 7 == 0);
            if let Some(restic) = judge {
                let home = tempfile::tempdir().unwrap();
                write_out(&storage.inner(), &home.path().join("repository"));
                let output = restic.output(home.path(), &["check", "--read-data"]);
                assert!(output.status.success(), "{context}: {output:?}");
            }
            // Whoever comes next completes it: forget again, and as many prunes as there are phases.
            if house.snapshots().contains(&first) {
                forget_one(repository, &first).unwrap();
            }
            for _ in 0..3 {
                later(&storage, &options).unwrap();
            }
            let left = later(&storage, &options).unwrap();
            let idle = PrunePreview {
                packs_kept: left.packs_kept,
                bytes_used: left.bytes_used,
                bytes_left: bytes_of_packs(repository),
                snapshots: 1,
                ..PrunePreview::default()
            };
            assert_eq!(left, idle, "{context}");
            house.assert_proved(&second);
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    println!("{deaths} deaths");
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_cut_list_or_a_failed_read_removes_nothing() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    prune(&house.repository, &thorough(Duration::ZERO));
    let template = copy_of(&storage);
    let everything: Vec<String> = template.keys();
    let clean = {
        let guard = alone(&house.repository).unwrap();
        let planned = plan(&house.repository, &thorough(Duration::ZERO), &guard, &Interrupt::default()).unwrap();
        guard.release().unwrap();
        planned.preview
    };
    let (mut refused, mut other_copies) = (0, 0);
    for (call, harm) in
        [(Call::List, Harm::CutList), (Call::List, Harm::Fail), (Call::Get, Harm::Fail), (Call::Get, Harm::CutBody)]
    {
        for nth in 1.. {
            let before = storage.calls(call);
            let guard = alone(&house.repository).unwrap();
            let count = storage.calls(call) - before;
            storage.harm(call, nth, harm);
            let answer = plan(&house.repository, &thorough(Duration::ZERO), &guard, &Interrupt::default());
            let hit = storage.calls(call) - before - count >= nth;
            storage.heal();
            match answer {
                Err(error) => assert!(hit, "{call:?} {harm:?} {nth}: {error}"),
                // A blob that cannot be read in one pack is there in another one, which then stays.
                Ok(planned) if hit => {
                    assert!(harm == Harm::CutBody, "{call:?} {harm:?} {nth} was taken for an answer");
                    let PrunePreview { bytes_used, bytes_freed, .. } = planned.preview;
                    assert!(
                        bytes_used == clean.bytes_used && bytes_freed <= clean.bytes_freed,
                        "{:?}",
                        planned.preview
                    );
                    other_copies += 1;
                }
                Ok(_) => {}
            }
            guard.release().unwrap();
            assert_eq!(storage.keys(), everything);
            if !hit {
                break;
            }
            refused += 1;
        }
    }
    refused -= other_copies;
    assert!(refused >= 12 && other_copies > 0, "{refused} {other_copies}");
}

#[test]
fn what_is_needed_and_damaged_stops_a_prune() {
    let (house, storage) = House::fake();
    let (first, second) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    let place = super::proof::places(&house, &second, "new")[0];
    let key = super::proof::pack_key(&place);
    let refused = || {
        let before = storage.keys();
        try_prune(&house.repository, &thorough(Duration::ZERO)).unwrap_err();
        let after: Vec<_> = storage.keys().into_iter().filter(|key| !key.starts_with("locks/")).collect();
        assert!(before.iter().all(|key| key.starts_with("locks/") || after.contains(key)));
    };
    storage.tamper(&key, |body| body.truncate(body.len() - 1));
    refused();
    block_on(storage.object_remove(&ObjectKey::new(key).unwrap())).unwrap();
    refused();
}

/// A pack's blob that is not what it should be is not copied into a new pack, and the old one stays.
#[test]
fn a_damaged_blob_is_not_copied() {
    let (house, storage) = House::fake();
    let (first, second) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    let place = super::proof::places(&house, &second, "shared-03")[0];
    let key = super::proof::pack_key(&place);
    storage.tamper(&key, |body| body[place.offset as usize + 30] ^= 1);
    let error = try_prune(&house.repository, &thorough(Duration::ZERO)).unwrap_err();
    assert!(matches!(&error, EngineError::Format { place, .. } if place.contains(&key)), "{error:?}");
    assert!(storage.keys().contains(&key));
    // Without copying, the rest can be pruned.
    let unlimited = PruneOptions { unused: UnusedLimit::Unlimited, ..thorough(Duration::ZERO) };
    prune(&house.repository, &unlimited);
    assert!(storage.keys().contains(&key));
}

#[test]
fn packs_that_no_index_names_go_in_two_phases_also_when_nothing_else_is_to_do() {
    let (house, storage) = House::fake();
    let (_, second) = two_snapshots(&house);
    let litter = FileKind::Pack.key(&Id::of(b"litter"));
    block_on(storage.object_put(&litter, b"no index names it".as_slice().into())).unwrap();
    let has = || storage.keys().contains(&litter.to_string());
    let options = thorough(Duration::ZERO);
    let unlimited = PruneOptions { unused: UnusedLimit::Unlimited, ..options };
    let first = prune(&house.repository, &unlimited);
    assert_eq!((first.packs_unnamed, has()), (1, true));
    let then = prune(&house.repository, &unlimited);
    assert_eq!((then.packs_removed, has()), (1, false));
    house.assert_proved(&second);
}

#[test]
fn what_a_cut_removal_leaves_waits_for_no_second_grace() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    for number in 0..3 {
        // Three packs of their own, which nothing needs afterwards.
        fs::write(house.tree().join("gone"), tree::noise(2_000 + number, 300_000)).unwrap();
        let id = house.backup(None).id;
        fs::remove_file(house.tree().join("gone")).unwrap();
        forget_one(&house.repository, &id).unwrap();
    }
    forget_one(&house.repository, &first).unwrap();
    let marked = prune(&house.repository, &thorough(Duration::ZERO));
    let count = marked.packs_marked + marked.packs_rewritten;
    assert!(count > 2, "{marked:?}");
    let (packs, guard) =
        (storage.keys().iter().filter(|key| key.starts_with("data/")).count(), alone(&house.repository).unwrap());
    let interrupt = Interrupt::default();
    let planned = plan(&house.repository, &thorough(Duration::ZERO), &guard, &interrupt).unwrap();
    assert_eq!(planned.preview.packs_removed, count);
    storage.harm(Call::Remove, 2, Harm::Fail);
    apply(&house.repository, planned, &guard, &EngineProgress::default(), &interrupt).unwrap_err();
    guard.release().unwrap();
    let left = storage.keys().iter().filter(|key| key.starts_with("data/")).count();
    assert!(left < packs && left > packs - count as usize, "{left} of {packs}, {count} are to go");
    // Their marks are as old as they were: an hour's grace would keep what was marked now.
    let done = prune(&house.repository, &thorough(Duration::ZERO));
    assert_eq!((done.packs_removed, done.packs_marked), ((left + count as usize - packs) as u64, 0), "{done:?}");
    assert_whole(&house);
}

#[test]
fn a_question_beside_the_lock_is_asked_before_each_removal() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    prune(&house.repository, &thorough(Duration::ZERO));
    let template = copy_of(&storage);
    let (mut refused, mut removed_before) = (0, Vec::new());
    for nth in 1.. {
        let storage = copy_of(&template);
        let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
        let repository = Repository::open(shared, &password(), &Interrupt::default()).unwrap();
        let (asked, interrupt) = (AtomicU64::new(0), Interrupt::default());
        let told = move || match asked.fetch_add(1, Ordering::Relaxed) + 1 < nth {
            true => Ok(()),
            false => Err(EngineError::Interrupted),
        };
        let guard = alone(&repository).unwrap().fenced(told);
        let planned = plan(&repository, &thorough(Duration::ZERO), &guard, &interrupt).unwrap();
        assert!(planned.preview.packs_removed > 0 && planned.preview.index_files_replaced > 0);
        let removals = storage.calls(Call::Remove);
        let done = apply(&repository, planned, &guard, &EngineProgress::default(), &interrupt);
        removed_before.push(storage.calls(Call::Remove) - removals);
        if done.is_ok() {
            break;
        }
        assert!(matches!(done, Err(EngineError::Interrupted)), "{done:?}");
        refused += 1;
    }
    // Beside the first: one before packs, one before an index file is written, one before index files go.
    assert!(refused >= 4, "{refused}");
    assert_eq!(removed_before[..2], [0, 0], "nothing goes before the first batch was asked for");
    assert!(removed_before[2] > 0 && removed_before[refused] > removed_before[refused - 1], "{removed_before:?}");
}

/// A backup after the first phase does not refer to what is about to go.
#[test]
fn a_backup_between_the_phases_takes_nothing_for_known_that_is_about_to_go() {
    let house = House::local();
    let (first, second) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    forget_one(&house.repository, &second).unwrap();
    prune(&house.repository, &thorough(Duration::ZERO));
    let again = house.backup(None);
    assert_eq!(again.summary.files_new, 22);
    assert!(again.summary.data_added >= 900_000, "{:?}", again.summary);
    let done = prune(&house.repository, &thorough(Duration::ZERO));
    assert!(done.packs_removed > 0 && done.packs_recovered == 0, "{done:?}");
    house.assert_proved(&again.id);
    restics().iter().for_each(|restic| restic.check(&house));
}

/// A writer that no lock kept out (rustic, or one that was asleep) publishes between the phases.
#[test]
fn a_snapshot_that_came_between_the_phases_gets_its_packs_back() {
    let house = House::local();
    let (first, second) = two_snapshots(&house);
    // Ours would look again and not publish, so its file comes back by hand.
    let file = house.home.path().join("repository/snapshots").join(second.to_hex());
    let published = fs::read(&file).unwrap();
    forget_one(&house.repository, &first).unwrap();
    forget_one(&house.repository, &second).unwrap();
    prune(&house.repository, &thorough(Duration::ZERO));
    fs::write(&file, published).unwrap();
    house.assert_proved(&second);
    let done = prune(&house.repository, &thorough(Duration::ZERO));
    assert!(done.packs_recovered > 0, "{done:?}");
    for _ in 0..2 {
        prune(&house.repository, &thorough(Duration::ZERO));
        house.assert_proved(&second);
        restics().iter().for_each(|restic| restic.check(&house));
    }
}

#[test]
fn a_prune_by_restic_between_the_phases_does_no_harm() {
    for restic in restics() {
        let house = House::local();
        let (first, second) = two_snapshots(&house);
        forget_one(&house.repository, &first).unwrap();
        prune(&house.repository, &thorough(Duration::ZERO));
        restic.run(house.home.path(), &["prune"]);
        restic.check(&house);
        prune(&house.repository, &thorough(Duration::ZERO));
        restic.check(&house);
        house.assert_proved(&second);
    }
}

#[test]
fn a_plan_is_worth_nothing_under_another_lock() {
    let (house, storage) = House::fake();
    let (first, _) = two_snapshots(&house);
    forget_one(&house.repository, &first).unwrap();
    let options = thorough(Duration::ZERO);
    let (interrupt, progress) = (Interrupt::default(), EngineProgress::default());
    let shared = super::lock::lock(&house.repository, LockMode::Shared).unwrap();
    let preview = plan(&house.repository, &options, &shared, &interrupt).unwrap();
    let keys = storage.keys();
    let lost = |answer| assert!(matches!(answer, Err(EngineError::LockLost { .. })), "{answer:?}");
    lost(apply(&house.repository, preview, &shared, &progress, &interrupt));
    assert_eq!(storage.keys(), keys);
    shared.release().unwrap();
    let one = alone(&house.repository).unwrap();
    let old = plan(&house.repository, &options, &one, &interrupt).unwrap();
    one.release().unwrap();
    backup(&house.repository, &super::house::options(&house.tree(), None), &EngineProgress::default(), &interrupt)
        .unwrap();
    let two = alone(&house.repository).unwrap();
    lost(apply(&house.repository, old, &two, &progress, &interrupt));
    // A lock that somebody removed stops it too.
    let plan = plan(&house.repository, &options, &two, &interrupt).unwrap();
    block_on(storage.object_remove(&FileKind::Lock.key(&two.id()))).unwrap();
    let packs = house.repository.pack_list(&Interrupt::default()).unwrap();
    lost(apply(&house.repository, plan, &two, &progress, &interrupt));
    assert_eq!(house.repository.pack_list(&Interrupt::default()).unwrap(), packs);
}

/// A prune that slept through the loss of its lock marks what a backup has taken from: the backup notices before it
/// publishes, and the next one saves those bytes anew.
#[test]
fn a_backup_that_a_prune_came_between_publishes_nothing() {
    let house = House::local();
    fs::write(house.tree().join("file"), tree::noise(1, 300_000)).unwrap();
    let first = house.backup(None).id;
    let options = options(&house.tree(), None);
    let archived = archive(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    forget_one(&house.repository, &first).unwrap();
    assert_ne!(prune(&house.repository, &thorough(Duration::from_secs(3_600))).packs_marked, 0);
    let refused = archived.publish(Timestamp::now()).unwrap_err();
    assert!(matches!(refused, EngineError::Overtaken { count, .. } if count > 0), "{refused:?}");
    assert_eq!(house.snapshots(), []);
    house.assert_proved(&house.backup(None).id);
}

/// As above, with packs that are gone and not marked: plain restic, told to break our lock, deletes at once.
#[test]
fn a_backup_whose_packs_are_gone_publishes_nothing() {
    let house = House::local();
    fs::write(house.tree().join("file"), tree::noise(1, 300_000)).unwrap();
    let first = house.backup(None).id;
    let options = options(&house.tree(), None);
    let archived = archive(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    forget_one(&house.repository, &first).unwrap();
    prune(&house.repository, &thorough(Duration::ZERO));
    std::thread::sleep(Duration::from_millis(1_100));
    prune(&house.repository, &thorough(Duration::ZERO));
    let refused = archived.publish(Timestamp::now()).unwrap_err();
    assert!(matches!(refused, EngineError::Overtaken { .. }), "{refused:?}");
    house.assert_proved(&house.backup(None).id);
}
