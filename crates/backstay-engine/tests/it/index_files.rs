//! When packs get their index file: early in a run, soon over a slow line, and never when they are gone meanwhile.

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::format::object::FileKind;
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{
    ListedObject, ObjectKey, ObjectStorage, Pace, PutAnswer, PutOptions, ReadCache, StorageError, SystemPace,
};
use backstay_testkit::fakes::storage::FakeStorage;
use bytes::Bytes;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};

use super::house::{House, backup, maker, options, password};
use super::tree;

/// Two clocks that are set by hand.
#[derive(Debug, Default)]
struct HandPace {
    steady_s: AtomicU64,
    wall_s: AtomicU64,
}

#[async_trait]
impl Pace for HandPace {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(self.wall_s.load(Ordering::SeqCst).try_into().unwrap())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.steady_s.load(Ordering::SeqCst))
    }

    async fn wait(&self, time: Duration) {
        SystemPace::default().wait(time).await;
    }

    fn dice(&self) -> f64 {
        0.0
    }
}

type BeforePut = Box<dyn Fn(&FakeStorage, &ObjectKey) + Send + Sync>;

/// A storage that says what is put next, and counts questions for packs.
struct Watched {
    inner: FakeStorage,
    before_put: Mutex<Option<BeforePut>>,
    asked: AtomicU64,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

#[async_trait]
impl ObjectStorage for Watched {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        if let Some(watcher) = &*self.before_put.lock().unwrap() {
            watcher(&self.inner, key);
        }
        self.inner.object_put_with(key, body, options).await
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        self.inner.object_get(key, range, cache).await
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        self.asked.fetch_add(u64::from(key.as_str().starts_with("data/")), Ordering::SeqCst);
        self.inner.object_size(key).await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        self.inner.object_list(folder, each).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.object_remove(key).await
    }
}

/// A tree of so many packs of data, in a repository in memory that is watched, with clocks set by hand.
struct Watch {
    house: House,
    storage: Arc<Watched>,
    pace: Arc<HandPace>,
}

impl Watch {
    fn new(packs: u64) -> Self {
        let (mut house, _) = House::fake();
        let storage =
            Arc::new(Watched { inner: FakeStorage::default(), before_put: Mutex::default(), asked: AtomicU64::new(0) });
        house.repository = Repository::create(
            Arc::clone(&storage) as Arc<dyn ObjectStorage>,
            &password(),
            maker(),
            &Interrupt::default(),
        )
        .unwrap();
        for pack in 0..packs {
            fs::write(house.tree().join(format!("file-{pack}")), tree::noise(pack, 17 << 20)).unwrap();
        }
        Self { house, storage, pace: Arc::default() }
    }

    fn before_put(&self, watcher: impl Fn(&FakeStorage, &ObjectKey) + Send + Sync + 'static) {
        *self.storage.before_put.lock().unwrap() = Some(Box::new(watcher));
    }

    fn backup(&self) -> Result<backstay_engine::archive::publish::Published, EngineError> {
        let pace = Arc::clone(&self.pace) as Arc<dyn Pace>;
        let options = ArchiveOptions { workers: 1, uploads: 1, pace, ..options(&self.house.tree(), None) };
        backup(&self.house.repository, &options, &EngineProgress::default(), &Interrupt::default())
    }

    fn index_files(&self) -> u64 {
        self.house.repository.file_list(FileKind::Index, &Interrupt::default()).unwrap().len() as u64
    }
}

/// Removes the newest pack when the first index file is to be written; whoever looks for the oldest alone misses that.
fn remove_newest_pack(watch: &Watch, and: impl Fn() + Send + Sync + 'static) {
    let newest = Mutex::new(None);
    watch.before_put(move |inner, key| match key.as_str().split('/').next() {
        Some("data") => *newest.lock().unwrap() = Some(key.clone()),
        Some("index") => {
            if let Some(pack) = newest.lock().unwrap().take() {
                inner.object_remove(&pack).now_or_never().unwrap().unwrap();
                and();
            }
        }
        _ => {}
    });
}

#[test]
fn after_a_long_sleep_each_pack_is_looked_for_by_either_clock() {
    for is_wall in [true, false] {
        let watch = Watch::new(2);
        let pace = Arc::clone(&watch.pace);
        remove_newest_pack(&watch, move || {
            let clock = if is_wall { &pace.wall_s } else { &pace.steady_s };
            clock.fetch_add(10 * 60, Ordering::SeqCst);
        });
        let refused = watch.backup().unwrap_err();
        assert!(matches!(refused, EngineError::Overtaken { count: 1, .. }), "wall {is_wall}: {refused:?}");
        assert!(watch.house.snapshots().is_empty());
        *watch.storage.before_put.lock().unwrap() = None;
        let done = watch.backup().unwrap();
        watch.house.assert_proved(&done.id);
    }
}

/// A clock may be wrong: whoever removed litter has removed the oldest pack too.
#[test]
fn a_sleep_that_no_clock_tells_is_seen_by_the_oldest_pack() {
    let watch = Watch::new(2);
    let packs = Mutex::new(Vec::new());
    watch.before_put(move |inner, key| match key.as_str().split('/').next() {
        Some("data") => packs.lock().unwrap().push(key.clone()),
        Some("index") => {
            packs
                .lock()
                .unwrap()
                .drain(..)
                .for_each(|pack| inner.object_remove(&pack).now_or_never().unwrap().unwrap());
        }
        _ => {}
    });
    let refused = watch.backup().unwrap_err();
    assert!(matches!(refused, EngineError::Overtaken { .. }), "{refused:?}");
    *watch.storage.before_put.lock().unwrap() = None;
    let done = watch.backup().unwrap();
    watch.house.assert_proved(&done.id);
}

#[test]
fn usually_one_pack_of_an_index_file_is_asked_for() {
    let watch = Watch::new(5);
    watch.backup().unwrap();
    let (files, packs) = (watch.index_files(), watch.house.repository.pack_list(&Interrupt::default()).unwrap().len());
    // Two packs, then four, then what is left of seven or so.
    assert_eq!(watch.storage.asked.load(Ordering::SeqCst), files, "{packs} packs");
    assert!((2..=3).contains(&files), "{files} index files");
    assert!(packs >= 6);
}

/// Over a line that takes a minute for a pack each one is named at once: a death costs what was under way alone.
#[test]
fn over_a_slow_line_no_pack_waits_for_others() {
    let watch = Watch::new(5);
    let pace = Arc::clone(&watch.pace);
    let (unnamed, most) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let seen = Arc::clone(&most);
    watch.before_put(move |_, key| match key.as_str().split('/').next() {
        Some("data") => {
            pace.steady_s.fetch_add(60, Ordering::SeqCst);
            seen.fetch_max(unnamed.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
        Some("index") => unnamed.store(0, Ordering::SeqCst),
        _ => {}
    });
    let done = watch.backup().unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1, "packs that waited at once");
    assert_eq!(watch.index_files(), watch.house.repository.pack_list(&Interrupt::default()).unwrap().len() as u64);
    watch.house.assert_proved(&done.id);
}
