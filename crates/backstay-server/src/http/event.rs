//! Events.

use axum::Json;
use axum::extract::State;
use backstay_api::types::change::ChainView;
use backstay_api::types::event::{EventQuery, EventStreamQuery, EventView};
use backstay_api::types::list::Rows;
use backstay_core::managers::event;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Ask, page};
use super::state::ServerState;

pub(super) async fn event_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<EventQuery>,
) -> Result<Json<Rows<EventView>>, ApiError> {
    let tenant = caller.tenant_seen(&state, query.tenant.as_deref()).await?;
    let page = page(query.before.as_deref(), query.limit)?;
    let events = state.context.history.event_page(tenant.id, page).await?;
    let rows = events.iter().map(EventView::from).collect();
    Ok(Json(Rows::page_by(rows, page.rows_max, |row: &EventView| row.sequence.to_string())))
}

pub(super) async fn event_verify(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<EventStreamQuery>,
) -> Result<Json<ChainView>, ApiError> {
    let tenant = caller.tenant_seen(&state, query.tenant.as_deref()).await?;
    Ok(Json(event::event_verify(&state.context, tenant.id, query.from_sequence.unwrap_or(1)).await?.into()))
}
