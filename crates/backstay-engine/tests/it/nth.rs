//! The n-th call of a run suffers, for all n: calls of the storage and of the file system, that fail, lose their answer,
//! do half, take long, or are the last of a process.
//!
//! [`Fates`] says what happens to which call; [`Fated`] is a storage, [`Fates::system`] a file system that obeys it. A
//! process that is dead does nothing more on either side. What lies beneath the storage can be exchanged, so that one
//! open repository serves a thousand runs. `nth_backup`, `nth_restore` and `nth_check` have the loops.

use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::unread::Unread;
use backstay_engine::format::id::Id;
use backstay_engine::maintenance::check::{Checked, ReadData, check};
use backstay_engine::restore::{RestoreOptions, Special, restore};
use backstay_engine::system::{SystemCall, SystemFault};
use backstay_engine::{EngineProgress, Interrupt, Repository, System};
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::fakes::storage::FakeStorage;
use bytes::Bytes;
use rustix::fs::{CWD, FileType, XattrFlags};
use rustix::io::Errno;

use super::house::{House, maker, password};
use super::mortal::copy_of;
use super::tree::{self, Bits, contents};

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Storage,
    System,
}

/// What a call suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done, and says so.
    Error,
    /// It is done, and says that it was not.
    LostAnswer,
    /// It does half.
    Short,
    /// It takes longer.
    Delay,
    /// It is not done, and neither is any other after it.
    Death,
}

/// A call that a run made: of the file system its word, and the name that it was about.
pub(crate) type Met = (Option<SystemCall>, Vec<u8>);

#[derive(Debug, Default)]
struct Told {
    wanted: Option<(Side, u64, Fault)>,
    seen: u64,
    hit: Option<Met>,
    dead: bool,
    calls: Vec<Met>,
}

/// What happens to the calls of a run.
#[derive(Debug, Default)]
pub(crate) struct Fates(Mutex<Told>);

impl Fates {
    /// Lets the n-th call of a side suffer from now on.
    pub(crate) fn arm(&self, side: Side, nth: u64, fault: Fault) {
        *self.0.lock().unwrap() = Told { wanted: Some((side, nth, fault)), ..Told::default() };
    }

    /// Ends all harm, and returns the call that suffered.
    pub(crate) fn heal(&self) -> Option<Met> {
        std::mem::take(&mut *self.0.lock().unwrap()).hit
    }

    /// Returns the calls of a side that a run makes.
    pub(crate) fn calls_of(&self, side: Side, run: impl FnOnce()) -> Vec<Met> {
        self.arm(side, u64::MAX, Fault::Error);
        run();
        std::mem::take(&mut *self.0.lock().unwrap()).calls
    }

    fn next(&self, side: Side, met: Met) -> Option<Fault> {
        let mut told = self.0.lock().unwrap();
        if told.dead {
            return Some(Fault::Error);
        }
        let (wanted, nth, fault) = told.wanted.filter(|(wanted, ..)| *wanted == side)?;
        assert_eq!(wanted, side);
        told.seen += 1;
        if told.seen != nth {
            if nth == u64::MAX {
                told.calls.push(met);
            }
            return None;
        }
        told.hit = Some(met);
        told.dead = fault == Fault::Death;
        drop(told);
        if fault == Fault::Delay {
            std::thread::sleep(Duration::from_millis(2));
            return None;
        }
        Some(fault)
    }

    /// Returns a file system that obeys.
    pub(crate) fn system(self: &Arc<Self>) -> System {
        let fates = Arc::clone(self);
        System::heard(Arc::new(move |call: SystemCall, name: &[u8]| {
            match fates.next(Side::System, (Some(call), name.to_vec()))? {
                Fault::Short => Some(SystemFault::Short),
                _ => Some(SystemFault::Fails(Errno::IO)),
            }
        }))
    }
}

/// A storage that obeys.
#[derive(Debug)]
pub(crate) struct Fated {
    inner: Mutex<Arc<FakeStorage>>,
    fates: Arc<Fates>,
}

impl Fated {
    pub(crate) fn inner(&self) -> Arc<FakeStorage> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    /// Puts a copy of these objects in the place of all that is there.
    pub(crate) fn become_copy_of(&self, template: &FakeStorage) {
        *self.inner.lock().unwrap() = copy_of(template);
    }

    fn failed(&self, key: &str) -> StorageError {
        let source = std::io::Error::other("harm on order");
        StorageError::Io { place: self.place(), action: "reach", key: key.to_owned(), source }
    }

    fn begin(&self, key: &str) -> Result<Option<Fault>, StorageError> {
        match self.fates.next(Side::Storage, (None, key.as_bytes().to_vec())) {
            Some(Fault::Error | Fault::Death) => Err(self.failed(key)),
            other => Ok(other),
        }
    }

