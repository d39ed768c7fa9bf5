//! Takes in plans and their templates, and sees to it that a plan's row always has the values that hold.
//!
//! A plan says some values itself and takes the others from its template, from the one above that, or from us (decision
//! 0030). Who works with plans reads their rows alone. So the values that hold are written with what made them change:
//! with the plan's change, or with the template's, for all plans under it.

use jiff::Timestamp;

use super::context::Context;
use super::declaration::{DeclareError, RPO_MIN};
use super::follow_up;
use super::retry::plan_lift;
use crate::domain::adoption::FOREIGN_KIND;
use crate::domain::backup::BackupTerms;
use crate::domain::id::{PlanId, RepositoryId, SourceId, TemplateId, TenantId};
use crate::domain::name::Name;
use crate::domain::plan::Plan;
use crate::domain::retention::RetentionPolicy;
use crate::domain::schedule::Schedule;
use crate::domain::template::{self, RPO_DEFAULT, Said, Template, TemplateError, Templates, settled};
use crate::ports::store::StoreError;

/// A plan as somebody declares it.
#[derive(Debug, Clone)]
pub struct PlanDeclaration {
    /// Its name.
    pub name: Name,
    /// What is read.
    pub source_id: SourceId,
    /// Where the snapshots lie.
    pub repository_id: RepositoryId,
    /// Whose values it takes where it says nothing.
    pub template: Option<Name>,
    /// What it says itself.
    pub said: Said,
}

/// What is to change of a plan; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct PlanChange {
    /// Its name.
    pub name: Option<Name>,
    /// Where the next snapshots lie.
    pub repository_id: Option<RepositoryId>,
    /// Whose values it takes where it says nothing; inside, none for nobody's.
    pub template: Option<Option<Name>>,
    /// All that it says itself.
    pub said: Option<Said>,
}

/// Judges what is said.
fn judge(said: &Said) -> Result<(), DeclareError> {
    said.judge()?;
    said.judge_backup()?;
    match said.rpo {
        Some(given) if given < RPO_MIN => Err(DeclareError::Rpo { given }),
        _ => Ok(()),
    }
}

/// Returns the templates of a tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn templates(context: &Context, tenant: TenantId) -> Result<Templates, StoreError> {
    Ok(template::of_tenant(context.declarations.template_list(Some(tenant)).await?, tenant))
}

/// Returns a plan with the values that hold, in the place of the one that was seen.
async fn settle(context: &Context, plan: Plan, seen: Option<&Plan>) -> Result<Plan, DeclareError> {
    judge(&plan.said)?;
    let plan = settled(&plan, &templates(context, plan.tenant_id).await?)?;
    follow_up::judge(context, &plan, seen).await?;
    Ok(plan)
}

/// Changes a plan that must still be as `seen`, lifts its parked jobs, and returns it; none when somebody else changed it
/// or its template.
///
/// # Errors
/// [`DeclareError`]: an RPO that is too short, a repository of another tenant, an unknown template, a taken name.
pub async fn plan_change(context: &Context, seen: &Plan, change: PlanChange) -> Result<Option<Plan>, DeclareError> {
    if seen.retired_at.is_some() {
        return Err(StoreError::Retired { noun: "plan", key: seen.name.to_string() }.into());
    }
    let repository_id = change.repository_id.unwrap_or(seen.repository_id);
    let repository = context.declarations.repository_get(repository_id).await?;
    if repository.tenant_id != seen.tenant_id {
        return Err(DeclareError::OtherTenant { noun: "repository", id: repository_id.to_string() });
    }
    let moved_at = match repository_id == seen.repository_id {
        true => seen.moved_at,
        // There is nothing of it there yet: its RPO is counted anew.
        false => Some(context.schedules.clock_read().await?),
    };
    let changed = Plan {
        name: change.name.unwrap_or_else(|| seen.name.clone()),
        repository_id,
        moved_at,
        template: change.template.unwrap_or_else(|| seen.template.clone()),
        said: change.said.unwrap_or_else(|| seen.said.clone()),
        ..seen.clone()
    };
    let changed = settle(context, changed, Some(seen)).await?;
    if !context.declarations.plan_replace(seen, &changed).await? {
        return Ok(None);
    }
    // What went wrong too often may go well now.
    plan_lift(context, &changed).await?;
    Ok(Some(changed))
}

