//! One message about a tenant and a window: what happened, what is not well, what changed since the last one.
//!
//! Built from values alone and rendered by whoever sends it; [`Digest::words`] is the plain text. Bad news comes first.
//! A digest is built even when nothing happened: silence is what a broken installation sounds like.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::alert::{Severity, Topic, severity_of_level};
use super::event::{Event, EventKind};
use super::id::TenantId;
use super::message::{Message, Purpose, Section, one_line};
use super::quota::{Level, Quota, Usage, level, percent, permit};

/// Lines of one kind that are written out; what is beyond is counted.
pub const LINES_MAX: usize = 20;

/// A change of a plan's duration that is told: beyond what one backup varies from the next.
pub const SLOWER_FACTOR: f64 = 1.5;

/// How a tenant stands at the end of a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What it stores.
    pub usage: Usage,
    /// What it may store.
    pub quota: Quota,
    /// Items that have no good snapshot at all, by name.
    pub without_snapshot: BTreeSet<String>,
    /// Plans that a person holds back, by name: their items raise no alarm.
    pub paused: BTreeSet<String>,
    /// Overdue items by name, with how long; those without any snapshot are not among them.
    pub overdue: BTreeMap<String, Duration>,
    /// Parked jobs and failing plans by name, with the last message.
    pub failing: BTreeMap<String, String>,
    /// What a backup of each plan is expected to need.
    pub durations: BTreeMap<String, Duration>,
}

/// A digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The window's first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// How many events of each kind.
    pub counts: Vec<(EventKind, usize)>,
    /// Events that a person should read, worst first, at most [`LINES_MAX`].
    pub events: Vec<Event>,
    /// How many such events are not among them.
    pub events_beyond: usize,
    /// How the tenant stands.
    pub facts: Facts,
    /// The quota's level.
    pub level: Level,
    /// What is better or worse than in the last digest, in words; none when it is the first.
    pub changes: Option<Vec<String>>,
}

/// Builds the digest of a tenant and a window from the events of the window, in any order; others are left out.
pub fn build(
    tenant_id: TenantId,
    (from, until): (Timestamp, Timestamp),
    events: &[Event],
    facts: Facts,
    last: Option<&Facts>,
) -> Digest {
    let mine = |event: &&Event| event.tenant_id == tenant_id && from <= event.at && event.at < until;
    let mine: Vec<&Event> = events.iter().filter(mine).collect();
    let count = |kind: &EventKind| mine.iter().filter(|event| event.kind == *kind).count();
    let counts = EventKind::ALL.iter().map(|kind| (*kind, count(kind))).filter(|(_, count)| *count > 0).collect();
    let mut bad: Vec<Event> =
        mine.iter().filter(|event| badness(event.kind) > 0).map(|event| (*event).clone()).collect();
    bad.sort_by_key(|event| (std::cmp::Reverse(badness(event.kind)), event.at, event.id));
    let events_beyond = bad.len().saturating_sub(LINES_MAX);
    bad.truncate(LINES_MAX);
    let level = level(facts.quota, facts.usage);
    let changes = last.map(|last| changes(last, &facts));
    Digest { tenant_id, from, until, counts, events: bad, events_beyond, facts, level, changes }
}

const fn badness(kind: EventKind) -> u8 {
    match kind {
        EventKind::Damaged => 4,
        EventKind::Parked => 3,
        EventKind::Failed => 2,
        EventKind::Skipped | EventKind::Cancelled => 1,
        _ => 0,
    }
}

fn changes(last: &Facts, now: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    let (was, is) = (level(last.quota, last.usage), level(now.quota, now.usage));
    if was != is {
        lines.push(format!("the quota went from {} to {}", was.word(), is.word()));
    }
    if now.usage.bytes != last.usage.bytes {
        let more = now.usage.bytes >= last.usage.bytes;
        let by = size_words(now.usage.bytes.abs_diff(last.usage.bytes));
        lines.push(format!("{by} {} stored", if more { "more" } else { "less" }));
    }
    appeared(&mut lines, last.overdue.keys(), |name| !now.overdue.contains_key(name), "is no longer overdue");
    appeared(&mut lines, now.overdue.keys(), |name| !last.overdue.contains_key(name), "became overdue");
    appeared(
        &mut lines,
        last.without_snapshot.iter(),
        |name| !now.without_snapshot.contains(name),
        "has a good snapshot now",
    );
    appeared(
        &mut lines,
        now.without_snapshot.iter(),
        |name| !last.without_snapshot.contains(name),
        "has no good snapshot",
    );
    appeared(&mut lines, last.failing.keys(), |name| !now.failing.contains_key(name), "works again");
    appeared(&mut lines, now.failing.keys(), |name| !last.failing.contains_key(name), "began to fail");
    appeared(&mut lines, now.durations.keys(), |name| !last.durations.contains_key(name), "is new");
    appeared(&mut lines, last.durations.keys(), |name| !now.durations.contains_key(name), "is gone");
    for (name, took) in &now.durations {
        let Some(before) = last.durations.get(name) else { continue };
        if took.as_secs_f64() > before.as_secs_f64() * SLOWER_FACTOR {
            lines.push(format!("{name} needs {} instead of {}", time_words(*took), time_words(*before)));
        }
    }
    lines
}

