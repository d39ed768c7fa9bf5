//! Tenants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::list::{NamedQuery, Rows};
use backstay_api::types::tenant::{TenantCreate, TenantView};
use backstay_core::domain::tenant::Tenant;
use backstay_core::managers::declaration;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, named};
use super::state::ServerState;

pub(super) async fn tenant_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<NamedQuery>,
) -> Result<Json<Rows<TenantView>>, ApiError> {
    let (filter, page) = named(caller.tenant(), query)?;
    let tenants = state.context.declarations.tenant_page(&filter, page).await?;
    Ok(Json(Rows::page(tenants.iter().map(TenantView::from).collect(), page.rows_max, |row| &row.id)))
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
