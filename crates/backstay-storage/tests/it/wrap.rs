//! The wrappers, on the storage in memory: what limits and retries promise, by counts on a clock of the test's own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use async_trait::async_trait;
use backstay_storage::limit::{LimitRules, Limited, Rate, Window};
use backstay_storage::pace::Pace;
use backstay_storage::retry::{Retry, RetryRules};
use backstay_storage::{ObjectKey, ObjectStorage, PutAnswer, ReadCache, StorageError};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use bytes::Bytes;
use futures::executor::block_on;
use jiff::Timestamp;
use jiff::civil::time;
use jiff::tz::TimeZone;

/// A clock that goes on when somebody waits.
#[derive(Debug, Default)]
struct TestPace {
    elapsed_ms: AtomicU64,
    waits: AtomicUsize,
    /// Seconds that the machine sleeps at the next wait.
    sleep_s: AtomicU64,
    slept_s: AtomicU64,
}

#[async_trait]
impl Pace for TestPace {
    fn now(&self) -> Timestamp {
        // Noon, and what went by.
        let slept = Duration::from_secs(self.slept_s.load(Ordering::SeqCst));
        Timestamp::from_second(12 * 3600).unwrap() + self.elapsed() + slept
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }

    async fn wait(&self, time: Duration) {
        self.waits.fetch_add(1, Ordering::SeqCst);
        let ms = u64::try_from(time.as_millis()).unwrap() + 1;
        self.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
        self.slept_s.fetch_add(self.sleep_s.swap(0, Ordering::SeqCst), Ordering::SeqCst);
    }

    fn dice(&self) -> f64 {
        0.0
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn rules(up: Option<u64>, down: Option<u64>) -> LimitRules {
    LimitRules { zone: TimeZone::UTC, windows: Vec::new(), otherwise: Rate { up, down }, in_flight: None }
}

fn limited(rules: LimitRules) -> (Limited, Arc<TestPace>) {
    let pace = Arc::new(TestPace::default());
    (Limited::new(Arc::new(FakeStorage::default()), rules, Arc::clone(&pace) as Arc<dyn Pace>), pace)
}

fn put(storage: &dyn ObjectStorage, name: &str, bytes: usize) {
    block_on(storage.object_put(&key(name), vec![7; bytes].into())).unwrap();
}

#[test]
fn bytes_pass_at_the_rate_of_their_way() {
    let (storage, pace) = limited(rules(Some(1000), Some(500)));
    for name in ["data/a", "data/b", "data/c", "data/d"] {
        put(&storage, name, 2000);
    }
    // The last one's debt is the next one's.
    assert_eq!(pace.elapsed().as_secs(), 6);
    for range in [None, Some(0..2000), Some(0..1000)] {
        block_on(storage.object_get(&key("data/a"), range, ReadCache::Use)).unwrap();
    }
    assert_eq!(pace.elapsed().as_secs(), 6 + 8);
}

#[test]
fn a_rate_ends_with_its_window() {
    let slow = Window { from: time(9, 0, 0, 0), until: time(12, 0, 30, 0), rate: Rate { up: Some(1), down: None } };
    let (storage, pace) = limited(LimitRules { windows: vec![slow], ..rules(None, None) });
    put(&storage, "data/a", 1_000_000);
    put(&storage, "data/b", 1_000_000);
    assert_eq!(pace.elapsed().as_secs(), 30, "a million seconds were not waited for");
    put(&storage, "data/c", 1_000_000);
    assert_eq!(pace.elapsed().as_secs(), 30);
}

#[test]
fn only_so_many_calls_are_made_at_once() {
    #[derive(Debug)]
    struct Gate {
        inner: FakeStorage,
        now: AtomicUsize,
        most: AtomicUsize,
        together: Barrier,
    }
    #[async_trait]
    impl ObjectStorage for Gate {
        fn place(&self) -> String {
            self.inner.place()
        }
        async fn object_put_with(
            &self,
            key: &ObjectKey,
            body: Bytes,
            options: backstay_storage::PutOptions,
        ) -> Result<PutAnswer, StorageError> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            // Two must be in here together before either goes on: less than two at once would hang.
            self.together.wait();
            self.now.fetch_sub(1, Ordering::SeqCst);
            self.inner.object_put_with(key, body, options).await
        }
        async fn object_get(
            &self,
            key: &ObjectKey,
            range: Option<std::ops::Range<u64>>,
            cache: ReadCache,
        ) -> Result<Bytes, StorageError> {
            self.inner.object_get(key, range, cache).await
        }
        async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
            self.inner.object_size(key).await
        }
        async fn object_list(
            &self,
            folder: &str,
            each: &mut (dyn FnMut(backstay_storage::ListedObject) + Send),
        ) -> Result<(), StorageError> {
            self.inner.object_list(folder, each).await
        }
        async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
            self.inner.object_remove(key).await
        }
    }
    let gate = Arc::new(Gate {
        inner: FakeStorage::default(),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        together: Barrier::new(2),
    });
    let rules = LimitRules { in_flight: Some(2), ..rules(None, None) };
    let storage = Limited::new(Arc::clone(&gate) as Arc<dyn ObjectStorage>, rules, Arc::new(TestPace::default()));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let storage = &storage;
            scope.spawn(move || put(storage, &format!("data/{number}"), 1));
        }
    });
    assert_eq!(gate.most.load(Ordering::SeqCst), 2);
}