/// Declares a plan over a source and a repository of the same tenant.
///
/// # Errors
/// [`DeclareError`]: an RPO that is too short, a source or repository of another tenant, an unknown template, a taken
/// name.
pub async fn plan_declare(
    context: &Context,
    tenant: TenantId,
    declaration: PlanDeclaration,
) -> Result<Plan, DeclareError> {
    judge(&declaration.said)?;
    let source = context.declarations.source_get(declaration.source_id).await?;
    let repository = context.declarations.repository_get(declaration.repository_id).await?;
    if source.tenant_id != tenant {
        return Err(DeclareError::OtherTenant { noun: "source", id: source.id.to_string() });
    }
    if source.kind == FOREIGN_KIND {
        return Err(DeclareError::ForeignSource { name: source.name });
    }
    if repository.tenant_id != tenant {
        return Err(DeclareError::OtherTenant { noun: "repository", id: repository.id.to_string() });
    }
    // From then on its schedule names moments, and its RPO is counted.
    let now = context.schedules.clock_read().await?;
    let bare = bare(context, (tenant, declaration.name), (source.id, repository.id), now);
    let plan = Plan { template: declaration.template, said: declaration.said, ..bare };
    let plan = settle(context, plan, None).await?;
    context.declarations.plan_add(&plan).await?;
    Ok(plan)
}

/// Returns a new plan that says nothing itself and is under no template.
pub(super) fn bare(
    context: &Context,
    (tenant_id, name): (TenantId, Name),
    (source_id, repository_id): (SourceId, RepositoryId),
    created_at: Timestamp,
) -> Plan {
    Plan {
        id: PlanId::new(created_at, context.ten()),
        tenant_id,
        name,
        source_id,
        repository_id,
        template: None,
        said: Said::default(),
        schedule: Schedule::on_request(),
        rpo: RPO_DEFAULT,
        retention: RetentionPolicy::default(),
        backup: BackupTerms::default(),
        created_at,
        moved_at: None,
        retired_at: None,
    }
}

/// Declares a template.
///
/// # Errors
/// [`DeclareError`]: a wrong value, an unknown template above it or too many, a taken name.
pub async fn template_declare(
    context: &Context,
    tenant: TenantId,
    name: Name,
    above: Option<Name>,
    said: Said,
) -> Result<Template, DeclareError> {
    judge(&said)?;
    let id = TemplateId::new(context.now(), context.ten());
    let made = Template { id, tenant_id: tenant, name, said, above };
    let mut all = templates(context, tenant).await?;
    if !all.contains_key(&made.name) {
        all.insert(made.name.clone(), made.clone());
        template::line(&made.name, &all)?;
    }
    context.declarations.template_add(&made).await?;
    Ok(made)
}

/// Puts `new` in the place of a template that must still be as it was seen, with the consequences for each plan under it
/// that a change of that plan would have. Returns the plans that changed; none when somebody else changed the template.
///
/// # Errors
/// [`DeclareError`]: a wrong value, an unknown template above it, too many, or itself.
pub async fn template_change(
    context: &Context,
    seen: &Template,
    new: &Template,
) -> Result<Option<Vec<Plan>>, DeclareError> {
    judge(&new.said)?;
    let mut all = templates(context, seen.tenant_id).await?;
    all.insert(new.name.clone(), new.clone());
    template::judge(&all)?;
    follow_up::judge_templates(context, seen.tenant_id, &all).await?;
    let Some(plans) = context.declarations.template_replace(seen, new).await? else { return Ok(None) };
    for plan in &plans {
        plan_lift(context, plan).await?;
    }
    Ok(Some(plans))
}

/// Why a template is not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Plans or templates stand under it.
    #[error("the template is in use: {}", by.join(", "))]
    InUse {
        /// What stands under it, each with its noun.
        by: Vec<String>,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes a template under which no plan that lives and no other template stands.
///
/// # Errors
/// [`RemoveError::InUse`]; [`StoreError::NotFound`] when there is no such template.
pub async fn template_remove(context: &Context, id: TemplateId) -> Result<(), RemoveError> {
    let by = context.declarations.template_remove(id).await?;
    if by.is_empty() { Ok(()) } else { Err(RemoveError::InUse { by }) }
}

/// Returns a line for each value of a plan: its name, what holds, who said it. Of a template that is gone (the plan is
/// retired) its name is said.
pub fn origins(plan: &Plan, templates: &Templates) -> Vec<(&'static str, String, String)> {
    match template::of_plan(plan, templates) {
        Ok(holds) => holds.lines(),
        Err(TemplateError::Unknown { name } | TemplateError::Deep { name }) => {
            let all = Said::all(&plan.schedule, plan.rpo, &plan.retention, &plan.backup);
            let own = template::effective(&plan.said, &[]).lines();
            let held = template::effective(&all, &[]).lines().into_iter().zip(own);
            let line = |((value, text, _), (_, _, said_by)): ((_, _, _), (_, _, String))| {
                let said_by = if said_by == "plan" { said_by } else { format!("template {name}, which is gone") };
                (value, text, said_by)
            };
            held.map(line).collect()
        }
    }
}
