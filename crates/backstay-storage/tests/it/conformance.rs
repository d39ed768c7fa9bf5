//! Each kind, and the fake, against the suite of the port; and what a local folder promises beyond it.

use std::sync::Arc;

use backstay_storage::{ObjectStorage, Presence, StorageCredentials, storage_kind};
use backstay_testkit::conformance::storage::{StorageFixture, storage_conforms};
use backstay_testkit::fakes::storage::FakeStorage;
use backstay_testkit::peers;
use serde_json::json;
use tempfile::TempDir;

use crate::house::Bucket;

struct LocalFixture {
    home: TempDir,
    storage: Arc<dyn ObjectStorage>,
}

impl LocalFixture {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = json!({ "path": home.path().join("storage") });
        let storage =
            storage_kind("local").unwrap().open(&settings, &StorageCredentials::none(), Presence::Create).unwrap();
        Self { home, storage }
    }
}

impl StorageFixture for LocalFixture {
    fn storage(&self) -> Arc<dyn ObjectStorage> {
        Arc::clone(&self.storage)
    }

    fn vanish(&self) {
        // What an unmounted disk leaves: an empty folder of the same name.
        std::fs::remove_dir_all(self.home.path().join("storage")).unwrap();
        std::fs::create_dir(self.home.path().join("storage")).unwrap();
    }
}

struct FakeFixture(Arc<FakeStorage>);

impl StorageFixture for FakeFixture {
    fn storage(&self) -> Arc<dyn ObjectStorage> {
        Arc::clone(&self.0) as Arc<dyn ObjectStorage>
    }

    fn vanish(&self) {
        self.0.vanish();
    }
}

#[test]
fn a_local_folder_conforms() {
    storage_conforms(&|| Box::new(LocalFixture::new()));
}

#[test]
fn the_fake_conforms() {
    storage_conforms(&|| Box::new(FakeFixture(Arc::default())));
}

#[test]
fn a_storage_that_must_be_there_is_not_made() {
    let home = tempfile::tempdir().unwrap();
    let settings = json!({ "path": home.path().join("nothing") });
    let answer = storage_kind("local").unwrap().open(&settings, &StorageCredentials::none(), Presence::Existing);
    assert!(matches!(answer, Err(backstay_storage::StorageError::Absent { .. })), "{answer:?}");
    assert!(!home.path().join("nothing").exists());
}

#[test]
fn objects_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = LocalFixture::new();
    let key = backstay_storage::ObjectKey::new("data/ab/x").unwrap();
    futures::executor::block_on(fixture.storage.object_put(&key, bytes::Bytes::from_static(b"x"))).unwrap();
    let mode = |path: &str| std::fs::metadata(fixture.home.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("storage/data/ab/x"), 0o400);
    assert_eq!((mode("storage"), mode("storage/data"), mode("storage/data/ab")), (0o700, 0o700, 0o700));
}

#[test]
fn a_bucket_of_ceph_conforms() {
    let Some(peer) = peers::s3::ceph() else { return };
    storage_conforms(&|| Box::new(Bucket::new(peer)));
}

#[test]
fn a_bucket_of_moto_conforms() {
    let Some(peer) = peers::s3::moto() else { return };
    storage_conforms(&|| Box::new(Bucket::new(peer)));
}
