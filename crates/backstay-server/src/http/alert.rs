//! Alerts and digests.

use axum::Json;
use axum::extract::State;
use backstay_api::types::alert::{AlertQuery, AlertSilence, AlertView, DigestQuery, DigestView};
use backstay_api::types::list::Rows;
use backstay_core::managers::alert;
use backstay_core::managers::digest::{LOOK_BACK, digest_preview};
use backstay_core::ports::notice::{AlertFilter, AlertRow};
use jiff::Timestamp;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, page};
use super::state::ServerState;
use crate::channels;

/// Longest reason of a silence: it is shown on one line.
const REASON_LETTERS_MAX: usize = 200;

pub(super) async fn alert_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<AlertQuery>,
) -> Result<Json<Rows<AlertView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let filter = AlertFilter { tenant_id: caller.tenant(), is_live: !query.ended.unwrap_or(false) };
    let rows = state.context.notices.alert_list(filter, page).await?;
    Ok(Json(Rows::page(rows.iter().map(AlertView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn alert_acknowledge(
    State(state): State<ServerState>,
    caller: Caller,
    Own(row): Own<AlertRow>,
) -> Result<Json<AlertView>, ApiError> {
    let role = caller.identity.scope.role.word();
    let by = match caller.identity.token_id {
        Some(token) => format!("{role} with token {}", state.access.token_get(token).await?.name),
        None => format!("{role} on this machine"),
    };
    Ok(Json((&alert::alert_acknowledge(&state.context, row.id, &by).await?).into()))
}

pub(super) async fn alert_silence(
    State(state): State<ServerState>,
    Own(row): Own<AlertRow>,
    Body(body): Body<AlertSilence>,
) -> Result<Json<AlertView>, ApiError> {
    let until: Timestamp = instant("until", &body.until)?;
    let reason = body.reason.trim();
    if reason.chars().count() > REASON_LETTERS_MAX || reason.chars().any(char::is_control) {
        return Err(ApiError::invalid("reason", format!("give one line of at most {REASON_LETTERS_MAX} letters")));
    }
    Ok(Json((&alert::alert_silence(&state.context, row.id, until, reason).await?).into()))
}

fn instant(field: &str, text: &str) -> Result<Timestamp, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(field, "write an instant such as 2026-11-21T02:30:00Z"))
}

pub(super) async fn digest_show(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<DigestQuery>,
) -> Result<Json<DigestView>, ApiError> {
    let tenant = caller.tenant_seen(&state, query.tenant.as_deref()).await?;
    let now = state.context.schedules.clock_read().await?;
    let from = match &query.from {
        Some(text) => instant("from", text)?,
        None => now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN),
    };
    if from > now {
        return Err(ApiError::invalid("from", "lies in the future"));
    }
    let message = digest_preview(&state.context, &tenant, from).await?;
    Ok(Json(DigestView { text: message.text(), html: channels::page(&message), subject: message.subject }))
}
