//! An immutable state of an item, saved in a repository.

use jiff::Timestamp;

use super::id::{ItemId, JobId, RepositoryId, SnapshotId, TenantId};
use super::job::{JobCounts, Outcome};

/// A snapshot's row. It exists once its job's finish was accepted, and only then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id here.
    pub id: SnapshotId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The item that it is a state of.
    pub item_id: ItemId,
    /// Where it lies.
    pub repository_id: RepositoryId,
    /// The job that made it.
    pub job_id: JobId,
    /// How the repository calls it: for restic its 64 hexadecimal digits.
    pub foreign_id: String,
    /// The snapshot that it cannot be restored without; none when it stands alone, as restic's do.
    pub parent_id: Option<SnapshotId>,
    /// When its data was read: the beginning of the job's reading.
    pub taken_at: Timestamp,
    /// Whether some entries are missing from it.
    pub outcome: Outcome,
    /// Whether it counts for the RPO and is never dropped as the newest: nothing is missing, or its plan accepted, when
    /// it was made, all that is.
    pub is_good: bool,
    /// When a backup last found its item as it has it; none when none did.
    pub confirmed_at: Option<Timestamp>,
    /// What it holds.
    pub counts: JobCounts,
    /// Nobody may delete it before this moment; none when it is not protected.
    pub protected_until: Option<Timestamp>,
    /// Since when a person keeps it, whatever the rules say.
    pub pinned_at: Option<Timestamp>,
    /// Since when it is under a legal hold.
    pub held_at: Option<Timestamp>,
    /// Since when a person wants it forgotten, whatever rule keeps it.
    pub unwanted_at: Option<Timestamp>,
    /// When it was forgotten: its row stays as a fact of the past, and it can be read no more. None while it is there.
    pub forgotten_at: Option<Timestamp>,
}

impl Snapshot {
    /// Returns the moment of which it proves the item's state: when it was taken, or last confirmed as far as that is not
    /// in the future.
    pub fn proved_at(&self, now: Timestamp) -> Timestamp {
        self.confirmed_at.filter(|at| *at <= now).map_or(self.taken_at, |at| at.max(self.taken_at))
    }
}

/// What a person says of a snapshot against the rules of retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// It is to be kept.
    Pin,
    /// It is under a legal hold.
    Hold,
    /// It is to be forgotten. What else keeps it (a pin, a hold, protection, a job, being the newest good one of an item that
    /// is still backed up) keeps it.
    Unwanted,
}

/// A snapshot that a runner published, before it has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedSnapshot {
    /// How the repository calls it.
    pub foreign_id: String,
    /// When its data was read.
    pub taken_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn check(taken: i64, confirmed: Option<i64>, now: i64, expected: i64) {
        let snapshot = Snapshot {
            id: SnapshotId::new(at(0), [1; 10]),
            tenant_id: TenantId::new(at(0), [2; 10]),
            item_id: ItemId::new(at(0), [3; 10]),
            repository_id: RepositoryId::new(at(0), [4; 10]),
            job_id: JobId::new(at(0), [5; 10]),
            foreign_id: String::new(),
            parent_id: None,
            taken_at: at(taken),
            outcome: Outcome::Complete,
            is_good: true,
            confirmed_at: confirmed.map(at),
            counts: JobCounts::default(),
            protected_until: None,
            pinned_at: None,
            held_at: None,
            unwanted_at: None,
            forgotten_at: None,
        };
        assert_eq!(snapshot.proved_at(at(now)), at(expected), "{taken} {confirmed:?} {now}");
    }

    #[test]
    fn a_confirmation_makes_a_snapshot_younger_and_never_older() {
        check(1, None, 6, 1);
        check(1, Some(5), 6, 5);
        check(5, Some(1), 6, 5);
        check(1, Some(23), 6, 1);
    }
}
