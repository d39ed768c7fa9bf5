//! What is told to people, in memory.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::channel::Channel;
use backstay_core::domain::id::{AlertId, ChannelId, MessageId, TenantId};
use backstay_core::domain::message::Purpose;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::quota::Usage;
use backstay_core::ports::notice::{
    AlertFilter, AlertRow, Behind, DigestDue, DigestTold, Mark, NoticeStore, NoticeWrite, OutboxCounts, OutboxRow,
    Outgoing, Watched,
};
use backstay_core::ports::store::{NamedFilter, PAGE_ROWS_MAX, Page, StoreError};
use jiff::Timestamp;

use super::declaration::found;
use super::history::page_of;
use super::{FakeStores, Rows};

impl Rows {
    /// Has the items of a plan looked at at once.
    pub(super) fn watch_plan(&mut self, plan: &Plan) {
        for item in self.items.values().filter(|item| item.source_id == plan.source_id) {
            self.watch.insert((plan.id, item.id), Timestamp::UNIX_EPOCH);
        }
    }

    fn window_put(&mut self, id: ChannelId, due_at: Option<Timestamp>, now: Timestamp) {
        let before = self.digests.remove(&id);
        if let Some(due_at) = due_at {
            let from_at = before.map_or(now, |before| before.from_at);
            self.digests.insert(id, DigestDue { channel_id: id, from_at, due_at });
        }
    }

    fn mark_put(&mut self, mark: &Mark) -> bool {
        match mark {
            Mark::Events { tenant_id, from, to } => {
                let cursor = self.cursors.entry(*tenant_id).or_default();
                if cursor.0 != *from {
                    return false;
                }
                *cursor = (*to, cursor.1.filter(|behind| behind > to));
                true
            }
            Mark::Watch { seen, due_at } => match self.watch.get_mut(&(seen.plan_id, seen.item_id)) {
                Some(there) if *there == seen.due_at => {
                    *there = *due_at;
                    true
                }
                _ => false,
            },
            Mark::Digest { seen, due_at, told } => {
                let Some(there) = self.digests.get_mut(&seen.channel_id).filter(|there| there.due_at == seen.due_at)
                else {
                    return false;
                };
                (there.from_at, there.due_at) = (seen.due_at, *due_at);
                for told in told {
                    self.digests_told.insert((seen.channel_id, told.tenant_id), told.clone());
                }
                true
            }
        }
    }

    /// Takes away what waits for a message's channel and is older than it, and returns how often that was tried.
    fn replace_waiting(&mut self, outgoing: &Outgoing) -> u32 {
        let is_older = |row: &OutboxRow| {
            row.outgoing.channel_id == outgoing.channel_id && row.due_at.is_some() && row.outgoing.id < outgoing.id
        };
        let tries = self.outbox.values().filter(|row| is_older(row)).map(|row| row.tries).max().unwrap_or(0);
        self.outbox.retain(|_, row| !is_older(row));
        tries
    }

    /// Says whether something waits for a message's channel, or what is younger was told there.
    fn has_younger_or_waiting(&self, outgoing: &Outgoing) -> bool {
        let of_channel = |row: &&OutboxRow| row.outgoing.channel_id == outgoing.channel_id;
        let mut rows = self.outbox.values().filter(of_channel);
        rows.any(|row| row.due_at.is_some() || row.outgoing.id > outgoing.id)
    }

    fn alert_put(&mut self, row: &AlertRow) -> bool {
        let new = AlertRow { revision: row.revision + 1, ..row.clone() };
        let same =
            |one: &AlertRow| one.tenant_id == row.tenant_id && one.topic == row.topic && one.subject == row.subject;
        match self.alerts.iter_mut().find(|one| same(one)) {
            Some(there) if there.id == row.id && there.revision == row.revision => {
                *there = new;
                true
            }
            Some(_) => false,
            None if row.revision == 0 => {
                self.alerts.push(new);
                true
            }
            None => false,
        }
    }
}

/// Takes back what a decision wrote that was not accepted.
struct Stale;

