//! Monitors: work of others, such as a cron job, that says by pings how it went, and is missed when it says nothing.
//!
//! ```text
//!  new ──ping──> up ──expected──> late ──grace is over──> down ──success──> up
//!                 └──start──> started ──grace is over──> down
//!                 └──fail──> down
//! ```
//!
//! Absent on purpose: how pings come in, and who is told.

use std::time::Duration;

use jiff::Timestamp;

use super::id::{MonitorId, PingId, TenantId};
use super::name::Name;
use super::schedule::{Rhythm, Schedule, after};

/// Most of what a ping says that is kept, in bytes: the end of a long output, where errors stand.
pub const PING_BYTES_MAX: usize = 10_000;

/// Pings of a monitor that are kept: three months of a daily job, a megabyte at most.
pub const PINGS_KEPT: u32 = 100;

/// Shortest and longest grace: a minute is what clocks and queues need, a year is no grace.
pub const GRACE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(365 * 86_400));

/// What a ping says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PingKind {
    /// The work came to a good end.
    Success,
    /// It began.
    Start,
    /// It failed.
    Fail,
    /// Something to remember, which says nothing of how it went.
    Log,
}

super::job::words!(PingKind: Success = "success", Start = "start", Fail = "fail", Log = "log");

impl PingKind {
    /// Reads the end of a ping's path: nothing, `start`, `fail`, `log`, or an exit code, which is returned too. None for
    /// anything else.
    pub fn of_path(text: Option<&str>) -> Option<(Self, Option<u8>)> {
        match text {
            None => Some((Self::Success, None)),
            Some("start") => Some((Self::Start, None)),
            Some("fail") => Some((Self::Fail, None)),
            Some("log") => Some((Self::Log, None)),
            Some(code) => {
                let code: u8 = code.parse().ok()?;
                Some((if code == 0 { Self::Success } else { Self::Fail }, Some(code)))
            }
        }
    }
}

/// A ping that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Its id.
    pub id: PingId,
    /// Of which monitor.
    pub monitor_id: MonitorId,
    /// When it came.
    pub at: Timestamp,
    /// What it says.
    pub kind: PingKind,
    /// The exit code that it brought; none when it brought none.
    pub exit_code: Option<u8>,
    /// The text that it brought, its end at most: [`PING_BYTES_MAX`]. Anybody's words, shown as text only.
    pub text: String,
}

/// What is wrong with a monitor's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// It should have said something.
    Overdue,
    /// It said that it failed.
    Failed,
}

super::job::words!(Trouble: Overdue = "overdue", Failed = "failed");

/// How a monitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing was heard yet, and nothing had to be.
    New,
    /// All is well.
    Up,
    /// It was expected, and its grace is not over.
    Late,
    /// It failed, or its grace is over.
    Down,
    /// It began and has not ended.
    Started,
}

super::job::words!(Standing: New = "new", Up = "up", Late = "late", Down = "down", Started = "started");

/// A monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Its id.
    pub id: MonitorId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant: the last part of its URL.
    pub name: Name,
    /// When its work is expected; never on request alone.
    pub schedule: Schedule,
    /// How late it may be, and how long it may run.
    pub grace: Duration,
    /// When it was declared.
    pub created_at: Timestamp,
    /// When it was retired; none while it lives.
    pub retired_at: Option<Timestamp>,
    /// When its work ended last, and whether well; none when it never did.
    pub ended: Option<(Timestamp, bool)>,
    /// When it began; none when it ended since, or never began.
    pub started_at: Option<Timestamp>,
    /// What was told of it; none while all is well.
    pub told: Option<Trouble>,
    /// When it is looked at.
    pub due_at: Timestamp,
    /// Grows with each write; zero for a row that is not there yet.
    pub revision: u64,
}

/// A monitor that cannot be: the field and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct MonitorError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub problem: &'static str,
}

