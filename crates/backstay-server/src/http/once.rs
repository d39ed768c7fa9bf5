//! A request that carries an idempotency key is carried out once, and answered alike each time it comes.
//!
//! ```text
//!  asked first ──> run begins ──> answer remembered (2xx, 4xx) ──> the same answer for a day
//!                  │    └─ failed on our side, or "ask again" ───> the next one that asks runs it again
//!                  └ the server dies: after ABANDONED_AFTER the next one that asks runs it again
//! ```
//!
//! A run belongs to the key and not to the connection: who breaks off or waits in vain asks again and hears what came of
//! it. A run that is made again makes the same jobs ([`Asking`]): the queue knows them by their ids.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use backstay_core::domain::asking::Asking;
use backstay_core::ports::access::{Answer, Begun, Remembered};
use futures::FutureExt as _;
use sha2::{Digest, Sha256};
use tracing::Instrument as _;

use super::door::{Door, Identity};
use super::error::ApiError;
use super::router::BODY_BYTES_MAX;

/// How long an answer is remembered for its idempotency key.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// How long a run may take; after this another one may begin. Twice as long as a client waits.
const ABANDONED_AFTER: Duration = Duration::from_secs(120);

/// How long before that a run is stopped: as late as a stop may come.
const RUN_MARGIN: Duration = Duration::from_secs(10);

/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 128;

/// Largest answer that is remembered: far beyond what any changing row gives.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Returns the key that a request carries.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let wrong = || ApiError::invalid("Idempotency-Key", format!("give 1 to {KEY_BYTES_MAX} printable letters"));
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

/// Answers a request that carries a key once, and the same request with the same key alike.
pub(super) async fn once(
    door: &Door,
    identity: Identity,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if door.row.shows_a_secret() {
        return Err(ApiError::invalid("Idempotency-Key", "this answer is shown once and is not remembered"));
    }
    if door.row.takes_a_secret() {
        return Err(ApiError::invalid("Idempotency-Key", "this request has a secret, of which nothing is remembered"));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| ApiError::too_large())?;
    let mut hash = Sha256::new();
    for part in [door.row.name.as_bytes(), parts.uri.to_string().as_bytes(), &body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    // Another condition is another request; without one the hash is that of programs that asked for none.
    if let Some(condition) = parts.headers.get(IF_MATCH) {
        hash.update(b"if-match");
        hash.update(condition.as_bytes());
    }
    // Replicas share what is remembered, and its jobs are due by the store's clock.
    let now = door.state.context.schedules.clock_read().await?;
    let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
    let wish = Remembered {
        caller: identity.token_id.map_or_else(|| "installation".to_owned(), |id| id.to_string()),
        key,
        request_hash: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        asked_at: now,
        answer: None,
    };
    match door.state.access.answer_begin(&wish, before(REMEMBERED_FOR), before(ABANDONED_AFTER)).await? {
        Begun::Known(known) if known.request_hash != wish.request_hash => Err(ApiError::key_reused()),
        Begun::Known(Remembered { answer: None, .. }) => Err(ApiError::in_flight()),
        Begun::Known(Remembered { answer: Some(answer), .. }) => Ok(again(answer)),
        Begun::New(first_asked_at) => {
            let mut request = Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(Asking::keyed(first_asked_at, &wish.caller, &wish.key));
            // The connection may end and take this future along; the task stays.
            let run = door.shared.tasks.spawn(run(door.clone(), identity, wish, request, next).in_current_span());
            run.await.map_err(|_| ApiError::internal())
        }
    }
}

/// Carries a request out and remembers the answer, unless it failed on our side.
async fn run(door: Door, identity: Identity, wish: Remembered, request: Request, next: Next) -> Response {
    let answering = AssertUnwindSafe(door.recorded(&identity, request, next)).catch_unwind();
    let answered = match tokio::time::timeout(ABANDONED_AFTER.saturating_sub(RUN_MARGIN), answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ApiError::internal()),
        Err(_) => Err(ApiError::timed_out()),
    };
    let (head, body) = answered.unwrap_or_else(IntoResponse::into_response).into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        tracing::error!(operation = door.row.name, "an answer is too large to be remembered");
        return forgotten(&door, &wish, ApiError::internal().into_response()).await;
    };
    // What says when to ask again is no answer yet.
    let passes = head.status.is_server_error()
        || head.headers.contains_key(RETRY_AFTER)
        || matches!(head.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let kept = Answer {
        status: head.status.as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
        etag: head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned),
    };
    let answer = Response::from_parts(head, Body::from(body));
    if passes {
        return forgotten(&door, &wish, answer).await;
    }
    let told = door.state.access.answer_end(&wish, Some(&kept)).await;
    if let Err(error) = told {
        // What was asked for has happened, and that is what the caller hears.
        tracing::error!(error = %error, operation = door.row.name, "an answer could not be remembered");
    }
    answer
}

/// Leaves the key to whoever asks again.
async fn forgotten(door: &Door, wish: &Remembered, answer: Response) -> Response {
    if let Err(error) = door.state.access.answer_end(wish, None).await {
        tracing::warn!(error = %error, operation = door.row.name, "a key is free again only after a while");
    }
    answer
}

/// Returns a remembered answer.
fn again(kept: Answer) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { backstay_api::problem::PROBLEM_TYPE };
    let is_empty = kept.body.is_empty();
    let mut answer = (status, kept.body).into_response();
    // What has no content has no kind either.
    match is_empty {
        true => answer.headers_mut().remove(CONTENT_TYPE),
        false => answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind)),
    };
    if let Some(tag) = kept.etag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    answer
}
