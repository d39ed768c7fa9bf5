//! From a fact to what is told of it: which channels hear it now, what is held back, and what a person says to it.
//!
//! ```text
//!  fact ──rules──> channels ──told before? silence? acknowledged?──> messages for the outbox, and the alert's new row
//! ```
//!
//! Nothing is written here but a person's word: `watch`, `follow` and `deliver` write what they got from [`take_in`] and
//! [`end`] together with what it was based on.

use jiff::Timestamp;

use super::context::Context;
use crate::domain::alert::{
    Alert, Delivery, Notice, REPEAT_AFTER, Rule, Silence, Telling, acknowledge, raise, route, tells_end,
};
use crate::domain::channel::Channel;
use crate::domain::id::{AlertId, ChannelId, MessageId};
use crate::domain::message::{Message, Purpose, one_line};
use crate::ports::notice::{AlertRow, NoticeWrite, Outgoing};
use crate::ports::store::StoreError;

/// How often a person's word is tried again beside a loop that writes the same row.
const WORD_TRIES: u32 = 8;

/// A fact with all that is told of it.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    /// What the rules look at.
    pub(super) notice: Notice,
    /// What people call the subject.
    pub(super) title: String,
    /// One line.
    pub(super) subject: String,
    /// Names and values.
    pub(super) facts: Vec<(String, String)>,
    /// What the reader can do.
    pub(super) next_steps: Vec<String>,
}

/// Returns the channels that hear of a notice now.
fn at_once(channels: &[Channel], notice: &Notice) -> Vec<ChannelId> {
    let rules: Vec<Rule> = channels.iter().flat_map(Channel::routes).collect();
    let routes = route(notice, &rules);
    // A channel that does not deliver is not told so.
    let now = |route: &&(&str, Delivery)| route.1 == Delivery::AtOnce && route.0 != notice.subject;
    routes.iter().filter(now).filter_map(|(channel, _)| channel.parse().ok()).collect()
}

/// Takes a fact in: returns the alert's next row, and what is told of it.
pub(super) fn take_in(
    context: &Context,
    channels: &[Channel],
    before: Option<&AlertRow>,
    fact: &Fact,
    now: Timestamp,
) -> (AlertRow, Vec<Outgoing>) {
    let notice = &fact.notice;
    let live = before.filter(|row| row.ended_at.is_none());
    let silence = before.and_then(|row| row.silenced_until.map(|until| (until, row.silence_reason.clone())));
    let silences: Vec<Silence> = silence
        .map(|(until, reason)| Silence {
            tenant_id: Some(notice.tenant_id),
            topic: Some(notice.topic),
            subject: Some(notice.subject.clone()),
            until,
            reason,
        })
        .into_iter()
        .collect();
    let (telling, mut alert) = raise(live.map(|row| &row.alert), notice, &silences, now);
    let mut messages = Vec::new();
    if let Telling::Tell { held } = telling {
        let mut facts = fact.facts.clone();
        if held > 0 {
            facts.push(("held back".to_owned(), format!("{held} more like it since this was told last")));
        }
        let message = Message {
            purpose: Purpose::Alert,
            severity: alert.severity,
            subject: one_line(&fact.subject),
            lead: notice.message.clone(),
            facts,
            sections: Vec::new(),
            next_steps: fact.next_steps.clone(),
            at: now,
        };
        messages = outgoing(context, at_once(channels, notice), notice, &message, now);
        if messages.is_empty() {
            // Nobody heard it: it is not told, and not over for whoever gets a channel later.
            let told_at = live.and_then(|row| row.alert.told_at);
            alert = Alert { told_at, held: held.saturating_add(1), ..alert };
        }
    }
    let told_count = live.map_or(0, |row| row.told_count) + u32::from(!messages.is_empty());
    let fresh = || AlertId::new(now, context.ten());
    let row = AlertRow {
        id: before.map_or_else(fresh, |row| row.id),
        tenant_id: notice.tenant_id,
        topic: notice.topic,
        subject: notice.subject.clone(),
        title: fact.title.clone(),
        message: notice.message.clone(),
        acknowledged_at: live.and_then(|row| row.acknowledged_at).filter(|_| alert.acknowledged_by.is_some()),
        alert,
        last_at: now,
        told_count,
        silenced_until: before.and_then(|row| row.silenced_until),
        silence_reason: before.map_or_else(String::new, |row| row.silence_reason.clone()),
        ended_at: None,
        revision: before.map_or(0, |row| row.revision),
    };
    (row, messages)
}

