//! Sizes, counts, durations, instants and foreign text as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Returns a size in binary units, three digits.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match (unit, size) {
        (0, _) => format!("{bytes} B"),
        (_, size) if size < 9.995 => format!("{size:.2} {}", UNITS[unit]),
        (_, size) if size < 99.95 => format!("{size:.1} {}", UNITS[unit]),
        _ => format!("{size:.0} {}", UNITS[unit]),
    }
}

/// Returns a count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns a duration in its two largest units.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Returns an instant of the wire in the machine's time zone, to the second.
pub(crate) fn instant(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Returns a text of foreign origin, such as a file's name, with what a terminal would obey written as escapes: control
/// characters, line separators, and format characters that hide letters or turn them around.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                out.extend(letter.escape_unicode());
            }
            letter if letter.is_control() => out.extend(letter.escape_default()),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(shown("a\x1b]0;pwn\x07\nProved\r\t\u{9b}2J"), "a\\u{1b}]0;pwn\\u{7}\\nProved\\r\\t\\u{9b}2J");
        assert_eq!(
            shown("a\u{202e}cod\u{2066}\u{200b}\u{feff}\u{2028}"),
            "a\\u{202e}cod\\u{2066}\\u{200b}\\u{feff}\\u{2028}"
        );
        assert_eq!(shown("Übung 日本 \\n 'x' \u{fffd}"), "Übung 日本 \\n 'x' \u{fffd}");
    }

    #[test]
    fn figures_are_short() {
        let sizes = [0, 999, 1_000, 1_048_576, 2_530_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "0.98 KiB", "1.00 MiB", "2.36 GiB", "16384 PiB"]);
        assert_eq!([0, 999, 1_000, 193_768, 1_000_000].map(count), ["0", "999", "1,000", "193,768", "1,000,000"]);
        let durations =
            [12, 1_500, 31_400, 61_000, 3_720_000, 90_000_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(durations, ["12 ms", "1.5 s", "31 s", "1 min 1 s", "1 h 2 min", "1 d 1 h"]);
    }
}
