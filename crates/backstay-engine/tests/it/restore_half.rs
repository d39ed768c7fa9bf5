//! A restore that dies leaves nothing at a place that the next run would take for done: whichever of its calls is its
//! last, whatever it was told about what is there.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_engine::format::id::Id;
use backstay_engine::restore::{Reconcile, RestoreOptions, Restored, Special, restore};
use backstay_engine::system::{SystemCall, SystemFault};
use backstay_engine::{EngineError, EngineProgress, Interrupt, System};
use rustix::io::Errno;

use super::house::House;
use super::tree::{self, Bits, contents};

/// A tree of some files of several blobs' worth, links and a FIFO.
fn saved() -> (House, Id) {
    let (house, _) = House::fake();
    fs::create_dir(house.tree().join("folder")).unwrap();
    for (at, name) in ["one", "two", "folder/three", "folder/four"].into_iter().enumerate() {
        fs::write(house.tree().join(name), tree::text(at as u64, 3_000)).unwrap();
    }
    fs::write(house.tree().join("empty"), b"").unwrap();
    fs::hard_link(house.tree().join("one"), house.tree().join("folder/one-too")).unwrap();
    std::os::unix::fs::symlink("one", house.tree().join("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, house.tree().join("fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0)
        .unwrap();
    let id = house.backup(None).id;
    (house, id)
}

fn run(house: &House, id: &Id, target: &Path, reconcile: Reconcile, system: System) -> Result<Restored, EngineError> {
    let (hex, tree) = (id.to_hex(), house.tree());
    let sub_path = tree.to_str().unwrap().as_bytes();
    let options = RestoreOptions {
        sub_path,
        reconcile,
        system,
        special: Special::Make,
        workers: 1,
        ..RestoreOptions::new(&hex, target)
    };
    restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default())
}

/// A file system that stops answering at the n-th call, and how many calls it has met.
fn dying(nth: u64) -> (System, Arc<AtomicU64>) {
    let met = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&met);
    let listener = move |_: SystemCall, _: &[u8]| {
        let is_dead = seen.fetch_add(1, Ordering::SeqCst) + 1 >= nth;
        is_dead.then_some(SystemFault::Fails(Errno::IO))
    };
    (System::heard(Arc::new(listener)), met)
}

fn described(root: &Path) -> std::collections::BTreeMap<Vec<u8>, String> {
    let mut all = contents(root, Bits::All);
    all.remove(&Vec::new());
    all
}

#[test]
fn wherever_a_restore_dies_the_next_one_brings_all_that_it_was_asked_for() {
    let (house, id) = saved();
    let mut deaths = 0;
    for reconcile in [Reconcile::Skip, Reconcile::OverwriteIfNewer, Reconcile::Overwrite, Reconcile::OverwriteIfChanged]
    {
        for nth in 1.. {
            let target = house.home.path().join("target");
            fs::create_dir(&target).unwrap();
            let mut expected = described(&house.tree());
            // What was there before: older, of other bytes, and of other length.
            fs::write(target.join("two"), b"mine, and older").unwrap();
            tree::set_time(&target.join("two"), 1_000_000_000, 0);
            if reconcile == Reconcile::Skip {
                expected.insert(b"two".to_vec(), described(&target)[&b"two"[..]].clone());
            }
            let (system, met) = dying(nth);
            let first = run(&house, &id, &target, reconcile, system);
            let died = met.load(Ordering::SeqCst) >= nth;
            if !died {
                assert!(first.unwrap().unread.is_empty());
            }
            let second = run(&house, &id, &target, reconcile, System::default()).unwrap();
            assert!(second.unread.is_empty(), "{reconcile:?} {nth}: {:?}", second.unread);
            let found = described(&target);
            let wrong: Vec<_> = expected.iter().filter(|(path, then)| found.get(*path) != Some(then)).collect();
            assert!(wrong.is_empty(), "{reconcile:?} {nth}: {wrong:#?} in {found:#?}");
            assert_eq!(found.len(), expected.len(), "{reconcile:?} {nth}: something is left: {found:#?}");
            fs::remove_dir_all(&target).unwrap();
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    println!("a restore died at {deaths} calls");
    assert!(deaths > 200, "{deaths}");
}

/// Under *rename* a half file would stand there for good, beside the whole one that the next run makes.
#[test]
fn a_file_that_is_restored_beside_another_is_never_there_by_half() {
    let (house, id) = saved();
    for nth in 1.. {
        let target = house.home.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("two"), b"mine").unwrap();
        let (system, met) = dying(nth);
        // What it says is judged by what it left.
        drop(run(&house, &id, &target, Reconcile::Rename, system));
        let whole = fs::read(house.tree().join("two")).unwrap();
        if let Ok(found) = fs::read(target.join("two.restored")) {
            assert!(found == whole, "{nth}: half a file");
        }
        assert_eq!(fs::read(target.join("two")).unwrap(), b"mine");
        let died = met.load(Ordering::SeqCst) >= nth;
        fs::remove_dir_all(&target).unwrap();
        if !died {
            break;
        }
    }
}

/// While a restore works, somebody puts a link in the place of a folder that it made.
///
/// Red without the flags of `beneath` in `restore/target.rs`.
#[test]
fn a_link_that_comes_meanwhile_leads_nothing_outside() {
    let (house, id) = saved();
    for nth in 1.. {
        let place = tempfile::tempdir().unwrap();
        let (target, outside) = (place.path().join("target"), place.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        let (met, swapped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let listener = {
            let (target, outside, swapped) = (target.clone(), outside.clone(), Arc::clone(&swapped));
            move |call: SystemCall, _: &[u8]| {
                let folder = target.join("folder");
                if call == SystemCall::Open && folder.is_dir() && met.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                    fs::rename(&folder, target.join("aside")).unwrap();
                    std::os::unix::fs::symlink(&outside, &folder).unwrap();
                    swapped.store(1, Ordering::SeqCst);
                }
                None
            }
        };
        let done = run(&house, &id, &target, Reconcile::Fail, System::heard(Arc::new(listener)));
        if swapped.load(Ordering::SeqCst) == 0 {
            assert!(nth > 3, "there are more calls: {nth}");
            assert!(done.unwrap().unread.is_empty());
            break;
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{nth}: {done:?}");
    }
}
