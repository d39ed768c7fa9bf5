//! Makes the digests of windows that are over: one message a channel and tenant, exactly once a window.
//!
//! A digest goes on where the last one ended, by places in the tenant's chain of events: after downtime it is longer, and
//! nothing is left out. Without one before it looks a day back, or a week.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::forecast::expected;
use crate::domain::alert::Topic;
use crate::domain::channel::{Channel, Rhythm};
use crate::domain::digest::{Digest, Facts, build};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{ChannelId, ItemId, MessageId, TenantId};
use crate::domain::message::Message;
use crate::domain::plan::Plan;
use crate::domain::rpo::age;
use crate::domain::tenant::Tenant;
use crate::ports::notice::{AlertFilter, DigestDue, DigestTold, Mark, NoticeWrite, Outgoing};
use crate::ports::store::{PAGE_ROWS_MAX, Page, StoreError};

/// Channels of one look; the next one takes the rest.
const CHANNELS_MAX: u32 = 50;

/// How far a first digest and a preview look back.
pub const LOOK_BACK: Duration = Duration::from_secs(24 * 3_600);

/// Items of a plan whose lengths are looked at: the expectation of the longest is told.
const DURATION_ITEMS_MAX: usize = 20;

/// What one tick did.
#[derive(Debug, Default)]
pub struct Digested {
    /// Messages that go out.
    pub made: u64,
    /// Channels whose digests could not be made, each with why: they are tried again.
    pub failed: Vec<(ChannelId, StoreError)>,
}

/// Makes the digests that are due. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. A channel whose digests cannot be made does not hold up the others.
pub async fn digest_tick(context: &Context) -> Result<Digested, StoreError> {
    let now = context.schedules.clock_read().await?;
    let mut done = Digested::default();
    for seen in context.notices.digest_list_due(now, CHANNELS_MAX).await? {
        match window_over(context, seen, now).await {
            Ok(made) => done.made += made,
            Err(error) => done.failed.push((seen.channel_id, error)),
        }
    }
    Ok(done)
}

async fn window_over(context: &Context, seen: DigestDue, now: Timestamp) -> Result<u64, StoreError> {
    let channel = context.notices.channel_get(seen.channel_id).await?;
    let Some(window) = &channel.digest else { return Ok(0) };
    let due_at = window.next(now);
    let (mut told, mut messages) = (Vec::new(), Vec::new());
    for tenant in tenants_of(context, &channel).await? {
        let last = context.notices.digest_told(channel.id, tenant.id).await?;
        let from = match &last {
            Some(_) => seen.from_at,
            None => now.saturating_sub(look_back(window.rhythm)).unwrap_or(Timestamp::MIN),
        };
        let (digest, sequence) = digest_of(context, &tenant, (from, now), last.as_ref()).await?;
        messages.push(Outgoing {
            id: MessageId::new(now, context.ten()),
            channel_id: channel.id,
            tenant_id: Some(tenant.id),
            message: digest.message(tenant.name.as_str(), now),
            created_at: now,
        });
        told.push(DigestTold { tenant_id: tenant.id, facts: digest.facts, sequence });
    }
    let made = messages.len() as u64;
    let write = NoticeWrite { mark: Some(Mark::Digest { seen, due_at, told }), alerts: Vec::new(), messages };
    // False: another replica made them, or the channel was changed.
    Ok(if context.notices.notice_put(&write).await? { made } else { 0 })
}

fn look_back(rhythm: Rhythm) -> Duration {
    match rhythm {
        Rhythm::Daily => LOOK_BACK,
        Rhythm::Weekly(_) => LOOK_BACK * 7,
    }
}

async fn tenants_of(context: &Context, channel: &Channel) -> Result<Vec<Tenant>, StoreError> {
    match channel.tenant_id {
        Some(id) => Ok(vec![context.declarations.tenant_get(id).await?]),
        None => context.declarations.tenant_list().await,
    }
}

/// Returns what a digest of a tenant would say now of the time since a moment; nothing is sent.
///
/// # Errors
/// [`StoreError`].
pub async fn digest_preview(context: &Context, tenant: &Tenant, from: Timestamp) -> Result<Message, StoreError> {
    let now = context.schedules.clock_read().await?;
    let (digest, _) = digest_of(context, tenant, (from, now), None).await?;
    Ok(digest.message(tenant.name.as_str(), now))
}

