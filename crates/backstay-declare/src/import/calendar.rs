//! systemd's calendar (`OnCalendar=`), as a cron expression where it is one.
//!
//! What cron cannot say (seconds, years, days of the week and of the month together) is no expression, and not a near one.

use super::draft::zone_is_known;

/// systemd's words, as cron expressions.
const WORDS: [(&str, &str); 10] = [
    ("minutely", "* * * * *"),
    ("hourly", "0 * * * *"),
    ("daily", "0 0 * * *"),
    ("weekly", "0 0 * * MON"),
    ("monthly", "0 0 1 * *"),
    ("quarterly", "0 0 1 1,4,7,10 *"),
    ("semiannually", "0 0 1 1,7 *"),
    ("biannually", "0 0 1 1,7 *"),
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
];

/// Days of the week as cron names them, Monday first.
const DAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

/// A moment as cron says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Calendar {
    /// Minute, hour, day of the month, month, day of the week.
    pub(super) fields: [String; 5],
    /// The zone that it names; none for the machine's.
    pub(super) zone: Option<String>,
}

impl Calendar {
    /// Returns the cron expression.
    pub(super) fn cron(&self) -> String {
        self.fields.join(" ")
    }
}

/// Reads a calendar expression of systemd; none when cron cannot say it.
pub(super) fn calendar(text: &str) -> Option<Calendar> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let zone = words.last().filter(|_| words.len() > 1).filter(|word| zone_is_known(word)).map(ToString::to_string);
    if zone.is_some() {
        words.pop();
    }
    if let [word] = words[..]
        && let Some((_, cron)) = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))
    {
        let fields: Vec<String> = cron.split(' ').map(str::to_owned).collect();
        return Some(Calendar { fields: fields.try_into().ok()?, zone });
    }
    let week = words.first().filter(|word| word.starts_with(|letter: char| letter.is_ascii_alphabetic()));
    let week = match week {
        Some(word) => Some(days(word)?),
        None => None,
    };
    let (mut date, mut time) = (None, None);
    for word in words.iter().skip(usize::from(week.is_some())) {
        let place = if word.contains(':') { &mut time } else { &mut date };
        if place.replace(*word).is_some() {
            return None;
        }
    }
    if week.is_none() && date.is_none() && time.is_none() {
        return None;
    }
    let (month, day) = date.map_or(Some(("*".to_owned(), "*".to_owned())), month_and_day)?;
    let (hour, minute) = time.map_or(Some(("0".to_owned(), "0".to_owned())), hour_and_minute)?;
    // cron takes either of the two, systemd both.
    if week.is_some() && day != "*" {
        return None;
    }
    Some(Calendar { fields: [minute, hour, day, month, week.unwrap_or_else(|| "*".to_owned())], zone })
}

/// Returns one expression for several that differ in one field alone; none when there is none.
pub(super) fn joined(all: &[Calendar]) -> Option<Calendar> {
    let (first, rest) = all.split_first()?;
    let mut one = first.clone();
    for other in rest {
        let differ: Vec<usize> = (0..5).filter(|at| one.fields[*at] != other.fields[*at]).collect();
        match differ[..] {
            _ if one.zone != other.zone => return None,
            [] => {}
            [at] if one.fields[at] != "*" && other.fields[at] != "*" => {
                one.fields[at] = format!("{},{}", one.fields[at], other.fields[at]);
            }
            _ => return None,
        }
    }
    Some(one)
}

/// Returns days of the week: `Mon..Fri`, `Sat,Sun`, `monday`. Ranges may go over the end of the week.
fn days(text: &str) -> Option<String> {
    let day = |word: &str| {
        let word = word.to_ascii_uppercase();
        let full = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
        (0..7).find(|at| DAYS[*at] == word || full[*at] == word)
    };
    let mut wanted = [false; 7];
    for part in text.split(',') {
        let (from, to) = part.split_once("..").or_else(|| part.split_once('-')).unwrap_or((part, part));
        let (from, to) = (day(from)?, day(to)?);
        let length = (to + 7 - from) % 7;
        (0..=length).for_each(|step| wanted[(from + step) % 7] = true);
    }
    let named: Vec<&str> = DAYS.iter().zip(wanted).filter(|(_, is)| *is).map(|(day, _)| *day).collect();
    Some(if named.len() == 7 { "*".to_owned() } else { named.join(",") })
}

