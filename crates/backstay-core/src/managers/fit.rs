//! Whether plans that keep out of one another's way can keep their windows: from their schedules, and from how long their
//! backups took.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::declaration::DeclareError;
use super::plan::{bare, templates};
use crate::domain::id::{PlanId, RepositoryId, SourceId, TemplateId, TenantId};
use crate::domain::job::JobKind;
use crate::domain::name::Name;
use crate::domain::overlap::{Load, windows_fit};
use crate::domain::plan::Plan;
use crate::domain::rpo::{DURATIONS_MAX, expected_duration};
use crate::domain::schedule::{OverlapKey, ScheduleState, next};
use crate::domain::template::{Said, Template, settled};
use crate::ports::store::{JobFilter, StoreError};

/// Plans of one tenant that are looked at.
const PLANS_MAX: usize = 20;

/// Items of a plan whose history is asked for; the others are taken to be like these.
const ITEMS_MAX: usize = 5;

/// Starts of a plan between which the shortest time is looked for: a week of every four hours.
const STARTS: usize = 42;

/// Returns warnings about a plan whose overlap key it shares with others, in words; none when all fit, and when nothing is
/// known yet of how long they take.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn warnings(context: &Context, plan: &Plan, now: Timestamp) -> Result<Vec<String>, StoreError> {
    if plan.schedule.overlap() != OverlapKey::Tenant {
        return Ok(Vec::new());
    }
    let plans = context.declarations.plan_list(Some(plan.tenant_id)).await?;
    among(context, plan, &plans, &mut HashMap::new(), now).await
}

/// As [`warnings`], among plans of which some may be wished for and not declared yet. What a plan needs is `known` once it was
/// looked at.
async fn among(
    context: &Context,
    plan: &Plan,
    plans: &[Plan],
    known: &mut HashMap<PlanId, Option<Load>>,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    if plan.schedule.overlap() != OverlapKey::Tenant {
        return Ok(Vec::new());
    }
    let shares = |other: &&Plan| {
        other.retired_at.is_none() && other.schedule.overlap() == OverlapKey::Tenant && other.id != plan.id
    };
    let others = plans.iter().filter(shares).take(PLANS_MAX - 1);
    let mut loads = Vec::new();
    for plan in [plan].into_iter().chain(others) {
        let load = match known.entry(plan.id) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(place) => place.insert(load(context, plan, now).await?),
        };
        loads.extend(load.clone());
    }
    let of_this = format!("{} may wait ", plan.name);
    let all = windows_fit(&loads).into_iter();
    Ok(all.filter(|words| words.contains(" together need ") || words.starts_with(&of_this)).collect())
}

/// A plan as somebody wishes it.
#[derive(Debug, Clone)]
pub struct PlanWish {
    /// Its name: of one that is there, or of one that is not.
    pub name: Name,
    /// What it backs up; none for a source that is not there yet, of which nothing is known.
    pub source_id: Option<SourceId>,
    /// Its template.
    pub template: Option<Name>,
    /// What it says.
    pub said: Said,
}

/// What somebody wishes of a tenant, before any of it is declared.
#[derive(Debug, Clone, Default)]
pub struct FitWish {
    /// Plans that are to be so.
    pub plans: Vec<PlanWish>,
    /// Templates that are to be so: name, the one above, what it says.
    pub templates: Vec<(Name, Option<Name>, Said)>,
    /// Names of plans that are to end.
    pub ending: Vec<Name>,
}

/// Returns what [`warnings`] will be of each plan that is wished for, once all that is wished is declared.
///
/// # Errors
/// [`DeclareError`].
pub async fn wishes_fit(context: &Context, tenant: TenantId, wish: FitWish) -> Result<Vec<String>, DeclareError> {
    let now = context.schedules.clock_read().await?;
    let mut templates = templates(context, tenant).await?;
    for (name, above, said) in wish.templates {
        let id = templates.get(&name).map_or_else(|| TemplateId::new(now, context.ten()), |row| row.id);
        templates.insert(name.clone(), Template { id, tenant_id: tenant, name, said, above });
    }
    let known = context.declarations.plan_list(Some(tenant)).await?;
    let stays = |plan: &Plan| plan.retired_at.is_none() && !wish.ending.contains(&plan.name);
    let mut plans: Vec<Plan> = known.into_iter().filter(stays).collect();
    for wished in &wish.plans {
        let there = plans.iter().position(|plan| plan.name == wished.name);
        let fresh = || {
            // Of what is not there yet nothing is known.
            let nowhere = (SourceId::new(now, context.ten()), RepositoryId::new(now, context.ten()));
            bare(context, (tenant, wished.name.clone()), nowhere, now)
        };
        let mut plan = there.map_or_else(fresh, |place| plans.remove(place));
        plan.source_id = wished.source_id.unwrap_or(plan.source_id);
        (plan.template, plan.said) = (wished.template.clone(), wished.said.clone());
        plans.push(plan);
    }
    let mut plans = plans.iter().map(|plan| settled(plan, &templates)).collect::<Result<Vec<_>, _>>()?;
    // In the order in which they are listed when all of them are declared.
    plans.sort_by(|left, right| (&left.name, left.id).cmp(&(&right.name, right.id)));
    let mut known = HashMap::new();
    let mut said = Vec::new();
    for plan in plans.iter().filter(|plan| wish.plans.iter().any(|wished| wished.name == plan.name)) {
        for words in among(context, plan, &plans, &mut known, now).await? {
            if !said.contains(&words) {
                said.push(words);
            }
        }
    }
    Ok(said)
}

/// Returns what a plan's work needs; none for one that starts on request only.
async fn load(context: &Context, plan: &Plan, now: Timestamp) -> Result<Option<Load>, StoreError> {
    let state = match context.schedules.schedule_get(plan.id).await {
        // It is wished for, and nothing of it was planned yet.
        Err(StoreError::NotFound { .. }) => ScheduleState::new(plan.id, now),
        answer => answer?,
    };
    let starts: Vec<Timestamp> = next(&state.planned(plan), now, STARTS).into_iter().map(|(at, _)| at).collect();
    let between = |pair: &[Timestamp]| Duration::try_from(pair[1].duration_since(pair[0])).ok();
    let Some(interval) = starts.windows(2).filter_map(between).min() else { return Ok(None) };
    let items = context.declarations.item_list(plan.source_id).await?;
    let live: Vec<_> = items.iter().filter(|item| item.vanished_at.is_none()).collect();
    let (mut expected, mut known) = (Duration::ZERO, 0u32);
    for item in live.iter().take(ITEMS_MAX) {
        // A plan that is new is expected to take as long as others of its items.
        let like = JobFilter { item_id: Some(item.id), kind: Some(JobKind::Backup), ..JobFilter::default() };
        let mut newest = context.jobs.job_durations(like, DURATIONS_MAX as u32).await?;
        if !newest.is_empty() {
            newest.reverse();
            expected += expected_duration(&newest);
            known += 1;
        }
    }
    // What never ran says nothing of how long it takes.
    if let Some(each) = expected.checked_div(known) {
        expected = each.saturating_mul(u32::try_from(live.len()).unwrap_or(u32::MAX));
    }
    Ok(Some(Load { name: plan.name.to_string(), interval, expected, start_window: plan.schedule.start_window() }))
}
