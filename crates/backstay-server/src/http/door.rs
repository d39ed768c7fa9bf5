//! The door before every row: who asks, whether they may, whether they asked it before, and the record that they did.
//!
//! ```text
//!  bearer ──> who ──> may they ──> asked before? ──> recorded ──> handler
//!      401, 429        403          same answer, 422    503
//! ```
//!
//! A handler gets its [`Caller`](super::caller::Caller) from here and from nowhere else. People who sign in elsewhere
//! (OIDC) will be another [`Authenticator`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use backstay_api::call::method;
use backstay_api::endpoint::{Endpoint, Operation};
use backstay_core::domain::access::{Action, Scope, may};
use backstay_core::domain::id::{TenantId, TokenId};
use backstay_core::domain::monitor::PingKind;
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::Secret;
use backstay_core::domain::token::token_hash;
use backstay_core::domain::trace::TraceParent;
use backstay_core::managers::access::{Asker, change_record, token_authenticate};
use backstay_core::managers::context::Context;
use backstay_core::ports::access::AccessStore;
use backstay_core::ports::store::StoreError;
use secrecy::ExposeSecret;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::error::ApiError;
use super::once::{key_of, once};
use super::state::ServerState;

/// Wrong tokens a minute from one address before it is told to wait. Good tokens open at any time: nobody is locked out
/// by a neighbour.
const FAILURES_MAX: u32 = 30;

/// The window in which wrong tokens are counted.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are counted at once; beyond it old windows are forgotten first.
const ADDRESSES_MAX: usize = 10_000;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Which token; none for the installation's own.
    pub token_id: Option<TokenId>,
    /// What it is good for.
    pub scope: Scope,
}

/// Returns the token of a header; a scheme's letters may be large or small (RFC 9110, 11.1).
fn bearer_of(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// Knows who brings a bearer token.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Returns who brings this token; none when it is not good.
    ///
    /// # Errors
    /// [`StoreError`] when that could not be found out.
    async fn authenticate(&self, bearer: &str) -> Result<Option<Identity>, StoreError>;
}

/// The installation's own token, and those that the store knows.
pub struct TokenAuthenticator {
    context: Context,
    access: Arc<dyn AccessStore>,
    own_hash: Option<String>,
}

impl TokenAuthenticator {
    /// Makes an authenticator; `own` opens every door but the agents', and is kept in memory only.
    pub fn new(context: Context, access: Arc<dyn AccessStore>, own: &Secret) -> Self {
        Self { context, access, own_hash: Some(token_hash(own.expose_secret())) }
    }

    /// Makes an authenticator that knows the store's tokens and no other: that of a server in replicas.
    pub fn of_store(context: Context, access: Arc<dyn AccessStore>) -> Self {
        Self { context, access, own_hash: None }
    }
}

#[async_trait]
impl Authenticator for TokenAuthenticator {
    async fn authenticate(&self, bearer: &str) -> Result<Option<Identity>, StoreError> {
        // Hashes are compared and looked up, so that the time taken says nothing about a token.
        if self.own_hash.as_ref() == Some(&token_hash(bearer)) {
            return Ok(Some(Identity { token_id: None, scope: Scope::installation() }));
        }
        let token = token_authenticate(&self.context, &*self.access, bearer).await?;
        Ok(token.map(|token| Identity { token_id: Some(token.id), scope: token.scope }))
    }
}

/// Pings a minute with one key before it is told to wait: hundreds of jobs of one tenant, each minute.
const PINGS_MAX: u32 = 600;

/// Pings a minute of one kind that a monitor hears before its caller is told to wait: one each two seconds is a loop that went
/// wrong. Kinds are counted apart, or a flood of successes would keep a failure out.
const PINGS_OF_MONITOR_MAX: u32 = 30;

/// How often something was done in a window, by who did it.
#[derive(Debug)]
pub(super) struct Counts<K> {
    max: u32,
    counts: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K: Eq + Hash> Counts<K> {
    fn new(max: u32) -> Self {
        Self { max, counts: Mutex::default() }
    }

    /// Counts once more; returns how long whoever did it is to wait when it was too often.
    pub(super) fn count(&self, who: K, now: Instant) -> Option<Duration> {
        let mut counts = self.counts.lock().expect("nobody panics while counting");
        if counts.len() >= ADDRESSES_MAX {
            counts.retain(|_, (began, _)| now.duration_since(*began) < FAILURE_WINDOW);
        }
        let (began, count) = counts.entry(who).or_insert((now, 0));
        if now.duration_since(*began) >= FAILURE_WINDOW {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        (*count > self.max).then(|| FAILURE_WINDOW.saturating_sub(now.duration_since(*began)))
    }

    /// Returns how long whoever did it is to wait before it is done once more, and counts nothing.
    pub(super) fn wait(&self, who: &K, now: Instant) -> Option<Duration> {
        let counts = self.counts.lock().expect("nobody panics while counting");
        let (began, count) = counts.get(who)?;
        let left = FAILURE_WINDOW.checked_sub(now.duration_since(*began)).filter(|left| !left.is_zero());
        left.filter(|_| *count >= self.max)
    }
}

/// What all doors of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Wrong tokens, and pings of nobody, by the address that brought them.
    pub(super) failures: Counts<IpAddr>,
    /// Pings by the token in their URL.
    pub(super) pings: Counts<TokenId>,
    /// Pings by the tenant and name of their monitor, and by what they say.
    pub(super) monitors: Counts<(TenantId, Name, PingKind)>,
    /// Runs that belong to a key and outlive their connection.
    pub(super) tasks: TaskTracker,
    /// Held while a change takes its place in the chain: one at a time here, so that only other replicas are in the way.
    recording: tokio::sync::Mutex<()>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            failures: Counts::new(FAILURES_MAX),
            pings: Counts::new(PINGS_MAX),
            monitors: Counts::new(PINGS_OF_MONITOR_MAX),
            tasks: TaskTracker::default(),
            recording: tokio::sync::Mutex::default(),
        }
    }
}

