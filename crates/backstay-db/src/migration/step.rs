//! What a step does to the schema: statements that do nothing when their work is done already.
//!
//! Where a database takes a step back as a whole, a table that stands in the way is an error. MariaDB commits each
//! statement by itself, so an interrupted step runs again from its beginning and finds what it made.

use std::cell::Cell;

use sea_orm::{DbBackend, Statement};
use sea_orm_migration::prelude::*;

use crate::dialect::is_transactional;

tokio::task_local! {
    /// After how many more statements the upgrade is cut, in a test.
    static LEFT: Cell<u32>;
}

/// Runs an upgrade that ends with an error after so many statements, as one does whose process ends there. For tests.
pub async fn cut_after<F: Future>(statements: u32, upgrade: F) -> F::Output {
    LEFT.scope(Cell::new(statements), upgrade).await
}

/// Comes after each statement.
fn done() -> Result<(), DbErr> {
    let left = LEFT.try_with(|left| {
        left.set(left.get().saturating_sub(1));
        left.get()
    });
    if left == Ok(0) { Err(DbErr::Migration("cut by a test".to_owned())) } else { Ok(()) }
}

/// Runs a statement that may be run twice.
pub(super) async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    manager.get_connection().execute_unprepared(sql).await?;
    done()
}

/// Makes a table.
pub(super) async fn create_table(manager: &SchemaManager<'_>, mut table: TableCreateStatement) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) {
        // Texts are compared letter by letter, as the other databases do: `Queued` is not `queued`.
        table.if_not_exists().engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
    }
    backstay_failpoint::pass("migration", "statement");
    manager.create_table(table).await?;
    done()
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
    backstay_failpoint::pass("migration", "statement");
    manager.create_index(index.name(name).table(table).take()).await?;
    done()
}

/// Drops a table.
pub(super) async fn drop_table(manager: &SchemaManager<'_>, table: &'static str) -> Result<(), DbErr> {
    let mut drop = Table::drop().table(table).take();
    if !is_transactional(manager.get_database_backend()) {
        drop.if_exists();
    }
    manager.drop_table(drop).await?;
    done()
}

/// Drops an index of a table.
pub(super) async fn drop_index(manager: &SchemaManager<'_>, table: &'static str, name: &str) -> Result<(), DbErr> {
    if !is_transactional(manager.get_database_backend()) && !manager.has_index(table, name).await? {
        return Ok(());
    }
    manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
    done()
}

/// Puts an index on other columns in the place of one of the same name.
pub(super) async fn replace_index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut index = Index::create();
    for column in columns {
        index.col(*column);
    }
    drop_index(manager, table, name).await?;
    create_index(manager, table, name, index).await
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
    manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
    done()
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
    manager.alter_table(Table::alter().table(table).drop_column(name).take()).await?;
    done()
}

/// Drops the reference of a column to a row of another table. SQLite keeps it: there a reference is part of the table.
pub(super) async fn drop_reference(
    manager: &SchemaManager<'_>,
    table: &'static str,
    column: &'static str,
) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Sqlite => return Ok(()),
        DbBackend::MySql => format!("ALTER TABLE {table} DROP FOREIGN KEY IF EXISTS fk_{table}_{column}"),
        _ => format!("ALTER TABLE {table} DROP CONSTRAINT fk_{table}_{column}"),
    };
    run(manager, &sql).await
}

/// Adds the reference of a column to the row of another table with this id; all rows that are there have one.
pub(super) async fn add_reference(
    manager: &SchemaManager<'_>,
    table: &'static str,
    column: &'static str,
    parent: &'static str,
) -> Result<(), DbErr> {
    match manager.get_database_backend() {
        DbBackend::Sqlite => return Ok(()),
        // It may be there: a process may have ended in the middle of this.
        DbBackend::MySql => drop_reference(manager, table, column).await?,
        _ => {}
    }
    let name = format!("fk_{table}_{column}");
    let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {parent} (id)");
    run(manager, &sql).await
}

