//! How many jobs may run at a time, and by which weights tenants share.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::response::IntoResponse;
use backstay_api::types::caps::{CapException, CapsPut, CapsView, TenantWeight};
use backstay_core::domain::fairness::{Caps, Rules, Slot};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::job::JobKind;
use backstay_core::domain::name::Name;
use backstay_core::managers::queue::queue_rules_change;
use backstay_core::ports::store::StoreError;

use super::error::ApiError;
use super::extract::Body;
use super::state::ServerState;
use super::tag::{as_seen, tagged};

/// Heaviest weight: beyond it the others would not be seen to move.
const WEIGHT_MAX: u32 = 1_000;

/// Most exceptions and weights: they are gone through by each claim.
const ENTRIES_MAX: usize = 10_000;

pub(super) async fn caps_show(State(state): State<ServerState>) -> Result<impl IntoResponse, ApiError> {
    let (rules, revision) = state.context.jobs.queue_rules_get().await?;
    Ok(tagged(view(&state, &rules, revision).await?))
}

pub(super) async fn caps_put(
    State(state): State<ServerState>,
    headers: HeaderMap,
    Body(body): Body<CapsPut>,
) -> Result<impl IntoResponse, ApiError> {
    let mut revision = body.revision;
    if headers.contains_key(IF_MATCH) {
        let (rules, seen) = state.context.jobs.queue_rules_get().await?;
        as_seen(&headers, &view(&state, &rules, seen).await?)?;
        revision = revision.or(Some(seen));
    }
    let rules = rules(&state, &body).await?;
    let put = queue_rules_change(&state.context, &rules, revision).await?;
    let revision = put.ok_or_else(ApiError::changed)?;
    state.wake.notify_one();
    Ok(tagged(view(&state, &rules, revision).await?))
}

/// Judges what is to be put.
async fn rules(state: &ServerState, body: &CapsPut) -> Result<Rules, ApiError> {
    let cap = |field: &str, cap: Option<u32>| match cap {
        Some(0) => Err(ApiError::invalid(field, "a cap is at least 1; a maintenance window holds everything back")),
        cap => Ok(cap),
    };
    if body.exceptions.len() + body.weights.len() > ENTRIES_MAX {
        return Err(ApiError::invalid("exceptions", format!("with the weights they are at most {ENTRIES_MAX}")));
    }
    let mut exceptions = HashMap::new();
    for CapException { of, name, cap: most } in &body.exceptions {
        let slot = match of.as_str() {
            "tenant" => Slot::Tenant(tenant(state, "exceptions.name", name).await?),
            "host" => Slot::Host(name.trim().to_lowercase()),
            "repository" => {
                let id = name.parse().map_err(|error| ApiError::invalid("exceptions.name", error))?;
                Slot::Repository(state.context.declarations.repository_get(id).await?.id)
            }
            "endpoint" => Slot::Endpoint(name.trim().trim_end_matches('/').to_lowercase()),
            "kind" => {
                let kind = JobKind::from_word(name);
                Slot::Kind(kind.ok_or_else(|| ApiError::invalid("exceptions.name", format!("no job kind `{name}`")))?)
            }
            _ => return Err(ApiError::invalid("exceptions.of", "tenant, host, repository, endpoint or kind")),
        };
        let most = cap("exceptions.cap", Some(*most))?.unwrap_or(1);
        exceptions.insert(slot, most);
    }
    let mut weights = HashMap::new();
    for TenantWeight { tenant: name, weight } in &body.weights {
        if !(1..=WEIGHT_MAX).contains(weight) {
            return Err(ApiError::invalid("weights.weight", format!("is from 1 to {WEIGHT_MAX}")));
        }
        weights.insert(tenant(state, "weights.tenant", name).await?, *weight);
    }
    let caps = Caps {
        global: cap("global", body.global)?,
        tenant: cap("tenant", body.tenant)?,
        host: cap("host", body.host)?,
        repository: cap("repository", body.repository)?,
        endpoint: cap("endpoint", body.endpoint)?,
        kind: cap("kind", body.kind)?,
        exceptions,
    };
    Ok(Rules { caps, weights })
}

/// Returns the tenant of a name.
async fn tenant(state: &ServerState, field: &str, name: &str) -> Result<TenantId, ApiError> {
    let name: Name = name.parse().map_err(|error| ApiError::invalid(field, error))?;
    match state.context.declarations.tenant_by_name(&name).await {
        Err(error @ StoreError::NotFound { .. }) => Err(ApiError::invalid(field, error)),
        tenant => Ok(tenant?.id),
    }
}

async fn view(state: &ServerState, rules: &Rules, revision: i64) -> Result<CapsView, ApiError> {
    let caps = &rules.caps;
    let mut exceptions = Vec::new();
    for (slot, cap) in &caps.exceptions {
        let (of, name) = match slot {
            // The API has a field of its own for it.
            Slot::Global => continue,
            Slot::Tenant(id) => ("tenant", tenant_name(state, *id).await?),
            Slot::Host(host) => ("host", host.clone()),
            Slot::Repository(id) => ("repository", id.to_string()),
            Slot::Endpoint(endpoint) => ("endpoint", endpoint.clone()),
            Slot::Kind(kind) => ("kind", kind.word().to_owned()),
        };
        exceptions.push(CapException { of: of.to_owned(), name, cap: *cap });
    }
    exceptions.sort_by(|one, other| (&one.of, &one.name).cmp(&(&other.of, &other.name)));
    let mut weights = Vec::new();
    for (id, weight) in &rules.weights {
        weights.push(TenantWeight { tenant: tenant_name(state, *id).await?, weight: *weight });
    }
    weights.sort_by(|one, other| one.tenant.cmp(&other.tenant));
    let Caps { global, tenant, host, repository, endpoint, kind, .. } = *caps;
    Ok(CapsView { global, tenant, host, repository, endpoint, kind, exceptions, weights, revision })
}

/// Returns a tenant's name; its id when it is gone.
async fn tenant_name(state: &ServerState, id: TenantId) -> Result<String, ApiError> {
    match state.context.declarations.tenant_get(id).await {
        Ok(tenant) => Ok(tenant.name.to_string()),
        Err(StoreError::NotFound { .. }) => Ok(id.to_string()),
        Err(error) => Err(error.into()),
    }
}
