//! Promises about what is told: what happened and what is too old becomes an alert, an alert its messages, a window its
//! digests, and each message is brought as long as its channel takes any.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use backstay_core::domain::alert::{ACKNOWLEDGED_FOR, Severity};
use backstay_core::domain::channel::Channel;
use backstay_core::domain::id::TenantId;
use jiff::Timestamp;

use super::log::{Done, Written, of};
use super::{Broken, Ledger, keep};
use crate::stage::micros;

/// How long after its moment, and after all is well, what is to be told may be untold: the simulated watchers look twice a
/// day each, and a replica may wait an hour for the database, twice.
const TOLD_WITHIN: Duration = Duration::from_secs(30 * 3_600);

/// How long a message or a window may be due: the simulated notifiers look twice an hour.
const BROUGHT_WITHIN: Duration = Duration::from_secs(6 * 3_600);

/// How old a message may be that waits when all was well for longer: tries go on for two days.
const WAITS_AT_MOST: Duration = Duration::from_secs(3 * 86_400);

/// Partial backups of one item that one decision takes in, at the most: as many as it takes in events.
const PARTIAL_AT_MOST: usize = 100;

/// What somebody should hear of, by the words of events.
const BAD: [&str; 6] = ["failed", "parked", "damaged", "skipped", "warned", "suspected"];

/// Whose alert it is, of which topic and subject.
type AlertKey = (String, String, String);

/// An event that is to be taken in.
#[derive(Debug)]
struct Fact {
    place: i64,
    /// The alert that it must become; none for what is no bad news.
    alert: Option<AlertKey>,
    since: i64,
}

/// An alert as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AlertSeen {
    severity: Severity,
    since_at: i64,
    told_at: Option<i64>,
    acknowledged_at: Option<i64>,
    silenced_until: Option<i64>,
    ended_at: Option<i64>,
}

impl AlertSeen {
    fn of(row: &Written) -> Self {
        Self {
            severity: Severity::from_word(&row.text("severity")).expect("rows of the simulation can be read"),
            since_at: row.number("since_at"),
            told_at: row.count("told_at"),
            acknowledged_at: row.count("acknowledged_at"),
            silenced_until: row.count("silenced_until"),
            ended_at: row.count("ended_at"),
        }
    }

    /// Says whether somebody knows of it, and it is not told of what is as bad.
    fn is_known(&self, worse: &Self, at: i64) -> bool {
        let is_recent = at - self.told_at.unwrap_or(self.since_at) < micros(ACKNOWLEDGED_FOR);
        self.acknowledged_at.is_some() && self.ended_at.is_none() && is_recent && worse.severity <= self.severity
    }
}

/// What was seen of what is told.
#[derive(Default)]
pub(super) struct Notices {
    /// Events that were not taken in, by tenant.
    facts: HashMap<String, VecDeque<Fact>>,
    alerts: HashMap<AlertKey, AlertSeen>,
    /// Messages that wait: when each is due, and was made.
    waiting: HashMap<String, (i64, i64)>,
    /// When the window of each channel is over.
    windows: HashMap<String, i64>,
    /// Digests that were made: of which channel, tenant and window.
    digests: HashSet<(String, String, i64)>,
    /// When each item of a plan is looked at.
    looks: HashMap<(String, String), i64>,
    /// Tenants with events that were not taken in.
    behind: BTreeSet<String>,
    /// When each item got its newest good snapshot, or had it confirmed.
    saved: HashMap<String, i64>,
    /// When each plan went on; the end of time while it is paused.
    resumed: HashMap<String, i64>,
}

impl Notices {
    /// Returns when the next item is to be looked at; the beginning of time while events are to be taken in.
    pub(super) fn watch_at(&self) -> i64 {
        let due = self.looks.values().copied().min().unwrap_or(i64::MAX);
        if self.behind.is_empty() { due } else { 0 }
    }

