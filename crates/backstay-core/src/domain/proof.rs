//! Within which time a repository is proved, slice by slice, and how far that is.
//!
//! ```text
//!  30 slices by the packs' ids ──the one whose turn came first──> a verify reads it whole, and drills a restore
//!      all proved within the budget ──> proved          one was not ──> a warning
//! ```
//!
//! A pack is always of the same slice, so a whole round reads every pack that was there when its slice's turn came; one
//! that was written later is read with the next round.

use std::time::Duration;

use jiff::Timestamp;

use super::id::{ItemId, RepositoryId};
use super::snapshot::Snapshot;

/// Slices of a repository: with the default budget, about one a day.
pub const SLICES: u32 = 30;

/// The budget of a repository of which nobody says one.
pub const WITHIN_DEFAULT: Duration = Duration::from_secs(30 * 86_400);

/// Shortest budget: below it, a repository would be read all the time.
pub const WITHIN_MIN: Duration = Duration::from_secs(86_400);

/// Longest budget: beyond it, nothing is proved in time to matter.
pub const WITHIN_MAX: Duration = Duration::from_secs(3_660 * 86_400);

/// A moment that does not come: when a repository without a budget is looked at. The last whole second, because a row holds
/// microseconds and the very last moment has more.
pub const NEVER: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// Share of the budget in which a round is done, in hundredths: the rest is for agents that were away.
const ROUND_PERCENT: u32 = 90;

/// Drills whose rates are kept of a repository.
pub const DRILLS_KEPT: usize = 10;

/// Within which time every pack of a repository is read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VerifyBudget {
    /// Nobody says it: [`WITHIN_DEFAULT`].
    #[default]
    Default,
    /// Within this time.
    Within(Duration),
    /// Never by itself.
    Never,
}

/// A budget that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given_ms} ms are no budget; give 0 for never, or from {} to {} (a day to ten years)",
    WITHIN_MIN.as_millis(),
    WITHIN_MAX.as_millis()
)]
pub struct VerifyBudgetError {
    /// What was given.
    pub given_ms: u64,
}

impl VerifyBudget {
    /// Reads milliseconds: none is the default, zero is never.
    ///
    /// # Errors
    /// A time shorter than [`WITHIN_MIN`] or longer than [`WITHIN_MAX`].
    pub fn from_ms(given: Option<u64>) -> Result<Self, VerifyBudgetError> {
        match given {
            None => Ok(Self::Default),
            Some(0) => Ok(Self::Never),
            Some(given_ms) => {
                let within = Duration::from_millis(given_ms);
                let fits = (WITHIN_MIN..=WITHIN_MAX).contains(&within);
                if fits { Ok(Self::Within(within)) } else { Err(VerifyBudgetError { given_ms }) }
            }
        }
    }

    /// Returns milliseconds as [`VerifyBudget::from_ms`] reads them.
    pub fn ms(self) -> Option<u64> {
        match self {
            Self::Default => None,
            Self::Within(within) => Some(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
            Self::Never => Some(0),
        }
    }

    /// Returns the time that holds; none for never.
    pub const fn within(self) -> Option<Duration> {
        match self {
            Self::Default => Some(WITHIN_DEFAULT),
            Self::Within(within) => Some(within),
            Self::Never => None,
        }
    }
}

/// One part of a repository's packs, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

/// When a slice was read; none for never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SliceState {
    /// Read to the end, whatever was found.
    pub read_at: Option<Timestamp>,
    /// Read, and no harm was found.
    pub proved_at: Option<Timestamp>,
}

/// What a restore drill measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrillRate {
    /// Bytes that it brought back.
    pub bytes: u64,
    /// How long that took.
    pub took: Duration,
}

/// How far the proof of a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The repository.
    pub repository_id: RepositoryId,
    /// When it is next looked at.
    pub due_at: Timestamp,
    /// When the time of its budget began; none before there is something to prove.
    pub began_at: Option<Timestamp>,
    /// The item whose restore was drilled last; none before the first.
    pub drilled_item_id: Option<ItemId>,
    /// Its slices, the first one first; always [`SLICES`].
    pub slices: Vec<SliceState>,
    /// What its newest drills measured, the newest last.
    pub drills: Vec<DrillRate>,
}

