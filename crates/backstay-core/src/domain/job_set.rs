//! Ordered jobs under one id: complete only when each member is.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::id::{JobSetId, TenantId};
use super::job::{Job, Outcome, StateName};
use super::name::Name;

/// A job set's row; its members are the jobs that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSet {
    /// Its id.
    pub id: JobSetId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is called.
    pub name: Name,
    /// How many members were asked for; one that was not begun is missing for ever.
    pub wanted: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Says whether a member has done all that was asked of it.
pub const fn is_done(member: (StateName, Option<Outcome>)) -> bool {
    matches!(member, (StateName::Succeeded, Some(Outcome::Complete | Outcome::Unchanged)))
}

/// Says whether a set is complete: it has all members that were asked for, and each succeeded completely or found nothing
/// changed.
pub fn is_complete(wanted: u32, members: &[(StateName, Option<Outcome>)]) -> bool {
    !members.is_empty() && members.len() == wanted as usize && members.iter().copied().all(is_done)
}

/// Returns the members of a set in their order: of several jobs in one place the newest, which was asked for when the one
/// before it had failed.
pub fn members(jobs: Vec<Job>) -> Vec<Job> {
    let mut places: BTreeMap<u32, Job> = BTreeMap::new();
    for job in jobs {
        let Some((_, place)) = job.set else { continue };
        if places.get(&place).is_none_or(|known| known.id < job.id) {
            places.insert(place, job);
        }
    }
    places.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_complete_only_when_each_member_is() {
        let done = (StateName::Succeeded, Some(Outcome::Complete));
        let partial = (StateName::Succeeded, Some(Outcome::Partial));
        assert!(is_complete(2, &[done, (StateName::Succeeded, Some(Outcome::Unchanged))]));
        assert!(!is_complete(2, &[done, partial]));
        assert!(!is_complete(2, &[done, (StateName::Leased, None)]));
        assert!(!is_complete(2, &[done]), "one was not begun");
        assert!(!is_complete(0, &[]));
    }
}
