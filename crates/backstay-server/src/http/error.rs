//! Whatever goes wrong, as one problem: status, stable code, what happened, what to do next.

use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use backstay_api::Problem;
use backstay_api::problem::{PROBLEM_TYPE, code};
use backstay_api::types::wire::WireError;
use backstay_core::domain::id::IdError;
use backstay_core::domain::name::NameError;
use backstay_core::domain::schedule::ScheduleError;
use backstay_core::domain::secret::SecretReferenceError;
use backstay_core::managers::browse::BrowseError;
use backstay_core::managers::declaration::DeclareError;
use backstay_core::managers::job::chain;
use backstay_core::ports::job::LeaseError;
use backstay_core::ports::snapshot::ReadError;
use backstay_core::ports::store::StoreError;

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct ApiError(Problem);

impl ApiError {
    fn new(status: StatusCode, code: &str, detail: impl ToString, hint: &str) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let (code, hint) = (code.to_owned(), hint.to_owned());
        Self(Problem { status: status.as_u16(), code, title, detail: detail.to_string(), hint })
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
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self.0).expect("a problem is JSON");
        (status, [(CONTENT_TYPE, PROBLEM_TYPE)], body).into_response()
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
                let hint = "The database holds something that no version wrote; keep a copy of it and report this.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_row", detail, hint)
            }
            StoreError::Unavailable(_) => {
                tracing::error!(error = detail, "the database did not answer");
                let hint = "Ask again; if it stays so, look at the database's disk and log.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail, hint)
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
            LeaseError::Secret { .. } => {
                let hint = "Put the secret back where the repository's password reference says.";
                Self::new(StatusCode::CONFLICT, "secret_missing", chain(&error), hint)
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
            DeclareError::SourceKind { .. } | DeclareError::StorageKind { .. } => Self::invalid("kind", error),
            DeclareError::Settings(error) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                error,
                "The kind's schema says what is expected.",
            ),
            DeclareError::Rpo { .. } => Self::invalid("rpo_ms", error),
            DeclareError::OtherTenant { .. } => Self::invalid("tenant", error),
        }
    }
}

impl From<BrowseError> for ApiError {
    fn from(error: BrowseError) -> Self {
        match error {
            BrowseError::Store(error) => error.into(),
            BrowseError::Secret(error) => {
                let hint = "Put the recovery key back where the repository's password reference says.";
                Self::new(StatusCode::CONFLICT, "secret_missing", chain(&error), hint)
            }
            BrowseError::Read(error @ ReadError::Repository { .. }) => {
                let hint = "Is the storage mounted and readable?";
                Self::new(StatusCode::BAD_GATEWAY, "repository_unreadable", chain(&error), hint)
            }
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
