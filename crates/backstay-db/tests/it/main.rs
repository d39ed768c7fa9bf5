//! The SQL adapter against the suites of its ports, and what only a database has: a file, a schema, checks.
//!
//! `conformance` runs the suites on a file in a temporary folder, in memory, and on PostgreSQL and MariaDB (`server` gives
//! each test a database of its own there); `schema` and `migrate` walk the migrations up and down and offer bad rows;
//! `race`, `harm` (with `proxy`), `large` and `kept` are what databases do to each other, to us, and over the years; `asked`
//! counts statements; `file`
//! opens what is not ours to open. Absent on purpose: promises of the ports; they stand in `backstay-testkit`.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error where none is expected is a red test")]

mod asked;
mod conformance;
mod chain;
mod file;
mod harm;
mod hint;
mod kept;
mod large;
mod migrate;
mod proxy;
mod race;
mod said;
mod schema;
mod server;

use std::sync::Arc;

use backstay_core::domain::id::JobId;
use backstay_db::{Database, Now};
use backstay_testkit::conformance::world::Stores;
use backstay_testkit::fakes::clock::ManualClock;
use futures::FutureExt as _;
use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection};
use tempfile::TempDir;

/// A database in a file, and a second connection that a test may do anything with.
struct OnFile {
    database: Database,
    clock: ManualClock,
    raw: DatabaseConnection,
    folder: TempDir,
}

impl OnFile {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::default();
        let path = folder.path().join("backstay.db");
        let database = Database::open_with(&path, Now::Clock(Arc::new(clock.clone()))).await.unwrap();
        let raw = raw(&path).await;
        Self { database, clock, raw, folder }
    }

    /// Returns the file as the stores of a suite.
    fn stores(self) -> Stores {
        let raw = self.raw.clone();
        Stores {
            declarations: Arc::new(self.database.clone()),
            history: Arc::new(self.database.clone()),
            schedules: Arc::new(self.database.clone()),
            retention: Arc::new(self.database.clone()),
            notices: Arc::new(self.database.clone()),
            jobs: Arc::new(self.database.clone()),
            clock: self.clock.clone(),
            hold_alone: Arc::new(move |id| {
                let raw = raw.clone();
                async move { hold_alone(&raw, id).await }.boxed()
            }),
            kept: Arc::new(self.folder),
        }
    }
}

/// Opens a file beside the adapter, as `sqlite3` on a shell does.
async fn raw(path: &std::path::Path) -> DatabaseConnection {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rw", path.display()));
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

/// Makes a queued job one that holds its repository alone: no instruction of the core does yet.
async fn hold_alone(raw: &DatabaseConnection, id: JobId) {
    let sql = format!("UPDATE job SET repository_access = 'alone' WHERE id = '{id}' AND state = 'queued'");
    assert_eq!(raw.execute_unprepared(&sql).await.unwrap().rows_affected(), 1);
    let sql = format!("UPDATE job_due SET repository_access = 'alone' WHERE job_id = '{id}'");
    assert_eq!(raw.execute_unprepared(&sql).await.unwrap().rows_affected(), 1);
}