/// Returns month and day of `*-*-1`, `2-1`, `*-1,7-1`.
fn month_and_day(text: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split('-').collect();
    let (month, day) = match parts[..] {
        ["*", month, day] | [month, day] => (month, day),
        _ => return None,
    };
    Some((field(month, 1, 12)?, field(day, 1, 31)?))
}

/// Returns hour and minute of `2:30`, `*:0/15`, `02:30:00`. Seconds are none that cron has.
fn hour_and_minute(text: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute) = match parts[..] {
        [hour, minute] | [hour, minute, "0" | "00"] => (hour, minute),
        _ => return None,
    };
    Some((field(hour, 0, 23)?, field(minute, 0, 59)?))
}

/// Returns a field as cron says it.
fn field(text: &str, least: u8, most: u8) -> Option<String> {
    let number = |text: &str| text.parse::<u8>().ok().filter(|number| (least..=most).contains(number));
    let one = |part: &str| {
        let (part, step) = part.split_once('/').map_or((part, None), |(part, step)| (part, Some(step)));
        let step = match step {
            Some(step) => Some(step.parse::<u8>().ok().filter(|step| *step > 0)?),
            None => None,
        };
        let range = match part.split_once("..") {
            _ if part == "*" => None,
            Some((from, to)) => Some((number(from)?, number(to)?)),
            None => Some((number(part)?, if step.is_some() { most } else { number(part)? })),
        };
        Some(match (range, step) {
            (None, None) => "*".to_owned(),
            (None, Some(step)) => format!("*/{step}"),
            (Some((from, to)), None) if from == to => from.to_string(),
            (Some((from, to)), None) => format!("{from}-{to}"),
            (Some((from, to)), Some(step)) => format!("{from}-{to}/{step}"),
        })
    };
    let parts: Option<Vec<String>> = text.split(',').map(one).collect();
    parts.map(|parts| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let said = calendar(text).map_or("none".to_owned(), |read| {
            format!("{}{}", read.cron(), read.zone.map_or(String::new(), |zone| format!(" {zone}")))
        });
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn a_calendar_is_a_cron_expression_or_none() {
        check("daily", "0 0 * * *");
        check("Weekly", "0 0 * * MON");
        check("02:30", "30 2 * * *");
        check("*-*-* 02:30:00", "30 2 * * *");
        check("*:0/15", "0-59/15 * * * *");
        check("*:00,30", "0,30 * * * *");
        check("00/4:00", "0 0-23/4 * * *");
        check("Mon..Fri 18:15", "15 18 * * MON,TUE,WED,THU,FRI");
        check("Sat..Mon 1:00", "0 1 * * MON,SAT,SUN");
        check("Sun", "0 0 * * SUN");
        check("*-*-1 3:00", "0 3 1 * *");
        check("*-1,7-01..07 3:00", "0 3 1-7 1,7 *");
        check("*-*-1", "0 0 1 * *");
        check("02:30 Europe/Zurich", "30 2 * * * Europe/Zurich");
        check("daily UTC", "0 0 * * * UTC");
    }

    #[test]
    fn what_cron_cannot_say_is_not_nearly_said() {
        for text in [
            "Mon *-*-1 3:00",
            "2027-01-01 3:00",
            "*-*-* 02:30:15",
            "*-*~1 3:00",
            "3:00 4:00",
            "25:00",
            "often",
            "",
            "3:00 Europe/Atlantis",
        ] {
            check(text, "none");
        }
    }

    #[test]
    fn several_moments_are_one_expression_where_they_differ_in_one_thing() {
        let join = |texts: &[&str]| {
            let all: Vec<Calendar> = texts.iter().map(|text| calendar(text).unwrap()).collect();
            joined(&all).map_or("none".to_owned(), |one| one.cron())
        };
        assert_eq!(join(&["*:00,30", "*:15,45"]), "0,30,15,45 * * * *");
        assert_eq!(join(&["2:00", "14:00"]), "0 2,14 * * *");
        assert_eq!(join(&["2:00", "14:30"]), "none");
        assert_eq!(join(&["hourly", "2:00"]), "none");
    }
}