fn appeared<'a>(
    lines: &mut Vec<String>,
    names: impl Iterator<Item = &'a String>,
    is: impl Fn(&str) -> bool,
    what: &str,
) {
    lines.extend(names.filter(|name| is(name)).map(|name| format!("{name} {what}")));
}

impl Digest {
    /// Returns the first line: what a person sees in a list of messages.
    pub fn subject(&self) -> String {
        let count = |kind| self.counts.iter().find(|(one, _)| *one == kind).map_or(0, |(_, count)| *count);
        let bad = [
            (count(EventKind::Damaged), "damaged"),
            (self.facts.without_snapshot.len(), "without a snapshot"),
            (self.facts.overdue.len(), "overdue"),
            (count(EventKind::Failed) + count(EventKind::Parked), "failed"),
        ];
        let mut parts: Vec<String> =
            bad.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        if self.level == Level::Red {
            parts.push("quota red".to_owned());
        }
        if parts.is_empty() {
            parts.push(format!("all well, {} succeeded", count(EventKind::Succeeded)));
        }
        parts.join(", ")
    }

    /// Returns the digest as a message: bad news first, and no line more than [`LINES_MAX`] of a kind.
    pub fn message(&self, tenant: &str, at: Timestamp) -> Message {
        let mut sections = Vec::new();
        let mut add_cut = |heading: &str, severity: Severity, entries: Vec<String>, cut: usize| {
            let beyond = entries.len().saturating_sub(LINES_MAX) + cut;
            let mut lines: Vec<String> = entries.into_iter().take(LINES_MAX).collect();
            if beyond > 0 {
                lines.push(format!("and {beyond} more"));
            }
            if !lines.is_empty() {
                sections.push(Section { heading: heading.to_owned(), severity, lines });
            }
        };
        let facts = &self.facts;
        add_cut("No good snapshot at all", Severity::Critical, facts.without_snapshot.iter().cloned().collect(), 0);
        let overdue = facts.overdue.iter().map(|(name, by)| format!("{name}, overdue by {}", time_words(*by)));
        add_cut("Overdue", Severity::Error, overdue.collect(), 0);
        let failing = facts.failing.iter().map(|(name, message)| format!("{name}: {message}"));
        add_cut("Failing", Severity::Error, failing.collect(), 0);
        let told = |event: &Event| format!("{:.0} {}: {}", event.at, event.kind.word(), event.message);
        let events: Vec<String> = self.events.iter().map(told).collect();
        let worst = self.events.first().map_or(Severity::Info, |event| Topic::Event(event.kind).severity());
        add_cut("What went wrong", worst, events, self.events_beyond);
        if self.level != Level::Green {
            add_cut("Quota", severity_of_level(self.level), self.quota_lines(), 0);
        }
        let held = facts.paused.iter().map(|name| format!("{name}: paused by a person, raises no alarm"));
        add_cut("Held back", Severity::Warning, held.collect(), 0);
        if let Some(changes) = &self.changes {
            let none = changes.is_empty().then(|| "nothing".to_owned());
            add_cut("Changed since the last digest", Severity::Info, changes.iter().cloned().chain(none).collect(), 0);
        }
        let results = self.counts.iter().map(|(kind, count)| format!("{} {count}", kind.word()));
        add_cut("Results", Severity::Info, results.collect(), 0);
        if self.level == Level::Green {
            add_cut("Quota", Severity::Info, self.quota_lines(), 0);
        }
        let durations = facts.durations.iter().map(|(name, took)| format!("{name}: {}", time_words(*took)));
        add_cut("A backup takes about", Severity::Info, durations.collect(), 0);
        let severity = sections.iter().map(|section| section.severity).max().unwrap_or(Severity::Info);
        let lead = format!("Tenant {tenant}, from {:.0} to {:.0}.", self.from, self.until);
        let next_steps = (severity >= Severity::Error)
            .then(|| "See what goes on: backstay alert list".to_owned())
            .into_iter()
            .collect();
        Message {
            purpose: Purpose::Digest,
            severity,
            subject: one_line(&format!("{tenant}: {}", self.subject())),
            lead,
            facts: Vec::new(),
            sections,
            next_steps,
            at,
        }
    }

