//! What databases say differently, one named function each. Every other statement is the same on all of them.

use sea_orm::sea_query::extension::postgres::PgFunc;
use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait as _, LockType, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
};

use crate::error::is_taken;

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

/// Says whether the database changes schemas in transactions. MariaDB commits each such statement by itself.
pub(crate) fn is_transactional(backend: DbBackend) -> bool {
    backend != DbBackend::MySql
}

/// Says whether an index may leave rows out. MariaDB's have all.
pub(crate) fn has_partial_indexes(backend: DbBackend) -> bool {
    backend != DbBackend::MySql
}

/// Returns how many transactions that start jobs are worth being open at once. SQLite has one writer; MariaDB locks the
/// gaps of indexes into which each of them inserts.
pub(crate) fn start_width(backend: DbBackend) -> usize {
    if backend == DbBackend::Postgres { 3 } else { 1 }
}

/// Returns a word as part of a statement's text. A database that plans without values can use an index of the rows with
/// this word only then.
pub(crate) fn literal(word: &'static str) -> Expr {
    Expr::cust(format!("'{word}'"))
}

/// Returns the lock on a row that others refer to and that is itself never deleted. On PostgreSQL it lets new rows refer
/// to it meanwhile; MariaDB has one lock for both.
pub(crate) fn parent_lock(backend: DbBackend) -> LockType {
    match backend {
        DbBackend::Postgres => LockType::NoKeyUpdate,
        _ => LockType::Update,
    }
}

/// Says whether a column is one of some texts. PostgreSQL gets them as one list, so that the statement is the same however
/// many there are, and it plans it once.
pub(crate) fn is_among<C, I>(backend: DbBackend, column: C, texts: I) -> Expr
where
    C: ColumnTrait,
    I: IntoIterator,
    I::Item: Into<String>,
{
    let texts = texts.into_iter().map(Into::into);
    if backend != DbBackend::Postgres {
        return column.is_in(texts);
    }
    let list = list_text(texts.map(|text: String| text_in_list(&text)));
    Expr::col(column.as_column_ref()).eq(PgFunc::any(Expr::cust_with_values("CAST($1 AS text[])", [list])))
}

/// Returns a list as PostgreSQL reads it, of cells that are written as it wants them: `{"text",17,NULL}`.
pub(crate) fn list_text(cells: impl IntoIterator<Item = String>) -> String {
    format!("{{{}}}", cells.into_iter().collect::<Vec<_>>().join(","))
}

/// Returns a text as a cell of [`list_text`].
pub(crate) fn text_in_list(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 2);
    cell.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            cell.push('\\');
        }
        cell.push(letter);
    }
    cell.push('"');
    cell
}

/// Inserts a row unless *any* of its unique keys is taken, and says whether it did.
///
/// MariaDB has no clause for that: `INSERT IGNORE` hides other errors too, and `ON DUPLICATE KEY UPDATE` counts a found
/// row like a new one. There the refusal is an error of the statement alone, and the transaction goes on; PostgreSQL
/// would end it.
pub(crate) async fn insert_unless_taken<A>(tx: &DatabaseTransaction, row: A) -> Result<bool, DbErr>
where
    A: ActiveModelTrait,
{
    let mut insert = A::Entity::insert(row);
    if tx.get_database_backend() == DbBackend::MySql {
        return match insert.exec_without_returning(tx).await {
            Ok(_) => Ok(true),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(error),
        };
    }
    insert = insert.on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(insert.exec_without_returning(tx).await? == 1)
}
