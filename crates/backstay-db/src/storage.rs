//! Storages. Repositories keep where they lie in their own rows; what opens a storage is read here at each lease.

use backstay_core::domain::id::StorageId;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::storage::{CredentialReferences, Storage};
use backstay_core::ports::store::StoreError;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};

use crate::Database;
use crate::declaration::found;
use crate::entity::storage::{self, references_cell};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::retire::live;

/// Refuses a repository whose storage is retired, or is another tenant's. The tenant stays locked until the end.
pub(crate) async fn repository_permit(tx: &DatabaseTransaction, repository: &Repository) -> Result<(), StoreError> {
    let Some(id) = repository.storage_id else { return Ok(()) };
    tenant_locked(tx, repository.tenant_id).await?;
    let query = storage::Entity::find_by_id(id.to_string())
        .filter(storage::Column::TenantId.eq(repository.tenant_id.to_string()));
    let row = found(query.one(tx).await.map_err(store_error)?, "storage", id)?;
    live(&row.retired_mark, "storage", row.name)
}

impl Database {
    pub(crate) async fn storage_insert(&self, new: &Storage) -> Result<(), StoreError> {
        let insert = storage::Entity::insert(storage::Model::of(new).into_active_model());
        let done = insert.exec_without_returning(&self.writer).await;
        done.map(drop).map_err(|error| insert_error(error, "storage", new.name.as_str()))
    }

    pub(crate) async fn storage_of(&self, id: StorageId) -> Result<Storage, StoreError> {
        let row = storage::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "storage", id)?.read()
    }

    pub(crate) async fn storage_rekey(
        &self,
        old: &Storage,
        credentials: &CredentialReferences,
    ) -> Result<bool, StoreError> {
        let update = storage::Entity::update_many()
            .col_expr(storage::Column::CredentialsJson, Expr::val(references_cell(credentials)))
            .filter(storage::Column::Id.eq(old.id.to_string()))
            .filter(storage::Column::RetiredMark.eq(""))
            .filter(match references_cell(&old.credentials) {
                Some(text) => storage::Column::CredentialsJson.eq(text),
                None => storage::Column::CredentialsJson.is_null(),
            });
        let done = update.exec(&self.writer).await.map_err(store_error)?;
        Ok(done.rows_affected == 1)
    }
}
