//! The kinds of columns that there are. The same type for the same thing in every table, on every database.

use sea_orm_migration::sea_query::{ColumnDef, ForeignKey, ForeignKeyCreateStatement};

/// An id: a UUID as 36 letters. It sorts by creation on every database, and a person can read it.
pub(super) fn id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(36).not_null().take()
}

/// An id that may be absent.
pub(super) fn id_some(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(36).null().take()
}

/// A word of a list, or a short key.
pub(super) fn word(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(64).not_null().take()
}

/// A word that may be absent.
pub(super) fn word_some(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(64).null().take()
}

/// An instant (microseconds), a duration (milliseconds) or a count.
pub(super) fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A number that may be absent.
pub(super) fn number_some(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

/// A foreign key: the parent cannot be deleted while a child refers to it.
pub(super) fn parent(
    child: &'static str,
    column: &'static str,
    parent: &'static str,
    key: &'static str,
) -> ForeignKeyCreateStatement {
    ForeignKey::create().name(format!("fk_{child}_{column}")).from(child, column).to(parent, key).take()
}

/// The columns that say what a job or a snapshot counted.
pub(super) const COUNTS: [&str; 7] = [
    "file_count",
    "file_unmodified_count",
    "dir_count",
    "content_bytes",
    "added_bytes",
    "stored_bytes",
    "unread_count",
];

/// A check that none of these is negative; an absent one is not.
pub(super) fn never_negative<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    let tests: Vec<String> = columns.into_iter().map(|column| format!("({column} IS NULL OR {column} >= 0)")).collect();
    tests.join(" AND ")
}

/// A check that a cell is filled exactly when a condition holds.
pub(super) fn exactly_when(column: &str, condition: &str) -> String {
    format!("({column} IS NOT NULL) = ({condition})")
}
