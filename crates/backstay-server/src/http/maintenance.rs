//! Maintenance windows.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use backstay_api::types::list::{PageQuery, Rows};
use backstay_api::types::maintenance::{MaintenanceCreate, MaintenanceView};
use backstay_core::domain::id::MaintenanceId;
use backstay_core::domain::schedule::Maintenance;
use backstay_core::managers::schedule;
use jiff::Timestamp;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Ask, Body, page};
use super::state::ServerState;

/// Longest name of a window: it is shown as a reason, on one line.
const NAME_LETTERS_MAX: usize = 200;

pub(super) async fn maintenance_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<MaintenanceView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let now = state.context.schedules.clock_read().await?;
    let rows = state.context.schedules.maintenance_page(now, caller.tenant(), page).await?;
    Ok(Json(Rows::page(rows.iter().map(MaintenanceView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn maintenance_create(
    State(state): State<ServerState>,
    Body(body): Body<MaintenanceCreate>,
) -> Result<(StatusCode, Json<MaintenanceView>), ApiError> {
    let now = state.context.schedules.clock_read().await?;
    let name = body.name.trim();
    if name.is_empty() || name.chars().count() > NAME_LETTERS_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name", format!("give one line of 1 to {NAME_LETTERS_MAX} letters")));
    }
    let tenant_id = match &body.tenant {
        Some(tenant) => Some(state.context.declarations.tenant_by_name(&tenant.parse()?).await?.id),
        None => None,
    };
    let from = instant("from", body.from.as_deref())?.unwrap_or(now);
    let until = instant("until", body.until.as_deref())?.unwrap_or(Timestamp::MAX);
    if until <= from || until <= now {
        return Err(ApiError::invalid("until", "the window ends before it begins, or is over"));
    }
    let window = Maintenance { name: name.to_owned(), tenant_id, from, until };
    let made = schedule::maintenance_declare(&state.context, window).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

fn instant(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let read = |text: &str| {
        text.parse().map_err(|_| ApiError::invalid(field, "write an instant such as 2026-11-21T02:30:00Z"))
    };
    text.map(read).transpose()
}

pub(super) async fn maintenance_remove(
    State(state): State<ServerState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: MaintenanceId = id.parse()?;
    schedule::maintenance_end(&state.context, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
