//! A typed client: one function an operation, named as in the table.
//!
//! What all have in common lives here: the token, the servers that are tried in turn, problems, tags, streams. The
//! operations themselves are lines in `calls`. Who comes in: the command line, agents, and whoever writes a program against
//! the API.

mod calls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_core::domain::trace::TraceParent;
use reqwest::header::{AUTHORIZATION, ETAG, IF_MATCH};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::endpoint::{Method, Operation, endpoint};
use crate::problem::Problem;
use crate::servers::Servers;
use crate::types::event::{EventStreamQuery, EventView};
use crate::types::list::{Paged, Rows};

/// Why a call did not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server says why.
    #[error("{}", problem.detail)]
    Problem {
        /// What it says.
        problem: Box<Problem>,
    },
    /// The server did not answer, or not with what was expected.
    #[error("the server at {url} did not answer as expected")]
    Transport {
        /// Where it was asked.
        url: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The certificates of authorities that were given cannot be read.
    #[error("there is no certificate of an authority that could be read: {problem}")]
    Authorities {
        /// What is wrong.
        problem: String,
    },
    /// The call was shown instead of made.
    #[error("the call was shown and not made")]
    Shown,
    /// The call would change something, and its client only looks.
    #[error("this changes something, and was not done")]
    Changes,
    /// An answer that is neither a success nor a problem: something else listens there.
    #[error("{url} answered {status} without saying why; is it a Backstay server?")]
    Foreign {
        /// Where it was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
}

impl ClientError {
    /// Says whether the server was not trusted for its certificate: nothing was sent, and asking again changes nothing.
    pub fn is_certificate(&self) -> bool {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            // The error of TLS lies in errors of sockets, which hide its type, and says this of itself.
            if error.to_string().contains("invalid peer certificate") {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Which failures of a replica let a call go on to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    /// Those before anything was sent: no call is made twice.
    Unsent,
    /// Any: the calls may be repeated.
    Always,
}

/// A client of a server, or of its replicas: a call that one does not take goes on to the next. Its functions return
/// [`ClientError`] for whatever is not the answer.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    servers: Arc<Servers>,
    goes_on: GoesOn,
    token: SecretString,
    time_max: Duration,
    shown: Option<Arc<Mutex<Option<Call>>>>,
    only_looks: bool,
    trace: fn() -> Option<TraceParent>,
}

/// Events as they happen.
#[derive(Debug)]
pub struct EventStream {
    answer: reqwest::Response,
    url: String,
    text: Vec<u8>,
}

impl EventStream {
    /// Returns the next event; none when the server ended the stream, and the reader may come again.
    ///
    /// # Errors
    /// [`ClientError::Transport`] when the connection broke.
    pub async fn next(&mut self) -> Result<Option<EventView>, ClientError> {
        loop {
            while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = self.text.drain(..end + 2).collect();
                let message = String::from_utf8_lossy(&message).into_owned();
                let data = message.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(event) = data.and_then(|data| serde_json::from_str(data).ok()) {
                    return Ok(Some(event));
                }
            }
            let more = self.answer.chunk().await;
            match more.map_err(|source| ClientError::Transport { url: self.url.clone(), source })? {
                Some(more) => self.text.extend_from_slice(&more),
                None => return Ok(None),
            }
        }
    }
}

/// Sends a request and returns the answer, which is a success.
async fn sent(request: reqwest::RequestBuilder, url: &str) -> Result<reqwest::Response, ClientError> {
    let answer = request.send().await;
    checked(answer.map_err(|source| ClientError::Transport { url: url.to_owned(), source })?, url).await
}

/// A view as it was seen, with what goes with a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<V> {
    /// The view.
    pub view: V,
    /// Its ETag; empty for a view that has none.
    pub tag: String,
}

/// Sends a request and reads the answer with its tag.
async fn read<A: DeserializeOwned>(request: reqwest::RequestBuilder, url: String) -> Result<Seen<A>, ClientError> {
    let answer = sent(request, &url).await?;
    if answer.status() == reqwest::StatusCode::NO_CONTENT {
        let foreign = |_| ClientError::Foreign { url: url.clone(), status: 204 };
        let view = serde_json::from_value(serde_json::Value::Null).map_err(foreign)?;
        return Ok(Seen { view, tag: String::new() });
    }
    let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
    let view = answer.json().await.map_err(|source| ClientError::Transport { url: url.clone(), source })?;
    Ok(Seen { view, tag })
}

