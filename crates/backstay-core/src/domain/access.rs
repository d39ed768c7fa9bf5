//! Who may do what: roles, what is asked of the API, and how far a token reaches.
//!
//! [`may`] is the one table. A token of one tenant never reaches another: to it, other tenants' rows do not exist.
//! Absent on purpose: rows, headers, hashes.

use super::id::TenantId;
use super::job::JobKind;

/// What a token's holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the installation: everything, of every tenant.
    Admin,
    /// Keeps it going: sees, declares, asks for backups and verifies; never looks into data or restores it.
    Operator,
    /// Everything of one tenant.
    TenantAdmin,
    /// Looks into snapshots and restores them.
    Restorer,
    /// Sees what there is and what happened; no names inside snapshots.
    Reader,
    /// Leases jobs and hands in what came of them; nothing else.
    Agent,
    /// Pings monitors of one tenant, by URLs that have the token in them; nothing else.
    Pinger,
}

super::job::words!(Role: Admin = "admin", Operator = "operator", TenantAdmin = "tenant_admin", Restorer = "restorer",
    Reader = "reader", Agent = "agent",
    Pinger = "pinger");

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// To know what this program can: kinds and their settings.
    Describe,
    /// To see what is declared and what happened.
    Look,
    /// To see names inside a snapshot.
    Browse,
    /// To declare and change.
    Declare,
    /// To ask for a backup, a verify, or a job's end.
    Run,
    /// To bring data of a snapshot somewhere.
    Restore,
    /// To make and revoke tokens.
    Grant,
    /// To see and change what belongs to the installation as a whole.
    Oversee,
    /// To lease jobs and hand in results.
    Work,
    /// To destroy for ever what a tenant has.
    Destroy,
}

super::job::words!(Action: Describe = "describe", Look = "look", Browse = "browse", Declare = "declare", Run = "run",
    Restore = "restore", Grant = "grant", Oversee = "oversee", Work = "work",
    Destroy = "destroy");

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What its holder is.
    pub role: Role,
    /// The one tenant that it reaches; none for all of them.
    pub tenant_id: Option<TenantId>,
    /// The job kinds that an agent may lease; empty for all.
    pub kinds: Vec<JobKind>,
}

/// A scope that no token may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A role of the whole installation with a tenant.
    #[error("the role {} is one of the whole installation: leave the tenant out", role.word())]
    TenantGiven {
        /// The role.
        role: Role,
    },
    /// A role of one tenant without one.
    #[error("the role {} needs a tenant", role.word())]
    TenantMissing {
        /// The role.
        role: Role,
    },
    /// Kinds for a role that leases nothing.
    #[error("the role {} leases no jobs: leave the kinds out", role.word())]
    KindsGiven {
        /// The role.
        role: Role,
    },
}

/// Says whether a role may do what is asked. The only table.
pub const fn may(role: Role, action: Action) -> bool {
    use Action::*;
    match role {
        Role::Admin => !matches!(action, Work),
        Role::Operator => matches!(action, Describe | Look | Declare | Run | Oversee),
        Role::TenantAdmin => matches!(action, Describe | Look | Browse | Declare | Run | Restore | Grant),
        Role::Restorer => matches!(action, Describe | Look | Browse | Restore),
        Role::Reader => matches!(action, Describe | Look),
        Role::Agent => matches!(action, Describe | Work),
        Role::Pinger => false,
    }
}

impl Scope {
    /// Judges a scope.
    ///
    /// # Errors
    /// [`ScopeError`]: a tenant or kinds where the role has none, or no tenant where it needs one.
    pub fn new(role: Role, tenant_id: Option<TenantId>, kinds: Vec<JobKind>) -> Result<Self, ScopeError> {
        match (role, tenant_id) {
            // An agent opens repositories of whichever tenant's job is due.
            (Role::Admin | Role::Operator | Role::Agent, Some(_)) => Err(ScopeError::TenantGiven { role }),
            (Role::TenantAdmin | Role::Pinger, None) => Err(ScopeError::TenantMissing { role }),
            _ if role != Role::Agent && !kinds.is_empty() => Err(ScopeError::KindsGiven { role }),
            _ => Ok(Self { role, tenant_id, kinds }),
        }
    }

