//! The moments that a cron expression names in a time zone.
//!
//! croner reads the expression and judges days; moments are found here, a day at a time, forward and backward by the same
//! lists. When clocks change, three kinds of expression differ, by their hours alone:
//!
//! ```text
//! hours               the hour that is missing         the hour that comes twice
//! named, such as 1,2  once, right after it             the first time
//! */n                 once, right after it             both times
//! all                 nothing: the next one is near    both times
//! ```

use croner::{Cron, Weekday};
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::{ScheduleError, parse_cron};

/// Years that a search goes: 29 February on a day of the week comes after 28 years, or 40 where a century is no leap year.
const YEARS_MAX: i16 = 41;

/// Hours of a day.
const HOURS: usize = 24;

/// Where a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    cron: Cron,
    hours: Vec<i8>,
    minutes: Vec<i8>,
    zone: TimeZone,
}

impl Moments {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ScheduleError::Cron`].
    pub(super) fn new(expression: &str, zone: TimeZone) -> Result<Self, ScheduleError> {
        let cron = parse_cron(expression)?;
        let hours = (0..24).filter(|hour| cron.pattern.hour_match(*hour as u32).unwrap_or(false)).collect();
        let minutes = (0..60).filter(|minute| cron.pattern.minute_match(*minute as u32).unwrap_or(false)).collect();
        Ok(Self { cron, hours, minutes, zone })
    }

    /// Returns the moments after another, oldest first; it ends where none follows within [`YEARS_MAX`].
    pub(super) fn after(self, from: Timestamp) -> impl Iterator<Item = Timestamp> {
        let first = self.zone.to_datetime(from).date();
        // A moment of yesterday's may be right after a gap, and so today.
        let mut day = Some(first.yesterday().unwrap_or(first));
        let mut last = from;
        let lists = std::iter::from_fn(move || {
            let (named, next) = self.named(day?, Way::Forward)?;
            day = next;
            Some(self.of_day(named, from))
        });
        lists.flatten().filter(move |moment| {
            let is_next = *moment > last;
            last = last.max(*moment);
            is_next
        })
    }

    /// Returns the newest moment that is not after another; none within [`YEARS_MAX`].
    pub(super) fn newest(&self, until: Timestamp) -> Option<Timestamp> {
        let mut day = Some(self.zone.to_datetime(until).date());
        loop {
            let (named, next) = self.named(day?, Way::Backward)?;
            if let Some(found) = self.of_day(named, Timestamp::MIN).into_iter().rev().find(|moment| *moment <= until) {
                return Some(found);
            }
            day = next;
        }
    }

    /// Returns the first day from one on that the expression names, and the day behind it.
    fn named(&self, from: Date, way: Way) -> Option<(Date, Option<Date>)> {
        let named = self.walk(from, way).find(|day| self.is_named(*day))?;
        Some((named, neighbour(named, way)))
    }

    /// Returns the days that a search looks at: each day of a month that is named, and one of any other.
    fn walk(&self, from: Date, way: Way) -> impl Iterator<Item = Date> {
        let step = move |day: &Date| if self.is_named_month(*day) { neighbour(*day, way) } else { edge(*day, way) };
        let is_near = move |day: &Date| (day.year() - from.year()).abs() <= YEARS_MAX;
        std::iter::successors(Some(from), step).take_while(is_near)
    }

    fn is_named_month(&self, day: Date) -> bool {
        self.cron.pattern.month_match(day.month() as u32).unwrap_or(false)
    }

    fn is_named(&self, day: Date) -> bool {
        const WEEK: [Weekday; 7] = [
            Weekday::Sunday,
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
        ];
        let weekday = WEEK[day.weekday().to_sunday_zero_offset() as usize];
        let (year, month) = (i32::from(day.year()), day.month() as u32);
        self.is_named_month(day) && self.cron.pattern.day_match(year, month, day.day() as u32, weekday).unwrap_or(false)
    }

    /// Returns the moments of a day that is named, oldest first. Those of an hour that is over at `from` may be left out.
    fn of_day(&self, day: Date, from: Timestamp) -> Vec<Timestamp> {
        let offset = self.offset_of(day);
        let local = offset.map(|offset| offset.to_datetime(from));
        let is_over = |hour: &i8| local.is_some_and(|local| day.at(*hour, 59, 59, 0) < local);
        let hours = &self.hours[self.hours.partition_point(is_over)..];
        let times = hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| day.at(*hour, *minute, 0, 0)));
        if let Some(offset) = offset {
            return times.filter_map(|time| offset.to_timestamp(time).ok()).collect();
        }
        let mut found: Vec<Timestamp> = times.flat_map(|time| self.instants(time)).flatten().collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns the offset that holds all day; none on a day on which clocks change.
    fn offset_of(&self, day: Date) -> Option<Offset> {
        let midnight = day.to_datetime(jiff::civil::Time::midnight());
        let start = self.zone.to_timestamp(midnight).ok()?;
        let offset = self.zone.to_offset(start);
        let end = offset.to_timestamp(midnight.checked_add(1.day()).ok()?).ok()?;
        let changes = self.zone.following(start).next().is_some_and(|change| change.timestamp() < end);
        (offset.to_datetime(start) == midnight && !changes).then_some(offset)
    }

    /// Returns the instants at which a clock on the wall shows a time, or the one that stands for a time that it never shows.
    fn instants(&self, time: DateTime) -> [Option<Timestamp>; 2] {
        let has_all_hours = self.hours.len() == HOURS;
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(time).ok(), None],
            AmbiguousOffset::Gap { before, .. } if !has_all_hours => [self.behind_gap(time, before), None],
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Fold { before, after } => {
                let again = has_all_hours || self.cron.pattern.hours.from_wildcard;
                [before.to_timestamp(time).ok(), after.to_timestamp(time).ok().filter(|_| again)]
            }
        }
    }

    /// Returns the first moment after the gap in which a time lies; `before` is the offset that held until then.
    fn behind_gap(&self, time: DateTime, before: Offset) -> Option<Timestamp> {
        // By the old offset a time of the gap is at the change or later.
        let past = before.to_timestamp(time).ok()?.checked_add(1.second()).ok()?;
        self.zone.preceding(past).next().map(|change| change.timestamp())
    }
}

/// Returns the day beside a day.
fn neighbour(day: Date, way: Way) -> Option<Date> {
    match way {
        Way::Forward => day.tomorrow().ok(),
        Way::Backward => day.yesterday().ok(),
    }
}

/// Returns the nearest day of the month beside a day's month.
fn edge(day: Date, way: Way) -> Option<Date> {
    match way {
        Way::Forward => neighbour(day.last_of_month(), way),
        Way::Backward => neighbour(day.first_of_month(), way),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(text: &str, zone: &str) -> Moments {
        Moments::new(text, TimeZone::get(zone).unwrap()).unwrap()
    }

    /// The moments of a night, local and with their offsets; forward, and the same ones backward.
    fn check(text: &str, zone: &str, night: &str, expected: &str) {
        let cron = moments(text, zone);
        let day: Date = night.parse().unwrap();
        let bound = |day: Date| day.at(12, 0, 0, 0).to_zoned(cron.zone.clone()).unwrap().timestamp();
        let (from, until) = (bound(day.yesterday().unwrap()), bound(day));
        let forward: Vec<Timestamp> = cron.clone().after(from).take_while(|found| *found <= until).collect();
        let earlier = |found: &Timestamp| cron.newest(found.checked_sub(1.microsecond()).unwrap());
        let backward = std::iter::successors(cron.newest(until), earlier).take_while(|found| *found > from);
        let mut backward: Vec<Timestamp> = backward.collect();
        backward.reverse();
        assert_eq!(forward, backward, "{text} {zone}");
        let shown = forward.iter().map(|found| found.to_zoned(cron.zone.clone()).strftime("%H:%M%:z").to_string());
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{text} {zone} {night}");
    }

    #[test]
    fn no_named_hour_is_lost_when_one_is_missing() {
        for (zone, night, before, after) in [
            ("Europe/Zurich", "2026-03-29", "+01:00", "+02:00"),
            ("America/New_York", "2026-03-08", "-05:00", "-04:00"),
        ] {
            check("30 1,2 * * *", zone, night, &format!("01:30{before} 03:00{after}"));
            check("30 2 * * *", zone, night, &format!("03:00{after}"));
            check("0,30 2,3 * * *", zone, night, &format!("03:00{after} 03:30{after}"));
            check("*/20 2 * * *", zone, night, &format!("03:00{after}"));
            check("30 2-4/2 * * *", zone, night, &format!("03:00{after} 04:30{after}"));
        }
        check(
            "30 */2 * * *",
            "Europe/Zurich",
            "2026-03-29",
            "12:30+01:00 14:30+01:00 16:30+01:00 18:30+01:00 20:30+01:00 22:30+01:00 00:30+01:00 03:00+02:00 \
             04:30+02:00 06:30+02:00 08:30+02:00 10:30+02:00",
        );
        // Midnight itself is missing, and half an hour of Lord Howe's.
        check("30 0 * * *", "America/Santiago", "2026-09-06", "01:00-03:00");
        check("0 0,1 * * *", "America/Santiago", "2026-09-06", "01:00-03:00");
        check("15 1,2 * * *", "Australia/Lord_Howe", "2026-10-04", "01:15+10:30 02:30+11:00");
    }

    #[test]
    fn a_named_hour_that_comes_twice_counts_once() {
        check("30 1,2 * * *", "Europe/Zurich", "2026-10-25", "01:30+02:00 02:30+02:00");
        check("30 1,2 * * *", "America/New_York", "2026-11-01", "01:30-04:00 02:30-05:00");
        check("*/20 2 * * *", "Europe/Zurich", "2026-10-25", "02:00+02:00 02:20+02:00 02:40+02:00");
        check("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", "01:45+11:00");
        check("30 23 * * *", "America/Santiago", "2026-04-05", "23:30-03:00");
    }

    /// What follows the clock's hours does so in both halves, and in the missing hour there is nothing to follow.
    #[test]
    fn all_hours_follow_the_clock() {
        let shown = |night: &str, from: &str, count: usize| -> String {
            let cron = moments("30 * * * *", "Europe/Zurich");
            let zone = cron.zone.clone();
            let from: Timestamp = format!("{night}T{from}Z").parse().unwrap();
            let found = cron.after(from).take(count);
            found.map(|found| found.to_zoned(zone.clone()).strftime("%H:%M ").to_string()).collect()
        };
        assert_eq!(shown("2026-03-29", "00:00:00", 3), "01:30 03:30 04:30 ");
        assert_eq!(shown("2026-10-24", "23:00:00", 4), "01:30 02:30 02:30 03:30 ");
    }

    /// Red when a search looks at each day of each month, or never ends. The days that it looks at are counted.
    #[test]
    fn a_sparse_expression_costs_little() {
        let looked = |text: &str, from: &str, way: Way| {
            let cron = moments(text, "UTC");
            let mut days = 0;
            let found = cron.walk(from.parse().unwrap(), way).inspect(|_| days += 1).find(|day| cron.is_named(*day));
            (found.map_or("none".to_owned(), |day| day.to_string()), days)
        };
        let (found, days) = looked("0 0 29 2 *", "2026-03-01", Way::Forward);
        assert!(found == "2028-02-29" && days < 100, "{found} after {days}");
        let (found, days) = looked("0 0 29 2 *", "2026-03-01", Way::Backward);
        assert!(found == "2024-02-29" && days < 150, "{found} after {days}");
        let (found, days) = looked("@yearly", "2026-01-02", Way::Forward);
        assert!(found == "2027-01-01" && days < 50, "{found} after {days}");
        // A century that is no leap year, and a day that never comes.
        let (found, _) = looked("0 0 29 2 *", "2096-03-01", Way::Forward);
        assert_eq!(found, "2104-02-29");
        let (found, days) = looked("0 0 30 2 *", "2026-01-01", Way::Forward);
        assert!(found == "none" && days < 2_000, "{found} after {days}");
        let next: Vec<String> = moments("0 0 29 2 *", "Europe/Zurich")
            .after("2026-03-01T00:00:00Z".parse().unwrap())
            .take(3)
            .map(|found| found.to_string())
            .collect();
        assert_eq!(next, ["2028-02-28T23:00:00Z", "2032-02-28T23:00:00Z", "2036-02-28T23:00:00Z"]);
        assert_eq!(moments("0 0 30 2 *", "UTC").newest(Timestamp::UNIX_EPOCH), None);
        assert_eq!(moments("0 0 1 1 *", "UTC").after(Timestamp::MAX).next(), None);
    }
}
