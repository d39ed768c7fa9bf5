//! Why: plans, items, jobs and snapshots in words.

use axum::Json;
use axum::extract::State;
use backstay_api::types::explain::{ExplainQuery, ExplainView, SnapshotExplainQuery};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::Job;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::managers::explain::{self, Explanation};
use jiff::tz::TimeZone;

use super::caller::Own;
use super::error::ApiError;
use super::extract::Ask;
use super::state::ServerState;

/// Reads the zone in which moments are told.
fn zone_of(query: &ExplainQuery) -> Result<TimeZone, ApiError> {
    let name = query.zone.as_deref().unwrap_or("UTC");
    TimeZone::get(name)
        .map_err(|_| ApiError::invalid("zone", format!("`{name}` is not a time zone of the IANA's list")))
}

fn view(said: &Explanation, zone: &TimeZone) -> Json<ExplainView> {
    Json(ExplainView::new(said, zone))
}

pub(super) async fn plan_explain(
    State(state): State<ServerState>,
    Own(plan): Own<Plan>,
    Ask(query): Ask<ExplainQuery>,
) -> Result<Json<ExplainView>, ApiError> {
    let zone = zone_of(&query)?;
    Ok(view(&explain::plan_explain(&state.context, &plan, &zone).await?, &zone))
}

pub(super) async fn item_explain(
    State(state): State<ServerState>,
    Own(item): Own<Item>,
    Ask(query): Ask<ExplainQuery>,
) -> Result<Json<ExplainView>, ApiError> {
    let zone = zone_of(&query)?;
    Ok(view(&explain::item_explain(&state.context, &item, &zone).await?, &zone))
}

pub(super) async fn job_explain(
    State(state): State<ServerState>,
    Own(job): Own<Job>,
    Ask(query): Ask<ExplainQuery>,
) -> Result<Json<ExplainView>, ApiError> {
    let zone = zone_of(&query)?;
    Ok(view(&explain::job_explain(&state.context, &job, &zone).await?, &zone))
}

pub(super) async fn snapshot_explain(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
    Ask(query): Ask<SnapshotExplainQuery>,
) -> Result<Json<ExplainView>, ApiError> {
    let wish = query.wish()?;
    let zone = zone_of(&ExplainQuery { zone: query.zone })?;
    Ok(view(&explain::snapshot_explain(&state.context, &snapshot, &wish, &zone).await?, &zone))
}