#[async_trait]
impl NoticeStore for FakeStores {
    async fn channel_add(&self, channel: &Channel, digest_due_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.write(|rows, now| {
            let same = |row: &&Channel| row.tenant_id == channel.tenant_id && row.name == channel.name;
            if rows.channels.values().find(same).is_some() {
                return Err(StoreError::Taken { noun: "channel", key: channel.name.to_string() });
            }
            rows.channels.insert(channel.id, channel.clone());
            rows.window_put(channel.id, digest_due_at, now);
            Ok(())
        })
    }

    async fn channel_get(&self, id: ChannelId) -> Result<Channel, StoreError> {
        self.read(|rows| found(rows.channels.get(&id), "channel", id))
    }

    async fn channel_page(&self, filter: &NamedFilter, page: Page<ChannelId>) -> Result<Vec<Channel>, StoreError> {
        let of = |row: &&Channel| {
            (filter.tenant_id.is_none() || row.tenant_id == filter.tenant_id)
                && filter.name.as_ref().is_none_or(|name| row.name == *name)
        };
        Ok(self.read(|rows| page_of(rows.channels.values().filter(of), |row| row.id, page)))
    }

    async fn channel_put(
        &self,
        seen: &Channel,
        new: &Channel,
        digest_due_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.write(|rows, now| {
            let old = found(rows.channels.get(&new.id), "channel", new.id)?;
            if old == *new || old != *seen {
                return Ok(old == *new);
            }
            rows.channels.insert(new.id, Channel { tenant_id: old.tenant_id, name: old.name, ..new.clone() });
            rows.window_put(new.id, digest_due_at, now);
            Ok(true)
        })
    }

    async fn channel_remove(&self, id: ChannelId) -> Result<(), StoreError> {
        self.write(|rows, now| {
            found(rows.channels.remove(&id).as_ref(), "channel", id)?;
            rows.digests.remove(&id);
            rows.digests_told.retain(|(channel, _), _| *channel != id);
            for row in rows.outbox.values_mut().filter(|row| row.outgoing.channel_id == id && row.due_at.is_some()) {
                (row.due_at, row.given_up_at) = (None, Some(now));
                row.last_error = Some("the channel was removed".to_owned());
            }
            Ok(())
        })
    }

    async fn alert_get(&self, id: AlertId) -> Result<AlertRow, StoreError> {
        self.read(|rows| found(rows.alerts.iter().find(|row| row.id == id), "alert", id))
    }

    async fn alert_list(&self, filter: AlertFilter, page: Page<AlertId>) -> Result<Vec<AlertRow>, StoreError> {
        let shown = |row: &&AlertRow| {
            filter.tenant_id.is_none_or(|tenant| row.tenant_id == tenant)
                && (!filter.is_live || row.ended_at.is_none())
                && page.before.is_none_or(|before| row.id < before)
        };
        let mut alerts: Vec<AlertRow> = self.read(|rows| rows.alerts.iter().filter(shown).cloned().collect());
        alerts.sort_by_key(|row| std::cmp::Reverse(row.id));
        alerts.truncate(page.rows_max.min(PAGE_ROWS_MAX) as usize);
        Ok(alerts)
    }

    async fn alert_find(&self, tenant: TenantId, subject: &str) -> Result<Vec<AlertRow>, StoreError> {
        let of = |row: &&AlertRow| row.tenant_id == tenant && row.subject == subject;
        Ok(self.read(|rows| rows.alerts.iter().filter(of).cloned().collect()))
    }

    async fn notice_put(&self, write: &NoticeWrite) -> Result<bool, StoreError> {
        let done = self.write(|rows, _| {
            if write.mark.as_ref().is_some_and(|mark| !rows.mark_put(mark)) {
                return Err(Stale);
            }
            if !write.alerts.iter().all(|row| rows.alert_put(row)) {
                return Err(Stale);
            }
            for outgoing in &write.messages {
                let is_start = outgoing.message.purpose == Purpose::Started;
                if is_start && rows.has_younger_or_waiting(outgoing) {
                    continue;
                }
                let tries =
                    if outgoing.message.purpose.is_ping() && !is_start { rows.replace_waiting(outgoing) } else { 0 };
                let row = OutboxRow {
                    outgoing: outgoing.clone(),
                    tries,
                    due_at: Some(outgoing.created_at),
                    last_error: None,
                    sent_at: None,
                    given_up_at: None,
                };
                rows.outbox.entry(outgoing.id).or_insert(row);
            }
            Ok(())
        });
        Ok(done.is_ok())
    }

