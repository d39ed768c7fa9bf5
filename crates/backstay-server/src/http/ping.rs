//! Pings as they come in: `/ping/KEY/NAME`, with `/start`, `/fail`, `/log` or an exit code behind it, by GET, HEAD or POST.
//!
//! The one door without a header: what a cron job can say is a URL. KEY is a token with the role `pinger`, which opens
//! nothing else. Whoever guesses is told to wait like whoever guesses tokens. Answers are a word as text.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use backstay_core::domain::access::Role;
use backstay_core::domain::monitor::{PING_BYTES_MAX, PingKind};
use backstay_core::domain::name::Name;
use backstay_core::managers::monitor::ping_take;
use backstay_core::ports::store::StoreError;
use futures::StreamExt as _;

use super::door::Shared;
use super::state::ServerState;

/// Most of a text that is listened to: what comes behind it is neither read nor kept, and the ping counts.
const LISTEN_BYTES_MAX: usize = 1 << 20;

/// `/ping/KEY/NAME`.
pub(super) async fn ping(
    State(state): State<ServerState>,
    Extension(shared): Extension<Arc<Shared>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    Path((key, name)): Path<(String, String)>,
    body: Body,
) -> Response {
    let heard = Heard { state, shared, peer };
    heard.take(&key, (&name, None), body).await
}

/// `/ping/KEY/NAME/WORD`.
pub(super) async fn ping_word(
    State(state): State<ServerState>,
    Extension(shared): Extension<Arc<Shared>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    Path((key, name, word)): Path<(String, String, String)>,
    body: Body,
) -> Response {
    let heard = Heard { state, shared, peer };
    heard.take(&key, (&name, Some(&word)), body).await
}

struct Heard {
    state: ServerState,
    shared: Arc<Shared>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
}

impl Heard {
    async fn take(&self, key: &str, (name, word): (&str, Option<&str>), body: Body) -> Response {
        match self.taken(key, name, word, body).await {
            Ok(Some(answer)) => answer,
            Ok(None) => self.unknown(),
            Err(error) => {
                // The URL has the key in it and is not logged.
                tracing::error!(error = %error, "a ping could not be taken in");
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], "try again\n").into_response()
            }
        }
    }

    /// Takes a ping in; none when there is no such key, monitor or word.
    async fn taken(
        &self,
        key: &str,
        name: &str,
        word: Option<&str>,
        body: Body,
    ) -> Result<Option<Response>, StoreError> {
        let identity = self.state.authenticator.authenticate(key).await?;
        let Some(identity) = identity.filter(|identity| identity.scope.role == Role::Pinger) else { return Ok(None) };
        let (Some(tenant), Ok(name), Some(said)) =
            (identity.scope.tenant_id, name.parse::<Name>(), PingKind::of_path(word))
        else {
            return Ok(None);
        };
        // A key that is used up is remembered for no further name: names cost memory, and anybody can make them up.
        let (now, pings) = (Instant::now(), &self.shared.pings);
        if let Some(wait) = identity.token_id.and_then(|token| pings.wait(&token, now)) {
            return Ok(Some(too_many(wait, "pings with this key")));
        }
        // What a monitor has too many of is not counted for its key: one wild job does not keep those out that share it.
        if let Some(wait) = self.shared.monitors.count((tenant, name.clone(), said.0), now) {
            return Ok(Some(too_many(wait, &format!("pings of monitor {name} that say {}", said.0.word()))));
        }
        if let Some(wait) = identity.token_id.and_then(|token| pings.count(token, now)) {
            return Ok(Some(too_many(wait, "pings with this key")));
        }
        let text = text_of(body).await;
        let taken = ping_take(&self.state.context, &*self.state.monitors, (tenant, &name), said, &text).await?;
        Ok(taken.then(|| "OK".into_response()))
    }

    /// Answers who named what is not there: as often as a wrong token may be brought.
    fn unknown(&self) -> Response {
        let address = self.peer.as_ref().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.0.ip());
        match self.shared.failures.count(address, Instant::now()) {
            Some(wait) => too_many(wait, "pings of nobody"),
            None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        }
    }
}

/// Answers that there were too many of something.
fn too_many(wait: std::time::Duration, what: &str) -> Response {
    let seconds = wait.as_secs().max(1);
    let text = format!("too many {what}: try again in {seconds} s\n");
    let mut answer = (StatusCode::TOO_MANY_REQUESTS, text).into_response();
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// Returns the end of a body as text. One that breaks off is a ping all the same: it came.
async fn text_of(body: Body) -> String {
    let (mut end, mut heard) = (Vec::new(), 0);
    let mut parts = body.into_data_stream();
    while heard < LISTEN_BYTES_MAX
        && let Some(Ok(part)) = parts.next().await
    {
        heard += part.len();
        end.extend_from_slice(&part);
        let beyond = end.len().saturating_sub(PING_BYTES_MAX);
        end.drain(..beyond);
    }
    String::from_utf8_lossy(&end).into_owned()
}