/// Puts another condition in the place of a table's check; rows that are there fulfil it.
///
/// SQLite cannot alter a check: its own manual has the text of the schema changed, which is safe as the rows' format stays.
pub(super) async fn replace_check(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &str,
    was: &str,
    is: &str,
) -> Result<(), DbErr> {
    let run = async |sql: String| run(manager, &sql).await;
    match manager.get_database_backend() {
        DbBackend::Sqlite => rewrite_check(manager, (table, name), was, is).await,
        // Two statements: MariaDB may end between them, and the next run finishes it.
        DbBackend::MySql => {
            run(format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")).await?;
            run(format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({is})")).await
        }
        _ => {
            run(format!("ALTER TABLE {table} DROP CONSTRAINT {name}")).await?;
            run(format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({is})")).await
        }
    }
}

/// Puts another condition in the place of the check that stands in a column's definition, as [`replace_check`] does for a
/// table's. `column` is the table, the column, and its type as MariaDB must be told it anew.
pub(super) async fn replace_column_check(
    manager: &SchemaManager<'_>,
    (table, column, definition): (&'static str, &str, &str),
    was: &str,
    is: &str,
) -> Result<(), DbErr> {
    let run = async |sql: String| run(manager, &sql).await;
    match manager.get_database_backend() {
        DbBackend::Sqlite => rewrite_check(manager, (table, column), was, is).await,
        DbBackend::MySql => run(format!("ALTER TABLE {table} MODIFY COLUMN {column} {definition} CHECK ({is})")).await,
        // PostgreSQL's own name for it.
        _ => {
            let name = format!("{table}_{column}_check");
            run(format!("ALTER TABLE {table} DROP CONSTRAINT {name}")).await?;
            run(format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({is})")).await
        }
    }
}

/// Changes a check in the text of SQLite's schema.
async fn rewrite_check(
    manager: &SchemaManager<'_>,
    (table, name): (&'static str, &str),
    was: &str,
    is: &str,
) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let run = async |sql: String| connection.execute_unprepared(&sql).await;
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let version = Statement::from_string(DbBackend::Sqlite, "PRAGMA schema_version");
    let version = connection.query_one_raw(version).await?;
    let version = version.ok_or_else(|| DbErr::Migration("SQLite tells no schema version".to_owned()))?;
    let version: i64 = version.try_get_by_index(0)?;
    run("PRAGMA writable_schema = ON".to_owned()).await?;
    let (was, is) = (literal(&format!("({was})")), literal(&format!("({is})")));
    let changed = run(format!(
        "UPDATE sqlite_schema SET sql = replace(sql, {was}, {is}) \
         WHERE type = 'table' AND name = '{table}' AND instr(sql, {was}) > 0"
    ));
    let changed = changed.await;
    run(format!("PRAGMA schema_version = {}", version + 1)).await?;
    run("PRAGMA writable_schema = OFF".to_owned()).await?;
    match changed?.rows_affected() {
        1 => Ok(()),
        _ => Err(DbErr::Migration(format!("the check {name} of {table} is not as an earlier step made it"))),
    }
}

/// Puts one check that calls a function in the place of a table's checks, each a name and a condition. Only on PostgreSQL
/// (decision 0052). A later step that changes one of them replaces the function.
///
/// The function has a parameter of the name and type of each column that the conditions name.
pub(super) async fn checks_joined(
    manager: &SchemaManager<'_>,
    table: &'static str,
    checks: &[(&str, String)],
) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let conditions: Vec<String> = checks.iter().map(|(_, condition)| format!("({condition})")).collect();
    let conditions = conditions.join(" AND ");
    let columns = format!(
        "SELECT column_name::text AS name, data_type::text AS type FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
    );
    let columns = connection.query_all_raw(Statement::from_string(DbBackend::Postgres, columns)).await?;
    let columns: Vec<(String, String)> = columns
        .iter()
        .map(|row| Ok((row.try_get("", "name")?, row.try_get("", "type")?)))
        .collect::<Result<_, DbErr>>()?;
    let is_named = |name: &str| {
        conditions.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').any(|word| word == name)
    };
    let named = || columns.iter().filter(|(name, _)| is_named(name));
    let parameters: Vec<String> = named().map(|(name, kind)| format!("{name} {kind}")).collect();
    let cells: Vec<&str> = named().map(|(name, _)| name.as_str()).collect();
    let mut changes: Vec<String> = checks.iter().map(|(name, _)| format!("DROP CONSTRAINT {name}")).collect();
    // The rows that are there fulfil it, as they did the others: to look at millions of them would take minutes.
    changes.push(format!("ADD CONSTRAINT {table}_holds CHECK ({table}_holds({})) NOT VALID", cells.join(", ")));
    let function = format!(
        "CREATE FUNCTION {table}_holds({}) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS \
         $$ BEGIN RETURN {conditions}; END $$",
        parameters.join(", ")
    );
    connection.execute_unprepared(&function).await?;
    connection.execute_unprepared(&format!("ALTER TABLE {table} {}", changes.join(", "))).await.map(drop)
}

/// Takes [`checks_joined`] back.
pub(super) async fn checks_apart(
    manager: &SchemaManager<'_>,
    table: &'static str,
    checks: &[(&str, String)],
) -> Result<(), DbErr> {
    let mut changes = vec![format!("DROP CONSTRAINT {table}_holds")];
    changes
        .extend(checks.iter().map(|(name, condition)| format!("ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")));
    let connection = manager.get_connection();
    connection.execute_unprepared(&format!("ALTER TABLE {table} {}", changes.join(", "))).await?;
    connection.execute_unprepared(&format!("DROP FUNCTION {table}_holds")).await.map(drop)
}
