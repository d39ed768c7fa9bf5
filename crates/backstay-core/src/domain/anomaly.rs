//! Whether a backup is unlike those before it: its size, its length, how much of it is new, and whether so much changed at once
//! that a program may have done it.
//!
//! Each is held against the item's own history by its median and by how far runs usually lie from that (the median of the
//! distances), so that one odd run of the past neither hides the next one nor makes a usual one odd. Nothing is said before there
//! are [`RUNS_MIN`] runs.

use std::time::Duration;

use jiff::Timestamp;

use super::digest::{size_words, time_words};
use super::id::{JobId, PlanId};
use super::job::JobCounts;

/// Runs before anything is said: a median of fewer is chance.
pub const RUNS_MIN: usize = 5;

/// Newest runs that are looked at: a month of daily ones, so that growth becomes usual.
pub const RUNS_MAX: usize = 30;

/// How many usual distances from the median are far: of regular runs less than one in a million lies there.
const FAR: f64 = 6.0;

/// What makes the median of distances one that can be held against a normal spread.
const SCALE: f64 = 1.4826;

/// The least distance that counts as usual, as a share of the median: runs that are all alike make no small change odd. Six of
/// them are about half of it.
const SHARE_FLOOR: f64 = 0.08;

/// The least usual distance of sizes: six of them are what nobody asks about.
const SIZE_FLOOR: f64 = (8 << 20) as f64;

/// The least usual distance of lengths, in seconds: a machine that is busy is not odd.
const LENGTH_FLOOR: f64 = 20.0;

/// The least usual distance of shares of what is new.
const CHANGE_FLOOR: f64 = 0.05;

/// Files below which nothing is called a mass: a folder of a few is often written anew as a whole.
const MASS_FILES_MIN: u64 = 20;

/// The share of the files before that must have changed or gone at once.
const MASS_SHARE: f64 = 0.5;

/// The share of all bytes that must be new, where files are written anew.
const MASS_NEW: f64 = 0.25;

/// What new bytes must still take when compressed, as a share: encrypted ones take all.
const MASS_DENSITY: f64 = 0.9;

/// How far a figure of a run is from the usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike {
    /// In words: which figure, what was found, what is usual.
    pub words: String,
}

/// A plan of which so much changed at once that its older snapshots must not go before a person has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The plan.
    pub plan_id: PlanId,
    /// The job that found it.
    pub job_id: JobId,
    /// When.
    pub at: Timestamp,
    /// What was found, for a person.
    pub message: String,
}

/// What is usual of a figure.
struct Usual {
    middle: f64,
    distance: f64,
    /// Of the runs that were not odd.
    least: f64,
    most: f64,
}

impl Usual {
    /// Returns what is usual; none of too few.
    fn of(found: impl Iterator<Item = f64>, floor: f64) -> Option<Self> {
        let mut found: Vec<f64> = found.collect();
        if found.len() < RUNS_MIN {
            return None;
        }
        found.sort_unstable_by(f64::total_cmp);
        let middle = found[found.len() / 2];
        let mut distances: Vec<f64> = found.iter().map(|one| (one - middle).abs()).collect();
        distances.sort_unstable_by(f64::total_cmp);
        let distance = (SCALE * distances[distances.len() / 2]).max(SHARE_FLOOR * middle).max(floor);
        // What was odd then is not usual now.
        found.retain(|one| (one - middle).abs() <= FAR * distance);
        Some(Self { middle, distance, least: found[0], most: found[found.len() - 1] })
    }

    fn is_far_above(&self, found: f64) -> bool {
        found > self.middle + FAR * self.distance
    }

    fn is_far_below(&self, found: f64) -> bool {
        // Nothing is below zero: there half of the usual is far, where it is more than chance.
        let limit = (self.middle - FAR * self.distance).max(self.middle * 0.5 - self.distance);
        found < limit
    }
}