    /// Returns when the next window is over or the next message due.
    pub(super) fn notify_at(&self) -> i64 {
        let messages = self.waiting.values().map(|(due_at, _)| *due_at);
        self.windows.values().copied().chain(messages).min().unwrap_or(i64::MAX)
    }

    /// Takes in what carries no promise of its own.
    fn mirror(&mut self, row: &Written, now: i64) {
        match &*row.table {
            "watch" => {
                self.looks.insert((row.text("plan_id"), row.text("item_id")), row.number("due_at"));
            }
            "snapshot" if row.number("good") == 1 => {
                self.saved.insert(row.text("item_id"), now);
            }
            "plan_schedule" => {
                let is_paused = row.count("paused_at").is_some();
                let at = self.resumed.entry(row.text("plan_id")).or_insert(i64::MIN);
                *at = match (is_paused, *at) {
                    (true, _) => i64::MAX,
                    (false, i64::MAX) => now,
                    (false, before) => before,
                };
            }
            _ => {}
        }
    }
}

/// Says whether a channel hears at once of an alert of a tenant.
fn hears(channel: &Channel, key: &AlertKey, severity: Severity) -> bool {
    let (tenant, _, subject) = key;
    let serves = channel.tenant_id.is_none_or(|id| id.to_string() == *tenant);
    serves && channel.rules.iter().any(|rule| severity >= rule.severity_min) && channel.id.to_string() != *subject
}