    /// Returns how the tenant stands against its limits, in words.
    fn quota_words(&self) -> String {
        let (usage, quota) = (self.facts.usage, self.facts.quota);
        let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
        let bytes = format!("{}{}", size_words(usage.bytes), of(quota.bytes.map(size_words)));
        let snapshots = format!("{}{} snapshots", usage.snapshots, of(quota.snapshots.map(|limit| limit.to_string())));
        let share = percent(quota, usage).map_or(String::new(), |percent| format!("{percent} % used, "));
        format!("{}: {share}{bytes}, {snapshots}", self.level.word())
    }

    /// Returns how the tenant stands against its limits, and what follows from it.
    fn quota_lines(&self) -> Vec<String> {
        let refused = permit(self.facts.quota, self.facts.usage, 0).err();
        let refused = refused.map(|error| format!("no backup starts: {error}"));
        [self.quota_words()].into_iter().chain(refused).collect()
    }

    /// Returns the whole digest as plain text.
    pub fn words(&self) -> String {
        let mut lines = vec![self.subject(), format!("from {:.0} to {:.0}", self.from, self.until)];
        section(&mut lines, "No good snapshot at all", self.facts.without_snapshot.iter().cloned());
        section(
            &mut lines,
            "Overdue",
            self.facts.overdue.iter().map(|(name, by)| format!("{name} by {}", time_words(*by))),
        );
        section(&mut lines, "Failing", self.facts.failing.iter().map(|(name, message)| format!("{name}: {message}")));
        let events =
            self.events.iter().map(|event| format!("{:.0} {}: {}", event.at, event.kind.word(), event.message));
        section(&mut lines, "Events", events);
        if self.events_beyond > 0 {
            lines.push(format!("  and {} more", self.events_beyond));
        }
        if let Some(changes) = &self.changes {
            let none = changes.is_empty().then(|| "nothing".to_owned());
            section(&mut lines, "Changed since the last digest", changes.iter().cloned().chain(none));
        }
        section(&mut lines, "Quota", self.quota_lines().into_iter());
        section(
            &mut lines,
            "Durations",
            self.facts.durations.iter().map(|(name, took)| format!("{name} {}", time_words(*took))),
        );
        lines.join("\n")
    }
}

fn section(lines: &mut Vec<String>, heading: &str, entries: impl Iterator<Item = String>) {
    let entries: Vec<String> = entries.collect();
    if entries.is_empty() {
        return;
    }
    let beyond = entries.len().saturating_sub(LINES_MAX);
    lines.push(format!("{heading}:"));
    lines.extend(entries.into_iter().take(LINES_MAX).map(|entry| format!("  {entry}")));
    if beyond > 0 {
        lines.push(format!("  and {beyond} more"));
    }
}

