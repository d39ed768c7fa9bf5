//! Which facts become messages at once, which wait for a digest, and which were told already.
//!
//! ```text
//!            rules                     told before, silence, acknowledgement
//!  notice ──────────> channels ──────────────────────────────────────────────> told, or the reason why not
//! ```
//!
//! Nothing is dropped without a count: an alert that is held back says so, and the next one that is sent says how often.

use std::time::Duration;

use jiff::Timestamp;

use super::event::EventKind;
use super::id::TenantId;
use super::quota::Level;

/// Time after which an alert that goes on is told again.
pub const REPEAT_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// How long an acknowledgement holds when the same thing happens again. Some alerts are ended by nothing but a person, and
/// harm that is found a month later must not be silent because somebody knew of the one before.
pub const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How bad a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look, some day.
    Warning,
    /// Something that was promised did not happen.
    Error,
    /// Data is in danger.
    Critical,
}

super::job::words!(Severity: Info = "info", Warning = "warning", Error = "error", Critical = "critical");

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// An event of a job.
    Event(EventKind),
    /// A backup that left something unread which the plan does not accept.
    Partial,
    /// An item whose newest good snapshot is too old.
    Overdue,
    /// An item that will be.
    Threatened,
    /// A tenant's quota.
    Quota,
    /// A repository that was not proved within its budget.
    Unproved,
    /// A message that its channel did not take.
    Undelivered,
}

impl Topic {
    /// The topics that are no events' kinds, with their words.
    const OWN: [(Self, &'static str); 6] = [
        (Self::Partial, "partial"),
        (Self::Overdue, "overdue"),
        (Self::Threatened, "threatened"),
        (Self::Quota, "quota"),
        (Self::Unproved, "unproved"),
        (Self::Undelivered, "undelivered"),
    ];

    /// Returns the word of the row and of the wire: an event's is that of its kind.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event(kind) => kind.word(),
            own => Self::OWN.iter().find(|(topic, _)| *topic == own).map_or("", |(_, word)| word),
        }
    }

    /// Reads the word of the row and of the wire; none for an unknown one.
    pub fn from_word(word: &str) -> Option<Self> {
        let own = Self::OWN.iter().find(|(_, known)| *known == word).map(|(topic, _)| *topic);
        own.or_else(|| EventKind::from_word(word).map(Self::Event))
    }

    /// Returns how bad a fact of the topic is, where the topic alone says it; a quota's level says more.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Event(EventKind::Damaged) => Severity::Critical,
            Self::Event(EventKind::Failed | EventKind::Parked | EventKind::Suspected)
            | Self::Overdue
            | Self::Undelivered => Severity::Error,
            Self::Event(EventKind::Skipped | EventKind::Cancelled | EventKind::Warned)
            | Self::Partial
            | Self::Threatened
            | Self::Unproved
            | Self::Quota => Severity::Warning,
            Self::Event(_) => Severity::Info,
        }
    }
}

/// Returns how bad a quota's level is.
pub const fn severity_of_level(level: Level) -> Severity {
    match level {
        Level::Green => Severity::Info,
        Level::Yellow => Severity::Warning,
        Level::Red => Severity::Error,
    }
}

/// A fact that somebody may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is about.
    pub topic: Topic,
    /// What of it: an item, a plan, a repository. With tenant and topic the key of de-duplication.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// In words.
    pub message: String,
}

/// How a message goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// By itself, now.
    AtOnce,
    /// With the others of its window.
    Digest,
}

super::job::words!(Delivery: AtOnce = "at_once", Digest = "digest");

/// Says what goes where. What is not named matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The least severity.
    pub severity_min: Severity,
    /// Only of these topics; empty for all.
    pub topics: Vec<Topic>,
    /// Only of this tenant; none for all.
    pub tenant_id: Option<TenantId>,
    /// The channel, by its name.
    pub channel: String,
    /// How.
    pub delivery: Delivery,
}

impl Rule {
    fn matches(&self, notice: &Notice) -> bool {
        notice.severity >= self.severity_min
            && (self.topics.is_empty() || self.topics.contains(&notice.topic))
            && self.tenant_id.is_none_or(|tenant| tenant == notice.tenant_id)
    }
}

/// Returns where a notice goes: each channel once, and at once when any rule says so.
pub fn route<'a>(notice: &Notice, rules: &'a [Rule]) -> Vec<(&'a str, Delivery)> {
    let mut found: Vec<(&str, Delivery)> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.matches(notice)) {
        match found.iter_mut().find(|(channel, _)| *channel == rule.channel) {
            Some((_, delivery)) => *delivery = (*delivery).min(rule.delivery),
            None => found.push((&rule.channel, rule.delivery)),
        }
    }
    found
}

