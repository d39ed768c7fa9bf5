//! Repositories.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::job::JobAccepted;
use backstay_api::types::list::{RetiredQuery, Rows};
use backstay_api::types::repository::{RepositoryAdopt, RepositoryCreate, RepositoryUpdate, RepositoryView};
use backstay_core::domain::id::RepositoryId;
use backstay_core::domain::proof::{Proof, VerifyBudget};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::secret::SecretReference;
use backstay_core::domain::storage::{Storage, StorageSettings};
use backstay_core::managers::adopt::adopt_request;
use backstay_core::managers::declaration::RepositoryPlace;
use backstay_core::managers::{declaration, proof, retention, retire};
use backstay_core::ports::store::{Enqueued, Retirable};
use jiff::Timestamp;

use super::caller::{Asked, Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, may_be_retired};
use super::state::ServerState;
use super::tag::{as_seen, tagged_as};

pub(super) async fn repository_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<RepositoryCreate>,
) -> Result<(StatusCode, Json<RepositoryView>), ApiError> {
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let credentials = body.credentials()?;
    caller.may_refer("credentials", credentials.values())?;
    let place = match (body.storage, body.storage_id, body.path) {
        (Some(own), None, None) => {
            RepositoryPlace::Own(StorageSettings { kind: own.kind, settings: own.settings }, credentials)
        }
        (None, Some(id), path) if credentials.is_empty() => {
            let id = id.parse().map_err(|error| ApiError::invalid("storage_id", error))?;
            let storage = caller.own::<Storage>(&state, id).await?;
            RepositoryPlace::In(Box::new(storage), path.unwrap_or_else(|| body.name.clone()))
        }
        (None, Some(_), _) => return Err(ApiError::invalid("credentials", "the storage has them")),
        _ => return Err(ApiError::invalid("storage", "give storage by itself, or storage_id and a path there")),
    };
    let (name, password): (_, SecretReference) = (body.name.parse()?, body.password_reference.parse()?);
    caller.may_refer("password_reference", [&password])?;
    let within = budget_of(body.verify_within_ms)?;
    let kinds = &state.storage_kinds;
    let context = &state.context;
    let made = declaration::repository_declare(context, kinds, tenant, name, place, password, within).await?;
    Ok((StatusCode::CREATED, Json(RepositoryView::from(&made))))
}

/// Reads a budget; one that cannot be kept names its field.
fn budget_of(given_ms: Option<u64>) -> Result<VerifyBudget, ApiError> {
    VerifyBudget::from_ms(given_ms).map_err(|error| ApiError::invalid("verify_within_ms", error))
}

pub(super) async fn repository_show(
    State(state): State<ServerState>,
    Own(repository): Own<Repository>,
) -> Result<impl IntoResponse, ApiError> {
    shown(&state, &repository).await
}

async fn shown(state: &ServerState, repository: &Repository) -> Result<impl IntoResponse + use<>, ApiError> {
    let now = state.context.schedules.clock_read().await?;
    let proof = state.context.retention.proof_get(repository.id).await?;
    Ok(tagged_as(&declared(repository, now), RepositoryView::proved(repository, Some(&proof), now)))
}

/// Returns what is declared of a repository: neither proofs nor prunes are a change by somebody else.
fn declared(repository: &Repository, now: Timestamp) -> RepositoryView {
    RepositoryView { epoch: 0, ..RepositoryView::proved(repository, None, now) }
}

pub(super) async fn repository_update(
    State(state): State<ServerState>,
    Own(seen): Own<Repository>,
    headers: HeaderMap,
    Body(body): Body<RepositoryUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &declared(&seen, Timestamp::UNIX_EPOCH))?;
    let budget = budget_of(body.verify_within_ms)?;
    let changed = proof::budget_change(&state.context, &seen, budget).await?;
    shown(&state, &changed).await
}

pub(super) async fn repository_prune(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    Own(repository): Own<Repository>,
) -> Result<(StatusCode, Json<JobAccepted>), ApiError> {
    let (Enqueued::New(job) | Enqueued::Overlaps(job) | Enqueued::Known(job)) =
        retention::prune_request(&state.context, &asking, repository.id).await?;
    state.wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(JobAccepted { job_id: job.to_string() })))
}

pub(super) async fn repository_adopt(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    Own(repository): Own<Repository>,
    Body(body): Body<RepositoryAdopt>,
) -> Result<(StatusCode, Json<JobAccepted>), ApiError> {
    let job = adopt_request(&state.context, &asking, repository.id, body.hostname).await?;
    state.wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(JobAccepted { job_id: job.to_string() })))
}

pub(super) async fn repository_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<RetiredQuery>,
) -> Result<Json<Rows<RepositoryView>>, ApiError> {
    let (filter, page) = may_be_retired(caller.tenant(), query)?;
    let repositories = state.context.declarations.repository_page(&filter, page).await?;
    let now = state.context.schedules.clock_read().await?;
    let ids: Vec<RepositoryId> = repositories.iter().map(|row| row.id).collect();
    let proofs = state.context.retention.proof_list(&ids).await?;
    let proofs: HashMap<RepositoryId, Proof> = proofs.into_iter().map(|row| (row.repository_id, row)).collect();
    let view = |row: &Repository| RepositoryView::proved(row, proofs.get(&row.id), now);
    Ok(Json(Rows::page(repositories.iter().map(view).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn repository_retire(
    State(state): State<ServerState>,
    Own(repository): Own<Repository>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    // What is retired already has another tag, and may be asked again.
    if repository.retired_at.is_none() {
        as_seen(&headers, &declared(&repository, Timestamp::UNIX_EPOCH))?;
    }
    retire::retire(&state.context, Retirable::Repository(repository.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
