//! Evidence.

use axum::Json;
use axum::extract::State;
use backstay_api::types::evidence::{EvidenceQuery, EvidenceView};
use backstay_api::types::list::Rows;

use super::error::ApiError;
use super::extract::{Ask, rows};
use super::state::ServerState;

pub(super) async fn evidence_list(
    State(state): State<ServerState>,
    Ask(query): Ask<EvidenceQuery>,
) -> Result<Json<Rows<EvidenceView>>, ApiError> {
    let item = query.item_id.map(|id| id.parse()).transpose().map_err(|error| ApiError::invalid("item_id", error))?;
    let records = state.context.history.evidence_list(item, rows(query.limit)?).await?;
    Ok(Json(Rows::whole(records.iter().map(EvidenceView::from).collect())))
}
