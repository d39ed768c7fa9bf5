//! A retention policy: restic's rules as values, read from a line and said in words.

use std::fmt;
use std::str::FromStr;

use jiff::Zoned;

use super::within::Within;

/// How many snapshots a rule keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Count {
    /// The rule is not there.
    #[default]
    None,
    /// At most so many; zero is as good as no rule.
    AtMost(u32),
    /// One of each period for ever.
    All,
}

/// A stretch of the calendar of which a rule keeps the newest snapshot. A week is ISO 8601's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Each hour of a day.
    Hour,
    /// Each day.
    Day,
    /// Each week, from Monday.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
}

/// Which snapshots of a group are kept. The default has no rule and keeps everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// The newest ones.
    pub keep_last: Count,
    /// The newest of each hour.
    pub keep_hourly: Count,
    /// The newest of each day.
    pub keep_daily: Count,
    /// The newest of each week.
    pub keep_weekly: Count,
    /// The newest of each month.
    pub keep_monthly: Count,
    /// The newest of each year.
    pub keep_yearly: Count,
    /// All that are younger than this, counted from the newest.
    pub keep_within: Within,
    /// The newest of each hour of that time; and so on.
    pub keep_within_hourly: Within,
    /// The newest of each day of that time.
    pub keep_within_daily: Within,
    /// The newest of each week of that time.
    pub keep_within_weekly: Within,
    /// The newest of each month of that time.
    pub keep_within_monthly: Within,
    /// The newest of each year of that time.
    pub keep_within_yearly: Within,
    /// All that have each tag of one of these lists; the empty tag means "has no tags".
    pub keep_tags: Vec<Vec<String>>,
    /// Never fewer than these stay, whatever the rules say: good ones first, newest first.
    pub minimum: u32,
}

impl Period {
    /// Returns a number that is the same for two moments exactly when they are of one period, in their own zones.
    pub(super) fn number(self, at: &Zoned) -> i64 {
        let (year, month, day) = (i64::from(at.year()), i64::from(at.month()), i64::from(at.day()));
        match self {
            Self::Hour => ((year * 100 + month) * 100 + day) * 100 + i64::from(at.hour()),
            Self::Day => (year * 100 + month) * 100 + day,
            Self::Week => {
                let week = at.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }
            Self::Month => year * 100 + month,
            Self::Year => year,
        }
    }

    /// Returns the adjective: `hourly`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }
}

impl RetentionPolicy {
    /// Says whether no rule is there; such a policy keeps everything.
    pub fn has_no_rule(&self) -> bool {
        let counts = self.counts();
        counts.iter().all(|(_, count)| matches!(count, Count::None | Count::AtMost(0)))
            && self.withins().iter().all(|(_, within)| within.is_zero())
            && self.keep_within.is_zero()
            && self.keep_tags.is_empty()
    }

    /// Returns the policy in words: `last 3, daily 7, within 2d`, or `keeps everything`.
    pub fn words(&self) -> String {
        let counts = self.counts().into_iter().filter(|(_, count)| !matches!(count, Count::None | Count::AtMost(0)));
        let counts = counts.map(|(period, count)| format!("{} {count}", period.map_or("last", Period::word)));
        let within = (!self.keep_within.is_zero()).then(|| format!("within {}", self.keep_within));
        let withins = self.withins().into_iter().filter(|(_, within)| !within.is_zero());
        let withins = withins.map(|(period, within)| format!("{} within {within}", period.word()));
        let tags = self.keep_tags.iter().map(|tags| format!("tags {}", tags.join(",")));
        let minimum = (self.minimum > 0).then(|| format!("minimum of {}", self.minimum));
        let none = self.has_no_rule().then(|| "keeps everything".to_owned());
        let all: Vec<String> =
            none.into_iter().chain(counts).chain(within).chain(withins).chain(tags).chain(minimum).collect();
        all.join(", ")
    }

    /// Returns the rules that count, in restic's order; no period for the one of the last ones.
    pub(super) fn counts(&self) -> [(Option<Period>, Count); 6] {
        [
            (None, self.keep_last),
            (Some(Period::Hour), self.keep_hourly),
            (Some(Period::Day), self.keep_daily),
            (Some(Period::Week), self.keep_weekly),
            (Some(Period::Month), self.keep_monthly),
            (Some(Period::Year), self.keep_yearly),
        ]
    }

    /// Returns the rules that count a period within a stretch of time.
    pub(super) fn withins(&self) -> [(Period, Within); 5] {
        [
            (Period::Hour, self.keep_within_hourly),
            (Period::Day, self.keep_within_daily),
            (Period::Week, self.keep_within_weekly),
            (Period::Month, self.keep_within_monthly),
            (Period::Year, self.keep_within_yearly),
        ]
    }
}

/// A text that says no count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a count: write a number, or `unlimited`")]
pub struct CountError {
    /// What was given.
    pub text: String,
}

impl FromStr for Count {
    type Err = CountError;

    fn from_str(text: &str) -> Result<Self, CountError> {
        match text {
            // restic's two ways of writing it.
            "unlimited" | "-1" => Ok(Self::All),
            "0" => Ok(Self::None),
            _ => text.parse().map(Self::AtMost).map_err(|_| CountError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "0"),
            Self::AtMost(count) => write!(f, "{count}"),
            Self::All => write!(f, "unlimited"),
        }
    }
}
