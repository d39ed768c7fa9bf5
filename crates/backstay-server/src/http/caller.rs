//! Who asks, for handlers; and rows that exist for who asks.
//!
//! [`Own`] is how a handler gets the row that its path names: a row of a tenant that the caller does not reach is not
//! there, in the very words of a row that does not exist. Lists take [`Caller::tenant`] as their filter.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use backstay_core::domain::access::Action;
use backstay_core::domain::asking::Asking;
use backstay_core::domain::channel::Channel;
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::id::{
    AlertId, ChannelId, EvidenceId, ItemId, JobId, JobSetId, MonitorId, PlanId, RepositoryId, SnapshotId, SourceId,
    StorageId, TemplateId, TenantId, TokenId,
};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::Job;
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::monitor::Monitor;
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::secret::SecretReference;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::Storage;
use backstay_core::domain::template::Template;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::token::ApiToken;
use backstay_core::domain::trace::TraceParent;
use backstay_core::managers::declaration;
use backstay_core::ports::notice::AlertRow;
use backstay_core::ports::store::StoreError;

use super::door::Identity;
use super::error::ApiError;
use super::state::ServerState;

/// The tenant of an installation for one person.
const DEFAULT_TENANT: &str = "default";

/// Who asks.
pub(super) struct Caller {
    pub(super) identity: Identity,
}

impl FromRequestParts<ServerState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ServerState) -> Result<Self, ApiError> {
        // The door puts it there; a row without a door answers nobody.
        let identity = parts.extensions.get::<Identity>().cloned().ok_or_else(ApiError::unauthorized)?;
        Ok(Self { identity })
    }
}

/// Where the jobs of a request come from: the same for each time that a request with a key is carried out.
pub(super) struct Asked(pub(super) Asking);

impl FromRequestParts<ServerState> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, ApiError> {
        let asking = match parts.extensions.get::<Asking>() {
            Some(asking) => asking.clone(),
            None => {
                let mut seed = [0; 32];
                state.context.random.fill(&mut seed);
                // When a job is due is compared by the store's clock.
                Asking::fresh(state.context.schedules.clock_read().await?, seed)
            }
        };
        // The request's own span, or what the caller named where this server tells nobody.
        let trace = backstay_trace::current().or_else(|| parts.extensions.get::<TraceParent>().copied());
        Ok(Self(asking.traced(trace)))
    }
}

impl Caller {
    /// Refuses what this caller's role may not do, beyond what the row of the endpoint asks for.
    pub(super) fn must(&self, action: Action, tenant: Option<TenantId>) -> Result<(), ApiError> {
        let scope = &self.identity.scope;
        if scope.may(action, tenant) { Ok(()) } else { Err(ApiError::forbidden(scope.role, action)) }
    }

    /// Returns the one tenant whose rows exist for this caller; none for all.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.identity.scope.tenant_id
    }

    /// Returns the tenant that a request to look names: the caller's own, or `default`, when it names none.
    pub(super) async fn tenant_seen(&self, state: &ServerState, name: Option<&str>) -> Result<Tenant, ApiError> {
        let store = &state.context.declarations;
        let own = match self.tenant() {
            Some(id) => Some(store.tenant_get(id).await?),
            None => None,
        };
        let Some(name) = name.or_else(|| own.is_none().then_some(DEFAULT_TENANT)) else {
            return own.ok_or_else(ApiError::unauthorized);
        };
        let name: Name = name.parse().map_err(|error| ApiError::invalid("tenant", error))?;
        match own {
            Some(own) if own.name == name => Ok(own),
            Some(_) => Err(StoreError::NotFound { noun: "tenant", key: name.to_string() }.into()),
            None => Ok(store.tenant_by_name(&name).await?),
        }
    }

    /// Returns the tenant that a declaration names. Who oversees the installation makes it by its first declaration.
    pub(super) async fn tenant_declared(&self, state: &ServerState, name: &str) -> Result<TenantId, ApiError> {
        if self.identity.scope.may(Action::Oversee, None) {
            let name: Name = name.parse().map_err(|error| ApiError::invalid("tenant", error))?;
            let tenant = declaration::tenant_ensure(&state.context, &name).await?;
            return unpurged(state, tenant).await;
        }
        unpurged(state, self.tenant_seen(state, Some(name)).await?).await
    }

    /// Refuses references to the installation's own secrets from who sees to a tenant alone: such a caller also says where
    /// the data lies that they would open. `field` is the reference's name on the wire.
    pub(super) fn may_refer<'a>(
        &self,
        field: &str,
        references: impl IntoIterator<Item = &'a SecretReference>,
    ) -> Result<(), ApiError> {
        let is_overseer = self.identity.scope.may(Action::Oversee, None);
        match references.into_iter().find(|reference| reference.is_of_installation()) {
            Some(_) if !is_overseer => Err(ApiError::not_a_tenants(field)),
            _ => Ok(()),
        }
    }

    /// Returns a row that a request names, if it exists for this caller.
    pub(super) async fn own<T: Owned>(&self, state: &ServerState, id: T::Id) -> Result<T, ApiError> {
        let (row, tenant) = T::load(state, id).await?;
        if self.identity.scope.reaches(tenant) {
            return Ok(row);
        }
        Err(StoreError::NotFound { noun: T::NOUN, key: id.to_string() }.into())
    }
}

