//! Maintenance of which the n-th call of the storage suffers: what was good stays good, and the next run completes.

use std::sync::Arc;
use std::time::Duration;

use backstay_engine::archive::exclude::{Case, Excludes};
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::key::{self, KeyError};
use backstay_engine::maintenance::repair::index::PacksRead;
use backstay_engine::maintenance::repair::{packs, snapshots};
use backstay_engine::maintenance::rewrite::RewriteOptions;
use backstay_engine::maintenance::rewrite::snapshot::{Counts, Old};
use backstay_engine::maintenance::{copy, rewrite};
use backstay_engine::select::read_all;
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::ObjectStorage;
use backstay_testkit::fakes::storage::FakeStorage;

use super::copy::{empty_like, try_copy};
use super::house::{House, maker};
use super::lock::lock;
use super::mortal::{Mortal, copy_of};
use super::nth::{Bench, Fault, Side};
use super::proof::{pack_key, places, remove};
use super::prune::{alone, forget_one, thorough, try_prune, two_snapshots};
use super::repair::{repair_index, try_repair_index};

const FAULTS: [Fault; 5] = [Fault::Error, Fault::LostAnswer, Fault::Short, Fault::Delay, Fault::Death];

/// What a run does to a bench.
type Work<'w> = dyn Fn(&Bench) -> Result<(), EngineError> + 'w;

/// Does some work, of which each call suffers in turn, then again without harm. What the first snapshot holds is what it
/// was all the time where `was_whole`, and else after the second run.
fn whichever_call_suffers(bench: &Bench, what: &str, was_whole: bool, work: &Work<'_>, ended: &dyn Fn(&str)) {
    for fault in FAULTS {
        for nth in 1.. {
            bench.begin(Side::Storage, nth, fault);
            let done = work(bench);
            let hit = bench.fates.heal();
            let context = format!("call {nth} of a {what}, {fault:?}, {hit:?}: {done:?}");
            assert!(done.is_ok() || hit.is_some(), "{context}");
            assert!(fault != Fault::Death || done.is_err() || hit.is_none(), "{context}: its process is dead");
            if was_whole {
                bench.assert_earlier(&context);
            }
            work(bench).unwrap_or_else(|error| panic!("{context}: the next run: {error:?}"));
            bench.assert_earlier(&context);
            ended(&context);
            if hit.is_none() {
                assert!(nth > 4, "{what}: only {nth} calls");
                break;
            }
        }
    }
    bench.told(what, 30);
}

/// Lets what is there now be what every run finds.
fn keep(bench: &mut Bench) {
    bench.template = copy_of(&bench.storage.inner());
}

#[test]
fn of_a_prune() {
    let mut bench = Bench::new();
    forget_one(&bench.house.repository, &bench.snapshots[1]).unwrap();
    keep(&mut bench);
    let before = bench.template.keys().iter().filter(|key| key.starts_with("data/")).count();
    let work = |bench: &Bench| {
        // It marks, and it removes.
        try_prune(&bench.house.repository, &thorough(Duration::ZERO))?;
        try_prune(&bench.house.repository, &thorough(Duration::ZERO)).map(drop)
    };
    whichever_call_suffers(&bench, "prune", true, &work, &|context| {
        let left = bench.house.repository.pack_list(&Interrupt::default()).unwrap().len();
        assert!(left < before, "{context}: {left} packs of {before} are left");
    });
}

#[test]
fn of_a_forget() {
    let bench = Bench::new();
    let work = |bench: &Bench| {
        let left = bench.house.repository.file_list(FileKind::Snapshot, &Interrupt::default())?;
        if left.len() == 1 { Ok(()) } else { forget_one(&bench.house.repository, &bench.snapshots[1]) }
    };
    whichever_call_suffers(&bench, "forget", true, &work, &|context| {
        assert_eq!(bench.house.snapshots(), [bench.snapshots[0]], "{context}");
    });
}

#[test]
fn of_a_repair_of_the_index() {
    let mut bench = Bench::new();
    let index = bench.template.keys().into_iter().find(|key| key.starts_with("index/")).unwrap();
    remove(&bench.storage.inner(), &index);
    keep(&mut bench);
    let work = |bench: &Bench| try_repair_index(&bench.house.repository, PacksRead::All).map(drop);
    whichever_call_suffers(&bench, "repair of the index", false, &work, &|context| {
        assert_eq!(bench.house.snapshots().len(), 2, "{context}");
    });
}

#[test]
fn of_a_repair_of_packs() {
    let bench = Bench::new();
    let place = places(&bench.house, &bench.snapshots[0], "file-05")[0];
    let folder = tempfile::tempdir().unwrap();
    let work = |bench: &Bench| {
        let (repository, interrupt) = (&bench.house.repository, Interrupt::default());
        let (guard, progress) = (alone(repository)?, EngineProgress::default());
        let is_there = repository.pack_list(&interrupt)?.iter().any(|(id, _)| *id == place.pack);
        let is_named = repository.index_load(&interrupt)?.packs().iter().any(|pack| pack.id == place.pack);
        if is_there || is_named {
            let planned = packs::plan(repository, &[place.pack], &guard, &progress, &interrupt)?;
            packs::apply(repository, &planned, folder.path(), &guard, &progress, &interrupt)?;
        }
        guard.release()
    };
    whichever_call_suffers(&bench, "repair of packs", true, &work, &|context| {
        assert!(!bench.storage.inner().keys().contains(&pack_key(&place)), "{context}");
    });
}

