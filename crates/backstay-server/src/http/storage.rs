//! Storages.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::list::{RetiredQuery, Rows};
use backstay_api::types::probe::ProbeView;
use backstay_api::types::storage::{StorageCreate, StorageDetail, StorageUpdate};
use backstay_core::domain::storage::{Storage, StorageSettings};
use backstay_core::managers::{declaration, retire, storage};
use backstay_core::ports::store::Retirable;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, may_be_retired};
use super::state::ServerState;
use super::tag::{as_seen, tagged};

pub(super) async fn storage_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<StorageCreate>,
) -> Result<(StatusCode, Json<StorageDetail>), ApiError> {
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let credentials = body.credentials()?;
    caller.may_refer("credentials", credentials.values())?;
    let (name, place) = (body.name.parse()?, StorageSettings { kind: body.kind, settings: body.settings });
    let kinds = &state.storage_kinds;
    let made = declaration::storage_declare(&state.context, kinds, tenant, name, place, credentials).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

pub(super) async fn storage_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<RetiredQuery>,
) -> Result<Json<Rows<StorageDetail>>, ApiError> {
    let (filter, page) = may_be_retired(caller.tenant(), query)?;
    let rows = state.context.declarations.storage_page(&filter, page).await?;
    Ok(Json(Rows::page(rows.iter().map(StorageDetail::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn storage_show(Own(storage): Own<Storage>) -> impl IntoResponse {
    tagged(StorageDetail::from(&storage))
}

pub(super) async fn storage_update(
    State(state): State<ServerState>,
    caller: Caller,
    Own(seen): Own<Storage>,
    headers: HeaderMap,
    Body(body): Body<StorageUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &StorageDetail::from(&seen))?;
    let credentials = body.credentials()?;
    caller.may_refer("credentials", credentials.values())?;
    let changed = declaration::storage_rekey(&state.context, &seen, credentials).await?;
    Ok(tagged(StorageDetail::from(&changed.ok_or_else(ApiError::changed)?)))
}

pub(super) async fn storage_test(
    State(state): State<ServerState>,
    Own(seen): Own<Storage>,
) -> Result<Json<ProbeView>, ApiError> {
    let judge = declaration::judge_of(&state.storage_kinds, &seen.place.kind)?;
    let probe = storage::storage_test(&state.context, judge, &seen).await?;
    Ok(Json((&probe).into()))
}

pub(super) async fn storage_retire(
    State(state): State<ServerState>,
    Own(storage): Own<Storage>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    // What is retired already has another tag, and may be asked again.
    if storage.retired_at.is_none() {
        as_seen(&headers, &StorageDetail::from(&storage))?;
    }
    retire::retire(&state.context, Retirable::Storage(storage.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
