//! Job sets.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use backstay_api::types::job_set::{JobSetDetail, JobSetView};
use backstay_api::types::list::{PageQuery, Rows};
use backstay_core::domain::id::{ItemId, JobId};
use backstay_core::domain::job::Job;
use backstay_core::domain::job_set::{JobSet, members};
use backstay_core::ports::store::{JobFilter, PAGE_ROWS_MAX, Page};
use jiff::Timestamp;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, page};
use super::state::ServerState;

pub(super) async fn job_set_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<PageQuery>,
) -> Result<Json<Rows<JobSetView>>, ApiError> {
    let page = page(query.before.as_deref(), query.limit)?;
    let sets = state.context.jobs.set_list(caller.tenant(), page).await?;
    Ok(Json(Rows::page(sets.iter().map(JobSetView::from).collect(), page.rows_max, |row: &JobSetView| &row.id)))
}

pub(super) async fn job_set_show(
    State(state): State<ServerState>,
    Own(set): Own<JobSet>,
) -> Result<Json<JobSetDetail>, ApiError> {
    let filter = JobFilter { set_id: Some(set.id), ..JobFilter::default() };
    let (mut jobs, mut at) = (Vec::new(), Page::first());
    loop {
        let rows = state.context.jobs.job_list(filter, at).await?;
        let is_last = rows.len() < at.rows_max as usize;
        at.before = rows.last().map(|row| row.id);
        jobs.extend(rows);
        if is_last {
            break;
        }
    }
    let members = members(jobs);
    let names = item_names(&state, &members).await?;
    let mut began: HashMap<JobId, Timestamp> = HashMap::new();
    for some in members.chunks(PAGE_ROWS_MAX as usize) {
        let ids: Vec<JobId> = some.iter().map(|job| job.id).collect();
        let attempts = state.context.history.attempt_list_many(&ids).await?;
        // Each job's newest one is the last.
        began.extend(attempts.into_iter().map(|attempt| (attempt.key.job_id, attempt.leased_at)));
    }
    let shown = members.into_iter().map(|job| {
        let (name, began_at) = (job.item_id.and_then(|id| names.get(&id).cloned()), began.get(&job.id).copied());
        (job, name, began_at)
    });
    Ok(Json(JobSetDetail::new(&set, shown.collect())))
}

/// Returns the names of the members' items, which are those of one source.
async fn item_names(state: &ServerState, members: &[Job]) -> Result<HashMap<ItemId, String>, ApiError> {
    let Some(first) = members.iter().find_map(|job| job.item_id) else { return Ok(HashMap::new()) };
    let source = state.context.declarations.item_get(first).await?.source_id;
    let items = state.context.declarations.item_list(source).await?;
    Ok(items.into_iter().map(|item| (item.id, item.name)).collect())
}