    /// Returns the scope of the installation itself: its own command line and its own agent.
    pub const fn installation() -> Self {
        Self { role: Role::Admin, tenant_id: None, kinds: Vec::new() }
    }

    /// Says whether this scope may do what is asked, of one tenant or (none) of the installation as a whole.
    pub fn may(&self, action: Action, tenant: Option<TenantId>) -> bool {
        may(self.role, action) && self.reaches(tenant)
    }

    /// Says whether rows of a tenant exist for this scope; none are rows of the installation as a whole.
    pub fn reaches(&self, tenant: Option<TenantId>) -> bool {
        self.tenant_id.is_none() || self.tenant_id == tenant
    }

    /// Says whether a holder of this scope may make a token of another: never one that can do more than its own.
    pub fn may_grant(&self, other: &Scope) -> bool {
        let within = Action::ALL.iter().all(|action| may(self.role, *action) || !may(other.role, *action));
        // The installation's admin gives agents their tokens without being one.
        let within = within || (self.role == Role::Admin && other.role == Role::Agent);
        may(self.role, Action::Grant) && self.reaches(other.tenant_id) && within
    }

    /// Returns which of the wished kinds an agent of this scope may lease.
    pub fn kinds_of(&self, wished: Vec<JobKind>) -> Vec<JobKind> {
        let allowed = |kind: &JobKind| self.kinds.is_empty() || self.kinds.contains(kind);
        wished.into_iter().filter(allowed).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn tenant(number: u8) -> TenantId {
        TenantId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    #[test]
    fn roles_may_what_the_table_says() {
        let words = |role| {
            let allowed = Action::ALL.iter().filter(|action| may(role, **action));
            allowed.map(|action| action.word()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words(Role::Admin), "describe look browse declare run restore grant oversee destroy");
        assert_eq!(words(Role::Operator), "describe look declare run oversee");
        assert_eq!(words(Role::TenantAdmin), "describe look browse declare run restore grant");
        assert_eq!(words(Role::Restorer), "describe look browse restore");
        assert_eq!(words(Role::Reader), "describe look");
        assert_eq!(words(Role::Agent), "describe work");
        assert_eq!(words(Role::Pinger), "");
    }

    #[test]
    fn a_scope_of_one_tenant_reaches_no_other() {
        let own = Scope::new(Role::TenantAdmin, Some(tenant(1)), vec![]).unwrap();
        assert!(own.may(Action::Look, Some(tenant(1))));
        assert!(!own.may(Action::Look, Some(tenant(2))));
        assert!(!own.may(Action::Look, None));
        assert!(Scope::installation().may(Action::Look, Some(tenant(2))));
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        let scope = |role, tenant| Scope::new(role, tenant, vec![]).unwrap();
        let own = scope(Role::TenantAdmin, Some(tenant(1)));
        assert!(own.may_grant(&scope(Role::Restorer, Some(tenant(1)))));
        assert!(!own.may_grant(&scope(Role::Restorer, Some(tenant(2)))));
        assert!(!own.may_grant(&scope(Role::Reader, None)));
        assert!(!own.may_grant(&scope(Role::Agent, None)));
        assert!(!own.may_grant(&scope(Role::Admin, None)));
        assert!(!scope(Role::Operator, None).may_grant(&scope(Role::Reader, None)));
        for role in Role::ALL {
            let tenant = matches!(role, Role::TenantAdmin | Role::Pinger).then(|| tenant(1));
            assert!(Scope::installation().may_grant(&scope(*role, tenant)), "{role:?}");
        }
    }

    #[test]
    fn scopes_that_mean_nothing_are_refused() {
        assert!(Scope::new(Role::Admin, Some(tenant(1)), vec![]).is_err());
        assert!(Scope::new(Role::TenantAdmin, None, vec![]).is_err());
        assert!(Scope::new(Role::Reader, None, vec![JobKind::Backup]).is_err());
        let agent = Scope::new(Role::Agent, None, vec![JobKind::Verify]).unwrap();
        assert_eq!(agent.kinds_of(vec![JobKind::Backup, JobKind::Verify]), [JobKind::Verify]);
    }
}
