//! Purges a tenant in two steps: what is announced waits, and what is confirmed is for ever (decision 0047).
//!
//! Every step may run twice. A confirmed purge that did not come to its end goes on when it is confirmed again: what it
//! destroys was written down before it began.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::access::Asker;
use super::context::Context;
use super::monitor::monitor_retire;
use super::retire::{RetireError, cancel_waiting, retire};
use crate::domain::event::EventKind;
use crate::domain::evidence::hash;
use crate::domain::id::{ChannelId, PurgeId, StorageId, TenantId, TokenId};
use crate::domain::job::StateName;
use crate::domain::name::Name;
use crate::domain::purge::{
    By, Confirmed, Inventory, Purge, PurgeRecord, PurgedRepository, WAIT_MAX, WAIT_MIN, document, facts,
};
use crate::domain::repository::Repository;
use crate::domain::secret::SecretReference;
use crate::domain::tenant::Tenant;
use crate::ports::access::AccessStore;
use crate::ports::monitor::MonitorStore;
use crate::ports::purge::PurgeStore;
use crate::ports::secret::{SecretError, SecretKeeper};
use crate::ports::store::{JobFilter, Page, Retirable, SnapshotFilter, StoreError};

/// How often a record is chained anew when another purge took its place.
const CHAIN_TRIES: u32 = 16;

/// Names that one refusal tells; a person ends those and asks again.
const NAMES_MAX: usize = 10;

/// What a purge works on beside the context.
#[derive(Clone, Copy)]
pub struct PurgePorts<'a> {
    /// Purges.
    pub purges: &'a dyn PurgeStore,
    /// Sealed secrets.
    pub keeper: &'a dyn SecretKeeper,
    /// Tokens.
    pub access: &'a dyn AccessStore,
    /// Monitors.
    pub monitors: &'a dyn MonitorStore,
}

