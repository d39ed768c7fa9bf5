//! rustic reads what we write and we read what it writes; neither sends again what the other has sent, and either
//! prunes what the other left.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::inspect::diff::{Metadata, compare};
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::repository::BlobReader;
use backstay_engine::{EngineError, Interrupt, Repository};
use backstay_storage::ReadCache;
use futures::FutureExt;

use super::house::{House, local, maker, password, two_parts};
use super::prune::{forget_one, thorough, try_prune};
use super::restic::restics;
use super::rustic::{Phases, Rustic};
use super::tree::{self, Bits, assert_same};

fn everything(house: &House) {
    tree::sorts(&house.tree());
    tree::sizes(&house.tree());
}

/// Asserts that rustic brings a tree back. It takes the mode 0, which restic's format leaves out, for none at all.
fn assert_restored(house: &House, rustic: &Rustic, snapshot: &str) {
    let place = rustic.restore(&house.tree(), snapshot);
    fs::set_permissions(place.join("mode-0"), fs::Permissions::from_mode(0o0)).unwrap();
    assert_same(&house.tree(), &place, Bits::All);
}

/// Gives a folder the time of the tree: rustic keeps no metadata of the folder that is backed up itself.
fn as_root(house: &House, place: &Path) {
    let known = fs::metadata(house.tree()).unwrap();
    tree::set_time(place, known.mtime(), known.mtime_nsec());
}

/// Asserts that our check, rustic's and restic's find nothing.
fn assert_clean(house: &House, rustic: &Rustic) {
    let found = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
    assert!(found.is_whole(), "{:#?}", found.findings);
    rustic.check();
    restics().iter().filter(|restic| restic.version == "0.19").for_each(|restic| restic.check(house));
}

#[test]
fn rustic_reads_what_we_write_and_sends_nothing_again() {
    let house = House::local();
    everything(&house);
    let first = house.backup(None);
    fs::write(house.tree().join("added"), b"new").unwrap();
    let second = house.backup(Some(first.id));
    let rustic = Rustic::at(house.home.path());
    rustic.check();
    assert_restored(&house, &rustic, &second.id.to_hex());
    let below = house.tree().components().count() - 2;
    let paths = rustic.paths(&second.id.to_hex());
    assert_eq!(paths.len(), tree::contents(&house.tree(), Bits::All).len() + below, "{paths:#?}");

    let files = second.summary.total_files_processed;
    let on_top = rustic.backup(&house.tree(), false);
    assert_eq!(on_top.parent.map(|id| id.to_hex().to_string()), Some(second.id.to_hex()));
    let summary = on_top.summary.unwrap();
    assert_eq!((summary.files_unmodified, summary.data_blobs), (files, 0), "{summary:?}");
    let anew = rustic.backup(&house.tree(), true).summary.unwrap();
    // It counts links as files.
    assert!((files..files + 10).contains(&anew.files_new) && anew.data_blobs == 0, "{anew:?}");
    assert_clean(&house, &rustic);
}

#[test]
fn we_read_what_rustic_writes_and_send_nothing_again() {
    let home = tempfile::tempdir().unwrap();
    let rustic = Rustic::at(home.path());
    rustic.init();
    let house = House::opened(home);
    everything(&house);
    rustic.backup(&house.tree(), true);
    let theirs = house.snapshots()[0];
    let (done, place) = house.restore(&theirs);
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    as_root(&house, &place);
    assert_same(&house.tree(), &place, Bits::NoRights);
    house.assert_proved(&theirs);

    let on_top = house.backup(Some(theirs)).summary;
    let files = on_top.total_files_processed;
    assert_eq!((on_top.files_unmodified, on_top.data_blobs), (files, 0), "{on_top:?}");
    let anew = house.backup(None);
    assert_eq!((anew.summary.files_new, anew.summary.data_blobs), (files, 0), "{:?}", anew.summary);
    assert_clean(&house, &rustic);

    // The two say the same of every entry's bytes; rustic keeps device and links of each file, as restic does not.
    fs::write(house.tree().join("added"), b"new").unwrap();
    fs::remove_file(house.tree().join("noise-1")).unwrap();
    let later = house.backup(None);
    assert_eq!(differences(&house, &theirs, &anew.id), [""; 0]);
    assert_eq!(differences(&house, &theirs, &later.id), ["+ added", "- noise-1"]);
}

