//! Templates of plans.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use backstay_api::types::list::{NamedQuery, Rows};
use backstay_api::types::template::{TemplateCreate, TemplateUpdate, TemplateView};
use backstay_core::domain::name::Name;
use backstay_core::domain::template::Template;
use backstay_core::managers::declaration::DeclareError;
use backstay_core::managers::plan;

use super::caller::{Caller, Own};
use super::error::ApiError;
use super::extract::{self, Ask, Body};
use super::state::ServerState;
use super::tag::{as_seen, tagged};

/// Reads the name of a template.
pub(super) fn named(field: &str, text: &str) -> Result<Name, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(field, error))
}

/// A problem of a template is one of what stands above it.
fn above(error: DeclareError) -> ApiError {
    match error {
        DeclareError::Template(error) => ApiError::template("above", &error),
        error => error.into(),
    }
}

pub(super) async fn template_create(
    State(state): State<ServerState>,
    caller: Caller,
    Body(body): Body<TemplateCreate>,
) -> Result<(StatusCode, Json<TemplateView>), ApiError> {
    let said = body.said()?;
    let (name, over) = (body.name.parse()?, body.above.as_deref().map(|text| named("above", text)).transpose()?);
    let tenant = caller.tenant_declared(&state, &body.tenant).await?;
    let made = plan::template_declare(&state.context, tenant, name, over, said).await.map_err(above)?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

pub(super) async fn template_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<NamedQuery>,
) -> Result<Json<Rows<TemplateView>>, ApiError> {
    let (filter, page) = extract::named(caller.tenant(), query)?;
    let rows = state.context.declarations.template_page(&filter, page).await?;
    Ok(Json(Rows::page(rows.iter().map(TemplateView::from).collect(), page.rows_max, |row| &row.id)))
}

pub(super) async fn template_show(Own(template): Own<Template>) -> impl IntoResponse {
    tagged(TemplateView::from(&template))
}

pub(super) async fn template_update(
    State(state): State<ServerState>,
    Own(seen): Own<Template>,
    headers: HeaderMap,
    Body(body): Body<TemplateUpdate>,
) -> Result<impl IntoResponse, ApiError> {
    as_seen(&headers, &TemplateView::from(&seen))?;
    let said = body.said(&seen.said)?.unwrap_or_else(|| seen.said.clone());
    let over = match &body.above {
        None => seen.above.clone(),
        Some(wish) => wish.as_deref().map(|text| named("above", text)).transpose()?,
    };
    let new = Template { said, above: over, ..seen.clone() };
    let changed = plan::template_change(&state.context, &seen, &new).await.map_err(above)?;
    changed.ok_or_else(ApiError::changed)?;
    state.wake.notify_one();
    Ok(tagged(TemplateView::from(&new)))
}

pub(super) async fn template_remove(
    State(state): State<ServerState>,
    Own(template): Own<Template>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    as_seen(&headers, &TemplateView::from(&template))?;
    plan::template_remove(&state.context, template.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
