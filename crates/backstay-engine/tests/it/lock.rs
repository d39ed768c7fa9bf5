//! Locks keep out whom they should, also beside a restic that runs, and are never taken for alive or dead wrongly.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use backstay_engine::format::object::FileKind;
use backstay_engine::lock::{DeadLocks, LockGuard, LockMode, LockOwner, LockTerms};
use backstay_engine::{EngineError, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use futures::executor::block_on;

use super::house::{House, PASSWORD};
use super::restic::restics;
use super::tree;

pub(crate) fn owner() -> LockOwner {
    LockOwner::this_process("ada".to_owned())
}

/// Terms without the pause that storages with lagging lists need.
pub(crate) fn terms() -> LockTerms {
    LockTerms { look_again_after: Duration::ZERO, ..LockTerms::default() }
}

pub(crate) fn lock(repository: &Repository, mode: LockMode) -> Result<LockGuard, EngineError> {
    repository.lock(mode, &owner(), &terms(), &Interrupt::default())
}

fn is_locked(answer: &Result<LockGuard, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Locked { .. }))
}

fn locks(repository: &Repository) -> usize {
    repository.file_list(FileKind::Lock, &Interrupt::default()).unwrap().len()
}

/// Returns the owner that a process which has ended would have been.
fn dead_owner() -> LockOwner {
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    LockOwner { pid: gone.id(), ..owner() }
}

/// Makes all lock files older, as the storage sees them.
fn age(home: &Path, minutes: u64) {
    for entry in fs::read_dir(home.join("repository/locks")).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(minutes * 60)).unwrap();
    }
}

#[test]
fn shared_locks_go_together_and_an_exclusive_one_alone() {
    let (house, storage) = House::fake();
    let one = lock(&house.repository, LockMode::Shared).unwrap();
    let two = lock(&house.repository, LockMode::Shared).unwrap();
    let answer = lock(&house.repository, LockMode::Exclusive);
    let error = answer.unwrap_err();
    assert!(matches!(&error, EngineError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {} of ada@", std::process::id())), "{error}");
    one.release().unwrap();
    drop(two);
    let alone = lock(&house.repository, LockMode::Exclusive).unwrap();
    assert!(is_locked(&lock(&house.repository, LockMode::Shared)));
    assert!(is_locked(&lock(&house.repository, LockMode::Exclusive)));
    alone.check().unwrap();
    alone.release().unwrap();
    assert!(!storage.keys().iter().any(|key| key.starts_with("locks/")), "{:?}", storage.keys());
}

#[test]
fn our_own_lock_is_not_read() {
    let (house, storage) = House::fake();
    let before = storage.calls(Call::Get);
    let guard = lock(&house.repository, LockMode::Exclusive).unwrap();
    assert_eq!(storage.calls(Call::Get), before);
    guard.release().unwrap();
}

#[test]
fn of_those_that_come_at_once_one_at_the_most_is_alone() {
    let (house, _) = House::fake();
    let (inside, got) = (AtomicU32::new(0), AtomicU32::new(0));
    let terms = LockTerms { wait: Duration::from_secs(60), ..terms() };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let guard = house.repository.lock_exclusive(&owner(), &terms, &Interrupt::default()).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    got.fetch_add(1, Ordering::SeqCst);
                    guard.release().unwrap();
                }
            });
        }
    });
    assert_eq!((got.into_inner(), locks(&house.repository)), (20, 0));
}

#[test]
fn a_lock_of_a_process_of_ours_that_died_is_removed_at_once() {
    let house = House::local();
    let guard = house.repository.lock_exclusive(&dead_owner(), &terms(), &Interrupt::default()).unwrap();
    let next = lock(&house.repository, LockMode::Exclusive).unwrap();
    assert_eq!(locks(&house.repository), 1, "the dead one is gone");
    next.check().unwrap();
    assert!(matches!(guard.check(), Err(EngineError::LockLost { .. })));
}

#[test]
fn a_lock_is_stale_by_the_storages_clock_and_no_other() {
    for (minutes, stale) in [(0, false), (29, false), (31, true)] {
        let house = House::local();
        let other = LockOwner { hostname: "other".to_owned(), mark: Default::default(), ..owner() };
        let guard = house.repository.lock_exclusive(&other, &terms(), &Interrupt::default()).unwrap();
        age(house.home.path(), minutes);
        let answer = lock(&house.repository, LockMode::Shared);
        assert_eq!(answer.is_ok(), stale, "{minutes} minutes: {answer:?}");
        assert_eq!(guard.check().is_err(), stale);
    }
}

/// The machine of our name whose process does not run may be another container: it gets ten minutes.
#[test]
fn a_foreign_lock_of_a_process_that_is_not_here_is_stale_after_ten_minutes() {
    for (minutes, stale) in [(0, false), (9, false), (11, true)] {
        let house = House::local();
        let other = LockOwner { mark: Default::default(), ..dead_owner() };
        let _guard = house.repository.lock_exclusive(&other, &terms(), &Interrupt::default()).unwrap();
        age(house.home.path(), minutes);
        assert_eq!(lock(&house.repository, LockMode::Exclusive).is_ok(), stale, "{minutes} minutes");
    }
}

