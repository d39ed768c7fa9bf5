//! How a restore meets what is there, where restic has no word for it: plans, other names, reading back, strangers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstay_engine::format::id::Id;
use backstay_engine::pattern::Patterns;
use backstay_engine::restore::{Action, Reconcile, RestoreOptions, Restored, apply, plan, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::ObjectStorage;
use backstay_testkit::fakes::storage::FakeStorage;

use super::forge::Forge;
use super::house::House;
use super::proof::{pack_key, places, saved};
use super::restore_deep::deep;
use super::tree;

/// Restores the tree of a house into a folder that may hold something.
pub(crate) fn into(house: &House, id: &Id, target: &Path, reconcile: Reconcile) -> Result<Restored, EngineError> {
    let (hex, tree) = (id.to_hex(), house.tree());
    let sub_path = tree.to_str().unwrap().as_bytes();
    let options = RestoreOptions { sub_path, reconcile, ..RestoreOptions::new(&hex, target) };
    restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default())
}

fn small() -> (House, Arc<FakeStorage>, Id) {
    let (house, storage) = House::fake();
    for (name, text) in [("a", "one"), ("b", "two"), ("same", "same")] {
        fs::write(house.tree().join(name), text).unwrap();
    }
    fs::create_dir(house.tree().join("folder")).unwrap();
    fs::write(house.tree().join("folder/in"), b"in").unwrap();
    symlink("a", house.tree().join("link")).unwrap();
    tree::set_time(&house.tree().join("same"), 1_000_000_000, 1);
    let id = house.backup(None).id;
    (house, storage, id)
}

fn text(target: &Path, name: &str) -> String {
    fs::read_to_string(target.join(name)).unwrap()
}

#[test]
fn what_is_restored_beside_something_has_another_name() {
    let (house, _, id) = small();
    let target = house.home.path().join("target");
    fs::create_dir_all(target.join("folder")).unwrap();
    for name in ["a", "a.restored", "folder/in", "link"] {
        fs::write(target.join(name), b"mine").unwrap();
    }
    fs::write(target.join("same"), b"same").unwrap();
    tree::set_time(&target.join("same"), 1_000_000_000, 1);
    let done = into(&house, &id, &target, Reconcile::Rename).unwrap();
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    assert_eq!((done.files, done.unchanged, done.others), (3, 1, 1));
    for name in ["a", "a.restored", "folder/in", "link"] {
        assert_eq!(text(&target, name), "mine", "{name}");
    }
    assert_eq!((text(&target, "a.restored-2"), text(&target, "b")), ("one".to_owned(), "two".to_owned()));
    assert_eq!(text(&target, "folder/in.restored"), "in");
    assert_eq!(fs::read_link(target.join("link.restored")).unwrap(), PathBuf::from("a"));
    assert!(!target.join("same.restored").exists());
}

#[test]
fn a_folder_with_another_name_holds_what_is_asked_for_by_its_own() {
    let (house, _, id) = small();
    let target = house.home.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("folder"), b"mine").unwrap();
    let (hex, tree) = (id.to_hex(), house.tree());
    let options = RestoreOptions {
        sub_path: tree.to_str().unwrap().as_bytes(),
        reconcile: Reconcile::Rename,
        include: Patterns::new(["/folder/in"]).unwrap(),
        ..RestoreOptions::new(&hex, &target)
    };
    restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert_eq!((text(&target, "folder.restored/in"), text(&target, "folder")), ("in".to_owned(), "mine".to_owned()));
}

#[test]
fn a_plan_says_what_the_restore_then_does() {
    let (house, _, id) = small();
    let target = house.home.path().join("target");
    fs::create_dir_all(target.join("b/full")).unwrap();
    fs::write(target.join("a"), b"mine").unwrap();
    fs::write(target.join("same"), b"same").unwrap();
    tree::set_time(&target.join("same"), 1_000_000_000, 1);
    let (hex, tree) = (id.to_hex(), house.tree());
    let sub_path = tree.to_str().unwrap().as_bytes();
    let options =
        RestoreOptions { sub_path, reconcile: Reconcile::OverwriteIfChanged, ..RestoreOptions::new(&hex, &target) };
    let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
    let before = deep(&target);
    let planned = plan(&house.repository, &options, &progress, &interrupt).unwrap();
    assert_eq!(deep(&target), before, "a plan changed something");
    let mut said = Vec::new();
    planned.each(|entry| said.push((String::from_utf8(entry.path).unwrap(), entry.action)));
    let expected = [
        ("a", Action::Overwrite),
        ("b", Action::Fail),
        ("folder", Action::Create),
        ("link", Action::Create),
        ("same", Action::Unchanged),
        ("folder/in", Action::Create),
    ];
    assert_eq!(said, expected.map(|(path, action)| (path.to_owned(), action)));
    let counts = planned.counts();
    assert_eq!((counts.create, counts.overwrite, counts.unchanged, counts.fail), (3, 1, 1, 1));
    assert_eq!((counts.files, counts.bytes), (2, 5));
    let done = apply(&house.repository, planned, &options, &progress, &interrupt).unwrap();
    assert_eq!((done.files, done.unchanged, done.unread.count), (2, 1, 1));
    assert!(done.unread.entries[0].reason.contains("not empty"), "{:?}", done.unread);
    assert_eq!((text(&target, "a"), target.join("b/full").is_dir()), ("one".to_owned(), true));
}

