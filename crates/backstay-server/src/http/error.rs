//! Whatever goes wrong, as one problem: status, stable code, what happened, what to do next.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use backstay_api::Problem;
use backstay_api::problem::{PROBLEM_TYPE, code};
use backstay_api::types::wire::WireError;
use backstay_core::domain::access::{Action, Role};
use backstay_core::domain::id::{IdError, SnapshotId};
use backstay_core::domain::job::StateName;
use backstay_core::domain::name::NameError;
use backstay_core::domain::quota::QuotaError;
use backstay_core::domain::schedule::ScheduleError;
use backstay_core::domain::secret::SecretReferenceError;
use backstay_core::domain::template::TemplateError;
use backstay_core::managers::access::RecordError;
use backstay_core::managers::browse::BrowseError;
use backstay_core::managers::channel::ChannelDeclareError;
use backstay_core::managers::declaration::DeclareError;
use backstay_core::managers::job::chain;
use backstay_core::managers::monitor::MonitorDeclareError;
use backstay_core::managers::plan::RemoveError;
use backstay_core::managers::purge::PurgeError;
use backstay_core::managers::quota::PermitError;
use backstay_core::managers::retire::RetireError;
use backstay_core::managers::secret::KeepError;
use backstay_core::ports::courier::DeliveryError;
use backstay_core::ports::job::LeaseError;
use backstay_core::ports::secret::SecretError;
use backstay_core::ports::snapshot::ReadError;
use backstay_core::ports::store::StoreError;

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct ApiError {
    problem: Problem,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, detail: impl ToString, hint: &str) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let (code, hint) = (code.to_owned(), hint.to_owned());
        let problem = Problem { status: status.as_u16(), code, title, detail: detail.to_string(), hint };
        Self { problem, retry_after: None }
    }

    /// A template that cannot be taken; `field` is its name on the wire.
    pub(super) fn template(field: &str, error: &TemplateError) -> Self {
        let hint = match error {
            TemplateError::Unknown { .. } => "`backstay template list` shows what there is.",
            TemplateError::Deep { .. } => "Put another one above it, or none: `backstay template update`.",
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{field}: {error}"), hint)
    }

    /// A value that cannot be taken; `field` is its name on the wire.
    pub(super) fn invalid(field: &str, problem: impl ToString) -> Self {
        let detail = format!("{field}: {}", problem.to_string());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail, "Correct the field and ask again.")
    }

    /// A request whose body or query cannot be read at all.
    pub(super) fn malformed(detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail, "The API's document says what is expected.")
    }

    pub(super) fn unauthorized() -> Self {
        let hint = "Send the header `Authorization: Bearer TOKEN`.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "the request brings no valid token", hint)
    }

    pub(super) fn forbidden(role: Role, action: Action) -> Self {
        let detail = format!("the role {} may not {}", role.word(), action.word());
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail, "Ask with a token whose role may.")
    }

    /// A token that could do more than the one who asks for it.
    pub(super) fn too_much(role: Role) -> Self {
        let detail = format!("your token may not make one of the role {} with this reach", role.word());
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail, "Nobody gives more rights than they have.")
    }

    /// A reference to a secret of the installation, from who sees to one tenant.
    pub(super) fn not_a_tenants(field: &str) -> Self {
        let detail = format!("{field}: this names a secret of the installation, not of one tenant");
        let hint = "Keep it with `backstay secret put NAME` and write `sealed:NAME`, or ask who runs the installation.";
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail, hint)
    }

    pub(super) fn too_many(wait: Duration) -> Self {
        let hint = "Look at which program here brings a wrong token; good tokens are answered meanwhile.";
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", "too many wrong tokens", hint);
        problem.retry_after = Some(wait);
        problem
    }

    pub(super) fn too_large() -> Self {
        let hint = "A declaration has a few kilobytes.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the request's body is too large", hint)
    }

    /// An idempotency key that came with another request before.
    pub(super) fn key_reused() -> Self {
        let hint = "Choose a new key for a new request.";
        let detail = "this Idempotency-Key was used for another request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail, hint)
    }

    /// The same request is being answered.
    pub(super) fn in_flight() -> Self {
        let hint = "Ask again with the same key: it gives the same answer.";
        let detail = "a request with this Idempotency-Key is being answered";
        let mut problem = Self::new(StatusCode::CONFLICT, "idempotency_in_flight", detail, hint);
        problem.retry_after = Some(Duration::from_secs(1));
        problem
    }

    /// An agent's id that came with another token first.
    pub(super) fn agent_taken() -> Self {
        let hint = "An agent is one process with one token: start it anew, and it has an id of its own.";
        Self::new(StatusCode::FORBIDDEN, "agent_taken", "this agent works with another token", hint)
    }

    /// More streams than one token, or the server, may have.
    pub(super) fn too_many_streams(status: StatusCode, max: usize) -> Self {
        let whose = if status == StatusCode::TOO_MANY_REQUESTS { "your token has" } else { "the server has" };
        let hint = "End a stream that nobody reads, or ask for `/api/v1/events` by pages.";
        let mut problem = Self::new(status, "too_many_streams", format!("{whose} {max} streams of events open"), hint);
        problem.retry_after = Some(Duration::from_secs(30));
        problem
    }

    /// A mistake of ours. The log has it.
    pub(super) fn internal() -> Self {
        let hint = "Ask again; if it stays so, look at the server's log and report it.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server made a mistake", hint)
    }

    /// An answer that did not come in time. What was asked may still happen.
    pub(super) fn timed_out() -> Self {
        let hint = "Ask again, with the same Idempotency-Key if there was one: it gives the answer when there is one.";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", "the answer did not come in time", hint)
    }

    /// A job that is not tried again.
    pub(super) fn not_tried_again(state: StateName) -> Self {
        let hint = match state {
            StateName::Damaged => "Harm stays told: look at the evidence, and ask for a new verify of the snapshot.",
            StateName::Succeeded => "Ask for a new job, by `plan run` or `snapshot verify` for example.",
            _ => "It goes on by itself; `job explain` says when.",
        };
        let detail =
            format!("the job is {}: only one that is parked, failed or cancelled is tried again", state.word());
        Self::new(StatusCode::CONFLICT, "wrong_state", detail, hint)
    }

    /// A snapshot that is to go, and that a person keeps.
    pub(super) fn is_kept(id: SnapshotId, what: &str, verb: &str) -> Self {
        let hint = format!("If it is to go all the same: `backstay snapshot {verb} {id}` first.");
        Self::new(StatusCode::CONFLICT, "is_kept", format!("snapshot {id} is {what}"), &hint)
    }

    /// A backup that is not tried again, because another one of its item is live.
    pub(super) fn item_is_live() -> Self {
        let hint = "Let it end; `job list` shows it.";
        Self::new(StatusCode::CONFLICT, "overlaps", "another backup of its item is not finished", hint)
    }

    /// A test of a source, where no agent works that would read it.
    pub(super) fn no_own_agent() -> Self {
        let hint = "Its agents work elsewhere: run a plan of it, and `backstay job show` tells what they met.";
        let detail = "no agent works in the server's process, so it cannot see what an agent would see";
        Self::new(StatusCode::CONFLICT, "no_own_agent", detail, hint)
    }

    /// What was to be changed is not as the caller saw it.
    pub(super) fn changed() -> Self {
        let hint = "Look at it again, and decide again.";
        let detail = "somebody else changed it in the meantime";
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", detail, hint)
    }

    pub(super) fn wrong_method() -> Self {
        let hint = "The API's document lists the methods of each path.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path does not take this method", hint)
    }
}

