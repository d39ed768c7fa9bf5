//! Templates of plans. What holds for a plan is written into its row with what made it change: here and in
//! `declaration`. Whoever writes either locks the tenant, so that one comes before the other.

use backstay_core::domain::id::{TemplateId, TenantId};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::template::{self as rules, Template, Templates, settled};
use backstay_core::ports::store::StoreError;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};

use crate::Database;
use crate::database::commit;
use crate::declaration::{found, put_plan};
use crate::entity::{plan, template};
use crate::error::{insert_error, store_error};
use crate::event::tenant_locked;

/// Returns the templates of a tenant.
async fn of_tenant(tx: &impl ConnectionTrait, tenant: TenantId) -> Result<Templates, StoreError> {
    let query = template::Entity::find().filter(template::Column::TenantId.eq(tenant.to_string()));
    let rows = query.all(tx).await.map_err(store_error)?;
    let rows = rows.into_iter().map(template::Model::read).collect::<Result<Vec<_>, _>>()?;
    Ok(rules::of_tenant(rows, tenant))
}

/// Says whether a plan has the values that hold under its template. Its tenant is locked by the caller.
pub(crate) async fn holds(tx: &DatabaseTransaction, plan: &Plan) -> Result<bool, StoreError> {
    if plan.template.is_none() {
        return Ok(true);
    }
    Ok(settled(plan, &of_tenant(tx, plan.tenant_id).await?).is_ok_and(|settled| settled == *plan))
}

/// Says that somebody changes the templates that something stands under.
pub(crate) fn changing(noun: &'static str, key: impl ToString) -> StoreError {
    StoreError::Busy { noun, key: key.to_string(), by: "a template above it changes".to_owned() }
}

impl Database {
    pub(crate) async fn template_add_once(&self, new: &Template) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        tenant_locked(&tx, new.tenant_id).await?;
        let mut all = of_tenant(&tx, new.tenant_id).await?;
        if all.contains_key(&new.name) {
            return Err(StoreError::Taken { noun: "template", key: new.name.to_string() });
        }
        all.insert(new.name.clone(), new.clone());
        rules::line(&new.name, &all).map_err(|_| changing("template", &new.name))?;
        let insert = template::Entity::insert(template::Model::of(new).into_active_model());
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "template", new.name.as_str()))?;
        commit(tx).await
    }

    pub(crate) async fn template_of(&self, id: TemplateId) -> Result<Template, StoreError> {
        let row = template::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "template", id)?.read()
    }

    pub(crate) async fn template_replace_once(
        &self,
        old: &Template,
        new: &Template,
    ) -> Result<Option<Vec<Plan>>, StoreError> {
        let tx = self.begin().await?;
        tenant_locked(&tx, old.tenant_id).await?;
        let mut all = of_tenant(&tx, old.tenant_id).await?;
        if all.get(&old.name) != Some(old) {
            return Ok(None);
        }
        all.insert(new.name.clone(), new.clone());
        if rules::judge(&all).is_err() {
            return Ok(None);
        }
        let row = template::Model::of(new);
        let update = template::Entity::update_many()
            .col_expr(template::Column::AboveName, Expr::val(row.above_name))
            .col_expr(template::Column::SaidJson, Expr::val(row.said_json))
            .filter(template::Column::Id.eq(row.id));
        update.exec(&tx).await.map_err(store_error)?;
        let mut changed = Vec::new();
        for plan in under(&tx, old.tenant_id).await? {
            let settled = settled(&plan, &all).map_err(|error| StoreError::Unreadable {
                table: "plan",
                row: plan.id.to_string(),
                problem: error.to_string(),
            })?;
            if settled != plan && put_plan(&tx, &self.now, &plan, &settled).await? {
                changed.push(settled);
            }
        }
        commit(tx).await?;
        Ok(Some(changed))
    }

    pub(crate) async fn template_remove_once(&self, id: TemplateId) -> Result<Vec<String>, StoreError> {
        let gone = self.template_of(id).await?;
        let tx = self.begin().await?;
        tenant_locked(&tx, gone.tenant_id).await?;
        let all = of_tenant(&tx, gone.tenant_id).await?;
        let templates = all.values().filter(|row| row.above.as_ref() == Some(&gone.name));
        let plans = under(&tx, gone.tenant_id).await?;
        let mut plans: Vec<_> = plans.iter().filter(|row| row.template.as_ref() == Some(&gone.name)).collect();
        plans.sort_by_key(|row| &row.name);
        let plans = plans.into_iter().map(|row| format!("plan {}", row.name));
        let by: Vec<String> = templates.map(|row| format!("template {}", row.name)).chain(plans).collect();
        if by.is_empty() {
            template::Entity::delete_by_id(id.to_string()).exec(&tx).await.map_err(store_error)?;
            commit(tx).await?;
        }
        Ok(by)
    }
}

/// Returns the plans of a tenant that live and have a template.
async fn under(tx: &DatabaseTransaction, tenant: TenantId) -> Result<Vec<Plan>, StoreError> {
    let query = plan::Entity::find()
        .filter(plan::Column::TenantId.eq(tenant.to_string()))
        .filter(plan::Column::RetiredMark.eq(""))
        .filter(plan::Column::TemplateName.is_not_null());
    query.all(tx).await.map_err(store_error)?.into_iter().map(plan::Model::read).collect()
}
