//! Tenants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::list::Rows;
use backstay_api::types::tenant::{TenantCreate, TenantView};
use backstay_core::domain::tenant::Tenant;
use backstay_core::managers::declaration;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::Body;
use super::state::ServerState;

pub(super) async fn tenant_list(
    State(state): State<ServerState>,
    caller: Caller,
) -> Result<Json<Rows<TenantView>>, ApiError> {
    let tenants = match caller.tenant() {
        Some(own) => vec![state.context.declarations.tenant_get(own).await?],
        None => state.context.declarations.tenant_list().await?,
    };
    Ok(Json(Rows::whole(tenants.iter().map(TenantView::from).collect())))
}

pub(super) async fn tenant_create(
    State(state): State<ServerState>,
    Body(body): Body<TenantCreate>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    let made = declaration::tenant_declare(&state.context, body.name.parse()?).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

pub(super) async fn tenant_show(Own(tenant): Own<Tenant>) -> Json<TenantView> {
    Json((&tenant).into())
}
