//! How fast a repository's storage may be used, from options: always, and by the time of day.

use std::sync::Arc;

use backstay_storage::ObjectStorage;
use backstay_storage::limit::{LimitRules, Limited, Rate, Window};
use backstay_storage::pace::SystemPace;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// Limits of bytes a second.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct LimitArgs {
    /// Write no more than this many KiB a second to the repository
    #[arg(long, global = true, value_name = "RATE", value_parser = kib)]
    limit_upload: Option<u64>,
    /// Read no more than this many KiB a second from the repository
    #[arg(long, global = true, value_name = "RATE", value_parser = kib)]
    limit_download: Option<u64>,
    /// Limits by the time of day, as 08:00-18:00=1M,18:00-22:00=4M/none: bytes a second both ways, or up/down. The first
    /// that fits holds, outside of them what is said above
    #[arg(long, global = true, value_name = "WINDOWS", value_delimiter = ',', value_parser = window)]
    limit_schedule: Vec<Window>,
}

/// Reads a rate as restic has it: KiB a second, 0 for no limit.
fn kib(text: &str) -> Result<u64, String> {
    let number: Option<u64> = text.parse().ok();
    number.and_then(|kib| kib.checked_mul(1 << 10)).ok_or_else(|| format!("`{text}` is no number of KiB a second"))
}

/// Reads `FROM-UNTIL=RATE`.
fn window(text: &str) -> Result<Window, String> {
    let wrong = || format!("`{text}` is no window; write 08:00-18:00=1M or 22:00-06:00=none/512k");
    let (times, rates) = text.trim().split_once('=').ok_or_else(wrong)?;
    let (from, until) = times.split_once('-').ok_or_else(wrong)?;
    let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| wrong());
    let (up, down) = rates.split_once('/').unwrap_or((rates, rates));
    let rate = Rate { up: rate(up).map_err(|_| wrong())?, down: rate(down).map_err(|_| wrong())? };
    // The whole day may be said as 00:00-24:00.
    let until = if until.trim() == "24:00" { Time::midnight() } else { time(until)? };
    Ok(Window { from: time(from)?, until, rate })
}

/// Reads bytes a second, `1M` or `1MiB`, of which `none` sets no limit.
fn rate(text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    if text == "none" {
        return Ok(None);
    }
    let read = backstay_engine::size::bytes(text.strip_suffix("iB").unwrap_or(text))?;
    if read > 0 { Ok(Some(read)) } else { Err("nothing would pass".to_owned()) }
}

impl LimitArgs {
    /// Returns the storage with its limits; itself when there are none.
    pub(crate) fn around(&self, storage: Arc<dyn ObjectStorage>) -> Arc<dyn ObjectStorage> {
        match self.rules() {
            Some(rules) => Arc::new(Limited::new(storage, rules, Arc::new(SystemPace::default()))),
            None => storage,
        }
    }

    fn rules(&self) -> Option<LimitRules> {
        let set = |rate: Option<u64>| rate.filter(|bytes| *bytes > 0);
        let otherwise = Rate { up: set(self.limit_upload), down: set(self.limit_download) };
        let windows = self.limit_schedule.clone();
        let any = otherwise != Rate::default() || !windows.is_empty();
        any.then(|| LimitRules { zone: TimeZone::system(), windows, otherwise, in_flight: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str, Option<u64>, Option<u64>)>) {
        let read = window(text).ok().map(|window| {
            let time = |time: Time| time.strftime("%H:%M").to_string();
            (time(window.from), time(window.until), window.rate.up, window.rate.down)
        });
        let expected = expected.map(|(from, until, up, down)| (from.to_owned(), until.to_owned(), up, down));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn a_window_is_two_times_and_a_rate() {
        check("08:00-18:00=1MiB", Some(("08:00", "18:00", Some(1 << 20), Some(1 << 20))));
        check(" 22:30-06:00=512k/none", Some(("22:30", "06:00", Some(512 << 10), None)));
        check("00:00-24:00=2M/1M", Some(("00:00", "00:00", Some(2 << 20), Some(1 << 20))));
        for wrong in ["", "08:00=1M", "8-18=1M", "08:00-25:00=1M", "08:00-18:00=fast", "08:00-18:00=0", "08:00-18:00"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit_as_with_restic() {
        let rules = |up, down| LimitArgs { limit_upload: up, limit_download: down, limit_schedule: Vec::new() }.rules();
        assert!(rules(None, None).is_none() && rules(Some(0), None).is_none());
        assert_eq!(rules(kib("3").ok(), Some(0)).unwrap().otherwise, Rate { up: Some(3 << 10), down: None });
        assert!(kib("1M").is_err() && kib("-1").is_err());
    }
}
