//! Targets that take nothing: the restore says so, and the next finishes when there is room.

use std::fs;
use std::path::Path;
use std::process::Command;

use backstay_core::domain::job::FailureClass;
use backstay_engine::restore::{Reconcile, RestoreOptions, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt};

use super::fault::SmallDisk;
use super::house::{House, below};
use super::proof::{pack_key, places, remove, saved};
use super::restore_meet::into;
use super::tree::{self, Bits, assert_same};

fn mount(options: &str, place: &Path) {
    assert!(Command::new("mount").args(["-o", options]).arg(place).status().unwrap().success());
}

#[test]
fn a_full_target_ends_a_restore_and_room_lets_the_next_finish() {
    let house = House::local();
    fs::write(house.tree().join("noise"), tree::noise(9, 20 << 20)).unwrap();
    fs::write(house.tree().join("small"), b"x").unwrap();
    let id = house.backup(None).id;
    let Some(disk) = SmallDisk::mount(house.home.path().join("disk"), 12) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs the right to mount a tmpfs");
        eprintln!("\n########## SKIPPED: needs the right to mount a tmpfs ##########\n");
        return;
    };
    let (hex, target) = (id.to_hex(), disk.0.join("target"));
    let options = RestoreOptions { resume: Some("job"), ..RestoreOptions::new(&hex, &target) };
    let run = || restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default());
    let done = run();
    assert!(
        matches!(&done, Err(error @ EngineError::Write { .. }) if error.class() == FailureClass::Target),
        "{done:?}"
    );
    mount("remount,ro", &disk.0);
    let done = run();
    assert!(matches!(done, Err(EngineError::Write { .. })), "{done:?}");
    mount("remount,rw,size=64m", &disk.0);
    let done = run().unwrap();
    assert!(done.unread.is_empty() && done.bytes_written < 20 << 20, "{done:?}");
    assert_same(&house.tree(), &below(&target, &house.tree()), Bits::All);
    drop(house.repository);
}

#[test]
fn a_pack_that_is_missing_costs_what_lay_in_it_alone() {
    let (house, storage, id) = saved();
    let place = places(&house, &id, "small/20")[0];
    remove(&storage, &pack_key(&place));
    let target = house.home.path().join("target");
    let done = into(&house, &id, &target, Reconcile::Fail).unwrap();
    let lost: Vec<String> = (done.unread.entries.iter()).map(|entry| entry.path.clone()).collect();
    assert!(lost.contains(&"/small/20".to_owned()) && done.unread.count + done.files == 53, "{lost:?}");
    for entry in &lost {
        assert!(!target.join(&entry[1..]).exists(), "{entry}");
    }
    assert!(
        done.unread.entries.iter().all(|entry| entry.reason.contains("has no object")),
        "{:?}",
        done.unread.entries[0]
    );
}