/// Answers what no row of the table does.
pub(super) async fn not_found(uri: Uri) -> ApiError {
    let detail = format!("there is nothing at {}", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "no_endpoint", detail, "The API's document lists the paths.")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self.problem).expect("a problem is JSON");
        let mut answer = (status, [(CONTENT_TYPE, PROBLEM_TYPE)], body).into_response();
        let headers = answer.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let passes = matches!(status, StatusCode::SERVICE_UNAVAILABLE);
        if let Some(wait) = self.retry_after.or_else(|| passes.then_some(Duration::from_secs(1))) {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        answer
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = chain(&error);
        match &error {
            StoreError::NotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, code::NOT_FOUND, detail, "A list shows what there is.")
            }
            StoreError::Taken { .. } => Self::new(StatusCode::CONFLICT, "taken", detail, "Choose another name."),
            StoreError::Retired { .. } => {
                let hint =
                    "Declare a new one; its name is free. What the retired one made can be restored and verified.";
                Self::new(StatusCode::CONFLICT, "retired", detail, hint)
            }
            StoreError::Purged { .. } => {
                let hint = "Declare it for another tenant: this one's name stays with the record of its purge.";
                Self::new(StatusCode::CONFLICT, "purged", detail, hint)
            }
            StoreError::Move { .. } => {
                Self::new(StatusCode::CONFLICT, "wrong_state", detail, "Look at the job again: it has moved on.")
            }
            StoreError::Refused { code, .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "refused",
                &detail,
                &format!("The server behind this one says {code}."),
            ),
            StoreError::Unreadable { .. } => {
                tracing::error!(error = detail, "a row cannot be read");
                let hint = "The server's log names the row; keep a copy of the database and report this.";
                let detail = "the database holds something that no version wrote";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_row", detail, hint)
            }
            StoreError::Busy { .. } => {
                let mut problem =
                    Self::new(StatusCode::CONFLICT, "in_use", detail, "Ask again when that job has ended.");
                problem.retry_after = Some(Duration::from_secs(30));
                problem
            }
            StoreError::Unavailable(_) => {
                tracing::error!(error = detail, "the database did not answer");
                // What a driver says may hold names of hosts and pieces of statements: that is for the log.
                let hint = "Ask again; if it stays so, look at the server's log and at the database's disk.";
                let detail = "the database did not answer";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail, hint)
            }
        }
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::Crowded => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "crowded", error, "Ask again: nothing was changed.")
            }
        }
    }
}