/// Returns what differs in the tree between two snapshots, metadata alone left out.
fn differences(house: &House, first: &Id, second: &Id) -> Vec<String> {
    let (repository, interrupt) = (&house.repository, Interrupt::default());
    let index = repository.index_load(&interrupt).unwrap();
    let mut blobs = BlobReader::new(repository, &index, ReadCache::Use, &Interrupt::default());
    let trees = [first, second].map(|id| repository.snapshot_read(&id.to_hex(), &Interrupt::default()).unwrap().1.tree);
    let above = format!("{}/", house.tree().display());
    let mut told = Vec::new();
    compare(repository, &mut blobs, trees, Metadata::Ignore, &interrupt, &mut |change| {
        let path = String::from_utf8_lossy(&change.path).into_owned();
        if let Some(path) = path.strip_prefix(&above).filter(|path| !path.is_empty()) {
            told.push(format!("{} {path}", change.modifier));
        }
    })
    .unwrap();
    told
}

/// Makes two snapshots that share some of each pack, and forgets the first by `forget`.
fn half_needed(house: &House, save: impl Fn() -> Id, forget: impl Fn(&Id)) -> Id {
    for file in 0..20u64 {
        fs::write(house.tree().join(format!("shared-{file:02}")), tree::noise(file, 30_000)).unwrap();
        fs::write(house.tree().join(format!("old-{file:02}")), tree::noise(100 + file, 30_000)).unwrap();
    }
    let first = save();
    for file in 0..20 {
        fs::remove_file(house.tree().join(format!("old-{file:02}"))).unwrap();
    }
    fs::write(house.tree().join("new"), tree::noise(1_000, 300_000)).unwrap();
    let second = save();
    forget(&first);
    second
}

fn ours(house: &House) -> Id {
    house.backup(None).id
}

fn theirs(house: &House, rustic: &Rustic) -> Id {
    Id::from_hex(&rustic.backup(&house.tree(), true).id.to_hex()).unwrap()
}

fn pack_bytes(house: &House) -> u64 {
    house.repository.pack_list(&Interrupt::default()).unwrap().iter().map(|(_, bytes)| bytes).sum()
}