#[test]
fn of_a_repair_of_snapshots() {
    let mut bench = Bench::new();
    // What the second backup wrote of files.
    let lost = places(&bench.house, &bench.snapshots[1], "alpha/beta/gamma/file-03")[0];
    remove(&bench.storage.inner(), &pack_key(&lost));
    repair_index(&bench.house.repository, PacksRead::Doubtful);
    keep(&mut bench);
    let work = |bench: &Bench| {
        let (repository, interrupt) = (&bench.house.repository, Interrupt::default());
        let (guard, progress) = (alone(repository)?, EngineProgress::default());
        let all = read_all(repository, &interrupt)?.read;
        // A snapshot that was not read would be taken for one that needs no repair.
        if all.len() < 2 {
            return Err(EngineError::NoSnapshot { id: "one of two".to_owned() });
        }
        let mut tell = |_: &Id, _: &[u8], _: &snapshots::Loss| {};
        let chosen = (all.clone(), &all[..]);
        let planned = snapshots::plan(repository, chosen, Old::Forget, &mut tell, &guard, &progress, &interrupt)?;
        snapshots::apply(repository, planned, &guard, &progress, &interrupt)?;
        guard.release()
    };
    whichever_call_suffers(&bench, "repair of snapshots", false, &work, &|context| {
        let left = bench.house.snapshots();
        assert!(left.len() == 2 && left.contains(&bench.snapshots[0]), "{context}: {left:?}");
        assert!(!left.contains(&bench.snapshots[1]), "{context}: {left:?}");
    });
}

#[test]
fn of_a_rewrite() {
    let bench = Bench::new();
    let mut excludes = Excludes::default();
    excludes.add(b"file-05", Case::Counts).unwrap();
    let options = RewriteOptions { excludes, host: None, time: None, counts: Counts::OfChangedTrees, old: Old::Keep };
    let work = |bench: &Bench| {
        let (repository, interrupt) = (&bench.house.repository, Interrupt::default());
        let (guard, progress) = (alone(repository)?, EngineProgress::default());
        let all = read_all(repository, &interrupt)?.read;
        let chosen = all.iter().filter(|one| bench.snapshots.contains(&one.id)).cloned().collect::<Vec<_>>();
        if chosen.len() < 2 {
            return Err(EngineError::NoSnapshot { id: "one of two".to_owned() });
        }
        let chosen = (chosen, &all[..]);
        let planned = rewrite::plan(repository, &options, chosen, &mut |_, _| {}, &guard, &progress, &interrupt)?;
        rewrite::apply(repository, &options, planned, &guard, &progress, &interrupt)?;
        guard.release()
    };
    whichever_call_suffers(&bench, "rewrite", true, &work, &|context| {
        assert_eq!(bench.house.snapshots().len(), 4, "{context}: each has one new one, made once");
    });
}

#[test]
fn of_a_copy_s_target() {
    let (source, _) = House::fake();
    two_snapshots(&source);
    let bench = Bench::new();
    let work = |bench: &Bench| try_copy(&source.repository, &bench.house.repository).map(drop);
    whichever_call_suffers(&bench, "copy's target", true, &work, &|context| {
        assert_eq!(bench.house.snapshots().len(), 4, "{context}");
    });
}

#[test]
fn of_a_copy_s_source() {
    let bench = Bench::new();
    let snapshots = read_all(&bench.house.repository, &Interrupt::default()).unwrap().read;
    let storage = Mortal::new(Arc::new(FakeStorage::default()));
    let target = empty_like(&bench.house.repository, Arc::clone(&storage) as Arc<dyn ObjectStorage>);
    let empty = copy_of(&storage.inner());
    for fault in FAULTS {
        for nth in 1.. {
            storage.become_copy_of(&empty);
            let interrupt = Interrupt::default();
            let send = || -> Result<usize, EngineError> {
                let guard = lock(&target, LockMode::Shared)?;
                let there = read_all(&target, &interrupt)?.read;
                let both = (&bench.house.repository, &target);
                let planned = copy::plan(both, &snapshots, &there, &interrupt)?;
                let done = copy::apply(both, planned, &guard, &EngineProgress::default(), &interrupt);
                guard.release()?;
                done.map(|done| done.snapshots.len())
            };
            bench.begin(Side::Storage, nth, fault);
            let done = send();
            let hit = bench.fates.heal();
            let context = format!("call {nth} of a copy's source, {fault:?}, {hit:?}: {done:?}");
            let copied = target.file_list(FileKind::Snapshot, &interrupt).unwrap().len();
            assert_eq!(copied, if done.is_ok() { 2 } else { 0 }, "{context}");
            assert!(done.is_ok() || hit.is_some(), "{context}");
            send().unwrap_or_else(|error| panic!("{context}: the next run: {error:?}"));
            let found = check(&target, &ReadData::All, &interrupt).unwrap();
            assert!(found.is_whole() && found.snapshots == 2, "{context}: {found:?}");
            if hit.is_none() {
                assert!(nth > 10, "only {nth} calls");
                break;
            }
        }
    }
    bench.told("copy's source", 50);
}

#[test]
fn of_a_new_key_and_one_that_goes() {
    let bench = Bench::new();
    let work = |bench: &Bench| {
        let (repository, interrupt) = (&bench.house.repository, Interrupt::default());
        let guard = alone(repository)?;
        key::add(repository, &"another password".to_owned().into(), maker(), &interrupt)?;
        for other in key::list(repository, &interrupt)?.iter().filter(|key| !key.is_current) {
            match key::remove(repository, &other.id, &guard, &interrupt) {
                Err(KeyError::Engine(error)) => return Err(error),
                done => done.unwrap(),
            }
        }
        guard.release()
    };
    whichever_call_suffers(&bench, "change of keys", true, &work, &|context| {
        let keys = key::list(&bench.house.repository, &Interrupt::default()).unwrap();
        assert!(keys.len() == 1 && keys[0].is_current, "{context}: {keys:?}");
    });
}
