//! Keeps backups from starting that their tenant has no room for: at the claim, and when a person asks.
//!
//! Restores, verifies and prunes never ask here. Several backups that start at once may together go beyond a quota.

use jiff::Timestamp;

use super::alert::{Fact, end, is_worth_telling, take_in};
use super::context::Context;
use crate::domain::alert::{Alert, Notice, Severity, Topic, severity_of_level};
use crate::domain::channel::Channel;
use crate::domain::digest::size_words;
use crate::domain::id::{ItemId, RepositoryId, TenantId};
use crate::domain::job::Job;
use crate::domain::quota::{Level, Quota, QuotaError, Usage, expected, level, percent, permit};
use crate::domain::tenant::Tenant;
use crate::ports::job::LeaseError;
use crate::ports::notice::{AlertRow, NoticeWrite, Outgoing};
use crate::ports::store::{NamedFilter, Page, SnapshotFilter, StoreError};

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

/// Returns how a page of tenants stands; a filter's tenant is the only one then.
///
/// # Errors
/// [`StoreError`].
pub async fn standings(
    context: &Context,
    filter: &NamedFilter,
    page: Page<TenantId>,
) -> Result<Vec<Standing>, StoreError> {
    let tenants = context.declarations.tenant_page(filter, page).await?;
    let ids: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
    let known = context.declarations.quota_list(&ids).await?;
    let of = |tenant: Tenant| {
        let place = known.binary_search_by_key(&tenant.id, |row| row.0);
        let (quota, usage) = place.map_or_else(|_| Default::default(), |place| (known[place].1, known[place].2));
        Standing { tenant, quota, usage }
    };
    Ok(tenants.into_iter().map(of).collect())
}

/// Sets what a tenant may store in the place of what was seen, if that is named, and returns how it stands; none when
/// somebody else changed it. What is there stays; what is beyond keeps backups from starting.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such tenant.
pub async fn quota_set(
    context: &Context,
    tenant: TenantId,
    seen: Option<Quota>,
    quota: Quota,
) -> Result<Option<Standing>, StoreError> {
    if !context.declarations.quota_put(tenant, seen, quota).await? {
        return Ok(None);
    }
    let channels = context.notices.channel_list(None).await?;
    let now = context.schedules.clock_read().await?;
    if let Some((alert, messages)) = quota_notice(context, &channels, tenant, now).await? {
        // False: another replica tells it.
        context.notices.notice_put(&NoticeWrite { mark: None, alerts: vec![alert], messages }).await?;
    }
    standing(context, tenant).await.map(Some)
}

/// The subject of the alert of a tenant's quota: there is one.
const SUBJECT: &str = "quota";

/// Returns how bad it is that a tenant is so near to its quota. At the end of it no backup of it starts any more.
const fn severity(level: Level, percent: u64) -> Severity {
    if percent >= 100 { Severity::Critical } else { severity_of_level(level) }
}

/// Returns what is told of how a tenant stands, when that is something new: it has come nearer to its quota than it was
/// when this was looked at last, is still as near a day after it was told, or is well below it again.
pub(super) async fn quota_notice(
    context: &Context,
    channels: &[Channel],
    tenant: TenantId,
    now: Timestamp,
) -> Result<Option<(AlertRow, Vec<Outgoing>)>, StoreError> {
    let quota = context.declarations.quota_get(tenant).await?;
    let rows = context.notices.alert_find(tenant, SUBJECT).await?;
    let row = rows.into_iter().find(|row| row.topic == Topic::Quota);
    let live = row.as_ref().filter(|row| row.ended_at.is_none());
    if quota == Quota::default() && live.is_none() {
        return Ok(None);
    }
    let tenant = context.declarations.tenant_get(tenant).await?;
    let usage = context.notices.usage_get(tenant.id).await?;
    let (level, percent) = (level(quota, usage), percent(quota, usage).unwrap_or(0));
    let words = usage_words(quota, usage);
    if level == Level::Green {
        let Some(live) = live else { return Ok(None) };
        let lead = match quota == Quota::default() {
            true => format!("Tenant {} has no quota any more.", tenant.name),
            false => format!("Tenant {} is at {percent} % of its quota: {words}.", tenant.name),
        };
        return Ok(Some(end(context, channels, live, lead, Vec::new(), now)));
    }
    let severity = severity(level, percent);
    let message = format!("tenant {} is at {percent} % of its quota: {words}", tenant.name);
    if let Some(row) = live.filter(|row| row.alert.severity > severity) {
        // It has room again, which nobody needs to hear. When that is used up again it is something new.
        let alert = Alert { severity, ..row.alert.clone() };
        return Ok(Some((AlertRow { alert, message, last_at: now, ..row.clone() }, Vec::new())));
    }
    if live.is_some_and(|row| row.alert.severity == severity) && !is_worth_telling(live, now) {
        return Ok(None);
    }
    let next_steps = vec![
        "See what stays and why, and keep less: backstay plan retention PLAN, backstay plan update PLAN".to_owned(),
        format!("Or raise the quota: backstay quota set {} --bytes SIZE --snapshots N", tenant.name),
    ];
    let fact = Fact {
        notice: Notice { tenant_id: tenant.id, topic: Topic::Quota, subject: SUBJECT.to_owned(), severity, message },
        title: format!("quota of {}", tenant.name),
        subject: format!("Quota: {} is at {percent} %", tenant.name),
        facts: vec![("tenant".to_owned(), tenant.name.to_string()), ("stored".to_owned(), words)],
        next_steps,
    };
    Ok(Some(take_in(context, channels, row.as_ref(), &fact, now)))
}

/// Says what is used of what may be used.
fn usage_words(quota: Quota, usage: Usage) -> String {
    let bytes = quota.bytes.map(|limit| format!("{} of {}", size_words(usage.bytes), size_words(limit)));
    let snapshots = quota.snapshots.map(|limit| format!("{} of {limit} snapshots", usage.snapshots));
    bytes.into_iter().chain(snapshots).collect::<Vec<_>>().join(", ")
}

/// Says whether a claimed backup of an item may start under its tenant's quota.
pub(super) async fn start_permit(
    context: &Context,
    job: &Job,
    (quota, item): (Quota, ItemId),
) -> Result<(), LeaseError> {
    match permit_under(context, (job.tenant_id, quota), &[(item, job.repository_id)]).await {
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
    permit_under(context, (tenant, quota), items).await
}

/// As [`items_permit`], under a quota that is known.
async fn permit_under(
    context: &Context,
    (tenant, quota): (TenantId, Quota),
    items: &[(ItemId, RepositoryId)],
) -> Result<(), PermitError> {
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