/// Returns what of a run is unlike the ones before it, newest first: its size, how much of it is new, and how long it took, among
/// how long others took.
pub fn unlike(before: &[JobCounts], now: JobCounts, (took, others): (Option<Duration>, &[Duration])) -> Vec<Unlike> {
    let size = |counts: &JobCounts| counts.bytes as f64;
    let bytes = |size: f64| size_words(size as u64);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let length = |seconds: f64| time_words(Duration::from_secs_f64(seconds));
    let mut found = Vec::new();
    let mut say = |words: String| found.push(Unlike { words });
    if let Some(usual) = Usual::of(before.iter().map(size), SIZE_FLOOR) {
        let found = size(&now);
        if usual.is_far_above(found) || usual.is_far_below(found) {
            say(format!("it read {}; the runs before read {}", bytes(found), range(&usual, bytes)));
        }
    }
    if let Some(usual) = Usual::of(before.iter().map(share_new), CHANGE_FLOOR) {
        let found = share_new(&now);
        if usual.is_far_above(found) {
            say(format!("{} of it was new; of the runs before it was {}", percent(found), range(&usual, percent)));
        }
    }
    if let (Some(took), Some(usual)) = (took, Usual::of(others.iter().map(Duration::as_secs_f64), LENGTH_FLOOR)) {
        let found = took.as_secs_f64();
        if usual.is_far_above(found) {
            say(format!("it took {}; the runs before took {}", length(found), range(&usual, length)));
        }
    }
    found
}

