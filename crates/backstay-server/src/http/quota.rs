//! Quotas.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::response::IntoResponse;
use backstay_api::types::list::{PageQuery, Rows};
use backstay_api::types::quota::{QuotaPut, QuotaView};
use backstay_core::domain::tenant::Tenant;
use backstay_core::managers::quota::{self, Standing};
use backstay_core::ports::store::NamedFilter;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, page};
use super::state::ServerState;
use super::tag::{as_seen, tagged_as};

pub(super) async fn quota_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<QuotaView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let standings = quota::standings(&state.context, &NamedFilter::of(caller.tenant()), page).await?;
    Ok(Json(Rows::page(standings.iter().map(QuotaView::from).collect(), page.rows_max, |row| &row.tenant_id)))
}

pub(super) async fn quota_show(
    State(state): State<ServerState>,
    Own(tenant): Own<Tenant>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(view(&quota::standing(&state.context, tenant.id).await?))
}

pub(super) async fn quota_put(
    State(state): State<ServerState>,
    Own(tenant): Own<Tenant>,
    headers: HeaderMap,
    Body(body): Body<QuotaPut>,
) -> Result<impl IntoResponse, ApiError> {
    judge("quota_bytes", body.quota_bytes)?;
    judge("quota_snapshot_count", body.quota_snapshot_count)?;
    // Whoever names no tag changes whatever is there.
    let seen = match headers.contains_key(IF_MATCH) {
        true => Some(quota::standing(&state.context, tenant.id).await?.quota),
        false => None,
    };
    as_seen(&headers, &seen.map(QuotaPut::from))?;
    let set = quota::quota_set(&state.context, tenant.id, seen, body.into()).await?;
    Ok(view(&set.ok_or_else(ApiError::changed)?))
}

/// Returns how a tenant stands, with the tag of what it may store.
fn view(standing: &Standing) -> impl IntoResponse + use<> {
    tagged_as(&Some(QuotaPut::from(standing.quota)), QuotaView::from(standing))
}

/// Refuses what would be kept as something smaller.
fn judge(field: &str, wanted: Option<u64>) -> Result<(), ApiError> {
    match wanted.filter(|wanted| i64::try_from(*wanted).is_err()) {
        Some(_) => Err(ApiError::invalid(field, format!("the most that a quota can be is {}", i64::MAX))),
        None => Ok(()),
    }
}