#[test]
fn a_lock_that_the_control_plane_knows_dead_is_removed() {
    let house = House::local();
    let other = LockOwner { hostname: "other".to_owned(), ..owner() }.under_lease("job-7/3".to_owned());
    let _dead = house.repository.lock_exclusive(&other, &terms(), &Interrupt::default()).unwrap();
    let with = |lease: &str| {
        let dead = DeadLocks { leases: vec![lease.to_owned()], ..DeadLocks::default() };
        house.repository.lock_exclusive(&owner(), &LockTerms { dead, ..terms() }, &Interrupt::default())
    };
    assert!(is_locked(&with("job-7/4")));
    with("job-7/3").unwrap().release().unwrap();
    assert_eq!(locks(&house.repository), 0);
}

#[test]
fn a_lock_that_cannot_be_read_keeps_all_out_until_it_is_stale() {
    let house = House::local();
    let _guard = lock(&house.repository, LockMode::Shared).unwrap();
    let place = fs::read_dir(house.home.path().join("repository/locks")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&place).unwrap();
    fs::write(&place, b"").unwrap();
    assert!(is_locked(&lock(&house.repository, LockMode::Shared)));
    age(house.home.path(), 31);
    lock(&house.repository, LockMode::Shared).unwrap();
}

#[test]
fn a_lock_that_somebody_removed_is_lost_and_stops_the_work() {
    let house = House::local();
    let interrupt = Interrupt::default();
    let guard = house.repository.lock_shared(&owner(), &terms(), &interrupt).unwrap();
    guard.check().unwrap();
    let place = house.home.path().join("repository/locks").join(guard.id().to_hex());
    fs::remove_file(place).unwrap();
    for _ in 0..2 {
        assert!(matches!(guard.check(), Err(EngineError::LockLost { .. })));
    }
    assert!(interrupt.is_raised());
    let explained: Result<(), _> = guard.explain(Err(EngineError::Interrupted));
    assert!(matches!(explained, Err(EngineError::LockLost { .. })), "{explained:?}");
}

/// Waits until `done`, which a broken engine would never reach: then the test's runner ends it.
fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_lock_is_refreshed_under_a_new_name_and_a_lost_one_never_again() {
    let house = House::local();
    let terms = LockTerms { refresh_every: Duration::from_millis(20), ..terms() };
    let interrupt = Interrupt::default();
    let guard = house.repository.lock_exclusive(&owner(), &terms, &interrupt).unwrap();
    let first = guard.id();
    until(|| guard.id() != first);
    guard.check().unwrap();
    let folder = house.home.path().join("repository/locks");
    until(|| {
        // Between two refreshes there is one lock, and it is ours.
        fs::read_dir(&folder).unwrap().for_each(|entry| drop(fs::remove_file(entry.unwrap().path())));
        guard.is_lost()
    });
    assert!(interrupt.is_raised() && guard.check().is_err());
    drop(guard);
    assert_eq!(locks(&house.repository), 0);
}

#[test]
fn refreshes_that_fail_for_a_while_lose_nothing() {
    let (house, storage) = House::fake();
    let terms = LockTerms { refresh_every: Duration::from_millis(20), ..terms() };
    let guard = house.repository.lock_exclusive(&owner(), &terms, &Interrupt::default()).unwrap();
    let (first, puts) = (guard.id(), storage.calls(Call::Put));
    storage.harm_all(Call::Put, Harm::Fail);
    until(|| storage.calls(Call::Put) > puts + 3);
    assert_eq!(guard.id(), first);
    assert!(lock(&house.repository, LockMode::Shared).is_err());
    storage.heal();
    until(|| guard.id() != first);
    guard.check().unwrap();
}

#[test]
fn whichever_call_fails_nobody_is_let_in_and_no_lock_of_ours_stays() {
    let mut tried = 0;
    let (house, storage) = House::fake();
    for call in [Call::Put, Call::Get, Call::List, Call::Remove, Call::Size] {
        for harm in [Harm::Fail, Harm::LoseAnswer, Harm::CutList, Harm::CutBody] {
            for other in [None, Some(LockMode::Shared), Some(LockMode::Exclusive)] {
                for nth in 1..=4 {
                    tried += 1;
                    let _other = other.map(|mode| lock(&house.repository, mode).unwrap());
                    storage.harm(call, nth, harm);
                    let answer = lock(&house.repository, LockMode::Exclusive);
                    storage.heal();
                    let context = format!("{call:?} {harm:?} {nth} beside {other:?}");
                    assert!(answer.is_err() || other.is_none(), "{context}");
                    let ended = answer.map_or(Ok(()), LockGuard::release);
                    assert!(ended.is_ok(), "{context}");
                    // What could not be removed is over when our process is, or in half an hour.
                    let left = locks(&house.repository) - usize::from(other.is_some());
                    assert!(left == 0 || call == Call::Remove, "{context}: {left} left");
                    for key in storage.keys().iter().filter(|key| key.starts_with("locks/")) {
                        block_on(storage.object_remove(&ObjectKey::new(&**key).unwrap())).unwrap();
                    }
                }
            }
        }
    }
    assert!(tried >= 200);
}

