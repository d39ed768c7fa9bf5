//! Writes of many rows that cost a database little to read.
//!
//! A statement of a hundred rows with a place for each cell has thousands of places, which both sides go through, and is
//! another statement than the one with ninety-nine: a server would parse and plan each anew. PostgreSQL therefore gets
//! each column as one list, in one statement a table, whatever the number of rows. The others get rows in statements of a
//! few lengths, which a connection knows after the first time. Cells that no row has are left out of both (each such
//! column has no default).

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait as _, ColumnType, ConnectionTrait as _, DatabaseTransaction, DbBackend,
    DbErr, EntityTrait, IdenStatic, Iterable as _, PrimaryKeyToColumn as _, Statement, Value,
};

use crate::dialect::{list_text, text_in_list};

/// How many rows a statement has.
const LENGTHS: [usize; 4] = [64, 16, 4, 1];

/// Inserts rows.
///
/// # Errors
/// As the database says. Some may have been inserted then: the transaction must not be committed.
pub(crate) async fn insert_rows<A>(tx: &DatabaseTransaction, mut rows: Vec<A>) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
{
    if tx.get_database_backend() == DbBackend::Postgres {
        return lists_insert(tx, &rows).await;
    }
    for column in <A::Entity as EntityTrait>::Column::iter() {
        if rows.iter().all(|row| is_empty(row, column)) {
            rows.iter_mut().for_each(|row| row.not_set(column));
        }
    }
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let length = LENGTHS.into_iter().find(|length| *length <= rows.len()).unwrap_or(1);
        A::Entity::insert_many(rows.by_ref().take(length)).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Puts rows in the places of those with the same primary keys, all of which are there and locked.
///
/// # Errors
/// As [`insert_rows`].
pub(crate) async fn replace_rows<A>(tx: &DatabaseTransaction, rows: Vec<A>) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
{
    let keys = || <A::Entity as EntityTrait>::PrimaryKey::iter().map(|key| key.into_column());
    let is_key = |column: &<A::Entity as EntityTrait>::Column| keys().any(|key| key.as_str() == column.as_str());
    let others = || <A::Entity as EntityTrait>::Column::iter().filter(|column| !is_key(column));
    if rows.is_empty() {
        return Ok(());
    }
    let place = OnConflict::columns(keys()).update_columns(others()).to_owned();
    A::Entity::insert_many(rows).on_conflict(place).exec_without_returning(tx).await.map(drop)
}

/// Puts rows in the places of those with the same `key`, each of the `revision` before its own, in one statement of
/// PostgreSQL; returns how many of these there were.
///
/// # Errors
/// As [`insert_rows`].
pub(crate) async fn revise_rows<A>(
    tx: &DatabaseTransaction,
    rows: &[A],
    key: <A::Entity as EntityTrait>::Column,
    revision: <A::Entity as EntityTrait>::Column,
) -> Result<u64, DbErr>
where
    A: ActiveModelTrait,
{
    let columns: Vec<_> = <A::Entity as EntityTrait>::Column::iter().collect();
    let Lists { names, words, values } = lists(rows, &columns)?;
    let (key, revision) = (quoted(&key), quoted(&revision));
    let sets: Vec<String> =
        names.iter().filter(|name| **name != key).map(|name| format!("{name} = record.{name}")).collect();
    let words = format!(
        "UPDATE {} AS place SET {} FROM unnest({words}) AS record ({}) \
         WHERE place.{key} = record.{key} AND place.{revision} = record.{revision} - 1",
        table::<A>(),
        sets.join(", "),
        names.join(", "),
    );
    let update = Statement::from_sql_and_values(DbBackend::Postgres, words, values);
    Ok(tx.execute_raw(update).await?.rows_affected())
}

/// Inserts rows as lists.
async fn lists_insert<A>(tx: &DatabaseTransaction, rows: &[A]) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
{
    if rows.is_empty() {
        return Ok(());
    }
    let is_wanted = |column: &<A::Entity as EntityTrait>::Column| !rows.iter().all(|row| is_empty(row, *column));
    let columns: Vec<_> = <A::Entity as EntityTrait>::Column::iter().filter(is_wanted).collect();
    let Lists { names, words, values } = lists(rows, &columns)?;
    let words = format!("INSERT INTO {} ({}) SELECT * FROM unnest({words})", table::<A>(), names.join(", "));
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, words, values)).await.map(drop)
}

fn is_empty<A: ActiveModelTrait>(row: &A, column: <A::Entity as EntityTrait>::Column) -> bool {
    match row.get(column) {
        ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value == value.as_null(),
        ActiveValue::NotSet => true,
    }
}

/// Rows as PostgreSQL reads them: a list a column.
struct Lists {
    /// The columns, quoted.
    names: Vec<String>,
    /// A place for each column's list, with its type, with commas between them.
    words: String,
    /// The lists, each as one text.
    values: Vec<Value>,
}

fn lists<A>(rows: &[A], columns: &[<A::Entity as EntityTrait>::Column]) -> Result<Lists, DbErr>
where
    A: ActiveModelTrait,
{
    let (mut words, mut values) = (Vec::new(), Vec::new());
    for (number, column) in (1..).zip(columns) {
        words.push(format!("CAST(${number} AS {}[])", type_word(column.def().get_column_type())?));
        values.push(list(rows.iter().map(|row| row.get(*column)))?.into());
    }
    Ok(Lists { names: columns.iter().map(quoted).collect(), words: words.join(", "), values })
}

/// Returns the cells of a column as a list.
fn list(cells: impl Iterator<Item = ActiveValue<Value>>) -> Result<String, DbErr> {
    let cell = |cell: ActiveValue<Value>| match cell.into_value() {
        Some(Value::String(Some(cell))) => Ok(text_in_list(&cell)),
        Some(Value::BigInt(Some(number))) => Ok(number.to_string()),
        None | Some(Value::String(None) | Value::BigInt(None)) => Ok("NULL".to_owned()),
        Some(other) => Err(DbErr::Type(format!("{other:?} is neither a text nor a number of 64 bits"))),
    };
    Ok(list_text(cells.map(cell).collect::<Result<Vec<_>, _>>()?))
}

fn quoted(column: &impl IdenStatic) -> String {
    format!("\"{}\"", column.as_str())
}

/// Returns the name of a table, quoted.
fn table<A: ActiveModelTrait>() -> String {
    quoted(&A::Entity::default())
}

/// Returns the word for a column's type in a list.
fn type_word(of: &ColumnType) -> Result<&'static str, DbErr> {
    match of {
        ColumnType::String(_) | ColumnType::Text => Ok("text"),
        ColumnType::BigInteger => Ok("bigint"),
        other => Err(DbErr::Type(format!("{other:?} is neither text nor a number of 64 bits"))),
    }
}
