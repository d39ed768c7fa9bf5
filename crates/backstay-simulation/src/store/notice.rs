//! The store of what is told, on the stage.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::channel::Channel;
use backstay_core::domain::id::{AlertId, ChannelId, MessageId, TenantId};
use backstay_core::domain::quota::Usage;
use backstay_core::ports::notice::{
    AlertFilter, AlertRow, Behind, DigestDue, DigestTold, Mark, NoticeStore, NoticeWrite, OutboxCounts, OutboxRow,
    Outgoing, Watched,
};
use backstay_core::ports::random::ten_bytes;
use backstay_core::ports::store::{NamedFilter, Page, StoreError};
use jiff::Timestamp;

use super::SteppedStore;
use crate::mutant::Mutant;

/// Decisions of a million that a forgetful mutant writes in part.
const FORGOTTEN: u64 = 200_000;

/// How much later a mutant looks at items.
const LATE: Duration = Duration::from_secs(10 * 86_400);

impl SteppedStore {
    /// Returns what a mutant leaves of a decision.
    fn forgetful(&self, write: &NoticeWrite) -> NoticeWrite {
        let mut write = write.clone();
        match (self.mutant, &mut write.mark) {
            (Some(Mutant::ForgottenEvent), Some(Mark::Events { .. })) if self.stage.dice.chance(FORGOTTEN) => {
                write.alerts.clear();
                write.messages.clear();
            }
            (Some(Mutant::LostMessage), Some(Mark::Events { .. } | Mark::Watch { .. }))
                if self.stage.dice.chance(FORGOTTEN) =>
            {
                drop(write.messages.pop())
            }
            (Some(Mutant::DoubledMessage), Some(Mark::Events { .. } | Mark::Watch { .. }))
                if self.stage.dice.chance(FORGOTTEN) =>
            {
                let again = write.messages.first().cloned();
                let id = MessageId::new(self.stage.now(), ten_bytes(&self.stage.dice));
                write.messages.extend(again.map(|message| Outgoing { id, ..message }));
            }
            (Some(Mutant::LateWatch), Some(Mark::Watch { due_at, .. })) => {
                *due_at = due_at.saturating_add(LATE).unwrap_or(*due_at);
            }
            _ => {}
        }
        write
    }
}

#[async_trait]
impl NoticeStore for SteppedStore {
    async fn channel_add(&self, channel: &Channel, digest_due_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.writes("channel_add", self.database.channel_add(channel, digest_due_at)).await
    }
    async fn channel_get(&self, id: ChannelId) -> Result<Channel, StoreError> {
        self.reads("channel_get", self.database.channel_get(id)).await
    }
    async fn channel_page(&self, filter: &NamedFilter, page: Page<ChannelId>) -> Result<Vec<Channel>, StoreError> {
        self.reads("channel_page", self.database.channel_page(filter, page)).await
    }
    async fn channel_put(
        &self,
        seen: &Channel,
        new: &Channel,
        digest_due_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.writes("channel_put", self.database.channel_put(seen, new, digest_due_at)).await
    }
    async fn channel_remove(&self, id: ChannelId) -> Result<(), StoreError> {
        self.writes("channel_remove", self.database.channel_remove(id)).await
    }
    async fn alert_get(&self, id: AlertId) -> Result<AlertRow, StoreError> {
        self.reads("alert_get", self.database.alert_get(id)).await
    }
    async fn alert_list(&self, filter: AlertFilter, page: Page<AlertId>) -> Result<Vec<AlertRow>, StoreError> {
        self.reads("alert_list", self.database.alert_list(filter, page)).await
    }
    async fn alert_find(&self, tenant: TenantId, subject: &str) -> Result<Vec<AlertRow>, StoreError> {
        let mut found = self.reads("alert_find", self.database.alert_find(tenant, subject)).await?;
        if self.is(Mutant::NoSilence) {
            found.iter_mut().for_each(|row| row.silenced_until = None);
        }
        Ok(found)
    }
    async fn notice_put(&self, write: &NoticeWrite) -> Result<bool, StoreError> {
        let write = self.forgetful(write);
        if self.is(Mutant::DigestBeside) && matches!(write.mark, Some(Mark::Digest { .. })) {
            let beside = NoticeWrite { mark: None, ..write.clone() };
            self.writes("notice_put", self.database.notice_put(&beside)).await?;
            let mark = NoticeWrite { mark: write.mark, ..NoticeWrite::default() };
            return self.writes("notice_put", self.database.notice_put(&mark)).await;
        }
        self.writes("notice_put", self.database.notice_put(&write)).await
    }
    async fn watch_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Watched>, StoreError> {
        self.reads("watch_list_due", self.database.watch_list_due(now, rows_max)).await
    }
    async fn event_list_behind(&self, rows_max: u32) -> Result<Vec<Behind>, StoreError> {
        self.reads("event_list_behind", self.database.event_list_behind(rows_max)).await
    }
    async fn digest_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<DigestDue>, StoreError> {
        self.reads("digest_list_due", self.database.digest_list_due(now, rows_max)).await
    }
    async fn usage_get(&self, tenant: TenantId) -> Result<Usage, StoreError> {
        self.reads("usage_get", self.database.usage_get(tenant)).await
    }
    async fn digest_told(&self, channel: ChannelId, tenant: TenantId) -> Result<Option<DigestTold>, StoreError> {
        self.reads("digest_told", self.database.digest_told(channel, tenant)).await
    }
    async fn outbox_lease(
        &self,
        but: &[ChannelId],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = self.writes("outbox_lease", self.database.outbox_lease(but, count_max, ttl)).await?;
        if self.is(Mutant::SentFirst) {
            for row in &rows {
                self.writes("outbox_sent", self.database.outbox_sent(row.outgoing.id, row.tries)).await?;
            }
        }
        Ok(rows)
    }
    async fn outbox_sent(&self, id: MessageId, tries: u32) -> Result<bool, StoreError> {
        self.writes("outbox_sent", self.database.outbox_sent(id, tries)).await
    }
    async fn outbox_failed(
        &self,
        id: MessageId,
        tries: u32,
        error: &str,
        again_after: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.writes("outbox_failed", self.database.outbox_failed(id, tries, error, again_after)).await
    }
    async fn outbox_get(&self, id: MessageId) -> Result<OutboxRow, StoreError> {
        self.reads("outbox_get", self.database.outbox_get(id)).await
    }
    async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        self.reads("outbox_counts", self.database.outbox_counts()).await
    }
}