/// Judges when a monitor's work is expected, and how late it may be.
///
/// # Errors
/// [`MonitorError`].
pub fn judge(schedule: &Schedule, grace: Duration) -> Result<(), MonitorError> {
    if *schedule.rhythm() == Rhythm::OnRequest {
        return Err(MonitorError { field: "schedule", problem: "write one such as `every 24h` or `30 2 * * *`" });
    }
    if grace < GRACE.0 || grace > GRACE.1 {
        return Err(MonitorError { field: "grace_ms", problem: "a grace has one minute to one year" });
    }
    Ok(())
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl Monitor {
    /// Returns when its work is expected to have ended next.
    pub fn expected_at(&self) -> Timestamp {
        let from = self.ended.map_or(self.created_at, |(at, _)| at);
        after(&self.schedule, from).unwrap_or(Timestamp::MAX)
    }

    /// Returns the moment from which on its silence is trouble.
    pub fn deadline(&self) -> Timestamp {
        later(self.started_at.unwrap_or_else(|| self.expected_at()), self.grace)
    }

    /// Returns what is wrong with its work; none while nothing is.
    pub fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        match self.ended {
            _ if now >= self.deadline() => Some(Trouble::Overdue),
            Some((_, false)) => Some(Trouble::Failed),
            _ => None,
        }
    }

    /// Returns how it stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match (self.trouble(now), self.started_at, self.ended) {
            (Some(Trouble::Overdue), ..) => Standing::Down,
            (_, Some(_), _) => Standing::Started,
            (Some(Trouble::Failed), ..) => Standing::Down,
            (None, None, None) if now < self.expected_at() => Standing::New,
            (None, None, _) if now < self.expected_at() => Standing::Up,
            (None, None, _) => Standing::Late,
        }
    }

    /// Returns it as it is after a ping. A second start does not move the first one: work that begins again and again, and
    /// never ends, is missed.
    #[must_use]
    pub fn heard(&self, kind: PingKind, at: Timestamp) -> Self {
        let mut next = self.clone();
        match kind {
            PingKind::Success => (next.ended, next.started_at) = (Some((at, true)), None),
            PingKind::Fail => (next.ended, next.started_at) = (Some((at, false)), None),
            PingKind::Start => next.started_at = self.started_at.or(Some(at)),
            PingKind::Log => {}
        }
        next.looked_for(at)
    }

    /// Returns it with the moment at which it is looked at: at once when there is something to tell.
    #[must_use]
    pub fn looked_for(self, now: Timestamp) -> Self {
        let due_at = match self.trouble(now) {
            trouble if trouble != self.told => now,
            None => self.deadline(),
            // What failed and begins again may be missed before it is told again.
            Some(Trouble::Failed) => self.due_at.min(self.deadline()),
            Some(Trouble::Overdue) => self.due_at,
        };
        Self { due_at, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::OverlapKey;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    /// Expected each hour, with ten minutes of grace. `steps` are `MINUTE` (a look), `MINUTE:success` and so on.
    fn check(steps: &str, expected: &str) {
        let schedule = |text: &str| {
            Schedule::new(text.parse().unwrap(), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap()
        };
        let mut monitor = Monitor {
            id: MonitorId::new(at(0), [1; 10]),
            tenant_id: TenantId::new(at(0), [2; 10]),
            name: "nightly".parse().unwrap(),
            schedule: schedule("every 1h"),
            grace: Duration::from_secs(600),
            created_at: at(0),
            retired_at: None,
            ended: None,
            started_at: None,
            told: None,
            due_at: at(0),
            revision: 0,
        };
        let mut words = Vec::new();
        for step in steps.split_whitespace() {
            let (minute, ping) = step.split_once(':').map_or((step, None), |(minute, ping)| (minute, Some(ping)));
            let now = at(minute.parse().unwrap());
            match ping {
                Some(ping) => monitor = monitor.heard(PingKind::from_word(ping).unwrap(), now),
                None => words.push(monitor.standing(now).word()),
            }
        }
        assert_eq!(words.join(" "), expected, "{steps}");
    }

    #[test]
    fn a_monitor_stands_as_it_was_heard() {
        check("0 59 60 69 70", "new new late late down");
        check("5:success 6 64 65 74 75 80:success 80", "up up late late down up");
        check("5:fail 5 20:success 20", "down up");
        check("5:log 5", "new");
        check("5:start 5 14 15 16:success 16", "started started down up");
        check("5:start 12:start 15", "down");
        check("5:fail 6:start 6 7:fail 7", "started down");
    }

    #[test]
    fn the_end_of_a_path_is_read() {
        for (text, expected) in [
            (None, Some((PingKind::Success, None))),
            (Some("start"), Some((PingKind::Start, None))),
            (Some("fail"), Some((PingKind::Fail, None))),
            (Some("0"), Some((PingKind::Success, Some(0)))),
            (Some("3"), Some((PingKind::Fail, Some(3)))),
            (Some("256"), None),
            (Some("-1"), None),
            (Some("done"), None),
            (Some(""), None),
        ] {
            assert_eq!(PingKind::of_path(text), expected, "{text:?}");
        }
    }
}
