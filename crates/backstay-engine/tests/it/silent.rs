//! A storage falls silent at the n-th call, for all n: whoever asks to stop is not kept waiting for it.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::forget;
use backstay_engine::maintenance::key::{self, KeyError};
use backstay_engine::maintenance::prune::{apply, plan};
use backstay_engine::restore::{RestoreOptions, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};

use futures::executor::block_on;

use super::house::{House, backup, maker, options, password};
use super::lock::{owner, terms};
use super::prune::{forget_one, thorough};
use super::tree;

/// Some work on a house that is under a lock.
pub(crate) type Work = fn(&House, &Arc<FakeStorage>, &Interrupt) -> Result<(), EngineError>;

/// Returns a house with something to save, to forget and to remove.
fn house() -> (House, Arc<FakeStorage>) {
    let (house, storage) = House::fake();
    for file in 0..4 {
        fs::write(house.tree().join(format!("{file}")), tree::noise(file, 30_000)).unwrap();
    }
    let first = house.backup(None).id;
    fs::remove_file(house.tree().join("0")).unwrap();
    fs::write(house.tree().join("new"), tree::noise(9, 30_000)).unwrap();
    house.backup(Some(first));
    forget_one(&house.repository, &first).unwrap();
    fs::write(house.tree().join("newer"), tree::noise(10, 30_000)).unwrap();
    (house, storage)
}

/// Does some work while the storage falls silent at a call, asks to stop as soon as it has, and returns how it ended;
/// none when it ended before that call.
fn stopped(
    storage: &Arc<FakeStorage>,
    (call, nth): (Call, u64),
    work: impl FnOnce(&Interrupt) -> Result<(), EngineError> + Send + 'static,
) -> Option<Result<(), EngineError>> {
    let (before, interrupt) = (storage.calls(call), Interrupt::default());
    storage.harm_from(call, nth, Harm::Hang);
    let (sender, ended) = channel();
    let worker = {
        let interrupt = interrupt.clone();
        std::thread::spawn(move || sender.send(work(&interrupt)).unwrap())
    };
    let is_silent = || storage.calls(call) - before >= nth;
    let mut answer = ended.recv_timeout(Duration::from_millis(5));
    while answer.is_err() && !is_silent() {
        answer = ended.recv_timeout(Duration::from_millis(5));
    }
    interrupt.raise();
    // What is promised is a second. This is no measurement: without the promise it would never end.
    let done = answer.or_else(|_: RecvTimeoutError| ended.recv_timeout(Duration::from_secs(30)));
    let Ok(done) = done else { panic!("{call:?} {nth}: it still waits for an answer") };
    worker.join().unwrap();
    if is_silent() {
        return Some(done);
    }
    done.unwrap();
    None
}

/// Does some work on a house while the storage falls silent at each call in turn; asked again, it comes to its end, and all
/// is whole then.
pub(crate) fn whenever_it_falls_silent(work: Work) {
    for call in [Call::Put, Call::Get, Call::Size, Call::List, Call::Remove] {
        for nth in 1.. {
            let (house, storage) = house();
            let (shared, house) = (Arc::clone(&storage), Arc::new(house));
            let asked = Arc::clone(&house);
            let Some(done) = stopped(&storage, (call, nth), move |interrupt| work(&asked, &shared, interrupt)) else {
                break;
            };
            // The last thing that all do is to remove their lock.
            let removing = call == Call::Remove && done.is_ok();
            assert!(removing || matches!(done, Err(EngineError::Interrupted)), "{call:?} {nth}: {done:?}");
            storage.heal();
            for lock in storage.keys().into_iter().filter(|key| key.starts_with("locks/")) {
                // It would be stale in half an hour.
                block_on(storage.object_remove(&ObjectKey::new(&lock).unwrap())).unwrap();
            }
            if done.is_err() {
                let again = work(&house, &storage, &Interrupt::default());
                again.unwrap_or_else(|error| panic!("{call:?} {nth}, asked again: {error}"));
            }
            let checked = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
            assert_eq!(checked.finding_count, 0, "{call:?} {nth}: {checked:#?}");
        }
    }
}

