//! Purges of tenants.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::purge::{PurgeAnnounce, PurgeConfirm, PurgeView};
use backstay_core::domain::purge::{Purge, WAIT_DEFAULT};
use backstay_core::domain::tenant::Tenant;
use backstay_core::managers::access::Asker;
use backstay_core::managers::purge::{self, PurgePorts, inventory};

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::Body;
use super::state::ServerState;

fn ports(state: &ServerState) -> PurgePorts<'_> {
    let (purges, keeper, access, monitors) = (&*state.purges, &*state.keeper, &*state.access, &*state.monitors);
    PurgePorts { purges, keeper, access, monitors }
}

async fn view(state: &ServerState, tenant: &Tenant, purge: Option<Purge>) -> Result<Json<PurgeView>, ApiError> {
    let is_done = purge.as_ref().is_some_and(|purge| purge.record.is_some());
    let all = if is_done { None } else { Some(inventory(&state.context, ports(state), tenant.id).await?) };
    Ok(Json(PurgeView::new(tenant.id.to_string(), purge.as_ref(), all.as_ref())))
}

pub(super) async fn purge_show(
    State(state): State<ServerState>,
    Own(tenant): Own<Tenant>,
) -> Result<Json<PurgeView>, ApiError> {
    let purge = state.purges.purge_get(tenant.id).await?;
    view(&state, &tenant, purge).await
}

pub(super) async fn purge_announce(
    State(state): State<ServerState>,
    Own(tenant): Own<Tenant>,
    Body(body): Body<PurgeAnnounce>,
) -> Result<Json<PurgeView>, ApiError> {
    let wait = body.wait_ms.map_or(WAIT_DEFAULT, Duration::from_millis);
    let purge = purge::purge_announce(&state.context, ports(&state), &tenant, wait).await?;
    view(&state, &tenant, Some(purge)).await
}

pub(super) async fn purge_cancel(
    State(state): State<ServerState>,
    Own(tenant): Own<Tenant>,
) -> Result<StatusCode, ApiError> {
    purge::purge_cancel(ports(&state), tenant.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn purge_confirm(
    State(state): State<ServerState>,
    caller: Caller,
    Own(tenant): Own<Tenant>,
    Body(body): Body<PurgeConfirm>,
) -> Result<Json<PurgeView>, ApiError> {
    let id = body.purge_id.parse().map_err(|error| ApiError::invalid("purge_id", error))?;
    let asker = Asker { token_id: caller.identity.token_id, scope: &caller.identity.scope };
    let purge = purge::purge_confirm(&state.context, ports(&state), asker, &tenant, id).await?;
    view(&state, &tenant, Some(purge)).await
}
