//! Tells services that wait for signs of life how a plan's backups went: one message a result, for each ping channel, and
//! one when they begin, for each that wants it.
//!
//! ```text
//!  event of a backup ──> of a plan that a ping channel names ──> all of its set good: succeeded
//!                                                           ├──> not good:          failed
//!                                                           └──> others still run:  nothing yet
//! ```
//!
//! A plan with several items is well when all of them are: a success beside a failure says nothing. A message's id follows
//! from the event, so that what is taken in twice is told once.
//!
//! No event says that a job began: a claim writes as little as it can. So those that an agent has just leased are looked
//! for, by whoever tells. What begins and ends between two looks has its result told alone.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::follow::is_partial;
use crate::domain::alert::{Severity, Topic};
use crate::domain::channel::{Channel, ChannelSettings, PingSettings};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{ChannelId, JobId, MessageId};
use crate::domain::job::{Job, JobKind, StateName};
use crate::domain::job_set::members;
use crate::domain::message::{Message, Purpose, one_line};
use crate::domain::plan::Plan;
use crate::domain::tenant::Tenant;
use crate::ports::notice::{NoticeWrite, Outgoing};
use crate::ports::store::{JobFilter, Page, StoreError};

/// Returns what ping channels are told of an event.
pub(super) async fn pings_of(
    context: &Context,
    channels: &[Channel],
    event: &Event,
) -> Result<Vec<Outgoing>, StoreError> {
    let ends = matches!(event.kind, EventKind::Succeeded | EventKind::Failed | EventKind::Parked);
    let Some(job_id) = event.job_id.filter(|_| ends) else { return Ok(Vec::new()) };
    let served: Vec<(&Channel, &PingSettings)> =
        channels.iter().filter_map(ping_of).filter(|(channel, _)| channel.serves(event.tenant_id)).collect();
    let Some(told) = told_of(context, &served, job_id).await? else { return Ok(Vec::new()) };
    let Some(purpose) = result_of(context, &told.job, event.kind).await? else { return Ok(Vec::new()) };
    let severity = Topic::Event(event.kind).severity();
    let message = message(&told, purpose, severity, &event.message, event.at);
    let outgoing = |channel: ChannelId| {
        let id = MessageId::new(event.at, ten_of(&format!("ping {channel} {}", event.id)));
        outgoing(id, channel, &told, &message)
    };
    Ok(told.channels.iter().copied().map(outgoing).collect())
}

/// How long ago a backup may have begun that is told to begin: several looks, so that a busy replica misses none, and not so
/// many that each writes what is known.
const BEGUN_MAX: Duration = Duration::from_secs(30);

/// Tells channels that want it of backups that an agent has just begun. Safe to repeat and to run twice at once; where no
/// channel wants it, it costs one question.
///
/// # Errors
/// [`StoreError`]; the next look tries again.
pub async fn begun_tick(context: &Context) -> Result<(), StoreError> {
    let channels = context.notices.channel_list(None).await?;
    let served: Vec<(&Channel, &PingSettings)> =
        channels.iter().filter_map(ping_of).filter(|(_, ping)| ping.start).collect();
    if served.is_empty() {
        return Ok(());
    }
    let now = context.schedules.clock_read().await?;
    let running = context.jobs.queue_look(1).await?.running.into_iter();
    for (candidate, leased_at) in running.filter(|(candidate, _)| candidate.kind == JobKind::Backup) {
        let own: Vec<_> = served.iter().copied().filter(|(channel, _)| channel.serves(candidate.tenant_id)).collect();
        if leased_at < now.saturating_sub(BEGUN_MAX).unwrap_or(Timestamp::MIN) || own.is_empty() {
            continue;
        }
        if let Some(told) = told_of(context, &own, candidate.job_id).await? {
            let messages = starts_of(context, &told, leased_at).await?;
            context.notices.notice_put(&NoticeWrite { messages, ..NoticeWrite::default() }).await?;
        }
    }
    Ok(())
}

