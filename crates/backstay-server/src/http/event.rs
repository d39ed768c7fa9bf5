//! Events.

use axum::Json;
use axum::extract::State;
use backstay_api::types::event::{EventQuery, EventView};
use backstay_api::types::list::Rows;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Ask, rows};
use super::state::ServerState;

pub(super) async fn event_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<EventQuery>,
) -> Result<Json<Rows<EventView>>, ApiError> {
    let tenant = caller.tenant_seen(&state, query.tenant.as_deref()).await?;
    let from = query.from_sequence.unwrap_or(1);
    let events = state.context.history.event_list(tenant.id, from, rows(query.limit)?).await?;
    Ok(Json(Rows::whole(events.iter().map(EventView::from).collect())))
}
