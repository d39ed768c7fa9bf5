//! The file: who may read it, what is refused when it is opened, whose clock decides.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::JobId;
use backstay_core::domain::job::JobKind;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{DeclarationStore as _, JobStore, StoreError};
use backstay_db::{Database, Now, OpenError};
use backstay_testkit::conformance::world::{Stores, World, key_of};
use backstay_testkit::fakes::clock::ManualClock;
use futures::FutureExt as _;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use tempfile::tempdir;

use crate::{OnFile, raw};

async fn pragma(database: &Database, name: &str) -> String {
    let rows = database.connection().query_all_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::Sqlite,
        format!("SELECT CAST({name} AS TEXT) AS answer FROM pragma_{name}"),
    ));
    rows.await.unwrap()[0].try_get("", "answer").unwrap()
}

#[tokio::test]
async fn the_file_is_its_owners_and_keeps_what_was_committed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("backstay.db");
    let database = Database::open(&path).await.unwrap();
    for (name, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        assert_eq!(pragma(&database, name).await, expected, "{name}");
    }
    let tenant = backstay_core::domain::tenant::Tenant {
        id: "0197f0c2-0000-7000-8000-000000000000".parse().unwrap(),
        name: "ada".parse().unwrap(),
    };
    database.tenant_add(&tenant).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    database.close().await.unwrap();
    assert_eq!(Database::open(&path).await.unwrap().tenant_list().await.unwrap(), [tenant]);
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_and_left_alone() {
    let world = OnFile::new().await;
    let path = world.folder.path().join("backstay.db");
    let sql = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_future', 1)";
    world.raw.execute_unprepared(sql).await.unwrap();
    let refused = Database::open(&path).await.unwrap_err();
    let OpenError::Newer { found, known } = &refused else { panic!("{refused:?}") };
    assert_eq!((found.as_str(), known.as_str()), ("m29990101_000001_future", "m20261124_000038_moved"));
    assert!(refused.to_string().contains("newer version of the program"), "{refused}");
    assert_eq!(refused.disposition(), Disposition::Operator);
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let folder = tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "not a database at all, but long enough to have a header ".repeat(40)).unwrap();
    let refused = Database::open(&garbage).await.unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused:?}");
    let refused = Database::open(&folder.path().join("no/such/folder.db")).await.unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
}

#[tokio::test]
async fn half_a_migration_does_not_exist() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("backstay.db");
    std::fs::write(&path, "").unwrap();
    let raw = raw(&path).await;
    // The queue's step makes `job`, then stumbles over this.
    raw.execute_unprepared("CREATE TABLE agent (id text)").await.unwrap();
    let refused = Database::open(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
    for table in ["plan", "job"] {
        let left = raw.execute_unprepared(&format!("SELECT * FROM {table}")).await;
        assert!(left.is_err(), "an upgrade that failed left nothing: {table}");
    }
    raw.execute_unprepared("DROP TABLE agent").await.unwrap();
    Database::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_as_something_that_may_pass() {
    let world = OnFile::new().await;
    let database = world.database.clone();
    let world = World::new(world.stores(), 1).await;
    database.connection().execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let refused = loop {
        let job = world.backup(0);
        let told = world.event(EventKind::Enqueued, &job);
        if let Err(error) = world.jobs.job_enqueue(&job, &told, Some(&told)).await {
            break error;
        }
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(matches!(refused.disposition(), Disposition::Retry { .. }));
    database.connection().execute_unprepared("PRAGMA max_page_count = 100000").await.unwrap();
    world.enqueue(&world.backup(0)).await;
}

/// A small file system in memory, taken down at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: PathBuf) -> Option<Self> {
        std::fs::create_dir(&place).unwrap();
        let size = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let mounted = Command::new("mount").args(size).arg(&place).status().is_ok_and(|status| status.success());
        mounted.then_some(Self(place))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        while ballast.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

/// Puts a job in the queue and tells whether it was accepted; the answer must be what `there` sees.
async fn accepted(world: &World, there: &Database, item: usize) -> (JobId, bool) {
    let job = world.backup(item);
    let (told, skipped) = (world.event(EventKind::Enqueued, &job), world.event(EventKind::Skipped, &job));
    let answer = world.jobs.job_enqueue(&job, &told, Some(&skipped)).await;
    if let Err(refused) = &answer {
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    }
    assert_eq!(there.job_get(job.id).await.is_ok(), answer.is_ok(), "job {item}: what is accepted is on the disk");
    (job.id, answer.is_ok())
}

#[tokio::test]
async fn after_a_full_disk_what_is_accepted_is_on_the_disk() {
    let folder = tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().join("disk")) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs the right to mount a tmpfs");
        eprintln!("\n########## SKIPPED: needs the right to mount a tmpfs ##########\n");
        return;
    };
    let path = disk.0.join("backstay.db");
    let clock = ManualClock::default();
    let here = Database::open_with(&path, Now::Clock(Arc::new(clock.clone()))).await.unwrap();
    let there = Database::open(&path).await.unwrap();
    let stores = Stores {
        declarations: Arc::new(here.clone()),
        history: Arc::new(here.clone()),
        schedules: Arc::new(here.clone()),
        retention: Arc::new(here.clone()),
        notices: Arc::new(here.clone()),
        jobs: Arc::new(here.clone()),
        clock,
        hold_alone: Arc::new(|_| async {}.boxed()),
        kept: Arc::new(()),
    };
    let world = World::new(stores, 400).await;
    let (mut item, mut told) = (0..400, Vec::new());
    // Twice: the connection that follows a broken one may break as well.
    for _ in 0..2 {
        disk.fill();
        let mut refused = 0;
        // The log may have room left for a few.
        while refused < 3 {
            let answer = accepted(&world, &there, item.next().unwrap()).await;
            refused += usize::from(!answer.1);
            told.push(answer);
        }
        std::fs::remove_file(disk.ballast()).unwrap();
        for _ in 0..3 {
            let answer = accepted(&world, &there, item.next().unwrap()).await;
            assert!(answer.1, "there is room again");
            told.push(answer);
        }
    }
    let count = told.iter().filter(|answer| answer.1).count();
    assert_eq!(world.told().await.len(), count, "a refused write leaves no event");
    drop(world);
    here.close().await.unwrap();
    there.close().await.unwrap();
    let again = Database::open(&path).await.unwrap();
    for (id, accepted) in told {
        assert_eq!(again.job_get(id).await.is_ok(), accepted, "job {id} after a restart");
    }
    again.close().await.unwrap();
}

