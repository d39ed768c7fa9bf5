//! Takes new events in: what failed, was skipped or found harm becomes an alert, what works again ends one.
//!
//! Each tenant has a place in its chain of events up to which they were taken in. It moves in the transaction that writes
//! what came of them: no event is lost or told twice, over a restart or beside another replica.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::alert::{Fact, end, take_in};
use super::context::Context;
use super::ping::pings_of;
use super::quota::quota_notice;
use super::saved::made_by;
use crate::domain::alert::{Notice, Severity, Topic};
use crate::domain::channel::Channel;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{JobId, PlanId, TenantId};
use crate::domain::job::{Job, JobKind, JobState, Outcome};
use crate::ports::notice::{AlertRow, Behind, Mark, NoticeWrite, Outgoing};
use crate::ports::store::StoreError;

/// Events of one tenant that are taken in at once.
const EVENTS_MAX: u32 = 100;

/// Tenants of one look.
const TENANTS_MAX: u32 = 200;

/// Looks of one tick at most: a bound on its length, as other looks wait for its end. The next tick goes on.
const TICK_LOOKS_MAX: u32 = 10;

/// What one tick did.
#[derive(Debug, Default)]
pub struct Followed {
    /// Events that were taken in.
    pub events: u64,
    /// Messages that go out.
    pub told: u64,
    /// Tenants whose events could not be taken in, each with why: they are tried again.
    pub failed: Vec<(TenantId, StoreError)>,
}

/// Takes in what is new. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. A tenant that cannot be followed does not hold up the others.
pub async fn follow_tick(context: &Context) -> Result<Followed, StoreError> {
    let mut done = Followed::default();
    // Where much happens at once, the next look is not put off: alerts would fall behind for good.
    for _ in 0..TICK_LOOKS_MAX {
        let behind = context.notices.event_list_behind(TENANTS_MAX).await?;
        if behind.is_empty() {
            return Ok(done);
        }
        let mut is_full = behind.len() == TENANTS_MAX as usize;
        let now = context.schedules.clock_read().await?;
        let channels = context.notices.channel_list(None).await?;
        let before = done.events;
        for row in behind {
            match follow(context, &channels, row, now).await {
                Ok((events, told)) => {
                    is_full |= events == u64::from(EVENTS_MAX);
                    done.events += events;
                    done.told += told;
                }
                Err(error) => done.failed.push((row.tenant_id, error)),
            }
        }
        // One that cannot be followed stands first each time.
        if !is_full || done.events == before || !done.failed.is_empty() {
            break;
        }
    }
    Ok(done)
}

async fn follow(
    context: &Context,
    channels: &[Channel],
    behind: Behind,
    now: Timestamp,
) -> Result<(u64, u64), StoreError> {
    let Behind { tenant_id, sequence } = behind;
    let events = context.history.event_list(tenant_id, sequence + 1, EVENTS_MAX).await?;
    let Some(last) = events.last() else { return Ok((0, 0)) };
    let mut taken = Taken {
        context,
        channels,
        now,
        rows: BTreeMap::new(),
        plans: BTreeMap::new(),
        warned: BTreeSet::new(),
        messages: Vec::new(),
    };
    for row in &events {
        taken.event(&row.event).await?;
        taken.messages.extend(pings_of(context, channels, &row.event).await?);
    }
    let Taken { rows, mut messages, .. } = taken;
    let changed = rows.into_values().flatten().filter_map(|(row, is_changed)| is_changed.then_some(row));
    let mut alerts: Vec<AlertRow> = changed.collect();
    // What is stored changes with a success alone.
    if events.iter().any(|row| row.event.kind == EventKind::Succeeded)
        && let Some((alert, told)) = quota_notice(context, channels, tenant_id, now).await?
    {
        alerts.push(alert);
        messages.extend(told);
    }
    let (count, told) = (events.len() as u64, messages.len() as u64);
    let mark = Some(Mark::Events { tenant_id, from: sequence, to: last.sequence });
    let write = NoticeWrite { mark, alerts, messages };
    // False: another replica took them in.
    Ok(if context.notices.notice_put(&write).await? { (count, told) } else { (0, 0) })
}

/// Says whether a job left entries out that its plan does not accept.
pub(super) async fn is_partial(context: &Context, job: &Job) -> Result<bool, StoreError> {
    if !matches!(job.state, JobState::Succeeded { outcome: Outcome::Partial, .. }) {
        return Ok(false);
    }
    Ok(made_by(context, job).await?.is_none_or(|snapshot| !snapshot.is_good))
}

