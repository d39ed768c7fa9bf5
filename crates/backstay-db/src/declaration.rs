//! What people declare: tenants, sources with their items, repositories, plans. The questions of lists are in `page`.

use async_trait::async_trait;
use backstay_core::domain::id::{ItemId, PlanId, RepositoryId, SourceId, StorageId, TemplateId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::quota::{Quota, Usage};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::{CredentialReferences, Storage};
use backstay_core::domain::template::Template;
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::store::{
    BackupFacts, BackupPlace, DeclarationStore, NamedFilter, Page, Retirable, StoreError,
};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};

use crate::database::commit;
use crate::entity::{item, plan, repository, source, storage, template, tenant};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;
use crate::notice::{cursor_add, watch_plan};
use crate::page::{
    items_page_question, plans_page_question, repositories_question, sources_question, storages_question,
    templates_question, tenants_question,
};
use crate::proof::proof_add;
use crate::quota::usage_add;
use crate::retire::plan_permit;
use crate::row::json_cell;
use crate::schedule::{schedule_add, schedule_changed};
use crate::storage::repository_permit;
use crate::template::{changing, holds};
use crate::upkeep::upkeep_add;
use crate::{Database, Now};

/// Returns the row that was looked for, or says that there is none.
pub(crate) fn found<T>(row: Option<T>, noun: &'static str, key: impl ToString) -> Result<T, StoreError> {
    row.ok_or_else(|| StoreError::NotFound { noun, key: key.to_string() })
}