/// Asserts that all checks are clean, and that everybody brings the snapshot back.
fn assert_whole(house: &House, rustic: &Rustic, id: &Id) {
    assert_clean(house, rustic);
    house.assert_proved(id);
    let place = rustic.restore(&house.tree(), &id.to_hex());
    as_root(house, &place);
    assert_same(&house.tree(), &place, Bits::All);
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn rustic_prunes_what_we_wrote_and_we_what_it_wrote() {
    for rustic_writes in [false, true] {
        let house = House::local();
        let rustic = Rustic::at(house.home.path());
        let save = || if rustic_writes { theirs(&house, &rustic) } else { ours(&house) };
        let forget = |id: &Id| match rustic_writes {
            true => forget_one(&house.repository, id).unwrap(),
            false => rustic.forget(&id.to_hex()),
        };
        let left = half_needed(&house, save, forget);
        assert_eq!(house.snapshots(), [left]);
        let before = pack_bytes(&house);
        match rustic_writes {
            // The first one marks.
            true => drop([(); 2].map(|()| try_prune(&house.repository, &thorough(Duration::ZERO)).unwrap())),
            false => rustic.prune(Phases::Both),
        }
        // 20 files of 30 000 bytes, which nothing compresses, are gone.
        assert!(pack_bytes(&house) + 550_000 < before, "{before} {}", pack_bytes(&house));
        assert_whole(&house, &rustic, &left);
    }
}

#[test]
fn what_one_marked_the_other_removes() {
    for rustic_marks in [false, true] {
        let house = House::local();
        let rustic = Rustic::at(house.home.path());
        let left = half_needed(&house, || ours(&house), |id| rustic.forget(&id.to_hex()));
        let before = pack_bytes(&house);
        match rustic_marks {
            true => rustic.prune(Phases::Mark),
            false => drop(try_prune(&house.repository, &thorough(Duration::from_secs(3_600))).unwrap()),
        }
        assert!(pack_bytes(&house) >= before, "what is marked stays");
        assert_whole(&house, &rustic, &left);
        match rustic_marks {
            true => assert!(try_prune(&house.repository, &thorough(Duration::ZERO)).unwrap().packs_removed > 0),
            false => rustic.prune(Phases::Finish),
        }
        assert!(pack_bytes(&house) + 550_000 < before, "{before} {}", pack_bytes(&house));
        assert_whole(&house, &rustic, &left);
    }
}

fn packs_of(house: &House, part: &str) -> Vec<String> {
    let mut names = Vec::new();
    local(&house.home.path().join(part))
        .object_list("data", &mut |object| names.push(object.key.to_string()))
        .now_or_never()
        .unwrap()
        .unwrap();
    names.sort();
    names
}

/// Returns the packs that hold folders, by the index.
fn packs_of_trees(house: &House) -> Vec<String> {
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let has_trees = |pack: &Id| index.blobs_in(|id| id == pack).iter().any(|(kind, _)| *kind == BlobKind::Tree);
    let packs = index.packs().iter().filter(|pack| has_trees(&pack.id));
    let mut names: Vec<String> = packs.map(|pack| FileKind::Pack.key(&pack.id).to_string()).collect();
    names.sort();
    names
}

/// Asserts that the hot part has all packs of folders and no other, and everything but packs.
fn assert_parts(house: &House) {
    assert_eq!(packs_of(house, "hot"), packs_of_trees(house));
    let cold = packs_of(house, "repository");
    assert!(packs_of(house, "hot").iter().all(|pack| cold.contains(pack)));
    for folder in ["index", "keys", "snapshots"] {
        let names = |part| {
            let listed = fs::read_dir(house.home.path().join(part).join(folder)).unwrap();
            listed.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
        };
        assert_eq!(names("hot"), names("repository"), "{folder}");
    }
}

#[test]
fn a_hot_and_a_cold_part_are_laid_out_as_rustic_does() {
    for rustic_makes in [false, true] {
        let house = match rustic_makes {
            true => {
                let home = tempfile::tempdir().unwrap();
                Rustic::hot_cold(home.path()).init();
                House::opened_hot_cold(home)
            }
            false => House::hot_cold(),
        };
        let rustic = Rustic::hot_cold(house.home.path());
        let left = half_needed(&house, || ours(&house), |id| forget_one(&house.repository, id).unwrap());
        assert_parts(&house);
        assert_whole(&house, &rustic, &left);
        let anew = rustic.backup(&house.tree(), true).summary.unwrap();
        assert_eq!(anew.data_blobs, 0, "{anew:?}");
        house.snapshots().into_iter().filter(|id| *id != left).for_each(|id| rustic.forget(&id.to_hex()));
        let _ = [(); 2].map(|()| try_prune(&house.repository, &thorough(Duration::ZERO)).unwrap());
        assert_parts(&house);
        assert_whole(&house, &rustic, &left);
        rustic.prune(Phases::Both);
        assert_parts(&house);
        assert_whole(&house, &rustic, &left);
    }
}

#[test]
fn a_hot_part_alone_is_no_repository_and_belongs_to_one() {
    let house = House::hot_cold();
    let alone = Repository::open(local(&house.home.path().join("hot")), &password(), &Interrupt::default());
    assert!(matches!(alone, Err(EngineError::HotPart { .. })), "{alone:?}");
    Repository::open(local(&house.home.path().join("repository")), &password(), &Interrupt::default()).unwrap();
    // Another cold part beside it would make one repository of two halves.
    fs::rename(house.home.path().join("repository"), house.home.path().join("away")).unwrap();
    let again = Repository::create(two_parts(house.home.path()), &password(), maker(), &Interrupt::default());
    assert!(matches!(again, Err(EngineError::RepositoryExists { .. })), "{again:?}");
    assert!(!house.home.path().join("repository/config").exists());
}
