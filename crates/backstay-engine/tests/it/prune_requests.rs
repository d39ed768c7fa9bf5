//! What a prune asks of its storage, and what one that was cut short leaves for the next.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use backstay_engine::browse::{Met, walk};
use backstay_engine::format::id::Id;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::prune::{PrunePreview, apply, plan};
use backstay_engine::repository::BlobReader;
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::ReadCache;
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};

use super::copies::doubled;
use super::house::House;
use super::prune::{alone, forget_one, thorough, try_prune};
use super::tree;

fn planned(house: &House) -> PrunePreview {
    let guard = alone(&house.repository).unwrap();
    let planned = plan(&house.repository, &thorough(Duration::ZERO), &guard, &Interrupt::default()).unwrap();
    guard.release().unwrap();
    planned.preview
}

/// Makes so many folders with a file in each: no two have the same tree.
fn folders(house: &House, count: u32, name: impl Fn(u32) -> String) {
    for folder in 0..count {
        let folder = house.tree().join(name(folder));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), folder.to_str().unwrap()).unwrap();
    }
}

#[test]
fn blobs_of_two_packs_are_proved_pack_by_pack() {
    let (house, storage, ..) = doubled();
    let before = storage.calls(Call::Get);
    let preview = planned(&house);
    assert!(preview.packs_marked >= 2, "{preview:?}");
    let (gets, blobs) =
        (storage.calls(Call::Get) - before, house.repository.index_load(&Interrupt::default()).unwrap());
    assert!(blobs.blob_count() > 40 && gets <= 16, "{gets} requests for {} blobs", blobs.blob_count());
}

#[test]
fn trees_are_fetched_together() {
    let (house, storage) = House::fake();
    folders(&house, 400, |folder| format!("{}/{folder}", folder % 7));
    let id = house.backup(None).id;
    let before = storage.calls(Call::Get);
    assert_eq!(planned(&house).packs_marked, 0);
    let gets = storage.calls(Call::Get) - before;
    assert!(gets <= 20, "{gets} requests for 400 folders");
    let before = storage.calls(Call::Get);
    let checked = check(&house.repository, &ReadData::None, &Interrupt::default()).unwrap();
    assert!(checked.is_whole() && checked.trees > 400, "{checked:?}");
    let gets = storage.calls(Call::Get) - before;
    assert!(gets <= 20, "{gets} requests for 400 folders");
    let before = storage.calls(Call::Get);
    assert_eq!(house.restore(&id).0.files, 400);
    let gets = storage.calls(Call::Get) - before;
    assert!(gets <= 30, "{gets} requests to restore 400 folders");
    let before = storage.calls(Call::Get);
    let (interrupt, progress, mut folders) = (Interrupt::default(), EngineProgress::default(), 0);
    let index = house.repository.index_load(&interrupt).unwrap();
    let mut blobs = BlobReader::new(&house.repository, &index, ReadCache::Use, &interrupt);
    let (_, snapshot) = house.repository.snapshot_read(&id.to_hex(), &interrupt).unwrap();
    walk(&house.repository, &mut blobs, snapshot.tree, &progress, &interrupt, &mut |met| {
        folders += u32::from(matches!(met, Met::Folder(..)));
        Ok(())
    })
    .unwrap();
    let gets = storage.calls(Call::Get) - before;
    assert!(folders > 400 && gets <= 30, "{gets} requests to walk through {folders} folders");
}

/// Ninety-six files of a mebibyte, of which every second one is forgotten: what is left of each pack is copied.
fn half_needed() -> (House, Arc<FakeStorage>, Id) {
    let (house, storage) = House::fake();
    for file in 0..96 {
        fs::write(house.tree().join(format!("{file:02}")), tree::noise(file + 1, 1 << 20)).unwrap();
    }
    let first = house.backup(None).id;
    for file in (0..96).step_by(2) {
        fs::remove_file(house.tree().join(format!("{file:02}"))).unwrap();
    }
    let second = house.backup(Some(first)).id;
    forget_one(&house.repository, &first).unwrap();
    (house, storage, second)
}

#[test]
fn what_a_prune_has_copied_before_it_failed_is_not_copied_again() {
    let (house, storage, second) = half_needed();
    let whole = planned(&house).bytes_rewritten;
    assert!(whole > 40 << 20, "{whole}");
    let guard = alone(&house.repository).unwrap();
    let plan = plan(&house.repository, &thorough(Duration::ZERO), &guard, &Interrupt::default()).unwrap();
    storage.harm(Call::Put, 3, Harm::Fail);
    let failed = apply(&house.repository, plan, &guard, &EngineProgress::default(), &Interrupt::default());
    assert!(matches!(failed, Err(EngineError::Storage(_))), "{failed:?}");
    guard.release().unwrap();
    storage.heal();
    let rest = planned(&house);
    assert!(rest.bytes_rewritten + (31 << 20) < whole, "{} of {whole} again", rest.bytes_rewritten);
    house.assert_proved(&second);
    for _ in 0..3 {
        try_prune(&house.repository, &thorough(Duration::ZERO)).unwrap();
    }
    let left = planned(&house);
    assert_eq!((left.bytes_unused, left.packs_waiting, left.packs_unnamed), (0, 0, 0), "{left:?}");
    assert!(check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap().is_whole());
    house.assert_proved(&second);
}

/// Red when each folder's tree of the parent is asked for by itself: on far storage that takes longer than all else.
#[test]
fn the_parent_s_trees_are_fetched_together() {
    let (house, storage) = House::fake();
    folders(&house, 400, |folder| format!("{}/{folder}", folder % 7));
    let first = house.backup(None).id;
    let before = storage.calls(Call::Get);
    let second = house.backup(Some(first));
    let gets = storage.calls(Call::Get) - before;
    assert_eq!((second.summary.files_unmodified, second.summary.dirs_new), (400, 0));
    assert!(gets <= 60, "{gets} requests for 400 folders");
    folders(&house, 1_000, |folder| format!("wide/{folder}"));
    let third = house.backup(Some(second.id)).id;
    let before = storage.calls(Call::Get);
    assert_eq!(house.backup(Some(third)).summary.dirs_new, 0);
    let gets = storage.calls(Call::Get) - before;
    assert!(gets <= 100, "{gets} requests for a thousand folders in one");
}
