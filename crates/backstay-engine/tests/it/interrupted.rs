//! A long first backup that is interrupted five times: what was uploaded is not sent again.

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use bytes::Bytes;

use super::house::{House, backup, local, maker, options, password};
use super::tree;

/// Bytes of a pack, with one blob more than fills it.
const PACK_BYTES: u64 = (16 + 8) << 20;

const WORKERS: usize = 2;
const UPLOADS: usize = 2;

/// A storage that counts the bytes of packs, and interrupts a run when it has taken so many. It
/// lets no pack begin after that: how much a run can send does not depend on who is faster.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ObjectStorage>,
    begun_bytes: AtomicU64,
    put_bytes: AtomicU64,
    until: AtomicU64,
    interrupt: std::sync::Mutex<Interrupt>,
}

#[async_trait]
impl ObjectStorage for Counting {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        let bytes = if key.as_str().starts_with("data/") { body.len() as u64 } else { 0 };
        let before = self.begun_bytes.fetch_add(bytes, Ordering::SeqCst);
        if bytes > 0 && before >= self.until.load(Ordering::SeqCst) {
            self.begun_bytes.fetch_sub(bytes, Ordering::SeqCst);
            return std::future::pending().await;
        }
        let answer = self.inner.object_put_with(key, body, options).await;
        let sent = self.put_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if sent >= self.until.load(Ordering::SeqCst) {
            self.interrupt.lock().unwrap().raise();
        }
        answer
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
        self.inner.object_size(key).await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        self.inner.object_list(folder, each).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.object_remove(key).await
    }
}

/// 200 MB; as many as `BACKSTAY_INTERRUPTED_MIB` says by command.
#[test]
fn a_first_backup_that_is_interrupted_five_times_sends_no_pack_twice() {
    let mib = std::env::var("BACKSTAY_INTERRUPTED_MIB").map_or(200, |text| text.parse::<u64>().unwrap());
    let (mut house, _) = House::fake();
    let total = mib << 20;
    let (mut written, mut file) = (0, 0);
    while written < total {
        let bytes = (6 << 20).min(total - written);
        let folder = house.tree().join(format!("folder-{}", file / 16));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("file-{file}")), tree::noise(file, bytes as usize)).unwrap();
        (written, file) = (written + bytes, file + 1);
    }
    let storage = Arc::new(Counting {
        inner: local(&house.home.path().join("counted")),
        begun_bytes: AtomicU64::new(0),
        put_bytes: AtomicU64::new(0),
        until: AtomicU64::new(u64::MAX),
        interrupt: std::sync::Mutex::default(),
    });
    house.repository =
        Repository::create(Arc::clone(&storage) as Arc<dyn ObjectStorage>, &password(), maker(), &Interrupt::default())
            .unwrap();
    let told = ArchiveOptions { workers: WORKERS, uploads: UPLOADS, ..options(&house.tree(), None) };
    for run in 1..=5 {
        let interrupt = Interrupt::default();
        *storage.interrupt.lock().unwrap() = interrupt.clone();
        // An interrupt comes when a seventh more has been sent.
        let before = storage.put_bytes.load(Ordering::SeqCst);
        storage.begun_bytes.store(before, Ordering::SeqCst);
        storage.until.store(before + total / 7, Ordering::SeqCst);
        let done = backup(&house.repository, &told, &EngineProgress::default(), &interrupt);
        assert!(matches!(done, Err(EngineError::Interrupted)), "run {run}: {done:?}");
        assert!(house.snapshots().is_empty());
    }
    storage.until.store(u64::MAX, Ordering::SeqCst);
    let done = backup(&house.repository, &told, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert!(done.unread.is_empty());
    let sent = storage.put_bytes.load(Ordering::SeqCst);
    // What a run has in flight when it ends: the packs that are uploaded, and those that wait for it.
    let in_flight = 2 * UPLOADS as u64 * PACK_BYTES;
    println!("{total} bytes, {sent} sent in six runs, {} in the last", done.bytes_stored);
    // Without what the runs before left, the last one would send all of it again.
    assert!(sent < total + total / 50 + 5 * in_flight, "{sent} of {total}");
    assert!(done.bytes_stored < total - 4 * (total / 7) + in_flight, "{} of {total}", done.bytes_stored);
    let packs: u64 = house.repository.pack_list(&Interrupt::default()).unwrap().iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(packs, sent, "a pack was sent twice");
    house.assert_proved(&done.id);
}