/// Returns an answer that is a success, or what the server says.
async fn checked(answer: reqwest::Response, url: &str) -> Result<reqwest::Response, ClientError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    match answer.json().await {
        Ok(problem) => Err(ClientError::Problem { problem: Box::new(problem) }),
        Err(_) => Err(ClientError::Foreign { url: url.to_owned(), status: status.as_u16() }),
    }
}

/// Says whether an answer is one of a replica that is going, or whose database is away for it.
const fn is_away(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Says whether a call asks for a page that is not the first one.
fn is_next(call: &Call) -> bool {
    call.query.iter().any(|(name, _)| name == "before")
}

/// Returns a query's value as it is written.
fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Longest that a connection is kept without a call: servers let go of it after 75 seconds.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

/// Longest that a call may take: longer than the server gives itself, so that its own words are heard.
const CALL_TIME_MAX: Duration = Duration::from_secs(90);

/// Longest look at one server's certificate.
const TRUST_TIME_MAX: Duration = Duration::from_secs(10);

impl Client {
    /// Makes a client of the server at a URL such as `http://127.0.0.1:7400`, or of replicas, with commas between their URLs.
    ///
    /// # Errors
    /// [`ClientError::Transport`] when the system gives no client.
    pub fn new(server: &str, token: SecretString) -> Result<Self, ClientError> {
        Self::made(server, token, reqwest::Client::builder())
    }

    /// As [`Client::new`]; a server's certificate must come from one of these authorities (PEM), whatever the system trusts.
    ///
    /// # Errors
    /// [`ClientError::Authorities`], [`ClientError::Transport`].
    pub fn trusting(server: &str, token: SecretString, authorities: &[u8]) -> Result<Self, ClientError> {
        let told = |problem: &dyn std::fmt::Display| ClientError::Authorities { problem: problem.to_string() };
        let found = reqwest::Certificate::from_pem_bundle(authorities).map_err(|error| told(&error))?;
        if found.is_empty() {
            return Err(told(&"it holds none"));
        }
        Self::made(server, token, reqwest::Client::builder().tls_certs_only(found))
    }

    fn made(server: &str, token: SecretString, http: reqwest::ClientBuilder) -> Result<Self, ClientError> {
        let servers = Arc::new(Servers::read(server));
        // The API is spoken to directly: a proxy of the environment is for the web.
        let http = http.no_proxy().pool_idle_timeout(IDLE_TIME_MAX).build();
        let http = http.map_err(|source| ClientError::Transport { url: server.to_owned(), source })?;
        Ok(Self {
            http,
            servers,
            goes_on: GoesOn::Unsent,
            token,
            time_max: CALL_TIME_MAX,
            shown: None,
            only_looks: false,
            trace: || None,
        })
    }

    /// Returns a client whose calls may all be repeated, and take at most so long with all replicas together.
    pub(crate) fn repeating(&self, time_max: Duration) -> Self {
        let shares = u32::try_from(self.servers.count()).unwrap_or(u32::MAX);
        Self { goes_on: GoesOn::Always, time_max: time_max / shares, ..self.clone() }
    }

    /// Returns a client that writes down each call, and makes none that could change something: it is shown instead.
    #[must_use]
    pub fn showing(&self, shown: Arc<Mutex<Option<Call>>>) -> Self {
        Self { shown: Some(shown), ..self.clone() }
    }

    /// Returns a client that makes no call that could change something: it ends with [`ClientError::Changes`].
    #[must_use]
    pub fn looking(&self) -> Self {
        Self { only_looks: true, ..self.clone() }
    }

    /// Returns a client whose calls say to which trace they belong.
    #[must_use]
    pub fn tracing(&self, trace: fn() -> Option<TraceParent>) -> Self {
        Self { trace, ..self.clone() }
    }

    /// Returns where the server is; of replicas, the one that is asked next.
    pub fn server(&self) -> &str {
        self.servers.current().1
    }

    /// Asks the servers whether they are there, as far as their certificates are concerned.
    ///
    /// # Errors
    /// [`ClientError::Transport`], for which [`ClientError::is_certificate`] holds, when none of them is trusted.
    pub async fn certificate_trusted(&self) -> Result<(), ClientError> {
        let mut refused = Ok(());
        for server in self.servers.all() {
            let url = format!("{server}/healthz");
            let asked = sent(self.http.get(&url).timeout(TRUST_TIME_MAX), &url).await;
            match asked.map(drop) {
                Err(error) if error.is_certificate() => refused = Err(error),
                _ => return Ok(()),
            }
        }
        refused
    }

    /// Says whether a failure lets a call go on to the next replica.
    fn passes(&self, error: &ClientError) -> bool {
        match (error, self.goes_on) {
            (ClientError::Transport { source, .. }, GoesOn::Unsent) => source.is_connect(),
            (ClientError::Transport { .. }, GoesOn::Always) => true,
            (ClientError::Problem { problem }, GoesOn::Always) => is_away(problem.status),
            (ClientError::Foreign { status, .. }, GoesOn::Always) => is_away(*status),
            _ => false,
        }
    }

    /// Turns away from a replica whose failure lets the call go on, and says whether another one is left to ask.
    fn turns<A>(&self, place: usize, answer: &Result<A, ClientError>, asked: &mut usize) -> bool {
        *asked += 1;
        let passes = answer.as_ref().is_err_and(|error| self.passes(error));
        if passes {
            // The last one is left too: the next call begins where nothing has failed yet.
            self.servers.leave(place);
        }
        passes && *asked < self.servers.count()
    }

    /// Makes a call. `id` stands for the path's parameter.
    async fn call<Q: Serialize + ?Sized, B: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        operation: Operation,
        id: &str,
        query: &Q,
        body: Option<&B>,
    ) -> Result<A, ClientError> {
        Ok(self.call_as_seen(operation, id, query, body, "").await?.view)
    }

    /// As [`Client::call`], with the answer's tag; refused when the row is not as the given tag says, if one is given.
    async fn call_as_seen<Q: Serialize + ?Sized, B: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        operation: Operation,
        id: &str,
        query: &Q,
        body: Option<&B>,
        tag: &str,
    ) -> Result<Seen<A>, ClientError> {
        self.show(operation, id, query, body)?;
        let mut asked = 0;
        loop {
            let (place, server) = self.servers.current();
            let mut request = self.request(server, operation, id, query, body).timeout(self.time_max);
            if !tag.is_empty() {
                request = request.header(IF_MATCH, tag);
            }
            let answer = read(request, format!("{server}{}", endpoint(operation).path)).await;
            if !self.turns(place, &answer, &mut asked) {
                return answer;
            }
        }
    }

    /// Makes a request of a row.
    fn request<Q: Serialize + ?Sized, B: Serialize + ?Sized>(
        &self,
        server: &str,
        operation: Operation,
        id: &str,
        query: &Q,
        body: Option<&B>,
    ) -> reqwest::RequestBuilder {
        let row = endpoint(operation);
        let url = format!("{server}{}", row.path.replace("{id}", id));
        let method = match row.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let bearer = format!("Bearer {}", self.token.expose_secret());
        let mut request = self.http.request(method, &url).header(AUTHORIZATION, bearer).query(query);
        if let Some(trace) = (self.trace)() {
            request = request.header("traceparent", trace.to_string());
        }
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    /// Writes a call down if that is wanted; an error ends it there when it could change something and is not to.
    fn show<Q: Serialize + ?Sized, B: Serialize + ?Sized>(
        &self,
        operation: Operation,
        id: &str,
        query: &Q,
        body: Option<&B>,
    ) -> Result<(), ClientError> {
        let is_look = endpoint(operation).only_looks();
        if self.only_looks && !is_look {
            return Err(ClientError::Changes);
        }
        let Some(shown) = &self.shown else { return Ok(()) };
        let query = match serde_json::to_value(query).unwrap_or_default() {
            serde_json::Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, text(&value))).collect(),
            serde_json::Value::Array(pairs) => pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            _ => Vec::new(),
        };
        let mut body = body.map(|body| serde_json::to_value(body).unwrap_or_default());
        if let Some(value) = body.as_mut().filter(|_| endpoint(operation).takes_a_secret()) {
            value["value"] = "THE SECRET".into();
        }
        let call = Call { operation, id: id.to_owned(), query, body };
        let mut shown = shown.lock().expect("nobody panics while writing a call down");
        // Of a list that is gone through page by page, the call of its first page is the one.
        let goes_on = |first: &Call| first.operation == operation && first.id == id && is_next(&call);
        if !shown.as_ref().is_some_and(goes_on) {
            *shown = Some(call);
        }
        if is_look { Ok(()) } else { Err(ClientError::Shown) }
    }

    /// Returns all rows of a list that a query names, page by page, in the list's own order. A limit that the query has is
    /// that of all rows.
    ///
    /// ```no_run
    /// # use backstay_api::{Client, ClientError, types::list::RetiredQuery};
    /// # async fn all(client: &Client) -> Result<(), ClientError> {
    /// let plans = client.all(RetiredQuery::default(), Client::plan_list).await?.rows;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn all<T, Q: Paged>(
        &self,
        mut query: Q,
        list: impl AsyncFn(&Self, &Q) -> Result<Rows<T>, ClientError>,
    ) -> Result<Rows<T>, ClientError> {
        let mut left = query.limit().unwrap_or(u32::MAX);
        let mut rows = Vec::new();
        loop {
            *query.limit() = Some(left.min(Q::ROWS_MAX));
            let page = list(self, &query).await?;
            left = left.saturating_sub(u32::try_from(page.rows.len()).unwrap_or(left));
            rows.extend(page.rows);
            *query.before() = page.next_before.clone();
            if page.next_before.is_none() || left == 0 {
                return Ok(Rows { rows, next_before: page.next_before });
            }
        }
    }

    /// Follows a tenant's events as they happen, from after a place in the chain.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn event_stream(&self, query: &EventStreamQuery, after: Option<i64>) -> Result<EventStream, ClientError> {
        self.show::<_, ()>(Operation::EventStream, "", query, None)?;
        let mut asked = 0;
        loop {
            let (place, server) = self.servers.current();
            let mut request = self.request::<_, ()>(server, Operation::EventStream, "", query, None);
            if let Some(after) = after {
                request = request.header("last-event-id", after);
            }
            let url = format!("{server}{}", endpoint(Operation::EventStream).path);
            let answer = sent(request, &url).await;
            if !self.turns(place, &answer, &mut asked) {
                return Ok(EventStream { answer: answer?, url, text: Vec::new() });
            }
        }
    }

    /// Returns figures in the text format of Prometheus.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.show::<_, ()>(Operation::Metrics, "", &(), None)?;
        let mut asked = 0;
        loop {
            let (place, server) = self.servers.current();
            let request = self.request::<_, ()>(server, Operation::Metrics, "", &(), None).timeout(self.time_max);
            let url = format!("{server}{}", endpoint(Operation::Metrics).path);
            let answer = sent(request, &url).await;
            if !self.turns(place, &answer, &mut asked) {
                return answer?.text().await.map_err(|source| ClientError::Transport { url, source });
            }
        }
    }

    /// Makes a call of any row with what a document says, and returns the answer's document. For what is typed by hand and
    /// for tests that walk the table; verbs have a function each.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn raw(
        &self,
        operation: Operation,
        id: &str,
        query: &[(String, String)],
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, ClientError> {
        self.call(operation, id, query, body).await
    }

    /// Returns what a row shows, with its tag.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn seen<A: DeserializeOwned>(&self, operation: Operation, id: &str) -> Result<Seen<A>, ClientError> {
        self.call_as_seen::<_, (), A>(operation, id, &(), None, "").await
    }

    /// Changes a row that must still be as its tag says.
    ///
    /// # Errors
    /// [`ClientError`]: a problem with status 412 when somebody else changed it.
    pub async fn change_as_seen<B: Serialize, A: DeserializeOwned>(
        &self,
        operation: Operation,
        id: &str,
        body: &B,
        tag: &str,
    ) -> Result<A, ClientError> {
        Ok(self.call_as_seen(operation, id, &(), Some(body), tag).await?.view)
    }

    async fn get<A: DeserializeOwned>(&self, operation: Operation, id: &str) -> Result<A, ClientError> {
        self.call::<_, (), A>(operation, id, &(), None).await
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        operation: Operation,
        id: &str,
        query: &Q,
    ) -> Result<A, ClientError> {
        self.call::<_, (), A>(operation, id, query, None).await
    }

    async fn tell<B: Serialize, A: DeserializeOwned>(
        &self,
        operation: Operation,
        id: &str,
        body: &B,
    ) -> Result<A, ClientError> {
        self.call(operation, id, &(), Some(body)).await
    }
}
