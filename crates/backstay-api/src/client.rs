//! A typed client: one function an operation, named as in the table.

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
use crate::types::agent::AgentView;
use crate::types::alert::{AlertQuery, AlertSilence, AlertView, DigestQuery, DigestView};
use crate::types::caps::{CapsPut, CapsView};
use crate::types::change::ChangeView;
use crate::types::channel::{ChannelCreate, ChannelUpdate, ChannelView};
use crate::types::event::{EventQuery, EventView};
use crate::types::evidence::{EvidenceQuery, EvidenceView};
use crate::types::explain::{ExplainQuery, ExplainView};
use crate::types::job::{JobAccepted, JobDetail, JobLogView, JobQuery, JobView};
use crate::types::job_set::{JobSetDetail, JobSetView};
use crate::types::kind::KindView;
use crate::types::lease::{
    CheckpointTell, LeaseAsk, LeaseGiven, ProgressTell, RenewAsk, Renewed, StandingView, WaitTell,
};
use crate::types::list::{PageQuery, RetiredQuery, Rows};
use crate::types::maintenance::{MaintenanceCreate, MaintenanceView};
use crate::types::plan::{PlanCreate, PlanRequested, PlanScheduleView, PlanUpdate, PlanView, ScheduleQuery};
use crate::types::quota::{QuotaPut, QuotaView};
use crate::types::repository::{RepositoryCreate, RepositoryView};
use crate::types::result::{FinishTell, StateWire};
use crate::types::retention::ItemRetentionView;
use crate::types::secret::{SecretPut, SecretView};
use crate::types::snapshot::{
    DiffQuery, DiffView, EntryQuery, EntryView, FindQuery, FoundView, SnapshotQuery, SnapshotRestore, SnapshotVerify,
    SnapshotView,
};
use crate::types::source::{ItemView, SourceCreate, SourceUpdate, SourceView};
use crate::types::storage::{StorageCreate, StorageDetail, StorageUpdate};
use crate::types::template::{TemplateCreate, TemplateUpdate, TemplateView};
use crate::types::tenant::{TenantCreate, TenantView};
use crate::types::token::{TokenCreate, TokenMade, TokenView};

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

/// Returns a query's value as it is written.
fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

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
        let http = http.no_proxy().build();
        let http = http.map_err(|source| ClientError::Transport { url: server.to_owned(), source })?;
        Ok(Self { http, servers, goes_on: GoesOn::Unsent, token, time_max: CALL_TIME_MAX, shown: None, trace: || None })
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

    /// Writes a call down if that is wanted; an error ends it there when it could change something.
    fn show<Q: Serialize + ?Sized, B: Serialize + ?Sized>(
        &self,
        operation: Operation,
        id: &str,
        query: &Q,
        body: Option<&B>,
    ) -> Result<(), ClientError> {
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
        *shown.lock().expect("nobody panics while writing a call down") = Some(call);
        if endpoint(operation).method == Method::Get { Ok(()) } else { Err(ClientError::Shown) }
    }

    /// Follows a tenant's events as they happen, from after a place in the chain.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn event_stream(&self, query: &EventQuery, after: Option<i64>) -> Result<EventStream, ClientError> {
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

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $how:ident($operation:ident $(, $given:expr)*);)+) => {
        #[expect(clippy::missing_errors_doc, reason = "the type's own line says it for all")]
        impl Client {$(
            $(#[$doc])*
            pub async fn $name(&self $(, $argument: $type)*) -> Result<$answer, ClientError> {
                self.$how(Operation::$operation $(, $given)*).await
            }
        )+}
    };
}