    fn end<T>(&self, fault: Option<Fault>, key: &str, answer: Result<T, StorageError>) -> Result<T, StorageError> {
        if fault == Some(Fault::LostAnswer) { Err(self.failed(key)) } else { answer }
    }
}

#[async_trait]
impl ObjectStorage for Fated {
    fn place(&self) -> String {
        "fated memory".to_owned()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        let fault = self.begin(key.as_str())?;
        let answer = self.inner().object_put_with(key, body, options).await;
        self.end(fault, key.as_str(), answer)
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let fault = self.begin(key.as_str())?;
        let answer = self.inner().object_get(key, range, cache).await;
        let answer = answer.map(|body| if fault == Some(Fault::Short) { body.slice(..body.len() / 2) } else { body });
        self.end(fault, key.as_str(), answer)
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        let fault = self.begin(key.as_str())?;
        let answer = self.inner().object_size(key).await;
        self.end(fault, key.as_str(), answer)
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let fault = self.begin(folder)?;
        let mut listed = Vec::new();
        self.inner().object_list(folder, &mut |object| listed.push(object)).await?;
        if fault == Some(Fault::Short) {
            // Half of it, and then an error: a list that ends early must never pass for a whole one.
            listed.drain(..listed.len() / 2).for_each(each);
            let source = std::io::Error::other("harm on order");
            return Err(StorageError::List { place: self.place(), folder: folder.to_owned(), source });
        }
        listed.into_iter().for_each(each);
        self.end(fault, folder, Ok(()))
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let fault = self.begin(key.as_str())?;
        let answer = self.inner().object_remove(key).await;
        self.end(fault, key.as_str(), answer)
    }
}

/// A repository of two snapshots on a storage that obeys, and the tree as it is now.
pub(crate) struct Bench {
    pub(crate) house: House,
    pub(crate) fates: Arc<Fates>,
    pub(crate) storage: Arc<Fated>,
    /// The storage as every run finds it.
    pub(crate) template: Arc<FakeStorage>,
    pub(crate) snapshots: [Id; 2],
    /// What the first snapshot holds.
    first: Described,
    runs: AtomicU64,
}

/// What lies where below a folder.
pub(crate) type Described = std::collections::BTreeMap<Vec<u8>, String>;

pub(crate) fn described(root: &Path) -> Described {
    let mut all = contents(root, Bits::All);
    // The target's own metadata is that of whoever made it.
    all.remove(&Vec::new());
    all
}

