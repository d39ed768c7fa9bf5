//! Finds items whose newest good snapshot is too old, or will be, and says when they are well again.
//!
//! ```text
//!  item of a plan ──due──> good ──> looked at again when its next backup must begin, or at the breach
//!                    ├───> threatened, overdue ──> alert; looked at again soon
//!                    └───> paused, vanished ──> no alarm
//! ```
//!
//! Cost grows with what is due: an item is looked at about once an RPO while it is well. A snapshot moves nothing: the
//! look at the old moment finds it. The queue is read once a tick, however many items wait in it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::alert::{Fact, end, is_worth_telling, take_in};
use super::context::Context;
use super::forecast::{Ahead, NextBackup, expected};
use crate::domain::alert::{Notice, Topic};
use crate::domain::channel::Channel;
use crate::domain::digest::time_words;
use crate::domain::id::{ItemId, PlanId};
use crate::domain::item::Item;
use crate::domain::plan::Plan;
use crate::domain::rpo::{Age, Forecast, age};
use crate::ports::notice::{AlertRow, Mark, NoticeWrite, Outgoing, Watched};
use crate::ports::store::StoreError;

/// How soon an item that is not well is looked at again: its recovery is told within this and a tick.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How soon an item is looked at again that is not to alarm: it was paused, or a discovery did not find it.
const REST: Duration = Duration::from_secs(15 * 60);

/// Most items of one look; a tick looks until none is left, [`TICK_LOOKS_MAX`] times at most.
const LOOK_ROWS_MAX: u32 = 200;

/// Most looks of one tick: a bound on its length after downtime.
const TICK_LOOKS_MAX: u32 = 50;

/// What one tick did.
#[derive(Debug, Default)]
pub struct WatchTicked {
    /// Items that were looked at.
    pub looked: u64,
    /// Messages that go out.
    pub told: u64,
    /// Items that could not be looked at, each with why: they are tried again soon.
    pub failed: Vec<(ItemId, StoreError)>,
}

/// Looks at what is due. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. An item that cannot be looked at does not hold up the others.
pub async fn watch_tick(context: &Context) -> Result<WatchTicked, StoreError> {
    let now = context.schedules.clock_read().await?;
    let mut done = WatchTicked::default();
    let mut known = Known::default();
    for _ in 0..TICK_LOOKS_MAX {
        let due = context.notices.watch_list_due(now, LOOK_ROWS_MAX).await?;
        for seen in &due {
            done.looked += 1;
            let told = match look(context, &mut known, seen, now).await {
                Ok(told) => told,
                Err(error) => {
                    done.failed.push((seen.item_id, error));
                    Seen::rest(now, LOOK_AGAIN_AFTER)
                }
            };
            let mark = Some(Mark::Watch { seen: *seen, due_at: told.due_at });
            let count = told.messages.len() as u64;
            let write = NoticeWrite { mark, alerts: told.alerts, messages: told.messages };
            // False: another replica did it, or the plan changed. It is looked at again.
            if context.notices.notice_put(&write).await? {
                done.told += count;
            }
        }
        if due.len() < LOOK_ROWS_MAX as usize {
            break;
        }
    }
    Ok(done)
}

/// What one tick has read already.
#[derive(Default)]
struct Known {
    channels: Option<Vec<Channel>>,
    plans: HashMap<PlanId, (Plan, String)>,
    ahead: Ahead,
}

/// What a look leads to.
struct Seen {
    due_at: Timestamp,
    alerts: Vec<AlertRow>,
    messages: Vec<Outgoing>,
}

impl Seen {
    fn rest(now: Timestamp, wait: Duration) -> Self {
        Self { due_at: now.saturating_add(wait).unwrap_or(Timestamp::MAX), alerts: Vec::new(), messages: Vec::new() }
    }
}

/// Returns the subject of an item's alerts in a plan.
pub(super) fn subject_of(plan: PlanId, item: ItemId) -> String {
    format!("{plan} {item}")
}

