//! How much a tenant may store, and how near it is to that.
//!
//! A backup of a tenant at its limit is refused before it starts, with a sentence that says which limit and what to do.
//! Restores, verifies and prunes never ask here.

use super::digest::size_words;
use super::disposition::Disposition;

/// Below this share a quota is green.
pub const GREEN_BELOW_PERCENT: u64 = 50;

/// Up to this share it is yellow, above it red.
pub const YELLOW_UP_TO_PERCENT: u64 = 80;

/// What a tenant may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes stored; none for no limit.
    pub bytes: Option<u64>,
    /// Snapshots; none for no limit.
    pub snapshots: Option<u64>,
}

/// What a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes stored.
    pub bytes: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// How near a tenant is to its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Far.
    Green,
    /// At half of it or more.
    Yellow,
    /// Near or over it.
    Red,
}

super::job::words!(Level: Green = "green", Yellow = "yellow", Red = "red");

/// Why a backup may not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The bytes are used up.
    #[error(
        "the tenant stores {} of {} that its quota allows; forget and prune snapshots, or raise the quota",
        size_words(*used), size_words(*limit)
    )]
    Bytes {
        /// Bytes stored.
        used: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The bytes that are left do not hold what the backup is expected to add.
    #[error(
        "the backup is expected to add {} and the tenant's quota has {} left; prune, or raise the quota",
        size_words(*expected), size_words(*left)
    )]
    Room {
        /// Bytes that it is expected to add.
        expected: u64,
        /// Bytes left.
        left: u64,
    },
    /// The snapshots are used up.
    #[error("the tenant has {used} of {limit} snapshots that its quota allows; forget some, or raise the quota")]
    Snapshots {
        /// Snapshots it has.
        used: u64,
        /// Snapshots allowed.
        limit: u64,
    },
}

impl QuotaError {
    /// Returns what the error asks for: a person.
    pub const fn disposition(&self) -> Disposition {
        Disposition::Operator
    }
}

/// Returns how near a tenant is to its limits: the worse of the two.
pub fn level(quota: Quota, usage: Usage) -> Level {
    let bytes = level_of(quota.bytes, usage.bytes);
    bytes.max(level_of(quota.snapshots, usage.snapshots))
}

/// Returns how many hundredths of its limits a tenant uses: the worse of the two; none without a limit.
pub fn percent(quota: Quota, usage: Usage) -> Option<u64> {
    let share = |limit: Option<u64>, used: u64| {
        let limit = limit?;
        let share = (u128::from(used) * 100).checked_div(u128::from(limit)).unwrap_or(100);
        Some(u64::try_from(share).unwrap_or(u64::MAX))
    };
    share(quota.bytes, usage.bytes).max(share(quota.snapshots, usage.snapshots))
}

/// Returns what the next backup of an item is expected to add, from what its last ones stored, in any order: the median,
/// and zero below two of them. A first backup stores everything and says nothing about the second.
pub fn expected(stored: &[u64]) -> u64 {
    if stored.len() < 2 {
        return 0;
    }
    let mut stored = stored.to_vec();
    stored.sort_unstable();
    stored[(stored.len() - 1) / 2]
}

fn level_of(limit: Option<u64>, used: u64) -> Level {
    let Some(limit) = limit else { return Level::Green };
    let share = u128::from(used) * 100;
    let limit = u128::from(limit);
    if share > limit * u128::from(YELLOW_UP_TO_PERCENT) || limit == 0 {
        Level::Red
    } else if share >= limit * u128::from(GREEN_BELOW_PERCENT) {
        Level::Yellow
    } else {
        Level::Green
    }
}

/// Says whether a backup may start that is expected to add so many bytes; zero when nobody knows.
///
/// # Errors
/// Says which limit is reached.
pub fn permit(quota: Quota, usage: Usage, expected: u64) -> Result<(), QuotaError> {
    if let Some(limit) = quota.snapshots.filter(|limit| usage.snapshots >= *limit) {
        return Err(QuotaError::Snapshots { used: usage.snapshots, limit });
    }
    let Some(limit) = quota.bytes else { return Ok(()) };
    match limit.checked_sub(usage.bytes) {
        None | Some(0) => Err(QuotaError::Bytes { used: usage.bytes, limit }),
        Some(left) if expected > left => Err(QuotaError::Room { expected, left }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `used/limit` in bytes and in snapshots; `-` for no limit.
    fn read(text: &str) -> (u64, Option<u64>) {
        let (used, limit) = text.split_once('/').unwrap();
        (used.parse().unwrap(), limit.parse().ok())
    }

    fn check(bytes: &str, snapshots: &str, expected_bytes: u64, expected: &str) {
        let ((used, bytes), (count, snapshots)) = (read(bytes), read(snapshots));
        let (quota, usage) = (Quota { bytes, snapshots }, Usage { bytes: used, snapshots: count });
        let answer =
            permit(quota, usage, expected_bytes).map_or_else(|error| error.to_string(), |()| "may start".to_owned());
        let answer = format!("{}: {answer}", level(quota, usage).word());
        assert!(answer.starts_with(expected), "{answer}");
    }

    #[test]
    fn a_share_is_that_of_the_nearer_limit() {
        let share = |bytes: &str, snapshots: &str| {
            let ((used, bytes), (count, snapshots)) = (read(bytes), read(snapshots));
            percent(Quota { bytes, snapshots }, Usage { bytes: used, snapshots: count })
        };
        assert_eq!([share("5/-", "5/-"), share("49/100", "0/-"), share("1/100", "9/10")], [None, Some(49), Some(90)]);
        assert_eq!([share("3/0", "0/-"), share("250/100", "0/-")], [Some(100), Some(250)]);
        assert_eq!(share("18446744073709551615/1", "0/-"), Some(u64::MAX));
    }

    #[test]
    fn what_is_expected_is_what_is_usual() {
        assert_eq!([expected(&[]), expected(&[100]), expected(&[100, 1])], [0, 0, 1]);
        assert_eq!([expected(&[3, 100, 2]), expected(&[4, 4, 1, 90])], [3, 4]);
    }

    #[test]
    fn levels_and_limits() {
        check("0/-", "0/-", u64::MAX, "green: may start");
        check("49/100", "0/-", 0, "green: may start");
        check("50/100", "0/-", 0, "yellow: may start");
        check("80/100", "0/-", 0, "yellow: may start");
        check("81/100", "0/-", 19, "red: may start");
        check("81/100", "0/-", 20, "red: the backup is expected to add 20 B and the tenant's quota has 19 B left");
        check("100/100", "0/-", 0, "red: the tenant stores 100 B of 100 B");
        check("130/100", "0/-", 0, "red: the tenant stores 130 B of 100 B");
        check("0/0", "0/-", 0, "red: the tenant stores 0 B of 0 B");
        check("1/100", "7/10", 0, "yellow: may start");
        check("1/100", "10/10", 0, "red: the tenant has 10 of 10 snapshots");
        check("18446744073709551615/18446744073709551615", "0/-", 0, "red: the tenant stores");
    }
}
