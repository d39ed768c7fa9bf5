//! Connections: one that writes, a few that read, and the clock that decides expiry.
//!
//! SQLite lets one connection write at a time, so there is one, and each write transaction begins with
//! `BEGIN IMMEDIATE`: it has the write lock before it reads what it decides by. Readers see the last commit and never
//! wait (write-ahead log). `synchronous=FULL`: an accepted finish is on the disk before the agent hears of it. With
//! NORMAL a power cut could take back the newest commits, and a published snapshot would lose its row.
//!
//! SQLite may end a transaction by itself (disk full, no memory, input or output error). The driver, which counts
//! begins and ends, hears only that its `ROLLBACK` failed and takes the transaction for open: the next one would be a
//! savepoint in it, and its commit would be answered with success and never reach the disk. So a connection to a file
//! that comes back with a transaction is closed, and a fresh one takes its place ([`idle_only`]).

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::ports::clock::Clock;
use backstay_core::ports::store::StoreError;
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::pool::PoolConnectionMetadata;
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode,
    SqlxSqliteConnector, TransactionOptions, TransactionTrait, sqlx,
};
use sea_orm_migration::MigratorTrait;

use crate::error::{OpenError, open_error, store_error};
use crate::migration::Migrator;
use crate::now::Now;

/// Connections that read. A page of rows takes well under a millisecond: four serve thousands of requests a second.
const READERS_MAX: u32 = 4;

/// How long a statement waits for another process's write: longer than any transaction of ours by far.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for a free connection before it is told that the database is unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// The database, as the three stores of the core. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) writer: DatabaseConnection,
    pub(crate) reader: DatabaseConnection,
    pub(crate) now: Now,
}

impl Database {
    /// Opens the SQLite file at `path`, made if it is missing (readable by its owner only), with the newest schema.
    /// Expiry is decided by the database's clock.
    ///
    /// # Errors
    /// [`OpenError`]: made by a newer program, in use, damaged, or not to be opened at all.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Now::Database).await
    }

    /// As [`Database::open`], with the clock of a simulation if so wished.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_with(path: &Path, now: Now) -> Result<Self, OpenError> {
        make_file(path)?;
        let options = options().filename(path).journal_mode(SqliteJournalMode::Wal);
        let writer = connect(options.clone(), pool(1).before_acquire(idle_only)).await?;
        migrate(&writer).await?;
        let reader = connect(options.read_only(true), pool(READERS_MAX).before_acquire(idle_only)).await?;
        Ok(Self { writer, reader, now })
    }

    /// Opens a database that lives in memory and ends with its last clone; `clock` decides expiry.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_in_memory(clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        // A second connection would be a second database, so one both writes and reads, and is never replaced.
        let writer = connect(options().in_memory(true), pool(1)).await?;
        migrate(&writer).await?;
        Ok(Self { reader: writer.clone(), writer, now: Now::Clock(clock) })
    }

    /// Returns the connection that writes. For tests, which must be able to damage a database; the product has ports.
    #[doc(hidden)]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Waits for statements that run, then closes all connections.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the last page could not be written.
    pub async fn close(self) -> Result<(), StoreError> {
        self.reader.close().await.map_err(store_error)?;
        self.writer.close().await.map_err(store_error)
    }

    /// Begins a transaction that writes. Dropped without a commit, it leaves nothing behind.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let sqlite = self.writer.get_database_backend() == DbBackend::Sqlite;
        let options = TransactionOptions {
            // Elsewhere the default (repeatable read on MariaDB) makes claims wait for each other; rows are locked by name.
            isolation_level: (!sqlite).then_some(IsolationLevel::ReadCommitted),
            access_mode: None,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        };
        self.writer.begin_with_options(options).await.map_err(store_error)
    }
}

/// Ends a transaction with its writes on disk.
pub(crate) async fn commit(transaction: DatabaseTransaction) -> Result<(), StoreError> {
    transaction.commit().await.map_err(store_error)
}

/// Makes the file, so that it never is readable by others, not even for a moment. Its log inherits the mode.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map(drop).map_err(|source| OpenError::Io { path: path.to_owned(), source })
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new().synchronous(SqliteSynchronous::Full).foreign_keys(true).busy_timeout(BUSY_TIMEOUT)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    // Connections are kept for ever: a closed one would take a database in memory with it.
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Says whether a pool may hand this connection out: not while the driver takes it for one in a transaction. A
/// dropped transaction's rollback has run by then; the pool waits for it before it takes a connection back.
fn idle_only(
    connection: &mut SqliteConnection,
    _: PoolConnectionMetadata,
) -> Pin<Box<dyn Future<Output = Result<bool, sqlx::Error>> + Send + '_>> {
    let idle = !connection.is_in_transaction();
    if !idle {
        tracing::warn!("a connection is replaced: SQLite ended its transaction by itself, or could not roll it back");
    }
    Box::pin(async move { Ok(idle) })
}

async fn connect(options: SqliteConnectOptions, pool: SqlitePoolOptions) -> Result<DatabaseConnection, OpenError> {
    let pool = pool.connect_with(options).await.map_err(|error| open_error(sqlx_error(error)))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

fn sqlx_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()))
}

/// Refuses a schema that a newer program made, then brings an older one up to date.
async fn migrate(db: &DatabaseConnection) -> Result<(), OpenError> {
    Migrator::install(db).await.map_err(open_error)?;
    let applied = Migrator::get_migration_models(db).await.map_err(open_error)?;
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    if let Some(unknown) = applied.into_iter().find(|step| !known.contains(&step.version)) {
        let known = known.last().cloned().unwrap_or_default();
        return Err(OpenError::Newer { found: unknown.version, known });
    }
    Migrator::up(db, None).await.map_err(open_error)
}
