//! How many packs are uploaded at once: as many as help.
//!
//! A line may carry ten megabytes a second a connection and have room for eight of them; a disk is as fast with two. So a
//! run begins with a few uploaders and lets one more work whenever packs wait, unless the last one that was added made
//! nothing faster.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Uploaders that a run begins with: one sends while another waits for the answer, and a third for the disk.
const UPLOADERS_FIRST: usize = 3;

/// How long a full pack waits before another uploader may help: longer than a disk takes for one.
pub(super) const HELP_AFTER: Duration = Duration::from_millis(60);

/// What one more uploader has to add to the rate, in parts of a hundred: half of what the tenth of ten would.
const GAIN_PERCENT: u64 = 5;

/// How long a rate that did not grow is believed to be the line's own.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Which uploaders work.
#[derive(Debug)]
pub(super) struct Crew {
    most: usize,
    entered: AtomicUsize,
    working: Mutex<Working>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Working {
    count: usize,
    ended: bool,
    /// Bytes that were uploaded since the last uploader was added, and when that was.
    bytes: u64,
    since: Duration,
    /// Bytes a second with one uploader less; zero while that is not known.
    rate_before: u64,
    not_before: Duration,
}

impl Crew {
    /// Makes a crew of at most so many.
    pub(super) fn new(most: usize, now: Duration) -> Self {
        let most = most.max(1);
        let working = Working { count: most.min(UPLOADERS_FIRST), since: now, ..Working::default() };
        Self { most, entered: AtomicUsize::new(0), working: Mutex::new(working), changed: Condvar::new() }
    }

    /// Lets an uploader in; returns when it shall work, or when there will be no more packs.
    pub(super) fn enter(&self) {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        let working = self.working.lock().expect("no holder panics");
        let idle = |working: &mut Working| !working.ended && number >= working.count;
        drop(self.changed.wait_while(working, idle).expect("no holder panics"));
    }

    /// Notes that bytes were uploaded.
    pub(super) fn uploaded(&self, bytes: u64) {
        self.working.lock().expect("no holder panics").bytes += bytes;
    }

    /// Lets one more uploader work, if that may help: a pack has waited.
    pub(super) fn help(&self, now: Duration) {
        let mut working = self.working.lock().expect("no holder panics");
        if working.count >= self.most || now < working.not_before {
            return;
        }
        if working.bytes > 0 {
            let ms = u64::try_from(now.saturating_sub(working.since).as_millis()).unwrap_or(u64::MAX).max(1);
            let rate = working.bytes.saturating_mul(1_000) / ms;
            if rate.saturating_mul(100) < working.rate_before.saturating_mul(100 + GAIN_PERCENT) {
                (working.not_before, working.rate_before) = (now + TRY_AGAIN_AFTER, 0);
                return;
            }
            working.rate_before = rate;
        }
        working.count += 1;
        (working.bytes, working.since) = (0, now);
        drop(working);
        self.changed.notify_all();
    }

    /// Says that no pack will follow.
    pub(super) fn end(&self) {
        self.working.lock().expect("no holder panics").ended = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(crew: &Crew) -> usize {
        crew.working.lock().unwrap().count
    }

    /// Uploads by turns of a second at so many bytes a second for each number of uploaders, and returns how many work in
    /// the end.
    fn after(most: usize, seconds: u64, rate: impl Fn(u64) -> u64) -> usize {
        let crew = Crew::new(most, Duration::ZERO);
        for second in 1..=seconds {
            crew.uploaded(rate(count(&crew) as u64));
            crew.help(Duration::from_secs(second));
        }
        count(&crew)
    }

    #[test]
    fn a_line_of_so_much_a_connection_gets_as_many_as_there_may_be() {
        assert_eq!(after(8, 20, |uploaders| uploaders * 10_000_000), 8);
        assert_eq!(after(2, 20, |uploaders| uploaders * 10_000_000), 2);
    }

    #[test]
    fn a_line_that_is_full_gets_one_more_than_fill_it() {
        assert_eq!(after(8, 9, |_| 50_000_000), 4);
        assert_eq!(after(8, 9, |uploaders| uploaders.min(5) * 10_000_000), 6);
    }

    #[test]
    fn packs_that_wait_before_any_is_through_get_all_that_there_are() {
        let crew = Crew::new(8, Duration::ZERO);
        (1..10).for_each(|tenth| crew.help(Duration::from_millis(100 * tenth)));
        assert_eq!(count(&crew), 8);
    }
}
