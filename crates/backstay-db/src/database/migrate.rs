//! The schema is brought up to date by one process at a time, wholly or not at all.
//!
//! SQLite and PostgreSQL change schemas in transactions: all missing steps run in one, which holds the write lock (an
//! advisory lock on PostgreSQL), so that half an upgrade does not exist and two processes do it one after the other.
//! MariaDB commits each `CREATE` by itself: there a named lock keeps the second process waiting, and a step that was
//! interrupted runs again from its beginning; each of its statements does nothing when its work is done
//! (`migration::step`).

use sea_orm::sqlx::{self, Executor as _};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, SqlxMySqlConnector};
use sea_orm_migration::{IntoSchemaManagerConnection, MigratorTrait};

use super::begin;
use crate::error::{OpenError, open_error, sqlx_error};
use crate::migration::Migrator;

/// The advisory lock of PostgreSQL: "backstay" as a number. Locks are apart for each database.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(7089052985113436537)";

/// The named lock of MariaDB, which holds for the whole server, so the database is in its name. Seconds: longer than a
/// migration of ours takes.
const NAMED_LOCK: &str = "SELECT GET_LOCK(CONCAT('backstay migrates ', DATABASE()), 600) AS got";

/// Refuses a schema that a newer program made, then brings an older one up to date.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), OpenError> {
    match db.get_database_backend() {
        DbBackend::MySql => migrate_under_named_lock(db).await,
        _ => migrate_at_once(db).await,
    }
}

async fn migrate_at_once(db: &DatabaseConnection) -> Result<(), OpenError> {
    let tx = begin(db).await.map_err(open_error)?;
    if tx.get_database_backend() == DbBackend::Postgres {
        // Building an index of a large history takes its time, and so does waiting for the process that does it.
        tx.execute_unprepared("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            .await
            .map_err(open_error)?;
        tx.execute_unprepared(ADVISORY_LOCK).await.map_err(open_error)?;
    }
    steps(&tx).await?;
    backstay_failpoint::pass("migration", "done");
    tx.commit().await.map_err(open_error)?;
    backstay_failpoint::pass("migration", "after");
    Ok(())
}

/// A lock of MariaDB belongs to a connection, so one connection does it all, and its end gives the lock back.
async fn migrate_under_named_lock(db: &DatabaseConnection) -> Result<(), OpenError> {
    let target = (*db.get_mysql_connection_pool().connect_options()).clone();
    let alone = sqlx::mysql::MySqlPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let alone = alone.connect_with(target).await.map_err(|error| open_error(sqlx_error(error)))?;
    let got: Result<Option<i64>, _> = sqlx::query_scalar(NAMED_LOCK).fetch_one(&alone).await;
    if got.map_err(|error| open_error(sqlx_error(error)))? != Some(1) {
        return Err(OpenError::Busy { source: sea_orm::DbErr::Custom("another process migrates it".to_owned()) });
    }
    alone
        .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await
        .map_err(|e| open_error(sqlx_error(e)))?;
    let done = steps(&SqlxMySqlConnector::from_sqlx_mysql_pool(alone.clone())).await;
    alone.close().await;
    done
}

async fn steps<'c, C>(db: &'c C) -> Result<(), OpenError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    Migrator::install(db).await.map_err(open_error)?;
    let applied = Migrator::get_migration_models(db).await.map_err(open_error)?;
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    if let Some(unknown) = applied.into_iter().find(|step| !known.contains(&step.version)) {
        let known = known.last().cloned().unwrap_or_default();
        return Err(OpenError::Newer { found: unknown.version, known });
    }
    backstay_failpoint::pass("migration", "before");
    Migrator::up(db, None).await.map_err(open_error)
}
