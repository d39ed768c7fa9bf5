//! A storage whose process dies at the n-th call: that call and all after it fail. What lies beneath can be exchanged, so
//! that one open repository serves a thousand deaths.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::fakes::storage::FakeStorage;
use bytes::Bytes;
use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};

/// A storage that dies.
#[derive(Debug)]
pub(crate) struct Mortal {
    inner: Mutex<Arc<FakeStorage>>,
    left: AtomicI64,
    /// Whether the call that dies is done all the same: its answer is what is lost.
    is_done: Mutex<bool>,
    /// Its clock: seconds since the epoch.
    clock: AtomicI64,
}

impl Mortal {
    pub(crate) fn new(inner: Arc<FakeStorage>) -> Arc<Self> {
        let (left, clock) = (AtomicI64::new(i64::MAX), AtomicI64::new(1_700_000_000));
        let (inner, is_done) = (Mutex::new(inner), Mutex::new(false));
        Arc::new(Self { inner, left, is_done, clock })
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: SignedDuration) {
        self.clock.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    /// Dies at the n-th call from now on, before or after doing it.
    pub(crate) fn die_at(&self, nth: u64, is_done: bool) {
        *self.is_done.lock().unwrap() = is_done;
        self.left.store(i64::try_from(nth).unwrap(), Ordering::SeqCst);
    }

    /// Lives again, and says whether it had died.
    pub(crate) fn revive(&self) -> bool {
        self.left.swap(i64::MAX, Ordering::SeqCst) <= 0
    }

    pub(crate) fn inner(&self) -> Arc<FakeStorage> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    /// Puts a copy of these objects in the place of all that is there.
    pub(crate) fn become_copy_of(&self, template: &FakeStorage) {
        *self.inner.lock().unwrap() = copy_of(template);
    }

    fn begin(&self) -> Result<bool, StorageError> {
        match self.left.fetch_sub(1, Ordering::SeqCst) - 1 {
            0 if *self.is_done.lock().unwrap() => Ok(true),
            left if left <= 0 => Err(self.dead()),
            _ => Ok(false),
        }
    }

    fn dead(&self) -> StorageError {
        let source = std::io::Error::other("the process is dead");
        StorageError::Io { place: self.place(), action: "reach", key: String::new(), source }
    }

    fn end<T>(&self, dies: bool, answer: Result<T, StorageError>) -> Result<T, StorageError> {
        if dies { Err(self.dead()) } else { answer }
    }
}

/// Returns a storage with the same objects.
pub(crate) fn copy_of(template: &FakeStorage) -> Arc<FakeStorage> {
    let copy = FakeStorage::default();
    for key in template.keys() {
        let key = ObjectKey::new(key).unwrap();
        let body = block_on(template.object_get(&key, None, ReadCache::Use)).unwrap();
        block_on(copy.object_put(&key, body)).unwrap();
    }
    Arc::new(copy)
}

#[async_trait]
impl ObjectStorage for Mortal {
    fn place(&self) -> String {
        "mortal memory".to_owned()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        let dies = self.begin()?;
        let answer = self.inner().object_put_with(key, body, options).await;
        self.end(dies, answer)
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let dies = self.begin()?;
        let answer = self.inner().object_get(key, range, cache).await;
        self.end(dies, answer)
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        let dies = self.begin()?;
        let answer = self.inner().object_size(key).await;
        self.end(dies, answer)
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let dies = self.begin()?;
        let modified_at = Timestamp::from_second(self.clock.load(Ordering::SeqCst)).unwrap();
        let inner = self.inner();
        let answer = inner.object_list(folder, &mut |object| each(ListedObject { modified_at, ..object })).await;
        self.end(dies, answer)
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let dies = self.begin()?;
        let answer = self.inner().object_remove(key).await;
        self.end(dies, answer)
    }
}
