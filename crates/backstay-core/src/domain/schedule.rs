//! When a plan's items are backed up.
//!
//! A schedule is data here, judged when it is made; `due` joins it with the scheduler.

use std::time::Duration;

use croner::Cron;
use jiff::tz::TimeZone;

/// Shortest interval between two occurrences: a backup a minute is a loop, not a schedule.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlapKey {
    /// The same plan's.
    Plan,
    /// Every plan's of the same tenant.
    Tenant,
}

/// A schedule that can be evaluated: its parts were judged when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rhythm: Rhythm,
    time_zone: String,
    jitter: Duration,
    overlap: OverlapKey,
}

/// Why a schedule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too short an interval.
    #[error("schedule.every is {given:?}; the shortest interval is {INTERVAL_MIN:?}")]
    Interval {
        /// What was given.
        given: Duration,
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
        match &rhythm {
            Rhythm::Every(given) if *given < INTERVAL_MIN => return Err(ScheduleError::Interval { given: *given }),
            Rhythm::Cron(expression) => {
                expression.parse::<Cron>().map_err(|error| ScheduleError::Cron {
                    expression: expression.clone(),
                    reason: error.to_string(),
                })?;
            }
            Rhythm::Every(_) | Rhythm::OnRequest => {}
        }
        if TimeZone::get(&time_zone).is_err() {
            return Err(ScheduleError::TimeZone { zone: time_zone });
        }
        Ok(Self { rhythm, time_zone, jitter, overlap })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rhythm: Rhythm, zone: &str, expected: &str) {
        let answer = Schedule::new(rhythm, zone.to_owned(), Duration::ZERO, OverlapKey::Plan)
            .map_or_else(|error| error.to_string(), |schedule| format!("{:?}", schedule.rhythm()));
        assert!(answer.starts_with(expected), "{answer}");
    }

    #[test]
    fn a_schedule_is_judged_when_it_is_made() {
        check(Rhythm::OnRequest, "UTC", "OnRequest");
        check(Rhythm::Cron("30 2 * * *".to_owned()), "Europe/Zurich", "Cron");
        check(Rhythm::Cron("61 2 * * *".to_owned()), "UTC", "schedule.cron `61 2 * * *` cannot be read");
        check(Rhythm::Every(Duration::from_secs(59)), "UTC", "schedule.every is 59s");
        check(Rhythm::OnRequest, "Mars/Base", "schedule.time_zone `Mars/Base` is not in the tz database");
    }
}