/// What a verify of a slice came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceRead {
    /// Which slice.
    pub slice: Slice,
    /// Whether no harm was found.
    pub is_proved: bool,
    /// What its drill measured; none when it brought nothing back.
    pub drill: Option<DrillRate>,
}

/// How a repository stands against its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The budget.
    pub within: Duration,
    /// Slices that were proved within it.
    pub proved: u32,
    /// Slices in all.
    pub of: u32,
    /// When the slice was proved whose proof is oldest; none while one never was.
    pub oldest_at: Option<Timestamp>,
    /// Since when a slice waits for its proof beyond the budget; none when none does.
    pub overdue_since: Option<Timestamp>,
}

/// Returns the time between two slices.
pub fn pace(within: Duration) -> Duration {
    within * ROUND_PERCENT / 100 / SLICES
}

/// Returns the moment so much later; [`NEVER`] at most.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(NEVER).min(NEVER)
}

impl Proof {
    /// Returns the proof of a repository of which nothing was read.
    pub fn new(repository_id: RepositoryId) -> Self {
        Self {
            repository_id,
            due_at: Timestamp::UNIX_EPOCH,
            began_at: None,
            drilled_item_id: None,
            slices: vec![SliceState::default(); SLICES as usize],
            drills: Vec::new(),
        }
    }

    /// Returns the slice whose turn is next, and when that is: those that were never read are spread over the round from
    /// `began_at` on, the others come a round after they were read.
    pub fn turn(&self, within: Duration, began_at: Timestamp) -> (Slice, Timestamp) {
        let pace = pace(within);
        let turns = (1..).zip(&self.slices).map(|(number, state)| match state.read_at {
            Some(at) => (later(at, pace * SLICES), number),
            None => (later(began_at, pace * (number - 1)), number),
        });
        let (at, number) = turns.min().unwrap_or((began_at, 1));
        (Slice { number, of: SLICES }, at)
    }

    /// Says how the repository stands against its budget.
    pub fn standing(&self, within: Duration, now: Timestamp) -> Standing {
        let proofs = || self.slices.iter().map(|state| state.proved_at);
        let holds = |at: &Timestamp| later(*at, within) >= now;
        let since = |proved: Option<Timestamp>| {
            let until = later(proved.max(self.began_at)?, within);
            (until < now).then_some(until)
        };
        Standing {
            within,
            proved: proofs().flatten().filter(holds).count() as u32,
            of: self.slices.len() as u32,
            oldest_at: proofs().min().flatten(),
            overdue_since: proofs().filter_map(since).min(),
        }
    }

    /// Takes in what a verify of a slice came to, which ended at this moment. One of another division says nothing of these slices.
    pub fn take(&mut self, read: &SliceRead, at: Timestamp) {
        let place = usize::try_from(read.slice.number).unwrap_or(0).wrapping_sub(1);
        if read.slice.of == SLICES
            && let Some(state) = self.slices.get_mut(place)
        {
            state.read_at = Some(at);
            state.proved_at = if read.is_proved { Some(at) } else { state.proved_at };
        }
        self.drills.extend(read.drill);
        let surplus = self.drills.len().saturating_sub(DRILLS_KEPT);
        self.drills.drain(..surplus);
    }
}

