//! Tells services that wait for signs of life how a plan's backups went: one message a result, for each ping channel.
//!
//! ```text
//!  event of a backup ──> of a plan that a ping channel names ──> all of its set good: succeeded
//!                                                           ├──> not good:          failed
//!                                                           └──> others still run:  nothing yet
//! ```
//!
//! A plan with several items is well when all of them are: a success beside a failure says nothing. A message's id follows
//! from the event, so that what is taken in twice is told once.

use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::follow::is_partial;
use crate::domain::channel::{Channel, ChannelSettings, PingSettings};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{ChannelId, MessageId};
use crate::domain::job::{Job, JobKind, StateName};
use crate::domain::job_set::members;
use crate::domain::message::{Message, Purpose, one_line};
use crate::domain::plan::Plan;
use crate::domain::tenant::Tenant;
use crate::ports::notice::Outgoing;
use crate::ports::store::{JobFilter, Page, StoreError};

/// Returns what ping channels are told of an event.
pub(super) async fn pings_of(
    context: &Context,
    channels: &[Channel],
    event: &Event,
) -> Result<Vec<Outgoing>, StoreError> {
    let ends = matches!(event.kind, EventKind::Succeeded | EventKind::Failed | EventKind::Parked);
    let Some(job_id) = event.job_id.filter(|_| ends) else { return Ok(Vec::new()) };
    let served: Vec<(&Channel, &PingSettings)> = channels.iter().filter_map(|row| ping_for(row, event)).collect();
    if served.is_empty() {
        return Ok(Vec::new());
    }
    let job = match context.jobs.job_get(job_id).await {
        Ok(job) => job,
        Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let Some(plan_id) = job.plan_id.filter(|_| job.kind() == JobKind::Backup) else { return Ok(Vec::new()) };
    let plan = context.declarations.plan_get(plan_id).await?;
    let tenant = context.declarations.tenant_get(plan.tenant_id).await?;
    let hears = |(channel, ping): &&(&Channel, &PingSettings)| {
        ping.plan.is(channel.tenant_id.map(|_| &tenant.name), &tenant.name, &plan.name)
    };
    let to: Vec<ChannelId> = served.iter().filter(hears).map(|(channel, _)| channel.id).collect();
    if to.is_empty() {
        return Ok(Vec::new());
    }
    let Some(purpose) = result_of(context, &job, event.kind).await? else { return Ok(Vec::new()) };
    let message = message(event, purpose, (&tenant, &plan, &job));
    Ok(to.into_iter().map(|channel| outgoing(channel, event, &message)).collect())
}

/// Returns a channel with its settings when it is a ping channel that may hear of an event.
fn ping_for<'a>(channel: &'a Channel, event: &Event) -> Option<(&'a Channel, &'a PingSettings)> {
    match &channel.settings {
        ChannelSettings::Ping(ping) if channel.serves(event.tenant_id) => Some((channel, ping)),
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

fn message(event: &Event, purpose: Purpose, (tenant, plan, job): (&Tenant, &Plan, &Job)) -> Message {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    Message {
        purpose,
        severity: crate::domain::alert::Topic::Event(event.kind).severity(),
        subject: one_line(&format!("{}: backup {}", plan.name, purpose.word())),
        lead: event.message.clone(),
        facts: vec![
            fact("plan", plan.name.to_string()),
            fact("tenant", tenant.name.to_string()),
            fact("job", job.id.to_string()),
        ],
        sections: Vec::new(),
        next_steps: Vec::new(),
        at: event.at,
    }
}

fn outgoing(channel_id: ChannelId, event: &Event, message: &Message) -> Outgoing {
    let hash = Sha256::digest(format!("ping {channel_id} {}", event.id));
    let mut ten = [0; 10];
    ten.copy_from_slice(&hash[..10]);
    Outgoing {
        id: MessageId::new(event.at, ten),
        channel_id,
        tenant_id: Some(event.tenant_id),
        message: message.clone(),
        created_at: event.at,
    }
}
