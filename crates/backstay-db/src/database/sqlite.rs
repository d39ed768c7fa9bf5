//! SQLite: one connection writes, a few read.
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
use std::time::Duration;

use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::pool::PoolConnectionMetadata;
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::{DatabaseConnection, SqlxSqliteConnector, sqlx};

use super::migrate::migrate;
use crate::error::{OpenError, open_error, sqlx_error};

/// Connections that read. A page of rows takes well under a millisecond: four serve thousands of requests a second.
const READERS_MAX: u32 = 4;

/// How long a statement waits for another process's write: longer than any transaction of ours by far.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for a free connection before it is told that the database is unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens a file, made if it is missing, and returns who writes and who reads.
pub(super) async fn open(path: &Path) -> Result<(DatabaseConnection, DatabaseConnection), OpenError> {
    make_file(path)?;
    let options = options().filename(path).journal_mode(SqliteJournalMode::Wal);
    let writer = connect(options.clone(), pool(1).before_acquire(idle_only)).await?;
    migrate(&writer).await?;
    let reader = connect(options.read_only(true), pool(READERS_MAX).before_acquire(idle_only)).await?;
    Ok((writer, reader))
}

/// Opens a database in memory. A second connection would be a second database, so one both writes and reads, and is
/// never replaced.
pub(super) async fn open_in_memory() -> Result<DatabaseConnection, OpenError> {
    let writer = connect(options().in_memory(true), pool(1)).await?;
    migrate(&writer).await?;
    Ok(writer)
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