/// Makes the digest of a tenant, and returns with it the place of the last event that it looked at.
async fn digest_of(
    context: &Context,
    tenant: &Tenant,
    (from, until): (Timestamp, Timestamp),
    last: Option<&DigestTold>,
) -> Result<(Digest, i64), StoreError> {
    let after = match last {
        Some(last) => last.sequence,
        None => place_before(context, tenant.id, from).await?,
    };
    let (mut events, mut sequence) = (Vec::new(), after);
    loop {
        let page = context.history.event_list(tenant.id, sequence + 1, PAGE_ROWS_MAX).await?;
        let Some(newest) = page.last() else { break };
        sequence = newest.sequence;
        events.extend(page.into_iter().map(|row| row.event));
    }
    named(context, &mut events).await?;
    let facts = facts(context, tenant.id, until).await?;
    // Places decide what belongs to the window: an instant of a writer whose clock is wrong takes no event out of it.
    for event in &mut events {
        event.at = event.at.clamp(from, until.saturating_sub(Duration::from_micros(1)).unwrap_or(until).max(from));
    }
    Ok((build(tenant.id, (from, until), &events, facts, last.map(|last| &last.facts)), sequence))
}

/// Returns the place of a tenant's last event before a moment: by halves, because events come in the order of time.
pub(super) async fn place_before(context: &Context, tenant: TenantId, at: Timestamp) -> Result<i64, StoreError> {
    let (mut low, mut step) = (0, 1);
    let is_before = async |place: i64| {
        let found = context.history.event_list(tenant, place, 1).await?;
        // Of a chain whose beginning was swept, the first one that is left answers.
        Ok::<_, StoreError>(found.first().is_some_and(|row| row.event.at < at))
    };
    while is_before(low + step).await? {
        low += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if is_before(low + step).await? {
            low += step;
        }
    }
    Ok(low)
}

/// Puts the names of items before the words of events that a person should read.
async fn named(context: &Context, events: &mut [Event]) -> Result<(), StoreError> {
    let mut names: HashMap<ItemId, String> = HashMap::new();
    let plain = [EventKind::Enqueued, EventKind::Succeeded, EventKind::Rescued];
    for event in events.iter_mut().filter(|event| !plain.contains(&event.kind)) {
        let Some(id) = event.item_id else { continue };
        let name = match names.entry(id) {
            Entry::Occupied(name) => name.into_mut(),
            Entry::Vacant(place) => place.insert(context.declarations.item_get(id).await?.name),
        };
        event.message = format!("{name}: {}", event.message);
    }
    Ok(())
}

async fn facts(context: &Context, tenant: TenantId, now: Timestamp) -> Result<Facts, StoreError> {
    let usage = context.notices.usage_get(tenant).await?;
    let mut facts = Facts { usage, quota: context.declarations.quota_get(tenant).await?, ..Facts::default() };
    for plan in context.declarations.plan_list(Some(tenant)).await? {
        if plan.retired_at.is_some() {
            continue;
        }
        plan_facts(context, &plan, now, &mut facts).await?;
    }
    let filter = AlertFilter { tenant_id: Some(tenant), is_live: true };
    for row in context.notices.alert_list(filter, Page::first()).await? {
        if matches!(row.topic, Topic::Event(EventKind::Failed | EventKind::Parked | EventKind::Damaged)) {
            facts.failing.insert(row.title, row.message);
        }
    }
    Ok(facts)
}

async fn plan_facts(context: &Context, plan: &Plan, now: Timestamp, facts: &mut Facts) -> Result<(), StoreError> {
    let is_paused = context.schedules.schedule_get(plan.id).await?.paused_at.is_some();
    if is_paused {
        facts.paused.insert(plan.name.to_string());
    }
    let mut longest = None;
    let items = context.declarations.item_list(plan.source_id).await?;
    for (place, item) in items.iter().filter(|item| item.vanished_at.is_none()).enumerate() {
        let newest = context.history.snapshot_newest_good(item.id, plan.repository_id).await?;
        let age = age(plan.rpo, plan.rpo_from(), newest.map(|row| row.proved_at(now)), now);
        let name = format!("{} ({})", item.name, plan.name);
        match age.overdue_by(now) {
            // A plan that was made a minute ago owes nothing yet.
            Some(_) if age.newest_at.is_none() => drop(facts.without_snapshot.insert(name)),
            Some(by) => drop(facts.overdue.insert(name, by)),
            None => {}
        }
        if place < DURATION_ITEMS_MAX {
            longest = longest.max(expected(context, plan.id, item.id).await?);
        }
    }
    if let Some(longest) = longest {
        facts.durations.insert(plan.name.to_string(), longest);
    }
    Ok(())
}
