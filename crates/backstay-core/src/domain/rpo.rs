//! How old the newest good snapshot of an item is, when that is too old, and what is to be expected.
//!
//! Judged from snapshots that exist and from confirmations, never from jobs that failed or succeeded. A snapshot dated
//! in the future proves nothing. A partial one counts only when the plan accepts each path that was not read.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::job::Outcome;
use super::plan::breach_at;
use super::unread::Unread;

/// Durations that an estimate looks at: the newest ones; older ones tell of another amount of data.
pub const DURATIONS_MAX: usize = 20;

/// What a job is taken to need while nothing is known of its like: long enough to be told in time.
pub const DURATION_UNKNOWN: Duration = Duration::from_secs(3_600);

/// Says whether a snapshot counts for the RPO: all was read, or each path that was not is accepted by a pattern.
///
/// In a pattern `*` stands for anything within one folder's name, `**` for anything, `?` for one letter. Names beyond
/// those that are kept count as not accepted.
pub fn counts(outcome: Outcome, unread: &Unread, accept_unread: &[String]) -> bool {
    match outcome {
        Outcome::Complete | Outcome::Unchanged => true,
        Outcome::Partial => {
            let named = unread.count > 0 && unread.count == unread.entries.len() as u64;
            let accepted =
                |path: &str| accept_unread.iter().any(|pattern| matches(pattern.as_bytes(), path.as_bytes()));
            named && unread.entries.iter().all(|entry| accepted(&entry.path))
        }
    }
}

/// Says whether a path is what a pattern describes. A byte of the path costs no more than the pattern is long, whatever
/// stands in it: tenants write patterns.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let length = pattern.len();
    // Places in the pattern up to which the path so far is described.
    let mut places = vec![false; length + 1];
    reach(pattern, &mut places, 0);
    for byte in path {
        let mut next = vec![false; length + 1];
        for place in (0..length).filter(|place| places[*place]) {
            match &pattern[place..] {
                [b'*', b'*', ..] => reach(pattern, &mut next, place),
                [b'*', ..] if *byte != b'/' => reach(pattern, &mut next, place),
                [b'*', ..] => {}
                [b'?', ..] if *byte != b'/' => reach(pattern, &mut next, place + 1),
                [wanted, ..] if wanted == byte => reach(pattern, &mut next, place + 1),
                _ => {}
            }
        }
        places = next;
    }
    places[length]
}

/// Marks a place in a pattern, and those behind it that are reached by stars that stand for nothing.
fn reach(pattern: &[u8], places: &mut [bool], mut place: usize) {
    while !std::mem::replace(&mut places[place], true) {
        place += match &pattern[place..] {
            [b'*', b'*', ..] => 2,
            [b'*', ..] => 1,
            _ => return,
        };
    }
}

/// An item's newest proof and when it is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// When the newest good snapshot was taken or confirmed; none when there is none.
    pub newest_at: Option<Timestamp>,
    /// When it is too old.
    pub breach_at: Timestamp,
}

/// Returns an item's age from the moments that its good snapshots prove ([`Snapshot::proved_at`]).
///
/// [`Snapshot::proved_at`]: super::snapshot::Snapshot::proved_at
pub fn age(rpo: Duration, plan_began_at: Timestamp, good: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> Age {
    let newest_at = good.into_iter().filter(|at| *at <= now).max();
    Age { newest_at, breach_at: breach_at(rpo, newest_at, plan_began_at) }
}

impl Age {
    /// Returns for how long the item has been overdue; none while it is not.
    pub fn overdue_by(&self, now: Timestamp) -> Option<Duration> {
        (now >= self.breach_at)
            .then(|| Duration::try_from(now.duration_since(self.breach_at)).unwrap_or(Duration::ZERO))
    }

    /// Returns how long it is until the breach; zero when the item is overdue.
    pub fn time_to_breach(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.breach_at.duration_since(now)).unwrap_or(Duration::ZERO)
    }
}

