//! Bodies, queries and ids of requests: what cannot be read becomes a problem, as everything else.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use backstay_api::types::list::{NamedQuery, RetiredQuery};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;
use backstay_core::ports::store::{NamedFilter, PAGE_ROWS_MAX, Page};
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = match Bytes::from_request(Request::from_parts(parts.clone(), body), state).await {
            Ok(bytes) => bytes,
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(ApiError::too_large()),
            Err(rejection) => return Err(ApiError::malformed(rejection.body_text())),
        };
        // serde would take an array for an object's fields in their order, which no document says.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(ApiError::malformed("the body is an array; an object is expected".to_owned()));
        }
        match Json::from_request(Request::from_parts(parts, bytes.into()), state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(ApiError::too_large()),
            Err(rejection) => Err(ApiError::malformed(rejection.body_text())),
        }
    }
}

/// A query string.
pub(super) struct Ask<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::malformed(rejection.body_text())),
        }
    }
}

/// The id in a path.
pub(super) struct PathId<T>(pub(super) T);

impl<S: Send + Sync, T: std::str::FromStr<Err = backstay_core::domain::id::IdError>> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id): Path<String> = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
        Ok(Self(id.parse()?))
    }
}

/// Judges which page is asked for.
pub(super) fn page<I>(before: Option<&str>, limit: Option<u32>) -> Result<Page<I>, ApiError>
where
    I: std::str::FromStr<Err: std::fmt::Display>,
{
    let before = before.map(str::parse).transpose().map_err(|error| ApiError::invalid("before", error))?;
    Ok(Page { before, rows_max: rows(limit)? })
}

/// Judges which rows of what has names are asked for, and which page of them.
pub(super) fn named<I>(tenant: Option<TenantId>, query: NamedQuery) -> Result<(NamedFilter, Page<I>), ApiError>
where
    I: std::str::FromStr<Err: std::fmt::Display>,
{
    let NamedQuery { before, limit, name } = query;
    // What can be retired and what cannot are asked for alike.
    may_be_retired(tenant, RetiredQuery { before, limit, name, retired: false })
}

/// As [`named`], of what can be retired.
pub(super) fn may_be_retired<I>(
    tenant_id: Option<TenantId>,
    query: RetiredQuery,
) -> Result<(NamedFilter, Page<I>), ApiError>
where
    I: std::str::FromStr<Err: std::fmt::Display>,
{
    let name = query.name.as_deref().map(str::parse::<Name>).transpose();
    let name = name.map_err(|error| ApiError::invalid("name", error))?;
    let filter = NamedFilter { tenant_id, name, is_live: !query.retired };
    Ok((filter, page(query.before.as_deref(), query.limit)?))
}

/// Judges how many rows are asked for.
pub(super) fn rows(limit: Option<u32>) -> Result<u32, ApiError> {
    rows_of(limit, PAGE_ROWS_MAX)
}

/// As [`rows`], of a list whose pages may have so many.
pub(super) fn rows_of(limit: Option<u32>, rows_max: u32) -> Result<u32, ApiError> {
    match limit.unwrap_or(100) {
        limit if (1..=rows_max).contains(&limit) => Ok(limit),
        limit => Err(ApiError::invalid("limit", format!("{limit} is not between 1 and {rows_max}"))),
    }
}

/// Judges an optional field of text.
pub(super) fn optional<T>(
    field: &str,
    text: Option<&str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let judge = |text| read(text).ok_or_else(|| ApiError::invalid(field, format!("`{text}` is not one of its words")));
    text.map(judge).transpose()
}
