//! Job sets.

use axum::Json;
use axum::extract::State;
use backstay_api::types::job_set::{JobSetDetail, JobSetView};
use backstay_api::types::list::{PageQuery, Rows};
use backstay_core::domain::job_set::{JobSet, members};
use backstay_core::ports::store::{JobFilter, Page};

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
    let mut shown = Vec::new();
    for job in members(jobs) {
        let name = state.item_name(job.item_id).await;
        let attempts = state.context.history.attempt_list(job.id).await?;
        shown.push((job, name, attempts.last().map(|attempt| attempt.leased_at)));
    }
    Ok(Json(JobSetDetail::new(&set, shown)))
}
