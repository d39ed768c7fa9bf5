//! Inserts of many rows that cost a database little to read: as few cells as there are, in few shapes.
//!
//! A statement of a hundred rows with all their empty cells is thousands of places, and another statement than the one
//! with ninety-nine: a server would parse and plan each anew. Cells that no row has are left out (each such column has no
//! default), and rows go in statements of a few lengths, which a connection knows after the first time.

use sea_orm::{ActiveModelTrait, ActiveValue, DatabaseTransaction, DbErr, EntityTrait, Iterable as _};

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
