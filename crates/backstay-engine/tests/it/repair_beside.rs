//! Repairs beside others: writers that are at work, and a storage that falls silent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use backstay_engine::archive::exclude::{Case, Excludes};
use backstay_engine::archive::run::archive;
use backstay_engine::format::id::Id;
use backstay_engine::lock::{LockGuard, LockMode, LockOwner};
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::repair::index::{self, PacksRead};
use backstay_engine::maintenance::repair::{packs, snapshots};
use backstay_engine::maintenance::rewrite::snapshot::{Counts, Old};
use backstay_engine::maintenance::rewrite::{self, RewriteOptions};
use backstay_engine::maintenance::{copy, key, prune};
use backstay_engine::repository::Repository;
use backstay_engine::restore::{RestoreOptions, restore};
use backstay_engine::select::read_all;
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_testkit::fakes::storage::FakeStorage;
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::house::{House, below, local, maker, options, password};
use super::lock::owner;
use super::prune::thorough;
use super::repair::known;
use super::restic::restics;
use super::silent::whenever_it_falls_silent;
use super::together::{Contents, change, terms};

/// Backups of each writer.
const ROUNDS: u32 = 4;

fn opened(house: &House) -> Repository {
    Repository::open(local(&house.home.path().join("repository")), &password(), &Interrupt::default()).unwrap()
}

fn alone(repository: &Repository) -> LockGuard {
    let owner = LockOwner::this_process("repairer".to_owned());
    repository.lock(LockMode::Exclusive, &owner, &terms(), &Interrupt::default()).unwrap()
}

