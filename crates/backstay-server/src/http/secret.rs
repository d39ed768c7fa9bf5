//! Secrets that tenants hand in. A value comes in here and never goes out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use backstay_api::types::list::{NamedQuery, Rows};
use backstay_api::types::secret::{SecretPut, SecretTest, SecretView};
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::SecretReference;
use backstay_core::managers::secret::{secret_forget, secret_keep};
use backstay_core::ports::secret::{KeptSecret, Replace};
use backstay_core::ports::store::{Page, StoreError};

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Ask, Body, rows};
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
    Ask(query): Ask<NamedQuery>,
) -> Result<Json<Rows<SecretView>>, ApiError> {
    let name = query.name.as_deref().map(str::parse::<Name>).transpose();
    let name = name.map_err(|error| ApiError::invalid("name", error))?;
    let place = |id: &String| read(id).ok_or_else(|| ApiError::invalid("before", format!("`{id}` is no secret's id")));
    let before = query.before.as_ref().map(place).transpose()?;
    let rows_max = rows(query.limit)?;
    let kept = state.keeper.secret_page(caller.tenant(), name.as_ref(), Page { before, rows_max }).await?;
    Ok(Json(Rows::page(kept.iter().map(SecretView::from).collect(), rows_max, |row| &row.id)))
}

/// Reads a secret's id; none when it is none.
fn read(id: &str) -> Option<KeptSecret> {
    let (tenant, name) = id.split_once('.')?;
    Some(KeptSecret { tenant_id: tenant.parse().ok()?, name: name.parse().ok()? })
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
    let KeptSecret { tenant_id: tenant, name } = read(&id).ok_or_else(missing)?;
    if !caller.identity.scope.reaches(Some(tenant)) {
        return Err(missing().into());
    }
    secret_forget(&state.context, &*state.keeper, tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