/// The door before one row.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) state: ServerState,
    pub(super) shared: Arc<Shared>,
    pub(super) row: &'static Endpoint,
}

/// Lets a request through to its handler, or says why not.
pub(super) async fn guard(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let parent: Option<TraceParent> = header.and_then(|text| text.parse().ok());
    if let Some(parent) = parent {
        request.extensions_mut().insert(parent);
    }
    let span = door.span(parent);
    let answer = door.pass(request, next).instrument(span.clone()).await.unwrap_or_else(IntoResponse::into_response);
    span.record("http.response.status_code", answer.status().as_u16());
    if answer.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    answer
}

impl Door {
    /// Returns the span of a request. What agents ask again and again has one only as part of a job, and what is read by
    /// machines every few seconds has none.
    fn span(&self, parent: Option<TraceParent>) -> Span {
        let asked_by_itself = self.row.action == Action::Work || self.row.operation == Operation::Metrics;
        if asked_by_itself && parent.is_none() {
            return Span::none();
        }
        let span = backstay_trace::span!(
            "request",
            otel.name = self.row.name,
            otel.kind = "server",
            http.request.method = method(self.row.method),
            http.route = self.row.path,
            http.response.status_code = Empty,
            otel.status_code = Empty,
        );
        backstay_trace::adopt(&span, parent);
        span
    }

    async fn pass(&self, mut request: Request, next: Next) -> Result<Response, ApiError> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header.and_then(bearer_of).unwrap_or_default().to_owned();
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let identity = self.identify(&bearer, peer).await?;
        if !may(identity.scope.role, self.row.action) {
            return Err(ApiError::forbidden(identity.scope.role, self.row.action));
        }
        request.extensions_mut().insert(identity.clone());
        if self.row.action == Action::Work {
            return Ok(next.run(request).await);
        }
        if self.row.only_looks() {
            // Who was given a tenant's data is on record like who changed something.
            return match self.row.action {
                Action::Restore => self.recorded(&identity, request, next).await,
                _ => Ok(next.run(request).await),
            };
        }
        match key_of(request.headers())? {
            Some(key) => once(self, identity, key, request, next).await,
            None => self.recorded(&identity, request, next).await,
        }
    }

    /// Finds out who asks.
    async fn identify(&self, bearer: &str, peer: Option<IpAddr>) -> Result<Identity, ApiError> {
        if bearer.is_empty() {
            // Nothing was guessed.
            return Err(ApiError::unauthorized());
        }
        if let Some(identity) = self.state.authenticator.authenticate(bearer).await? {
            return Ok(identity);
        }
        let address = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Err(match self.shared.failures.count(address, Instant::now()) {
            Some(wait) => ApiError::too_many(wait),
            None => ApiError::unauthorized(),
        })
    }

    /// Records who asks, then lets the request through: what is not recorded does not happen.
    pub(super) async fn recorded(
        &self,
        identity: &Identity,
        request: Request,
        next: Next,
    ) -> Result<Response, ApiError> {
        let asker = Asker { token_id: identity.token_id, scope: &identity.scope };
        let path = request.uri().path().to_owned();
        {
            let _place = self.shared.recording.lock().await;
            change_record(&self.state.context, &*self.state.access, asker, self.row.name, &path).await?;
        }
        Ok(next.run(request).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_wrong_tokens_have_to_wait_until_the_window_ends() {
        let (failures, now) = (Counts::new(FAILURES_MAX), Instant::now());
        let (one, other) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::BROADCAST));
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.count(one, now), None);
        }
        assert_eq!(failures.count(one, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(failures.count(other, now), None, "another address has its own count");
        assert_eq!(failures.count(one, now + FAILURE_WINDOW), None);
    }

    /// Red when to ask counts, or when it answers otherwise than the next count would.
    #[test]
    fn to_ask_how_long_to_wait_counts_nothing() {
        let (counts, now) = (Counts::new(2), Instant::now());
        for _ in 0..2 {
            assert_eq!(counts.wait(&1, now), None);
            assert_eq!(counts.wait(&1, now), None);
            assert_eq!(counts.count(1, now), None);
        }
        assert_eq!(counts.wait(&1, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(counts.count(1, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!((counts.wait(&2, now), counts.wait(&1, now + FAILURE_WINDOW)), (None, None));
    }
}