/// A restic that runs until it is told to stop.
struct Running(Child);

impl Running {
    fn end(mut self) {
        // restic refuses to save nothing.
        self.0.stdin.take().unwrap().write_all(b"x").unwrap();
        assert!(self.0.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts a restic and waits until its lock is there.
fn start(program: &Path, home: &Path, arguments: &[&str]) -> Running {
    fs::create_dir_all(home.join("repository/locks")).unwrap();
    let before = fs::read_dir(home.join("repository/locks")).unwrap().count();
    let child = Command::new(program)
        .args(["--no-cache", "-r"])
        .arg(home.join("repository"))
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| {
        let entries = fs::read_dir(home.join("repository/locks")).unwrap();
        // restic writes to a temporary name first.
        entries.filter(|entry| entry.as_ref().unwrap().file_name().len() == 64).count() > before
    });
    Running(child)
}

#[test]
fn a_restic_that_backs_up_goes_beside_shared_locks_and_keeps_exclusive_ones_out() {
    for restic in restics() {
        let house = House::local();
        house.backup(None);
        let running = start(&restic.program, house.home.path(), &["backup", "--stdin"]);
        let answer = lock(&house.repository, LockMode::Exclusive);
        assert!(is_locked(&answer), "restic {}: {answer:?}", restic.version);
        lock(&house.repository, LockMode::Shared).unwrap().release().unwrap();
        running.end();
        lock(&house.repository, LockMode::Exclusive).unwrap().release().unwrap();
    }
}

#[test]
fn a_restic_that_is_alone_keeps_all_out_and_one_that_was_killed_does_not_for_long() {
    for restic in restics() {
        let house = House::local();
        fs::write(house.tree().join("noise"), tree::noise(1, 4 << 20)).unwrap();
        house.backup(None);
        let slow = ["check", "--read-data", "--limit-download", "1"];
        let running = start(&restic.program, house.home.path(), &slow);
        for mode in [LockMode::Shared, LockMode::Exclusive] {
            assert!(is_locked(&lock(&house.repository, mode)), "restic {} {mode:?}", restic.version);
        }
        running.kill();
        assert!(is_locked(&lock(&house.repository, LockMode::Shared)), "it may live in another container");
        age(house.home.path(), 11);
        lock(&house.repository, LockMode::Exclusive).unwrap().release().unwrap();
        assert_eq!(locks(&house.repository), 0);
    }
}

#[test]
fn restic_honours_our_locks_and_reads_over_what_it_does_not_know() {
    for restic in restics() {
        let house = House::local();
        house.backup(None);
        let home = house.home.path();
        let tree = house.tree();
        let refused = |arguments: &[&str], guard: &LockGuard| {
            let output = restic.output(home, arguments);
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "restic {} {arguments:?}", restic.version);
            assert!(words.contains("locked") && words.contains(&std::process::id().to_string()), "{words}");
            guard.check().unwrap();
        };
        let guard = lock(&house.repository, LockMode::Shared).unwrap();
        restic.backup(home, &tree, &[]);
        refused(&["prune"], &guard);
        refused(&["check"], &guard);
        guard.release().unwrap();
        let guard = lock(&house.repository, LockMode::Exclusive).unwrap();
        refused(&["backup", tree.to_str().unwrap()], &guard);
        restic.run(home, &["unlock"]);
        guard.check().unwrap();
        restic.run(home, &["unlock", "--remove-all"]);
        assert!(matches!(guard.check(), Err(EngineError::LockLost { .. })));
        restic.check(&house);
    }
}

#[test]
fn a_wait_ends_when_the_other_ends_or_somebody_asks_to_stop() {
    let (house, storage) = House::fake();
    let terms = LockTerms { wait: Duration::from_secs(3_600), ..terms() };
    let other = lock(&house.repository, LockMode::Exclusive).unwrap();
    let lists = storage.calls(Call::List);
    let tried = |storage: &FakeStorage| until(|| storage.calls(Call::List) > lists);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| house.repository.lock_shared(&owner(), &terms, &Interrupt::default()));
        tried(&storage);
        other.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
    let _other = lock(&house.repository, LockMode::Exclusive).unwrap();
    let interrupt = Interrupt::default();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| house.repository.lock_shared(&owner(), &terms, &interrupt));
        tried(&storage);
        interrupt.raise();
        assert!(matches!(waiting.join().unwrap(), Err(EngineError::Interrupted)));
    });
}
