//! Tokens, and who asked for changes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::change::{ChainQuery, ChainView, ChangeView};
use backstay_api::types::list::{PageQuery, Rows};
use backstay_api::types::token::{TokenCreate, TokenMade, TokenView};
use backstay_api::types::wire::SecretText;
use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::job::JobKind;
use backstay_core::domain::token::ApiToken;
use backstay_core::managers::access::{self, TokenDeclaration, token_issue};

use super::caller::{Caller, Own, unpurged};
use super::error::ApiError;
use super::extract::{Ask, Body, page};
use super::state::ServerState;

pub(super) async fn token_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<TokenCreate>,
) -> Result<(StatusCode, Json<TokenMade>), ApiError> {
    let role = Role::from_word(&body.role);
    let role = role.ok_or_else(|| ApiError::invalid("role", format!("`{}` is not one of its words", body.role)))?;
    let tenant = match &body.tenant {
        Some(name) => Some(unpurged(&state, caller.tenant_seen(&state, Some(name)).await?).await?),
        None => None,
    };
    let kind = |word: &String| {
        JobKind::from_word(word).ok_or_else(|| ApiError::invalid("kinds", format!("`{word}` is not one of its words")))
    };
    let kinds = body.kinds.iter().map(kind).collect::<Result<_, _>>()?;
    let scope = Scope::new(role, tenant, kinds).map_err(|error| ApiError::invalid("role", error))?;
    if !caller.identity.scope.may_grant(&scope) {
        return Err(ApiError::too_much(role));
    }
    let expires_at = body.expires_at.as_deref().map(str::parse::<jiff::Timestamp>).transpose();
    let expires_at = expires_at.map_err(|error| ApiError::invalid("expires_at", error))?;
    let now = state.context.schedules.clock_read().await?;
    if expires_at.is_some_and(|at| at <= now) {
        return Err(ApiError::invalid("expires_at", "is over already"));
    }
    let name = body.name.parse()?;
    let wish = TokenDeclaration { name, scope, expires_at };
    let (token, secret) = token_issue(&state.context, &*state.access, wish).await?;
    Ok((StatusCode::CREATED, Json(TokenMade { token: (&token).into(), secret: SecretText(secret) })))
}

pub(super) async fn token_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<TokenView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let tokens = state.access.token_list(caller.tenant(), page).await?;
    Ok(Json(Rows::page(tokens.iter().map(TokenView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn token_show(Own(token): Own<ApiToken>) -> Json<TokenView> {
    Json((&token).into())
}

pub(super) async fn token_revoke(
    State(state): State<ServerState>,
    Own(token): Own<ApiToken>,
) -> Result<StatusCode, ApiError> {
    state.access.token_revoke(token.id, state.context.schedules.clock_read().await?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_list(
    State(state): State<ServerState>,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<ChangeView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let records = state.access.change_list(page).await?;
    Ok(Json(Rows::page(records.iter().map(ChangeView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn change_verify(
    State(state): State<ServerState>,
    Ask(query): Ask<ChainQuery>,
) -> Result<Json<ChainView>, ApiError> {
    let from = query.from_sequence.unwrap_or(1);
    let former = query.former_keys.as_deref().unwrap_or_default();
    let former = former.split(',').filter(|key| !key.is_empty()).map(public_key).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(access::change_verify(&state.context, state.access.as_ref(), from, &former).await?.into()))
}

/// Reads a public key.
fn public_key(text: &str) -> Result<[u8; 32], ApiError> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
    let key = bytes.and_then(|bytes| bytes.try_into().ok());
    key.ok_or_else(|| {
        ApiError::invalid("former_keys", format!("`{text}` is no public key: it has 64 digits from 0 to f"))
    })
}
