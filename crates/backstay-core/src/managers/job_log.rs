//! What is stored of a job, put in the order of time: its events, its attempts, and what it could not read.
//!
//! Agents keep no text of what they do; this is what the rows know. The cost is bounded: of the tenant's events
//! [`EVENTS_LOOKED_MAX`] are looked at, from the job's beginning on. What lies beyond is said to lie beyond.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::context::Context;
use super::digest::place_before;
use crate::domain::attempt::{Attempt, AttemptEnd};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::ItemId;
use crate::domain::job::{Job, JobKind};
use crate::domain::rpo::{DURATIONS_MAX, usual_duration};
use crate::domain::unread::Unread;
use crate::ports::store::{JobFilter, PAGE_ROWS_MAX, StoreError};

/// Events of a tenant among which those of one job are looked for: a week of a tenant with a thousand jobs a day.
pub const EVENTS_LOOKED_MAX: usize = 20_000;

/// How far the clocks of writers may be apart for an event still to be found.
const SLACK: SignedDuration = SignedDuration::from_secs(600);

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineKind {
    /// A fact of the tenant's chain.
    Event,
    /// An attempt's beginning or end.
    Attempt,
    /// An entry that could not be read.
    Unread,
}

crate::domain::job::words!(LineKind: Event = "event", Attempt = "attempt", Unread = "unread");

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When; of an unread entry when its attempt ended, or began while it runs.
    pub at: Timestamp,
    /// What it is about.
    pub kind: LineKind,
    /// In words.
    pub text: String,
}

/// What is stored of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobLog {
    /// In the order of time.
    pub lines: Vec<Line>,
    /// Entries that could not be read and are not named.
    pub unread_unnamed: u64,
    /// Whether there were more events than are looked at.
    pub has_more: bool,
}

/// Returns what is stored of a job.
///
/// # Errors
/// [`StoreError`].
pub async fn job_log(context: &Context, job: &Job) -> Result<JobLog, StoreError> {
    let attempts = context.history.attempt_list(job.id).await?;
    let unread = context.jobs.job_unread_get(job.id).await?;
    let (events, has_more) = events_of(context, job).await?;
    Ok(JobLog { has_more, ..told(&events, &attempts, &unread, job.created_at) })
}

/// Returns what a job that has ended warned of; nothing while it goes on.
///
/// # Errors
/// [`StoreError`].
pub async fn job_warnings(context: &Context, job: &Job) -> Result<Vec<String>, StoreError> {
    if job.state.finished_at().is_none() {
        return Ok(Vec::new());
    }
    let (events, _) = events_of(context, job).await?;
    let warned = events.into_iter().filter(|event| event.kind == EventKind::Warned);
    Ok(warned.map(|event| event.message).collect())
}

/// Returns how long a job usually takes; none for one that has ended, is on no item, or is the first of its kind there.
///
/// # Errors
/// [`StoreError`].
pub async fn job_usual(context: &Context, job: &Job) -> Result<Option<Duration>, StoreError> {
    match (job.state.finished_at(), job.item_id) {
        (None, Some(item)) => usual(context, job.kind(), item).await,
        _ => Ok(None),
    }
}

/// Returns how long jobs of a kind on an item usually take; none before the first success.
///
/// # Errors
/// [`StoreError`].
pub async fn usual(context: &Context, kind: JobKind, item: ItemId) -> Result<Option<Duration>, StoreError> {
    let like = JobFilter { item_id: Some(item), kind: Some(kind), ..JobFilter::default() };
    let newest = context.jobs.job_durations(like, DURATIONS_MAX as u32).await?;
    Ok(usual_duration(&newest))
}

