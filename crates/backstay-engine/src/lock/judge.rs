//! Whether a lock that was seen counts: pure rules on what the storage and this machine say.

use std::time::Duration;

use jiff::Timestamp;

use super::owner::Process;
use super::{DeadLocks, LockMode};
use crate::format::id::Id;
use crate::format::lock::LockFile;

/// A lock that is not refreshed for so long is dead, whoever holds it. restic's own figure.
pub const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// A lock whose process does not run on a machine of the same name is dead when it was not refreshed for so long: twice
/// restic's interval. A container or a cloned machine may have our name and other processes.
pub const ABSENT_AFTER: Duration = Duration::from_secs(10 * 60);

/// A storage's clock and ours may differ by so much and count as one.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// A lock in the storage.
#[derive(Debug, Clone)]
pub(super) struct SeenLock {
    /// Its name.
    pub(super) id: Id,
    /// When it was written, by the storage's clock.
    pub(super) modified_at: Timestamp,
    /// What it says; none when it cannot be read.
    pub(super) file: Option<LockFile>,
    /// What this machine knows about its holder.
    pub(super) process: Process,
}

/// What counts as now when a lock's age is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Now {
    /// The storage's own clock, as the lock that we wrote a moment ago shows it. It alone proves an age: clocks of
    /// machines may be days apart.
    Storage(Timestamp),
    /// Our clock: good enough to see that it is worth asking the storage.
    Ours(Timestamp),
}

impl SeenLock {
    /// Says whether it keeps us out.
    pub(super) fn conflicts(&self, mode: LockMode) -> bool {
        // What cannot be read may be anything.
        mode == LockMode::Exclusive || self.file.as_ref().is_none_or(|file| file.exclusive)
    }

    /// Says whether its holder is dead.
    pub(super) fn is_dead(&self, now: Now, dead: &DeadLocks) -> bool {
        let lease = self.file.as_ref().and_then(|file| file.backstay.as_ref()).map_or("", |mark| &mark.lease);
        let named = dead.ids.contains(&self.id) || !lease.is_empty() && dead.leases.iter().any(|one| one == lease);
        let older = |limit: Duration| {
            let limit = i128::try_from(limit.as_nanos()).unwrap_or(i128::MAX);
            let age = |at: Timestamp| at.as_nanosecond() - self.modified_at.as_nanosecond();
            match now {
                Now::Storage(at) => age(at) > limit,
                // Written in our future: our clock says nothing.
                Now::Ours(at) => age(at) > limit || age(at) < -i128::try_from(SKEW.as_nanos()).unwrap_or(0),
            }
        };
        let gone = match self.process {
            Process::Dead => true,
            Process::Absent => older(ABSENT_AFTER),
            Process::Unknown => false,
        };
        named || gone || older(STALE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(exclusive: Option<bool>, process: Process) -> SeenLock {
        let file = |exclusive| {
            let text =
                format!(r#"{{"time":"2026-01-01T00:00:00Z","exclusive":{exclusive},"backstay":{{"lease":"j"}}}}"#);
            LockFile::read(text.as_bytes()).unwrap()
        };
        SeenLock { id: Id::of(b"lock"), modified_at: at(0), file: exclusive.map(file), process }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + minute * 60).unwrap()
    }

    #[test]
    fn shared_locks_go_together_and_nothing_goes_with_an_exclusive_one() {
        let table = [
            (LockMode::Shared, Some(false), false),
            (LockMode::Shared, Some(true), true),
            (LockMode::Shared, None, true),
            (LockMode::Exclusive, Some(false), true),
            (LockMode::Exclusive, Some(true), true),
            (LockMode::Exclusive, None, true),
        ];
        for (ours, theirs, expected) in table {
            assert_eq!(lock(theirs, Process::Unknown).conflicts(ours), expected, "{ours:?} beside {theirs:?}");
        }
    }

    #[test]
    fn age_is_the_storages() {
        let none = DeadLocks::default();
        let check = |process, now, expected| {
            assert_eq!(lock(Some(true), process).is_dead(now, &none), expected, "{process:?} {now:?}");
        };
        check(Process::Dead, Now::Storage(at(0)), true);
        check(Process::Absent, Now::Storage(at(10)), false);
        check(Process::Absent, Now::Storage(at(11)), true);
        check(Process::Unknown, Now::Storage(at(30)), false);
        check(Process::Unknown, Now::Storage(at(31)), true);
        check(Process::Unknown, Now::Storage(at(-60 * 24)), false);
        check(Process::Unknown, Now::Ours(at(31)), true);
        check(Process::Unknown, Now::Ours(at(-4)), false);
        check(Process::Unknown, Now::Ours(at(-60)), true);
    }

    #[test]
    fn what_the_control_plane_knows_dead_is_dead() {
        let lock = lock(Some(true), Process::Unknown);
        let now = Now::Storage(at(0));
        let leases = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for (ids, words, expected) in [
            (vec![], &["i"][..], false),
            (vec![], &["", "j"], true),
            (vec![Id::of(b"lock")], &[], true),
            (vec![Id::of(b"other")], &[], false),
        ] {
            assert_eq!(lock.is_dead(now, &DeadLocks { ids, leases: leases(words) }), expected);
        }
    }
}
