//! Connections: who writes, who reads, and the clock that decides expiry.
//!
//! Read `sqlite` (one connection writes, four read), then `server` (PostgreSQL and MariaDB: one pool for both), then
//! `migrate` (the schema is brought up to date before anybody gets a connection, by one process at a time), then
//! `retry` (what is done again when a server chose a transaction as the victim of a deadlock).
//!
//! Absent on purpose: queries. Who comes in: a role opens a [`Database`]; the rest of this crate begins transactions.

pub(crate) mod migrate;
pub(crate) mod retry;
pub(crate) mod server;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use backstay_core::ports::clock::Clock;
use backstay_core::ports::store::StoreError;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

use crate::error::{OpenError, store_error};
use crate::job::Hints;
use crate::job::hint::Low;
use crate::now::Now;

pub use server::ServerOptions;

/// How often a file is opened again that another process was just opening.
const OPEN_TRIES: u32 = 5;

/// How long after such a try the next one comes.
const OPEN_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(100);

/// The database, as the three stores of the core. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) writer: DatabaseConnection,
    pub(crate) reader: DatabaseConnection,
    pub(crate) now: Now,
    pub(crate) hints: Hints,
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
        let mut tries_left = OPEN_TRIES;
        loop {
            match sqlite::open(path).await {
                Ok((writer, reader)) => return Ok(Self { writer, reader, now, hints: Hints::default() }),
                // SQLite does not wait while another process turns the log on.
                Err(OpenError::Busy { .. }) if tries_left > 0 => tries_left -= 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(OPEN_AGAIN_AFTER).await;
        }
    }

    /// Opens a database that lives in memory and ends with its last clone; `clock` decides expiry.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_in_memory(clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let writer = sqlite::open_in_memory().await?;
        Ok(Self { reader: writer.clone(), writer, now: Now::Clock(clock), hints: Hints::default() })
    }

    /// Connects to a database of a server, which must exist and may be empty, and brings its schema up to date.
    /// `address` is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or the same with `mysql` or `mariadb`.
    ///
    /// # Errors
    /// [`OpenError`]: no such address, no answer, made by a newer program.
    pub async fn connect(address: &str, options: ServerOptions) -> Result<Self, OpenError> {
        let pool = server::connect(address, &options).await?;
        Ok(Self { reader: pool.clone(), writer: pool, now: options.now, hints: Hints::default() })
    }

    /// Returns the connection that writes. For tests, which must be able to damage a database; the product has ports.
    #[doc(hidden)]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Has each statement of these connections told as it ends. For tests that count what is asked.
    #[doc(hidden)]
    pub fn on_statement(&mut self, told: impl Fn(&str) + Send + Sync + 'static) {
        let told = Arc::new(told);
        for connection in [&mut self.writer, &mut self.reader] {
            let told = told.clone();
            connection.set_metric_callback(move |info| told(&info.statement.sql));
        }
    }

    /// Makes the next claims believe that the queue begins with these jobs, and then at a time to breach, and that no lease
    /// is older than a moment (microseconds). For tests: what is believed must not decide.
    #[doc(hidden)]
    pub fn queue_begins(&self, ids: Vec<String>, from: i64, leased_from: i64) {
        self.hints.low_put(Low { ids, from, leased_from });
    }

    /// Waits for statements that run, then closes all connections.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the last page could not be written.
    pub async fn close(self) -> Result<(), StoreError> {
        self.reader.close().await.map_err(store_error)?;
        self.writer.close().await.map_err(store_error)
    }

    /// Begins a transaction that writes. Dropped without a commit, it leaves nothing behind. Every connection to a
    /// server was told `READ COMMITTED` when it was made: rows are locked by name, and claims do not wait for gaps.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        begin(&self.writer).await.map_err(store_error)
    }

    /// Hears how long a look at the queue's beginning took. A file has no rows that are gone.
    pub(crate) fn looked(&self, took: std::time::Duration) {
        if self.is_server() {
            self.hints.looked(took, &self.reader, &self.now);
        }
    }

    /// Says whether statements wait for another process's, on a server.
    pub(crate) fn is_server(&self) -> bool {
        self.writer.get_database_backend() != DbBackend::Sqlite
    }
}

/// Begins a transaction; on SQLite with its write lock, before it reads what it decides by.
pub(crate) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, sea_orm::DbErr> {
    let immediate = TransactionOptions {
        isolation_level: None,
        access_mode: None,
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
    };
    db.begin_with_options(immediate).await
}

/// Ends a transaction with its writes on disk.
pub(crate) async fn commit(transaction: DatabaseTransaction) -> Result<(), StoreError> {
    transaction.commit().await.map_err(store_error)
}
