//! The store behind what is told: channels, alerts, messages on their way, and how far watchers have looked.
//!
//! One write ([`NoticeStore::notice_put`]) carries a decision: what it was based on moves on, alerts change, messages go
//! out, all or nothing. Of two replicas that decide the same, one writes. Who comes in: the managers `watch`, `follow`,
//! `alert`, `digest`, `deliver`, `channel`.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::page::{NamedFilter, Page, all};
use super::store::StoreError;
use crate::domain::alert::{Alert, Topic};
use crate::domain::channel::Channel;
use crate::domain::digest::Facts;
use crate::domain::id::{AlertId, ChannelId, ItemId, MessageId, PlanId, TenantId};
use crate::domain::message::Message;
use crate::domain::quota::Usage;

/// An alert as it is kept: one a tenant, topic and subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// Its id.
    pub id: AlertId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is about.
    pub topic: Topic,
    /// What of it: the key of de-duplication.
    pub subject: String,
    /// What people call the subject.
    pub title: String,
    /// The newest notice in words.
    pub message: String,
    /// How it stands.
    pub alert: Alert,
    /// When its newest notice came.
    pub last_at: Timestamp,
    /// How often it was told since it began.
    pub told_count: u32,
    /// When somebody said that they know; none while nobody did.
    pub acknowledged_at: Option<Timestamp>,
    /// Until when nobody wants to hear of it; none when that was never said.
    pub silenced_until: Option<Timestamp>,
    /// Why, as the person said; empty when they did not.
    pub silence_reason: String,
    /// When it ended; none while it goes on.
    pub ended_at: Option<Timestamp>,
    /// Grows with each write; zero for a row that is not there yet.
    pub revision: u64,
}

/// A message for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id; the same when the same decision is made again.
    pub id: MessageId,
    /// Where it goes.
    pub channel_id: ChannelId,
    /// Whose it is; none when it is the installation's.
    pub tenant_id: Option<TenantId>,
    /// What is said.
    pub message: Message,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A message with how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The message.
    pub outgoing: Outgoing,
    /// How often it was tried, a try that runs included: the fencing token of who tries.
    pub tries: u32,
    /// When it is next tried; none when it is done.
    pub due_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When its channel took it.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub given_up_at: Option<Timestamp>,
}

/// How far something is that must be done once. A write names what it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A tenant's events were taken in, up to a place of its chain.
    Events {
        /// Whose.
        tenant_id: TenantId,
        /// The place that was seen.
        from: i64,
        /// The place up to which they are taken in now.
        to: i64,
    },
    /// An item was looked at for a plan.
    Watch {
        /// What was seen.
        seen: Watched,
        /// When it is looked at again.
        due_at: Timestamp,
    },
    /// The digests of a channel's window were made.
    Digest {
        /// What was seen.
        seen: DigestDue,
        /// When the next one is due.
        due_at: Timestamp,
        /// What the next one is compared with.
        told: Vec<DigestTold>,
    },
}

/// An item of a plan, and when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The plan.
    pub plan_id: PlanId,
    /// The item.
    pub item_id: ItemId,
    /// When.
    pub due_at: Timestamp,
}

/// A channel whose window is over, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestDue {
    /// The channel.
    pub channel_id: ChannelId,
    /// The window's first moment.
    pub from_at: Timestamp,
    /// The first moment after it.
    pub due_at: Timestamp,
}

/// What a channel was told of a tenant by its last digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestTold {
    /// Of whom.
    pub tenant_id: TenantId,
    /// How they stood.
    pub facts: Facts,
    /// The last event that it looked at, by its place in the tenant's chain; zero for none.
    pub sequence: i64,
}

/// A tenant with events that were not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Whose.
    pub tenant_id: TenantId,
    /// The place up to which they were.
    pub sequence: i64,
}

/// Rows that one decision writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoticeWrite {
    /// What it was based on; none for a person's wish.
    pub mark: Option<Mark>,
    /// Alerts, each in the place of its revision.
    pub alerts: Vec<AlertRow>,
    /// Messages.
    pub messages: Vec<Outgoing>,
}

/// Which alerts a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only this tenant's.
    pub tenant_id: Option<TenantId>,
    /// Only those that go on.
    pub is_live: bool,
}

/// How many messages there are of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Waiting to be sent.
    pub waiting: u64,
    /// Given up.
    pub given_up: u64,
    /// Alerts that go on.
    pub alerts_live: u64,
}

