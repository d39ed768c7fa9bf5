//! Hands messages to channels, one after another, until each was taken or given up.
//!
//! A message is leased for longer than any try may take, so of two replicas one sends it. A crash between the channel's
//! yes and the row that says so sends it again: at least once, and its id tells receivers that they had it.

use std::time::Duration;

use super::alert::{Fact, end, take_in};
use super::context::Context;
use crate::domain::alert::{Notice, Topic};
use crate::domain::channel::{Channel, ChannelSettings, HookUrl};
use crate::domain::id::{ChannelId, MessageId};
use crate::domain::message::{Message, Purpose};
use crate::domain::retry::after_delivery;
use crate::domain::secret::Secret;
use crate::ports::courier::{Courier, DeliveryError, Parcel};
use crate::ports::notice::{AlertRow, NoticeWrite, OutboxRow};
use crate::ports::store::StoreError;

/// How long a message is one replica's: longer than a courier may take.
pub const CLAIM_TTL: Duration = Duration::from_secs(120);

/// Longest that one try may take; couriers end it themselves.
pub const DELIVERY_TIME_MAX: Duration = Duration::from_secs(45);

/// Longest error that a row keeps.
const ERROR_LETTERS_MAX: usize = 500;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Its channel took it.
    Sent,
    /// It is tried again.
    Later {
        /// What went wrong.
        error: DeliveryError,
        /// In how long.
        after: Duration,
    },
    /// It is not tried again.
    GivenUp {
        /// The channel's name.
        channel: String,
        /// What went wrong last.
        error: DeliveryError,
    },
}

/// Leases the message that is due longest, of all channels but some; none when none is due.
///
/// # Errors
/// [`StoreError`].
pub async fn message_lease(context: &Context, but: &[ChannelId]) -> Result<Option<OutboxRow>, StoreError> {
    Ok(context.notices.outbox_lease(but, 1, CLAIM_TTL).await?.into_iter().next())
}

/// Brings a message that was leased to its channel.
///
/// # Errors
/// [`StoreError`]; the message is tried again then.
pub async fn message_deliver(
    context: &Context,
    courier: &dyn Courier,
    row: &OutboxRow,
) -> Result<Delivered, StoreError> {
    let id = row.outgoing.id;
    let channel = match context.notices.channel_get(row.outgoing.channel_id).await {
        Ok(channel) => channel,
        Err(StoreError::NotFound { .. }) => {
            context.notices.outbox_failed(id, row.tries, "the channel was removed", None).await?;
            return Ok(Delivered::GivenUp { channel: String::new(), error: removed() });
        }
        Err(error) => return Err(error),
    };
    let error = match send(context, courier, &channel, id, &row.outgoing.message).await {
        Ok(()) => {
            context.notices.outbox_sent(id, row.tries).await?;
            delivers_again(context, &channel, row).await?;
            return Ok(Delivered::Sent);
        }
        Err(error) => error,
    };
    let after = after_delivery(id, error.disposition(), row.tries);
    if after.is_none() {
        // Before the row says so: who dies in between tells it again, and nobody misses it.
        undelivered(context, &channel, row, &error).await?;
    }
    let words: String = error.to_string().chars().take(ERROR_LETTERS_MAX).collect();
    context.notices.outbox_failed(id, row.tries, &words, after).await?;
    let channel = channel.name.to_string();
    Ok(after.map_or(Delivered::GivenUp { channel, error: error.clone() }, |after| Delivered::Later { error, after }))
}

fn removed() -> DeliveryError {
    DeliveryError::Settings { said: "the channel was removed".to_owned() }
}

/// Brings a message to a channel now, with its secrets.
pub(super) async fn send(
    context: &Context,
    courier: &dyn Courier,
    channel: &Channel,
    id: MessageId,
    message: &Message,
) -> Result<(), DeliveryError> {
    let (secret, url, ca) = match &channel.settings {
        ChannelSettings::Smtp(smtp) => (smtp.password.as_ref(), None, smtp.ca_file.as_ref()),
        ChannelSettings::Webhook(webhook) => {
            let url = match &webhook.url {
                HookUrl::Kept(reference) => Some(reference),
                HookUrl::Plain(_) => None,
            };
            (Some(&webhook.secret), url, webhook.ca_file.as_ref())
        }
        ChannelSettings::Ping(ping) => (Some(&ping.url), None, ping.ca_file.as_ref()),
    };
    let mut read: [Option<Secret>; 3] = [None, None, None];
    for (place, reference) in read.iter_mut().zip([secret, url, ca]) {
        if let Some(reference) = reference {
            let value = context.secrets.secret_read(reference).await;
            *place = Some(value.map_err(|error| DeliveryError::Settings { said: error.to_string() })?);
        }
    }
    let [secret, url, ca] = read;
    let is_of_tenant = channel.tenant_id.is_some();
    courier.deliver(&Parcel { id, message, settings: &channel.settings, is_of_tenant, secret, url, ca }).await
}

async fn undelivered_row(
    context: &Context,
    channel: &Channel,
    row: &OutboxRow,
) -> Result<Option<AlertRow>, StoreError> {
    let Some(tenant) = row.outgoing.tenant_id else { return Ok(None) };
    let found = context.notices.alert_find(tenant, &channel.id.to_string()).await?;
    Ok(found.into_iter().find(|row| row.topic == Topic::Undelivered))
}

/// Raises the alert of a channel that took a message for the last time that it was tried.
async fn undelivered(
    context: &Context,
    channel: &Channel,
    row: &OutboxRow,
    error: &DeliveryError,
) -> Result<(), StoreError> {
    let Some(tenant_id) = row.outgoing.tenant_id else { return Ok(()) };
    let before = undelivered_row(context, channel, row).await?;
    let now = context.schedules.clock_read().await?;
    let name = channel.name.to_string();
    let lost = &row.outgoing.message.subject;
    let fact = Fact {
        notice: Notice {
            tenant_id,
            topic: Topic::Undelivered,
            subject: channel.id.to_string(),
            severity: Topic::Undelivered.severity(),
            message: format!("channel {name} did not take \"{lost}\" in {} tries: {error}", row.tries),
        },
        title: format!("channel {name}"),
        subject: format!("Not delivered: channel {name}"),
        facts: vec![("channel".to_owned(), name.clone()), ("message".to_owned(), lost.clone())],
        next_steps: vec![format!("Mend what it says, then try it: backstay channel test {}", channel.id)],
    };
    let channels = context.notices.channel_list(None).await?;
    let (alert, mut messages) = take_in(context, &channels, before.as_ref(), &fact, now);
    if row.outgoing.message.purpose == Purpose::Test {
        messages.clear();
    }
    let write = NoticeWrite { mark: None, alerts: vec![alert], messages };
    // False: another replica told it.
    context.notices.notice_put(&write).await.map(drop)
}

/// Ends that alert once the channel takes something.
async fn delivers_again(context: &Context, channel: &Channel, row: &OutboxRow) -> Result<(), StoreError> {
    let live = undelivered_row(context, channel, row).await?.filter(|row| row.ended_at.is_none());
    let Some(live) = live else { return Ok(()) };
    let now = context.schedules.clock_read().await?;
    let channels = context.notices.channel_list(None).await?;
    let lead = format!("Channel {} takes messages again.", channel.name);
    let (alert, messages) = end(context, &channels, &live, lead, Vec::new(), now);
    let write = NoticeWrite { mark: None, alerts: vec![alert], messages };
    context.notices.notice_put(&write).await.map(drop)
}