/// Returns a job's events, and whether there were more of its tenant's than are looked at.
async fn events_of(context: &Context, job: &Job) -> Result<(Vec<Event>, bool), StoreError> {
    let from = job.created_at.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
    let ended_at = job.state.finished_at();
    let until = ended_at.map_or(Timestamp::MAX, |at| at.saturating_add(SLACK).unwrap_or(Timestamp::MAX));
    let mut sequence = place_before(context, job.tenant_id, from).await?;
    let (mut found, mut looked) = (Vec::new(), 0);
    while looked < EVENTS_LOOKED_MAX {
        let page = context.history.event_list(job.tenant_id, sequence + 1, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { return Ok((found, false)) };
        sequence = last.sequence;
        looked += page.len();
        let is_past = last.event.at > until;
        found.extend(page.into_iter().map(|row| row.event).filter(|event| event.job_id == Some(job.id)));
        if is_past {
            return Ok((found, false));
        }
    }
    Ok((found, true))
}

/// Puts what is known in the order of time. At one moment an attempt begins before what it did is told, and ends after.
fn told(events: &[Event], attempts: &[Attempt], unread: &Unread, created_at: Timestamp) -> JobLog {
    let line = |at, kind, text| Line { at, kind, text };
    let began = attempts.iter().map(|attempt| {
        let text = format!("attempt {} began on agent {}", attempt.key.token.0, attempt.agent_id);
        line(attempt.leased_at, LineKind::Attempt, text)
    });
    let happened = events.iter().map(|event| {
        let text = format!("{}: {}", event.kind.word(), event.message);
        line(event.at, LineKind::Event, text)
    });
    let newest = attempts.last().map(|attempt| attempt.ended.map_or(attempt.leased_at, |(at, _)| at));
    let unread_at = newest.unwrap_or(created_at);
    let could_not = unread.entries.iter().map(|entry| {
        let text = format!("could not read {}: {}", entry.path, entry.reason);
        line(unread_at, LineKind::Unread, text)
    });
    let ended = attempts.iter().filter_map(|attempt| {
        let (at, end) = attempt.ended?;
        let how = match end {
            AttemptEnd::Finished => "ended",
            AttemptEnd::Waited => "gave the job back to wait",
            AttemptEnd::Lost => "was lost: its lease ended without a word",
        };
        Some(line(at, LineKind::Attempt, format!("attempt {} {how}", attempt.key.token.0)))
    });
    let mut lines: Vec<Line> = began.chain(could_not).chain(ended).chain(happened).collect();
    lines.sort_by_key(|line| line.at);
    let named = unread.entries.len() as u64;
    JobLog { lines, unread_unnamed: unread.count.saturating_sub(named), has_more: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptToken, LeaseKey};
    use crate::domain::id::{AgentId, EventId, JobId, TenantId};
    use crate::domain::unread::UnreadEntry;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn lines_come_in_the_order_of_time() {
        let (ten, job_id) = ([7; 10], JobId::new(at(0), [7; 10]));
        let event = |seconds, kind, message: &str| Event {
            id: EventId::new(at(seconds), ten),
            tenant_id: TenantId::new(at(0), ten),
            kind,
            job_id: Some(job_id),
            item_id: None,
            at: at(seconds),
            message: message.to_owned(),
        };
        let attempt = |token, from, ended| Attempt {
            key: LeaseKey { job_id, token: AttemptToken(token) },
            agent_id: AgentId::new(at(0), ten),
            leased_at: at(from),
            ended,
        };
        let events = [
            event(1, EventKind::Enqueued, "asked for"),
            event(5, EventKind::Rescued, "again"),
            event(9, EventKind::Succeeded, "partial"),
        ];
        let attempts =
            [attempt(1, 2, Some((at(5), AttemptEnd::Lost))), attempt(2, 6, Some((at(9), AttemptEnd::Finished)))];
        let entry = UnreadEntry { path: "/a".to_owned(), reason: "no".to_owned() };
        let log = told(&events, &attempts, &Unread { count: 3, entries: vec![entry] }, at(1));
        let agent = AgentId::new(at(0), ten);
        let lines: Vec<String> =
            log.lines.iter().map(|line| format!("{} {}", line.at.as_second(), line.text)).collect();
        let expected = [
            "1 enqueued: asked for".to_owned(),
            format!("2 attempt 1 began on agent {agent}"),
            "5 attempt 1 was lost: its lease ended without a word".to_owned(),
            "5 rescued: again".to_owned(),
            format!("6 attempt 2 began on agent {agent}"),
            "9 could not read /a: no".to_owned(),
            "9 attempt 2 ended".to_owned(),
            "9 succeeded: partial".to_owned(),
        ];
        assert_eq!(lines, expected);
        assert_eq!(log.unread_unnamed, 2);
    }
}
