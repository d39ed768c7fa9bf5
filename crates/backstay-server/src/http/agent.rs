//! What agents say: lease, renew, tell, finish. The far end of the port `Jobs`; the manager behind it decides.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::lease::{
    CheckpointTell, LeaseAsk, LeaseGiven, ProgressTell, RenewAsk, Renewed, StandingView, WaitTell, key, standing_word,
};
use backstay_api::types::result::{FinishTell, StateWire};
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::id::{AgentId, JobId};

use super::error::ApiError;
use super::extract::{Body, PathId};
use super::state::ServerState;

/// Leases in one renewal: far beyond what one agent holds, and a bound on one statement.
const RENEWALS_MAX: usize = 1_000;

pub(super) async fn job_lease(
    State(state): State<ServerState>,
    PathId(agent): PathId<AgentId>,
    Body(ask): Body<LeaseAsk>,
) -> Result<Json<LeaseGiven>, ApiError> {
    let leased = state.jobs.job_lease(&ask.request(agent)?).await?;
    Ok(Json(LeaseGiven { jobs: leased.iter().map(Into::into).collect() }))
}

pub(super) async fn job_renew(
    State(state): State<ServerState>,
    PathId(agent): PathId<AgentId>,
    Body(ask): Body<RenewAsk>,
) -> Result<Json<Renewed>, ApiError> {
    if ask.leases.len() > RENEWALS_MAX {
        return Err(ApiError::invalid("leases", format!("{} are more than {RENEWALS_MAX}", ask.leases.len())));
    }
    let leases = ask.leases.iter().map(LeaseKey::try_from).collect::<Result<Vec<_>, _>>()?;
    let standings = state.jobs.job_renew(agent, &leases).await?;
    Ok(Json(Renewed { standings: standings.into_iter().map(|one| standing_word(one).to_owned()).collect() }))
}

pub(super) async fn job_progress(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    Body(tell): Body<ProgressTell>,
) -> Result<Json<StandingView>, ApiError> {
    let standing = state.jobs.job_progress(key(job, tell.attempt), &tell.progress.read()?).await?;
    Ok(Json(StandingView { standing: standing_word(standing).to_owned() }))
}

pub(super) async fn job_checkpoint(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    Body(tell): Body<CheckpointTell>,
) -> Result<StatusCode, ApiError> {
    state.jobs.job_checkpoint(key(job, tell.attempt), &tell.read()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn job_wait(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    Body(tell): Body<WaitTell>,
) -> Result<StatusCode, ApiError> {
    let delay = std::time::Duration::from_millis(tell.delay_ms);
    state.jobs.job_wait(key(job, tell.attempt), delay, &tell.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn job_finish(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    Body(tell): Body<FinishTell>,
) -> Result<Json<StateWire>, ApiError> {
    let ended = state.jobs.job_finish(key(job, tell.attempt), &tell.result.read()?).await?;
    Ok(Json((&ended).into()))
}