fn under_lock(
    repository: &Repository,
    interrupt: &Interrupt,
    work: impl FnOnce() -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let guard = repository.lock(LockMode::Shared, &owner(), &terms(), interrupt)?;
    let done = work();
    // A lock whose removal nobody answers stays, and is stale one day.
    drop(guard.release());
    done
}

#[test]
fn an_interrupt_ends_a_backup() {
    whenever_it_falls_silent(|house, _, interrupt| {
        under_lock(&house.repository, interrupt, || {
            backup(&house.repository, &options(&house.tree(), None), &EngineProgress::default(), interrupt).map(drop)
        })
    });
}

#[test]
fn an_interrupt_ends_a_check_and_a_restore() {
    whenever_it_falls_silent(|house, _, interrupt| {
        under_lock(&house.repository, interrupt, || {
            let checked = check(&house.repository, &ReadData::All, interrupt)?;
            assert_eq!(checked.finding_count, 0, "{checked:#?}");
            let newest = house.repository.file_list(backstay_engine::format::object::FileKind::Snapshot, interrupt)?;
            let (hex, target) = (newest[0].to_hex(), house.home.path().join("target"));
            let told = RestoreOptions { resume: Some("job"), ..RestoreOptions::new(&hex, &target) };
            restore(&house.repository, &told, &EngineProgress::default(), interrupt).map(drop)
        })
    });
}

#[test]
fn an_interrupt_ends_a_prune() {
    whenever_it_falls_silent(|house, _, interrupt| {
        let guard = house.repository.lock(LockMode::Exclusive, &owner(), &terms(), interrupt)?;
        let planned = plan(&house.repository, &thorough(Duration::ZERO), &guard, interrupt);
        let done =
            planned.and_then(|plan| apply(&house.repository, plan, &guard, &EngineProgress::default(), interrupt));
        let done = done.map(drop);
        drop(guard.release());
        done
    });
}

#[test]
fn an_interrupt_ends_a_forget() {
    whenever_it_falls_silent(|house, _, interrupt| {
        let guard = house.repository.lock(LockMode::Exclusive, &owner(), &terms(), interrupt)?;
        let known = forget::snapshots(&house.repository, &|_| true, interrupt);
        let ids = known.map(|known| known.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        let done = ids.and_then(|ids| forget::apply(&house.repository, &ids, &guard, interrupt)).map(drop);
        drop(guard.release());
        done
    });
}

#[test]
fn an_interrupt_ends_opening_and_a_change_of_password() {
    whenever_it_falls_silent(|_, storage, interrupt| {
        let storage = Arc::clone(storage) as Arc<dyn ObjectStorage>;
        let again = Repository::open(storage, &password(), interrupt)?;
        let guard = again.lock(LockMode::Exclusive, &owner(), &terms(), interrupt)?;
        let changed = key::list(&again, interrupt).map_err(KeyError::from).and_then(|keys| {
            // One that was cut before leaves the new one beside the old one.
            assert!((1..=2).contains(&keys.len()), "{}", keys.len());
            key::passwd(&again, &"another password".to_owned().into(), maker(), &guard, interrupt)
        });
        drop(guard.release());
        match changed {
            Ok(_) => Ok(()),
            Err(KeyError::Engine(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn an_interrupt_ends_the_making_of_a_repository() {
    for call in [Call::Put, Call::Get, Call::Size, Call::List] {
        for nth in 1.. {
            let storage = Arc::new(FakeStorage::default());
            let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
            let made = stopped(&storage, (call, nth), move |interrupt| {
                Repository::create(shared, &password(), maker(), interrupt).map(drop)
            });
            let Some(made) = made else { break };
            assert!(matches!(made, Err(EngineError::Interrupted)), "{call:?} {nth}: {made:?}");
        }
    }
}