/// Returns the snapshot whose restore is drilled next: the newest good one of the item that comes after the one before,
/// in the order of their ids, so that each item has its turn. Where none is good, as among those that were taken in, any
/// will do: a repository is proved whatever is in it. None without a snapshot.
pub fn drill_next(snapshots: &[Snapshot], before: Option<ItemId>) -> Option<&Snapshot> {
    let has_good = snapshots.iter().any(|row| row.is_good);
    let rows = || snapshots.iter().filter(|row| row.is_good || !has_good);
    let next = rows().map(|row| row.item_id).filter(|item| before.is_none_or(|before| *item > before)).min();
    let item = next.or_else(|| rows().map(|row| row.item_id).min())?;
    rows().filter(|row| row.item_id == item).max_by_key(|row| (row.taken_at, row.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(days: u64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, DAY * u32::try_from(days).unwrap())
    }

    fn proof() -> Proof {
        let mut proof = Proof::new(RepositoryId::new(Timestamp::UNIX_EPOCH, [7; 10]));
        proof.began_at = Some(at(0));
        proof
    }

    fn read(number: u32, is_proved: bool) -> SliceRead {
        SliceRead { slice: Slice { number, of: SLICES }, is_proved, drill: None }
    }

    #[test]
    fn what_never_comes_fits_into_a_row() {
        assert_eq!(Timestamp::from_microsecond(NEVER.as_microsecond()).ok(), Some(NEVER));
        assert_eq!(later(Timestamp::MAX, DAY), NEVER);
    }

    #[test]
    fn a_budget_is_never_or_of_a_day_to_ten_years() {
        let read = |given| VerifyBudget::from_ms(given).map(VerifyBudget::within);
        assert_eq!(read(None), Ok(Some(WITHIN_DEFAULT)));
        assert_eq!(read(Some(0)), Ok(None));
        assert_eq!(read(Some(7 * 86_400_000)), Ok(Some(7 * DAY)));
        for wrong in [1, 86_399_999, 3_661 * 86_400_000, u64::MAX] {
            assert_eq!(read(Some(wrong)), Err(VerifyBudgetError { given_ms: wrong }));
        }
        for given in [None, Some(0), Some(86_400_000)] {
            assert_eq!(VerifyBudget::from_ms(given).unwrap().ms(), given);
        }
    }

    /// An agent that is always there reads each slice once a round, evenly, and never lets one breach the budget.
    #[test]
    fn a_round_reads_every_slice_once_and_within_the_budget() {
        let mut proof = proof();
        let (within, mut seen, mut now) = (WITHIN_DEFAULT, Vec::new(), at(0));
        for _ in 0..3 * SLICES {
            let (slice, due) = proof.turn(within, at(0));
            assert!(due >= now, "nothing is behind");
            assert!(due.duration_since(now) <= pace(within).try_into().unwrap(), "and nothing is late");
            now = due;
            seen.push(slice.number);
            proof.take(&read(slice.number, true), now);
            assert_eq!(proof.standing(within, now).overdue_since, None);
        }
        let round: Vec<u32> = (1..=SLICES).collect();
        assert_eq!(seen, [round.clone(), round.clone(), round].concat());
        assert_eq!(proof.standing(within, now).proved, SLICES);
    }

    #[test]
    fn what_was_not_proved_within_the_budget_is_overdue_and_damage_is_no_proof() {
        let mut proof = proof();
        let overdue = |proof: &Proof, day| proof.standing(10 * DAY, at(day)).overdue_since;
        assert_eq!((overdue(&proof, 10), overdue(&proof, 11)), (None, Some(at(10))));
        (1..=SLICES).for_each(|number| proof.take(&read(number, number != 4), at(9)));
        assert_eq!(overdue(&proof, 11), Some(at(10)), "slice 4 was read, and harm was found");
        assert_eq!(proof.standing(10 * DAY, at(11)).proved, SLICES - 1);
        assert_eq!(proof.standing(10 * DAY, at(11)).oldest_at, None);
        proof.take(&read(4, true), at(11));
        let standing = proof.standing(10 * DAY, at(19));
        assert_eq!((standing.proved, standing.overdue_since, standing.oldest_at), (SLICES, None, Some(at(9))));
        assert_eq!(proof.standing(10 * DAY, at(20)).proved, 1);
        assert_eq!(overdue(&proof, 20), Some(at(19)));
        proof.take(&read(4, false), at(21));
        assert_eq!(proof.slices[3], SliceState { read_at: Some(at(21)), proved_at: Some(at(11)) });
    }

    #[test]
    fn another_division_proves_nothing_and_old_drills_go() {
        let mut proof = proof();
        let none = proof.clone();
        proof.take(&SliceRead { slice: Slice { number: 1, of: 7 }, ..read(1, true) }, at(1));
        proof.take(&read(0, true), at(1));
        proof.take(&read(SLICES + 1, true), at(1));
        assert_eq!(proof, none);
        for bytes in 0..15 {
            let drill = Some(DrillRate { bytes, took: DAY });
            proof.take(&SliceRead { drill, ..read(1, true) }, at(1));
        }
        assert_eq!(proof.drills.iter().map(|drill| drill.bytes).collect::<Vec<_>>(), (5..15).collect::<Vec<_>>());
    }
}
