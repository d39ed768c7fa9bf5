//! Retires rows. Whoever makes something new of a row locks the same tenant, so that one comes before the other.

use backstay_core::domain::id::TenantId;
use backstay_core::domain::job::{Job, JobKind};
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::ports::store::{Retirable, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::entity::{plan, plan_schedule, repository, source, storage, watch};
use crate::error::store_error;
use crate::event::tenant_locked;
use crate::purge::purge_permit;
use crate::row::Row;

/// Says that a row is retired, if it is.
pub(crate) fn live(mark: &str, noun: &'static str, name: String) -> Result<(), StoreError> {
    if mark.is_empty() { Ok(()) } else { Err(StoreError::Retired { noun, key: name }) }
}

/// Refuses a plan whose source or repository is retired. The tenant stays locked until the transaction ends.
pub(crate) async fn plan_permit(tx: &DatabaseTransaction, plan: &Plan) -> Result<(), StoreError> {
    tenant_locked(tx, plan.tenant_id).await?;
    let query = source::Entity::find_by_id(plan.source_id.to_string());
    if let Some(row) = query.one(tx).await.map_err(store_error)? {
        live(&row.retired_mark, "source", row.name)?;
    }
    let query = repository::Entity::find_by_id(plan.repository_id.to_string());
    match query.one(tx).await.map_err(store_error)? {
        Some(row) => live(&row.retired_mark, "repository", row.name),
        None => Ok(()),
    }
}

/// Refuses any job of a purged tenant, a backup of a retired plan and a prune of a retired repository. Its tenant is locked by the caller.
pub(crate) async fn job_permit(tx: &DatabaseTransaction, job: &Job) -> Result<(), StoreError> {
    purge_permit(tx, job.tenant_id).await?;
    if let (JobKind::Backup, Some(id)) = (job.kind(), job.plan_id) {
        let row = plan::Entity::find_by_id(id.to_string()).one(tx).await.map_err(store_error)?;
        let row = found(row, "plan", id)?;
        return live(&row.retired_mark, "plan", row.name);
    }
    if job.kind() == JobKind::Prune {
        let query = repository::Entity::find_by_id(job.repository_id.to_string());
        let row = query.one(tx).await.map_err(store_error)?;
        return row.map_or(Ok(()), |row| live(&row.retired_mark, "repository", row.name));
    }
    Ok(())
}

macro_rules! mark {
    ($tx:expr, $entity:ident, $id:expr, $at:expr) => {
        $entity::Entity::update_many()
            .col_expr($entity::Column::RetiredAt, Expr::val($at.as_microsecond()))
            .col_expr($entity::Column::RetiredMark, Expr::val($id.to_string()))
            .filter($entity::Column::Id.eq($id.to_string()))
            // Of two at once the first one's moment stays.
            .filter($entity::Column::RetiredMark.eq(""))
            .exec($tx)
            .await
            .map(drop)
            .map_err(store_error)?
    };
}

impl Database {
    pub(crate) async fn retire_once(&self, what: Retirable, at: Timestamp) -> Result<Vec<Name>, StoreError> {
        let tx = self.begin().await?;
        let (tenant, mark) = owner(&tx, what).await?;
        if !mark.is_empty() {
            return Ok(Vec::new());
        }
        tenant_locked(&tx, tenant).await?;
        let needed = needed_by(&tx, what).await?;
        if !needed.is_empty() {
            return Ok(needed);
        }
        match what {
            Retirable::Plan(id) => {
                mark!(&tx, plan, id, at);
                rest(&tx, &id.to_string()).await?;
            }
            Retirable::Source(id) => mark!(&tx, source, id, at),
            Retirable::Repository(id) => mark!(&tx, repository, id, at),
            Retirable::Storage(id) => mark!(&tx, storage, id, at),
        }
        commit(tx).await?;
        Ok(Vec::new())
    }
}

/// Returns whose a row is, and its mark.
async fn owner(tx: &DatabaseTransaction, what: Retirable) -> Result<(TenantId, String), StoreError> {
    let (noun, id, tenant, mark) = match what {
        Retirable::Plan(id) => {
            let row = plan::Entity::find_by_id(id.to_string()).one(tx).await.map_err(store_error)?;
            let row = found(row, "plan", id)?;
            ("plan", row.id, row.tenant_id, row.retired_mark)
        }
        Retirable::Source(id) => {
            let row = source::Entity::find_by_id(id.to_string()).one(tx).await.map_err(store_error)?;
            let row = found(row, "source", id)?;
            ("source", row.id, row.tenant_id, row.retired_mark)
        }
        Retirable::Repository(id) => {
            let row = repository::Entity::find_by_id(id.to_string()).one(tx).await.map_err(store_error)?;
            let row = found(row, "repository", id)?;
            ("repository", row.id, row.tenant_id, row.retired_mark)
        }
        Retirable::Storage(id) => {
            let row = storage::Entity::find_by_id(id.to_string()).one(tx).await.map_err(store_error)?;
            let row = found(row, "storage", id)?;
            ("storage", row.id, row.tenant_id, row.retired_mark)
        }
    };
    Ok((Row::of(noun, &id).parse("tenant_id", &tenant)?, mark))
}

/// Returns what lives and needs a row, by name.
async fn needed_by(tx: &DatabaseTransaction, what: Retirable) -> Result<Vec<Name>, StoreError> {
    if let Retirable::Storage(id) = what {
        let query = repository::Entity::find()
            .filter(repository::Column::RetiredMark.eq(""))
            .filter(repository::Column::StorageId.eq(id.to_string()));
        let rows = query.all(tx).await.map_err(store_error)?;
        return sorted(rows.iter().map(|row| Row::of("repository", &row.id).parse("name", &row.name)));
    }
    let plans = plan::Entity::find().filter(plan::Column::RetiredMark.eq(""));
    let plans = match what {
        Retirable::Plan(_) | Retirable::Storage(_) => return Ok(Vec::new()),
        Retirable::Source(id) => plans.filter(plan::Column::SourceId.eq(id.to_string())),
        Retirable::Repository(id) => plans.filter(plan::Column::RepositoryId.eq(id.to_string())),
    };
    let rows = plans.all(tx).await.map_err(store_error)?;
    sorted(rows.iter().map(|row| Row::of("plan", &row.id).parse("name", &row.name)))
}

fn sorted(names: impl Iterator<Item = Result<Name, StoreError>>) -> Result<Vec<Name>, StoreError> {
    let mut names = names.collect::<Result<Vec<Name>, StoreError>>()?;
    names.sort();
    Ok(names)
}

/// Has a plan's schedule rest, and its items looked at once more: what was told of them ends.
async fn rest(tx: &DatabaseTransaction, id: &str) -> Result<(), StoreError> {
    use plan_schedule::Column;
    let update = plan_schedule::Entity::update_many()
        .col_expr(Column::NextDueAt, Expr::val(None::<i64>))
        .col_expr(Column::WaitingPlannedAt, Expr::val(None::<i64>))
        .col_expr(Column::WaitingNotBeforeAt, Expr::val(None::<i64>))
        .col_expr(Column::WaitingStartByAt, Expr::val(None::<i64>))
        .col_expr(Column::WaitingLateMs, Expr::val(None::<i64>))
        .col_expr(Column::WaitingMissed, Expr::val(None::<i64>))
        .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
        .filter(Column::PlanId.eq(id));
    update.exec(tx).await.map_err(store_error)?;
    let again = watch::Entity::update_many()
        .col_expr(watch::Column::DueAt, Expr::val(0i64))
        .filter(watch::Column::PlanId.eq(id));
    again.exec(tx).await.map(drop).map_err(store_error)
}