/// Writes at least 60 entries of every sort, no name twice.
fn every_sort(root: &Path) {
    for folder in ["alpha", "alpha/beta", "alpha/beta/gamma", "delta", "bare"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let folders = ["", "alpha", "alpha/beta", "alpha/beta/gamma", "delta"];
    for file in 0..40u64 {
        let place = root.join(folders[file as usize % folders.len()]);
        fs::write(place.join(format!("file-{file:02}")), tree::text(file, 100 + 40 * file as usize)).unwrap();
    }
    fs::write(root.join("delta/noise"), tree::noise(1, 200_000)).unwrap();
    fs::write(root.join("delta/nothing"), b"").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"no-utf8-\xff")), b"x").unwrap();
    fs::write(root.join("n".repeat(255)), b"long").unwrap();
    fs::write(root.join("new\nline"), b"x").unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(300_000).unwrap();
    fs::hard_link(root.join("file-00"), root.join("delta/second-name")).unwrap();
    for (at, to) in ["file-00", "no\nwhere", "../.."].iter().enumerate() {
        std::os::unix::fs::symlink(to, root.join(format!("link-{at}"))).unwrap();
    }
    for (name, kind) in [("fifo", FileType::Fifo), ("socket", FileType::Socket)] {
        rustix::fs::mknodat(CWD, root.join(name), kind, 0o640.into(), 0).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        for (name, kind) in [("char", FileType::CharacterDevice), ("block", FileType::BlockDevice)] {
            // A container may forbid it.
            let _ = rustix::fs::mknodat(CWD, root.join(name), kind, 0o600.into(), rustix::fs::makedev(1, 7));
        }
    }
    for (name, mode) in [("setuid", 0o4755), ("closed", 0o000), ("sticky", 0o1600)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    // A file system may have no attributes.
    let _ = rustix::fs::setxattr(root.join("file-05"), "user.note", b"one", XattrFlags::empty());
    let _ = rustix::fs::setxattr(root.join("alpha"), "user.note", b"two", XattrFlags::empty());
    for (at, name) in ["time-old", "time-new"].iter().enumerate() {
        fs::write(root.join(name), name).unwrap();
        tree::set_time(&root.join(name), 1_000_000_000 + at as i64, 123_456_789);
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (mut house, _) = House::fake();
        // In memory where that can be: thousands of small trees are made and removed.
        if let Ok(home) = tempfile::tempdir_in("/dev/shm") {
            house.home = home;
            fs::create_dir(house.tree()).unwrap();
        }
        let fates = Arc::new(Fates::default());
        let storage = Arc::new(Fated { inner: Mutex::default(), fates: Arc::clone(&fates) });
        let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
        house.repository = Repository::create(shared, &password(), maker(), &Interrupt::default()).unwrap();
        every_sort(&house.tree());
        let first = house.backup(None).id;
        let before = described(&house.tree());
        for file in [3, 13, 23] {
            let path =
                format!("{}file-{file:02}", ["", "alpha/", "alpha/beta/", "alpha/beta/gamma/", "delta/"][file % 5]);
            fs::write(house.tree().join(path), tree::text(100 + file as u64, 900)).unwrap();
        }
        let second = house.backup(Some(first)).id;
        fs::write(house.tree().join("alpha/later"), tree::text(7, 5_000)).unwrap();
        fs::write(house.tree().join("file-10"), tree::text(8, 5_000)).unwrap();
        assert!(described(&house.tree()).len() >= 60);
        let template = copy_of(&storage.inner());
        let of = |folder: &str| template.keys().iter().filter(|key| key.starts_with(folder)).count();
        assert!(of("data/") >= 3 && of("index/") >= 2 && of("snapshots/") == 2);
        let (snapshots, runs) = ([first, second], AtomicU64::new(0));
        Self { house, fates, storage, template, snapshots, first: before, runs }
    }

    /// Makes everything as every run finds it, and lets the n-th call suffer.
    pub(crate) fn begin(&self, side: Side, nth: u64, fault: Fault) {
        self.storage.become_copy_of(&self.template);
        self.begin_here(side, nth, fault);
    }

    /// Lets the n-th call suffer from now on, of what is there now.
    pub(crate) fn begin_here(&self, side: Side, nth: u64, fault: Fault) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.fates.arm(side, nth, fault);
    }

    pub(crate) fn check(&self) -> Checked {
        check(&self.house.repository, &ReadData::All, &Interrupt::default()).unwrap()
    }

    /// Restores a snapshot to a new folder, and returns what lies there.
    pub(crate) fn restored(&self, id: &Id) -> Described {
        let target = self.target();
        let (hex, tree) = (id.to_hex(), self.house.tree());
        let sub_path = tree.to_str().unwrap().as_bytes();
        let options = RestoreOptions { sub_path, special: Special::Make, ..RestoreOptions::new(&hex, &target) };
        let interrupt = Interrupt::default();
        let done = restore(&self.house.repository, &options, &EngineProgress::default(), &interrupt).unwrap();
        assert!(done.unread.is_empty() && done.bad_copies.is_empty(), "{:?}", done.unread);
        let found = described(&target);
        fs::remove_dir_all(target).unwrap();
        found
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.house.home.path().join("restored")
    }

    /// Asserts that what was there before the run is as it was.
    pub(crate) fn assert_earlier(&self, context: &str) {
        let found = self.check();
        assert!(found.is_whole(), "{context}: {:?}", found.findings);
        assert!(self.restored(&self.snapshots[0]) == self.first, "{context}: the first snapshot is not as it was");
    }

    /// Says how many runs there were, which are at least so many.
    pub(crate) fn told(&self, what: &str, least: u64) {
        let runs = self.runs.load(Ordering::Relaxed);
        println!("{what}: {runs} runs, one fault in each");
        assert!(runs >= least, "{what}: only {runs}");
    }
}

/// Asserts that all that is not as it should be is named, by itself or by a folder that it lies in.
pub(crate) fn assert_named(expected: &Described, found: &Described, unread: &Unread, root: &Path, context: &str) {
    let named = |path: &[u8]| {
        let whole = root.join(std::ffi::OsStr::from_bytes(path)).display().to_string();
        unread.entries.iter().any(|entry| {
            let entry = entry.path.trim_end_matches('/');
            whole == entry || whole.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    for (path, then) in expected {
        let now = found.get(path);
        assert!(
            now == Some(then) || named(path),
            "{context}: {:?} is {now:?} and not named: {unread:?}",
            String::from_utf8_lossy(path)
        );
    }
    for path in found.keys() {
        assert!(expected.contains_key(path), "{context}: {:?} is new", String::from_utf8_lossy(path));
    }
}

/// Asserts that the name of the call that failed is among what is named.
pub(crate) fn assert_tells(unread: &Unread, hit: &Met, context: &str) {
    let name = String::from_utf8_lossy(&hit.1).into_owned();
    let told = unread.entries.iter().any(|entry| entry.path.split('/').any(|part| part == name));
    assert!(told, "{context}: a call about {name:?} failed and is not named: {unread:?}");
}
