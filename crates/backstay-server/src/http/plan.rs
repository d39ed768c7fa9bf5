//! Plans.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::job::EnqueuedView;
use backstay_api::types::list::{RetiredQuery, Rows};
use backstay_api::types::plan::{PlanCreate, PlanRequested, PlanScheduleView, PlanUpdate, PlanView, ScheduleView};
use backstay_api::types::retention::{ItemRetentionView, RetentionView};
use backstay_core::domain::id::IdError;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::schedule::{CatchUp, OverlapKey, Rhythm, START_WINDOW_DEFAULT, Schedule};
use backstay_core::domain::source::Source;
use backstay_core::managers::declaration::{self, PlanChange, PlanDeclaration};
use backstay_core::managers::schedule::{self, PauseWish};
use backstay_core::managers::{request, retention, retire};
use backstay_core::ports::store::Retirable;
use sha2::{Digest, Sha256};

use super::caller::{Asked, Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, optional};
use super::state::ServerState;

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
        schedule: schedule_of(body.schedule)?,
        rpo: Duration::from_millis(body.rpo_ms),
        retention: body.retention.read()?,
    };
    let made = declaration::plan_declare(&state.context, tenant, declared).await?;
    Ok((StatusCode::CREATED, Json(PlanView::from(&made))))
}

/// Judges a schedule.
fn schedule_of(view: ScheduleView) -> Result<Schedule, ApiError> {
    let rhythm = match (view.cron, view.every_ms) {
        (None, None) => Rhythm::OnRequest,
        (Some(expression), None) => Rhythm::Cron(expression),
        (None, Some(every)) => Rhythm::Every(Duration::from_millis(every)),
        (Some(_), Some(_)) => return Err(ApiError::invalid("schedule", "give cron or every_ms, not both")),
    };
    let overlap = optional("schedule.overlap", view.overlap.as_deref(), OverlapKey::from_word)?;
    let catch_up = optional("schedule.catch_up", view.catch_up.as_deref(), CatchUp::from_word)?;
    let start_window = view.start_window_ms.map_or(START_WINDOW_DEFAULT, Duration::from_millis);
    let zone = view.time_zone.unwrap_or_else(|| "UTC".to_owned());
    let jitter = Duration::from_millis(view.jitter_ms);
    let schedule = Schedule::new(rhythm, zone, jitter, overlap.unwrap_or(OverlapKey::Plan))?;
    Ok(schedule.with_start_window(start_window).with_catch_up(catch_up.unwrap_or(CatchUp::Once)))
}

/// Reads an id in a body.
fn id<I: std::str::FromStr<Err = IdError>>(field: &str, text: &str) -> Result<I, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(field, error))
}

/// Returns what goes with a plan as it is: its view's hash.
fn etag(view: &PlanView) -> String {
    let text = serde_json::to_string(view).expect("a plan is JSON");
    let hash: String = Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

/// Returns a plan with its tag.
fn tagged(plan: &Plan) -> impl IntoResponse + use<> {
    let view = PlanView::from(plan);
    ([(ETAG, etag(&view))], Json(view))
}

pub(super) async fn plan_show(Own(plan): Own<Plan>) -> impl IntoResponse {
    tagged(&plan)
}

pub(super) async fn plan_update(
    State(state): State<ServerState>,
    caller: Caller,
    Own(plan): Own<Plan>,
    headers: HeaderMap,
    Body(body): Body<PlanUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    if let Some(wanted) = headers.get(IF_MATCH) {
        let own = etag(&(&plan).into());
        let matches = |one: &str| matches!(one.trim(), "*") || one.trim() == own;
        if !wanted.to_str().is_ok_and(|list| list.split(',').any(matches)) {
            return Err(ApiError::changed());
        }
    }
    let repository_id = match &body.repository_id {
        Some(text) => Some(caller.own::<Repository>(&state, id("repository_id", text)?).await?.id),
        None => None,
    };
    let change = PlanChange {
        name: body.name.map(|name| name.parse()).transpose()?,
        repository_id,
        schedule: body.schedule.map(schedule_of).transpose()?,
        rpo: body.rpo_ms.map(Duration::from_millis),
        retention: body.retention.as_ref().map(RetentionView::read).transpose()?,
    };
    let changed = declaration::plan_change(&state.context, &plan, change).await?;
    Ok(tagged(&changed.ok_or_else(ApiError::changed)?))
}

pub(super) async fn plan_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<RetiredQuery>,
) -> Result<Json<Rows<PlanView>>, ApiError> {
    let mut plans = state.context.declarations.plan_list(caller.tenant()).await?;
    plans.retain(|row| query.retired || row.retired_at.is_none());
    Ok(Json(Rows::whole(plans.iter().map(PlanView::from).collect())))
}

pub(super) async fn plan_request(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    Own(plan): Own<Plan>,
) -> Result<(StatusCode, Json<PlanRequested>), ApiError> {
    let answers = request::plan_request(&state.context, &asking, plan.id).await?;
    state.wake.notify_one();
    let items = answers.into_iter().map(|(item, answer)| EnqueuedView::new(item.name, answer)).collect();
    Ok((StatusCode::ACCEPTED, Json(PlanRequested { items })))
}

/// Returns how far a plan is, as it is now.
async fn schedule_view(state: &ServerState, plan: &Plan) -> Result<Json<PlanScheduleView>, ApiError> {
    let schedules = &state.context.schedules;
    let now = schedules.clock_read().await?;
    let (calendar, row) = (schedules.calendar_get(now).await?, schedules.schedule_get(plan.id).await?);
    Ok(Json(PlanScheduleView::new(plan, &row, &calendar, now)))
}

pub(super) async fn plan_schedule(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<Json<PlanScheduleView>, ApiError> {
    schedule_view(&state, &plan).await
}

pub(super) async fn plan_retention(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<Json<Rows<ItemRetentionView>>, ApiError> {
    let items = retention::plan_retention(&state.context, plan.id).await?;
    Ok(Json(Rows::whole(items.iter().map(ItemRetentionView::from).collect())))
}

pub(super) async fn plan_pause(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<Json<PlanScheduleView>, ApiError> {
    schedule::plan_pause(&state.context, plan.id, PauseWish::Pause).await?;
    schedule_view(&state, &plan).await
}

pub(super) async fn plan_resume(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<Json<PlanScheduleView>, ApiError> {
    schedule::plan_pause(&state.context, plan.id, PauseWish::Resume).await?;
    schedule_view(&state, &plan).await
}

pub(super) async fn plan_retire(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
) -> Result<StatusCode, ApiError> {
    retire::retire(&state.context, Retirable::Plan(plan.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
