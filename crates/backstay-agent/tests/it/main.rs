//! The agent's adapters held against the suites of their ports, beside the fakes.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error where none is expected is what they report")]

mod fence;

use std::sync::Arc;

use backstay_agent::EngineReader;
use backstay_agent::sources::command::Command;
use backstay_agent::sources::filesystem::Filesystem;
use backstay_agent::sources::mariadb::Mariadb;
use backstay_agent::sources::postgresql::Postgresql;
use backstay_agent::sources::sqlite::Sqlite;
use backstay_core::domain::id::{RepositoryId, TenantId};
use backstay_core::domain::job::LeasedRepository;
use backstay_core::domain::repository::{Repository, RepositoryEpoch, RepositoryKind};
use backstay_core::domain::secret::Secret;
use backstay_core::domain::storage::StorageSettings;
use backstay_core::ports::source::SourceKind;
use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::run::archive;
use backstay_engine::repository::Maker;
use backstay_engine::{EngineProgress, Interrupt};
use backstay_storage::{Presence, storage_kind};
use backstay_testkit::conformance::snapshot::{self, Planted, ReaderHarness};
use backstay_testkit::conformance::{clock, source};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::snapshot::FakeReader;
use backstay_testkit::fakes::source::FakeSource;
use backstay_testkit::peers::database::Engine;
use jiff::Timestamp;
use serde_json::json;

#[tokio::test]
async fn the_filesystem_source_and_the_fake_keep_the_promises_of_a_source_kind() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("item")).unwrap();
    let good = json!({ "path": home.path() });
    let absent = json!({ "path": home.path().join("absent") });
    source::exercise(&source::SourceHarness { kind: &Filesystem, good, absent }).await;
    let fake = FakeSource { root: home.path().to_owned() };
    let (good, absent) = (json!({ "items": ["item"] }), json!({ "items": ["absent"] }));
    source::exercise(&source::SourceHarness { kind: &fake, good, absent }).await;
}

#[tokio::test]
async fn sources_that_stream_keep_the_promises_of_a_source_kind() {
    let home = tempfile::tempdir().unwrap();
    let (good, absent) =
        (json!({ "argv": ["seq", "9"], "filename": "x" }), json!({ "argv": ["/none"], "filename": "x" }));
    source::exercise(&source::SourceHarness { kind: &Command, good, absent }).await;
    let database = home.path().join("a.sqlite");
    let made = std::process::Command::new("sqlite3").arg(&database).arg("CREATE TABLE t(x)").status().unwrap();
    assert!(made.success());
    let (good, absent) = (json!({ "path": database }), json!({ "path": home.path().join("none") }));
    source::exercise(&source::SourceHarness { kind: &Sqlite, good, absent }).await;
    for (engine, kind) in [(Engine::Postgresql, &Postgresql as &dyn SourceKind), (Engine::Mariadb, &Mariadb)] {
        let Some(server) = engine.up() else { continue };
        let database = server.create();
        let address = database.address();
        let (head, name) = address.rsplit_once('/').unwrap();
        let password = head.split_once("backstay:").unwrap().1.rsplit_once('@').unwrap().0;
        let file = home.path().join("password");
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let settings = |port: u16| json!({ "databases": [name], "host": "127.0.0.1", "port": port, "user": "backstay", "password_file": file });
        let (good, absent) = (settings(database.port()), settings(1));
        source::exercise(&source::SourceHarness { kind, good, absent }).await;
    }
}

#[test]
fn the_fake_clock_keeps_the_promises_of_a_clock() {
    clock::exercise(&ManualClock::default());
}

#[tokio::test]
async fn the_engine_s_reader_keeps_the_promises_of_a_snapshot_reader() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap().join("tree");
    std::fs::create_dir(&root).unwrap();
    for (below, planted) in snapshot::tree() {
        let path = root.join(below);
        match planted {
            Planted::Dir => std::fs::create_dir(path).unwrap(),
            Planted::File(body) => std::fs::write(path, body).unwrap(),
            Planted::Symlink(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        }
    }
    let repository = leased(&home.path().join("repository").display().to_string());
    let (leased, source) = (repository.clone(), root.clone());
    let foreign_id = tokio::task::spawn_blocking(move || saved(&leased, source)).await.unwrap();
    let reader = Arc::new(EngineReader::default());
    let root = root.to_str().unwrap().as_bytes().to_vec();
    snapshot::exercise(&ReaderHarness { reader, repository, foreign_id, root }).await;
}

#[tokio::test]
async fn the_fake_reader_keeps_the_promises_of_a_snapshot_reader() {
    let tree = snapshot::tree().into_iter().map(|(below, planted)| (format!("/root/{below}"), planted));
    let tree = tree.chain([("/root".to_owned(), Planted::Dir)]).collect();
    let foreign_id = "f".repeat(64);
    let reader = Arc::new(FakeReader { foreign_id: foreign_id.clone(), tree });
    snapshot::exercise(&ReaderHarness { reader, repository: leased("/none"), foreign_id, root: b"/root".to_vec() })
        .await;
}

fn leased(path: &str) -> LeasedRepository {
    let repository = Repository {
        id: RepositoryId::new(Timestamp::UNIX_EPOCH, [1; 10]),
        tenant_id: TenantId::new(Timestamp::UNIX_EPOCH, [2; 10]),
        name: "home".parse().unwrap(),
        kind: RepositoryKind::Restic,
        storage_id: None,
        storage: StorageSettings { kind: "local".to_owned(), settings: json!({ "path": path }) },
        password: "file:keys/home.key".parse().unwrap(),
        credentials: Default::default(),
        verify_within: Default::default(),
        epoch: RepositoryEpoch(0),
        retired_at: None,
    };
    LeasedRepository {
        repository,
        password: Secret::from("secret"),
        credentials: Default::default(),
        has_snapshots: true,
        over: Vec::new(),
    }
}

/// Makes a repository and a snapshot of a folder in it.
fn saved(leased: &LeasedRepository, root: std::path::PathBuf) -> String {
    let settings = &leased.repository.storage.settings;
    let storage = storage_kind("local")
        .unwrap()
        .open(settings, &backstay_storage::StorageCredentials::none(), Presence::Create)
        .unwrap();
    let at = Timestamp::UNIX_EPOCH;
    let maker = Maker { username: "ada".to_owned(), hostname: "host".to_owned(), at };
    let repository =
        backstay_engine::Repository::create(storage, &leased.password, maker, &Interrupt::default()).unwrap();
    let options = ArchiveOptions {
        hostname: "host".to_owned(),
        username: "ada".to_owned(),
        workers: 2,
        uploads: 2,
        ..ArchiveOptions::new(vec![root], "test", at)
    };
    let archived = archive(&repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    archived.publish(at).unwrap().id.to_hex()
}
