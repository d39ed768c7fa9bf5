//! A restore that is cut short is finished by the next one, and nothing that is right is written again.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstay_engine::format::id::Id;
use backstay_engine::restore::{Reconcile, RestoreOptions, Restored, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use bytes::Bytes;

use super::house::{House, below, password};
use super::proof::saved;
use super::restore_deep::{assert_deep, deep};
use super::restore_meet::into;
use super::tree::{self, Bits, assert_same};

fn resume(
    repository: &Repository,
    id: &Id,
    target: &Path,
    word: &str,
    progress: &EngineProgress,
) -> Result<Restored, EngineError> {
    let hex = id.to_hex();
    let options = RestoreOptions { resume: Some(word), workers: 1, ..RestoreOptions::new(&hex, target) };
    restore(repository, &options, progress, &Interrupt::default())
}

#[test]
fn wherever_it_is_cut_short_the_next_finishes_and_writes_the_rest_alone() {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("large"), tree::noise(1, 40 << 20)).unwrap();
    fs::create_dir(house.tree().join("folder")).unwrap();
    for file in 0..20 {
        fs::write(house.tree().join(format!("folder/{file}")), tree::noise(100 + file, 1 << 20)).unwrap();
        fs::write(house.tree().join(format!("text-{file}")), tree::text(file, 300)).unwrap();
    }
    fs::hard_link(house.tree().join("large"), house.tree().join("folder/large-too")).unwrap();
    let id = house.backup(None).id;
    let bytes = (60 << 20) + 20 * 300;
    let mut cut = 0;
    for nth in 1.. {
        let target = house.home.path().join(format!("target-{nth}"));
        let first = EngineProgress::default();
        storage.harm(Call::Get, nth, Harm::Fail);
        let done = resume(&house.repository, &id, &target, "job", &first);
        storage.heal();
        let written = first.bytes_done.load(Ordering::Relaxed);
        let place = below(&target, &house.tree());
        if let Ok(done) = done {
            assert!(done.unread.is_empty() && cut >= 3, "cut {cut} times");
            assert_same(&house.tree(), &place, Bits::NoRights);
            break;
        }
        cut += u32::from(written > 0);
        let there = target.exists() && fs::read_dir(&target).unwrap().count() > 0;
        if there {
            let stranger = resume(&house.repository, &id, &target, "another job", &EngineProgress::default());
            assert!(matches!(stranger, Err(EngineError::Target { .. })), "{stranger:?}");
        }
        let done = resume(&house.repository, &id, &target, "job", &EngineProgress::default()).unwrap();
        assert!(done.unread.is_empty(), "{nth}: {:?}", done.unread);
        assert_same(&house.tree(), &place, Bits::NoRights);
        assert_eq!(written + done.bytes_written, bytes, "{nth}: written twice, or not at all");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "{nth}: the mark is left");
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn of_a_file_only_the_wrong_blobs_are_written() {
    let (house, storage, id) = saved();
    let target = house.home.path().join("target");
    into(&house, &id, &target, Reconcile::Fail).unwrap();
    let file = fs::OpenOptions::new().write(true).open(target.join("large-0")).unwrap();
    file.write_all_at(b"broken", 17).unwrap();
    fs::OpenOptions::new().append(true).open(target.join("small/07")).unwrap().set_len(1).unwrap();
    let before = storage.calls(Call::Get);
    let done = into(&house, &id, &target, Reconcile::Overwrite).unwrap();
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    assert_eq!((done.files, done.unchanged), (2, 51));
    let large = fs::metadata(target.join("large-0")).unwrap().len();
    // With an unlucky polynomial the large file is one blob.
    assert!(done.bytes_written > 0 && done.bytes_written <= large + 1_024, "{} of {large}", done.bytes_written);
    assert!(storage.calls(Call::Get) > before);
    assert_deep(&deep(&house.tree()), &deep(&target), "after the second");
    let done = into(&house, &id, &target, Reconcile::Overwrite).unwrap();
    assert_eq!((done.bytes_written, done.unchanged), (0, 53));
    let done = into(&house, &id, &target, Reconcile::OverwriteIfChanged).unwrap();
    assert_eq!((done.bytes_written, done.unchanged), (0, 53));
}

/// A storage that never answers once it is stuck.
#[derive(Debug)]
struct Stuck {
    inner: Arc<FakeStorage>,
    stuck: AtomicBool,
}

type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'f>>;

impl ObjectStorage for Stuck {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn object_put_with<'a: 'f, 'b: 'f, 'f>(
        &'a self,
        key: &'b ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Answer<'f, PutAnswer> {
        self.inner.object_put_with(key, body, options)
    }

    fn object_get<'a: 'f, 'b: 'f, 'f>(
        &'a self,
        key: &'b ObjectKey,
        range: Option<std::ops::Range<u64>>,
        cache: ReadCache,
    ) -> Answer<'f, Bytes> {
        if self.stuck.load(Ordering::Relaxed) && key.as_str().starts_with("data/") {
            return Box::pin(std::future::pending());
        }
        self.inner.object_get(key, range, cache)
    }

    fn object_size<'a: 'f, 'b: 'f, 'f>(&'a self, key: &'b ObjectKey) -> Answer<'f, u64> {
        self.inner.object_size(key)
    }

    fn object_list<'a: 'f, 'b: 'f, 'c: 'f, 'f>(
        &'a self,
        folder: &'b str,
        each: &'c mut (dyn FnMut(ListedObject) + Send),
    ) -> Answer<'f, ()> {
        self.inner.object_list(folder, each)
    }

    fn object_remove<'a: 'f, 'b: 'f, 'f>(&'a self, key: &'b ObjectKey) -> Answer<'f, ()> {
        self.inner.object_remove(key)
    }
}

#[test]
fn an_interrupt_ends_a_restore_whose_storage_does_not_answer() {
    let (house, inner, id) = saved();
    let storage = Arc::new(Stuck { inner, stuck: AtomicBool::new(false) });
    let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
    let repository = Repository::open(shared, &password(), &Interrupt::default()).unwrap();
    storage.stuck.store(true, Ordering::Relaxed);
    let (hex, target) = (id.to_hex(), house.home.path().join("target"));
    let interrupt = Interrupt::default();
    let (done, took) = std::thread::scope(|scope| {
        let options = RestoreOptions::new(&hex, &target);
        let (repository, interrupt) = (&repository, &interrupt);
        let run = scope.spawn(move || {
            let done = restore(repository, &options, &EngineProgress::default(), interrupt);
            (done, Instant::now())
        });
        std::thread::sleep(Duration::from_millis(50));
        interrupt.raise();
        let raised = Instant::now();
        let (done, ended) = run.join().unwrap();
        (done, ended.saturating_duration_since(raised))
    });
    assert!(matches!(done, Err(EngineError::Interrupted)), "{done:?}");
    // Without the race it would never end at all.
    assert!(took < Duration::from_secs(60), "{took:?}");
}
