//! Writers and a pruner at once on one repository: ours, restic, and ours with a clock a day off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backstay_core::domain::retention::{Count, RetentionPolicy};
use backstay_engine::archive::run::archive;
use backstay_engine::format::id::Id;
use backstay_engine::lock::{LockMode, LockOwner, LockTerms};
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::{forget, prune};
use backstay_engine::restore::{RestoreOptions, restore};
use backstay_engine::{EngineProgress, Interrupt, Repository};
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::house::{House, below, local, options, password};
use super::prune::thorough;
use super::restic::{Restic, restics};
use super::tree;

/// Backups of each writer.
const ROUNDS: u32 = 4;

pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

/// What the writers were told is good, with what it must give back: whose tree, and its files.
type Good = Mutex<BTreeMap<Id, (String, Contents)>>;

pub(crate) fn terms() -> LockTerms {
    LockTerms { wait: Duration::from_secs(600), look_again_after: Duration::ZERO, ..LockTerms::default() }
}

/// Changes a tree by chance, and returns what is in it then. Trees share contents, so that writers share blobs.
pub(crate) fn change(tree: &Path, chance: &mut StdRng) -> Contents {
    for _ in 0..4 {
        let (name, content) = (chance.random_range(0..8), chance.random_range(0..12));
        fs::write(tree.join(format!("{name}")), tree::noise(content, 40_000)).unwrap();
    }
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(tree).unwrap().map(|entry| read(entry.unwrap())).collect()
}

fn write_ours(place: &Path, tree: &Path, seed: u64, clock: SignedDuration, good: &Good) {
    let repository = Repository::open(local(place), &password(), &Interrupt::default()).unwrap();
    let mut chance = StdRng::seed_from_u64(seed);
    let mut parent = None;
    for _ in 0..ROUNDS {
        let contents = change(tree, &mut chance);
        let interrupt = Interrupt::default();
        let owner = LockOwner::this_process("writer".to_owned());
        let guard = repository.lock(LockMode::Shared, &owner, &terms(), &interrupt).unwrap();
        let mut options = options(tree, parent);
        options.started_at = Timestamp::now() + clock;
        let archived = archive(&repository, &options, &EngineProgress::default(), &interrupt).unwrap();
        // Long enough for several prunes, were they let in.
        std::thread::sleep(Duration::from_millis(chance.random_range(0..600)));
        guard.check().unwrap();
        let published = archived.publish(Timestamp::now()).unwrap();
        guard.check().unwrap();
        good.lock().unwrap().insert(published.id, (tree.display().to_string(), contents));
        parent = Some(published.id);
        guard.release().unwrap();
    }
}

fn write_restic(restic: &Restic, home: &Path, tree: &Path, seed: u64, good: &Good) {
    let mut chance = StdRng::seed_from_u64(seed);
    for _ in 0..ROUNDS {
        let contents = change(tree, &mut chance);
        loop {
            let output = restic.output(home, &["backup", "--json", "--host", "restic", tree.to_str().unwrap()]);
            let words = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() {
                let problem = String::from_utf8_lossy(&output.stderr);
                assert!(problem.contains("locked"), "{problem}");
                std::thread::sleep(Duration::from_millis(chance.random_range(20..200)));
                continue;
            }
            let last: Value =
                serde_json::from_str(words.lines().rfind(|line| line.contains("snapshot_id")).unwrap()).unwrap();
            let word = last["snapshot_id"].as_str().unwrap();
            // restic 0.14 says no more than the first digits. The snapshot may be forgotten by now; then so be it.
            let folder = fs::read_dir(home.join("repository/snapshots")).unwrap();
            let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            if let Some(id) = names.into_iter().find(|name| name.starts_with(word)).and_then(|name| Id::from_hex(&name))
            {
                good.lock().unwrap().insert(id, (tree.display().to_string(), contents));
            }
            break;
        }
    }
}

