//! Evidence.

use axum::Json;
use axum::extract::State;
use backstay_api::types::evidence::{EvidenceQuery, EvidenceView};
use backstay_api::types::list::Rows;
use backstay_core::domain::evidence::Evidence;
use backstay_core::ports::store::EvidenceFilter;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, page};
use super::state::ServerState;

pub(super) async fn evidence_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<EvidenceQuery>,
) -> Result<Json<Rows<EvidenceView>>, ApiError> {
    let item = query.item_id.map(|id| id.parse()).transpose().map_err(|error| ApiError::invalid("item_id", error))?;
    let page = page(query.before.as_deref(), query.limit)?;
    let filter = EvidenceFilter { tenant_id: caller.tenant(), item_id: item };
    let records = state.context.history.evidence_page(filter, page).await?;
    Ok(Json(Rows::page(records.iter().map(EvidenceView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn evidence_show(Own(record): Own<Evidence>) -> Json<EvidenceView> {
    Json((&record).into())
}
