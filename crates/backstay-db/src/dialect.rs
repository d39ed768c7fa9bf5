//! What databases say differently, one named function each. Every other statement is the same on all of them.

use sea_orm::sea_query::{ColumnDef, OnConflict};
use sea_orm::{DbBackend, Iden};

/// Returns the database's present moment as an expression: microseconds since 1970, as a 64-bit integer.
///
/// SQLite's clock has milliseconds. MariaDB's `NOW()` stands still within a statement and is in the session's zone;
/// `SYSDATE` and `UNIX_TIMESTAMP` together are not.
pub(crate) const fn clock_micros(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        DbBackend::MySql => "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
        _ => "(CAST(ROUND(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000)",
    }
}

/// Returns a column for texts of any length: MariaDB's `text` ends at 64 KiB.
pub(crate) fn long_text(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    match backend {
        DbBackend::MySql => column.custom("longtext"),
        _ => column.text(),
    };
    column
}

/// Returns the clause that makes an insert do nothing when *any* unique key is taken. MariaDB has no such clause and
/// instead sets the primary key to itself.
pub(crate) fn taken_does_nothing(primary_key: impl Iden) -> OnConflict {
    let mut clause = OnConflict::new();
    clause.do_nothing_on([primary_key]);
    clause
}
