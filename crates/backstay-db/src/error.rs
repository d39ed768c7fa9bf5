//! From the driver's errors to ours: what a store says, and what opening a database says.

use std::path::PathBuf;
use std::time::Duration;

use backstay_core::domain::disposition::Disposition;
use backstay_core::ports::store::StoreError;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer program made or migrated it.
    #[error(
        "the database has the migration `{found}`, which this program does not know (its newest is `{known}`); \
         run the newer version of the program, or restore the copy of the database from before the upgrade"
    )]
    Newer {
        /// The first migration that is not known.
        found: String,
        /// The newest one that is.
        known: String,
    },
    /// Another process holds it and did not let go in time.
    #[error("the database is in use by another process")]
    Busy {
        /// What the driver said.
        source: DbErr,
    },
    /// The file is not a database, or a damaged one.
    #[error("the database is damaged or not a database")]
    Corrupt {
        /// What the driver said.
        source: DbErr,
    },
    /// The file could not be made or opened.
    #[error("the database file {} cannot be opened", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server did not answer, or refused us.
    #[error("the database cannot be reached")]
    Unreachable {
        /// What the driver said.
        source: DbErr,
    },
    /// The address of a server makes no sense. It may hold a password, so it is not repeated.
    #[error("the address of the database cannot be read: {problem}")]
    Address {
        /// What is wrong with it.
        problem: String,
    },
    /// A migration failed. SQLite and PostgreSQL took back what it did; MariaDB goes on from there at the next start.
    #[error("the database's schema could not be brought up to date")]
    Migration {
        /// What the driver said.
        source: DbErr,
    },
}

impl OpenError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Busy { .. } | Self::Unreachable { .. } => Disposition::Retry { after: Duration::from_secs(1) },
            _ => Disposition::Operator,
        }
    }
}

/// What kept us from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreached {
    /// It refused user or password.
    Login,
    /// It has no database of this name, or not for this user.
    NoDatabase,
    /// It did not answer, or not as a server that is up does.
    NoAnswer,
}

impl OpenError {
    /// Returns what kept us from the server; none for other errors.
    pub fn unreached(&self) -> Option<Unreached> {
        let Self::Unreachable { source } = self else { return None };
        let Some(sqlx::Error::Database(said)) = spoken(source) else { return Some(Unreached::NoAnswer) };
        Some(match said.code().as_deref() {
            Some(code) if code.starts_with("28") => Unreached::Login,
            Some(code) if code.starts_with("3D") || code == "42000" => Unreached::NoDatabase,
            _ => Unreached::NoAnswer,
        })
    }
}

/// What a driver's error comes down to.
enum Cause {
    /// A unique key is taken.
    Unique,
    /// A row that was referred to does not exist.
    Parent,
    /// A check of the schema refused a row: a mistake of ours, which trying again would only repeat.
    Check(String),
    /// A value in a row is not of the type that we write.
    Value(String),
    /// Another process holds the database.
    Busy,
    /// The file is damaged.
    Corrupt,
    /// No answer, full, gone: it may pass.
    Unavailable,
}

/// SQLite's primary result codes (sqlite.org/rescode.html), the low byte of the extended ones.
mod sqlite {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// PostgreSQL's codes (its manual, appendix A): serialisation failure, deadlock.
const POSTGRES_CONFLICTS: [&str; 2] = ["40001", "40P01"];

/// MariaDB's codes (its manual, error codes): deadlock, record changed since last read. A lock that was waited for too
/// long is none: the caller has waited enough.
const MARIADB_CONFLICTS: [u16; 2] = [1213, 1020];

/// Returns what a driver said, if it was the database that spoke.
fn spoken(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// Says whether a transaction was ended for another one's sake: nothing of it was written.
pub(crate) fn is_conflict(error: &DbErr) -> bool {
    let Some(sqlx::Error::Database(said)) = spoken(error) else { return false };
    if let Some(said) = said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return POSTGRES_CONFLICTS.contains(&said.code());
    }
    said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .is_some_and(|said| MARIADB_CONFLICTS.contains(&said.number()))
}

fn cause(error: &DbErr) -> Cause {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => return Cause::Unique,
        Some(SqlErr::ForeignKeyConstraintViolation(_)) => return Cause::Parent,
        _ => {}
    }
    match (spoken(error), error) {
        (Some(error), _) => driver_cause(error),
        (None, DbErr::TryIntoErr { .. } | DbErr::Type(_) | DbErr::Json(_)) => Cause::Value(error.to_string()),
        _ => Cause::Unavailable,
    }
}

fn driver_cause(error: &sqlx::Error) -> Cause {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Cause::Value(error.to_string()),
        sqlx::Error::Database(said) => match said.kind() {
            sqlx::error::ErrorKind::CheckViolation | sqlx::error::ErrorKind::NotNullViolation => {
                Cause::Check(said.message().to_owned())
            }
            _ if said.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() => {
                sqlite_cause(said.code().and_then(|code| code.parse().ok()).unwrap_or_default())
            }
            _ => Cause::Unavailable,
        },
        _ => Cause::Unavailable,
    }
}

fn sqlite_cause(code: i32) -> Cause {
    match code & 0xff {
        sqlite::BUSY | sqlite::LOCKED => Cause::Busy,
        sqlite::CORRUPT | sqlite::NOT_A_DATABASE => Cause::Corrupt,
        _ => Cause::Unavailable,
    }
}

/// Wraps what the driver said where SeaORM does not.
pub(crate) fn sqlx_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

/// Says whether an insert failed because a unique key is taken.
pub(crate) fn is_taken(error: &DbErr) -> bool {
    matches!(cause(error), Cause::Unique)
}

/// Returns what a store says about an error that is none of its promises.
pub(crate) fn store_error(error: DbErr) -> StoreError {
    match cause(&error) {
        Cause::Check(problem) | Cause::Value(problem) => {
            StoreError::Unreadable { table: "database", row: "of the last statement".to_owned(), problem }
        }
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// Returns what a store says about a failed insert: a taken key, a missing parent, or else.
pub(crate) fn insert_error(error: DbErr, noun: &'static str, key: impl Into<String>) -> StoreError {
    match cause(&error) {
        Cause::Unique => StoreError::Taken { noun, key: key.into() },
        Cause::Parent => {
            StoreError::NotFound { noun: "row that is referred to by", key: format!("{noun} {}", key.into()) }
        }
        _ => store_error(error),
    }
}

/// Returns what opening a database says.
pub(crate) fn open_error(error: DbErr) -> OpenError {
    match cause(&error) {
        Cause::Busy => OpenError::Busy { source: error },
        Cause::Corrupt => OpenError::Corrupt { source: error },
        _ if is_unreachable(&error) => OpenError::Unreachable { source: error },
        _ => OpenError::Migration { source: error },
    }
}

/// Says whether the driver had no connection, or lost it.
fn is_unreachable(error: &DbErr) -> bool {
    match spoken(error) {
        Some(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => true,
        Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) => true,
        // A refused login, a database that does not exist, a server that stops or starts.
        Some(sqlx::Error::Database(said)) => said.code().is_some_and(|code| {
            ["28", "3D", "08", "57P"].iter().any(|class| code.starts_with(class)) || code == "42000"
        }),
        _ => false,
    }
}
