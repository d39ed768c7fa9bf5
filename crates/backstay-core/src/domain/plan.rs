//! What is protected and how.

use std::time::Duration;

use jiff::Timestamp;

use super::backup::BackupTerms;
use super::id::{PlanId, RepositoryId, SourceId, TenantId};
use super::name::Name;
use super::retention::RetentionPolicy;
use super::schedule::Schedule;
use super::template::Said;

/// A plan ties a source to a repository, with its schedule and its RPO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant.
    pub name: Name,
    /// What is read.
    pub source_id: SourceId,
    /// Where the snapshots lie.
    pub repository_id: RepositoryId,
    /// The template whose values it takes where it says nothing itself; none for a plan by itself.
    pub template: Option<Name>,
    /// What it says itself. What holds stands in the four below: nobody who works with a plan asks its templates.
    pub said: Said,
    /// When.
    pub schedule: Schedule,
    /// How old the newest good snapshot of an item may be.
    pub rpo: Duration,
    /// Which snapshots of each item are kept; the default keeps everything.
    pub retention: RetentionPolicy,
    /// How its backups go about their work.
    pub backup: BackupTerms,
    /// When the plan was made: its schedule counts from here.
    pub created_at: Timestamp,
    /// When it was given the repository that it has; none for one that it was made with.
    pub moved_at: Option<Timestamp>,
    /// When it was retired: nothing new is made of it then, and what it made stays; none while it lives.
    pub retired_at: Option<Timestamp>,
}

impl Plan {
    /// Returns the moment from which an item without a snapshot in the plan's repository counts its RPO.
    pub fn rpo_from(&self) -> Timestamp {
        self.moved_at.unwrap_or(self.created_at)
    }
}

/// Returns the moment when an item breaches its RPO: counted from its newest good snapshot, or from when the plan
/// began with its repository ([`Plan::rpo_from`]) if there is none.
pub fn breach_at(rpo: Duration, newest_good: Option<Timestamp>, plan_began_at: Timestamp) -> Timestamp {
    newest_good.unwrap_or(plan_began_at).saturating_add(rpo).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpo_counts_from_the_newest_good_snapshot() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(breach_at(hour, None, at(100)), at(3_700));
        assert_eq!(breach_at(hour, Some(at(50_000)), at(100)), at(53_600));
        assert_eq!(breach_at(Duration::MAX, None, at(100)), Timestamp::MAX);
    }
}