/// Repairs what is whole, again and again, and prunes between: nobody who writes loses anything.
fn repair_again_and_again(house: &House, over: &AtomicBool) -> u32 {
    let (repository, interrupt, mut rounds) = (opened(house), Interrupt::default(), 0);
    let kept = tempfile::tempdir().unwrap();
    while !over.load(Ordering::SeqCst) || rounds < 3 {
        let guard = alone(&repository);
        let planned = index::plan(&repository, PacksRead::All, &guard, &EngineProgress::default(), &interrupt).unwrap();
        assert!(planned.preview.packs_missing.is_empty() && planned.preview.blobs_lost == 0, "{:?}", planned.preview);
        index::apply(&repository, planned, &guard, &interrupt).unwrap();
        // A pack that a person takes for damaged: all of it is saved.
        if let Some((id, _)) = repository.pack_list(&interrupt).unwrap().first() {
            let planned = packs::plan(&repository, &[*id], &guard, &EngineProgress::default(), &interrupt).unwrap();
            assert!(planned.preview.packs[0].lost.is_empty(), "{:?}", planned.preview);
            packs::apply(&repository, &planned, kept.path(), &guard, &EngineProgress::default(), &interrupt).unwrap();
        }
        let all = read_all(&repository, &interrupt).unwrap().read;
        let mut tell = |_: &Id, path: &[u8], loss: &snapshots::Loss| panic!("{path:?}: {loss:?}");
        let chosen = (all.clone(), &all[..]);
        let planned = snapshots::plan(
            &repository,
            chosen,
            Old::Forget,
            &mut tell,
            &guard,
            &EngineProgress::default(),
            &interrupt,
        )
        .unwrap();
        snapshots::apply(&repository, planned, &guard, &EngineProgress::default(), &interrupt).unwrap();
        // A rewrite that finds nothing to leave out, and a key that comes and goes.
        let mut excludes = Excludes::default();
        excludes.add(b"no-such-name", Case::Counts).unwrap();
        let counts = Counts::OfChangedTrees;
        let told = RewriteOptions { excludes, host: None, time: None, counts, old: Old::Forget };
        let chosen = (all.clone(), &all[..]);
        let mut nobody = |_: &Id, _: &[u8]| {};
        let planned =
            rewrite::plan(&repository, &told, chosen, &mut nobody, &guard, &EngineProgress::default(), &interrupt)
                .unwrap();
        let done = rewrite::apply(&repository, &told, planned, &guard, &EngineProgress::default(), &interrupt);
        assert!(done.unwrap().forgotten.is_empty());
        let new = key::add(&repository, &"another password".to_owned().into(), maker(), &interrupt).unwrap();
        key::remove(&repository, &new, &guard, &interrupt).unwrap();
        let planned = prune::plan(&repository, &thorough(std::time::Duration::ZERO), &guard, &interrupt).unwrap();
        prune::apply(&repository, planned, &guard, &EngineProgress::default(), &interrupt).unwrap();
        guard.release().unwrap();
        rounds += 1;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    rounds
}

/// Copies two snapshots from elsewhere, again and again; those that a prune beside it left are not copied twice.
fn copy_again_and_again(house: &House) {
    let (source, _) = House::fake();
    super::prune::two_snapshots(&source);
    let (repository, interrupt) = (opened(house), Interrupt::default());
    let snapshots = read_all(&source.repository, &interrupt).unwrap().read;
    for _ in 0..ROUNDS {
        let owner = LockOwner::this_process("copier".to_owned());
        let guard = repository.lock(LockMode::Shared, &owner, &terms(), &interrupt).unwrap();
        let there = read_all(&repository, &interrupt).unwrap().read;
        let both = (&source.repository, &repository);
        let planned = copy::plan(both, &snapshots, &there, &interrupt).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        copy::apply(both, planned, &guard, &EngineProgress::default(), &interrupt).unwrap();
        guard.release().unwrap();
    }
}

#[test]
fn two_writers_a_copier_and_a_repairer_lose_nothing() {
    let house = House::local();
    let good: Mutex<BTreeMap<Id, (String, Contents)>> = Mutex::default();
    let (over, writing) = (AtomicBool::new(false), AtomicU32::new(2));
    std::thread::scope(|scope| {
        let repairer = scope.spawn(|| repair_again_and_again(&house, &over));
        scope.spawn(|| copy_again_and_again(&house));
        for writer in 0..2u64 {
            let (house, good, over, writing) = (&house, &good, &over, &writing);
            scope.spawn(move || {
                let tree = house.home.path().join(format!("writer-{writer}"));
                std::fs::create_dir(&tree).unwrap();
                let (repository, mut chance, mut parent) = (opened(house), StdRng::seed_from_u64(writer), None);
                for _ in 0..ROUNDS {
                    let contents = change(&tree, &mut chance);
                    let interrupt = Interrupt::default();
                    let owner = LockOwner::this_process("writer".to_owned());
                    let guard = repository.lock(LockMode::Shared, &owner, &terms(), &interrupt).unwrap();
                    let told = options(&tree, parent);
                    let archived = archive(&repository, &told, &EngineProgress::default(), &interrupt).unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    guard.check().unwrap();
                    let published = archived.publish(Timestamp::now()).unwrap();
                    guard.check().unwrap();
                    guard.release().unwrap();
                    good.lock().unwrap().insert(published.id, (tree.display().to_string(), contents));
                    parent = Some(published.id);
                }
                if writing.fetch_sub(1, Ordering::SeqCst) == 1 {
                    over.store(true, Ordering::SeqCst);
                }
            });
        }
        assert!(repairer.join().unwrap() >= 3);
    });
    let checked = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
    assert!(checked.is_whole(), "{checked:#?}");
    assert_eq!(checked.snapshots, 2 * u64::from(ROUNDS) + 2, "the copies are there once");
    let good = good.into_inner().unwrap();
    assert_eq!(good.len(), 2 * ROUNDS as usize);
    for (id, (tree, contents)) in good {
        let (hex, target) = (id.to_hex(), house.home.path().join(format!("out-{id}")));
        let told = RestoreOptions::new(&hex, &target);
        restore(&house.repository, &told, &EngineProgress::default(), &Interrupt::default()).unwrap();
        let place = below(&target, std::path::Path::new(&tree));
        for (name, bytes) in contents {
            assert_eq!(std::fs::read(place.join(&name)).unwrap(), bytes, "{id} {name}");
        }
    }
    restics().iter().for_each(|restic| restic.check(&house));
}

/// Takes the lock, works, and gives it back, whatever came of it.
fn alone_then(
    house: &House,
    interrupt: &Interrupt,
    work: impl FnOnce(&LockGuard) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let guard = house.repository.lock(LockMode::Exclusive, &owner(), &super::lock::terms(), interrupt)?;
    let done = work(&guard);
    drop(guard.release());
    done
}

#[test]
fn an_interrupt_ends_a_repair() {
    whenever_it_falls_silent(|house, storage, interrupt| {
        let index_key = storage.keys().into_iter().find(|key| key.starts_with("index/")).unwrap();
        storage.tamper(&index_key, |body| body[40] ^= 1);
        alone_then(house, interrupt, |guard| {
            let planned = index::plan(&house.repository, PacksRead::All, guard, &EngineProgress::default(), interrupt)?;
            index::apply(&house.repository, planned, guard, interrupt)?;
            let pack = house.repository.pack_list(interrupt)?[0].0;
            let planned = packs::plan(&house.repository, &[pack], guard, &EngineProgress::default(), interrupt)?;
            packs::apply(&house.repository, &planned, house.home.path(), guard, &EngineProgress::default(), interrupt)
                .map(drop)
        })
    });
}

#[test]
fn an_interrupt_ends_a_rewrite() {
    whenever_it_falls_silent(|house, _, interrupt| {
        alone_then(house, interrupt, |guard| {
            let mut excludes = Excludes::default();
            excludes.add(b"1", Case::Counts).unwrap();
            let options =
                RewriteOptions { excludes, host: None, time: None, counts: Counts::OfChangedTrees, old: Old::Forget };
            let all = read_all(&house.repository, interrupt)?;
            interrupt.check()?;
            let chosen = (all.read.clone(), &all.read[..]);
            let planned = rewrite::plan(
                &house.repository,
                &options,
                chosen,
                &mut |_, _| {},
                guard,
                &EngineProgress::default(),
                interrupt,
            )?;
            rewrite::apply(&house.repository, &options, planned, guard, &EngineProgress::default(), interrupt).map(drop)
        })
    });
}

#[test]
fn an_interrupt_ends_a_copy() {
    // The source falls silent.
    whenever_it_falls_silent(|house, _, interrupt| {
        let target = Arc::new(FakeStorage::default());
        let target = Repository::create(target, &password(), maker(), &Interrupt::default())?;
        copy_all(&house.repository, &target, &Interrupt::default(), interrupt)
    });
    // The target does.
    whenever_it_falls_silent(|house, _, interrupt| {
        let source = House::fake().0;
        std::fs::write(source.tree().join("file"), super::tree::noise(3, 40_000)).unwrap();
        source.backup(None);
        copy_all(&source.repository, &house.repository, interrupt, interrupt)
    });
}

fn copy_all(
    source: &Repository,
    target: &Repository,
    locking: &Interrupt,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let guard = target.lock(LockMode::Shared, &owner(), &super::lock::terms(), locking)?;
    let done = read_all(source, interrupt).and_then(|all| {
        let planned = copy::plan((source, target), &all.read, &[], interrupt)?;
        let wanted = planned.preview.blobs;
        let done = copy::apply((source, target), planned, &guard, &EngineProgress::default(), interrupt)?;
        assert_eq!((done.blobs, done.snapshots.len()), (wanted, all.read.len()));
        assert!(!known(&target.index_load(interrupt)?).0.is_empty());
        Ok(())
    });
    drop(guard.release());
    done
}
