//! Plans.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::job::EnqueuedView;
use backstay_api::types::list::{PageQuery, RetiredQuery, Rows};
use backstay_api::types::plan::{
    FitView, PlanCreate, PlanFit, PlanRequested, PlanScheduleView, PlanUpdate, PlanView, ScheduleQuery,
};
use backstay_api::types::retention::ItemRetentionView;
use backstay_core::domain::id::IdError;
use backstay_core::domain::job::JobKind;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::source::Source;
use backstay_core::domain::template::Templates;
use backstay_core::managers::plan::{self, PlanChange, PlanDeclaration};
use backstay_core::managers::schedule::{self, PauseWish};
use backstay_core::managers::{anomaly, fit, job_log, request, retention, retire};
use backstay_core::ports::store::Retirable;

use super::caller::{Asked, Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, may_be_retired, page};
use super::state::ServerState;
use super::tag::{as_seen, tagged};
use super::template::named;

pub(super) async fn plan_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<PlanCreate>,
) -> Result<(StatusCode, Json<PlanView>), ApiError> {
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let declared = PlanDeclaration {
        name: body.name.parse()?,
        source_id: caller.own::<Source>(&state, id("source_id", &body.source_id)?).await?.id,
        repository_id: caller.own::<Repository>(&state, id("repository_id", &body.repository_id)?).await?.id,
        template: body.template.as_deref().map(|text| named("template", text)).transpose()?,
        said: body.said()?,
    };
    let made = plan::plan_declare(&state.context, tenant, declared).await?;
    Ok((StatusCode::CREATED, Json(view(&state, &made).await?)))
}

/// Reads an id in a body.
fn id<I: std::str::FromStr<Err = IdError>>(field: &str, text: &str) -> Result<I, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(field, error))
}

/// Returns the view of a plan.
async fn view(state: &ServerState, row: &Plan) -> Result<PlanView, ApiError> {
    Ok(PlanView::new(row, &plan::templates(&state.context, row.tenant_id).await?))
}

pub(super) async fn plan_show(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(tagged(view(&state, &plan).await?))
}

pub(super) async fn plan_update(
    State(state): State<ServerState>,
    caller: Caller,
    Own(seen): Own<Plan>,
    headers: HeaderMap,
    Body(body): Body<PlanUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &view(&state, &seen).await?)?;
    let said = body.said(&seen.said)?;
    let repository_id = match &body.repository_id {
        Some(text) => Some(caller.own::<Repository>(&state, id("repository_id", text)?).await?.id),
        None => None,
    };
    let change = PlanChange {
        name: body.name.map(|name| name.parse()).transpose()?,
        repository_id,
        template: match &body.template {
            None => None,
            Some(wish) => Some(wish.as_deref().map(|text| named("template", text)).transpose()?),
        },
        said,
    };
    let changed = plan::plan_change(&state.context, &seen, change).await?;
    Ok(tagged(view(&state, &changed.ok_or_else(ApiError::changed)?).await?))
}

pub(super) async fn plan_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<RetiredQuery>,
) -> Result<Json<Rows<PlanView>>, ApiError> {
    let (filter, page) = may_be_retired(caller.tenant(), query)?;
    let plans = state.context.declarations.plan_page(&filter, page).await?;
    let owners: BTreeSet<_> = plans.iter().filter(|row| row.template.is_some()).map(|row| row.tenant_id).collect();
    let mut templates: BTreeMap<_, Templates> = BTreeMap::new();
    if !owners.is_empty() {
        // Of one tenant, or of all: not one question for each of hundreds.
        let of = owners.first().copied().filter(|_| owners.len() == 1);
        for row in state.context.declarations.template_list(of).await? {
            templates.entry(row.tenant_id).or_default().insert(row.name.clone(), row);
        }
    }
    let none = Templates::new();
    let one = |row: &Plan| PlanView::new(row, templates.get(&row.tenant_id).unwrap_or(&none));
    Ok(Json(Rows::page(plans.iter().map(one).collect(), page.rows_max, |row| &row.id)))
}

