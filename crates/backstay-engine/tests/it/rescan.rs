//! A second backup: what did not change is not read, what changed is.

use std::fs;

use backstay_engine::Interrupt;
use backstay_engine::format::object::FileKind;

use super::forge::Forge;
use super::house::{House, local};
use super::tree::{self, Bits, assert_same};

fn house() -> House {
    let house = House::local();
    for folder in 0..20 {
        let path = house.tree().join(format!("folder-{folder:02}"));
        fs::create_dir(&path).unwrap();
        for file in 0..20 {
            fs::write(path.join(format!("file-{file:02}")), tree::text(folder * 100 + file, 3_000)).unwrap();
        }
    }
    fs::write(house.tree().join("large"), tree::noise(1, 3 << 20)).unwrap();
    house
}

#[test]
fn nothing_is_read_that_did_not_change() {
    let house = house();
    let first = house.backup(None);
    assert_eq!((first.summary.files_new, first.summary.dirs_new), (401, 21));
    let second = house.backup(Some(first.id));
    let summary = &second.summary;
    assert_eq!((summary.files_unmodified, summary.files_changed, summary.files_new), (401, 0, 0), "{summary:?}");
    assert_eq!((summary.dirs_unmodified, summary.dirs_changed, summary.dirs_new), (21, 0, 0), "{summary:?}");
    assert_eq!((summary.data_blobs, summary.total_files_processed), (0, 401));
    assert_eq!(summary.total_bytes_processed, first.summary.total_bytes_processed);
    house.assert_proved(&second.id);
}

#[test]
fn what_changed_came_or_went_is_seen() {
    let house = house();
    let first = house.backup(None);
    let at = |name: &str| house.tree().join(name);
    fs::write(at("folder-03/file-03"), b"changed").unwrap();
    fs::write(at("folder-04/added"), b"added").unwrap();
    fs::remove_file(at("folder-05/file-05")).unwrap();
    fs::remove_dir_all(at("folder-06")).unwrap();
    fs::rename(at("folder-07/file-07"), at("folder-07/renamed")).unwrap();
    fs::remove_file(at("folder-08/file-08")).unwrap();
    fs::create_dir(at("folder-08/file-08")).unwrap();
    fs::rename(at("folder-09"), at("folder-09-file")).unwrap();
    fs::write(at("folder-09"), b"a file now").unwrap();
    // The same size and modification, but another inode: the change of the inode tells.
    let before = fs::metadata(at("folder-10/file-10")).unwrap().modified().unwrap();
    fs::write(at("other"), tree::text(9_999, 3_000)).unwrap();
    fs::File::options().write(true).open(at("other")).unwrap().set_modified(before).unwrap();
    fs::rename(at("other"), at("folder-10/file-10")).unwrap();
    let second = house.backup(Some(first.id));
    let summary = &second.summary;
    assert_eq!((summary.files_changed, summary.files_new), (3, 1 + 1 + 20), "{summary:?}");
    assert_eq!((summary.dirs_new, summary.dirs_changed), (2, 6 + 1), "{summary:?}");
    let (_, place) = house.restore(&second.id);
    assert_same(&house.tree(), &place, Bits::All);
    house.assert_proved(&second.id);
}

#[test]
fn what_the_repository_lost_is_sent_again() {
    let house = house();
    let first = house.backup(None);
    for entry in fs::read_dir(house.home.path().join("repository/index")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let second = house.backup(Some(first.id));
    assert_eq!(second.summary.files_unmodified, 0);
    house.assert_proved(&second.id);
}

/// Trees alone do not make a file unchanged: somebody may have lost, or given up, the pack with its content.
#[test]
fn content_that_the_repository_lost_is_sent_again() {
    let house = house();
    let first = house.backup(None);
    let place = house.home.path().join("repository");
    let forge = Forge::new(local(&place));
    for id in house.repository.file_list(FileKind::Index, &Interrupt::default()).unwrap() {
        let text = house.repository.file_read(FileKind::Index, &id, &Interrupt::default()).unwrap();
        let mut index: serde_json::Value = serde_json::from_slice(&text).unwrap();
        index["packs"].as_array_mut().unwrap().retain(|pack| pack["blobs"][0]["type"] == "tree");
        fs::remove_file(place.join("index").join(id.to_hex())).unwrap();
        forge.file(FileKind::Index, index.to_string().as_bytes());
    }
    let second = house.backup(Some(first.id));
    assert_eq!(second.summary.files_unmodified, 0, "{:?}", second.summary);
    assert_eq!(second.summary.dirs_unmodified, 21, "the trees are there: {:?}", second.summary);
    house.assert_proved(&second.id);
}

#[test]
fn a_parent_that_is_not_there_costs_time_alone() {
    let house = house();
    house.backup(None);
    let second = house.backup(Some(backstay_engine::format::id::Id::of(b"no such snapshot")));
    assert_eq!((second.summary.files_new, second.summary.data_blobs), (401, 0));
    house.assert_proved(&second.id);
}