/// What came of the events of one tenant so far. Alerts by subject, each with whether it was changed.
struct Taken<'a> {
    context: &'a Context,
    channels: &'a [Channel],
    now: Timestamp,
    rows: BTreeMap<String, Vec<(AlertRow, bool)>>,
    /// The subjects of plans that were looked up.
    plans: BTreeMap<PlanId, String>,
    /// Jobs that warned. Their success comes right behind, and ends no warning.
    warned: BTreeSet<JobId>,
    messages: Vec<Outgoing>,
}

impl Taken<'_> {
    async fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        let is_bad = Topic::Event(event.kind).severity() > Severity::Info && event.kind != EventKind::Cancelled;
        if !is_bad && !matches!(event.kind, EventKind::Succeeded | EventKind::Cleared) {
            return Ok(());
        }
        let job = match event.job_id {
            Some(id) => match self.context.jobs.job_get(id).await {
                Ok(job) => Some(job),
                // It was swept, or never was one: the event still says what happened.
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let subject = subject_of(event, job.as_ref());
        self.load(event.tenant_id, &subject).await?;
        let topic = match &job {
            _ if is_bad => Some(Topic::Event(event.kind)),
            Some(job) if is_partial(self.context, job).await? => Some(Topic::Partial),
            _ => None,
        };
        match (event.kind, event.job_id) {
            (EventKind::Warned, Some(id)) => {
                self.warned.insert(id);
            }
            (EventKind::Succeeded | EventKind::Cleared, _) => {
                self.works_again(&subject, topic, event);
                if let Some(plan) = self.plan_that_ran(event, job.as_ref()).await? {
                    self.load(event.tenant_id, &plan).await?;
                    self.works_again(&plan, None, event);
                }
            }
            _ => {}
        }
        let Some(topic) = topic else { return Ok(()) };
        let fact = self.fact(event, job.as_ref(), topic, subject.clone()).await?;
        let rows = self.rows.entry(subject).or_default();
        let before = rows.iter().position(|(row, _)| row.topic == topic);
        let (row, told) = take_in(self.context, self.channels, before.map(|at| &rows[at].0), &fact, self.now);
        self.messages.extend(told);
        match before {
            Some(at) => rows[at] = (row, true),
            None => rows.push((row, true)),
        }
        Ok(())
    }

    /// Reads the alerts of a subject, once.
    async fn load(&mut self, tenant: TenantId, subject: &str) -> Result<(), StoreError> {
        if !self.rows.contains_key(subject) {
            let found = self.context.notices.alert_find(tenant, subject).await?;
            self.rows.insert(subject.to_owned(), found.into_iter().map(|row| (row, false)).collect());
        }
        Ok(())
    }

    /// Returns the subject of skipped starts of a whole plan, of which a backup succeeded.
    async fn plan_that_ran(&mut self, event: &Event, job: Option<&Job>) -> Result<Option<String>, StoreError> {
        let Some(id) = job.filter(|job| job.kind() == JobKind::Backup).and_then(|job| job.plan_id) else {
            return Ok(None);
        };
        if event.kind != EventKind::Succeeded {
            return Ok(None);
        }
        if !self.plans.contains_key(&id) {
            match self.context.declarations.plan_get(id).await {
                Ok(plan) => drop(self.plans.insert(id, format!("plan {}", plan.name))),
                // Its alert stays; all else of the tenant is told.
                Err(StoreError::Unreadable { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.plans.get(&id).cloned())
    }

    /// Ends what a success is the end of: failures of the same work. Found harm ends by a person only.
    fn works_again(&mut self, subject: &str, but: Option<Topic>, event: &Event) {
        let is_warned = event.job_id.is_some_and(|id| self.warned.contains(&id));
        let warned = Topic::Event(EventKind::Warned);
        let by_success = [
            warned,
            Topic::Event(EventKind::Failed),
            Topic::Event(EventKind::Parked),
            Topic::Event(EventKind::Skipped),
            Topic::Partial,
        ];
        let (ends, lead): (&[Topic], &str) = match event.kind {
            EventKind::Cleared => (&[Topic::Event(EventKind::Suspected)], "It was looked at"),
            _ => (&by_success, "It works again"),
        };
        let Some(rows) = self.rows.get_mut(subject) else { return };
        for (row, is_changed) in rows {
            let goes_on = Some(row.topic) == but || row.topic == warned && is_warned;
            if row.ended_at.is_none() && ends.contains(&row.topic) && !goes_on {
                let lead = format!("{lead}: {}.", event.message);
                let facts = vec![("item".to_owned(), row.title.clone())];
                let (ended, told) = end(self.context, self.channels, row, lead, facts, self.now);
                self.messages.extend(told);
                (*row, *is_changed) = (ended, true);
            }
        }
    }

    async fn fact(&self, event: &Event, job: Option<&Job>, topic: Topic, subject: String) -> Result<Fact, StoreError> {
        let store = &self.context.declarations;
        let tenant = store.tenant_get(event.tenant_id).await?.name;
        let mut facts = Vec::new();
        let mut title = "the installation".to_owned();
        if let Some(job) = job {
            let repository = store.repository_get(job.repository_id).await?.name;
            title = format!("repository {repository}");
        }
        if let Some(id) = event.item_id {
            title = store.item_get(id).await?.name;
            facts.push(("item".to_owned(), title.clone()));
        }
        if let Some(id) = job.and_then(|job| job.plan_id) {
            facts.push(("plan".to_owned(), store.plan_get(id).await?.name.to_string()));
        }
        let of_none = |prefix: &str| subject.strip_prefix(prefix).filter(|_| event.job_id.is_none()).map(str::to_owned);
        let monitor = of_none("monitor ");
        if monitor.is_some() || of_none("plan ").is_some() {
            title.clone_from(&subject);
        }
        facts.push(("tenant".to_owned(), tenant.to_string()));
        facts.push(("when".to_owned(), format!("{:.0}", event.at)));
        let mut next_steps = Vec::new();
        if let Some(job) = job {
            facts.push(("job".to_owned(), job.id.to_string()));
            next_steps.push(format!("See the whole job: backstay job show {}", job.id));
        }
        next_steps.push(match &monitor {
            Some(name) => format!("See what it said: backstay monitor pings {name}"),
            None => advice(topic).to_owned(),
        });
        let word = match topic {
            Topic::Event(EventKind::Damaged) => "Harm found",
            Topic::Event(EventKind::Parked) => "Given up",
            Topic::Event(EventKind::Skipped) => "Skipped",
            Topic::Event(EventKind::Warned) => "Wants a look",
            Topic::Event(EventKind::Suspected) => "Much changed at once",
            Topic::Partial => "Not all was read",
            _ => "Failed",
        };
        let notice = Notice {
            tenant_id: event.tenant_id,
            topic,
            subject,
            severity: topic.severity(),
            message: event.message.clone(),
        };
        Ok(Fact { notice, subject: format!("{word}: {title}"), title, facts, next_steps })
    }
}

/// Returns what a person can do about a topic.
const fn advice(topic: Topic) -> &'static str {
    match topic {
        Topic::Event(EventKind::Damaged) => {
            "Do not prune the repository. Restore what you can from another snapshot, and run backstay engine check."
        }
        Topic::Event(EventKind::Parked) => "Mend what the message names, then ask anew: backstay plan run PLAN",
        Topic::Event(EventKind::Warned) => "The backup is there; mend what the message names before the next one.",
        Topic::Event(EventKind::Suspected) => {
            "Look at what changed: backstay snapshot diff. If all is well, let prunes go on: backstay plan clear PLAN"
        }
        Topic::Event(EventKind::Skipped) => "If this repeats, give the plan more time or another schedule.",
        Topic::Partial => "The job names what could not be read; mend its rights, or leave it out of the plan.",
        _ => "Mend what the message names; the next start by schedule tries again, or ask: backstay plan run PLAN",
    }
}

/// Returns the subject of an event's alert: the work that it is about.
fn subject_of(event: &Event, job: Option<&Job>) -> String {
    if let (EventKind::Cleared, Some(item)) = (event.kind, event.item_id) {
        return format!("{} {item}", JobKind::Backup.word());
    }
    // What was not started has no job: what ends it is a backup of the same item.
    let kind = job.map_or(if event.kind == EventKind::Skipped { "backup" } else { "job" }, |job| job.kind().word());
    match (event.item_id, job) {
        (Some(item), _) => format!("{kind} {item}"),
        (None, Some(job)) => format!("{kind} {}", job.repository_id),
        // A plan that was not started, or a monitor: its name is in the words alone.
        (None, None) => event.message.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
    }
}
