//! What we write, restic reads; what restic writes, we read; and neither sends again what the other has sent.

use std::fs;

use backstay_engine::Interrupt;
use backstay_engine::format::id::Id;
use backstay_engine::format::snapshot::SnapshotFile;
use serde_json::Value;

use super::house::House;
use super::restic::{Restic, restics};
use super::tree::{self, Bits, assert_same, hard_names};

/// Makes a tree of all sorts and sizes.
fn everything(house: &House) {
    tree::sorts(&house.tree());
    tree::sizes(&house.tree());
}

fn regular_files(house: &House) -> u64 {
    let all = tree::contents(&house.tree(), Bits::All);
    all.values().filter(|line| line.starts_with("10")).count() as u64
}

#[test]
fn restic_reads_what_we_write() {
    let house = House::local();
    everything(&house);
    let first = house.backup(None);
    assert!(first.unread.is_empty(), "{:?}", first.unread);
    assert_eq!(first.summary.total_files_processed, regular_files(&house));
    let (done, place) = house.restore(&first.id);
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    assert_same(&house.tree(), &place, Bits::NoRights);
    fs::remove_dir_all(place).unwrap();
    fs::write(house.tree().join("added"), b"new").unwrap();
    fs::remove_file(house.tree().join("noise-1")).unwrap();
    fs::write(house.tree().join("text-20m"), tree::text(99, 20 << 20)).unwrap();
    let second = house.backup(Some(first.id));
    for restic in restics() {
        restic.check(&house);
        assert_same(&house.tree(), &restic.restore(&house, &second.id.to_hex()), Bits::All);
        reads_metadata(&house, &restic, [first.id, second.id]);
    }
}

/// restic lists, names and compares our snapshots.
fn reads_metadata(house: &House, restic: &Restic, ids: [Id; 2]) {
    let home = house.home.path();
    let [first, second] = ids.map(Id::to_hex);
    let listed: Value = serde_json::from_str(&restic.run(home, &["snapshots", "--json"])).unwrap();
    let shown: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown.contains(&&*first) && shown.contains(&&*second));
    let newest = &listed.as_array().unwrap()[1];
    assert_eq!((newest["hostname"].as_str(), newest["parent"].as_str()), (Some("testhost"), Some(&*first)));
    assert_eq!(newest["tags"][0], "plan:test");
    assert_eq!(newest["paths"][0].as_str(), house.tree().to_str());
    let names = restic.run(home, &["ls", "--json", &second]);
    let names: Vec<String> = names
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| line["path"].as_str().map(str::to_owned))
        .collect();
    let entries = tree::contents(&house.tree(), Bits::All).len();
    let above = house.tree().components().count() - 2;
    assert_eq!(names.len(), entries + above, "restic {}", restic.version);
    assert!(names.iter().any(|name| name.ends_with("/names/new\nline")), "restic {}", restic.version);
    let diff = restic.run(home, &["diff", &first, &second]);
    let changed: Vec<&str> =
        diff.lines().filter(|line| ["+ ", "- ", "M "].iter().any(|sign| line.starts_with(sign))).collect();
    for (sign, name) in [("+", "/added"), ("-", "/noise-1"), ("M", "/text-20m")] {
        assert!(changed.iter().any(|line| line.starts_with(sign) && line.ends_with(name)), "{sign}{name}: {changed:?}");
    }
    assert_eq!(changed.len(), 3, "restic {}: {changed:?}", restic.version);
}

#[test]
fn we_read_what_restic_writes_and_send_nothing_again() {
    for restic in restics() {
        let home = tempfile::tempdir().unwrap();
        restic.run(home.path(), &["init"]);
        fs::create_dir(home.path().join("tree")).unwrap();
        let house = House::opened(home);
        everything(&house);
        restic.backup(house.home.path(), &house.tree(), &[]);
        let theirs = house.snapshots()[0];
        let (done, place) = house.restore(&theirs);
        assert!(done.unread.is_empty(), "{:?}", done.unread);
        assert_same(&house.tree(), &place, Bits::NoRights);
        fs::remove_dir_all(place).unwrap();
        house.assert_proved(&theirs);
        assert_eq!(house.verify(&theirs).files_compared, regular_files(&house));

        let on_top = house.backup(Some(theirs));
        let summary = &on_top.summary;
        assert_eq!((summary.files_unmodified, summary.data_blobs), (regular_files(&house), 0), "{summary:?}");
        let anew = house.backup(None);
        let summary = &anew.summary;
        assert_eq!((summary.files_new, summary.data_blobs), (regular_files(&house), 0), "{summary:?}");
        assert_eq!(tree_below(&house, &on_top.id), tree_below(&house, &anew.id));
        assert_eq!(tree_below(&house, &theirs), tree_below(&house, &anew.id), "restic {}", restic.version);
        restic.check(&house);
    }
}

#[test]
fn restic_goes_on_where_we_left() {
    for restic in restics() {
        let house = House::local();
        everything(&house);
        let ours = house.backup(None);
        let on_top = restic.backup(house.home.path(), &house.tree(), &[]);
        let files = regular_files(&house);
        assert_eq!(
            (on_top["files_unmodified"].as_u64(), on_top["data_blobs"].as_u64()),
            (Some(files), Some(0)),
            "{on_top}"
        );
        let anew = restic.backup(house.home.path(), &house.tree(), &["--force"]);
        assert_eq!((anew["files_new"].as_u64(), anew["data_blobs"].as_u64()), (Some(files), Some(0)), "{anew}");
        for theirs in house.snapshots() {
            assert_eq!(tree_below(&house, &theirs), tree_below(&house, &ours.id), "restic {}", restic.version);
        }
        restic.check(&house);
    }
}

/// Returns the id of the tree that was backed up: the same folder gives the same tree, whoever reads it.
fn tree_below(house: &House, snapshot: &Id) -> Id {
    let index = house.repository.index_load(&backstay_engine::Interrupt::default()).unwrap();
    let mut blobs = backstay_engine::repository::BlobReader::new(
        &house.repository,
        &index,
        backstay_storage::ReadCache::Use,
        &Interrupt::default(),
    );
    let (_, file): (_, SnapshotFile) =
        house.repository.snapshot_read(&snapshot.to_hex(), &Interrupt::default()).unwrap();
    let path = house.tree();
    let path = path.to_str().unwrap().as_bytes();
    backstay_engine::browse::find(&house.repository, &mut blobs, file.tree, path).unwrap().subtree.unwrap()
}

#[test]
fn a_link_to_bytes_that_are_no_text_is_kept_by_the_newer_restic() {
    use std::os::unix::ffi::OsStrExt;
    let house = House::local();
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(b"to\xff\xfe"), house.tree().join("link")).unwrap();
    let ours = house.backup(None);
    let (_, place) = house.restore(&ours.id);
    assert_same(&house.tree(), &place, Bits::All);
    for restic in restics().iter().filter(|restic| restic.version == "0.19") {
        assert_same(&house.tree(), &restic.restore(&house, &ours.id.to_hex()), Bits::All);
        restic.backup(house.home.path(), &house.tree(), &["--force"]);
        house.snapshots().iter().for_each(|id| assert_eq!(tree_below(&house, id), tree_below(&house, &ours.id)));
    }
}

#[test]
fn hard_names_are_hard() {
    let names = hard_names();
    assert!(names.iter().any(|name| std::str::from_utf8(name).is_err()) && names.iter().any(|name| name.len() == 255));
}
