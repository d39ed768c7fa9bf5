//! The rules that keep a snapshot, as values and in words.

use std::fmt;

use jiff::Timestamp;

use super::policy::Period;
use super::within::Within;

/// Why a snapshot is kept. It prints as a clause after "kept: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason<Id> {
    /// The policy names no rule.
    NoRule,
    /// No plan backs its item up any more.
    NoPlan,
    /// Among the newest so many.
    Last,
    /// The newest of its period, and the rule had one left.
    Newest(Period),
    /// The oldest of all, kept because the rule of the period had one left; none for the rule of the last ones.
    Oldest(Option<Period>),
    /// Young enough.
    Within(Within),
    /// Young enough, and the newest of its period.
    WithinNewest(Period, Within),
    /// Young enough for the rule of this period, and the oldest of all.
    WithinOldest(Period, Within),
    /// Has all of these tags.
    Tags(Vec<String>),
    /// Somebody pinned it.
    Pinned,
    /// A plan that was retired made it or kept it.
    Retired,
    /// So much changed at once in its plan that a person has to look first.
    Suspected,
    /// Under a legal hold.
    Held,
    /// Protected until this moment.
    Protected(Timestamp),
    /// Dated in the future: a wrong clock, or somebody who wants the others forgotten.
    Future,
    /// The newest good one.
    NewestGood,
    /// The newest one, while none is good.
    NewestOfNoneGood,
    /// The minimum count needs it.
    Minimum(u32),
    /// A kept one cannot be restored without it.
    ParentOf(Id),
}

impl<Id: fmt::Display> fmt::Display for Reason<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspected => write!(f, "much changed at once, and a person has to look first"),
            Self::NoRule => write!(f, "the policy names no rule"),
            Self::NoPlan => write!(f, "no plan backs it up any more"),
            Self::Last => write!(f, "last"),
            Self::Newest(period) => write!(f, "{}", period.word()),
            Self::Oldest(period) => write!(f, "oldest {}", period.map_or("last", Period::word)),
            Self::Within(within) => write!(f, "within {within}"),
            Self::WithinNewest(period, within) => write!(f, "{} within {within}", period.word()),
            Self::WithinOldest(period, within) => write!(f, "oldest {} within {within}", period.word()),
            Self::Tags(tags) => write!(f, "tags {}", tags.join(",")),
            Self::Pinned => write!(f, "pinned"),
            Self::Retired => write!(f, "from before a plan of it was retired"),
            Self::Held => write!(f, "legal hold"),
            Self::Protected(until) => write!(f, "protected until {until:.0}"),
            Self::Future => write!(f, "dated in the future, so it keeps no other alive"),
            Self::NewestGood => write!(f, "newest good one"),
            Self::NewestOfNoneGood => write!(f, "newest one, as none is good"),
            Self::Minimum(count) => write!(f, "minimum of {count}"),
            Self::ParentOf(child) => write!(f, "{child} needs it"),
        }
    }
}
