//! Job sets. A set is there before its members; it goes when the last of them was swept.

use backstay_core::domain::id::{JobSetId, TenantId};
use backstay_core::domain::job_set::JobSet;
use backstay_core::ports::store::{Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::insert_unless_taken;
use crate::entity::{job, job_set};
use crate::error::{insert_error, store_error};
use crate::history::rows_limit;

impl Database {
    pub(super) async fn set_add_once(&self, set: &JobSet) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let inserted = insert_unless_taken(&tx, job_set::Model::of(set).into_active_model()).await;
        inserted.map_err(|error| insert_error(error, "job set", set.id.to_string()))?;
        commit(tx).await
    }

    pub(super) async fn set_of(&self, id: JobSetId) -> Result<JobSet, StoreError> {
        let row = job_set::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "job set", id)?.read()
    }

    pub(super) async fn sets(&self, tenant: Option<TenantId>, page: Page<JobSetId>) -> Result<Vec<JobSet>, StoreError> {
        let mut query = job_set::Entity::find();
        if let Some(tenant) = tenant {
            query = query.filter(job_set::Column::TenantId.eq(tenant.to_string()));
        }
        if let Some(before) = page.before {
            query = query.filter(job_set::Column::Id.lt(before.to_string()));
        }
        let query = query.order_by_desc(job_set::Column::Id).limit(rows_limit(page.rows_max));
        let rows = query.all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(job_set::Model::read).collect()
    }

    /// Deletes sets of before a moment that have no member any more.
    pub(crate) async fn set_sweep(&self, before: Timestamp) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let before = before.min(self.kept_from(&tx).await?);
        let member = Query::select()
            .expr(Expr::val(1))
            .from(job::Entity)
            .and_where(Expr::col((job::Entity, job::Column::SetId)).equals((job_set::Entity, job_set::Column::Id)))
            .take();
        let gone = job_set::Entity::delete_many()
            .filter(job_set::Column::CreatedAt.lt(before.as_microsecond()))
            .filter(Expr::exists(member).not());
        gone.exec(&tx).await.map_err(store_error)?;
        commit(tx).await
    }
}