/// A time in which a person wants to hear nothing of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Only of this tenant; none for all.
    pub tenant_id: Option<TenantId>,
    /// Only of this topic; none for all.
    pub topic: Option<Topic>,
    /// Only of this subject; none for all.
    pub subject: Option<String>,
    /// When it ends.
    pub until: Timestamp,
    /// Why, as the person said.
    pub reason: String,
}

impl Silence {
    fn covers(&self, notice: &Notice, now: Timestamp) -> bool {
        now < self.until
            && self.tenant_id.is_none_or(|tenant| tenant == notice.tenant_id)
            && self.topic.is_none_or(|topic| topic == notice.topic)
            && self.subject.as_ref().is_none_or(|subject| *subject == notice.subject)
    }
}

/// An alert that goes on, one a tenant, topic and subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The worst that was seen of it; of a quota how bad it was when it was looked at last.
    pub severity: Severity,
    /// When it began.
    pub since: Timestamp,
    /// When it was told last; none when it never was.
    pub told_at: Option<Timestamp>,
    /// Notices that came since it was told last, or since it began.
    pub held: u32,
    /// Who said that they know; none while nobody did.
    pub acknowledged_by: Option<String>,
}

/// What becomes of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// It is sent.
    Tell {
        /// Notices that were held back since it was told last.
        held: u32,
    },
    /// Told a short while ago.
    Repeated,
    /// Somebody knows.
    Acknowledged,
    /// Somebody wants to hear nothing of it, for this reason.
    Silenced(String),
}

/// Takes in a notice: what becomes of it, and the alert as it is then. An alert that gets worse is told again, whoever
/// acknowledged it; a silence holds even then, because somebody said until when.
pub fn raise(before: Option<&Alert>, notice: &Notice, silences: &[Silence], now: Timestamp) -> (Telling, Alert) {
    let fresh = Alert { severity: notice.severity, since: now, told_at: None, held: 0, acknowledged_by: None };
    let mut alert = before.cloned().unwrap_or(fresh);
    let is_worse = notice.severity > alert.severity;
    if is_worse {
        (alert.severity, alert.acknowledged_by) = (notice.severity, None);
    }
    // A clock that went back makes nothing silent: what was told in the future was told at an unknown time.
    let is_recent = |told_at: Timestamp| {
        told_at <= now && now.duration_since(told_at) < REPEAT_AFTER.try_into().unwrap_or_default()
    };
    let seen_at = alert.told_at.unwrap_or(alert.since);
    let is_forgotten = now.duration_since(seen_at) >= ACKNOWLEDGED_FOR.try_into().unwrap_or_default();
    let telling = if let Some(silence) = silences.iter().find(|silence| silence.covers(notice, now)) {
        Telling::Silenced(silence.reason.clone())
    } else if alert.acknowledged_by.is_some() && !is_forgotten {
        Telling::Acknowledged
    } else if !is_worse && alert.told_at.is_some_and(is_recent) {
        Telling::Repeated
    } else {
        Telling::Tell { held: alert.held }
    };
    if matches!(telling, Telling::Tell { .. }) {
        (alert.told_at, alert.held, alert.acknowledged_by) = (Some(now), 0, None);
    } else {
        alert.held = alert.held.saturating_add(1);
    }
    (telling, alert)
}

/// Notes that a person knows of an alert: it is not told again until it gets worse, begins anew, or happens again when
/// [`ACKNOWLEDGED_FOR`] is over.
pub fn acknowledge(alert: &Alert, by: &str) -> Alert {
    Alert { acknowledged_by: Some(by.to_owned()), ..alert.clone() }
}