impl From<LeaseError> for ApiError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Store(error) => error.into(),
            LeaseError::Lost { .. } => {
                let hint = "Stop this attempt and say nothing more: the job is somebody else's, or nobody's.";
                Self::new(StatusCode::CONFLICT, code::LEASE_LOST, error, hint)
            }
            LeaseError::Quota { source, .. } => source.into(),
            LeaseError::Secret { .. } => {
                let hint = "Put the secret back where the repository's password reference says.";
                Self::new(StatusCode::CONFLICT, "secret_missing", chain(&error), hint)
            }
        }
    }
}

impl From<QuotaError> for ApiError {
    fn from(error: QuotaError) -> Self {
        let hint =
            "`backstay quota show` says how near it is; who oversees the installation raises it: backstay quota set.";
        Self::new(StatusCode::CONFLICT, "quota_reached", error, hint)
    }
}

impl From<PermitError> for ApiError {
    fn from(error: PermitError) -> Self {
        match error {
            PermitError::Quota(error) => error.into(),
            PermitError::Store(error) => error.into(),
        }
    }
}

impl From<RetireError> for ApiError {
    fn from(error: RetireError) -> Self {
        match error {
            RetireError::Store(error) => error.into(),
            RetireError::InUse { .. } => {
                let hint =
                    "Retire those first, or give plans another one: backstay plan retire, backstay repository retire.";
                Self::new(StatusCode::CONFLICT, "needed", error, hint)
            }
        }
    }
}

impl From<PurgeError> for ApiError {
    fn from(error: PurgeError) -> Self {
        let (code, hint) = match error {
            PurgeError::Store(error) => return error.into(),
            PurgeError::Secret(error) => return error.into(),
            PurgeError::Retire(error) => return error.into(),
            PurgeError::Wait => return Self::invalid("wait_ms", error),
            PurgeError::Unknown { .. } => {
                ("not_announced", "`backstay tenant purge NAME` announces one, and says its id.")
            }
            PurgeError::Early { .. } => {
                ("too_early", "Wait for it; until then `backstay tenant purge NAME --cancel` takes it back.")
            }
            PurgeError::Confirmed => ("confirmed", "Confirm it again if it did not come to its end."),
            PurgeError::Held { .. } => {
                ("held", "Ask whoever wants them kept; `backstay snapshot release ID` lifts a hold.")
            }
            PurgeError::Running { .. } => {
                ("running", "Let them end, or `backstay job cancel ID`; then confirm it again.")
            }
            PurgeError::Shared { .. } => {
                ("shared", "Give those a secret and a place of their own first: nothing of other tenants is touched.")
            }
            PurgeError::Crowded => ("crowded", "Confirm it again."),
        };
        Self::new(StatusCode::CONFLICT, code, error, hint)
    }
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Store(error) => error.into(),
            RemoveError::InUse { .. } => {
                let hint =
                    "Give them another template, or none, first: backstay plan update, backstay template update.";
                Self::new(StatusCode::CONFLICT, "needed", error, hint)
            }
        }
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        Self::invalid(error.field, error.problem)
    }
}