/// Why nothing was announced, taken back or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// A wait that is too short or too long.
    #[error("a purge waits for {} to {} days", WAIT_MIN.as_secs() / 86_400, WAIT_MAX.as_secs() / 86_400)]
    Wait,
    /// None is announced, or another one than was confirmed.
    #[error("no purge {id} is announced for the tenant {tenant}")]
    Unknown {
        /// The tenant's name.
        tenant: Name,
        /// What was confirmed.
        id: PurgeId,
    },
    /// Its wait is not over.
    #[error("the purge may be confirmed from {due_at} on")]
    Early {
        /// The first moment.
        due_at: Timestamp,
    },
    /// It is confirmed.
    #[error("the purge is confirmed: there is no way back")]
    Confirmed,
    /// Somebody wants snapshots kept, whoever owns them.
    #[error("snapshots are under a legal hold or protected: {}", names.join(", "))]
    Held {
        /// Ids of the first of them.
        names: Vec<String>,
    },
    /// Agents work for the tenant.
    #[error("jobs are running: {}", names.join(", "))]
    Running {
        /// Ids of the first of them.
        names: Vec<String>,
    },
    /// Others need what would be destroyed, or keep what would be called destroyed.
    #[error("other tenants need what this one has: {}", names.join(", "))]
    Shared {
        /// What they are.
        names: Vec<String>,
    },
    /// Others took the chain's next place each time. It passes.
    #[error("too many purges are recorded at this moment")]
    Crowded,
    /// The keeper of secrets refused.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Something is not retired.
    #[error(transparent)]
    Retire(#[from] RetireError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Announces a tenant's purge and returns it: nothing else changes, and backups go on. One that is there stays.
///
/// # Errors
/// [`PurgeError`]: a wait out of bounds, snapshots that are held, or what other tenants need.
pub async fn purge_announce(
    context: &Context,
    ports: PurgePorts<'_>,
    tenant: &Tenant,
    wait: Duration,
) -> Result<Purge, PurgeError> {
    if !(WAIT_MIN..=WAIT_MAX).contains(&wait) {
        return Err(PurgeError::Wait);
    }
    if let Some(known) = ports.purges.purge_get(tenant.id).await? {
        return Ok(known);
    }
    held_judge(context, tenant.id).await?;
    shared_judge(context, tenant.id).await?;
    let now = context.schedules.clock_read().await?;
    let due_at = now.checked_add(wait).map_err(|_| PurgeError::Wait)?;
    let id = PurgeId::new(now, context.ten());
    let purge = Purge { id, tenant_id: tenant.id, announced_at: now, due_at, confirmed: None, record: None };
    ports.purges.purge_add(&purge).await?;
    // Of two at once the first one is it.
    Ok(ports.purges.purge_get(tenant.id).await?.unwrap_or(purge))
}

/// Takes an announcement back. Asking twice is asking once.
///
/// # Errors
/// [`PurgeError::Confirmed`].
pub async fn purge_cancel(ports: PurgePorts<'_>, tenant: TenantId) -> Result<(), PurgeError> {
    let Some(purge) = ports.purges.purge_get(tenant).await? else { return Ok(()) };
    if purge.confirmed.is_some() || !ports.purges.purge_drop(purge.id).await? {
        return Err(PurgeError::Confirmed);
    }
    Ok(())
}

/// Destroys what a tenant has, once the wait is over, and returns the purge with its record.
///
/// # Errors
/// [`PurgeError`]. Before the purge is confirmed nothing was touched; afterwards asking again goes on.
pub async fn purge_confirm(
    context: &Context,
    ports: PurgePorts<'_>,
    asker: Asker<'_>,
    tenant: &Tenant,
    id: PurgeId,
) -> Result<Purge, PurgeError> {
    let unknown = || PurgeError::Unknown { tenant: tenant.name.clone(), id };
    let purge = ports.purges.purge_get(tenant.id).await?.filter(|purge| purge.id == id).ok_or_else(unknown)?;
    if purge.record.is_some() {
        return Ok(purge);
    }
    let now = context.schedules.clock_read().await?;
    if now < purge.due_at {
        return Err(PurgeError::Early { due_at: purge.due_at });
    }
    held_judge(context, tenant.id).await?;
    shared_judge(context, tenant.id).await?;
    running_judge(context, tenant.id).await?;
    if purge.confirmed.is_none() {
        let all = inventory(context, ports, tenant.id).await?;
        let by = By { tenant: &tenant.name, token_id: asker.token_id, role: asker.scope.role };
        ports.purges.purge_confirm(id, &Confirmed { at: now, facts: facts(by, &all) }).await?;
    }
    end_all(context, ports, tenant.id).await?;
    // What an agent had taken before the store refused new jobs.
    running_judge(context, tenant.id).await?;
    for kept in ports.keeper.secret_list(Some(tenant.id)).await? {
        ports.keeper.secret_remove(kept.tenant_id, &kept.name).await?;
    }
    record(context, ports, tenant).await?;
    ports.purges.purge_get(tenant.id).await?.ok_or_else(unknown)
}

/// Returns what a tenant has that a purge ends.
///
/// # Errors
/// [`PurgeError`].
pub async fn inventory(context: &Context, ports: PurgePorts<'_>, tenant: TenantId) -> Result<Inventory, PurgeError> {
    let store = &context.declarations;
    let repositories = store.repository_list(Some(tenant)).await?;
    let repositories = repositories
        .into_iter()
        .map(|row| PurgedRepository { name: row.name, place: row.storage, password: row.password })
        .collect();
    let plans = store.plan_list(Some(tenant)).await?.into_iter().filter(|row| row.retired_at.is_none());
    let usage = store.quota_list(&[tenant]).await?.into_iter().next();
    Ok(Inventory {
        plans: plans.map(|row| row.name).collect(),
        repositories,
        secrets: ports.keeper.secret_list(Some(tenant)).await?.into_iter().map(|kept| kept.name).collect(),
        tokens: tokens(ports.access, tenant).await?.len() as u64,
        channels: channels(context, tenant).await?.len() as u64,
        monitors: ports.monitors.monitor_list(Some(tenant)).await?.len() as u64,
        usage: usage.map(|(.., usage)| usage).unwrap_or_default(),
    })
}

/// Retires, removes and revokes all that a tenant has.
async fn end_all(context: &Context, ports: PurgePorts<'_>, tenant: TenantId) -> Result<(), PurgeError> {
    let store = &context.declarations;
    for row in store.plan_list(Some(tenant)).await? {
        retire(context, Retirable::Plan(row.id)).await?;
    }
    for row in store.source_list(Some(tenant)).await? {
        retire(context, Retirable::Source(row.id)).await?;
    }
    for row in store.repository_list(Some(tenant)).await? {
        retire(context, Retirable::Repository(row.id)).await?;
    }
    for row in store.storage_list(Some(tenant)).await? {
        retire(context, Retirable::Storage(row.id)).await?;
    }
    let filter = JobFilter { tenant_id: Some(tenant), ..JobFilter::default() };
    cancel_waiting(context, filter, "its tenant is purged").await?;
    for id in channels(context, tenant).await? {
        context.notices.channel_remove(id).await?;
    }
    for row in ports.monitors.monitor_list(Some(tenant)).await? {
        monitor_retire(context, ports.monitors, row.id).await?;
    }
    let now = context.schedules.clock_read().await?;
    for id in tokens(ports.access, tenant).await? {
        ports.access.token_revoke(id, now).await?;
    }
    Ok(())
}

/// Returns a tenant's own channels.
async fn channels(context: &Context, tenant: TenantId) -> Result<Vec<ChannelId>, StoreError> {
    let rows = context.notices.channel_list(Some(tenant)).await?;
    Ok(rows.into_iter().filter(|row| row.tenant_id == Some(tenant)).map(|row| row.id).collect())
}

/// Returns a tenant's tokens that are not revoked.
async fn tokens(access: &dyn AccessStore, tenant: TenantId) -> Result<Vec<TokenId>, StoreError> {
    let (mut found, mut page) = (Vec::new(), Page::first());
    loop {
        let rows = access.token_list(Some(tenant), page).await?;
        let good = rows.iter().filter(|row| row.scope.tenant_id == Some(tenant) && row.revoked_at.is_none());
        found.extend(good.map(|row| row.id));
        let Some(last) = rows.last().filter(|_| rows.len() == page.rows_max as usize) else { return Ok(found) };
        page.before = Some(last.id);
    }
}

/// Refuses while a snapshot is held or protected.
async fn held_judge(context: &Context, tenant: TenantId) -> Result<(), PurgeError> {
    let now = context.schedules.clock_read().await?;
    let filter = SnapshotFilter { tenant_id: Some(tenant), ..SnapshotFilter::default() };
    let (mut names, mut page) = (Vec::new(), Page::first());
    loop {
        let rows = context.history.snapshot_list(filter, page).await?;
        let kept = rows.iter().filter(|row| row.held_at.is_some() || row.protected_until.is_some_and(|at| at > now));
        names.extend(kept.map(|row| row.id.to_string()));
        let more = rows.last().filter(|_| rows.len() == page.rows_max as usize && names.len() < NAMES_MAX);
        let Some(last) = more else { break };
        page.before = Some(last.id);
    }
    names.truncate(NAMES_MAX);
    if names.is_empty() { Ok(()) } else { Err(PurgeError::Held { names }) }
}

/// Refuses while an agent has a job of the tenant.
async fn running_judge(context: &Context, tenant: TenantId) -> Result<(), PurgeError> {
    let mut names = Vec::new();
    for state in [StateName::Leased, StateName::Cancelling] {
        let filter = JobFilter { tenant_id: Some(tenant), state: Some(state), ..JobFilter::default() };
        let jobs = context.jobs.job_list(filter, Page { before: None, rows_max: NAMES_MAX as u32 }).await?;
        names.extend(jobs.iter().map(|job| format!("{} {}", job.kind().word(), job.id)));
    }
    if names.is_empty() { Ok(()) } else { Err(PurgeError::Running { names }) }
}

/// Refuses where others refer to the tenant's secrets, lie in its storages, or have a repository at the very place of one of
/// its own: what they need would be destroyed, or what is called unreadable would open with their key.
async fn shared_judge(context: &Context, tenant: TenantId) -> Result<(), PurgeError> {
    let store = &context.declarations;
    let whose: BTreeMap<TenantId, Name> =
        store.tenant_list().await?.into_iter().map(|row| (row.id, row.name)).collect();
    let called = |noun: &str, name: &Name, id: Option<TenantId>| {
        let owner = id.and_then(|id| whose.get(&id)).map_or("the installation", Name::as_str);
        format!("{noun} {name} of {owner}")
    };
    let is_its = |reference: &SecretReference| matches!(reference, SecretReference::Sealed { tenant_id: Some(id), .. } if *id == tenant);
    let (own, others): (Vec<Repository>, Vec<Repository>) =
        store.repository_list(None).await?.into_iter().partition(|row| row.tenant_id == tenant);
    let (shelves, far) =
        store.storage_list(None).await?.into_iter().partition::<Vec<_>, _>(|row| row.tenant_id == tenant);
    let shelves: Vec<StorageId> = shelves.into_iter().map(|row| row.id).collect();
    let mut names = Vec::new();
    for row in &others {
        let lies_here = row.storage_id.is_some_and(|id| shelves.contains(&id));
        let is_same = own.iter().any(|mine| mine.storage == row.storage);
        if lies_here || is_same || is_its(&row.password) || row.credentials.values().any(is_its) {
            names.push(called("repository", &row.name, Some(row.tenant_id)));
        }
    }
    let far = far.iter().filter(|row| row.credentials.values().any(is_its));
    names.extend(far.map(|row| called("storage", &row.name, Some(row.tenant_id))));
    for row in context.notices.channel_list(None).await? {
        let refers = row.settings.references().iter().any(|(_, reference)| is_its(reference));
        if row.tenant_id != Some(tenant) && refers {
            names.push(called("channel", &row.name, row.tenant_id));
        }
    }
    if names.is_empty() { Ok(()) } else { Err(PurgeError::Shared { names }) }
}

/// Writes the record of a confirmed purge, chained to the newest of the installation and signed, and tells of it.
async fn record(context: &Context, ports: PurgePorts<'_>, tenant: &Tenant) -> Result<(), PurgeError> {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    for _ in 0..CHAIN_TRIES {
        let Some(purge) = ports.purges.purge_get(tenant.id).await? else { return Ok(()) };
        let Some(confirmed) = &purge.confirmed else { return Ok(()) };
        let done_at = context.schedules.clock_read().await?;
        let newest = ports.purges.purge_newest().await?;
        let sequence = newest.as_ref().map_or(1, |newest| newest.sequence + 1);
        let text = document(&purge, confirmed, (sequence, newest.as_ref().map(|newest| &*newest.hash)), done_at);
        let record = PurgeRecord {
            sequence,
            hash: hash(&text),
            public_key: hex(&context.signer.public_key()),
            signature: hex(&context.signer.sign(text.as_bytes())),
            document: text,
            done_at,
        };
        let words = format!("tenant {} is purged: its secrets are destroyed", tenant.name);
        let event = context.event(EventKind::Warned, (tenant.id, None, None), done_at, words);
        match ports.purges.purge_end(purge.id, &record, &event).await {
            Err(StoreError::Taken { .. }) => {}
            answer => return Ok(answer?),
        }
    }
    Err(PurgeError::Crowded)
}
