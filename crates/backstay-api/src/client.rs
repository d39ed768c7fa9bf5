//! A typed client: one function an operation, named as in the table.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::{Method, Operation, endpoint};
use crate::problem::Problem;
use crate::types::event::{EventQuery, EventView};
use crate::types::evidence::{EvidenceQuery, EvidenceView};
use crate::types::job::{JobAccepted, JobDetail, JobQuery, JobView};
use crate::types::kind::KindView;
use crate::types::lease::{
    CheckpointTell, LeaseAsk, LeaseGiven, ProgressTell, RenewAsk, Renewed, StandingView, WaitTell,
};
use crate::types::list::Rows;
use crate::types::plan::{PlanCreate, PlanRequested, PlanView};
use crate::types::repository::{RepositoryCreate, RepositoryView};
use crate::types::result::{FinishTell, StateWire};
use crate::types::snapshot::{EntryQuery, EntryView, SnapshotQuery, SnapshotRestore, SnapshotVerify, SnapshotView};
use crate::types::source::{ItemView, SourceCreate, SourceView};
use crate::types::tenant::TenantView;

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
    /// An answer that is neither a success nor a problem: something else listens there.
    #[error("{url} answered {status} without saying why; is it a Backstay server?")]
    Foreign {
        /// Where it was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
}

/// A client of one server. Its functions return [`ClientError`] for whatever is not the answer.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: SecretString,
    time_max: Duration,
}

/// Longest that a call may take: longer than the server gives itself, so that its own words are heard.
const CALL_TIME_MAX: Duration = Duration::from_secs(90);

impl Client {
    /// Makes a client of the server at a URL such as `http://127.0.0.1:7400`.
    ///
    /// # Errors
    /// [`ClientError::Transport`] when the system gives no client.
    pub fn new(server: &str, token: SecretString) -> Result<Self, ClientError> {
        let server = server.trim_end_matches('/').to_owned();
        // The API is spoken to directly: a proxy of the environment is for the web.
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.map_err(|source| ClientError::Transport { url: server.clone(), source })?;
        Ok(Self { http, server, token, time_max: CALL_TIME_MAX })
    }

    /// Returns a client of the same server whose calls take at most so long.
    #[must_use]
    pub fn within(&self, time_max: Duration) -> Self {
        Self { time_max, ..self.clone() }
    }

    /// Makes a call. `id` stands for the path's parameter.
    async fn call<Q: Serialize + ?Sized, B: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        operation: Operation,
        id: &str,
        query: &Q,
        body: Option<&B>,
    ) -> Result<A, ClientError> {
        let row = endpoint(operation);
        let url = format!("{}{}", self.server, row.path.replace("{id}", id));
        let told = |source| ClientError::Transport { url: url.clone(), source };
        let method = match row.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut request = self
            .http
            .request(method, &url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose_secret()))
            .timeout(self.time_max)
            .query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(told)?;
        let status = answer.status();
        if status == reqwest::StatusCode::NO_CONTENT {
            let foreign = |_| ClientError::Foreign { url: url.clone(), status: status.as_u16() };
            return serde_json::from_value(serde_json::Value::Null).map_err(foreign);
        }
        if status.is_success() {
            return answer.json().await.map_err(told);
        }
        match answer.json().await {
            Ok(problem) => Err(ClientError::Problem { problem: Box::new(problem) }),
            Err(_) => Err(ClientError::Foreign { url: url.clone(), status: status.as_u16() }),
        }
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
    /// Returns all source kinds.
    source_kind_list() -> Rows<KindView> = get(SourceKindList, "");
    /// Returns all storage kinds.
    storage_kind_list() -> Rows<KindView> = get(StorageKindList, "");
    /// Declares a repository.
    repository_create(body: &RepositoryCreate) -> RepositoryView = tell(RepositoryCreate, "", body);
    /// Returns all repositories.
    repository_list() -> Rows<RepositoryView> = get(RepositoryList, "");
    /// Declares a source.
    source_create(body: &SourceCreate) -> SourceView = tell(SourceCreate, "", body);
    /// Returns all sources.
    source_list() -> Rows<SourceView> = get(SourceList, "");
    /// Returns a source's items.
    item_list(source_id: &str) -> Rows<ItemView> = get(ItemList, source_id);
    /// Declares a plan.
    plan_create(body: &PlanCreate) -> PlanView = tell(PlanCreate, "", body);
    /// Returns all plans.
    plan_list() -> Rows<PlanView> = get(PlanList, "");
    /// Asks for a backup of each item of a plan.
    plan_request(id: &str) -> PlanRequested = get(PlanRequest, id);
    /// Returns jobs, newest first.
    job_list(query: &JobQuery) -> Rows<JobView> = ask(JobList, "", query);
    /// Returns one job.
    job_show(id: &str) -> JobDetail = get(JobShow, id);
    /// Asks for a job's end.
    job_cancel(id: &str) -> JobView = get(JobCancel, id);
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
    /// Asks for a restore.
    snapshot_restore(id: &str, body: &SnapshotRestore) -> JobAccepted = tell(SnapshotRestore, id, body);
    /// Asks for a verify.
    snapshot_verify(id: &str, body: &SnapshotVerify) -> JobAccepted = tell(SnapshotVerify, id, body);
    /// Returns evidence, newest first.
    evidence_list(query: &EvidenceQuery) -> Rows<EvidenceView> = ask(EvidenceList, "", query);
    /// Returns a tenant's events, oldest first.
    event_list(query: &EventQuery) -> Rows<EventView> = ask(EventList, "", query);
}