/// Items of which it is said how long they usually take: more than these scroll what matters away.
const USUAL_ITEMS_MAX: usize = 10;

pub(super) async fn plan_request(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    Own(plan): Own<Plan>,
) -> Result<(StatusCode, Json<PlanRequested>), ApiError> {
    let answers = request::plan_request(&state.context, &asking, plan.id).await?;
    state.wake.notify_one();
    let set_id = request::set_of(&asking, answers.len()).map(|id| id.to_string());
    let mut items = Vec::with_capacity(answers.len());
    for (place, (item, answer)) in answers.into_iter().enumerate() {
        let usual = match place < USUAL_ITEMS_MAX {
            true => job_log::usual(&state.context, JobKind::Backup, item.id).await?,
            false => None,
        };
        items.push(EnqueuedView::new(item.name, answer, usual));
    }
    Ok((StatusCode::ACCEPTED, Json(PlanRequested { set_id, items })))
}

/// Most plans of which it is said at once whether they fit: each is looked at beside those that share its overlap key.
const FIT_PLANS_MAX: usize = 50;

pub(super) async fn plan_fit(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<PlanFit>,
) -> Result<Json<FitView>, ApiError> {
    let tenant = caller.tenant_seen(&state, Some(&body.tenant)).await?;
    if body.plans.len() > FIT_PLANS_MAX {
        return Err(ApiError::invalid("plans", format!("ask for at most {FIT_PLANS_MAX} at once")));
    }
    let wish = body.read()?;
    for id in wish.plans.iter().filter_map(|plan| plan.source_id) {
        // What others back up, and how long that takes, is theirs.
        if caller.own::<Source>(&state, id).await?.tenant_id != tenant.id {
            return Err(ApiError::invalid("source_id", format!("source {id} is another tenant's")));
        }
    }
    Ok(Json(FitView { warnings: fit::wishes_fit(&state.context, tenant.id, wish).await? }))
}

/// Returns how far a plan is, as it is now.
async fn schedule_view(
    state: &ServerState,
    plan: &Plan,
    query: &ScheduleQuery,
) -> Result<Json<PlanScheduleView>, ApiError> {
    let count = query.count()?;
    let schedules = &state.context.schedules;
    let now = schedules.clock_read().await?;
    let (calendar, row) = (schedules.calendar_get(now).await?, schedules.schedule_get(plan.id).await?);
    Ok(Json(PlanScheduleView::new(plan, &row, &calendar, now, count)))
}

pub(super) async fn plan_schedule(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
    Ask(query): Ask<ScheduleQuery>,
) -> Result<Json<PlanScheduleView>, ApiError> {
    schedule_view(&state, &plan, &query).await
}

pub(super) async fn plan_retention(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<ItemRetentionView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let items = retention::plan_retention(&state.context, plan.id, page).await?;
    Ok(Json(Rows::page(items.iter().map(ItemRetentionView::from).collect(), page.rows_max, |row| &row.item_id)))
}

pub(super) async fn plan_pause(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<Json<PlanScheduleView>, ApiError> {
    schedule::plan_pause(&state.context, plan.id, PauseWish::Pause).await?;
    schedule_view(&state, &plan, &ScheduleQuery::default()).await
}

pub(super) async fn plan_resume(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<Json<PlanScheduleView>, ApiError> {
    schedule::plan_pause(&state.context, plan.id, PauseWish::Resume).await?;
    schedule_view(&state, &plan, &ScheduleQuery::default()).await
}

pub(super) async fn plan_clear(State(state): State<ServerState>, Own(plan): Own<Plan>) -> Result<StatusCode, ApiError> {
    anomaly::plan_clear(&state.context, plan.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn plan_retire(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    // What is retired already has another tag, and may be asked again.
    if plan.retired_at.is_none() {
        as_seen(&headers, &view(&state, &plan).await?)?;
    }
    retire::retire(&state.context, Retirable::Plan(plan.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