/// Says whether the end of an alert is told: to whom it was told that it began.
pub const fn tells_end(alert: &Alert) -> bool {
    alert.told_at.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn tenant(number: u8) -> TenantId {
        TenantId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    fn notice(severity: Severity) -> Notice {
        let (tenant_id, subject, message) = (tenant(1), "home".to_owned(), "x".to_owned());
        Notice { tenant_id, topic: Topic::Overdue, subject, severity, message }
    }

    /// `SEVERITY TENANT TOPIC CHANNEL now|digest`, `*` for all.
    fn rule(text: &str) -> Rule {
        let words: Vec<&str> = text.split_whitespace().collect();
        let topics = match words[2] {
            "*" => vec![],
            "overdue" => vec![Topic::Overdue],
            word => vec![Topic::Event(EventKind::from_word(word).unwrap())],
        };
        let delivery = if words[4] == "now" { Delivery::AtOnce } else { Delivery::Digest };
        let severity_min = Severity::from_word(words[0]).unwrap();
        let tenant_id = words[1].parse().ok().map(tenant);
        Rule { severity_min, topics, tenant_id, channel: words[3].to_owned(), delivery }
    }

    fn check(rules: &str, severity: Severity, expected: &str) {
        let rules: Vec<Rule> = rules.split(',').map(rule).collect();
        let found = route(&notice(severity), &rules);
        let found: Vec<String> = found.iter().map(|(channel, delivery)| format!("{channel} {delivery:?}")).collect();
        assert_eq!(found.join(", "), expected);
    }

    #[test]
    fn rules_say_what_goes_where() {
        check("info * * mail digest", Severity::Info, "mail Digest");
        check("error * * mail now", Severity::Warning, "");
        check("error * * mail now", Severity::Critical, "mail AtOnce");
        check("info 2 * mail now,info 1 * chat now", Severity::Info, "chat AtOnce");
        check("info * damaged mail now,info * overdue chat digest", Severity::Info, "chat Digest");
        check("info * * mail digest,error * * mail now", Severity::Error, "mail AtOnce");
        check("info * * mail digest,error * * mail now", Severity::Info, "mail Digest");
    }

    #[test]
    fn each_topic_has_a_word_of_its_own() {
        let all = EventKind::ALL.iter().map(|kind| Topic::Event(*kind)).chain(Topic::OWN.map(|(topic, _)| topic));
        for topic in all {
            assert_eq!(Topic::from_word(topic.word()), Some(topic), "{topic:?}");
        }
        assert_eq!(Topic::from_word(""), None);
    }

    #[test]
    fn kinds_have_their_severity() {
        let severity = |kind| Topic::Event(kind).severity();
        assert_eq!(severity(EventKind::Damaged), Severity::Critical);
        assert_eq!((severity(EventKind::Failed), severity(EventKind::Parked)), (Severity::Error, Severity::Error));
        assert_eq!((severity(EventKind::Skipped), severity(EventKind::Succeeded)), (Severity::Warning, Severity::Info));
        assert_eq!(severity_of_level(Level::Red), Severity::Error);
    }

    /// Steps `HOUR`, `HOUR!` (critical), `ack`, `silence=HOUR`; the answer has a word for each notice.
    fn tell(steps: &str, expected: &str) {
        let (mut alert, mut silences, mut words) = (None, Vec::new(), Vec::new());
        for step in steps.split_whitespace() {
            if let Some(until) = step.strip_prefix("silence=") {
                let (until, reason) = (at(until.parse().unwrap()), "known".to_owned());
                silences.push(Silence { tenant_id: Some(tenant(1)), topic: None, subject: None, until, reason });
            } else if step == "ack" {
                alert = alert.as_ref().map(|alert| acknowledge(alert, "ann"));
            } else {
                let severity = if step.ends_with('!') { Severity::Critical } else { Severity::Error };
                let now = at(step.trim_end_matches('!').parse().unwrap());
                let (telling, after) = raise(alert.as_ref(), &notice(severity), &silences, now);
                alert = Some(after);
                words.push(match telling {
                    Telling::Tell { held } => format!("tell+{held}"),
                    Telling::Repeated => "repeated".to_owned(),
                    Telling::Acknowledged => "known".to_owned(),
                    Telling::Silenced(_) => "silent".to_owned(),
                });
            }
        }
        assert_eq!(words.join(" "), expected, "{steps}");
    }

    #[test]
    fn what_was_told_is_not_told_again_too_soon() {
        tell("100 101 123 124", "tell+0 repeated repeated tell+2");
        tell("100 ack 130 131", "tell+0 known known");
        tell("100 ack 101! 102!", "tell+0 tell+0 repeated");
        // Nothing but a person ends some of them: known a week ago is not known for ever.
        tell("100 ack 267 268 269", "tell+0 known tell+1 repeated");
        tell("silence=110 100 105! 110", "silent silent tell+2");
        tell("100 90", "tell+0 tell+0");
    }

    proptest! {
        /// Every notice is told, or one no milder was told less than the repeat time before, or a person said why not.
        #[test]
        fn no_notice_is_lost(steps in prop::collection::vec((0i64..30, 0usize..4, 0u8..10), 1..60)) {
            let (mut alert, mut now, mut told): (Option<Alert>, _, Vec<(Timestamp, Severity)>) = (None, at(1_000), Vec::new());
            for (hours, severity, act) in steps {
                now = now.saturating_add(Duration::from_secs(hours as u64 * 3_600)).unwrap();
                if act == 0 {
                    alert = alert.as_ref().map(|alert| acknowledge(alert, "ann"));
                }
                let severity = Severity::ALL[severity];
                let (telling, after) = raise(alert.as_ref(), &notice(severity), &[], now);
                match telling {
                    Telling::Tell { .. } => told.push((now, severity)),
                    Telling::Repeated => {
                        let recent = |(at, _): &&(Timestamp, Severity)| now.duration_since(*at) < jiff::SignedDuration::from_hours(24);
                        prop_assert!(told.iter().any(|one| recent(&one)));
                        prop_assert!(told.iter().any(|(_, worst)| *worst >= severity));
                    }
                    Telling::Acknowledged => prop_assert!(after.acknowledged_by.is_some() && severity <= after.severity),
                    Telling::Silenced(_) => prop_assert!(false),
                }
                alert = Some(after);
            }
        }
    }
}
