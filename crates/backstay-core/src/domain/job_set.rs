//! Ordered jobs under one id: complete only when each member is.

use jiff::Timestamp;

use super::id::{JobSetId, TenantId};
use super::job::{Outcome, StateName};
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
    /// When it was made.
    pub created_at: Timestamp,
}

/// Says whether a set is complete: it has members, and each succeeded completely or found nothing changed.
pub fn is_complete(members: &[(StateName, Option<Outcome>)]) -> bool {
    !members.is_empty()
        && members
            .iter()
            .all(|member| matches!(member, (StateName::Succeeded, Some(Outcome::Complete | Outcome::Unchanged))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_complete_only_when_each_member_is() {
        let done = (StateName::Succeeded, Some(Outcome::Complete));
        let partial = (StateName::Succeeded, Some(Outcome::Partial));
        assert!(is_complete(&[done, (StateName::Succeeded, Some(Outcome::Unchanged))]));
        assert!(!is_complete(&[done, partial]));
        assert!(!is_complete(&[done, (StateName::Leased, None)]));
        assert!(!is_complete(&[]));
    }
}
