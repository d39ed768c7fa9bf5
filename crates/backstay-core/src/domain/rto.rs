//! How long a restore is expected to take, by what restore drills measured.

use std::time::Duration;

use super::digest::{size_words, time_words};
use super::proof::DrillRate;

/// A drill that brought back less measured how a restore begins, not how fast it goes; a restore of less than that is
/// such a one itself.
const RATE_BYTES_MIN: u64 = 1 << 20;

/// How long a restore of so much is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtoForecast {
    /// Bytes to bring back.
    pub bytes: u64,
    /// How long that takes at the slowest rate that was seen.
    pub expected: Duration,
    /// That rate, in bytes a second.
    pub bytes_per_second: u64,
    /// Drills that were looked at.
    pub drills: usize,
}

/// Returns how long bringing back so many bytes takes, at the slowest rate of these drills; none where nothing was
/// measured, or there is nothing to bring back.
pub fn forecast(drills: &[DrillRate], bytes: u64) -> Option<RtoForecast> {
    let says = |drill: &&DrillRate| drill.bytes >= RATE_BYTES_MIN.min(bytes).max(1);
    let rates: Vec<u64> = drills.iter().filter(says).map(rate).collect();
    let slowest = rates.iter().copied().min().filter(|_| bytes > 0)?;
    let expected = Duration::from_millis(u64::try_from(u128::from(bytes) * 1_000 / u128::from(slowest)).ok()?);
    Some(RtoForecast { bytes, expected, bytes_per_second: slowest, drills: rates.len() })
}

/// Returns bytes a second; at least one.
pub fn rate(drill: &DrillRate) -> u64 {
    let micros = drill.took.as_micros().max(1);
    u64::try_from(u128::from(drill.bytes) * 1_000_000 / micros).unwrap_or(u64::MAX).max(1)
}

impl RtoForecast {
    /// Says it in words.
    pub fn words(&self) -> String {
        let drills = match self.drills {
            1 => "1 drill".to_owned(),
            count => format!("{count} drills, the slowest seen"),
        };
        let expected = self.expected.max(Duration::from_secs(1));
        let (time, size) = (time_words(expected), size_words(self.bytes));
        format!("a whole restore takes about {time} for {size}, at {}/s by {drills}", size_words(self.bytes_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn check(drills: &[(u64, u64)], bytes: u64, wanted: Option<(u64, usize)>) {
        let drill = |(bytes, ms): &(u64, u64)| {
            let (bytes, took) = (*bytes, Duration::from_millis(*ms));
            DrillRate { bytes, took }
        };
        let drills: Vec<DrillRate> = drills.iter().map(drill).collect();
        let found = forecast(&drills, bytes).map(|found| (found.expected.as_secs(), found.drills));
        assert_eq!(found, wanted, "{drills:?} {bytes}");
    }

    #[test]
    fn the_slowest_drill_says_how_long_it_takes() {
        check(&[(100 * MIB, 1_000), (100 * MIB, 4_000), (100 * MIB, 2_000)], 1_000 * MIB, Some((40, 3)));
        check(&[(MIB, 0)], MIB, Some((0, 1)));
    }

    #[test]
    fn where_nothing_was_measured_nothing_is_said() {
        check(&[], MIB, None);
        check(&[(0, 1_000)], MIB, None);
        check(&[(100 * MIB, 1_000)], 0, None);
        check(&[(4_096, 500)], 100 * MIB, None);
    }

    #[test]
    fn a_small_restore_is_measured_by_a_small_drill() {
        check(&[(4_096, 2_000)], 4_096, Some((2, 1)));
        check(&[(4_096, 2_000), (100 * MIB, 1_000)], 100 * MIB, Some((1, 1)));
    }

    #[test]
    fn words() {
        let took = Duration::from_secs(1);
        let drill = DrillRate { bytes: 50 * MIB, took };
        let words = forecast(&[drill, drill], 36_000 * MIB).unwrap().words();
        assert_eq!(words, "a whole restore takes about 12m for 35.2 GiB, at 50.0 MiB/s by 2 drills, the slowest seen");
        assert!(forecast(&[drill], 100).unwrap().words().ends_with(" by 1 drill"));
    }
}