/// Returns what a job is expected to need: the 90th percentile (nearest rank) of the newest durations, given oldest
/// first; [`DURATION_UNKNOWN`] when there are none.
pub fn expected_duration(durations: &[Duration]) -> Duration {
    let mut newest = durations[durations.len().saturating_sub(DURATIONS_MAX)..].to_vec();
    newest.sort_unstable();
    let rank = (newest.len() * 9).div_ceil(10);
    rank.checked_sub(1).map_or(DURATION_UNKNOWN, |place| newest[place])
}

/// Returns how long a job usually takes: the middle one of its newest durations; none when there are none.
pub fn usual_duration(durations: &[Duration]) -> Option<Duration> {
    let mut newest = durations.to_vec();
    newest.sort_unstable();
    newest.get(newest.len() / 2).copied()
}

/// What is to be expected of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    /// Its next backup ends before the breach.
    Safe,
    /// It breaches unless a backup starts earlier than it is expected to.
    Threatened {
        /// When it breaches.
        breach_at: Timestamp,
        /// When an agent must be free at the latest.
        start_by: Timestamp,
    },
    /// It breaches even when a backup starts now.
    Unavoidable {
        /// When it breaches.
        breach_at: Timestamp,
    },
    /// It has breached.
    Overdue {
        /// When it did.
        breach_at: Timestamp,
    },
}

/// Returns what is to be expected, when its next backup is expected to start at `starts_at` (none when nobody knows)
/// and to need `expected`.
pub fn forecast(age: Age, starts_at: Option<Timestamp>, expected: Duration, now: Timestamp) -> Forecast {
    let breach_at = age.breach_at;
    let start_by = breach_at.saturating_sub(expected).unwrap_or(Timestamp::MIN);
    if age.overdue_by(now).is_some() {
        Forecast::Overdue { breach_at }
    } else if start_by < now {
        Forecast::Unavoidable { breach_at }
    } else if starts_at.is_some_and(|starts_at| starts_at <= start_by) {
        Forecast::Safe
    } else {
        Forecast::Threatened { breach_at, start_by }
    }
}

