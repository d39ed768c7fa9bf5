//! What agents say: lease, renew, tell, finish. The far end of the port `Jobs`; the manager behind it decides.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::agent::AgentView;
use backstay_api::types::lease::{
    CheckpointTell, LeaseAsk, LeaseGiven, ProgressTell, RenewAsk, Renewed, StandingView, WaitTell, key, standing_word,
};
use backstay_api::types::list::{PageQuery, Rows};
use backstay_api::types::result::{FinishTell, StateWire};
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::id::{AgentId, JobId};
use backstay_core::domain::job::JobKind;
use backstay_core::ports::job::{JobResult, LeaseError};

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Ask, Body, PathId, page};
use super::state::ServerState;

/// Leases in one renewal: far beyond what one agent holds, and a bound on one statement.
const RENEWALS_MAX: usize = 1_000;

/// Makes sure that an agent works with the token that it first came with.
async fn bound(state: &ServerState, caller: &Caller, agent: AgentId) -> Result<(), ApiError> {
    let token = caller.identity.token_id.ok_or_else(ApiError::unauthorized)?;
    if state.access.agent_bind(agent, token, state.context.now()).await? {
        Ok(())
    } else {
        Err(ApiError::agent_taken())
    }
}

/// Returns a lease that an agent of this token took; another's is over, for all that this caller hears.
async fn own(state: &ServerState, caller: &Caller, lease: LeaseKey) -> Result<LeaseKey, ApiError> {
    let token = caller.identity.token_id.ok_or_else(ApiError::unauthorized)?;
    if state.access.lease_token(lease).await? == Some(token) {
        return Ok(lease);
    }
    Err(LeaseError::Lost { job_id: lease.job_id, token: lease.token }.into())
}

pub(super) async fn job_lease(
    State(state): State<ServerState>,
    PathId(agent): PathId<AgentId>,
    caller: Caller,
    Body(ask): Body<LeaseAsk>,
) -> Result<Json<LeaseGiven>, ApiError> {
    bound(&state, &caller, agent).await?;
    let mut request = ask.request(agent)?;
    request.kinds = caller.identity.scope.kinds_of(request.kinds);
    let leased = state.jobs.job_lease(&request).await?;
    Ok(Json(LeaseGiven { jobs: leased.iter().map(Into::into).collect() }))
}

pub(super) async fn job_renew(
    State(state): State<ServerState>,
    PathId(agent): PathId<AgentId>,
    caller: Caller,
    Body(ask): Body<RenewAsk>,
) -> Result<Json<Renewed>, ApiError> {
    bound(&state, &caller, agent).await?;
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
    caller: Caller,
    Body(tell): Body<ProgressTell>,
) -> Result<Json<StandingView>, ApiError> {
    let lease = own(&state, &caller, key(job, tell.attempt)).await?;
    let standing = state.jobs.job_progress(lease, &tell.progress.read()?).await?;
    Ok(Json(StandingView { standing: standing_word(standing).to_owned() }))
}

pub(super) async fn job_checkpoint(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    caller: Caller,
    Body(tell): Body<CheckpointTell>,
) -> Result<StatusCode, ApiError> {
    let lease = own(&state, &caller, key(job, tell.attempt)).await?;
    state.jobs.job_checkpoint(lease, &tell.read()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn job_wait(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    caller: Caller,
    Body(tell): Body<WaitTell>,
) -> Result<StatusCode, ApiError> {
    let delay = std::time::Duration::from_millis(tell.delay_ms);
    let lease = own(&state, &caller, key(job, tell.attempt)).await?;
    state.jobs.job_wait(lease, delay, &tell.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn job_finish(
    State(state): State<ServerState>,
    PathId(job): PathId<JobId>,
    caller: Caller,
    Body(tell): Body<FinishTell>,
) -> Result<Json<StateWire>, ApiError> {
    let result = tell.result.read()?;
    let lease = own(&state, &caller, key(job, tell.attempt)).await?;
    let kind = state.context.jobs.job_get(job).await?.kind();
    if !fits(kind, &result) {
        return Err(ApiError::invalid("result", format!("this is no result of a {} job", kind.word())));
    }
    let ended = state.jobs.job_finish(lease, &result).await?;
    Ok(Json((&ended).into()))
}

/// Says whether a job of this kind can end so: a backup that ended as something else would be one without a snapshot.
const fn fits(kind: JobKind, result: &JobResult) -> bool {
    match result {
        JobResult::BackedUp { .. } | JobResult::Confirmed { .. } => matches!(kind, JobKind::Backup),
        JobResult::Restored { .. } => matches!(kind, JobKind::Restore),
        JobResult::Verified { .. } => matches!(kind, JobKind::Verify),
        JobResult::Pruned { .. } => matches!(kind, JobKind::Prune),
        JobResult::Discovered { .. } => matches!(kind, JobKind::Discover),
        JobResult::Failed(_) | JobResult::Cancelled => true,
    }
}

pub(super) async fn agent_list(
    State(state): State<ServerState>,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<AgentView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let agents = state.context.jobs.agent_page_alive(page).await?;
    let rows = agents.iter().map(|agent| AgentView { id: agent.id.to_string() }).collect();
    Ok(Json(Rows::page(rows, page.rows_max, |row: &AgentView| &row.id)))
}