/// Returns what is told of a beginning. Its id is that of the job, or of the set that the job is of: their attempts and
/// members begin once. Its place in time is where the job was asked for: before each result of it.
async fn starts_of(context: &Context, told: &Told, leased_at: Timestamp) -> Result<Vec<Outgoing>, StoreError> {
    let (what, at) = match told.job.set {
        Some((set_id, _)) => (set_id.to_string(), context.jobs.set_get(set_id).await?.created_at),
        None => (told.job.id.to_string(), told.job.created_at),
    };
    let message = message(told, Purpose::Started, Severity::Info, "an agent began it", leased_at);
    let outgoing = |channel: ChannelId| {
        let id = MessageId::new(at, ten_of(&format!("start {channel} {what}")));
        outgoing(id, channel, told, &message)
    };
    Ok(told.channels.iter().copied().map(outgoing).collect())
}

/// A backup of a plan that channels hear of.
struct Told {
    job: Job,
    plan: Plan,
    tenant: Tenant,
    channels: Vec<ChannelId>,
}

/// Returns a job with its plan and the channels that hear of it; none when none does.
async fn told_of(
    context: &Context,
    served: &[(&Channel, &PingSettings)],
    job_id: JobId,
) -> Result<Option<Told>, StoreError> {
    if served.is_empty() {
        return Ok(None);
    }
    let job = match context.jobs.job_get(job_id).await {
        Ok(job) => job,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(plan_id) = job.plan_id.filter(|_| job.kind() == JobKind::Backup) else { return Ok(None) };
    let plan = context.declarations.plan_get(plan_id).await?;
    let tenant = context.declarations.tenant_get(plan.tenant_id).await?;
    let hears = |(channel, ping): &&(&Channel, &PingSettings)| {
        ping.plan.is(channel.tenant_id.map(|_| &tenant.name), &tenant.name, &plan.name)
    };
    let channels: Vec<ChannelId> = served.iter().filter(hears).map(|(channel, _)| channel.id).collect();
    Ok((!channels.is_empty()).then_some(Told { job, plan, tenant, channels }))
}

/// Returns a channel with its settings when it is a ping channel.
fn ping_of(channel: &Channel) -> Option<(&Channel, &PingSettings)> {
    match &channel.settings {
        ChannelSettings::Ping(ping) => Some((channel, ping)),
        _ => None,
    }
}

/// Returns what the end of a job means for its plan; none while others of its set have not ended, or one of them failed.
async fn result_of(context: &Context, job: &Job, kind: EventKind) -> Result<Option<Purpose>, StoreError> {
    if kind != EventKind::Succeeded || is_partial(context, job).await? {
        return Ok(Some(Purpose::Failed));
    }
    let Some((set_id, _)) = job.set else { return Ok(Some(Purpose::Succeeded)) };
    let wanted = context.jobs.set_get(set_id).await?.wanted as usize;
    let filter = JobFilter { set_id: Some(set_id), ..JobFilter::default() };
    let (mut jobs, mut page) = (Vec::new(), Page::first());
    loop {
        let rows = context.jobs.job_list(filter, page).await?;
        // The newest come first, and are the last to run: of most ends the first page says that there are others.
        if rows.iter().any(|row| row.state.name().is_live()) {
            return Ok(None);
        }
        let is_last = rows.len() < page.rows_max as usize;
        page.before = rows.last().map(|row| row.id);
        jobs.extend(rows);
        if is_last {
            break;
        }
    }
    let members = members(jobs);
    if members.len() != wanted {
        return Ok(None);
    }
    for member in &members {
        if member.state.name() != StateName::Succeeded || is_partial(context, member).await? {
            return Ok(None);
        }
    }
    Ok(Some(Purpose::Succeeded))
}

fn message(told: &Told, purpose: Purpose, severity: Severity, lead: &str, at: Timestamp) -> Message {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    Message {
        purpose,
        severity,
        subject: one_line(&format!("{}: backup {}", told.plan.name, purpose.word())),
        lead: lead.to_owned(),
        facts: vec![
            fact("plan", told.plan.name.to_string()),
            fact("tenant", told.tenant.name.to_string()),
            fact("job", told.job.id.to_string()),
        ],
        sections: Vec::new(),
        next_steps: Vec::new(),
        at,
    }
}

fn outgoing(id: MessageId, channel_id: ChannelId, told: &Told, message: &Message) -> Outgoing {
    let tenant_id = Some(told.tenant.id);
    Outgoing { id, channel_id, tenant_id, message: message.clone(), created_at: message.at }
}

/// Returns what makes the id of a message the same whenever the same is told.
fn ten_of(what: &str) -> [u8; 10] {
    let mut ten = [0; 10];
    ten.copy_from_slice(&Sha256::digest(what)[..10]);
    ten
}
