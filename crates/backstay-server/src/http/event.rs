//! Events.

use axum::Json;
use axum::extract::State;
use backstay_api::types::event::{EventQuery, EventView};
use backstay_api::types::list::Rows;
use backstay_core::domain::name::Name;

use super::error::ApiError;
use super::extract::{Ask, rows};
use super::state::ServerState;

/// The tenant of an installation for one person.
const DEFAULT_TENANT: &str = "default";

pub(super) async fn event_list(
    State(state): State<ServerState>,
    Ask(query): Ask<EventQuery>,
) -> Result<Json<Rows<EventView>>, ApiError> {
    let name = query.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let name: Name = name.parse().map_err(|error| ApiError::invalid("tenant", error))?;
    let tenant = state.context.declarations.tenant_by_name(&name).await?;
    let from = query.from_sequence.unwrap_or(1);
    let events = state.context.history.event_list(tenant.id, from, rows(query.limit)?).await?;
    Ok(Json(Rows::whole(events.iter().map(EventView::from).collect())))
}