fn range(usual: &Usual, words: impl Fn(f64) -> String) -> String {
    let (least, most) = (words(usual.least), words(usual.most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// Returns which share of what a run read the repository did not have.
fn share_new(counts: &JobCounts) -> f64 {
    share(counts.bytes_added.min(counts.bytes), counts.bytes)
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Returns which share of the files before is not there any more, or not as it was.
fn share_lost(before: &JobCounts, now: &JobCounts) -> f64 {
    1.0 - share(now.files_unmodified.min(before.files), before.files)
}

/// Says in words what looks like the work of a program that encrypts or deletes; none when nothing does. `before` are the
/// runs before it, newest first.
///
/// Half of the files must have changed or gone at once, far more than ever, and either what is new cannot be compressed, or half of
/// the files are gone. Attributes that all change, and an upgrade of what can be compressed, are neither.
pub fn mass_change(before: &[JobCounts], now: JobCounts) -> Option<String> {
    let (previous, now) = (before.first()?, &now);
    if previous.files < MASS_FILES_MIN {
        return None;
    }
    // Each run against the one before it.
    let shares = before.windows(2).map(|pair| share_lost(&pair[1], &pair[0]));
    let usual = Usual::of(shares, CHANGE_FLOOR)?;
    let lost = share_lost(previous, now);
    if lost < MASS_SHARE || !usual.is_far_above(lost) {
        return None;
    }
    let density = share(now.bytes_stored.min(now.bytes_added), now.bytes_added);
    let is_rewritten = share_new(now) >= MASS_NEW && density >= MASS_DENSITY;
    let gone = 1.0 - share(now.files.min(previous.files), previous.files);
    let why = match (is_rewritten, gone >= MASS_SHARE) {
        (true, _) => format!("{} of its bytes are new and cannot be compressed", share_words(share_new(now))),
        (false, true) => format!("{} of the files are gone", share_words(gone)),
        (false, false) => return None,
    };
    let (most, of) = (share_words(usual.most), previous.files);
    let changed = share_words(lost);
    Some(format!("{changed} of {of} files changed or went at once, and {why}; the runs before changed at most {most}"))
}

fn share_words(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(files: u64, unmodified: u64, mib: u64, new_mib: u64, stored_mib: u64) -> JobCounts {
        JobCounts {
            files,
            files_unmodified: unmodified,
            bytes: mib * MIB,
            bytes_added: new_mib * MIB,
            bytes_stored: stored_mib * MIB,
            ..JobCounts::default()
        }
    }

    /// Six regular runs of a thousand files and a gibibyte.
    fn regular() -> Vec<JobCounts> {
        [10, 12, 8, 11, 30, 9].into_iter().map(|new| run(1_000, 1_000 - new, 1_024 + new, new, new / 2)).collect()
    }

    fn check(before: &[JobCounts], now: JobCounts, minutes: u64, expected: &str) {
        let others = [4u64, 5, 4, 6, 4, 5].map(|minutes| Duration::from_secs(minutes * 60));
        let said = unlike(before, now, (Some(Duration::from_secs(minutes * 60)), &others));
        let said: Vec<&str> = said.iter().map(|one| one.words.as_str()).collect();
        assert_eq!(said.join("; "), expected);
    }

    #[test]
    fn a_run_is_held_against_its_own_history() {
        let usual = regular();
        check(&usual, run(1_000, 990, 1_030, 10, 5), 5, "");
        check(&usual, run(1_000, 900, 1_100, 90, 50), 6, "");
        let large = "it read 2.0 GiB; the runs before read 1.0 GiB";
        check(&usual, run(1_000, 990, 2_048, 10, 5), 5, large);
        let empty = "it read 0 B; the runs before read 1.0 GiB";
        check(&usual, run(0, 0, 0, 0, 0), 5, empty);
        check(&usual, run(1_000, 990, 1_030, 10, 5), 40, "it took 40m; the runs before took 4m to 6m");
        let new = "60 % of it was new; of the runs before it was 1 % to 3 %";
        check(&usual, run(1_000, 400, 1_000, 600, 300), 5, new);
        // Too few say nothing, and small ones are not odd.
        check(&usual[..4], run(1_000, 400, 9_000, 600, 300), 5, "");
        check(&vec![run(3, 3, 1, 0, 0); 9], run(3, 3, 9, 1, 1), 5, "");
        // One odd run of the past hides nothing.
        let mut odd = usual.clone();
        odd[2] = run(1_000, 0, 1_800, 1_000, 900);
        check(&odd, run(1_000, 990, 2_048, 10, 5), 5, "it read 2.0 GiB; the runs before read 1.0 GiB");
    }

    fn check_mass(before: &[JobCounts], now: JobCounts, expected: &str) {
        assert_eq!(mass_change(before, now).unwrap_or_default(), expected);
    }

    #[test]
    fn what_looks_like_a_program_is_told_from_what_does_not() {
        let usual = [regular(), regular()].concat();
        let most = "the runs before changed at most 3 %";
        let encrypted = format!(
            "95 % of 1000 files changed or went at once, and 93 % of its bytes are new and cannot be compressed; {most}"
        );
        check_mass(&usual, run(1_000, 50, 1_024, 950, 955), &encrypted);
        // All attributes changed once: that hides nothing.
        let mut touched = usual.clone();
        touched[3] = run(1_000, 0, 1_024, 1, 1);
        check_mass(&touched, run(1_000, 50, 1_024, 950, 955), &encrypted);
        let deleted = format!("90 % of 1000 files changed or went at once, and 90 % of the files are gone; {most}");
        check_mass(&usual, run(100, 100, 102, 0, 0), &deleted);
        // Attributes of all of them; a new version of what can be compressed; a busy day.
        check_mass(&usual, run(1_000, 0, 1_024, 1, 1), "");
        check_mass(&usual, run(1_000, 100, 1_024, 900, 400), "");
        check_mass(&usual, run(1_000, 600, 1_024, 400, 400), "");
        // Few files, few runs, and what is always so.
        check_mass(&vec![run(10, 10, 10, 0, 0); 9], run(10, 0, 10, 10, 10), "");
        check_mass(&usual[..5], run(1_000, 50, 1_024, 950, 955), "");
        check_mass(&vec![run(1_000, 0, 900, 900, 900); 9], run(1_000, 0, 900, 900, 900), "");
    }
}