async fn look(context: &Context, known: &mut Known, seen: &Watched, now: Timestamp) -> Result<Seen, StoreError> {
    let (plan, tenant) = match known.plans.entry(seen.plan_id) {
        Entry::Occupied(row) => row.into_mut(),
        Entry::Vacant(place) => {
            let plan = context.declarations.plan_get(seen.plan_id).await?;
            let tenant = context.declarations.tenant_get(plan.tenant_id).await?.name.to_string();
            place.insert((plan, tenant))
        }
    };
    let is_paused = known.ahead.state(context, plan.id).await?.paused_at.is_some();
    let item = context.declarations.item_get(seen.item_id).await?;
    let newest = context.history.snapshot_newest_good(item.id, plan.repository_id).await?;
    let item_age = age(plan.rpo, plan.rpo_from(), newest.map(|row| row.proved_at(now)), now);
    let alerts = context.notices.alert_find(plan.tenant_id, &subject_of(plan.id, item.id)).await?;
    if plan.retired_at.is_some() {
        return retired(context, known.channels.as_deref(), (plan, &item), &alerts, now).await;
    }
    let is_well = item_age.overdue_by(now).is_none();
    let rests = is_paused || item.vanished_at.is_some();
    if !is_well && rests {
        return Ok(Seen::rest(now, REST));
    }
    let fate = fate(context, &mut known.ahead, (plan, &item, rests), item_age, now).await?;
    if known.channels.is_none() {
        known.channels = Some(context.notices.channel_list(None).await?);
    }
    let channels = known.channels.as_deref().unwrap_or_default();
    let repository = match (fate.topic, item_age.newest_at) {
        (Some(Topic::Overdue), None) => context.declarations.repository_get(plan.repository_id).await?.name.to_string(),
        _ => String::new(),
    };
    let place = Place { plan, item: &item, tenant, repository, age: item_age, now };
    let mut out = Seen { due_at: fate.next_look, alerts: Vec::new(), messages: Vec::new() };
    for topic in [Topic::Overdue, Topic::Threatened] {
        let row = alerts.iter().find(|row| row.topic == topic);
        if fate.topic == Some(topic) {
            if is_worth_telling(row, now) {
                let (row, messages) = take_in(context, channels, row, &place.fact(topic, &fate.words), now);
                out.alerts.push(row);
                out.messages.extend(messages);
            }
        } else if let Some(row) = row.filter(|row| row.ended_at.is_none()) {
            let (row, messages) = end(context, channels, row, place.well(), place.facts(), now);
            // What was threatened and came true is no recovery.
            let is_worse = fate.topic == Some(Topic::Overdue);
            out.alerts.push(row);
            out.messages.extend(messages.into_iter().filter(|_| !is_worse));
        }
    }
    Ok(out)
}

/// Ends what is told of an item of a plan that was retired; it is looked at no more.
async fn retired(
    context: &Context,
    channels: Option<&[Channel]>,
    (plan, item): (&Plan, &Item),
    alerts: &[AlertRow],
    now: Timestamp,
) -> Result<Seen, StoreError> {
    let mut out = Seen { due_at: Timestamp::MAX, alerts: Vec::new(), messages: Vec::new() };
    let live: Vec<&AlertRow> = alerts.iter().filter(|row| row.ended_at.is_none()).collect();
    if live.is_empty() {
        return Ok(out);
    }
    let channels = match channels {
        Some(channels) => channels.to_vec(),
        None => context.notices.channel_list(None).await?,
    };
    for row in live {
        let words = format!("{} is watched no more: its plan {} was retired.", item.name, plan.name);
        let (row, messages) = end(context, &channels, row, words, Vec::new(), now);
        out.alerts.push(row);
        out.messages.extend(messages);
    }
    Ok(out)
}

/// What is to be said of an item, and when it is looked at again.
struct Fate {
    topic: Option<Topic>,
    words: String,
    next_look: Timestamp,
}

