//! Who may come in: whoever brings the bearer token. Roles and tenants' own tokens come with the control plane.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::state::ServerState;

/// Lets a request through that brings the token.
pub(super) async fn check(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let brought = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Hashes are compared, so that the time taken says nothing about the token.
    let same = Sha256::digest(brought) == Sha256::digest(state.token.expose_secret());
    if same { next.run(request).await } else { ApiError::unauthorized().into_response() }
}
