//! How far the proofs of repositories are: what is due, what a look and a verify write, and the budgets behind it.

use backstay_core::domain::id::RepositoryId;
use backstay_core::domain::job::{Instruction, Job, JobKind};
use backstay_core::domain::proof::{Proof, SliceRead, VerifyBudget};
use backstay_core::domain::repository::Repository;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::{is_among, parent_lock};
use crate::entity::repository::within_cell;
use crate::entity::{job, proof, repository};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::history::rows_limit;
use crate::retire::live;
use crate::row::readable;
use crate::upkeep::live_question;

/// Returns the question for repositories whose proof is due, the longest due first.
pub(crate) fn proof_question(now: Timestamp, rows_max: u32) -> Select<proof::Entity> {
    proof::Entity::find()
        .filter(proof::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(proof::Column::DueAt)
        .limit(rows_limit(rows_max))
}

/// Adds the row of a new repository, which is looked at at once.
pub(crate) async fn proof_add(tx: &DatabaseTransaction, repository: &Repository) -> Result<(), StoreError> {
    let row = proof::Model::of(&Proof::new(repository.id)).into_active_model();
    let insert = proof::Entity::insert(row).exec_without_returning(tx).await;
    insert.map(drop).map_err(|error| insert_error(error, "proof of repository", repository.id.to_string()))
}

/// Writes what a verify of a slice came to. The row is locked: what another one writes meanwhile comes before or after.
pub(crate) async fn slice_put(
    tx: &DatabaseTransaction,
    repository: &str,
    read: &SliceRead,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = proof::Entity::find_by_id(repository).lock(parent_lock(tx.get_database_backend()));
    let mut known = found(query.one(tx).await.map_err(store_error)?, "proof of repository", repository)?.read()?;
    known.take(read, now);
    let row = proof::Model::of(&known);
    let update = proof::Entity::update_many()
        .col_expr(proof::Column::SlicesJson, Expr::val(row.slices_json))
        .col_expr(proof::Column::DrillsJson, Expr::val(row.drills_json))
        .filter(proof::Column::RepositoryId.eq(repository));
    update.exec(tx).await.map(drop).map_err(store_error)
}

impl Database {
    pub(crate) async fn proofs_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Proof>, StoreError> {
        let rows = proof_question(now, rows_max).all(&self.reader).await.map_err(store_error)?;
        Ok(readable(rows, "proof", |row| row.repository_id.clone(), proof::Model::read))
    }

    pub(crate) async fn proof_move(&self, seen: &Proof, next: &Proof) -> Result<bool, StoreError> {
        let row = proof::Model::of(next);
        let update = proof::Entity::update_many()
            .col_expr(proof::Column::DueAt, Expr::val(row.due_at))
            .col_expr(proof::Column::BeganAt, Expr::val(row.began_at))
            .col_expr(proof::Column::DrilledItemId, Expr::val(row.drilled_item_id))
            .filter(proof::Column::RepositoryId.eq(seen.repository_id.to_string()))
            .filter(proof::Column::DueAt.eq(seen.due_at.as_microsecond()));
        let done = update.exec(&self.writer).await.map_err(store_error)?;
        Ok(done.rows_affected == 1)
    }

    pub(crate) async fn proof_of(&self, repository: RepositoryId) -> Result<Proof, StoreError> {
        let row = proof::Entity::find_by_id(repository.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "repository", repository)?.read()
    }

    pub(crate) async fn proofs(&self, repositories: &[RepositoryId]) -> Result<Vec<Proof>, StoreError> {
        let ids = repositories.iter().map(ToString::to_string);
        let theirs = is_among(self.reader.get_database_backend(), proof::Column::RepositoryId, ids);
        let query = proof::Entity::find().filter(theirs).order_by_asc(proof::Column::RepositoryId);
        let rows = query.all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(proof::Model::read).collect()
    }

    pub(crate) async fn slice_job(&self, repository: RepositoryId) -> Result<Option<Job>, StoreError> {
        let rows = live_question(repository, &[JobKind::Verify]).all(&self.reader).await.map_err(store_error)?;
        for job in rows.into_iter().map(job::Model::read) {
            let job = job?;
            if matches!(job.instruction, Instruction::Verify { slice: Some(_), .. }) {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    pub(crate) async fn budget_put_once(&self, id: RepositoryId, budget: VerifyBudget) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let query = repository::Entity::find_by_id(id.to_string());
        let row = found(query.clone().one(&tx).await.map_err(store_error)?, "repository", id)?.read()?;
        tenant_locked(&tx, row.tenant_id).await?;
        let row = found(query.one(&tx).await.map_err(store_error)?, "repository", id)?;
        live(&row.retired_mark, "repository", row.name)?;
        let update = repository::Entity::update_many()
            .col_expr(repository::Column::VerifyWithinMs, Expr::val(within_cell(budget)))
            .filter(repository::Column::Id.eq(id.to_string()));
        update.exec(&tx).await.map_err(store_error)?;
        let anew = proof::Entity::update_many()
            .col_expr(proof::Column::DueAt, Expr::val(0i64))
            .col_expr(proof::Column::BeganAt, Expr::val(None::<i64>))
            .filter(proof::Column::RepositoryId.eq(id.to_string()));
        anew.exec(&tx).await.map_err(store_error)?;
        commit(tx).await
    }
}