/// Returns what is to be said of an item of a plan, which may rest: it is paused, or was not found.
async fn fate(
    context: &Context,
    ahead: &mut Ahead,
    (plan, item, rests): (&Plan, &Item, bool),
    age: Age,
    now: Timestamp,
) -> Result<Fate, StoreError> {
    let soon = now.saturating_add(LOOK_AGAIN_AFTER).unwrap_or(Timestamp::MAX);
    let safe = |next_look: Timestamp| Fate { topic: None, words: String::new(), next_look: next_look.max(soon) };
    let breach_at = age.breach_at;
    if age.overdue_by(now).is_some() {
        return Ok(Fate { topic: Some(Topic::Overdue), words: String::new(), next_look: soon });
    }
    // Without a history nobody knows how long a backup takes: the breach itself is told.
    let Some(expected) = expected(context, plan.id, item.id).await? else { return Ok(safe(breach_at)) };
    let warn_at = breach_at.saturating_sub(expected.saturating_mul(2)).unwrap_or(Timestamp::MIN);
    if now < warn_at || rests {
        return Ok(safe(if now < warn_at { warn_at } else { breach_at }));
    }
    let next = ahead.next_backup(context, plan, item, now).await?;
    let foreseen = next.forecast(age, expected, now);
    match foreseen {
        Forecast::Safe if matches!(next, NextBackup::Runs { .. }) => Ok(safe(breach_at)),
        Forecast::Safe | Forecast::Overdue { .. } => Ok(safe(breach_at.min(soon))),
        Forecast::Threatened { .. } | Forecast::Unavoidable { .. } => {
            let words = foreseen.words(&TimeZone::UTC, now);
            Ok(Fate { topic: Some(Topic::Threatened), words: format!("{words} (UTC)"), next_look: breach_at.min(soon) })
        }
    }
}

/// An item in its plan, for words.
struct Place<'a> {
    plan: &'a Plan,
    item: &'a Item,
    tenant: &'a str,
    /// Where its snapshots lie; empty where nothing is said of that.
    repository: String,
    age: Age,
    now: Timestamp,
}

impl Place<'_> {
    fn newest_words(&self) -> String {
        match self.age.newest_at {
            Some(at) => format!("{at:.0}"),
            None => "never".to_owned(),
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        vec![
            fact("item", self.item.name.clone()),
            fact("plan", self.plan.name.to_string()),
            fact("tenant", self.tenant.to_owned()),
            fact("newest good snapshot", self.newest_words()),
            fact("may be as old as", time_words(self.plan.rpo)),
        ]
    }

    fn well(&self) -> String {
        format!("{} has a good snapshot again, from {}.", self.item.name, self.newest_words())
    }

    /// Says in a line that there is no snapshot; of a plan that was given another repository, that there is none in
    /// that one.
    fn nothing_subject(&self) -> String {
        let name = &self.item.name;
        match self.plan.moved_at {
            None => format!("Overdue: {name} has no good snapshot at all"),
            Some(_) => format!("Overdue: {name} has no good snapshot in repository {}", self.repository),
        }
    }

    fn nothing_words(&self) -> String {
        let (name, repository, rpo) = (&self.item.name, &self.repository, time_words(self.plan.rpo));
        match self.plan.moved_at {
            None => format!(
                "{name} has never been saved well to repository {repository}, and its plan wanted that within \
                 {rpo}. There is nothing there to restore it from."
            ),
            Some(at) => format!(
                "{name} has not been saved well to repository {repository} since its plan was given that one \
                 at {at:.0}, and the plan wanted that within {rpo}. What was saved before lies in the repository that it had then."
            ),
        }
    }

    fn fact(&self, topic: Topic, words: &str) -> Fact {
        let name = &self.item.name;
        let since = |at: Timestamp| time_words(Duration::try_from(self.now.duration_since(at)).unwrap_or_default());
        let (subject, message) = match (topic, self.age.newest_at) {
            (Topic::Overdue, None) => (self.nothing_subject(), self.nothing_words()),
            (Topic::Overdue, Some(at)) => (
                format!("Overdue: {name} was last saved well {} ago", since(at)),
                format!(
                    "The newest good snapshot of {name} is {} old. What changed since then is not saved.",
                    since(at)
                ),
            ),
            _ => (format!("Threatened: {name} {words}"), format!("{name} {words}.")),
        };
        let (plan, item) = (self.plan.name.as_str(), self.item.id);
        let next_steps = vec![
            format!("See what its last backups said: backstay job list --kind backup"),
            format!("Ask for a backup now: backstay plan run {plan}"),
            "Tell that you know: backstay alert list, then backstay alert acknowledge ID".to_owned(),
        ];
        let notice = Notice {
            tenant_id: self.plan.tenant_id,
            topic,
            subject: subject_of(self.plan.id, item),
            severity: topic.severity(),
            message,
        };
        Fact { notice, title: name.clone(), subject, facts: self.facts(), next_steps }
    }
}
