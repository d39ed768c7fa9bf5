//! ETags: a change names the row as its caller saw it.

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::{ETAG, IF_MATCH};
use axum::response::IntoResponse;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Returns what goes with a row as it is: its view's hash.
fn etag(view: &impl Serialize) -> String {
    let text = serde_json::to_string(view).expect("a view is JSON");
    let hash: String = Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

/// Returns a view with its tag.
pub(super) fn tagged<V: Serialize>(view: V) -> impl IntoResponse + use<V> {
    ([(ETAG, etag(&view))], Json(view))
}

/// Returns a view of which much changes by itself, with the tag of what is declared of it.
pub(super) fn tagged_as<D: Serialize, V: Serialize>(declared: &D, view: V) -> impl IntoResponse + use<D, V> {
    ([(ETAG, etag(declared))], Json(view))
}

/// Refuses a change of what is not as its caller saw it. Who names no tag, or `*`, takes it as it is.
pub(super) fn as_seen(headers: &HeaderMap, view: &impl Serialize) -> Result<(), ApiError> {
    let Some(wanted) = headers.get(IF_MATCH) else { return Ok(()) };
    let own = etag(view);
    let matches = |one: &str| matches!(one.trim(), "*") || one.trim() == own;
    if wanted.to_str().is_ok_and(|list| list.split(',').any(matches)) { Ok(()) } else { Err(ApiError::changed()) }
}