#[async_trait]
impl DeclarationStore for Database {
    async fn tenant_add(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let insert = tenant::Entity::insert(tenant::Model::of(tenant).into_active_model());
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "tenant", tenant.name.as_str()))?;
        cursor_add(&tx, tenant.id).await?;
        commit(tx).await
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError> {
        let row = tenant::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "tenant", id)?.read()
    }

    async fn tenant_by_name(&self, name: &Name) -> Result<Tenant, StoreError> {
        let query = tenant::Entity::find().filter(tenant::Column::Name.eq(name.as_str()));
        found(query.one(&self.reader).await.map_err(store_error)?, "tenant", name)?.read()
    }

    async fn tenant_page(&self, filter: &NamedFilter, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        let rows = tenants_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(tenant::Model::read).collect()
    }

    async fn quota_get(&self, tenant: TenantId) -> Result<Quota, StoreError> {
        self.quota_of(tenant).await
    }

    async fn quota_put(&self, tenant: TenantId, seen: Option<Quota>, quota: Quota) -> Result<bool, StoreError> {
        self.retrying(|| self.quota_put_once(tenant, seen, quota)).await
    }

    async fn quota_list(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Quota, Usage)>, StoreError> {
        self.quotas(tenants).await
    }

    async fn source_add(&self, source: &Source, items: &[Item]) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        source_insert(&tx, source, items).await?;
        commit(tx).await
    }

    async fn source_get(&self, id: SourceId) -> Result<Source, StoreError> {
        let row = source::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "source", id)?.read()
    }

    async fn source_settings_put(
        &self,
        old: &Source,
        settings: &serde_json::Value,
        added: &[Item],
    ) -> Result<bool, StoreError> {
        self.retrying(|| self.source_settings_put_once(old, settings, added)).await
    }

    async fn source_page(&self, filter: &NamedFilter, page: Page<SourceId>) -> Result<Vec<Source>, StoreError> {
        let rows = sources_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(source::Model::read).collect()
    }

    async fn item_get(&self, id: ItemId) -> Result<Item, StoreError> {
        let row = item::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "item", id)?.read()
    }

    async fn item_page(&self, source: SourceId, page: Page<ItemId>) -> Result<Vec<Item>, StoreError> {
        let rows = items_page_question(&source.to_string(), &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(item::Model::read).collect()
    }

    async fn backup_facts(&self, place: &BackupPlace) -> Result<BackupFacts, StoreError> {
        self.facts_of(place).await
    }

    async fn storage_add(&self, storage: &Storage) -> Result<(), StoreError> {
        self.storage_insert(storage).await
    }

    async fn storage_get(&self, id: StorageId) -> Result<Storage, StoreError> {
        self.storage_of(id).await
    }

    async fn storage_page(&self, filter: &NamedFilter, page: Page<StorageId>) -> Result<Vec<Storage>, StoreError> {
        let rows = storages_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(storage::Model::read).collect()
    }

    async fn storage_credentials_put(
        &self,
        old: &Storage,
        credentials: &CredentialReferences,
    ) -> Result<bool, StoreError> {
        self.retrying(|| self.storage_rekey(old, credentials)).await
    }

    async fn repository_add(&self, repository: &Repository) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        repository_permit(&tx, repository).await?;
        let insert = repository::Entity::insert(repository::Model::of(repository).into_active_model());
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "repository", repository.name.as_str()))?;
        upkeep_add(&tx, repository).await?;
        proof_add(&tx, repository).await?;
        usage_add(&tx, repository).await?;
        commit(tx).await
    }

    async fn repository_get(&self, id: RepositoryId) -> Result<Repository, StoreError> {
        let row = repository::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "repository", id)?.read()
    }

    async fn repository_page(
        &self,
        filter: &NamedFilter,
        page: Page<RepositoryId>,
    ) -> Result<Vec<Repository>, StoreError> {
        let rows = repositories_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(repository::Model::read).collect()
    }

    async fn plan_add(&self, plan: &Plan) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        plan_permit(&tx, plan).await?;
        if !holds(&tx, plan).await? {
            return Err(changing("plan", &plan.name));
        }
        let insert = plan::Entity::insert(plan::Model::of(plan).into_active_model());
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "plan", plan.name.as_str()))?;
        schedule_add(&tx, plan).await?;
        watch_plan(&tx, plan.id, &plan.source_id.to_string()).await?;
        commit(tx).await
    }

    async fn plan_get(&self, id: PlanId) -> Result<Plan, StoreError> {
        let row = plan::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "plan", id)?.read()
    }

    async fn plan_page(&self, filter: &NamedFilter, page: Page<PlanId>) -> Result<Vec<Plan>, StoreError> {
        let rows = plans_page_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(plan::Model::read).collect()
    }

    async fn plan_replace(&self, old: &Plan, new: &Plan) -> Result<bool, StoreError> {
        self.retrying(|| self.plan_replace_once(old, new)).await
    }

    async fn template_add(&self, template: &Template) -> Result<(), StoreError> {
        self.retrying(|| self.template_add_once(template)).await
    }

    async fn template_get(&self, id: TemplateId) -> Result<Template, StoreError> {
        self.template_of(id).await
    }

    async fn template_page(&self, filter: &NamedFilter, page: Page<TemplateId>) -> Result<Vec<Template>, StoreError> {
        let rows = templates_question(filter, &page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(template::Model::read).collect()
    }

    async fn template_replace(&self, old: &Template, new: &Template) -> Result<Option<Vec<Plan>>, StoreError> {
        self.retrying(|| self.template_replace_once(old, new)).await
    }

    async fn template_remove(&self, id: TemplateId) -> Result<Vec<String>, StoreError> {
        self.retrying(|| self.template_remove_once(id)).await
    }

    async fn retire(&self, what: Retirable, at: Timestamp) -> Result<Vec<Name>, StoreError> {
        self.retrying(|| self.retire_once(what, at)).await
    }
}

/// Adds a source with its items.
pub(crate) async fn source_insert(tx: &DatabaseTransaction, source: &Source, items: &[Item]) -> Result<(), StoreError> {
    let insert = source::Entity::insert(source::Model::of(source).into_active_model());
    let done = insert.exec_without_returning(tx).await;
    done.map_err(|error| insert_error(error, "source", source.name.as_str()))?;
    items_add(tx, items).await
}

/// Adds the items of a source.
async fn items_add(tx: &DatabaseTransaction, items: &[Item]) -> Result<(), StoreError> {
    for item in items {
        let insert = item::Entity::insert(item::Model::of(item).into_active_model());
        let done = insert.exec_without_returning(tx).await;
        done.map_err(|error| insert_error(error, "item", item.name.as_str()))?;
    }
    Ok(())
}

