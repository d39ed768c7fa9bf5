//! Trees that stand in the way of the reader: very deep, very wide, moving while they are read; and runs that end early or
//! write nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_engine::archive::options::{ArchiveOptions, ChangeRule};
use backstay_engine::archive::run::{archive, rehearse};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use backstay_testkit::fakes::storage::FakeStorage;
use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::{CWD, Mode, OFlags};

use super::house::{HOST, House, backup, maker, options, password};
use super::layout::{paths_of, stable, theirs};
use super::restic::restics;
use super::tree::{noise, set_time};

fn run(house: &House, options: &ArchiveOptions) -> backstay_engine::archive::publish::Published {
    backup(&house.repository, options, &EngineProgress::default(), &Interrupt::default()).unwrap()
}

/// Makes folders in each other, and a file in the last.
fn deep(root: &Path, name: &[u8], depth: usize) {
    let folder = |fd: &OwnedFd| {
        rustix::fs::mkdirat(fd, OsStr::from_bytes(name), Mode::RWXU).unwrap();
        rustix::fs::openat(fd, OsStr::from_bytes(name), OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let mut fd = rustix::fs::openat(CWD, root, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        fd = folder(&fd);
    }
    let file = rustix::fs::openat(&fd, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
    fs::File::from(file).write_all(b"deep").unwrap();
    rustix::fs::symlinkat("to", &fd, "link").unwrap();
    rustix::fs::fsetxattr(&fd, "user.deep", b"1", rustix::fs::XattrFlags::empty()).unwrap();
}

/// Red when folders are opened by their whole path: it is longer than the system takes.
#[test]
fn depth_and_length_of_paths_are_no_bound() {
    let house = House::local();
    // 4,000 folders, and a path of thirty times PATH_MAX.
    deep(&house.tree(), b"d", 4_000);
    deep(&house.tree(), &[b'n'; 255], 480);
    let done = house.backup(None);
    assert!(done.unread.is_empty(), "{:?}", done.unread.entries.first().map(|entry| &entry.reason));
    assert_eq!((done.summary.total_files_processed, done.summary.dirs_new), (2, 4_481));
    let paths = paths_of(&house, &done.id);
    let below = house.tree().as_os_str().len() - 1;
    for (name, depth) in [(&b"d"[..], 4_000), (&[b'n'; 255][..], 480)] {
        let length = below + depth * (name.len() + 1) + "/file".len();
        assert!(paths.iter().any(|path| path.len() == length && path.ends_with(b"/file")), "{length}");
    }
    let again = house.backup(Some(done.id));
    assert_eq!(stable(&house, &again.id), stable(&house, &done.id));
    assert_eq!((again.summary.files_unmodified, again.summary.dirs_unmodified), (2, 4_481));
    // The temporary folder cannot be removed by its path either.
    assert!(std::process::Command::new("rm").arg("-rf").arg(house.tree()).status().unwrap().success());
}

/// By hand, with a million: `BACKSTAY_WIDE=1000000 cargo test -p backstay-engine --test it -- a_wide_folder`.
#[test]
fn a_wide_folder_is_saved_whole() {
    let entries: usize = std::env::var("BACKSTAY_WIDE").map_or(20_000, |text| text.parse().unwrap());
    let house = House::local();
    let fd = rustix::fs::openat(CWD, house.tree(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    for at in 0..entries {
        rustix::fs::openat(&fd, format!("{at:07}"), OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
    }
    let first = house.backup(None);
    let second = house.backup(Some(first.id));
    assert_eq!((first.summary.files_new, second.summary.files_unmodified), (entries as u64, entries as u64));
    assert_eq!(stable(&house, &second.id), stable(&house, &first.id));
    // Its tree is written in pieces: restic writes the same in one.
    for restic in restics().iter().filter(|restic| restic.version == "0.19") {
        restic.check(&house);
        let theirs = theirs(restic, &house, &["--force", house.tree().to_str().unwrap()]);
        assert_eq!(stable(&house, &theirs), stable(&house, &first.id));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    eprintln!("{entries} entries: {peak}");
}

/// What is saved is what was read, whatever the size was said to be, and the next run reads it again.
#[test]
fn files_that_grow_and_shrink_while_they_are_read_are_whole_in_the_next_snapshot() {
    let house = House::local();
    for name in ["grows", "shrinks"] {
        fs::write(house.tree().join(name), noise(1, 40 << 20)).unwrap();
    }
    let (progress, stop) = (EngineProgress::default(), AtomicBool::new(false));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.bytes_done.load(Ordering::Relaxed) < 1 << 20 {
                std::hint::spin_loop();
            }
            let mut grows = fs::File::options().append(true).open(house.tree().join("grows")).unwrap();
            let shrinks = fs::File::options().write(true).open(house.tree().join("shrinks")).unwrap();
            let mut size = 40 << 20;
            while !stop.load(Ordering::Relaxed) {
                grows.write_all(&[b'g'; 1 << 10]).unwrap();
                size = (size - 4_096).max(0);
                shrinks.set_len(size as u64).unwrap();
                std::thread::yield_now();
            }
        });
        let done = backup(&house.repository, &options(&house.tree(), None), &progress, &Interrupt::default());
        stop.store(true, Ordering::Relaxed);
        done.unwrap()
    });
    assert!(done.unread.is_empty());
    // Sizes and blobs agree, or this finds them out; what changed since cannot be compared.
    assert!(house.verify(&done.id).differences.is_empty());
    let next = house.backup(Some(done.id));
    house.assert_proved(&next.id);
    assert_eq!(house.verify(&next.id).files_compared, 2);
}

#[test]
fn a_rehearsal_counts_all_and_writes_nothing() {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("file"), noise(1, 30 << 20)).unwrap();
    fs::create_dir(house.tree().join("folder")).unwrap();
    let before = storage.keys();
    let (options, progress) = (options(&house.tree(), None), EngineProgress::default());
    let told = rehearse(&house.repository, &options, &progress, &Interrupt::default()).unwrap();
    assert_eq!(storage.keys(), before);
    let done = house.backup(None);
    assert_eq!(told.bytes_stored, 0);
    let without_times = |summary: &backstay_engine::format::snapshot::Summary| {
        (summary.files_new, summary.dirs_new, summary.data_blobs, summary.total_bytes_processed)
    };
    assert_eq!(without_times(&told.summary), without_times(&done.summary));
    // Other tests change the times of `/tmp` meanwhile, and a time may be written with some digits more.
    assert!(told.summary.data_added.abs_diff(done.summary.data_added) < 100, "{told:?} {done:?}");
}

#[test]
fn a_backup_knows_that_its_parent_says_the_same() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    let look = |parent| {
        let options = options(&house.tree(), parent);
        let archived = archive(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
        let unchanged = archived.is_unchanged();
        assert_eq!(archived.leave().unread.count, 0);
        unchanged
    };
    // Other tests change the folder that the tree lies in: the moment in which they do not is found soon.
    let found = (0..200).find_map(|_| Some(house.backup(None).id).filter(|first| look(Some(*first))));
    assert!(!look(None));
    let snapshots = house.snapshots();
    fs::write(house.tree().join("file"), b"y").unwrap();
    assert!(!look(Some(found.expect("a moment without changes"))));
    assert_eq!(house.snapshots(), snapshots);
}

/// The rules are restic's: held against its own count of what it takes from the parent.
#[test]
fn what_tells_a_change_is_as_it_was_asked() {
    let house = House::local();
    let file = house.tree().join("file");
    for (what, full, no_change_time, no_inode) in [("chmod", 0, 1, 1), ("replace", 0, 0, 1), ("time", 0, 0, 0)] {
        fs::write(&file, b"body").unwrap();
        set_time(&file, 5, 5);
        let first = house.backup(None);
        match what {
            "chmod" => fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap(),
            "replace" => {
                fs::write(house.tree().join("other"), b"BODY").unwrap();
                fs::rename(house.tree().join("other"), &file).unwrap();
                set_time(&file, 5, 5);
            }
            _ => set_time(&file, 5, 6),
        }
        for (rule, option, unmodified) in [
            (ChangeRule::Full, "", full),
            (ChangeRule::IgnoreChangeTime, "--ignore-ctime", no_change_time),
            (ChangeRule::IgnoreInode, "--ignore-inode", no_inode),
        ] {
            let options = ArchiveOptions { change_rule: rule, ..options(&house.tree(), Some(first.id)) };
            assert_eq!(run(&house, &options).summary.files_unmodified, unmodified, "{what} {rule:?}");
            for restic in restics() {
                let parent = first.id.to_hex();
                let mut arguments = vec!["--parent", &*parent];
                arguments.extend(Some(option).filter(|option| !option.is_empty()));
                let said = restic.backup(house.home.path(), &house.tree(), &arguments);
                assert_eq!(said["files_unmodified"], unmodified, "restic {} {what} {option}", restic.version);
            }
        }
    }
}

/// A storage of which one sort of call is a fault of the program.
#[derive(Debug)]
struct Faulty {
    inner: FakeStorage,
    armed: AtomicBool,
    on_put: bool,
}

impl Faulty {
    fn fault(&self, put: bool) {
        assert!(!(self.armed.load(Ordering::Relaxed) && self.on_put == put), "a fault of the storage");
    }
}

#[async_trait::async_trait]
impl ObjectStorage for Faulty {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        self.fault(key.as_str().starts_with("data/"));
        self.inner.object_put_with(key, body, options).await
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<std::ops::Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        if key.as_str().starts_with("data/") {
            self.fault(false);
        }
        self.inner.object_get(key, range, cache).await
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        self.inner.object_size(key).await
    }

    async fn object_list(&self, prefix: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        self.inner.object_list(prefix, each).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.object_remove(key).await
    }
}

/// Red when the panic of a thread is only seen at the end, or ends the caller too.
#[test]
fn a_thread_that_panics_ends_the_backup_at_once_as_an_error() {
    for on_put in [false, true] {
        let storage = Arc::new(Faulty { inner: FakeStorage::default(), armed: AtomicBool::new(false), on_put });
        let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
        let repository = Repository::create(shared, &password(), maker(), &Interrupt::default()).unwrap();
        let home = tempfile::tempdir().unwrap();
        for file in 0..30 {
            fs::create_dir(home.path().join(format!("{file}"))).unwrap();
            fs::write(home.path().join(format!("{file}/large")), noise(file, 10 << 20)).unwrap();
        }
        let first = ArchiveOptions { excludes: Default::default(), ..options(home.path(), None) };
        let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
        let parent = match on_put {
            true => None,
            false => {
                let done = archive(&repository, &first, &progress, &interrupt).unwrap();
                Some(done.publish(Timestamp::now()).unwrap().id)
            }
        };
        // Everything is read again, so that there is much to do when the thread dies.
        for file in 0..30 {
            fs::write(home.path().join(format!("{file}/large")), noise(file + 100, 10 << 20)).unwrap();
        }
        storage.armed.store(true, Ordering::Relaxed);
        let progress = EngineProgress::default();
        let second = ArchiveOptions { parent, hostname: HOST.to_owned(), ..first.clone() };
        let done = archive(&repository, &second, &progress, &interrupt);
        assert!(matches!(done, Err(EngineError::Panicked { .. })), "{on_put}: {done:?}");
        let read = progress.files_done.load(Ordering::Relaxed);
        assert!(read < 25, "{on_put}: {read} of 30 files were read for nothing");
    }
}
