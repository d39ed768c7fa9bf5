//! A repository in a temporary folder or in memory, and the engine run on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstay_core::domain::evidence::Findings;
use backstay_core::domain::sample::SampleRule;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::publish::Published;
use backstay_engine::archive::run::archive;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::repository::Maker;
use backstay_engine::restore::{RestoreOptions, Restored, restore};
use backstay_engine::verify::{VerifyOptions, verify};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectStorage, Presence, StorageCredentials, storage_kind};
use backstay_testkit::fakes::storage::FakeStorage;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

/// The password of every test's repository.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The name of the machine in every test's snapshot.
pub(crate) const HOST: &str = "testhost";

/// A temporary folder with a tree to back up and a repository.
pub(crate) struct House {
    pub(crate) home: TempDir,
    pub(crate) repository: Repository,
}

pub(crate) fn password() -> SecretString {
    SecretString::from(PASSWORD)
}

pub(crate) fn maker() -> Maker {
    Maker { username: "ada".to_owned(), hostname: HOST.to_owned(), at: Timestamp::now() }
}

/// Opens a local storage.
pub(crate) fn local(path: &Path) -> Arc<dyn ObjectStorage> {
    storage_kind("local")
        .unwrap()
        .open(&json!({ "path": path }), &StorageCredentials::none(), Presence::Create)
        .unwrap()
}

/// Opens `repository` as the cold part and `hot` as the hot one.
pub(crate) fn two_parts(home: &Path) -> Arc<dyn ObjectStorage> {
    let part = |name| json!({ "kind": "local", "settings": { "path": home.join(name) } });
    storage_kind("hot_cold")
        .unwrap()
        .open(&json!({ "hot": part("hot"), "cold": part("repository") }), &StorageCredentials::none(), Presence::Create)
        .unwrap()
}

impl House {
    /// Makes a repository in a folder.
    pub(crate) fn local() -> Self {
        let home = tempfile::tempdir().unwrap();
        let repository =
            Repository::create(local(&home.path().join("repository")), &password(), maker(), &Interrupt::default())
                .unwrap();
        Self::with(home, repository)
    }

    /// Makes a repository in memory.
    pub(crate) fn fake() -> (Self, Arc<FakeStorage>) {
        let storage = Arc::new(FakeStorage::default());
        let shared = Arc::clone(&storage) as Arc<dyn ObjectStorage>;
        let repository = Repository::create(shared, &password(), maker(), &Interrupt::default()).unwrap();
        (Self::with(tempfile::tempdir().unwrap(), repository), storage)
    }

    /// Makes a repository of two parts, cold in `repository` and hot in `hot`.
    pub(crate) fn hot_cold() -> Self {
        let home = tempfile::tempdir().unwrap();
        let repository =
            Repository::create(two_parts(home.path()), &password(), maker(), &Interrupt::default()).unwrap();
        Self::with(home, repository)
    }

    /// Opens what another program made in the two folders.
    pub(crate) fn opened_hot_cold(home: TempDir) -> Self {
        let repository = Repository::open(two_parts(home.path()), &password(), &Interrupt::default()).unwrap();
        Self::with(home, repository)
    }

    /// Opens what another program made in the folder.
    pub(crate) fn opened(home: TempDir) -> Self {
        let repository =
            Repository::open(local(&home.path().join("repository")), &password(), &Interrupt::default()).unwrap();
        Self::with(home, repository)
    }

    fn with(home: TempDir, repository: Repository) -> Self {
        std::fs::create_dir_all(home.path().join("tree")).unwrap();
        Self { home, repository }
    }

    /// Returns the folder that is backed up.
    pub(crate) fn tree(&self) -> PathBuf {
        self.home.path().join("tree")
    }

    pub(crate) fn try_backup(&self, parent: Option<Id>) -> Result<Published, EngineError> {
        let progress = EngineProgress::default();
        backup(&self.repository, &options(&self.tree(), parent), &progress, &Interrupt::default())
    }

    pub(crate) fn backup(&self, parent: Option<Id>) -> Published {
        self.try_backup(parent).unwrap()
    }

    pub(crate) fn snapshots(&self) -> Vec<Id> {
        self.repository.file_list(FileKind::Snapshot, &Interrupt::default()).unwrap()
    }

    /// Restores to a new folder, and returns what was done and where the tree lies in it.
    pub(crate) fn try_restore(&self, snapshot: &Id) -> (Result<Restored, EngineError>, PathBuf) {
        let target = self.home.path().join(format!("target-{}", rand::random::<u32>()));
        let hex = snapshot.to_hex();
        let options = RestoreOptions::new(&hex, &target);
        let done = restore(&self.repository, &options, &EngineProgress::default(), &Interrupt::default());
        (done, below(&target, &self.tree()))
    }

    pub(crate) fn restore(&self, snapshot: &Id) -> (Restored, PathBuf) {
        let (done, place) = self.try_restore(snapshot);
        (done.unwrap(), place)
    }

    pub(crate) fn try_verify(&self, snapshot: &Id) -> Result<Findings, EngineError> {
        let (hex, root) = (snapshot.to_hex(), self.tree());
        let sample = SampleRule::everything();
        let options = VerifyOptions { snapshot: &hex, sample, source: Some(&root), started_at: Timestamp::now() };
        verify(&self.repository, &options, &EngineProgress::default(), &Interrupt::default())
    }

    pub(crate) fn verify(&self, snapshot: &Id) -> Findings {
        self.try_verify(snapshot).unwrap()
    }

    /// Asserts that all of a snapshot can be read back and is as the source.
    pub(crate) fn assert_proved(&self, snapshot: &Id) {
        let found = self.verify(snapshot);
        assert!(found.differences.is_empty(), "{:#?}", found.differences);
        assert_eq!(found.files_read, found.files_total);
    }
}

/// Returns a path as it lies below a restore's target.
pub(crate) fn below(target: &Path, path: &Path) -> PathBuf {
    target.join(path.strip_prefix("/").unwrap())
}

pub(crate) fn options(root: &Path, parent: Option<Id>) -> ArchiveOptions {
    ArchiveOptions {
        parent,
        hostname: HOST.to_owned(),
        username: "ada".to_owned(),
        tags: vec!["plan:test".to_owned()],
        workers: 2,
        uploads: 2,
        ..ArchiveOptions::new(vec![root.to_path_buf()], "backstay test", Timestamp::now())
    }
}

pub(crate) fn backup(
    repository: &Repository,
    options: &ArchiveOptions,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Published, EngineError> {
    archive(repository, options, progress, interrupt)?.publish(Timestamp::now())
}
