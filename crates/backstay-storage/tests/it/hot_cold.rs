//! What two storages as one promise: who holds what, who is asked, and what a crash between the two leaves.

use std::sync::Arc;

use backstay_storage::kinds::hot_cold::HotCold;
use backstay_storage::{ObjectKey, ObjectStorage, Part, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::conformance::storage::{StorageFixture, storage_conforms};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use backstay_testkit::peers::s3::{S3Peer, ceph, moto};
use bytes::Bytes;
use futures::executor::block_on;
use serde_json::json;

use crate::conformance::LocalFixture;
use crate::house::Bucket;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

struct Two {
    hot: Arc<FakeStorage>,
    cold: Arc<FakeStorage>,
    both: HotCold,
}

impl Two {
    fn new() -> Self {
        let (hot, cold) = (Arc::<FakeStorage>::default(), Arc::<FakeStorage>::default());
        let both = HotCold::new(Arc::clone(&hot) as Arc<dyn ObjectStorage>, Arc::clone(&cold) as _);
        Self { hot, cold, both }
    }

    fn put(&self, name: &str, body: &'static [u8], part: Option<Part>) -> Result<PutAnswer, StorageError> {
        let options = PutOptions { part, ..PutOptions::default() };
        block_on(self.both.object_put_with(&key(name), Bytes::from_static(body), options))
    }

    fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        block_on(self.both.object_get(&key(name), None, ReadCache::Use))
    }
}

#[test]
fn the_cold_part_holds_everything_and_the_hot_one_what_is_read_often() {
    let two = Two::new();
    two.put("config", b"cold config", Some(Part::Cold)).unwrap();
    two.put("config", b"hot config", Some(Part::Hot)).unwrap();
    two.put("index/i", b"i", None).unwrap();
    two.put("data/tree", b"t", Some(Part::Both)).unwrap();
    two.put("data/contents", b"c", Some(Part::Cold)).unwrap();
    two.put("data/unsaid", b"u", None).unwrap();
    assert_eq!(two.hot.keys(), ["config", "data/tree", "index/i"]);
    assert_eq!(two.cold.keys(), ["config", "data/contents", "data/tree", "data/unsaid", "index/i"]);
    assert_eq!(two.get("config").unwrap(), &b"hot config"[..]);
}

#[test]
fn a_read_asks_the_part_that_has_it_and_no_other() {
    let two = Two::new();
    two.put("index/i", b"i", None).unwrap();
    two.put("data/tree", b"t", Some(Part::Both)).unwrap();
    two.put("data/contents", b"c", Some(Part::Cold)).unwrap();
    for (name, hot, cold) in [("index/i", 1, 0), ("data/tree", 1, 0), ("data/contents", 0, 1)] {
        let before = (two.hot.calls(Call::Get), two.cold.calls(Call::Get));
        two.get(name).unwrap();
        let asked = (two.hot.calls(Call::Get) - before.0, two.cold.calls(Call::Get) - before.1);
        assert_eq!(asked, (hot, cold), "{name}");
    }
    assert_eq!(two.hot.calls(Call::List), 1, "the hot packs are listed once");
}

#[test]
fn what_the_hot_part_lost_is_read_from_the_cold_one() {
    let two = Two::new();
    two.put("index/i", b"i", None).unwrap();
    two.put("data/tree", b"t", Some(Part::Both)).unwrap();
    two.get("data/tree").unwrap();
    for name in ["index/i", "data/tree"] {
        block_on(two.hot.object_remove(&key(name))).unwrap();
        assert_eq!(two.get(name).unwrap().len(), 1, "{name}");
    }
}

#[test]
fn a_put_that_died_between_the_parts_is_completed_by_the_next() {
    let two = Two::new();
    two.hot.harm(Call::Put, 1, Harm::Fail);
    assert!(two.put("index/i", b"i", None).is_err());
    assert_eq!((two.hot.keys().len(), two.cold.keys().len()), (0, 1));
    assert_eq!(two.put("index/i", b"i", None).unwrap(), PutAnswer::Existed);
    assert_eq!(two.hot.keys(), ["index/i"]);
    // Another one's object of the same name: the hot part never gets what the cold one does not have.
    two.hot.harm(Call::Put, 1, Harm::Fail);
    assert!(two.put("config", b"ours", None).is_err());
    assert_eq!(two.put("config", b"more", None).unwrap(), PutAnswer::Existed);
    assert_eq!(two.hot.keys(), ["index/i"]);
    assert_eq!(two.get("config").unwrap(), &b"ours"[..]);
}

#[test]
fn a_removal_that_died_between_the_parts_leaves_what_is_listed() {
    let two = Two::new();
    two.put("snapshots/s", b"s", None).unwrap();
    two.cold.harm(Call::Remove, 1, Harm::Fail);
    assert!(block_on(two.both.object_remove(&key("snapshots/s"))).is_err());
    assert_eq!((two.hot.keys().len(), two.cold.keys().len()), (0, 1));
    assert_eq!(two.get("snapshots/s").unwrap(), &b"s"[..]);
    block_on(two.both.object_remove(&key("snapshots/s"))).unwrap();
    assert!(two.cold.keys().is_empty());
}

#[test]
fn a_frozen_pack_is_told_and_its_tree_is_read() {
    let Some(peer) = moto() else { return };
    let cold = Bucket::tried_once(peer, |settings| settings["storage_class"] = json!("GLACIER"));
    let both = HotCold::new(Arc::<FakeStorage>::default(), cold.storage());
    let put = |name, part| {
        let options = PutOptions { part: Some(part), ..PutOptions::default() };
        block_on(both.object_put_with(&key(name), Bytes::from_static(b"pack"), options)).unwrap();
    };
    put("data/tree", Part::Both);
    put("data/contents", Part::Cold);
    let get = |name| block_on(both.object_get(&key(name), None, ReadCache::Use));
    let is_warm = |name| block_on(both.object_is_warm(&key(name))).unwrap();
    assert_eq!(get("data/tree").unwrap(), &b"pack"[..]);
    assert!(matches!(get("data/contents"), Err(StorageError::Frozen { .. })));
    assert!(is_warm("data/tree") && !is_warm("data/contents"));
    block_on(both.object_warm_up(&key("data/contents"), 2)).unwrap();
    assert_eq!(get("data/contents").unwrap(), &b"pack"[..]);
}

/// Two storages of any kind as one.
struct Joined<T> {
    parts: [T; 2],
    both: Arc<dyn ObjectStorage>,
}

impl<T: StorageFixture> Joined<T> {
    fn new(make: impl Fn() -> T) -> Self {
        let parts = [make(), make()];
        let both = Arc::new(HotCold::new(parts[0].storage(), parts[1].storage()));
        Self { parts, both }
    }
}

impl<T: StorageFixture> StorageFixture for Joined<T> {
    fn storage(&self) -> Arc<dyn ObjectStorage> {
        Arc::clone(&self.both)
    }

    fn vanish(&self) {
        self.parts.iter().for_each(StorageFixture::vanish);
    }
}

#[test]
fn two_folders_conform() {
    storage_conforms(&|| Box::new(Joined::new(LocalFixture::new)));
}

fn buckets(peer: &'static S3Peer) {
    storage_conforms(&|| Box::new(Joined::new(|| Bucket::new(peer))));
}

#[test]
fn two_buckets_conform() {
    ceph().into_iter().for_each(buckets);
}
