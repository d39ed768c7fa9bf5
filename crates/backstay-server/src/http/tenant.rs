//! Tenants.

use axum::Json;
use axum::extract::State;
use backstay_api::types::list::Rows;
use backstay_api::types::tenant::TenantView;

use super::error::ApiError;
use super::state::ServerState;

pub(super) async fn tenant_list(State(state): State<ServerState>) -> Result<Json<Rows<TenantView>>, ApiError> {
    let tenants = state.context.declarations.tenant_list().await?;
    Ok(Json(Rows::whole(tenants.iter().map(TenantView::from).collect())))
}
