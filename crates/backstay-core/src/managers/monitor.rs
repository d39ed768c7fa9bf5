//! Takes in monitors and their pings, and misses what was not heard of in time.
//!
//! What is wrong is an event of the tenant, written with the monitor's row: `follow` makes an alert of it and ends it, as
//! with everything else that fails. Who comes in: the API, whoever pings, the watcher.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use crate::domain::alert::REPEAT_AFTER;
use crate::domain::digest::time_words;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{MonitorId, PingId, TenantId};
use crate::domain::message::one_line;
use crate::domain::monitor::{Monitor, MonitorError, PING_BYTES_MAX, Ping, PingKind, Trouble, judge};
use crate::domain::name::Name;
use crate::domain::schedule::Schedule;
use crate::ports::monitor::{MonitorStore, MonitorWrite};
use crate::ports::store::StoreError;

/// How often a write is tried again beside others that write the same row.
const TRIES: u32 = 8;

/// Monitors of one look; the next one takes the rest.
const LOOK_ROWS_MAX: u32 = 200;

/// Why a monitor was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum MonitorDeclareError {
    /// A field is wrong.
    #[error(transparent)]
    Field(#[from] MonitorError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Declares a monitor.
///
/// # Errors
/// [`MonitorDeclareError`], with [`StoreError::Taken`] for a taken name.
pub async fn monitor_declare(
    context: &Context,
    store: &dyn MonitorStore,
    tenant_id: TenantId,
    name: Name,
    (schedule, grace): (Schedule, Duration),
) -> Result<Monitor, MonitorDeclareError> {
    judge(&schedule, grace)?;
    let now = context.schedules.clock_read().await?;
    let row = Monitor {
        id: MonitorId::new(now, context.ten()),
        tenant_id,
        name,
        schedule,
        grace,
        created_at: now,
        retired_at: None,
        ended: None,
        started_at: None,
        told: None,
        due_at: now,
        revision: 0,
    }
    .looked_for(now);
    store.monitor_add(&row).await?;
    Ok(store.monitor_get(row.id).await?)
}

/// Changes when a monitor's work is expected, and how late it may be.
///
/// # Errors
/// [`MonitorDeclareError`].
pub async fn monitor_change(
    context: &Context,
    store: &dyn MonitorStore,
    id: MonitorId,
    (schedule, grace): (Option<Schedule>, Option<Duration>),
) -> Result<Monitor, MonitorDeclareError> {
    let now = context.schedules.clock_read().await?;
    for _ in 0..TRIES {
        let was = store.monitor_get(id).await?;
        if was.retired_at.is_some() {
            return Err(StoreError::Retired { noun: "monitor", key: was.name.to_string() }.into());
        }
        let schedule = schedule.clone().unwrap_or_else(|| was.schedule.clone());
        let row = Monitor { schedule, grace: grace.unwrap_or(was.grace), ..was };
        judge(&row.schedule, row.grace)?;
        if store.monitor_put(MonitorWrite { row: &row.looked_for(now), ping: None, event: None }).await? {
            return Ok(store.monitor_get(id).await?);
        }
    }
    Err(busy(id).into())
}

/// Retires a monitor: nothing is expected of it any more, and its name is free. Asking twice is asking once.
///
/// # Errors
/// [`StoreError`].
pub async fn monitor_retire(context: &Context, store: &dyn MonitorStore, id: MonitorId) -> Result<(), StoreError> {
    let now = context.schedules.clock_read().await?;
    for _ in 0..TRIES {
        let was = store.monitor_get(id).await?;
        if was.retired_at.is_some() {
            return Ok(());
        }
        // What was told of it is over with it.
        let words = format!("monitor {} is retired", was.name);
        let event = was.told.map(|_| about(context, &was, EventKind::Succeeded, now, words));
        let row = Monitor { retired_at: Some(now), told: None, ..was };
        if store.monitor_put(MonitorWrite { row: &row, ping: None, event: event.as_ref() }).await? {
            return Ok(());
        }
    }
    Err(busy(id))
}

fn busy(id: MonitorId) -> StoreError {
    StoreError::Busy { noun: "monitor", key: id.to_string(), by: "pings that come all the time".to_owned() }
}

fn about(context: &Context, row: &Monitor, kind: EventKind, at: Timestamp, message: String) -> Event {
    context.event(kind, (row.tenant_id, None, None), at, message)
}

/// Takes in a ping for a tenant's monitor of this name; false when there is none. Of a long text the end is kept.
///
/// # Errors
/// [`StoreError`]; nothing was taken in then.
pub async fn ping_take(
    context: &Context,
    store: &dyn MonitorStore,
    (tenant, name): (TenantId, &Name),
    (kind, exit_code): (PingKind, Option<u8>),
    text: &str,
) -> Result<bool, StoreError> {
    let at = context.schedules.clock_read().await?;
    let begin = text.ceil_char_boundary(text.len().saturating_sub(PING_BYTES_MAX));
    for _ in 0..TRIES {
        let Some(was) = store.monitor_find(tenant, name).await? else { return Ok(false) };
        let (id, text) = (PingId::new(at, context.ten()), text[begin..].replace('\0', "\u{fffd}"));
        let ping = Ping { id, monitor_id: was.id, at, kind, exit_code, text };
        let row = was.heard(kind, at);
        if store.monitor_put(MonitorWrite { row: &row, ping: Some(&ping), event: None }).await? {
            return Ok(true);
        }
    }
    Err(StoreError::Busy { noun: "monitor", key: name.to_string(), by: "pings that come all the time".to_owned() })
}

/// What one tick did.
#[derive(Debug, Default)]
pub struct MonitorsTicked {
    /// Events that were written.
    pub told: u64,
    /// Monitors that could not be looked at, each with why: they are tried again.
    pub failed: Vec<(MonitorId, StoreError)>,
}

/// Looks at monitors that are due. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. One that cannot be looked at does not hold up the others.
pub async fn monitor_tick(context: &Context, store: &dyn MonitorStore) -> Result<MonitorsTicked, StoreError> {
    let now = context.schedules.clock_read().await?;
    let mut done = MonitorsTicked::default();
    for was in store.monitor_list_due(now, LOOK_ROWS_MAX).await? {
        match look(context, store, &was, now).await {
            Ok(told) => done.told += u64::from(told),
            Err(error) => done.failed.push((was.id, error)),
        }
    }
    Ok(done)
}

/// Looks at one monitor, and says whether something was told of it.
async fn look(context: &Context, store: &dyn MonitorStore, was: &Monitor, now: Timestamp) -> Result<bool, StoreError> {
    let trouble = was.trouble(now);
    let again = now.saturating_add(REPEAT_AFTER).unwrap_or(Timestamp::MAX);
    let (due_at, event) = match trouble {
        Some(trouble) => {
            let words = trouble_words(store, was, trouble, now).await?;
            // What failed may also be missed later.
            let due_at = if trouble == Trouble::Failed { again.min(was.deadline()) } else { again };
            (due_at, Some(about(context, was, EventKind::Failed, now, words)))
        }
        None => {
            let words = format!("monitor {} succeeded", was.name);
            (was.deadline(), was.told.map(|_| about(context, was, EventKind::Succeeded, now, words)))
        }
    };
    let row = Monitor { told: trouble, due_at, ..was.clone() };
    // False: a ping came in between, or another replica looked. It is looked at again.
    let done = store.monitor_put(MonitorWrite { row: &row, ping: None, event: event.as_ref() }).await?;
    Ok(done && event.is_some())
}

async fn trouble_words(
    store: &dyn MonitorStore,
    row: &Monitor,
    trouble: Trouble,
    now: Timestamp,
) -> Result<String, StoreError> {
    let name = &row.name;
    let since = |at: Timestamp| time_words(Duration::try_from(now.duration_since(at)).unwrap_or_default());
    Ok(match (trouble, row.started_at, row.ended) {
        (Trouble::Failed, ..) => {
            let pings = store.ping_list(row.id).await?;
            let failed = pings.iter().find(|ping| ping.kind == PingKind::Fail);
            let code =
                failed.and_then(|ping| ping.exit_code).map_or(String::new(), |code| format!(" with exit code {code}"));
            let last = failed.and_then(|ping| ping.text.lines().rev().find(|line| !line.trim().is_empty()));
            let last = last.map_or(String::new(), |line| format!(": {}", one_line(line)));
            format!("monitor {name} failed{code}{last}")
        }
        (Trouble::Overdue, Some(at), _) => format!("monitor {name} began {} ago and has not ended", since(at)),
        (Trouble::Overdue, None, Some((at, _))) => format!("monitor {name} was last heard of {} ago", since(at)),
        (Trouble::Overdue, None, None) => {
            format!("monitor {name} was never heard of since it was declared {} ago", since(row.created_at))
        }
    })
}
