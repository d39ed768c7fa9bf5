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

/// Why nothing may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// In words.
    pub reason: String,
    /// When it ends by itself; none when a person must end it.
    pub until: Option<Timestamp>,
}

impl Calendar {
    /// Puts together what holds back at a moment and later: a window of everybody without an end is the pause of the
    /// installation, while it lasts.
    pub fn of(windows: impl IntoIterator<Item = Maintenance>, now: Timestamp) -> Self {
        let is_pause = |window: &Maintenance| window.tenant_id.is_none() && window.until == Timestamp::MAX;
        let (pauses, maintenance): (Vec<_>, Vec<_>) = windows.into_iter().partition(is_pause);
        let pause = pauses.into_iter().find(|pause| pause.from <= now);
        Self { global_pause: pause.map(|pause| pause.name), maintenance }
    }

    /// Returns why nothing of the tenant may start now; none when it may.
    pub fn held(&self, tenant: TenantId, now: Timestamp) -> Option<Held> {
        if let Some(reason) = &self.global_pause {
            return Some(Held { reason: format!("the installation is paused: {reason}"), until: None });
        }
        let mine = |window: &&Maintenance| window.tenant_id.is_none_or(|id| id == tenant);
        let window = self.maintenance.iter().filter(mine).filter(|window| window.from <= now && now < window.until);
        let last = window.max_by_key(|window| window.until)?;
        let reason = format!("maintenance `{}` until {:.0}", last.name, last.until);
        Some(Held { reason, until: Some(last.until) })
    }
}
