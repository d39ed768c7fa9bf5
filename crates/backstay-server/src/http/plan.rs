//! Plans.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::job::EnqueuedView;
use backstay_api::types::list::Rows;
use backstay_api::types::plan::{PlanCreate, PlanRequested, PlanView, ScheduleView};
use backstay_core::domain::id::PlanId;
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule};
use backstay_core::managers::declaration::{self, PlanDeclaration};
use backstay_core::managers::request;

use super::error::ApiError;
use super::extract::{Body, PathId, optional};
use super::source::tenant_of;
use super::state::ServerState;

pub(super) async fn plan_create(
    State(state): State<ServerState>,
    Body(body): Body<PlanCreate>,
) -> Result<(StatusCode, Json<PlanView>), ApiError> {
    let tenant = tenant_of(&state, &body.tenant).await?;
    let declared = PlanDeclaration {
        name: body.name.parse()?,
        source_id: body.source_id.parse().map_err(|error| ApiError::invalid("source_id", error))?,
        repository_id: body.repository_id.parse().map_err(|error| ApiError::invalid("repository_id", error))?,
        schedule: schedule_of(body.schedule)?,
        rpo: Duration::from_millis(body.rpo_ms),
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
    let word = |word: &str| match word {
        "plan" => Some(OverlapKey::Plan),
        "tenant" => Some(OverlapKey::Tenant),
        _ => None,
    };
    let overlap = optional("schedule.overlap", view.overlap.as_deref(), word)?.unwrap_or(OverlapKey::Plan);
    let zone = view.time_zone.unwrap_or_else(|| "UTC".to_owned());
    Ok(Schedule::new(rhythm, zone, Duration::from_millis(view.jitter_ms), overlap)?)
}

pub(super) async fn plan_list(State(state): State<ServerState>) -> Result<Json<Rows<PlanView>>, ApiError> {
    let plans = state.context.declarations.plan_list(None).await?;
    Ok(Json(Rows::whole(plans.iter().map(PlanView::from).collect())))
}

pub(super) async fn plan_request(
    State(state): State<ServerState>,
    PathId(id): PathId<PlanId>,
) -> Result<(StatusCode, Json<PlanRequested>), ApiError> {
    let answers = request::plan_request(&state.context, id).await?;
    state.wake.notify_one();
    let items = answers.into_iter().map(|(item, answer)| EnqueuedView::new(item.name, answer)).collect();
    Ok((StatusCode::ACCEPTED, Json(PlanRequested { items })))
}