/// Returns a number of bytes in words, in binary units: `1.5 GiB`.
pub(crate) fn size_words(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in units {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}

/// Returns a length of time in words: `3h 20m`.
pub(crate) fn time_words(length: Duration) -> String {
    let seconds = length.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::EventId;

    fn tenant(number: u8) -> TenantId {
        TenantId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    fn at(hour: i64) -> Timestamp {
        "2026-06-10T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_hours(hour)
    }

    /// `HOUR KIND [tenant 2]`.
    fn event(text: &str) -> Event {
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = at(words[0].parse().unwrap());
        let tenant_id = tenant(if words.len() > 2 { 2 } else { 1 });
        let kind = EventKind::from_word(words[1]).unwrap();
        let message = format!("home {}", kind.word());
        Event { id: EventId::new(at, [1; 10]), tenant_id, kind, job_id: None, item_id: None, at, message }
    }

    fn facts(bytes: u64, overdue: &str, failing: &str, durations: &str) -> Facts {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let minutes = |text: &str| {
            let (name, minutes) = text.split_once('=').unwrap();
            (name.to_owned(), Duration::from_secs(minutes.parse::<u64>().unwrap() * 60))
        };
        Facts {
            usage: Usage { bytes, snapshots: 3 },
            quota: Quota { bytes: Some(100 << 30), snapshots: None },
            overdue: words(overdue).iter().map(|text| minutes(text)).collect(),
            failing: words(failing).into_iter().map(|name| (name, "storage is full".to_owned())).collect(),
            durations: words(durations).iter().map(|text| minutes(text)).collect(),
            ..Facts::default()
        }
    }

    fn digest(events: &str, now: Facts, last: Option<&Facts>) -> Digest {
        let events: Vec<Event> = events.split(',').filter(|text| !text.is_empty()).map(event).collect();
        build(tenant(1), (at(0), at(24)), &events, now, last)
    }

    fn check(events: &str, now: Facts, expected: &str) {
        assert_eq!(digest(events, now, None).subject(), expected);
    }

    #[test]
    fn the_first_line_says_the_worst() {
        let calm = || facts(0, "", "", "");
        check("", calm(), "all well, 0 succeeded");
        check("1 succeeded,2 succeeded,3 skipped", calm(), "all well, 2 succeeded");
        check("1 succeeded,-1 failed,24 failed,5 failed tenant2", calm(), "all well, 1 succeeded");
        check(
            "1 damaged,2 failed,3 parked",
            facts(90 << 30, "home=90", "", ""),
            "1 damaged, 1 overdue, 2 failed, quota red",
        );
    }

    #[test]
    fn the_whole_text() {
        let last = facts(10 << 30, "mail=30", "web", "home=10 old=5");
        let now = facts(60 << 30, "home=90", "mail", "home=20 new=1");
        let text = digest("3 failed,4 damaged,5 succeeded", now, Some(&last)).words();
        let expected = "1 damaged, 1 overdue, 1 failed\n\
            from 2026-06-10T00:00:00Z to 2026-06-11T00:00:00Z\n\
            Overdue:\n  home by 1h 30m\n\
            Failing:\n  mail: storage is full\n\
            Events:\n  2026-06-10T04:00:00Z damaged: home damaged\n  2026-06-10T03:00:00Z failed: home failed\n\
            Changed since the last digest:\n  the quota went from green to yellow\n  50.0 GiB more stored\n  \
            mail is no longer overdue\n  home became overdue\n  web works again\n  mail began to fail\n  new is new\n  \
            old is gone\n  home needs 20m instead of 10m\n\
            Quota:\n  yellow: 60 % used, 60.0 GiB of 100.0 GiB, 3 snapshots\n\
            Durations:\n  home 20m\n  new 1m";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_message_begins_with_what_has_no_snapshot() {
        let now = Facts {
            without_snapshot: ["new".to_owned()].into(),
            paused: ["weekly".to_owned()].into(),
            ..facts(60 << 30, "home=90", "mail", "home=20")
        };
        let message = digest("3 failed,5 succeeded", now, None).message("ada", at(24));
        let headings: Vec<&str> = message.sections.iter().map(|section| section.heading.as_str()).collect();
        let expected = [
            "No good snapshot at all",
            "Overdue",
            "Failing",
            "What went wrong",
            "Quota",
            "Held back",
            "Results",
            "A backup takes about",
        ];
        assert_eq!(headings, expected);
        assert_eq!(message.subject, "ada: 1 without a snapshot, 1 overdue, 1 failed");
        assert_eq!((message.severity, message.next_steps.len()), (Severity::Critical, 1));
        let events = vec!["3 failed"; LINES_MAX + 5].join(",");
        let message = digest(&events, facts(0, "", "", ""), None).message("ada", at(24));
        assert_eq!(message.sections[0].lines.last().map(String::as_str), Some("and 5 more"));
    }

    #[test]
    fn a_quota_that_is_reached_says_what_follows() {
        let quota = |bytes: u64| {
            let message = digest("", facts(bytes << 30, "", "", ""), None).message("ada", at(24));
            let section = message.sections.iter().find(|section| section.heading == "Quota").unwrap();
            format!("{}: {}", section.severity.word(), section.lines.join("; "))
        };
        assert_eq!(quota(49), "info: green: 49 % used, 49.0 GiB of 100.0 GiB, 3 snapshots");
        assert_eq!(quota(50), "warning: yellow: 50 % used, 50.0 GiB of 100.0 GiB, 3 snapshots");
        assert!(quota(100).contains("100 % used") && quota(100).contains("; no backup starts: the tenant stores"));
    }

    #[test]
    fn nothing_is_cut_without_a_count() {
        let events = vec!["3 failed"; LINES_MAX + 5].join(",");
        let text = digest(&events, facts(0, "", "", ""), Some(&facts(0, "", "", ""))).words();
        assert_eq!(text.matches("home failed").count(), LINES_MAX);
        assert!(text.contains("and 5 more") && text.contains("last digest:\n  nothing"), "{text}");
    }
}
