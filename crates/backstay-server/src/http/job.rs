//! Jobs.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::job::{AttemptView, JobDetail, JobLogView, JobQuery, JobView};
use backstay_api::types::list::Rows;
use backstay_core::domain::access::Action;
use backstay_core::domain::attempt::Attempt;
use backstay_core::domain::job::{Job, JobKind, StateName};
use backstay_core::managers::{follow_up, job_log, request, retry};
use backstay_core::ports::store::{JobFilter, StoreError};

use super::caller::{Asked, Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, optional, page};
use super::state::ServerState;

async fn view(state: &ServerState, job: &Job) -> JobView {
    JobView::new(job, state.item_name(job.item_id).await)
}

pub(super) async fn job_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<JobQuery>,
) -> Result<Json<Rows<JobView>>, ApiError> {
    let filter = JobFilter {
        tenant_id: caller.tenant(),
        plan_id: query.plan_id.map(|id| id.parse()).transpose().map_err(|error| ApiError::invalid("plan_id", error))?,
        item_id: query.item_id.map(|id| id.parse()).transpose().map_err(|error| ApiError::invalid("item_id", error))?,
        kind: optional("kind", query.kind.as_deref(), JobKind::from_word)?,
        state: optional("state", query.state.as_deref(), StateName::from_word)?,
        set_id: query.set.map(|id| id.parse()).transpose().map_err(|error| ApiError::invalid("set", error))?,
    };
    let page = page(query.before.as_deref(), query.limit)?;
    let jobs = state.context.jobs.job_list(filter, page).await?;
    let mut rows = Vec::with_capacity(jobs.len());
    for job in &jobs {
        rows.push(view(&state, job).await);
    }
    Ok(Json(Rows::page(rows, page.rows_max, |row| &row.id)))
}

pub(super) async fn job_show(
    State(state): State<ServerState>,
    Own(job): Own<Job>,
) -> Result<Json<JobDetail>, ApiError> {
    let id = job.id;
    let progress = state.context.jobs.job_progress_get(id).await?;
    let unread = state.context.jobs.job_unread_get(id).await?;
    let attempts = state.context.history.attempt_list(id).await?;
    Ok(Json(JobDetail {
        job: view(&state, &job).await,
        progress: progress.map(Into::into),
        unread: (&unread).into(),
        attempts: attempts.iter().map(attempt_view).collect(),
        usual_ms: job_log::job_usual(&state.context, &job)
            .await?
            .map(|usual| u64::try_from(usual.as_millis()).unwrap_or(u64::MAX)),
        warnings: job_log::job_warnings(&state.context, &job).await?,
        followed_by: follow_up::jobs_after(&state.context, &job).await?.iter().map(ToString::to_string).collect(),
    }))
}

fn attempt_view(attempt: &Attempt) -> AttemptView {
    AttemptView {
        attempt: attempt.key.token.0,
        agent_id: attempt.agent_id.to_string(),
        leased_at: attempt.leased_at.to_string(),
        ended_at: attempt.ended.map(|(at, _)| at.to_string()),
        end: attempt.ended.map(|(_, end)| end.word().to_owned()),
    }
}

pub(super) async fn job_log(
    State(state): State<ServerState>,
    Own(job): Own<Job>,
) -> Result<Json<JobLogView>, ApiError> {
    Ok(Json(JobLogView::from(&job_log::job_log(&state.context, &job).await?)))
}

pub(super) async fn job_cancel(
    State(state): State<ServerState>,
    Own(job): Own<Job>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    request::job_cancel(&state.context, job.id).await?;
    let job = state.context.jobs.job_get(job.id).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&state, &job).await)))
}

pub(super) async fn job_retry(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    caller: Caller,
    Own(job): Own<Job>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    // Whoever may not ask for a restore may not ask for one again.
    if job.kind() == JobKind::Restore {
        caller.must(Action::Restore, Some(job.tenant_id))?;
    }
    let id = match retry::job_retry(&state.context, &asking, job.id).await {
        Err(StoreError::Move { from, .. }) => return Err(ApiError::not_tried_again(from)),
        Err(StoreError::Taken { .. }) => return Err(ApiError::item_is_live()),
        answer => answer?,
    };
    state.wake.notify_one();
    let job = state.context.jobs.job_get(id).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&state, &job).await)))
}