impl Database {
    async fn source_settings_put_once(
        &self,
        old: &Source,
        settings: &serde_json::Value,
        added: &[Item],
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        tenant_locked(&tx, old.tenant_id).await?;
        let update = source::Entity::update_many()
            .col_expr(source::Column::SettingsJson, Expr::val(json_cell(settings)))
            .filter(source::Column::Id.eq(old.id.to_string()))
            .filter(source::Column::RetiredMark.eq(""))
            .filter(source::Column::SettingsJson.eq(json_cell(&old.settings)));
        if update.exec(&tx).await.map_err(store_error)?.rows_affected != 1 {
            return Ok(false);
        }
        items_add(&tx, added).await?;
        if !added.is_empty() {
            let source = old.id.to_string();
            let plans = plan::Entity::find()
                .filter(plan::Column::SourceId.eq(&source))
                .filter(plan::Column::RetiredMark.eq(""));
            for row in plans.all(&tx).await.map_err(store_error)? {
                watch_plan(&tx, row.read()?.id, &source).await?;
            }
        }
        commit(tx).await?;
        Ok(true)
    }

    async fn plan_replace_once(&self, old: &Plan, new: &Plan) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        plan_permit(&tx, new).await?;
        if !holds(&tx, new).await? || !put_plan(&tx, &self.now, old, new).await? {
            return Ok(false);
        }
        commit(tx).await?;
        Ok(true)
    }
}

/// Writes `new` in the place of `old` with all that follows for its schedule and its items; false when the row is not as
/// it was seen. Its tenant is locked by the caller.
pub(crate) async fn put_plan(tx: &DatabaseTransaction, now: &Now, old: &Plan, new: &Plan) -> Result<bool, StoreError> {
    let plans = (old, new);
    let source = new.source_id.to_string();
    let (old, new) = (plan::Model::of(old), plan::Model::of(new));
    let update = plan::Entity::update_many()
        .col_expr(plan::Column::Name, Expr::val(&new.name))
        .col_expr(plan::Column::RepositoryId, Expr::val(&new.repository_id))
        .col_expr(plan::Column::TemplateName, Expr::val(new.template_name.as_deref()))
        .col_expr(plan::Column::SaidJson, Expr::val(new.said_json.as_deref()))
        .col_expr(plan::Column::ScheduleJson, Expr::val(&new.schedule_json))
        .col_expr(plan::Column::RpoMs, Expr::val(new.rpo_ms))
        .col_expr(plan::Column::RetentionJson, Expr::val(new.retention_json.as_deref()))
        .col_expr(plan::Column::BackupJson, Expr::val(new.backup_json.as_deref()))
        .col_expr(plan::Column::MovedAt, Expr::val(new.moved_at))
        .filter(plan::Column::Id.eq(&old.id))
        .filter(plan::Column::Name.eq(&old.name))
        .filter(plan::Column::RepositoryId.eq(&old.repository_id))
        .filter(match &old.template_name {
            Some(name) => plan::Column::TemplateName.eq(name),
            None => plan::Column::TemplateName.is_null(),
        })
        // A row of before there were templates says all that its other cells hold.
        .filter(plan::Column::SaidJson.eq(old.said_json.as_deref()).or(plan::Column::SaidJson.is_null()))
        .filter(plan::Column::ScheduleJson.eq(&old.schedule_json))
        .filter(plan::Column::RpoMs.eq(old.rpo_ms))
        .filter(plan::Column::RetiredMark.eq(""))
        .filter(match &old.backup_json {
            Some(text) => plan::Column::BackupJson.eq(text),
            None => plan::Column::BackupJson.is_null(),
        })
        .filter(match &old.retention_json {
            Some(text) => plan::Column::RetentionJson.eq(text),
            None => plan::Column::RetentionJson.is_null(),
        });
    let done = update.exec(tx).await.map_err(|error| insert_error(error, "plan", &new.name))?;
    if done.rows_affected != 1 {
        return Ok(false);
    }
    watch_plan(tx, plans.0.id, &source).await?;
    if plans.0.schedule != plans.1.schedule {
        let now = now.read(tx).await?;
        schedule_changed(tx, plans, now).await?;
    }
    Ok(true)
}