impl Ledger {
    /// Takes in what is told, and what it is told of.
    pub(super) fn notices_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        let now = self.stage().now().as_microsecond();
        for row in written {
            self.notices.mirror(row, now);
        }
        self.happened(written, now);
        let taken = self.taken_in(written)?;
        self.alerts_told(written, &taken)?;
        self.digests_made(written)?;
        self.brought(written)
    }

    /// Takes in what happened: each bad event is to become an alert of its work.
    fn happened(&mut self, written: &[Written], since: i64) {
        for row in of("event", written) {
            let (tenant, kind) = (row.text("tenant_id"), row.text("kind"));
            let job = row.word("job_id").and_then(|id| self.jobs.get(&id));
            let subject = match (row.word("item_id"), job) {
                (Some(item), Some(job)) => format!("{} {item}", job.kind),
                (Some(item), None) => format!("backup {item}"),
                (None, Some(job)) => format!("{} {}", job.kind, job.repository_id),
                (None, None) => row.text("message").split_whitespace().take(2).collect::<Vec<_>>().join(" "),
            };
            let alert = BAD.contains(&&*kind).then(|| (tenant.clone(), kind, subject));
            let fact = Fact { place: row.number("sequence"), alert, since };
            self.notices.facts.entry(tenant).or_default().push_back(fact);
        }
    }

    /// What a cursor passes was taken in, and was written with that. Returns how many bad events each alert was made of.
    fn taken_in(&mut self, written: &[Written]) -> Result<HashMap<AlertKey, usize>, Broken> {
        let mut taken: HashMap<AlertKey, usize> = HashMap::new();
        let key = |row: &Written| (row.text("tenant_id"), row.text("topic"), row.text("subject"));
        let alerts: HashSet<AlertKey> = of("alert", written).map(key).collect();
        for row in of("event_cursor", written) {
            let (tenant, place) = (row.text("tenant_id"), row.number("sequence"));
            match row.count("behind_sequence") {
                Some(_) => self.notices.behind.insert(tenant.clone()),
                None => self.notices.behind.remove(&tenant),
            };
            let facts = self.notices.facts.entry(tenant).or_default();
            while let Some(fact) = facts.front().filter(|fact| fact.place <= place) {
                let is_told = fact.alert.as_ref().is_none_or(|key| alerts.contains(key));
                keep(is_told, "an event that is taken in becomes its alert", || format!("{fact:?}"))?;
                let fact = facts.pop_front();
                if let Some(key) = fact.and_then(|fact| fact.alert) {
                    *taken.entry(key).or_default() += 1;
                }
            }
        }
        Ok(taken)
    }

    /// An alert that says that it was told has its messages; what is silenced, and what somebody knows of, is not told. One
    /// that ended and began anew within one decision may have been told as often as it was made.
    fn alerts_told(&mut self, written: &[Written], taken: &HashMap<AlertKey, usize>) -> Result<(), Broken> {
        let mut expected: HashMap<String, (usize, usize)> = HashMap::new();
        for row in of("alert", written) {
            let key = (row.text("tenant_id"), row.text("topic"), row.text("subject"));
            let mut alert = AlertSeen::of(row);
            // A silence is lifted by a moment that is over, never by a row that has none.
            let silenced_until = self.notices.alerts.get(&key).and_then(|before| before.silenced_until);
            alert.silenced_until = alert.silenced_until.or(silenced_until);
            let before = self.notices.alerts.insert(key.clone(), alert.clone());
            self.counts.alerts += u64::from(before.as_ref().is_none_or(|before| before.ended_at.is_some()));
            let Some(told_at) = alert.told_at.filter(|at| before.as_ref().and_then(|row| row.told_at) != Some(*at))
            else {
                continue;
            };
            if let Some(before) = &before {
                let is_silent = before.silenced_until.is_some_and(|until| told_at < until);
                keep(!is_silent, "what is silenced is not told", || format!("{key:?}: {before:?}, then {alert:?}"))?;
                keep(!before.is_known(&alert, told_at), "what somebody knows of is not told", || {
                    format!("{key:?}: {before:?}, then {alert:?}")
                })?;
            }
            // Which successes were partial ones is not known here.
            let most = if key.1 == "partial" { PARTIAL_AT_MOST } else { taken.get(&key).copied().unwrap_or(1) };
            for channel in self.world.channels.iter().filter(|channel| hears(channel, &key, alert.severity)) {
                let (least, at_most) = expected.entry(channel.id.to_string()).or_default();
                (*least, *at_most) = (*least + 1, *at_most + most);
            }
        }
        for (channel, (least, most)) in expected {
            let is_of = |row: &&Written| row.text("channel_id") == channel && row.text("purpose") == "alert";
            let sent = of("outbox", written).filter(|row| row.done == Done::Added).filter(is_of).count();
            keep((least..=most).contains(&sent), "an alert that was told has one message for each channel", || {
                format!("{least} were told, of {most} facts, and {sent} messages go to channel {channel}")
            })?;
        }
        Ok(())
    }

    /// A window that is over is told once of each tenant, whatever was in the way.
    fn digests_made(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("outbox", written).filter(|row| row.done == Done::Added && row.text("purpose") == "digest") {
            let (channel, tenant) = (row.text("channel_id"), row.text("tenant_id"));
            let window = self.notices.windows[&channel];
            self.counts.digests += 1;
            let is_first = self.notices.digests.insert((channel.clone(), tenant.clone(), window));
            keep(is_first, "one digest a channel, tenant and window", || format!("{channel} {tenant} {window}"))?;
        }
        for row in of("digest", written) {
            let (channel, due_at) = (row.text("channel_id"), row.number("due_at"));
            let Some(window) = self.notices.windows.insert(channel.clone(), due_at).filter(|at| *at < due_at) else {
                continue;
            };
            for tenant in self.served(&channel) {
                let made = (channel.clone(), tenant.to_string(), window);
                keep(self.notices.digests.contains(&made), "a window that is over is told of each tenant", || {
                    format!("{made:?}")
                })?;
            }
        }
        Ok(())
    }

    fn served(&self, channel: &str) -> Vec<TenantId> {
        let mut channels = self.world.channels.iter();
        let channel = channels.find(|row| row.id.to_string() == channel).expect("no other channel is declared");
        channel.tenant_id.map_or_else(|| self.world.tenants.clone(), |id| vec![id])
    }

    /// A message is marked as sent when its channel took it, and given up when that did not, which is an alert by itself.
    fn brought(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("outbox", written) {
            let id = row.text("id");
            self.counts.messages += u64::from(row.done == Done::Added);
            if let Some(due_at) = row.count("due_at").filter(|_| row.done != Done::Gone) {
                self.notices.waiting.insert(id, (due_at, row.number("created_at")));
                continue;
            }
            if self.notices.waiting.remove(&id).is_none() {
                continue;
            }
            let became = self.world.couriers.became(id.parse().expect("rows of the simulation can be read"));
            let differed = became.as_ref().is_some_and(|became| became.differed);
            keep(!differed, "an id names one message", || id.clone())?;
            if row.count("sent_at").is_some() {
                let is_taken = became.as_ref().is_some_and(|became| became.taken > 0);
                keep(is_taken, "what is marked as sent was taken by its channel", || format!("{id}: {became:?}"))?;
            } else {
                self.counts.given_up += 1;
                let failed = became.as_ref().is_some_and(|became| became.failed > 0);
                keep(failed, "what is given up was not taken", || format!("{id}: {became:?}"))?;
                let key = (row.text("tenant_id"), "undelivered".to_owned(), row.text("channel_id"));
                let is_told = self.notices.alerts.contains_key(&key);
                keep(is_told, "a channel that takes nothing is an alert", || format!("{id} of {key:?}"))?;
            }
        }
        Ok(())
    }

    /// What is to be told is told in time, and what is well again is no alert any more.
    pub(super) fn told_in_time(&self) -> Result<(), Broken> {
        let (now, well) = (self.stage().now().as_microsecond(), self.world.weather.well_since().as_microsecond());
        let notices = &self.notices;
        let is_late = |since: i64, within: Duration| since.max(well).saturating_add(micros(within)) < now;
        let facts = notices.facts.values().filter_map(VecDeque::front).find(|fact| is_late(fact.since, TOLD_WITHIN));
        keep(facts.is_none(), "what happened is taken in in time", || format!("{facts:?} at {now}"))?;
        let window = notices.windows.iter().find(|(_, due_at)| is_late(**due_at, BROUGHT_WITHIN));
        keep(window.is_none(), "a window that is over is told in time", || format!("{window:?} at {now}"))?;
        let message = notices.waiting.iter().find(|(_, (due_at, _))| is_late(*due_at, BROUGHT_WITHIN));
        keep(message.is_none(), "a message is tried in time", || format!("{message:?} at {now}"))?;
        for (plan, items) in &self.world.plans {
            let resumed = notices.resumed.get(&plan.id.to_string()).copied().unwrap_or(i64::MIN);
            for item in items {
                let proved = self.proved_at(item.id, now);
                let breach = proved.unwrap_or(plan.created_at.as_microsecond()) + micros(plan.rpo);
                let key = (plan.tenant_id.to_string(), "overdue".to_owned(), format!("{} {}", plan.id, item.id));
                let is_live = notices.alerts.get(&key).is_some_and(|alert| alert.ended_at.is_none());
                let saved = notices.saved.get(&item.id.to_string()).copied().max(proved).unwrap_or(i64::MIN);
                // One that is dated in the future proves nothing yet, and hides the confirmation before it.
                if is_late(breach.max(resumed).max(saved), TOLD_WITHIN) {
                    keep(is_live, "an item past its RPO has an open alert", || format!("{} {key:?}", item.name))?;
                } else if breach > now && is_late(saved, TOLD_WITHIN) {
                    keep(!is_live, "an item that is well again has none", || format!("{} {key:?}", item.name))?;
                }
            }
        }
        Ok(())
    }

    /// Nothing is left over: every message was brought.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn all_told(&self) -> Result<(), Broken> {
        let before = self.stage().now().saturating_sub(WAITS_AT_MOST).unwrap_or(Timestamp::MIN).as_microsecond();
        let left = self.notices.waiting.iter().find(|(_, (_, created_at))| *created_at < before);
        keep(left.is_none(), "when all is well, every message is brought", || format!("{left:?}"))
    }
}
