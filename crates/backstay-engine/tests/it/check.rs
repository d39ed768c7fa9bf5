//! A check finds every harm and names what it touches, reads all within its parts, and says nothing about what it did
//! not see.

use std::fs;
use std::sync::Arc;

use backstay_engine::format::id::Id;
use backstay_engine::maintenance::check::{Checked, ReadData, check};
use backstay_engine::{EngineError, Interrupt};
use backstay_storage::{ObjectKey, ObjectStorage};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use futures::executor::block_on;

use super::house::House;
use super::proof::{pack_key, places};
use super::restic::restics;
use super::tree;

fn saved() -> (House, Arc<FakeStorage>, Id, Id) {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("large"), tree::noise(1, 5 << 20)).unwrap();
    fs::create_dir(house.tree().join("folder")).unwrap();
    for file in 0..5 {
        fs::write(house.tree().join(format!("folder/{file}")), tree::text(file, 500)).unwrap();
    }
    let first = house.backup(None).id;
    fs::write(house.tree().join("later"), tree::noise(2, 100_000)).unwrap();
    let second = house.backup(Some(first)).id;
    (house, storage, first, second)
}

fn try_look(house: &House, read: &ReadData) -> Result<Checked, EngineError> {
    check(&house.repository, read, &Interrupt::default())
}

fn look(house: &House, read: ReadData) -> Checked {
    try_look(house, &read).unwrap()
}

/// Returns the affected paths below the tree, each with how many snapshots it is affected in.
fn affected(house: &House, checked: &Checked) -> Vec<(String, usize)> {
    let root = house.tree().display().to_string();
    let mut paths: Vec<String> =
        checked.affected.iter().map(|one| one.path.strip_prefix(&root).unwrap_or(&one.path).to_owned()).collect();
    paths.sort();
    let mut counted: Vec<(String, usize)> = Vec::new();
    for path in paths {
        match counted.last_mut() {
            Some((last, count)) if *last == path => *count += 1,
            _ => counted.push((path, 1)),
        }
    }
    counted
}

#[test]
fn a_whole_repository_is_whole_and_all_of_it_is_read_within_the_parts() {
    let (house, ..) = saved();
    let all = look(&house, ReadData::All);
    assert!(all.is_whole(), "{:?}", all.findings);
    assert_eq!((all.snapshots, all.packs_read, all.packs_unnamed), (2, all.packs, 0));
    assert!(all.trees > 4 && all.bytes_read > 5 << 20);
    let parts: u64 = (1..=5).map(|part| look(&house, ReadData::Part { part, of: 5 }).packs_read).sum();
    assert_eq!(parts, all.packs);
    let (mut after, mut bytes, mut rounds) = (None, 0, 0);
    while bytes < all.bytes_read {
        let some = look(&house, ReadData::Bytes { limit: 200_000, after });
        (after, bytes, rounds) = (some.read_up_to, bytes + some.bytes_read, rounds + 1);
    }
    assert!(rounds > 1, "{rounds} rounds, {bytes} bytes");
    assert_eq!(look(&house, ReadData::None).packs_read, 0);
}

#[test]
fn what_restic_wrote_is_whole_too() {
    for restic in restics() {
        let home = tempfile::tempdir().unwrap();
        restic.run(home.path(), &["init"]);
        let house = House::opened(home);
        fs::write(house.tree().join("file"), tree::noise(1, 3 << 20)).unwrap();
        restic.backup(house.home.path(), &house.tree(), &[]);
        let found = look(&house, ReadData::All);
        assert!(found.is_whole() && found.packs_read == 2, "restic {}: {found:?}", restic.version);
    }
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is_and_its_paths_are_named() {
    let (house, storage, _, second) = saved();
    let place = *places(&house, &second, "large").last().unwrap();
    let key = pack_key(&place);
    let flip = |at: usize| storage.tamper(&key, |body| body[at] ^= 4);
    flip(place.offset as usize + 40);
    let found = look(&house, ReadData::All);
    assert!(found.findings.iter().any(|one| one.place.starts_with("blob ")), "{:?}", found.findings);
    assert_eq!(affected(&house, &found), [("/large".to_owned(), 2)]);
    assert!(look(&house, ReadData::None).is_whole(), "structure alone does not read it");
    flip(place.offset as usize + 40);
    // In the header: no blob is lost, but the pack is not what it was.
    let mut length = 0;
    storage.tamper(&key, |body| length = body.len());
    for back in [1, 3, 10, 60] {
        flip(length - back);
        let found = look(&house, ReadData::All);
        assert!(!found.is_whole() && found.affected.is_empty(), "{back}: {found:?}");
        flip(length - back);
    }
    assert!(look(&house, ReadData::All).is_whole());
}

#[test]
fn each_lost_or_cut_object_is_found_by_structure_alone() {
    let (house, storage, first, second) = saved();
    let template = super::mortal::copy_of(&storage);
    let mut tried = 0;
    for key in template.keys().iter().filter(|key| !key.starts_with("keys/") && *key != "config") {
        let object = ObjectKey::new(&**key).unwrap();
        let body = block_on(template.object_get(&object, None, backstay_storage::ReadCache::Use)).unwrap();
        for cut in [true, false] {
            block_on(storage.object_remove(&object)).unwrap();
            if cut {
                block_on(storage.object_put(&object, body.slice(..body.len() - 1))).unwrap();
            }
            let found = look(&house, ReadData::None);
            let lost_snapshot = key.starts_with("snapshots/") && !cut;
            assert_eq!(found.is_whole(), lost_snapshot, "{key} cut {cut}: {found:?}");
            if key.starts_with("data/") {
                assert!(found.affected_count > 0 && found.findings[0].place.starts_with("pack "), "{key}: {found:?}");
            }
            tried += 1;
            block_on(storage.object_remove(&object)).unwrap();
            block_on(storage.object_put(&object, body.clone())).unwrap();
        }
    }
    assert!(tried >= 14, "{tried}");
    assert!(look(&house, ReadData::All).is_whole());
    [first, second].iter().for_each(|id| house.assert_proved(id));
}

#[test]
fn an_index_that_says_other_than_the_packs_is_found() {
    let (house, storage, _, second) = saved();
    let place = places(&house, &second, "later")[0];
    // The pack of one snapshot's data under the name of another's.
    let other = pack_key(&places(&house, &second, "folder/1")[0]);
    assert_ne!(pack_key(&place), other);
    let body = block_on(storage.object_get(&ObjectKey::new(other).unwrap(), None, backstay_storage::ReadCache::Use));
    storage.tamper(&pack_key(&place), |bytes| *bytes = body.unwrap().to_vec());
    let found = look(&house, ReadData::All);
    assert!(affected(&house, &found).contains(&("/later".to_owned(), 1)), "{found:?}");
}

#[test]
fn what_was_not_seen_is_not_judged() {
    let (house, storage, ..) = saved();
    for (call, harm) in [(Call::List, Harm::CutList), (Call::List, Harm::Fail), (Call::Get, Harm::Fail)] {
        for nth in 1.. {
            let before = storage.calls(call);
            storage.harm(call, nth, harm);
            let answer = try_look(&house, &ReadData::All);
            let hit = storage.calls(call) - before >= nth;
            storage.heal();
            assert_eq!(answer.is_err(), hit, "{call:?} {harm:?} {nth}");
            if !hit {
                break;
            }
        }
    }
    let interrupt = Interrupt::default();
    interrupt.raise();
    assert!(matches!(check(&house.repository, &ReadData::All, &interrupt), Err(EngineError::Interrupted)));
}