/// Returns a tenant's id, unless its purge is confirmed.
pub(super) async fn unpurged(state: &ServerState, tenant: Tenant) -> Result<TenantId, ApiError> {
    match state.purges.purge_get(tenant.id).await? {
        Some(purge) if purge.confirmed.is_some() => Err(StoreError::Purged { tenant: tenant.name.to_string() }.into()),
        _ => Ok(tenant.id),
    }
}

/// The row that a path names, of a tenant that the caller reaches.
pub(super) struct Own<T>(pub(super) T);

impl<T: Owned> FromRequestParts<ServerState> for Own<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Path(id): Path<String> = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
        let id: T::Id = id.parse().map_err(ApiError::from)?;
        Ok(Self(caller.own(state, id).await?))
    }
}

/// A row that belongs to a tenant, or (none) to the installation as a whole.
pub(super) trait Owned: Sized + Send {
    /// Its id.
    type Id: std::str::FromStr<Err = backstay_core::domain::id::IdError> + std::fmt::Display + Copy + Send;
    /// What a store calls it when it is not there.
    const NOUN: &'static str;

    /// Returns the row and whose it is.
    fn load(
        state: &ServerState,
        id: Self::Id,
    ) -> impl Future<Output = Result<(Self, Option<TenantId>), StoreError>> + Send;
}

macro_rules! owned {
    ($($type:ty, $id:ty, $noun:literal: $state:ident, $key:ident => $load:expr, $row:ident => $tenant:expr;)+) => {$(
        impl Owned for $type {
            type Id = $id;
            const NOUN: &'static str = $noun;

            async fn load($state: &ServerState, $key: $id) -> Result<(Self, Option<TenantId>), StoreError> {
                let $row: $type = $load.await?;
                let tenant = $tenant;
                Ok(($row, tenant))
            }
        }
    )+};
}

owned! {
    Tenant, TenantId, "tenant": state, id => state.context.declarations.tenant_get(id), row => Some(row.id);
    Source, SourceId, "source": state, id => state.context.declarations.source_get(id), row => Some(row.tenant_id);
    Repository, RepositoryId, "repository": state, id => state.context.declarations.repository_get(id), row => Some(row.tenant_id);
    Plan, PlanId, "plan": state, id => state.context.declarations.plan_get(id), row => Some(row.tenant_id);
    Storage, StorageId, "storage": state, id => state.context.declarations.storage_get(id), row => Some(row.tenant_id);
    Template, TemplateId, "template": state, id => state.context.declarations.template_get(id), row => Some(row.tenant_id);
    Item, ItemId, "item": state, id => state.context.declarations.item_get(id), row => {
        Some(state.context.declarations.source_get(row.source_id).await?.tenant_id)
    };
    JobSet, JobSetId, "job set": state, id => state.context.jobs.set_get(id), row => Some(row.tenant_id);
    Job, JobId, "job": state, id => state.context.jobs.job_get(id), row => Some(row.tenant_id);
    Snapshot, SnapshotId, "snapshot": state, id => state.context.history.snapshot_get(id), row => Some(row.tenant_id);
    Evidence, EvidenceId, "record of evidence": state, id => state.context.history.evidence_get(id), row => Some(row.place.tenant_id);
    Channel, ChannelId, "channel": state, id => state.context.notices.channel_get(id), row => row.tenant_id;
    AlertRow, AlertId, "alert": state, id => state.context.notices.alert_get(id), row => Some(row.tenant_id);
    Monitor, MonitorId, "monitor": state, id => state.monitors.monitor_get(id), row => Some(row.tenant_id);
    ApiToken, TokenId, "token": state, id => state.access.token_get(id), row => row.scope.tenant_id;
}
