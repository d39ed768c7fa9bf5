//! Whatever breaks while a backup runs: the run says so, what was saved before stays, and the next run completes.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use backstay_core::domain::evidence::Verdict;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::format::id::{Id, IdSet};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::{ObjectStorage, StorageError};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};

use super::house::{House, backup, options};
use super::tree::{self, Bits, assert_same};

/// A tree of a few packs, with a snapshot before it.
fn house() -> (House, Arc<FakeStorage>, Id) {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("before"), tree::noise(50, 100_000)).unwrap();
    let first = house.backup(None).id;
    fs::write(house.tree().join("noise"), tree::noise(51, 20 << 20)).unwrap();
    fs::create_dir(house.tree().join("folder")).unwrap();
    for file in 0..30 {
        fs::write(house.tree().join(format!("folder/{file}")), tree::text(file, 500)).unwrap();
    }
    (house, storage, first)
}

/// Asserts that every snapshot can be read back whole, and that the newest is as the source.
fn assert_clean(house: &House, newest: &Id) {
    for id in house.snapshots() {
        let found = house.verify(&id);
        assert_eq!(found.verdict(), Verdict::Proved, "{:#?}", found.differences);
    }
    let (done, place) = house.restore(newest);
    assert!(done.unread.is_empty());
    assert_same(&house.tree(), &place, Bits::All);
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn whichever_write_fails_the_next_run_completes() {
    for harm in [Harm::Fail, Harm::Full, Harm::LoseAnswer] {
        let mut nth = 0;
        loop {
            nth += 1;
            let (house, storage, first) = house();
            let before = storage.calls(Call::Put);
            storage.harm(Call::Put, nth, harm);
            let done = house.try_backup(Some(first));
            let hit = storage.calls(Call::Put) - before >= nth;
            storage.heal();
            assert_eq!(done.is_err(), hit, "{harm:?} {nth}: {done:?}");
            assert_eq!(house.verify(&first).verdict(), Verdict::Proved);
            match &done {
                Ok(published) => {
                    assert_clean(&house, &published.id);
                    assert!(nth > 4, "only {nth} writes");
                    break;
                }
                Err(error) => {
                    let full = matches!(error, EngineError::Storage(StorageError::Full { .. }));
                    assert_eq!(full, harm == Harm::Full, "{error:?}");
                }
            }
            // An answer that got lost may have been that of the snapshot itself: then it is whole.
            let snapshots = house.snapshots().len();
            assert!(snapshots == 1 || snapshots == 2 && harm == Harm::LoseAnswer, "{harm:?} {nth}: {snapshots}");
            let next = house.backup(Some(first));
            assert_clean(&house, &next.id);
        }
    }
}

/// A storage that says yes and keeps nothing cannot be noticed by the writer; a verify must.
#[test]
fn whichever_write_is_lost_in_silence_a_verify_finds_it() {
    for nth in 1.. {
        let (house, storage, first) = house();
        let before = storage.calls(Call::Put);
        storage.harm(Call::Put, nth, Harm::LoseWrite);
        let done = house.try_backup(Some(first));
        if storage.calls(Call::Put) - before < nth {
            assert!(nth > 4 && done.is_ok());
            return;
        }
        storage.heal();
        // A lost index file is noticed by the second look, and nothing is published.
        let done = match done {
            Err(EngineError::Overtaken { .. }) => {
                assert_eq!(house.snapshots(), [first], "write {nth}");
                continue;
            }
            done => done.unwrap(),
        };
        let damaged = house.try_verify(&done.id).map_or(true, |found| found.verdict() == Verdict::Damaged);
        assert!(damaged, "the loss of write {nth} was not found");
        assert!(!house.try_restore(&done.id).0.is_ok_and(|done| done.unread.is_empty()), "write {nth}");
    }
}

#[test]
fn whichever_read_of_a_backup_fails_nothing_false_is_published() {
    for (call, harm) in [(Call::Get, Harm::Fail), (Call::Get, Harm::CutBody), (Call::List, Harm::CutList)] {
        for nth in 1.. {
            let (house, storage, first) = house();
            let before = storage.calls(call);
            storage.harm(call, nth, harm);
            let done = house.try_backup(Some(first));
            let hit = storage.calls(call) - before >= nth;
            storage.heal();
            match done {
                Ok(published) => assert_clean(&house, &published.id),
                Err(_) => assert_eq!(house.snapshots(), [first], "{call:?} {harm:?} {nth}"),
            }
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn an_interrupt_ends_a_backup_at_once_and_costs_no_pack_twice() {
    let (house, storage) = House::fake();
    for file in 0..10 {
        fs::write(house.tree().join(format!("noise-{file}")), tree::noise(file, 12 << 20)).unwrap();
    }
    storage.harm_all(Call::Put, Harm::Wait(Duration::from_millis(60)));
    let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
    let options = ArchiveOptions { uploads: 1, ..options(&house.tree(), None) };
    let (done, took) = std::thread::scope(|scope| {
        let run = scope.spawn(|| (backup(&house.repository, &options, &progress, &interrupt), Instant::now()));
        while progress.bytes_done.load(Ordering::Relaxed) < 80 << 20 {
            std::thread::yield_now();
        }
        interrupt.raise();
        let raised = Instant::now();
        let (done, ended) = run.join().unwrap();
        (done, ended.saturating_duration_since(raised))
    });
    assert!(matches!(done, Err(EngineError::Interrupted)), "{done:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(house.snapshots().is_empty());
    storage.heal();
    let indexed = house.repository.index_load(&Interrupt::default()).unwrap();
    let sent = house.repository.pack_list(&Interrupt::default()).unwrap().len();
    assert!(sent >= 2, "{sent} packs");
    assert_eq!(indexed.packs().len(), sent, "a pack is in no index: the next run would send it again");
    let next = house.backup(None);
    let all = house.repository.index_load(&Interrupt::default()).unwrap();
    let again = all.blob_count() as u64 - indexed.blob_count() as u64;
    assert_eq!(next.summary.data_blobs + next.summary.tree_blobs, again);
    let mut packs = IdSet::default();
    packs.extend(all.packs().iter().map(|pack| pack.id));
    assert!(indexed.packs().iter().all(|pack| packs.contains(&pack.id)));
    let bytes = indexed.packs().iter().map(|pack| pack.size_bytes).sum::<u64>();
    assert!(next.summary.data_added + bytes < (120 << 20) + (1 << 20), "{bytes} were there, {:?}", next.summary);
    house.assert_proved(&next.id);
}

#[test]
fn an_interrupt_ends_a_restore_and_a_verify_too() {
    let (house, storage, _) = house();
    let id = house.backup(None).id;
    storage.harm_all(Call::Get, Harm::Hang);
    let interrupt = Interrupt::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            interrupt.raise();
        });
        let (hex, target) = (id.to_hex(), house.home.path().join("target"));
        let options = backstay_engine::restore::RestoreOptions::new(&hex, &target);
        let done =
            backstay_engine::restore::restore(&house.repository, &options, &EngineProgress::default(), &interrupt);
        assert!(matches!(done, Err(EngineError::Interrupted)), "{done:?}");
        let options = backstay_engine::verify::VerifyOptions {
            snapshot: &hex,
            sample: backstay_core::domain::sample::SampleRule::everything(),
            source: None,
            started_at: jiff::Timestamp::now(),
        };
        let done = backstay_engine::verify::verify(&house.repository, &options, &EngineProgress::default(), &interrupt);
        assert!(matches!(done, Err(EngineError::Interrupted)), "{done:?}");
    });
}

/// A small file system in memory, taken down at the end.
pub(crate) struct SmallDisk(pub(crate) std::path::PathBuf);

impl SmallDisk {
    pub(crate) fn mount(place: std::path::PathBuf, mebibytes: u32) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&place)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().unwrap();
    }
}