calls! {
    /// Returns all tenants.
    tenant_list() -> Rows<TenantView> = get(TenantList, "");
    /// Declares a tenant.
    tenant_create(body: &TenantCreate) -> TenantView = tell(TenantCreate, "", body);
    /// Returns one tenant.
    tenant_show(id: &str) -> TenantView = get(TenantShow, id);
    /// Returns one repository.
    repository_show(id: &str) -> RepositoryView = get(RepositoryShow, id);
    /// Asks for a prune of a repository.
    repository_prune(id: &str) -> JobAccepted = get(RepositoryPrune, id);
    /// Returns one source.
    source_show(id: &str) -> SourceView = get(SourceShow, id);
    /// Returns one item.
    item_show(id: &str) -> ItemView = get(ItemShow, id);
    /// Returns one plan.
    plan_show(id: &str) -> PlanView = get(PlanShow, id);
    /// Changes a plan.
    plan_update(id: &str, body: &PlanUpdate) -> PlanView = tell(PlanUpdate, id, body);
    /// Returns one snapshot.
    snapshot_show(id: &str) -> SnapshotView = get(SnapshotShow, id);
    /// Returns one record of evidence.
    evidence_show(id: &str) -> EvidenceView = get(EvidenceShow, id);
    /// Keeps a secret.
    secret_put(body: &SecretPut) -> SecretView = tell(SecretPut, "", body);
    /// Returns the names of all secrets.
    secret_list() -> Rows<SecretView> = get(SecretList, "");
    /// Forgets a secret.
    secret_remove(id: &str) -> () = get(SecretRemove, id);
    /// Makes a token.
    token_create(body: &TokenCreate) -> TokenMade = tell(TokenCreate, "", body);
    /// Returns tokens, newest first.
    token_list(query: &PageQuery) -> Rows<TokenView> = ask(TokenList, "", query);
    /// Returns one token.
    token_show(id: &str) -> TokenView = get(TokenShow, id);
    /// Revokes a token.
    token_revoke(id: &str) -> () = get(TokenRevoke, id);
    /// Declares a channel.
    channel_create(body: &ChannelCreate) -> ChannelView = tell(ChannelCreate, "", body);
    /// Returns all channels.
    channel_list() -> Rows<ChannelView> = get(ChannelList, "");
    /// Returns one channel.
    channel_show(id: &str) -> ChannelView = get(ChannelShow, id);
    /// Changes a channel.
    channel_update(id: &str, body: &ChannelUpdate) -> ChannelView = tell(ChannelUpdate, id, body);
    /// Takes a channel away.
    channel_remove(id: &str) -> () = get(ChannelRemove, id);
    /// Sends a test to a channel.
    channel_test(id: &str) -> () = get(ChannelTest, id);
    /// Returns alerts, newest first.
    alert_list(query: &AlertQuery) -> Rows<AlertView> = ask(AlertList, "", query);
    /// Notes that somebody knows of an alert.
    alert_acknowledge(id: &str) -> AlertView = get(AlertAcknowledge, id);
    /// Silences an alert for a time.
    alert_silence(id: &str, body: &AlertSilence) -> AlertView = tell(AlertSilence, id, body);
    /// Returns what a digest would say.
    digest_show(query: &DigestQuery) -> DigestView = ask(DigestShow, "", query);
    /// Returns the agents that are alive.
    agent_list() -> Rows<AgentView> = get(AgentList, "");
    /// Returns who asked for changes, newest first.
    change_list(query: &PageQuery) -> Rows<ChangeView> = ask(ChangeList, "", query);
    /// Returns how all tenants stand against their quotas.
    quota_list() -> Rows<QuotaView> = get(QuotaList, "");
    /// Returns how a tenant stands against its quota.
    quota_show(tenant_id: &str) -> QuotaView = get(QuotaShow, tenant_id);
    /// Sets what a tenant may store.
    quota_put(tenant_id: &str, body: &QuotaPut) -> QuotaView = tell(QuotaPut, tenant_id, body);
    /// Returns all source kinds.
    source_kind_list() -> Rows<KindView> = get(SourceKindList, "");
    /// Returns all storage kinds.
    storage_kind_list() -> Rows<KindView> = get(StorageKindList, "");
    /// Declares a repository.
    repository_create(body: &RepositoryCreate) -> RepositoryView = tell(RepositoryCreate, "", body);
    /// Returns all repositories.
    repository_list() -> Rows<RepositoryView> = get(RepositoryList, "");
    /// Returns all repositories, with those that were retired when that is asked for.
    repository_list_by(query: &RetiredQuery) -> Rows<RepositoryView> = ask(RepositoryList, "", query);
    /// Retires a repository.
    repository_retire(id: &str) -> () = get(RepositoryRetire, id);
    /// Declares a source.
    source_create(body: &SourceCreate) -> SourceView = tell(SourceCreate, "", body);
    /// Gives a source other settings.
    source_update(id: &str, body: &SourceUpdate) -> SourceView = tell(SourceUpdate, id, body);
    /// Returns all sources.
    source_list() -> Rows<SourceView> = get(SourceList, "");
    /// Returns all sources, with those that were retired when that is asked for.
    source_list_by(query: &RetiredQuery) -> Rows<SourceView> = ask(SourceList, "", query);
    /// Retires a source.
    source_retire(id: &str) -> () = get(SourceRetire, id);
    /// Returns a source's items.
    item_list(source_id: &str) -> Rows<ItemView> = get(ItemList, source_id);
    /// Declares a plan.
    plan_create(body: &PlanCreate) -> PlanView = tell(PlanCreate, "", body);
    /// Returns all plans.
    plan_list() -> Rows<PlanView> = get(PlanList, "");
    /// Returns all plans, with those that were retired when that is asked for.
    plan_list_by(query: &RetiredQuery) -> Rows<PlanView> = ask(PlanList, "", query);
    /// Retires a plan.
    plan_retire(id: &str) -> () = get(PlanRetire, id);
    /// Returns job sets, newest first.
    job_set_list(query: &PageQuery) -> Rows<JobSetView> = ask(JobSetList, "", query);
    /// Returns one job set with its members.
    job_set_show(id: &str) -> JobSetDetail = get(JobSetShow, id);
    /// Declares a storage.
    storage_create(body: &StorageCreate) -> StorageDetail = tell(StorageCreate, "", body);
    /// Returns the storages that a query names.
    storage_list(query: &RetiredQuery) -> Rows<StorageDetail> = ask(StorageList, "", query);
    /// Returns one storage.
    storage_show(id: &str) -> StorageDetail = get(StorageShow, id);
    /// Has other keys open a storage.
    storage_update(id: &str, body: &StorageUpdate) -> StorageDetail = tell(StorageUpdate, id, body);
    /// Retires a storage.
    storage_retire(id: &str) -> () = get(StorageRetire, id);
    /// Declares a template.
    template_create(body: &TemplateCreate) -> TemplateView = tell(TemplateCreate, "", body);
    /// Returns all templates.
    template_list() -> Rows<TemplateView> = get(TemplateList, "");
    /// Returns one template.
    template_show(id: &str) -> TemplateView = get(TemplateShow, id);
    /// Changes a template, and the plans under it.
    template_update(id: &str, body: &TemplateUpdate) -> TemplateView = tell(TemplateUpdate, id, body);
    /// Removes a template.
    template_remove(id: &str) -> () = get(TemplateRemove, id);
    /// Asks for a backup of each item of a plan.
    plan_request(id: &str) -> PlanRequested = get(PlanRequest, id);
    /// Returns how far a plan's schedule is.
    plan_schedule(id: &str, query: &ScheduleQuery) -> PlanScheduleView = ask(PlanSchedule, id, query);
    /// Holds a plan back.
    plan_pause(id: &str) -> PlanScheduleView = get(PlanPause, id);
    /// Lets a plan go on.
    plan_resume(id: &str) -> PlanScheduleView = get(PlanResume, id);
    /// Lets prunes forget a plan's snapshots again.
    plan_clear(id: &str) -> () = get(PlanClear, id);
    /// Returns what a plan's retention says of each snapshot of its items.
    plan_retention(id: &str) -> Rows<ItemRetentionView> = get(PlanRetention, id);
    /// Returns the maintenance windows that are not over.
    maintenance_list() -> Rows<MaintenanceView> = get(MaintenanceList, "");
    /// Declares a maintenance window.
    maintenance_create(body: &MaintenanceCreate) -> MaintenanceView = tell(MaintenanceCreate, "", body);
    /// Takes a maintenance window away.
    maintenance_remove(id: &str) -> () = get(MaintenanceRemove, id);
    /// Returns jobs, newest first.
    job_list(query: &JobQuery) -> Rows<JobView> = ask(JobList, "", query);
    /// Returns one job.
    job_show(id: &str) -> JobDetail = get(JobShow, id);
    /// Returns what is stored of a job, in the order of time.
    job_log(id: &str) -> JobLogView = get(JobLog, id);
    /// Asks for a job's end.
    job_cancel(id: &str) -> JobView = get(JobCancel, id);
    /// Tries a job again.
    job_retry(id: &str) -> JobView = get(JobRetry, id);
    /// Says why a plan does what it does.
    plan_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(PlanExplain, id, query);
    /// Says how an item stands.
    item_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(ItemExplain, id, query);
    /// Says why a job exists, and when it starts.
    job_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(JobExplain, id, query);
    /// Says why a snapshot is kept, or goes.
    snapshot_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(SnapshotExplain, id, query);
    /// Returns how many jobs may run at a time.
    caps_show() -> CapsView = get(CapsShow, "");
    /// Changes how many jobs may run at a time.
    caps_put(body: &CapsPut) -> CapsView = tell(CapsPut, "", body);
    /// Leases jobs to an agent.
    job_lease(agent_id: &str, body: &LeaseAsk) -> LeaseGiven = tell(JobLease, agent_id, body);
    /// Sends an agent's heartbeat.
    job_renew(agent_id: &str, body: &RenewAsk) -> Renewed = tell(JobRenew, agent_id, body);
    /// Tells how far a leased job is.
    job_progress(id: &str, body: &ProgressTell) -> StandingView = tell(JobProgress, id, body);
    /// Stores an intent for the job's next attempt.
    job_checkpoint(id: &str, body: &CheckpointTell) -> () = tell(JobCheckpoint, id, body);
    /// Gives a leased job back.
    job_wait(id: &str, body: &WaitTell) -> () = tell(JobWait, id, body);
    /// Hands a result in.
    job_finish(id: &str, body: &FinishTell) -> StateWire = tell(JobFinish, id, body);
    /// Returns snapshots, newest first.
    snapshot_list(query: &SnapshotQuery) -> Rows<SnapshotView> = ask(SnapshotList, "", query);
    /// Returns the entries of a folder in a snapshot.
    snapshot_entries(id: &str, query: &EntryQuery) -> Rows<EntryView> = ask(SnapshotEntries, id, query);
    /// Returns entries of a snapshot whose path a pattern matches.
    snapshot_find(id: &str, query: &FindQuery) -> FoundView = ask(SnapshotFind, id, query);
    /// Returns what differs between two snapshots.
    snapshot_diff(id: &str, query: &DiffQuery) -> DiffView = ask(SnapshotDiff, id, query);
    /// Asks for a restore.
    snapshot_restore(id: &str, body: &SnapshotRestore) -> JobAccepted = tell(SnapshotRestore, id, body);
    /// Keeps a snapshot, whatever the rules say.
    snapshot_pin(id: &str) -> SnapshotView = get(SnapshotPin, id);
    /// Leaves a snapshot to the rules again.
    snapshot_unpin(id: &str) -> SnapshotView = get(SnapshotUnpin, id);
    /// Puts a snapshot under a legal hold.
    snapshot_hold(id: &str) -> SnapshotView = get(SnapshotHold, id);
    /// Lifts a snapshot's legal hold.
    snapshot_release(id: &str) -> SnapshotView = get(SnapshotRelease, id);
    /// Asks for a verify.
    snapshot_verify(id: &str, body: &SnapshotVerify) -> JobAccepted = tell(SnapshotVerify, id, body);
    /// Returns evidence, newest first.
    evidence_list(query: &EvidenceQuery) -> Rows<EvidenceView> = ask(EvidenceList, "", query);
    /// Returns a tenant's events, oldest first.
    event_list(query: &EventQuery) -> Rows<EventView> = ask(EventList, "", query);
}
