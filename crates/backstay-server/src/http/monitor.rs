//! Monitors.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::list::{NamedQuery, PageQuery, Rows};
use backstay_api::types::monitor::{MonitorCreate, MonitorUpdate, MonitorView, PingView, schedule};
use backstay_core::domain::monitor::Monitor;
use backstay_core::managers::monitor::{monitor_change, monitor_declare, monitor_retire as retire};
use serde::Serialize;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, named, page};
use super::state::ServerState;
use super::tag::{as_seen, tagged_as};

pub(super) async fn monitor_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<MonitorCreate>,
) -> Result<(StatusCode, Json<MonitorView>), ApiError> {
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let when = schedule(&body.schedule, body.time_zone.as_deref())?;
    let terms = (when, Duration::from_millis(body.grace_ms));
    let made = monitor_declare(&state.context, &*state.monitors, tenant, body.name.parse()?, terms).await?;
    Ok((StatusCode::CREATED, Json(view(&state, &made).await?)))
}

async fn view(state: &ServerState, row: &Monitor) -> Result<MonitorView, ApiError> {
    Ok(MonitorView::new(row, state.context.schedules.clock_read().await?))
}

pub(super) async fn monitor_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<NamedQuery>,
) -> Result<Json<Rows<MonitorView>>, ApiError> {
    let (filter, page) = named(caller.tenant(), query)?;
    let now = state.context.schedules.clock_read().await?;
    let rows = state.monitors.monitor_page(&filter, page).await?;
    let rows = rows.iter().map(|row| MonitorView::new(row, now)).collect();
    Ok(Json(Rows::page(rows, page.rows_max, |row: &MonitorView| &row.id)))
}

pub(super) async fn monitor_show(
    State(state): State<ServerState>,
    Own(row): Own<Monitor>,
) -> Result<impl IntoResponse, ApiError> {
    let view = view(&state, &row).await?;
    Ok(tagged_as(&declared(&view), view))
}

/// Returns what is declared of a monitor: what its pings said is no change by somebody else.
fn declared(view: &MonitorView) -> impl Serialize + use<> {
    (
        view.id.clone(),
        view.name.clone(),
        view.schedule.clone(),
        view.time_zone.clone(),
        view.grace_ms,
        view.retired_at.clone(),
    )
}

pub(super) async fn monitor_update(
    State(state): State<ServerState>,
    Own(row): Own<Monitor>,
    headers: HeaderMap,
    Body(body): Body<MonitorUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &declared(&view(&state, &row).await?))?;
    let when = match &body.schedule {
        Some(line) => Some(schedule(line, body.time_zone.as_deref())?),
        None if body.time_zone.is_some() => {
            return Err(ApiError::invalid("time_zone", "give the schedule with it"));
        }
        None => None,
    };
    let grace = body.grace_ms.map(Duration::from_millis);
    let changed = monitor_change(&state.context, &*state.monitors, row.id, (when, grace)).await?;
    let view = view(&state, &changed).await?;
    Ok(tagged_as(&declared(&view), view))
}

pub(super) async fn monitor_retire(
    State(state): State<ServerState>,
    Own(row): Own<Monitor>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    // What is retired already has another tag, and may be asked again.
    if row.retired_at.is_none() {
        as_seen(&headers, &declared(&view(&state, &row).await?))?;
    }
    retire(&state.context, &*state.monitors, row.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn ping_list(
    State(state): State<ServerState>,
    Own(row): Own<Monitor>,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<PingView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let pings = state.monitors.ping_page(row.id, page).await?;
    Ok(Json(Rows::page(pings.iter().map(PingView::from).collect(), page.rows_max, |row| &row.id)))
}
