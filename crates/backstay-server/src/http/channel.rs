//! Channels.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::channel::{ChannelCreate, ChannelRuleView, ChannelUpdate, ChannelView, window};
use backstay_api::types::list::{NamedQuery, Rows};
use backstay_core::domain::channel::{Channel, ChannelKind};
use backstay_core::managers::channel::{
    ChannelChange, ChannelDeclaration, channel_change, channel_declare, channel_test as try_channel,
};

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, named};
use super::state::ServerState;
use super::tag::{as_seen, tagged};

/// The word for a channel that has no digest any more.
const NEVER: &str = "never";

pub(super) async fn channel_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<ChannelCreate>,
) -> Result<(StatusCode, Json<ChannelView>), ApiError> {
    let tenant_id = match (&body.tenant, caller.tenant()) {
        (None, own) => own,
        (Some(name), _) => Some(caller.tenant_seen(&state, Some(name)).await?.id),
    };
    let kind = ChannelKind::from_word(&body.kind);
    let kind = kind.ok_or_else(|| ApiError::invalid("kind", format!("`{}` is not one of its words", body.kind)))?;
    let declaration = ChannelDeclaration {
        tenant_id,
        name: body.name.parse()?,
        kind,
        settings: body.settings,
        rules: body.rules.iter().map(ChannelRuleView::read).collect::<Result<_, _>>()?,
        digest: body.digest.as_deref().map(window).transpose()?,
    };
    let made = channel_declare(&state.context, declaration).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

pub(super) async fn channel_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<NamedQuery>,
) -> Result<Json<Rows<ChannelView>>, ApiError> {
    let (filter, page) = named(caller.tenant(), query)?;
    let channels = state.context.notices.channel_page(&filter, page).await?;
    Ok(Json(Rows::page(channels.iter().map(ChannelView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn channel_show(Own(channel): Own<Channel>) -> impl IntoResponse {
    tagged(ChannelView::from(&channel))
}

pub(super) async fn channel_update(
    State(state): State<ServerState>,
    Own(channel): Own<Channel>,
    headers: HeaderMap,
    Body(body): Body<ChannelUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &ChannelView::from(&channel))?;
    let rules = body.rules.map(|rules| rules.iter().map(ChannelRuleView::read).collect::<Result<_, _>>());
    let digest = match body.digest.as_deref() {
        None => None,
        Some(NEVER) => Some(None),
        Some(text) => Some(Some(window(text)?)),
    };
    let change = ChannelChange { settings: body.settings, rules: rules.transpose()?, digest };
    let changed = channel_change(&state.context, &channel, change).await?;
    Ok(tagged(ChannelView::from(&changed.ok_or_else(ApiError::changed)?)))
}

pub(super) async fn channel_remove(
    State(state): State<ServerState>,
    Own(channel): Own<Channel>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    as_seen(&headers, &ChannelView::from(&channel))?;
    state.context.notices.channel_remove(channel.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn channel_test(
    State(state): State<ServerState>,
    Own(channel): Own<Channel>,
) -> Result<StatusCode, ApiError> {
    try_channel(&state.context, &*state.courier, &channel).await?;
    Ok(StatusCode::NO_CONTENT)
}
