//! Templates of plans, in memory.

use backstay_core::domain::id::{TemplateId, TenantId};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::template::{self as rules, Template, Templates, settled};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;

use super::Rows;
use super::declaration::{found, parent};

/// Says that somebody changes the templates that something stands under.
pub(super) fn changing(noun: &'static str, key: impl ToString) -> StoreError {
    StoreError::Busy { noun, key: key.to_string(), by: "a template above it changes".to_owned() }
}

impl Rows {
    fn templates_of(&self, tenant: TenantId) -> Templates {
        rules::of_tenant(self.templates.values().cloned(), tenant)
    }

    /// Says whether a plan has the values that hold under its template.
    pub(super) fn holds(&self, plan: &Plan) -> bool {
        let settled = || settled(plan, &self.templates_of(plan.tenant_id));
        plan.template.is_none() || settled().is_ok_and(|settled| settled == *plan)
    }

    pub(super) fn template_add(&mut self, new: &Template) -> Result<(), StoreError> {
        let mut all = self.templates_of(new.tenant_id);
        if all.insert(new.name.clone(), new.clone()).is_some() {
            return Err(StoreError::Taken { noun: "template", key: new.name.to_string() });
        }
        parent(self.tenants.contains_key(&new.tenant_id), "tenant", new.tenant_id)?;
        rules::line(&new.name, &all).map_err(|_| changing("template", &new.name))?;
        self.templates.insert(new.id, new.clone());
        Ok(())
    }

    pub(super) fn template_replace(&mut self, old: &Template, new: &Template, now: Timestamp) -> Option<Vec<Plan>> {
        let mut all = self.templates_of(old.tenant_id);
        all.insert(new.name.clone(), new.clone());
        if self.templates.get(&old.id) != Some(old) || rules::judge(&all).is_err() {
            return None;
        }
        self.templates.insert(old.id, new.clone());
        let under =
            |plan: &&Plan| plan.template.is_some() && plan.tenant_id == old.tenant_id && plan.retired_at.is_none();
        let plans: Vec<Plan> = self.plans.values().filter(under).cloned().collect();
        let settle = |plan: Plan| (settled(&plan, &all).expect("the templates were judged"), plan);
        let changed: Vec<_> = plans.into_iter().map(settle).filter(|(new, old)| new != old).collect();
        changed.iter().for_each(|(new, old)| self.put_plan(old, new, now));
        Some(changed.into_iter().map(|(new, _)| new).collect())
    }

    pub(super) fn template_remove(&mut self, id: TemplateId) -> Result<Vec<String>, StoreError> {
        let gone = found(self.templates.get(&id), "template", id)?;
        let all = self.templates_of(gone.tenant_id);
        let templates = all.values().filter(|row| row.above.as_ref() == Some(&gone.name));
        let stands = |row: &&Plan| {
            row.template.as_ref() == Some(&gone.name) && row.tenant_id == gone.tenant_id && row.retired_at.is_none()
        };
        let mut plans: Vec<_> = self.plans.values().filter(stands).map(|row| format!("plan {}", row.name)).collect();
        plans.sort();
        let by: Vec<_> = templates.map(|row| format!("template {}", row.name)).chain(plans).collect();
        if by.is_empty() {
            self.templates.remove(&id);
        }
        Ok(by)
    }
}
