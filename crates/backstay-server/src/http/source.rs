//! Sources and their items.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::list::Rows;
use backstay_api::types::source::{ItemView, SourceCreate, SourceView};
use backstay_core::domain::id::{SourceId, TenantId};
use backstay_core::domain::name::Name;
use backstay_core::managers::declaration;

use super::error::ApiError;
use super::extract::{Body, PathId};
use super::state::ServerState;

/// Returns the tenant that a request names. It is made by its first declaration.
pub(super) async fn tenant_of(state: &ServerState, name: &str) -> Result<TenantId, ApiError> {
    let name: Name = name.parse().map_err(|error| ApiError::invalid("tenant", error))?;
    Ok(declaration::tenant_ensure(&state.context, &name).await?.id)
}

pub(super) async fn source_create(
    State(state): State<ServerState>,
    Body(body): Body<SourceCreate>,
) -> Result<(StatusCode, Json<SourceView>), ApiError> {
    let tenant = tenant_of(&state, &body.tenant).await?;
    let (kinds, name) = (state.source_kinds, body.name.parse()?);
    let made = declaration::source_declare(&state.context, kinds, tenant, name, &body.kind, &body.settings).await?;
    Ok((StatusCode::CREATED, Json(SourceView::from(&made))))
}

pub(super) async fn source_list(State(state): State<ServerState>) -> Result<Json<Rows<SourceView>>, ApiError> {
    let sources = state.context.declarations.source_list(None).await?;
    Ok(Json(Rows::whole(sources.iter().map(SourceView::from).collect())))
}

pub(super) async fn item_list(
    State(state): State<ServerState>,
    PathId(id): PathId<SourceId>,
) -> Result<Json<Rows<ItemView>>, ApiError> {
    let source = state.context.declarations.source_get(id).await?;
    let items = state.context.declarations.item_list(source.id).await?;
    Ok(Json(Rows::whole(items.iter().map(ItemView::from).collect())))
}
