//! When a plan's items are backed up.
//!
//! A schedule is judged when it is made; then [`due`] says what is to start now and [`next`] what will. An occurrence is
//! named by its planned instant alone, whatever the clock that saw it: a unique key on (plan, planned instant) makes it
//! once. Jitter moves the start, never the name.

mod cron;
mod due;
mod state;
mod window;

use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

pub use due::{
    CLOCK_JUMP_MIN, ClockJump, Due, MISSED_COUNTED_MAX, Occurrence, Pause, Planned, Skip, after, clock_jump,
    delay_words, due, jitter_of, nearer, next, next_due_at, upcoming,
};
pub use state::{HELD_LOOK_MAX, ScheduleState};
pub use window::{Calendar, Held, Maintenance};

/// Shortest interval between two occurrences: a backup a minute is a loop, not a schedule.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);

/// Longest interval: ten years. Longer ones are mistakes, and could not be counted in microseconds.
pub const INTERVAL_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// What names the occurrences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// None: jobs exist by request only.
    OnRequest,
    /// One every so often, counted from the epoch of the plan.
    Every(Duration),
    /// A cron expression of five fields, evaluated in the schedule's time zone.
    Cron(String),
}

/// Which running jobs an occurrence must not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverlapKey {
    /// The same plan's.
    Plan,
    /// Every plan's of the same tenant that says so: of all their backups, one runs at a time.
    Tenant,
}

super::job::words!(OverlapKey: Plan = "plan", Tenant = "tenant");

/// What becomes of an occurrence whose start window passed while nothing could start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CatchUp {
    /// The newest of them is started once, marked late.
    Once,
    /// It is skipped and told.
    Never,
}

super::job::words!(CatchUp: Once = "once", Never = "never");

/// Start window of a schedule that names none: an hour holds a restart of the installation and a queue.
pub const START_WINDOW_DEFAULT: Duration = Duration::from_secs(3_600);

/// A schedule that can be evaluated: its parts were judged when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rhythm: Rhythm,
    time_zone: String,
    jitter: Duration,
    overlap: OverlapKey,
    start_window: Duration,
    catch_up: CatchUp,
}

/// Why a schedule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too short or too long an interval.
    #[error("schedule.every is {given:?}; the shortest interval is {INTERVAL_MIN:?}, the longest {INTERVAL_MAX:?}")]
    Interval {
        /// What was given.
        given: Duration,
    },
    /// A text that is no length of time.
    #[error("schedule.every `{given}` is not a length of time; write one such as 6h, 90m or 1d12h")]
    Every {
        /// What was given.
        given: String,
    },
    /// An expression that cron does not know.
    #[error("schedule.cron `{expression}` cannot be read: {reason}")]
    Cron {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A time zone that the tz database does not know.
    #[error("schedule.time_zone `{zone}` is not in the tz database; write a name such as Europe/Zurich or UTC")]
    TimeZone {
        /// What was given.
        zone: String,
    },
}

impl Schedule {
    /// Returns the schedule of a plan whose jobs exist by request only.
    pub fn on_request() -> Self {
        Self {
            rhythm: Rhythm::OnRequest,
            time_zone: "UTC".to_owned(),
            jitter: Duration::ZERO,
            overlap: OverlapKey::Plan,
            start_window: START_WINDOW_DEFAULT,
            catch_up: CatchUp::Once,
        }
    }

    /// Judges the parts of a schedule.
    ///
    /// # Errors
    /// Says which part is wrong, by its name on the wire.
    pub fn new(
        rhythm: Rhythm,
        time_zone: String,
        jitter: Duration,
        overlap: OverlapKey,
    ) -> Result<Self, ScheduleError> {
        if TimeZone::get(&time_zone).is_err() {
            return Err(ScheduleError::TimeZone { zone: time_zone });
        }
        Self::kept(rhythm, time_zone, jitter, overlap)
    }

    /// As [`Self::new`], of one that was judged before and kept. This machine's tz database may have lost a name since:
    /// then the rhythm is read in UTC, for a backup at another hour is better than none.
    ///
    /// # Errors
    /// Those of [`Self::new`] about the rhythm.
    pub fn kept(
        rhythm: Rhythm,
        time_zone: String,
        jitter: Duration,
        overlap: OverlapKey,
    ) -> Result<Self, ScheduleError> {
        match &rhythm {
            Rhythm::Every(given) if !(INTERVAL_MIN..=INTERVAL_MAX).contains(given) => {
                return Err(ScheduleError::Interval { given: *given });
            }
            Rhythm::Cron(expression) => {
                parse_cron(expression)?;
            }
            Rhythm::Every(_) | Rhythm::OnRequest => {}
        }
        Ok(Self { rhythm, time_zone, jitter, overlap, ..Self::on_request() })
    }

    /// Returns the same schedule with another start window.
    pub fn with_start_window(self, start_window: Duration) -> Self {
        Self { start_window, ..self }
    }

