//! Sources and their items.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::list::{PageQuery, RetiredQuery, Rows};
use backstay_api::types::probe::ProbeView;
use backstay_api::types::source::{ItemView, SourceCreate, SourceUpdate, SourceView};
use backstay_core::domain::item::Item;
use backstay_core::domain::source::Source;
use backstay_core::managers::{declaration, retire, source};
use backstay_core::ports::store::Retirable;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, may_be_retired, page};
use super::state::ServerState;
use super::tag::{as_seen, tagged};

pub(super) async fn source_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<SourceCreate>,
) -> Result<(StatusCode, Json<SourceView>), ApiError> {
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let (kinds, name) = (state.source_kinds, body.name.parse()?);
    let made = declaration::source_declare(&state.context, kinds, tenant, name, &body.kind, &body.settings).await?;
    Ok((StatusCode::CREATED, Json(SourceView::from(&made))))
}

pub(super) async fn source_show(Own(source): Own<Source>) -> impl IntoResponse {
    tagged(SourceView::from(&source))
}

pub(super) async fn source_update(
    State(state): State<ServerState>,
    Own(seen): Own<Source>,
    headers: HeaderMap,
    Body(body): Body<SourceUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &SourceView::from(&seen))?;
    let changed = declaration::source_change(&state.context, state.source_kinds, &seen, &body.settings).await?;
    Ok(tagged(SourceView::from(&changed.ok_or_else(ApiError::changed)?)))
}

pub(super) async fn source_test(
    State(state): State<ServerState>,
    Own(seen): Own<Source>,
) -> Result<Json<ProbeView>, ApiError> {
    let agent = state.own_agent.as_ref().ok_or_else(ApiError::no_own_agent)?;
    let kind = state.source_kinds.iter().find(|kind| kind.name() == seen.kind);
    let kind = kind.ok_or_else(|| ApiError::invalid("kind", format!("this server knows no `{}`", seen.kind)))?;
    Ok(Json((&source::source_test(*kind, agent, &seen).await).into()))
}

pub(super) async fn item_show(Own(item): Own<Item>) -> Json<ItemView> {
    Json((&item).into())
}

pub(super) async fn source_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<RetiredQuery>,
) -> Result<Json<Rows<SourceView>>, ApiError> {
    let (filter, page) = may_be_retired(caller.tenant(), query)?;
    let sources = state.context.declarations.source_page(&filter, page).await?;
    Ok(Json(Rows::page(sources.iter().map(SourceView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn item_list(
    State(state): State<ServerState>,
    Own(source): Own<Source>,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<ItemView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let items = state.context.declarations.item_page(source.id, page).await?;
    Ok(Json(Rows::page(items.iter().map(ItemView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn source_retire(
    State(state): State<ServerState>,
    Own(source): Own<Source>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    // What is retired already has another tag, and may be asked again.
    if source.retired_at.is_none() {
        as_seen(&headers, &SourceView::from(&source))?;
    }
    retire::retire(&state.context, Retirable::Source(source.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