/// A storage in memory with retries, and the clock that they wait on.
fn retried() -> (Arc<FakeStorage>, Retry, Arc<TestPace>) {
    let (fake, pace) = (Arc::new(FakeStorage::default()), Arc::new(TestPace::default()));
    let inner = Arc::clone(&fake) as Arc<dyn ObjectStorage>;
    let retry = Retry::new(inner, RetryRules::default(), Arc::clone(&pace) as Arc<dyn Pace>);
    (fake, retry, pace)
}

#[test]
fn a_list_that_broke_off_hands_nothing_over_twice() {
    let (fake, retry, _) = retried();
    for number in 0..10 {
        put(&*fake, &format!("data/{number}"), 1);
    }
    fake.harm(Call::List, 1, Harm::CutList);
    fake.harm(Call::List, 2, Harm::Fail);
    let mut names = Vec::new();
    block_on(retry.object_list("data", &mut |object| names.push(object.key.to_string()))).unwrap();
    names.sort();
    assert_eq!(names, (0..10).map(|number| format!("data/{number}")).collect::<Vec<_>>());
    assert_eq!(fake.calls(Call::List), 3);
}

#[test]
fn a_list_that_never_ends_well_is_an_error() {
    let (fake, retry, pace) = retried();
    put(&*fake, "data/a", 1);
    fake.harm_all(Call::List, Harm::CutList);
    let answer = block_on(retry.object_list("data", &mut |_| {}));
    assert!(matches!(answer, Err(StorageError::List { .. })), "{answer:?}");
    assert_eq!((fake.calls(Call::List), pace.waits.load(Ordering::SeqCst)), (8, 7));
}

#[test]
fn a_put_that_met_its_own_object_created_it() {
    let (fake, retry, _) = retried();
    fake.harm(Call::Put, 1, Harm::LoseAnswer);
    assert_eq!(block_on(retry.object_put(&key("config"), Bytes::from_static(b"ours"))).unwrap(), PutAnswer::Created);
    put(&*fake, "keys/k", 4);
    fake.harm(Call::Put, 1, Harm::Fail);
    assert_eq!(block_on(retry.object_put(&key("keys/k"), Bytes::from_static(b"ours"))).unwrap(), PutAnswer::Existed);
    assert_eq!(fake.calls(Call::Put), 2 + 1 + 2);
}

#[test]
fn a_removal_is_tried_again_and_not_after_a_sleep() {
    let (inner, storage, pace) = retried();
    for (sleep_s, is_removed) in [(0, true), (30, true), (3 * 3_600, false)] {
        put(&*inner, "data/a", 1);
        inner.harm(Call::Remove, 1, Harm::Fail);
        pace.sleep_s.store(sleep_s, Ordering::SeqCst);
        let removed = block_on(storage.object_remove(&key("data/a")));
        assert_eq!((removed.is_ok(), inner.keys().is_empty()), (is_removed, is_removed), "{sleep_s}: {removed:?}");
    }
}