/// The driver counts transactions; SQLite may end one by itself (disk full, no memory, input or output error).
#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_swallows_no_later_write() {
    let here = OnFile::new().await;
    let there = Database::open(&here.folder.path().join("backstay.db")).await.unwrap();
    let database = here.database.clone();
    let world = World::new(here.stores(), 2).await;
    for item in 0..2 {
        let tx = database.connection().begin().await.unwrap();
        tx.execute_unprepared("ROLLBACK").await.unwrap();
        drop(tx);
        // One that is refused for a reason of ours, say.
        drop(database.connection().begin().await.unwrap());
        assert!(accepted(&world, &there, item).await.1);
    }
}

/// With [`Now::Database`] no clock of ours is asked: real milliseconds end the lease.
#[tokio::test]
async fn the_databases_clock_decides() {
    let folder = tempdir().unwrap();
    let database = Database::open(&folder.path().join("backstay.db")).await.unwrap();
    let store: Arc<dyn JobStore> = Arc::new(database.clone());
    let stores = Stores {
        declarations: Arc::new(database.clone()),
        history: Arc::new(database.clone()),
        schedules: Arc::new(database.clone()),
        retention: Arc::new(database.clone()),
        notices: Arc::new(database),
        jobs: store.clone(),
        // Stands at the beginning of 2026, long before the database's.
        clock: ManualClock::default(),
        hold_alone: Arc::new(|_| async {}.boxed()),
        kept: Arc::new(()),
    };
    let world = World::new(stores, 1).await;
    let before = jiff::Timestamp::now();
    world.queued(0).await;
    let (agent, ttl) = (world.agent(), Duration::from_secs(4));
    let claimed = store.job_lease(agent, JobKind::ALL, &[], 1, ttl).await.unwrap();
    let key = key_of(&claimed[0]);
    let leased_at = world.history.attempt_list(key.job_id).await.unwrap()[0].leased_at;
    // SQLite's clock has milliseconds.
    let near = Duration::from_secs(5);
    assert!(leased_at > before - near && leased_at < before + near, "{leased_at} is not near {before}");
    assert_eq!(store.job_renew(agent, &[key], ttl).await.unwrap(), [Standing::Held]);
    world.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(store.job_renew(agent, &[key], ttl).await.unwrap(), [Standing::Held]);
    tokio::time::sleep(ttl + Duration::from_millis(100)).await;
    assert_eq!(store.job_renew(agent, &[key], ttl).await.unwrap(), [Standing::Lost]);
    assert!(matches!(store.job_settle(key, &world.success()).await, Err(LeaseError::Lost { .. })));
    assert_eq!(store.job_list_lost(Duration::from_secs(600), 9).await.unwrap().len(), 1);
}
