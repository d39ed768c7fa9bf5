//! When nothing starts: maintenance windows and the pause of the whole installation.

use jiff::Timestamp;

use crate::domain::id::TenantId;

/// A time in which nothing is started; what runs goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// What a person calls it.
    pub name: String,
    /// Whose plans it holds back; none for everybody's.
    pub tenant_id: Option<TenantId>,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// What holds back starts in the installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Why the whole installation is paused; none while it is not.
    pub global_pause: Option<String>,
    /// Maintenance windows, in any order.
    pub maintenance: Vec<Maintenance>,
}

impl Calendar {
    /// Returns why nothing of the tenant may start now, in words; none when it may.
    pub fn held(&self, tenant: TenantId, now: Timestamp) -> Option<String> {
        if let Some(reason) = &self.global_pause {
            return Some(format!("the installation is paused: {reason}"));
        }
        let mine = |window: &&Maintenance| window.tenant_id.is_none_or(|id| id == tenant);
        let window = self.maintenance.iter().filter(mine).filter(|window| window.from <= now && now < window.until);
        let last = window.max_by_key(|window| window.until)?;
        Some(format!("maintenance `{}` until {:.0}", last.name, last.until))
    }
}