#[test]
fn what_is_wrong_on_the_disk_is_found_when_it_is_read_back() {
    let (house, _, id) = small();
    let target = house.home.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("same"), b"SAME").unwrap();
    tree::set_time(&target.join("same"), 1_000_000_000, 1);
    let (hex, tree) = (id.to_hex(), house.tree());
    let options = RestoreOptions {
        sub_path: tree.to_str().unwrap().as_bytes(),
        reconcile: Reconcile::OverwriteIfChanged,
        verify: true,
        ..RestoreOptions::new(&hex, &target)
    };
    let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert_eq!((done.verified, done.unread.count), (4, 1), "{:?}", done.unread);
    assert_eq!(done.unread.entries[0].path, "/same");
    // What is compared by content is found and made right.
    let options = RestoreOptions { reconcile: Reconcile::Overwrite, ..options };
    let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert_eq!((done.verified, done.unread.count, done.bytes_written), (4, 0, 4));
    assert_eq!(text(&target, "same"), "same");
}

#[test]
fn a_damaged_blob_takes_nothing_from_what_was_there_untouched() {
    let (house, storage, id) = saved();
    let target = house.home.path().join("target");
    fs::create_dir_all(target.join("small")).unwrap();
    fs::write(target.join("small/20"), b"mine").unwrap();
    fs::write(target.join("large-1"), b"mine too").unwrap();
    let small = places(&house, &id, "small/20")[0];
    storage.tamper(&pack_key(&small), |bytes| bytes[small.offset as usize] ^= 1);
    let large = *places(&house, &id, "large-1").last().unwrap();
    storage.tamper(&pack_key(&large), |bytes| bytes[large.offset as usize + 99] ^= 1);
    let done = into(&house, &id, &target, Reconcile::Overwrite).unwrap();
    let mut named: Vec<&str> = done.unread.entries.iter().map(|entry| &*entry.path).collect();
    named.sort_unstable();
    assert_eq!((named, done.files), (vec!["/large-1", "/small/20"], 51));
    assert_eq!(text(&target, "small/20"), "mine");
    // The repository's own polynomial cuts the blobs: the bad one may be met before anything of the file is written.
    let left = target.join("large-1");
    assert!(!left.exists() || text(&target, "large-1") == "mine too", "wrong bytes were left");
}

#[test]
fn a_hard_link_takes_the_place_of_its_first_name_that_cannot_be_made() {
    let (house, _) = House::fake();
    fs::write(house.tree().join("a"), b"shared").unwrap();
    for name in ["b", "c"] {
        fs::hard_link(house.tree().join("a"), house.tree().join(name)).unwrap();
    }
    let id = house.backup(None).id;
    let target = house.home.path().join("target");
    fs::create_dir_all(target.join("a/full")).unwrap();
    let done = into(&house, &id, &target, Reconcile::Overwrite).unwrap();
    assert_eq!((done.files, done.unread.count), (2, 1), "{:?}", done.unread);
    let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(target.join(name)).unwrap());
    assert_eq!((text(&target, "b"), inode("b")), ("shared".to_owned(), inode("c")));
}

#[test]
fn sockets_and_fifos_are_made_and_one_of_several_names_is_a_link() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let (house, storage) = House::fake();
    let mut forge = Forge::new(storage as Arc<dyn ObjectStorage>);
    let node = |name: &str, kind: &str| {
        let rest = r#""mode":416,"uid":7,"gid":8,"inode":5,"device_id":1,"links":2,"mtime":"2001-09-09T01:46:40.5Z""#;
        format!(r#"{{"name":"{name}","type":"{kind}",{rest}}}"#)
    };
    let tree = forge.tree(&[node("a", "fifo"), node("b", "fifo"), node("c", "socket"), node("d", "mystery")]);
    let id = forge.publish(tree);
    let (hex, target) = (id.to_hex(), house.home.path().join("target"));
    let options = RestoreOptions::new(&hex, &target);
    let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    let known = |name: &str| fs::symlink_metadata(target.join(name)).unwrap();
    assert!(known("a").file_type().is_fifo() && known("c").file_type().is_socket());
    assert_eq!((known("a").ino(), known("a").nlink(), known("c").nlink()), (known("b").ino(), 2, 1));
    assert_eq!((known("c").mode() & 0o7777, known("c").uid(), known("c").mtime_nsec()), (0o640, 7, 500_000_000));
    let named: Vec<&str> = done.unread.entries.iter().map(|entry| &*entry.path).collect();
    assert_eq!((named, done.others), (vec!["/d"], 3));
}
