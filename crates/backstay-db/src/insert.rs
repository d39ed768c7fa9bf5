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
    DbErr, EntityTrait, IdenStatic as _, Iterable as _, PrimaryKeyToColumn as _, Statement, Value,
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
        return document_put(tx, &rows, "").await;
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

/// Puts rows in the places of those with the same primary keys, all of which are there.
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
    if tx.get_database_backend() == DbBackend::Postgres {
        let name = |column: <A::Entity as EntityTrait>::Column| format!("\"{}\"", column.as_str());
        let keys: Vec<String> = keys().map(name).collect();
        let others: Vec<String> = others().map(name).map(|name| format!("{name} = EXCLUDED.{name}")).collect();
        let end = format!(" ON CONFLICT ({}) DO UPDATE SET {}", keys.join(", "), others.join(", "));
        return document_put(tx, &rows, &end).await;
    }
    if rows.is_empty() {
        return Ok(());
    }
    let place = OnConflict::columns(keys()).update_columns(others()).to_owned();
    A::Entity::insert_many(rows).on_conflict(place).exec_without_returning(tx).await.map(drop)
}

/// Inserts rows as one document; `end` stands behind the statement.
async fn document_put<A>(tx: &DatabaseTransaction, rows: &[A], end: &str) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
{
    if rows.is_empty() {
        return Ok(());
    }
    let columns: Vec<_> = <A::Entity as EntityTrait>::Column::iter().collect();
    let document = rows.iter().map(|row| record::<A>(row, &columns)).collect::<Result<Vec<_>, _>>()?;
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for column in &columns {
        let name = format!("\"{}\"", column.as_str());
        types.push(format!("{name} {}", type_word(column.def().get_column_type())?));
        names.push(name);
    }
    let (names, types) = (names.join(", "), types.join(", "));
    let table = A::Entity::default();
    let words = format!(
        "INSERT INTO \"{}\" ({names}) SELECT {names} FROM json_to_recordset(CAST($1 AS json)) AS record ({types}){end}",
        table.as_str()
    );
    let document = serde_json::to_string(&document).map_err(|error| DbErr::Json(error.to_string()))?;
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, words, [document.into()])).await.map(drop)
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