/// What is told to people. `plan_add` makes the watch of a plan's items, looked at at once; a plan that changes has its
/// items looked at again. `tenant_add` makes the place up to which a tenant's events were taken in.
#[async_trait]
pub trait NoticeStore: Send + Sync {
    /// Adds a channel, with its digest first due at `digest_due_at`; [`StoreError::Taken`] when its owner has the name.
    async fn channel_add(&self, channel: &Channel, digest_due_at: Option<Timestamp>) -> Result<(), StoreError>;
    /// Returns a channel.
    async fn channel_get(&self, id: ChannelId) -> Result<Channel, StoreError>;
    /// Returns a page of channels: of one tenant, without those of the installation, or of all. One that cannot be read is
    /// passed over and logged.
    async fn channel_page(&self, filter: &NamedFilter, page: Page<ChannelId>) -> Result<Vec<Channel>, StoreError>;
    /// Returns all channels by name: of one tenant, without those of the installation, or all.
    async fn channel_list(&self, tenant: Option<TenantId>) -> Result<Vec<Channel>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let mut rows = all(|page| self.channel_page(&filter, page), |row: &Channel| row.id).await?;
        rows.sort_by_key(|row| (row.name.clone(), row.id));
        Ok(rows)
    }
    /// Puts `new` in the place of the channel with its id; its owner and kind stay. False, and nothing is written, when the
    /// channel is neither as it was `seen` nor as it shall be.
    async fn channel_put(
        &self,
        seen: &Channel,
        new: &Channel,
        digest_due_at: Option<Timestamp>,
    ) -> Result<bool, StoreError>;
    /// Takes a channel away; messages that wait for it are given up.
    async fn channel_remove(&self, id: ChannelId) -> Result<(), StoreError>;

    /// Returns an alert.
    async fn alert_get(&self, id: AlertId) -> Result<AlertRow, StoreError>;
    /// Returns a page of alerts, those made last first.
    async fn alert_list(&self, filter: AlertFilter, page: Page<AlertId>) -> Result<Vec<AlertRow>, StoreError>;
    /// Returns all alerts of a subject, ended ones included.
    async fn alert_find(&self, tenant: TenantId, subject: &str) -> Result<Vec<AlertRow>, StoreError>;

    /// Writes a decision, all or nothing. False, and nothing is written, when what it saw has changed: the mark, or an
    /// alert's revision. Each alert's row has the next revision then. A message whose id is there already is left alone. A
    /// sign of life ([`Purpose::is_ping`]) takes the place of older ones that wait for its channel, which are gone then, and
    /// goes on counting their tries. A beginning ([`Purpose::Started`]) takes nothing's place: it is left out where something
    /// waits for its channel, or where what is younger was told there.
    ///
    /// [`Purpose::is_ping`]: crate::domain::message::Purpose::is_ping
    /// [`Purpose::Started`]: crate::domain::message::Purpose::Started
    async fn notice_put(&self, write: &NoticeWrite) -> Result<bool, StoreError>;

    /// Returns items that are due to be looked at by a moment, the longest due first.
    async fn watch_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Watched>, StoreError>;
    /// Returns tenants with events that were not taken in.
    async fn event_list_behind(&self, rows_max: u32) -> Result<Vec<Behind>, StoreError>;
    /// Returns channels whose window is over by a moment, the longest over first.
    async fn digest_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<DigestDue>, StoreError>;
    /// Returns what a tenant stores: snapshots that were not forgotten, and the bytes that backups added to its repositories
    /// and prunes left there (decision 0027). Reads a row a repository, never history.
    async fn usage_get(&self, tenant: TenantId) -> Result<Usage, StoreError>;
    /// Returns what a channel was told of a tenant last; none when it never was.
    async fn digest_told(&self, channel: ChannelId, tenant: TenantId) -> Result<Option<DigestTold>, StoreError>;

    /// Leases messages that are due for a time, but for those of some channels: nobody else gets them until it is over by the
    /// store's clock.
    async fn outbox_lease(
        &self,
        but: &[ChannelId],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError>;
    /// Notes that a message was sent in a try; false when a later try has it.
    async fn outbox_sent(&self, id: MessageId, tries: u32) -> Result<bool, StoreError>;
    /// Notes that a try failed: it is tried again after a time, or (none) given up. False when a later try has it.
    async fn outbox_failed(
        &self,
        id: MessageId,
        tries: u32,
        error: &str,
        again_after: Option<Duration>,
    ) -> Result<bool, StoreError>;
    /// Returns a message.
    async fn outbox_get(&self, id: MessageId) -> Result<OutboxRow, StoreError>;
    /// Returns how many messages and alerts there are of each sort.
    async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError>;
}
