//! Forget keeps what restic keeps, group by group, and removes nothing that it does not know.

use std::collections::BTreeSet;
use std::fs;

use backstay_core::domain::retention::{Count, RetentionPolicy};
use backstay_engine::format::id::Id;
use backstay_engine::maintenance::forget::{self, GroupBy, plan};
use backstay_engine::{EngineError, Interrupt};
use backstay_testkit::fakes::storage::{Call, Harm};
use jiff::Timestamp;
use serde_json::Value;

use super::house::House;
use super::lock::lock;
use super::prune::alone;
use super::restic::restics;

#[test]
fn rules_keep_what_restic_keeps() {
    for restic in restics() {
        let house = House::local();
        fs::write(house.tree().join("file"), b"x").unwrap();
        fs::create_dir(house.tree().join("inner")).unwrap();
        let (tree, inner) = (house.tree(), house.tree().join("inner"));
        for day in 1..=14 {
            for (path, tag, minute) in [(&tree, "one", 30), (&inner, "two", 31)] {
                let time = format!("2024-02-{day:02} 1{}:{minute}:00", day % 10);
                restic.backup(house.home.path(), path, &["--time", &time, "--tag", tag]);
            }
        }
        for (group_by, word) in [
            (GroupBy::default(), "host,paths"),
            (GroupBy { host: false, paths: false, tags: true }, "tags"),
            (GroupBy { host: false, paths: false, tags: false }, ""),
        ] {
            let policy = RetentionPolicy {
                keep_last: Count::AtMost(2),
                keep_daily: Count::AtMost(4),
                keep_weekly: Count::AtMost(3),
                ..RetentionPolicy::default()
            };
            let rules = ["--keep-last", "2", "--keep-daily", "4", "--keep-weekly", "3", "--group-by", word];
            let arguments = [&["forget", "--dry-run", "--json"], &rules[..]].concat();
            let theirs: Value = serde_json::from_str(&restic.run(house.home.path(), &arguments)).unwrap();
            let removed = theirs.as_array().unwrap().iter().flat_map(|group| group["remove"].as_array().cloned());
            let removed = removed.flatten().map(|one| Id::from_hex(one["id"].as_str().unwrap()).unwrap());
            let theirs: BTreeSet<Id> = removed.collect();
            let all = forget::snapshots(&house.repository, &|_| true, &Interrupt::default()).unwrap();
            let groups = plan(&all, group_by, &policy, Timestamp::now()).unwrap();
            let ours: BTreeSet<Id> = groups.iter().flat_map(|group| group.preview.dropped.clone()).collect();
            assert_eq!(ours, theirs, "restic {} by {word}", restic.version);
            assert!(ours.len() > 12, "{}", ours.len());
            assert!(groups[0].preview.verdicts[0].words().starts_with("kept: "));
        }
    }
}

#[test]
fn what_is_forgotten_is_gone_and_nothing_else() {
    let (house, _) = House::fake();
    fs::write(house.tree().join("file"), b"x").unwrap();
    let ids: Vec<Id> = (0..3).map(|_| house.backup(None).id).collect();
    let interrupt = Interrupt::default();
    let shared = lock(&house.repository, backstay_engine::lock::LockMode::Shared).unwrap();
    let refused = forget::apply(&house.repository, &ids[..1], &shared, &interrupt);
    assert!(matches!(refused, Err(EngineError::LockLost { .. })), "{refused:?}");
    shared.release().unwrap();
    let guard = alone(&house.repository).unwrap();
    for _ in 0..2 {
        assert_eq!(forget::apply(&house.repository, &ids[..1], &guard, &interrupt).unwrap(), 1);
    }
    let left: BTreeSet<Id> = house.snapshots().into_iter().collect();
    assert_eq!(left, ids[1..].iter().copied().collect());
    ids[1..].iter().for_each(|id| house.assert_proved(id));
}

#[test]
fn a_list_that_is_cut_or_a_snapshot_that_is_damaged_is_no_ground_to_decide_on() {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("file"), b"x").unwrap();
    (0..3).for_each(|_| drop(house.backup(None)));
    let read = || forget::snapshots(&house.repository, &|_| true, &Interrupt::default());
    assert_eq!(read().unwrap().len(), 3);
    for (call, harm) in
        [(Call::List, Harm::CutList), (Call::List, Harm::Fail), (Call::Get, Harm::Fail), (Call::Get, Harm::CutBody)]
    {
        storage.harm(call, 1, harm);
        assert!(read().is_err(), "{call:?} {harm:?}");
        storage.heal();
    }
    let key = storage.keys().into_iter().find(|key| key.starts_with("snapshots/")).unwrap();
    storage.tamper(&key, |body| body[20] ^= 1);
    assert!(read().is_err());
}
