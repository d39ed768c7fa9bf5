//! Secrets that tenants hand in. A value comes in here and never goes out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use backstay_api::types::list::Rows;
use backstay_api::types::secret::{SecretPut, SecretTest, SecretView};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::SecretReference;
use backstay_core::managers::secret::{secret_forget, secret_keep};
use backstay_core::ports::secret::Replace;
use backstay_core::ports::store::StoreError;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::Body;
use super::state::ServerState;

pub(super) async fn secret_put(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<SecretPut>,
) -> Result<(StatusCode, Json<SecretView>), ApiError> {
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let name = body.name.parse()?;
    let replace = if body.replace { Replace::Yes } else { Replace::No };
    let kept = secret_keep(&state.context, &*state.keeper, tenant, &name, &body.value.0, replace).await?;
    Ok((StatusCode::CREATED, Json((&kept).into())))
}

pub(super) async fn secret_list(
    State(state): State<ServerState>,
    caller: Caller,
) -> Result<Json<Rows<SecretView>>, ApiError> {
    let kept = state.keeper.secret_list(caller.tenant()).await?;
    Ok(Json(Rows::whole(kept.iter().map(SecretView::from).collect())))
}

pub(super) async fn secret_test(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<SecretTest>,
) -> Result<StatusCode, ApiError> {
    let tenant = caller.tenant_seen(&state, Some(&body.tenant)).await?.id;
    let reference: SecretReference = body.reference.parse().map_err(|error| ApiError::invalid("reference", error))?;
    caller.may_refer("reference", [&reference])?;
    let missing = || StoreError::NotFound { noun: "secret", key: body.reference.clone() };
    let reference = reference.of_tenant(tenant).ok_or_else(missing)?;
    state.context.secrets.secret_read(&reference).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn secret_remove(
    State(state): State<ServerState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let missing = || StoreError::NotFound { noun: "secret", key: id.clone() };
    let (tenant, name) = id.split_once('.').ok_or_else(missing)?;
    let tenant: TenantId = tenant.parse().map_err(|_| missing())?;
    let name: Name = name.parse().map_err(|_| missing())?;
    if !caller.identity.scope.reaches(Some(tenant)) {
        return Err(missing().into());
    }
    secret_forget(&state.context, &*state.keeper, tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