impl Forecast {
    /// Returns the forecast in words, its moments in a zone: `will breach at 14:20 unless an agent is free by 13:50`.
    pub fn words(&self, zone: &TimeZone, now: Timestamp) -> String {
        let today = now.to_zoned(zone.clone()).date();
        let show = |at: Timestamp| {
            let at = at.to_zoned(zone.clone());
            at.strftime(if at.date() == today { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string()
        };
        match self {
            Self::Safe => "its next backup is expected to end in time".to_owned(),
            Self::Threatened { breach_at, start_by } => {
                format!("will breach at {} unless an agent is free by {}", show(*breach_at), show(*start_by))
            }
            Self::Unavoidable { breach_at } => format!("will breach at {} whatever starts now", show(*breach_at)),
            Self::Overdue { breach_at } => format!("overdue since {}", show(*breach_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-06-10T{text}:00Z").parse().unwrap()
    }

    fn check_pattern(pattern: &str, path: &str, expected: bool) {
        assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
    }

    #[test]
    fn patterns_of_paths() {
        check_pattern("/home/*/.cache/**", "/home/ann/.cache/a/b", true);
        check_pattern("/home/*/.cache/**", "/home/ann/bob/.cache/a", false);
        check_pattern("**/*.lock", "/a/b/c.lock", true);
        check_pattern("**/*.lock", "/a/b/c.lock/d", false);
        check_pattern("/a?c", "/abc", true);
        check_pattern("/a?c", "/a/c", false);
        check_pattern("/a", "/a/b", false);
        check_pattern("", "/a", false);
        check_pattern("/**", "/a/b", true);
        check_pattern("/a*", "/a", true);
        check_pattern("/***", "/a/b", true);
        // Would take longer than the world stands if each star were tried by itself.
        check_pattern(&"**a".repeat(80), &"a".repeat(4_000), true);
        check_pattern(&("**a".repeat(80) + "b"), &"a".repeat(4_000), false);
    }

    #[test]
    fn a_partial_snapshot_counts_only_when_each_unread_path_is_accepted() {
        let mut unread = Unread::default();
        unread.push("/tmp/a.sock".to_owned(), "busy".to_owned());
        let accept = ["/tmp/**".to_owned()];
        assert!(counts(Outcome::Complete, &unread, &[]) && counts(Outcome::Unchanged, &unread, &[]));
        assert!(counts(Outcome::Partial, &unread, &accept) && !counts(Outcome::Partial, &unread, &[]));
        unread.push("/home/letter".to_owned(), "denied".to_owned());
        assert!(!counts(Outcome::Partial, &unread, &accept));
        // Partial, and nothing named: it is not known what is missing.
        assert!(!counts(Outcome::Partial, &Unread::default(), &accept));
        let unnamed = Unread { count: 2, entries: unread.entries[..1].to_vec() };
        assert!(!counts(Outcome::Partial, &unnamed, &accept));
    }

    fn check(good: &str, now: &str, expected: &str) {
        let good = good.split_whitespace().map(at);
        let age = age(Duration::from_secs(3 * 3_600), at("00:00"), good, at(now));
        let breach = age.breach_at.strftime("%H:%M");
        let answer = age
            .overdue_by(at(now))
            .map_or(format!("breach {breach}"), |by| format!("overdue by {}m", by.as_secs() / 60));
        assert_eq!(answer, expected, "now {now}");
    }

    #[test]
    fn overdue_comes_from_snapshots_that_exist() {
        check("", "02:59", "breach 03:00");
        check("", "03:00", "overdue by 0m");
        check("01:00 05:00 04:00", "06:00", "breach 08:00");
        check("01:00", "06:00", "overdue by 120m");
        check("01:00 23:00", "06:00", "overdue by 120m");
    }

    fn check_expected(minutes: &[u64], expected: u64) {
        let durations: Vec<Duration> = minutes.iter().map(|minutes| Duration::from_secs(minutes * 60)).collect();
        assert_eq!(expected_duration(&durations), Duration::from_secs(expected * 60), "{minutes:?}");
    }

    #[test]
    fn nine_of_ten_took_no_longer() {
        check_expected(&[], 60);
        check_expected(&[7], 7);
        check_expected(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 90], 9);
        check_expected(&[90, 1], 90);
        let forgotten: Vec<u64> = [500; 30].into_iter().chain([5; DURATIONS_MAX]).collect();
        check_expected(&forgotten, 5);
    }

    fn check_forecast(starts: Option<&str>, now: &str, expected: &str) {
        let age = Age { newest_at: None, breach_at: at("14:20") };
        let zone = TimeZone::UTC;
        let answer = forecast(age, starts.map(at), Duration::from_secs(1_800), at(now)).words(&zone, at(now));
        assert_eq!(answer, expected);
    }

    #[test]
    fn what_is_to_be_expected() {
        check_forecast(Some("13:50"), "12:00", "its next backup is expected to end in time");
        check_forecast(Some("13:51"), "12:00", "will breach at 14:20 unless an agent is free by 13:50");
        check_forecast(None, "12:00", "will breach at 14:20 unless an agent is free by 13:50");
        check_forecast(Some("13:51"), "13:51", "will breach at 14:20 whatever starts now");
        check_forecast(Some("13:51"), "14:20", "overdue since 14:20");
    }

    proptest! {
        #[test]
        fn a_safe_item_ends_in_time_and_what_is_named_would_help(breach in 0i64..5_000, starts in 0i64..5_000, needs in 0i64..5_000, now in 0i64..5_000) {
            let second = |second| Timestamp::from_second(second).unwrap();
            let age = Age { newest_at: None, breach_at: second(breach) };
            let expected = Duration::from_secs(needs as u64);
            let starts = starts.max(now);
            match forecast(age, Some(second(starts)), expected, second(now)) {
                Forecast::Safe => prop_assert!(starts + needs <= breach),
                Forecast::Threatened { start_by, .. } => {
                    prop_assert!(starts + needs > breach && start_by >= second(now));
                    prop_assert_eq!(forecast(age, Some(start_by), expected, second(now)), Forecast::Safe);
                }
                Forecast::Unavoidable { .. } => prop_assert!(now + needs > breach && now < breach),
                Forecast::Overdue { .. } => prop_assert!(now >= breach),
            }
        }
    }
}