    async fn watch_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Watched>, StoreError> {
        let mut due: Vec<Watched> = self.read(|rows| {
            let watched =
                |(key, due_at): (&(_, _), &Timestamp)| Watched { plan_id: key.0, item_id: key.1, due_at: *due_at };
            rows.watch.iter().map(watched).filter(|row| row.due_at <= now).collect()
        });
        due.sort_by_key(|row| row.due_at);
        due.truncate(rows_max.min(PAGE_ROWS_MAX) as usize);
        Ok(due)
    }

    async fn event_list_behind(&self, rows_max: u32) -> Result<Vec<Behind>, StoreError> {
        let behind = self.read(|rows| {
            let behind = rows.cursors.iter().filter(|(_, cursor)| cursor.1.is_some());
            behind.map(|(tenant, cursor)| Behind { tenant_id: *tenant, sequence: cursor.0 }).collect::<Vec<_>>()
        });
        Ok(behind.into_iter().take(rows_max as usize).collect())
    }

    async fn digest_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<DigestDue>, StoreError> {
        let mut due: Vec<DigestDue> =
            self.read(|rows| rows.digests.values().filter(|row| row.due_at <= now).copied().collect());
        due.sort_by_key(|row| row.due_at);
        due.truncate(rows_max as usize);
        Ok(due)
    }

    async fn usage_get(&self, tenant: TenantId) -> Result<Usage, StoreError> {
        Ok(self.read(|rows| rows.usage_of(tenant)))
    }

    async fn digest_told(&self, channel: ChannelId, tenant: TenantId) -> Result<Option<DigestTold>, StoreError> {
        Ok(self.read(|rows| rows.digests_told.get(&(channel, tenant)).cloned()))
    }

    async fn outbox_lease(
        &self,
        but: &[ChannelId],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.write(|rows, now| {
            let mut due: Vec<&mut OutboxRow> =
                rows.outbox.values_mut().filter(|row| row.due_at.is_some_and(|at| at <= now)).collect();
            due.retain(|row| !but.contains(&row.outgoing.channel_id));
            due.sort_by_key(|row| row.due_at);
            let claim = |row: &mut OutboxRow| {
                row.tries += 1;
                row.due_at = now.saturating_add(ttl).ok();
                row.clone()
            };
            Ok(due.into_iter().take(count_max as usize).map(claim).collect())
        })
    }

    async fn outbox_sent(&self, id: MessageId, tries: u32) -> Result<bool, StoreError> {
        self.write(|rows, now| {
            let row = rows.outbox.get_mut(&id).filter(|row| row.tries == tries && row.due_at.is_some());
            Ok(row.map(|row| (row.due_at, row.sent_at) = (None, Some(now))).is_some())
        })
    }

    async fn outbox_failed(
        &self,
        id: MessageId,
        tries: u32,
        error: &str,
        again_after: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.write(|rows, now| {
            let row = rows.outbox.get_mut(&id).filter(|row| row.tries == tries && row.due_at.is_some());
            let Some(row) = row else { return Ok(false) };
            row.last_error = Some(error.to_owned());
            row.due_at = again_after.and_then(|after| now.saturating_add(after).ok());
            row.given_up_at = again_after.is_none().then_some(now);
            Ok(true)
        })
    }

    async fn outbox_get(&self, id: MessageId) -> Result<OutboxRow, StoreError> {
        self.read(|rows| found(rows.outbox.get(&id), "message", id))
    }

    async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        Ok(self.read(|rows| OutboxCounts {
            waiting: rows.outbox.values().filter(|row| row.due_at.is_some()).count() as u64,
            given_up: rows.outbox.values().filter(|row| row.given_up_at.is_some()).count() as u64,
            alerts_live: rows.alerts.iter().filter(|row| row.ended_at.is_none()).count() as u64,
        }))
    }
}
