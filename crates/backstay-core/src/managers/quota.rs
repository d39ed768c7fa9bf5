//! Keeps backups from starting that their tenant has no room for: at the claim, and when a person asks.
//!
//! Restores, verifies and prunes never ask here. Several backups that start at once may together go beyond a quota.

use super::context::Context;
use crate::domain::id::{ItemId, RepositoryId, TenantId};
use crate::domain::job::{Instruction, Job};
use crate::domain::quota::{Quota, QuotaError, Usage, expected, permit};
use crate::domain::tenant::Tenant;
use crate::ports::job::LeaseError;
use crate::ports::store::{Page, SnapshotFilter, StoreError};

/// Backups of an item from which the next one's size is expected.
const EXPECTED_FROM_MAX: u32 = 5;

/// A tenant with what it may store and what it stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub tenant: Tenant,
    /// What it may store.
    pub quota: Quota,
    /// What it stores.
    pub usage: Usage,
}

/// Why a backup does not start.
#[derive(Debug, thiserror::Error)]
pub enum PermitError {
    /// The quota is reached.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns how a tenant stands.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such tenant.
pub async fn standing(context: &Context, tenant: TenantId) -> Result<Standing, StoreError> {
    let tenant = context.declarations.tenant_get(tenant).await?;
    let quota = context.declarations.quota_get(tenant.id).await?;
    let usage = context.notices.usage_get(tenant.id).await?;
    Ok(Standing { tenant, quota, usage })
}

/// Returns how all tenants stand, by name.
///
/// # Errors
/// [`StoreError`].
pub async fn standings(context: &Context) -> Result<Vec<Standing>, StoreError> {
    let known = context.declarations.quota_list().await?;
    let of = |tenant: Tenant| {
        let place = known.binary_search_by_key(&tenant.id, |row| row.0);
        let (quota, usage) = place.map_or_else(|_| Default::default(), |place| (known[place].1, known[place].2));
        Standing { tenant, quota, usage }
    };
    Ok(context.declarations.tenant_list().await?.into_iter().map(of).collect())
}

/// Sets what a tenant may store, and returns how it stands. What is there stays; what is beyond keeps backups from
/// starting.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such tenant.
pub async fn quota_set(context: &Context, tenant: TenantId, quota: Quota) -> Result<Standing, StoreError> {
    context.declarations.quota_put(tenant, quota).await?;
    standing(context, tenant).await
}

/// Says whether a claimed job may start.
pub(super) async fn start_permit(context: &Context, job: &Job) -> Result<(), LeaseError> {
    let (Instruction::Backup, Some(item)) = (&job.instruction, job.item_id) else { return Ok(()) };
    match items_permit(context, job.tenant_id, &[(item, job.repository_id)]).await {
        Ok(()) => Ok(()),
        Err(PermitError::Quota(source)) => Err(LeaseError::Quota { job_id: job.id, source }),
        Err(PermitError::Store(error)) => Err(error.into()),
    }
}

/// Says whether a backup of at least one of these items may start; of none of them, whether a backup may start at all.
/// Those that have no room are refused one by one when they are claimed.
pub(super) async fn items_permit(
    context: &Context,
    tenant: TenantId,
    items: &[(ItemId, RepositoryId)],
) -> Result<(), PermitError> {
    let quota = context.declarations.quota_get(tenant).await?;
    if quota == Quota::default() {
        return Ok(());
    }
    let usage = context.notices.usage_get(tenant).await?;
    permit(quota, usage, 0)?;
    let mut refused = Ok(());
    for (item, repository) in items {
        match permit(quota, usage, stored_usually(context, *item, *repository).await?) {
            Ok(()) => return Ok(()),
            Err(error) => refused = Err(error.into()),
        }
    }
    refused
}

/// Returns what a backup of an item usually stores: a page of rows, however long its history is.
async fn stored_usually(context: &Context, item: ItemId, repository: RepositoryId) -> Result<u64, StoreError> {
    let filter = SnapshotFilter { item_id: Some(item), repository_id: Some(repository), ..SnapshotFilter::default() };
    let page = Page { before: None, rows_max: EXPECTED_FROM_MAX };
    let rows = context.history.snapshot_list(filter, page).await?;
    Ok(expected(&rows.iter().map(|row| row.counts.bytes_stored).collect::<Vec<_>>()))
}