/// Ends an alert: returns its next row, and what is told to those who were told that it began.
pub(super) fn end(
    context: &Context,
    channels: &[Channel],
    row: &AlertRow,
    lead: String,
    facts: Vec<(String, String)>,
    now: Timestamp,
) -> (AlertRow, Vec<Outgoing>) {
    let ended = AlertRow { ended_at: Some(now), ..row.clone() };
    let is_silent = row.silenced_until.is_some_and(|until| now < until);
    if !tells_end(&row.alert) || is_silent {
        return (ended, Vec::new());
    }
    let message = Message {
        purpose: Purpose::End,
        severity: crate::domain::alert::Severity::Info,
        subject: one_line(&format!("Well again: {} (was {})", row.title, row.topic.word())),
        lead,
        facts,
        sections: Vec::new(),
        next_steps: Vec::new(),
        at: now,
    };
    let notice = Notice {
        tenant_id: row.tenant_id,
        topic: row.topic,
        subject: row.subject.clone(),
        severity: row.alert.severity,
        message: String::new(),
    };
    (ended, outgoing(context, at_once(channels, &notice), &notice, &message, now))
}

fn outgoing(
    context: &Context,
    channels: Vec<ChannelId>,
    notice: &Notice,
    message: &Message,
    now: Timestamp,
) -> Vec<Outgoing> {
    let to = |channel_id| Outgoing {
        id: MessageId::new(now, context.ten()),
        channel_id,
        tenant_id: Some(notice.tenant_id),
        message: message.clone(),
        created_at: now,
    };
    channels.into_iter().map(to).collect()
}

/// Says whether looking again at something that goes on has anything to tell: it was not told yet, or long ago.
pub(super) fn is_worth_telling(row: Option<&AlertRow>, now: Timestamp) -> bool {
    let Some(row) = row.filter(|row| row.ended_at.is_none()) else { return true };
    let is_silent = row.silenced_until.is_some_and(|until| now < until);
    // A moment to come is of a clock that went back since.
    let long_ago = |at: Timestamp| at > now || now.duration_since(at) >= REPEAT_AFTER.try_into().unwrap_or_default();
    row.alert.acknowledged_by.is_none() && !is_silent && row.alert.told_at.is_none_or(long_ago)
}

/// Notes that a person knows of an alert: it is not told again until it gets worse or begins anew.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such alert.
pub async fn alert_acknowledge(context: &Context, id: AlertId, by: &str) -> Result<AlertRow, StoreError> {
    let now = context.schedules.clock_read().await?;
    change(context, id, |row| AlertRow {
        alert: acknowledge(&row.alert, by),
        acknowledged_at: row.acknowledged_at.or(Some(now)),
        ..row
    })
    .await
}

/// Notes that a person wants to hear nothing of an alert until a moment; a moment that is over lifts that.
///
/// # Errors
/// As [`alert_acknowledge`].
pub async fn alert_silence(
    context: &Context,
    id: AlertId,
    until: Timestamp,
    reason: &str,
) -> Result<AlertRow, StoreError> {
    change(context, id, |row| AlertRow { silenced_until: Some(until), silence_reason: reason.to_owned(), ..row }).await
}

async fn change(context: &Context, id: AlertId, word: impl Fn(AlertRow) -> AlertRow) -> Result<AlertRow, StoreError> {
    for _ in 0..WORD_TRIES {
        let row = word(context.notices.alert_get(id).await?);
        let write = NoticeWrite { alerts: vec![row], ..NoticeWrite::default() };
        if context.notices.notice_put(&write).await? {
            return context.notices.alert_get(id).await;
        }
    }
    Err(StoreError::Busy { noun: "alert", key: id.to_string(), by: "something that writes it all the time".to_owned() })
}