impl From<DeclareError> for ApiError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Store(error) => error.into(),
            DeclareError::Secret(error) => error.into(),
            DeclareError::SourceKind { .. } | DeclareError::StorageKind { .. } => Self::invalid("kind", error),
            DeclareError::Settings(error) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                error,
                "The kind's schema says what is expected.",
            ),
            DeclareError::ItemGone { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                error,
                "Declare a source of another name, and a plan that reads it.",
            ),
            DeclareError::ForeignSource { .. } => Self::invalid("source_id", error),
            DeclareError::Rpo { .. } => Self::invalid("rpo_ms", error),
            DeclareError::OtherTenant { .. } => Self::invalid("tenant", error),
            DeclareError::Path(error) => Self::invalid("path", error),
            DeclareError::Schedule(error) => error.into(),
            DeclareError::Backup(error) => Self::invalid(&error.field(), error),
            DeclareError::Template(error) => Self::template("template", &error),
        }
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Store(error) => error.into(),
            error => {
                let hint =
                    "Put the secret back where its reference says; `backstay secret list` shows those that are sealed.";
                Self::new(StatusCode::CONFLICT, "secret_missing", chain(&error), hint)
            }
        }
    }
}

impl From<ChannelDeclareError> for ApiError {
    fn from(error: ChannelDeclareError) -> Self {
        match error {
            ChannelDeclareError::Store(error) => error.into(),
            ChannelDeclareError::Settings(error) => Self::invalid(&error.field, error.problem),
        }
    }
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Store(error) => error.into(),
            KeepError::Secret(error) => error.into(),
            KeepError::Length => Self::invalid("value", error),
            KeepError::InChannel { .. } => {
                let hint = "Let the channel name another secret first: backstay channel update.";
                Self::new(StatusCode::CONFLICT, "secret_in_use", error, hint)
            }
            KeepError::InStorage { .. } => {
                let hint = "Let the storage name another key first: backstay storage update.";
                Self::new(StatusCode::CONFLICT, "secret_in_use", error, hint)
            }
            KeepError::InUse { .. } => {
                let hint = "Without it the repository's data does not open: keep a new secret under another name.";
                Self::new(StatusCode::CONFLICT, "secret_in_use", error, hint)
            }
        }
    }
}

impl From<MonitorDeclareError> for ApiError {
    fn from(error: MonitorDeclareError) -> Self {
        match error {
            MonitorDeclareError::Field(error) => Self::invalid(error.field, error.problem),
            MonitorDeclareError::Store(error) => error.into(),
        }
    }
}

impl From<DeliveryError> for ApiError {
    fn from(error: DeliveryError) -> Self {
        let hint = "Mend what it says (backstay channel update), then test it again.";
        Self::new(StatusCode::BAD_GATEWAY, "not_delivered", error, hint)
    }
}

impl From<BrowseError> for ApiError {
    fn from(error: BrowseError) -> Self {
        match error {
            BrowseError::Store(error) => error.into(),
            BrowseError::Secret(error) => error.into(),
            BrowseError::Read(error @ ReadError::Repository { .. }) => {
                let hint = "Is the storage mounted and readable?";
                Self::new(StatusCode::BAD_GATEWAY, "repository_unreadable", chain(&error), hint)
            }
            BrowseError::Read(error @ ReadError::Busy) => {
                let hint = "Wait until a look ends, or restore what you look for: that is a job of its own.";
                let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_looks", error, hint);
                problem.retry_after = Some(Duration::from_secs(10));
                problem
            }
            BrowseError::Read(error @ ReadError::Pattern { .. }) => Self::invalid("pattern", error),
            error @ BrowseError::Apart => Self::invalid("with", error),
            BrowseError::Read(error) => {
                Self::new(StatusCode::NOT_FOUND, "no_path", error, "Look at the folder above it.")
            }
        }
    }
}

/// Errors of parsing one field, by the field's name on the wire.
macro_rules! field_errors {
    ($($type:ty => $field:literal),+ $(,)?) => {$(
        impl From<$type> for ApiError {
            fn from(error: $type) -> Self {
                Self::invalid($field, error)
            }
        }
    )+};
}

field_errors! {
    IdError => "id",
    NameError => "name",
    ScheduleError => "schedule",
    SecretReferenceError => "password_reference",
}
