//! A stretch of the calendar that ends at the newest snapshot, as restic writes it: `2y5m7d3h`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, Zoned};

/// A stretch of years, months, days and hours. Zero is as good as no rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Within {
    /// Years of the calendar.
    pub years: u16,
    /// Months of the calendar.
    pub months: u16,
    /// Days of the calendar.
    pub days: u16,
    /// Hours of 60 minutes.
    pub hours: u16,
}

/// A text that is no stretch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a stretch of time: write years, months, days and hours as in 2y5m7d3h")]
pub struct WithinError {
    /// What was given.
    pub text: String,
}

impl Within {
    /// Says whether it has no length.
    pub const fn is_zero(self) -> bool {
        matches!(self, Self { years: 0, months: 0, days: 0, hours: 0 })
    }

    /// Returns the moment that lies this far before `end`, on the calendar of its zone. A day that the earlier month
    /// does not have runs over into the next one, as restic's does: a month before 31 March is 3 March.
    pub fn before(self, end: &Zoned) -> Timestamp {
        let months = i64::from(end.year()) * 12 + i64::from(end.month() - 1)
            - i64::from(self.years) * 12
            - i64::from(self.months);
        let first = i16::try_from(months.div_euclid(12))
            .ok()
            .and_then(|year| Date::new(year, months.rem_euclid(12) as i8 + 1, 1).ok());
        let day = i32::from(end.day()) - 1 - i32::from(self.days);
        first
            .and_then(|first| first.checked_add(jiff::Span::new().days(day)).ok())
            .and_then(|date| date.to_datetime(end.time()).to_zoned(end.time_zone().clone()).ok())
            .and_then(|zoned| zoned.timestamp().checked_sub(SignedDuration::from_hours(i64::from(self.hours))).ok())
            .unwrap_or(Timestamp::MIN)
    }
}

impl FromStr for Within {
    type Err = WithinError;

    fn from_str(text: &str) -> Result<Self, WithinError> {
        let refuse = || WithinError { text: text.to_owned() };
        let mut within = Self::default();
        let mut seen = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
            let number: u16 = rest[..end].parse().map_err(|_| refuse())?;
            let unit = rest[end..].chars().next().ok_or_else(refuse)?;
            if seen.contains(unit) {
                return Err(refuse());
            }
            seen.push(unit);
            match unit {
                'y' => within.years = number,
                'm' => within.months = number,
                'd' => within.days = number,
                'h' => within.hours = number,
                _ => return Err(refuse()),
            }
            rest = &rest[end + 1..];
        }
        if seen.is_empty() { Err(refuse()) } else { Ok(within) }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, unit) in [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        if self.is_zero() { write!(f, "0h") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, end: &str, expected: &str) {
        let end: Zoned = end.parse().unwrap();
        let answer = text.parse::<Within>().map_or_else(
            |error| error.to_string(),
            |within| within.before(&end).to_zoned(end.time_zone().clone()).datetime().to_string(),
        );
        assert!(answer.starts_with(expected), "{text} before {end}: {answer}");
    }

    #[test]
    fn a_stretch_is_read_on_the_calendar() {
        let noon = "2026-03-31T12:00:00+02:00[Europe/Zurich]";
        check("1h", noon, "2026-03-31T11:00:00");
        check("2d", noon, "2026-03-29T12:00:00");
        check("2d36h", noon, "2026-03-27T23:00:00");
        check("1m", noon, "2026-03-03T12:00:00");
        check("1y2m", noon, "2025-01-31T12:00:00");
        check("3m31d", noon, "2025-11-30T12:00:00");
        check("20000y", noon, "-009999-01-02");
        check("7w", noon, "`7w` is not a stretch of time");
        check("7", noon, "`7` is not a stretch");
        check("1d2d", noon, "`1d2d` is not a stretch");
        check("", noon, "`` is not a stretch");
        check("70000d", noon, "`70000d` is not");
    }

    #[test]
    fn a_stretch_is_written_as_it_is_read() {
        for text in ["2y5m7d3h", "14d", "1y", "0h"] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), text);
        }
    }
}
