//! A verify proves what is whole, and finds whatever is not.

use std::fs;
use std::sync::Arc;

use backstay_core::domain::evidence::{Findings, Verdict};
use backstay_engine::Interrupt;
use backstay_engine::browse;
use backstay_engine::format::id::Id;
use backstay_engine::format::index::BlobPlace;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::repository::BlobReader;
use backstay_storage::{ObjectKey, ObjectStorage, ReadCache};
use backstay_testkit::fakes::storage::FakeStorage;
use futures::executor::block_on;

use super::forge::Forge;
use super::house::House;
use super::tree;

/// Returns a repository in memory with a snapshot of a small tree: three files of three blobs, fifty of one.
pub(crate) fn saved() -> (House, Arc<FakeStorage>, Id) {
    let (house, storage) = House::fake();
    for file in 0..3 {
        fs::write(house.tree().join(format!("large-{file}")), tree::noise(file, 3 << 20)).unwrap();
    }
    fs::create_dir(house.tree().join("small")).unwrap();
    for file in 0..50 {
        fs::write(house.tree().join(format!("small/{file:02}")), tree::text(1_000 + file, 200)).unwrap();
    }
    let id = house.backup(None).id;
    (house, storage, id)
}

/// Returns where the blobs of a file lie; those of its tree when it is a folder.
pub(crate) fn places(house: &House, snapshot: &Id, path: &str) -> Vec<BlobPlace> {
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = BlobReader::new(&house.repository, &index, ReadCache::Use, &Interrupt::default());
    let (_, file) = house.repository.snapshot_read(&snapshot.to_hex(), &Interrupt::default()).unwrap();
    let path = house.tree().join(path);
    let found = browse::find(&house.repository, &mut blobs, file.tree, path.to_str().unwrap().as_bytes()).unwrap();
    match found.subtree {
        Some(tree) => vec![index.find(BlobKind::Tree, &tree).unwrap()],
        None => found.content.iter().map(|id| index.find(BlobKind::Data, id).unwrap()).collect(),
    }
}

pub(crate) fn pack_key(place: &BlobPlace) -> String {
    FileKind::Pack.key(&place.pack).to_string()
}

pub(crate) fn remove(storage: &FakeStorage, key: &str) {
    block_on(storage.object_remove(&ObjectKey::new(key).unwrap())).unwrap();
}

/// Asserts that the harm is found, and that these words stand somewhere in what is said about it.
fn assert_found(found: &Findings, parts: &[&str]) {
    assert_eq!(found.verdict(), Verdict::Damaged);
    let words: Vec<String> = found.differences.iter().map(|one| format!("{}: {}", one.place, one.problem)).collect();
    for part in parts {
        assert!(words.iter().any(|line| line.contains(part)), "`{part}` is not in {words:#?}");
    }
}

