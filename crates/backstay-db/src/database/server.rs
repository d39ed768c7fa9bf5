//! PostgreSQL and MariaDB: one pool that writes and reads, and what each of its connections is told first.
//!
//! A connection that was idle is tested before it is handed out, so one that the server or the network ended is replaced by
//! a fresh one; while the server is away a caller waits for the connection that it wants, at most `acquire_timeout`. What a
//! connection is told is what the schema and the queue count on, whatever the server's own defaults are: read committed
//! (MariaDB's default makes claims wait for each other), commits that are on the disk when they are answered, texts
//! that do not fit are refused (MariaDB can be set to cut them), and no statement or lock that is waited for without end.

use std::str::FromStr as _;
use std::time::Duration;

use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{self, Connection, Executor as _};
use sea_orm::{DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector};

use super::migrate::migrate;
use crate::error::{OpenError, open_error, sqlx_error};
use crate::now::Now;

/// What PostgreSQL is told. An open transaction without a statement is ours no more after a minute; none of ours lasts
/// a second. No table is read as a whole because it was small when a plan was made: beside a transaction that stays open it
/// is full of rows that are gone; none is made to read what an index leads to and sort it, which is cheapest while the
/// queue is short (decision 0056); no plan is compiled or shared with other processes, since each of ours is over before that is
/// done (decision 0053); and each is made once, without the values of a call, since making one takes longer than following
/// it. `question` lists those that a test holds to that.
pub(crate) const POSTGRES_SESSION: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET synchronous_commit = on; SET lock_timeout = '20s'; SET statement_timeout = '60s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET timezone = 'UTC'; SET client_min_messages = warning; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
     SET max_parallel_workers_per_gather = 0; SET plan_cache_mode = force_generic_plan";

/// What MariaDB is told. Where several indexes lead to parts of what is asked, one of them is gone through in its order: what
/// is in all of them, read and sorted, is the whole history of an item.
pub(crate) const MARIADB_SESSION: &str = "SET tx_isolation = 'READ-COMMITTED', \
     innodb_lock_wait_timeout = 20, max_statement_time = 60, idle_transaction_timeout = 60, \
     sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), foreign_key_checks = 1, check_constraint_checks = 1, \
     optimizer_switch = 'index_merge_intersection=off'";

/// How long a connection may be idle and be taken for alive: asking it costs as much as what it is wanted for.
const IDLE_UNTESTED: Duration = Duration::from_millis(500);

/// Asks a connection that was idle whether it is alive; an error has the pool take another one.
async fn tested(connection: &mut impl Connection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for > IDLE_UNTESTED {
        connection.ping().await?;
    }
    Ok(true)
}

/// How a server is used.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Whose clock decides expiry.
    pub now: Now,
    /// Most connections of this process.
    pub connections_max: u32,
    /// How long a caller waits for a connection before it is told that the database is unavailable. Also how long a
    /// server that is being restarted is waited for.
    pub acquire_timeout: Duration,
}

impl Default for ServerOptions {
    /// The database's clock; ten connections, which is more than the disk of a database serves at once; 30 seconds.
    fn default() -> Self {
        Self { now: Now::Database, connections_max: 10, acquire_timeout: Duration::from_secs(30) }
    }
}

/// Connects, and brings the schema up to date.
pub(super) async fn connect(address: &str, options: &ServerOptions) -> Result<DatabaseConnection, OpenError> {
    let pool = match address.split_once("://") {
        Some(("postgres" | "postgresql", _)) => postgres(address, options).await?,
        Some(("mysql" | "mariadb", rest)) => mariadb(&format!("mysql://{rest}"), options).await?,
        // The address may hold a password, so it is not repeated.
        _ => return Err(OpenError::Address { problem: "it begins with neither postgres:// nor mysql://".to_owned() }),
    };
    migrate(&pool).await?;
    Ok(pool)
}

async fn postgres(address: &str, options: &ServerOptions) -> Result<DatabaseConnection, OpenError> {
    let target = PgConnectOptions::from_str(address)
        .map_err(|error| OpenError::Address { problem: error.to_string() })?
        .application_name("backstay");
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, known| Box::pin(tested(connection, known.idle_for)))
        .after_connect(|connection, _| Box::pin(async move { connection.execute(POSTGRES_SESSION).await.map(drop) }));
    let pool = pool.connect_with(target).await.map_err(|error| open_error(sqlx_error(error)))?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

async fn mariadb(address: &str, options: &ServerOptions) -> Result<DatabaseConnection, OpenError> {
    let target =
        MySqlConnectOptions::from_str(address).map_err(|error| OpenError::Address { problem: error.to_string() })?;
    let pool = MySqlPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, known| Box::pin(tested(connection, known.idle_for)))
        .after_connect(|connection, _| Box::pin(async move { connection.execute(MARIADB_SESSION).await.map(drop) }));
    let pool = pool.connect_with(target).await.map_err(|error| open_error(sqlx_error(error)))?;
    Ok(SqlxMySqlConnector::from_sqlx_mysql_pool(pool))
}