#[test]
fn a_full_disk_has_a_name_and_the_next_run_completes() {
    let mut house = House::local();
    let Some(disk) = SmallDisk::mount(house.home.path().join("disk"), 24) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs the right to mount a tmpfs");
        eprintln!("\n########## SKIPPED: needs the right to mount a tmpfs ##########\n");
        return;
    };
    let storage: Arc<dyn ObjectStorage> = super::house::local(&disk.0.join("repository"));
    let (password, maker) = (super::house::password(), super::house::maker());
    house.repository = backstay_engine::Repository::create(storage, &password, maker, &Interrupt::default()).unwrap();
    fs::write(house.tree().join("small"), b"x").unwrap();
    let first = house.backup(None);
    fs::write(house.tree().join("noise"), tree::noise(9, 10 << 20)).unwrap();
    // A pack of the run that fails may fit, and stays until a prune: the next one needs its room beside it.
    fs::write(disk.0.join("ballast"), vec![1; 18 << 20]).unwrap();
    let done = house.try_backup(Some(first.id));
    assert!(matches!(done, Err(EngineError::Storage(StorageError::Full { .. }))), "{done:?}");
    assert_eq!(house.snapshots(), [first.id]);
    fs::remove_file(disk.0.join("ballast")).unwrap();
    let next = house.backup(Some(first.id));
    assert_clean(&house, &next.id);
    drop(house.repository);
}
