//! Instants as trees store them: RFC 3339 in UTC, nanoseconds without trailing zeros, years 0000 to 9999.

use std::io::Write;

use jiff::civil::DateTime;

/// An instant: seconds since 1970 and nanoseconds, as a file system has it. Without the four bytes of padding that a
/// million entries with three of them would hold for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(4))]
pub struct FileTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds, below a thousand million.
    pub nanoseconds: u32,
}

/// First and last second that four digits of a year can say; what lies beyond is stored as the nearest of them, as
/// restic does.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl FileTime {
    /// Appends the instant as text.
    pub fn push(self, out: &mut Vec<u8>) {
        let seconds = self.seconds.clamp(*RANGE.start(), *RANGE.end());
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}").expect("memory takes it");
        if self.nanoseconds > 0 {
            write!(out, ".{:09}", self.nanoseconds).expect("memory takes it");
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        out.push(b'Z');
    }

    /// Reads an instant with any offset; none for what is not one. Every instant that [`FileTime::push`] writes is read,
    /// also those of the year 9999 that lie beyond jiff's last timestamp.
    pub fn read(text: &str) -> Option<Self> {
        let (local, offset) = split_offset(text)?;
        let local: DateTime = local.parse().ok()?;
        let since = local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        let mut seconds = since.as_secs() - offset;
        let mut nanoseconds = since.subsec_nanos();
        if nanoseconds < 0 {
            (seconds, nanoseconds) = (seconds - 1, nanoseconds + 1_000_000_000);
        }
        Some(Self { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? })
    }
}

/// Splits an instant into its local time and its offset in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, 0));
    }
    let at = text.len().checked_sub(6)?;
    let (local, offset) = text.split_at_checked(at)?;
    let sign = match offset.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    Some((local, sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60)))
}

/// Returns year, month and day of a day counted from 1970-01-01 (the algorithm of Howard Hinnant's `civil_from_days`).
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: i64, nanoseconds: u32) -> String {
        let mut out = Vec::new();
        FileTime { seconds, nanoseconds }.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn instants_are_written_as_restic_writes_them() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_709_210_096, 123_456_000), "2024-02-29T12:34:56.123456Z");
        assert_eq!(text(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(text(i64::MAX, 0), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn instants_are_read_in_any_zone() {
        let noon = FileTime { seconds: 1_709_210_096, nanoseconds: 5 };
        for text in ["2024-02-29T12:34:56.000000005Z", "2024-02-29T13:34:56.000000005+01:00"] {
            assert_eq!(FileTime::read(text), Some(noon), "{text}");
        }
        for wrong in ["yesterday", "", "Z", "2024-02-29T12:34:56", "2024-02-30T12:34:56Z", "2024-02-29T12:34:56?01:00"]
        {
            assert_eq!(FileTime::read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(seconds in RANGE, nanoseconds in 0u32..1_000_000_000) {
            prop_assert_eq!(FileTime::read(&text(seconds, nanoseconds)), Some(FileTime { seconds, nanoseconds }));
        }
    }
}
