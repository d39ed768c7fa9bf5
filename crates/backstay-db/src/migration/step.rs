//! What a step does to the schema: statements that do nothing when their work is done already.
//!
//! Where a database takes a step back as a whole, a table that stands in the way is an error. MariaDB commits each
//! statement by itself, so an interrupted step runs again from its beginning and finds what it made.

use sea_orm_migration::prelude::*;

use crate::dialect::is_transactional;

/// Makes a table.
pub(super) async fn create_table(manager: &SchemaManager<'_>, mut table: TableCreateStatement) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) {
        // Texts are compared letter by letter, as the other databases do: `Queued` is not `queued`.
        table.if_not_exists().engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
    }
    manager.create_table(table).await
}

/// Makes an index on a table.
pub(super) async fn create_index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &str,
    mut index: IndexCreateStatement,
) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) && manager.has_index(table, name).await? {
        return Ok(());
    }
    manager.create_index(index.name(name).table(table).take()).await
}

/// Drops a table.
pub(super) async fn drop_table(manager: &SchemaManager<'_>, table: &'static str) -> Result<(), DbErr> {
    let mut drop = Table::drop().table(table).take();
    if !is_transactional(manager.get_database_backend()) {
        drop.if_exists();
    }
    manager.drop_table(drop).await
}

/// Drops an index of a table.
pub(super) async fn drop_index(manager: &SchemaManager<'_>, table: &'static str, name: &str) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) && !manager.has_index(table, name).await? {
        return Ok(());
    }
    manager.drop_index(Index::drop().name(name).table(table).to_owned()).await
}

/// Adds a column to a table; a step fills it or it may be empty.
pub(super) async fn add_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &str,
    column: ColumnDef,
) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) && manager.has_column(table, name).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table(table).add_column(column).take()).await
}

/// Drops a column of a table.
pub(super) async fn drop_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) && !manager.has_column(table, name).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table(table).drop_column(name).take()).await
}
