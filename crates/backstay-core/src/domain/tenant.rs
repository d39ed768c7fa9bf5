//! Whose data it is.

use super::id::TenantId;
use super::name::Name;

/// A tenant: a customer, a project, a group of users, or the one person with a laptop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique in the installation.
    pub name: Name,
}
