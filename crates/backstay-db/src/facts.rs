//! What a backup needs, in one question: a claim waits for nothing so often as for answers.

use backstay_core::domain::id::PlanId;
use backstay_core::domain::quota::Quota;
use backstay_core::ports::store::{BackupFacts, BackupPlace, StoreError};
use sea_orm::sea_query::{Alias, ExprTrait as _, Iden, JoinType, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait as _, EntityTrait, FromQueryResult, Iterable as _, QueryResult};

use crate::Database;
use crate::declaration::found;
use crate::entity::{item, plan, quota, repository, source, storage};
use crate::error::store_error;

/// What stands before the columns of each table in an answer.
const ITEM: &str = "i_";
const SOURCE: &str = "s_";
const REPOSITORY: &str = "r_";
const STORAGE: &str = "t_";
const PLAN: &str = "p_";
const QUOTA: &str = "q_";

/// Adds all columns of a table to a question, told apart by a prefix.
fn columns<E: EntityTrait>(query: &mut SelectStatement, prefix: &str) {
    for column in E::Column::iter() {
        let name = Alias::new(format!("{prefix}{}", column.unquoted()));
        query.expr_as(column.into_expr(), name);
    }
}

/// Returns the question for what a backup at a place needs.
pub(crate) fn facts_question(place: &BackupPlace) -> SelectStatement {
    let mut query = Query::select();
    columns::<item::Entity>(&mut query, ITEM);
    columns::<source::Entity>(&mut query, SOURCE);
    columns::<repository::Entity>(&mut query, REPOSITORY);
    columns::<storage::Entity>(&mut query, STORAGE);
    columns::<quota::Entity>(&mut query, QUOTA);
    let is_source = item::Column::SourceId.into_expr().equals((source::Entity, source::Column::Id));
    let is_storage = repository::Column::StorageId.into_expr().equals((storage::Entity, storage::Column::Id));
    let is_tenants = repository::Column::TenantId.into_expr().equals((quota::Entity, quota::Column::TenantId));
    query
        .from(item::Entity)
        .join(JoinType::InnerJoin, source::Entity, is_source)
        .join(JoinType::InnerJoin, repository::Entity, repository::Column::Id.eq(place.repository_id.to_string()))
        .join(JoinType::LeftJoin, storage::Entity, is_storage)
        .join(JoinType::LeftJoin, quota::Entity, is_tenants)
        .and_where(item::Column::Id.eq(place.item_id.to_string()));
    if let Some(id) = place.plan_id {
        columns::<plan::Entity>(&mut query, PLAN);
        query.join(JoinType::LeftJoin, plan::Entity, plan::Column::Id.eq(id.to_string()));
    }
    query
}

/// Returns a row of a table that need not be there, by a column that is never empty in it.
fn joined<M: FromQueryResult>(row: &QueryResult, prefix: &str, key: &str) -> Result<Option<M>, StoreError> {
    let key: Option<String> = row.try_get(prefix, key).map_err(store_error)?;
    key.map(|_| M::from_query_result(row, prefix)).transpose().map_err(store_error)
}

fn whole<M: FromQueryResult>(row: &QueryResult, prefix: &str) -> Result<M, StoreError> {
    M::from_query_result(row, prefix).map_err(store_error)
}

impl Database {
    /// Returns what a backup needs. Of an item and a repository it is not told which one is missing.
    pub(crate) async fn facts_of(&self, place: &BackupPlace) -> Result<BackupFacts, StoreError> {
        let row = self.reader.query_one(&facts_question(place)).await.map_err(store_error)?;
        let row = found(row, "item or repository", format!("{} or {}", place.item_id, place.repository_id))?;
        let mut repository = whole::<repository::Model>(&row, REPOSITORY)?.read()?;
        if let Some(storage) = joined::<storage::Model>(&row, STORAGE, "id")? {
            repository.credentials = storage.read()?.credentials;
        }
        let plan = |id: PlanId| found(joined::<plan::Model>(&row, PLAN, "id")?, "plan", id)?.read();
        Ok(BackupFacts {
            item: whole::<item::Model>(&row, ITEM)?.read()?,
            source: whole::<source::Model>(&row, SOURCE)?.read()?,
            plan: place.plan_id.map(plan).transpose()?,
            quota: joined::<quota::Model>(&row, QUOTA, "tenant_id")?.map_or(Ok(Quota::default()), |row| row.read())?,
            repository,
        })
    }
}