/// Forgets and prunes, without any grace, until the writers have ended; and returns what retention dropped.
fn prune_beside(place: &Path, seed: u64, writing: &AtomicU32) -> (BTreeSet<Id>, u64) {
    let repository = Repository::open(local(place), &password(), &Interrupt::default()).unwrap();
    let mut chance = StdRng::seed_from_u64(seed);
    let interrupt = Interrupt::default();
    let (mut dropped, mut removed) = (BTreeSet::new(), 0);
    // Both phases once more when the writers have ended.
    let mut last = 0;
    while last < 2 {
        last += u32::from(writing.load(Ordering::SeqCst) == 0);
        std::thread::sleep(Duration::from_millis(chance.random_range(0..150)));
        let owner = LockOwner::this_process("pruner".to_owned());
        let guard = repository.lock(LockMode::Exclusive, &owner, &terms(), &interrupt).unwrap();
        let all = forget::snapshots(&repository, &|_| true, &interrupt).unwrap();
        let policy =
            RetentionPolicy { keep_last: Count::AtMost(chance.random_range(1..3)), ..RetentionPolicy::default() };
        for group in forget::plan(&all, forget::GroupBy::default(), &policy, Timestamp::now()).unwrap() {
            forget::apply(&repository, &group.preview.dropped, &guard, &interrupt).unwrap();
            dropped.extend(group.preview.dropped);
        }
        let plan = prune::plan(&repository, &thorough(Duration::ZERO), &guard, &interrupt).unwrap();
        removed +=
            prune::apply(&repository, plan, &guard, &EngineProgress::default(), &interrupt).unwrap().packs_removed;
        guard.release().unwrap();
    }
    (dropped, removed)
}

fn assert_restores(house: &House, id: &Id, root: &str, contents: &Contents) {
    let target = house.home.path().join(format!("target-{id}"));
    let hex = id.to_hex();
    let options = RestoreOptions::new(&hex, &target);
    let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert!(done.unread.is_empty());
    let place = below(&target, Path::new(root));
    for (name, content) in contents {
        assert_eq!(&fs::read(place.join(name)).unwrap(), content, "{id}: {name}");
    }
    assert_eq!(fs::read_dir(place).unwrap().count(), contents.len());
}

#[test]
fn what_was_ever_reported_good_restores_until_retention_drops_it() {
    let restics = restics();
    let Some(restic) = restics.last() else { return };
    for seed in 0..5 {
        let house = House::local();
        let (home, place) = (house.home.path(), house.home.path().join("repository"));
        let trees = ["ours", "theirs", "tomorrow"].map(|name| home.join(name));
        trees.iter().for_each(|tree| fs::create_dir(tree).unwrap());
        let good = Good::default();
        let writing = AtomicU32::new(3);
        let [ours, theirs, tomorrow] = &trees;
        let ended = || {
            writing.fetch_sub(1, Ordering::SeqCst);
        };
        let (dropped, removed) = std::thread::scope(|scope| {
            scope.spawn(|| {
                let _ended = Ended(&ended);
                write_ours(&place, ours, seed * 10, SignedDuration::ZERO, &good);
            });
            scope.spawn(|| {
                let _ended = Ended(&ended);
                write_ours(&place, tomorrow, seed * 10 + 1, SignedDuration::from_hours(24), &good);
            });
            scope.spawn(|| {
                let _ended = Ended(&ended);
                write_restic(restic, home, theirs, seed * 10 + 2, &good);
            });
            scope.spawn(|| prune_beside(&place, seed * 10 + 3, &writing)).join().unwrap()
        });
        let good = good.into_inner().unwrap();
        let kept: BTreeMap<_, _> = good.iter().filter(|(id, _)| !dropped.contains(*id)).collect();
        let there: BTreeSet<Id> = house.snapshots().into_iter().collect();
        assert!(kept.keys().all(|id| there.contains(id)), "seed {seed}: one is gone that nobody dropped");
        assert!(
            kept.len() >= 3 && dropped.len() >= 2 && removed > 0,
            "seed {seed}: {} {dropped:?} {removed}",
            kept.len()
        );
        for (id, (root, contents)) in kept {
            assert_restores(&house, id, root, contents);
        }
        let found = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
        assert!(found.is_whole(), "seed {seed}: {:?}", found.findings);
        restics.iter().for_each(|restic| restic.check(&house));
    }
}

/// Says that a writer has ended, also when it panics: the pruner must not wait for it for ever.
struct Ended<'a>(&'a (dyn Fn() + Sync));

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}