    /// Returns the same schedule with another rule for what was missed.
    pub fn with_catch_up(self, catch_up: CatchUp) -> Self {
        Self { catch_up, ..self }
    }

    /// Returns how long after its moment an occurrence may still start on time.
    pub fn start_window(&self) -> Duration {
        self.start_window
    }

    /// Returns what becomes of an occurrence that could not start in its window.
    pub fn catch_up(&self) -> CatchUp {
        self.catch_up
    }

    /// Returns what names the occurrences.
    pub fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    /// Returns the IANA name of the time zone in which the rhythm is read.
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Returns the longest delay that an occurrence gets to spread the load.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// Returns which running jobs an occurrence must not overlap.
    pub fn overlap(&self) -> OverlapKey {
        self.overlap
    }
}

/// Reads a cron expression of five fields or a nickname such as `@daily`.
fn parse_cron(expression: &str) -> Result<Cron, ScheduleError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser
        .parse(expression)
        .map_err(|error| ScheduleError::Cron { expression: expression.to_owned(), reason: error.to_string() })
}

impl Rhythm {
    /// Returns the line that [`Rhythm::from_str`] reads: of an interval in its largest whole unit up to hours.
    pub fn words(&self) -> String {
        match self {
            Self::OnRequest => String::new(),
            Self::Cron(expression) => expression.clone(),
            Self::Every(interval) => match interval.as_secs() {
                seconds if seconds.is_multiple_of(3_600) => format!("every {}h", seconds / 3_600),
                seconds if seconds.is_multiple_of(60) => format!("every {}m", seconds / 60),
                seconds => format!("every {seconds}s"),
            },
        }
    }
}

impl FromStr for Rhythm {
    type Err = ScheduleError;

    /// Reads `every 6h`, `@every 90m`, a cron expression or its nickname; an empty text is on request.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::OnRequest);
        }
        let Some(interval) = text.strip_prefix("@every ").or_else(|| text.strip_prefix("every ")) else {
            parse_cron(text)?;
            return Ok(Self::Cron(text.to_owned()));
        };
        let span: jiff::Span =
            interval.trim().parse().map_err(|_| ScheduleError::Every { given: interval.trim().to_owned() })?;
        // An interval knows no calendar: its day has 24 hours in every zone.
        let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
        let length = length.ok().and_then(|length| Duration::try_from(length).ok());
        let given = length.ok_or_else(|| ScheduleError::Every { given: interval.trim().to_owned() })?;
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&given) {
            return Err(ScheduleError::Interval { given });
        }
        Ok(Self::Every(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rhythm: Rhythm, zone: &str, expected: &str) {
        let answer = Schedule::new(rhythm, zone.to_owned(), Duration::ZERO, OverlapKey::Plan)
            .map_or_else(|error| error.to_string(), |schedule| format!("{:?}", schedule.rhythm()));
        assert!(answer.starts_with(expected), "{answer}");
    }

    fn read(text: &str, expected: &str) {
        let answer = text.parse::<Rhythm>().map_or_else(|error| error.to_string(), |rhythm| format!("{rhythm:?}"));
        assert!(answer.starts_with(expected), "{text}: {answer}");
    }

    #[test]
    fn a_rhythm_is_read_from_a_line() {
        read("", "OnRequest");
        read("30 2 * * *", "Cron(\"30 2 * * *\")");
        read("@daily", "Cron(\"@daily\")");
        read("every 6h", "Every(21600s)");
        read("@every 1d12h", "Every(129600s)");
        for (text, words) in [("every 1d12h", "every 36h"), ("@every 90m", "every 90m"), ("@daily", "@daily")] {
            let rhythm: Rhythm = text.parse().unwrap();
            assert_eq!((rhythm.words().as_str(), rhythm.words().parse()), (words, Ok(rhythm)));
        }
        read("every 30s", "schedule.every is 30s");
        read("every 1000000h", "schedule.every is 3600000000s");
        read("every moon", "schedule.every `moon` is not a length");
        read("every 1mo", "schedule.every `1mo` is not a length");
        read("0 0 30 2 * *", "schedule.cron `0 0 30 2 * *` cannot be read");
        read("@fortnightly", "schedule.cron `@fortnightly` cannot be read");
    }

    #[test]
    fn a_schedule_is_judged_when_it_is_made() {
        check(Rhythm::OnRequest, "UTC", "OnRequest");
        // In microseconds it is zero in 64 bits, and a division by it would end the scheduler.
        check(Rhythm::Every(Duration::from_millis(1 << 61)), "UTC", "schedule.every is");
        check(Rhythm::Cron("30 2 * * *".to_owned()), "Europe/Zurich", "Cron");
        check(Rhythm::Cron("61 2 * * *".to_owned()), "UTC", "schedule.cron `61 2 * * *` cannot be read");
        check(Rhythm::Every(Duration::from_secs(59)), "UTC", "schedule.every is 59s");
        check(Rhythm::OnRequest, "Mars/Base", "schedule.time_zone `Mars/Base` is not in the tz database");
    }
}
