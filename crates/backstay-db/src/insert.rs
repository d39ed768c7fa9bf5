//! Writes of many rows that cost a database little to read.
//!
//! A statement of a hundred rows with a place for each cell has thousands of places, which both sides go through, and is
//! another statement than the one with ninety-nine: a server would parse and plan each anew. PostgreSQL therefore gets
//! all rows as one document, in one statement a table. The others get rows in statements of a few lengths, which a
//! connection knows after the first time, without the cells that no row has (each such column has no default).

use std::collections::BTreeMap;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait as _, ColumnType, ConnectionTrait as _, DatabaseTransaction, DbBackend,
    DbErr, EntityTrait, IdenStatic, Iterable as _, PrimaryKeyToColumn as _, Statement, Value,
};
use serde_json::Value as Json;

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
        return document_insert(tx, &rows).await;
    }
    for column in <A::Entity as EntityTrait>::Column::iter() {
        let is_empty = |row: &A| match row.get(column) {
            ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value == value.as_null(),
            ActiveValue::NotSet => true,
        };
        if rows.iter().all(is_empty) {
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
    let Document { names, types, text } = document(rows)?;
    let (key, revision) = (quoted(&key), quoted(&revision));
    let sets: Vec<String> =
        names.iter().filter(|name| **name != key).map(|name| format!("{name} = record.{name}")).collect();
    let words = format!(
        "UPDATE {} AS place SET {} FROM json_to_recordset(CAST($1 AS json)) AS record ({types}) \
         WHERE place.{key} = record.{key} AND place.{revision} = record.{revision} - 1",
        table::<A>(),
        sets.join(", "),
    );
    let update = Statement::from_sql_and_values(DbBackend::Postgres, words, [text.into()]);
    Ok(tx.execute_raw(update).await?.rows_affected())
}

/// Inserts rows as one document.
async fn document_insert<A>(tx: &DatabaseTransaction, rows: &[A]) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
{
    if rows.is_empty() {
        return Ok(());
    }
    let Document { names, types, text } = document(rows)?;
    let names = names.join(", ");
    let words = format!(
        "INSERT INTO {} ({names}) SELECT {names} FROM json_to_recordset(CAST($1 AS json)) AS record ({types})",
        table::<A>()
    );
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, words, [text.into()])).await.map(drop)
}

/// Rows as PostgreSQL reads them from one text.
struct Document {
    /// The table's columns, quoted.
    names: Vec<String>,
    /// The same with their types, with commas between them.
    types: String,
    /// A list of objects, in JSON.
    text: String,
}

fn document<A>(rows: &[A]) -> Result<Document, DbErr>
where
    A: ActiveModelTrait,
{
    let columns: Vec<_> = <A::Entity as EntityTrait>::Column::iter().collect();
    let records = rows.iter().map(|row| record::<A>(row, &columns)).collect::<Result<Vec<_>, _>>()?;
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for column in &columns {
        let name = quoted(column);
        types.push(format!("{name} {}", type_word(column.def().get_column_type())?));
        names.push(name);
    }
    let text = serde_json::to_string(&records).map_err(|error| DbErr::Json(error.to_string()))?;
    Ok(Document { names, types: types.join(", "), text })
}

fn quoted(column: &impl IdenStatic) -> String {
    format!("\"{}\"", column.as_str())
}

/// Returns the name of a table, quoted.
fn table<A: ActiveModelTrait>() -> String {
    quoted(&A::Entity::default())
}

/// Returns the cells of a row that are not empty, by their columns' names.
fn record<A>(row: &A, columns: &[<A::Entity as EntityTrait>::Column]) -> Result<BTreeMap<&'static str, Json>, DbErr>
where
    A: ActiveModelTrait,
{
    let mut record = BTreeMap::new();
    for column in columns {
        let cell = match row.get(*column) {
            ActiveValue::NotSet => continue,
            ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value,
        };
        let cell = match cell {
            Value::String(text) => text.map(Json::from),
            Value::BigInt(number) => number.map(Json::from),
            other => return Err(DbErr::Type(format!("{other:?} is neither a text nor a number of 64 bits"))),
        };
        record.extend(cell.map(|cell| (column.as_str(), cell)));
    }
    Ok(record)
}

/// Returns the word for a column's type in a document.
fn type_word(of: &ColumnType) -> Result<&'static str, DbErr> {
    match of {
        ColumnType::String(_) | ColumnType::Text => Ok("text"),
        ColumnType::BigInteger => Ok("bigint"),
        other => Err(DbErr::Type(format!("{other:?} is neither text nor a number of 64 bits"))),
    }
}