#[test]
fn a_whole_repository_is_proved() {
    let (house, _, id) = saved();
    let found = house.verify(&id);
    assert_eq!(found.verdict(), Verdict::Proved, "{:#?}", found.differences);
    assert_eq!((found.files_total, found.files_read, found.files_compared, found.files_changed_since), (53, 53, 53, 0));
    assert_eq!(found.bytes_read, found.bytes_total);
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is_in_a_blob() {
    let (house, storage, id) = saved();
    let place = *places(&house, &id, "large-1").last().unwrap();
    for at in [0, 15, 16, 1_000, place.length - 17, place.length - 1] {
        let flip = |bytes: &mut Vec<u8>| bytes[(place.offset + at) as usize] ^= 0x10;
        storage.tamper(&pack_key(&place), flip);
        let found = house.verify(&id);
        assert_found(&found, &["/large-1: blob"]);
        assert_eq!((found.difference_count, found.files_compared), (1, 52), "byte {at}");
        storage.tamper(&pack_key(&place), flip);
    }
    house.assert_proved(&id);
}

#[test]
fn a_damaged_folder_is_named() {
    let (house, storage, id) = saved();
    let place = places(&house, &id, "small")[0];
    storage.tamper(&pack_key(&place), |bytes| bytes[place.offset as usize + 20] ^= 1);
    let found = house.verify(&id);
    assert_found(&found, &["/small: "]);
    assert_eq!((found.files_total, found.files_compared), (3, 3));
}

#[test]
fn a_missing_pack_is_found() {
    let (house, storage, id) = saved();
    let place = places(&house, &id, "small/07")[0];
    remove(&storage, &pack_key(&place));
    assert_found(&house.verify(&id), &[&format!("pack {}: is not in the storage", place.pack), "/small/07: "]);
}

#[test]
fn a_truncated_pack_is_found() {
    let (house, storage, id) = saved();
    let place = *places(&house, &id, "large-2").last().unwrap();
    storage.tamper(&pack_key(&place), |bytes| bytes.truncate(bytes.len() - 1));
    let found = house.verify(&id);
    assert_found(&found, &[&format!("pack {}: has", place.pack)]);
    assert_eq!(found.difference_count, 1, "its header alone is short: {:#?}", found.differences);
    storage.tamper(&pack_key(&place), |bytes| bytes.truncate(place.offset as usize + 10));
    assert_found(&house.verify(&id), &[&format!("pack {}: has", place.pack), "/large-2: "]);
}

#[test]
fn a_missing_index_is_found() {
    let (house, storage, id) = saved();
    storage.keys().iter().filter(|key| key.starts_with("index/")).for_each(|key| remove(&storage, key));
    assert_found(&house.verify(&id), &["is in no index"]);
}

#[test]
fn a_damaged_index_is_an_error_and_never_a_smaller_one() {
    let (house, storage, id) = saved();
    let index = storage.keys().into_iter().find(|key| key.starts_with("index/")).unwrap();
    storage.tamper(&index, |bytes| bytes[40] ^= 1);
    assert!(house.try_verify(&id).is_err() && house.try_backup(Some(id)).is_err() && house.try_restore(&id).0.is_err());
}

#[test]
fn a_source_that_changed_since_is_counted_and_no_damage() {
    let (house, _, id) = saved();
    fs::write(house.tree().join("small/01"), b"changed").unwrap();
    fs::remove_file(house.tree().join("small/02")).unwrap();
    fs::remove_file(house.tree().join("large-0")).unwrap();
    std::os::unix::fs::symlink("large-1", house.tree().join("large-0")).unwrap();
    let found = house.verify(&id);
    assert_eq!(found.verdict(), Verdict::Proved, "{:#?}", found.differences);
    assert_eq!((found.files_read, found.files_compared, found.files_changed_since), (53, 50, 3));
}

/// The storage is whole in itself, but holds other bytes than the source, under the same size and times: what a broken
/// disk cache or a broken engine would leave.
#[test]
fn other_bytes_behind_the_same_size_and_times_are_found() {
    let (house, storage, id) = saved();
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = BlobReader::new(&house.repository, &index, ReadCache::Use, &Interrupt::default());
    let (_, file) = house.repository.snapshot_read(&id.to_hex(), &Interrupt::default()).unwrap();
    let mut forge = Forge::new(storage);
    let other = forge.blob(BlobKind::Data, &[b'x'; 200]);
    // Every tree from the file up is written anew, with the id of what is below it replaced.
    let path = house.tree().join("small");
    let names: Vec<&str> = path.to_str().unwrap().split('/').filter(|name| !name.is_empty()).collect();
    let mut trees = vec![file.tree];
    for depth in 1..=names.len() {
        let found =
            browse::find(&house.repository, &mut blobs, file.tree, names[..depth].join("/").as_bytes()).unwrap();
        trees.push(found.subtree.unwrap());
    }
    let original = fs::read(path.join("33")).unwrap();
    let (mut before, mut after) = (Id::of(&original), other);
    for tree in trees.iter().rev() {
        let text = String::from_utf8(blobs.read(BlobKind::Tree, tree).unwrap()).unwrap();
        assert!(text.contains(&before.to_hex()));
        let text = text.replace(&before.to_hex(), &after.to_hex());
        (before, after) = (*tree, forge.blob(BlobKind::Tree, text.as_bytes()));
    }
    let forged = forge.publish(after);
    let found = house.verify(&forged);
    assert_found(&found, &["/small/33: differs from the source"]);
    assert_eq!((found.difference_count, found.files_compared), (1, 53));
}
