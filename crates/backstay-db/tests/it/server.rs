//! A database on a server for each test, as the stores of a suite.

use std::sync::Arc;
use std::time::Duration;

use backstay_db::{Database, Now, ServerOptions};
use backstay_testkit::conformance::world::Stores;
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::peers::database::{Engine, TestDatabase};
use futures::FutureExt as _;
use sea_orm::DatabaseConnection;
use tokio::sync::OnceCell;

use crate::hold_alone;

/// A database on a server, and a connection beside the adapter that a test may do anything with.
pub(crate) struct OnServer {
    pub(crate) database: Database,
    pub(crate) clock: ManualClock,
    pub(crate) raw: DatabaseConnection,
    pub(crate) place: TestDatabase,
}

/// Returns an empty database with the newest schema. PostgreSQL copies one that was migrated once.
pub(crate) async fn fresh(engine: Engine) -> Option<TestDatabase> {
    static TEMPLATE: OnceCell<TestDatabase> = OnceCell::const_new();
    let server = engine.up()?;
    if engine == Engine::Mariadb {
        return Some(server.create());
    }
    let made = async || {
        let place = server.create();
        Database::connect(&place.address(), options(Now::Database)).await.unwrap().close().await.unwrap();
        place
    };
    Some(server.copy(TEMPLATE.get_or_init(made).await))
}

/// Returns options for a test: not more connections than it has tasks.
pub(crate) fn options(now: Now) -> ServerOptions {
    ServerOptions { now, connections_max: 8, acquire_timeout: Duration::from_secs(20) }
}

/// Connects beside the adapter.
pub(crate) async fn raw(place: &TestDatabase) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(place.address());
    options.max_connections(2).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

impl OnServer {
    pub(crate) async fn new(engine: Engine) -> Option<Self> {
        let place = fresh(engine).await?;
        let clock = ManualClock::default();
        let now = Now::Clock(Arc::new(clock.clone()));
        let database = Database::connect(&place.address(), options(now)).await.unwrap();
        let raw = raw(&place).await;
        Some(Self { database, clock, raw, place })
    }

    /// Returns the database as the stores of a suite.
    pub(crate) fn stores(self) -> Stores {
        let raw = self.raw.clone();
        Stores {
            declarations: Arc::new(self.database.clone()),
            history: Arc::new(self.database.clone()),
            schedules: Arc::new(self.database.clone()),
            retention: Arc::new(self.database.clone()),
            notices: Arc::new(self.database.clone()),
            jobs: Arc::new(self.database),
            clock: self.clock,
            hold_alone: Arc::new(move |id| {
                let raw = raw.clone();
                async move { hold_alone(&raw, id).await }.boxed()
            }),
            kept: Arc::new(self.place),
        }
    }
}
