//! Ids are types, so that a plan's id is never taken for a job's.
//!
//! An id is a UUID of version 7: its order is the order of creation, on every database. Time and randomness come in
//! as arguments.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

/// A text that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id (a UUID such as 0197f0c2-0000-7000-8000-000000000000)")]
pub struct IdError {
    /// What was given.
    pub text: String,
}

/// Makes a version 7 UUID from a moment and ten random bytes.
fn uuid_at(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Returns the moment in a UUID.
fn moment_of(id: Uuid) -> Timestamp {
    let at = id.get_timestamp().map(|at| at.to_unix());
    let (seconds, nanoseconds) = at.unwrap_or_default();
    let seconds = i64::try_from(seconds).unwrap_or(0);
    Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).unwrap_or_default()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id from the present moment and ten random bytes.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_at(now, random))
            }

            /// Wraps an id that a row or a request carried.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// Returns the moment that it was made from, to the millisecond; 1970 for one that carries none.
            pub fn made_at(self) -> Timestamp {
                moment_of(self.0)
            }

            /// Returns the plain UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError { text: text.to_owned() })
            }
        }
    )+};
}

ids! {
    /// Names a tenant.
    TenantId,
    /// Names a source.
    SourceId,
    /// Names an item of a source.
    ItemId,
    /// Names a plan.
    PlanId,
    /// Names a repository.
    RepositoryId,
    /// Names a job.
    JobId,
    /// Names a job set.
    JobSetId,
    /// Names a snapshot's row; the repository knows the snapshot by its foreign id.
    SnapshotId,
    /// Names a record of evidence.
    EvidenceId,
    /// Names an event.
    EventId,
    /// Names an agent: one process, one id.
    AgentId,
    /// Names a token of the API; never the token.
    TokenId,
    /// Names a maintenance window.
    MaintenanceId,
    /// Names a record of who asked for a change.
    ChangeId,
    /// Names a channel.
    ChannelId,
    /// Names an alert.
    AlertId,
    /// Names a message on its way to a channel.
    MessageId,
    /// Names a template of plans.
    TemplateId,
    /// Names a storage.
    StorageId,
    /// Names a monitor.
    MonitorId,
    /// Names a ping that came for a monitor.
    PingId,
    /// Names the purge of a tenant.
    PurgeId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_moment_they_were_made() {
        let early = JobId::new(Timestamp::from_millisecond(1_000).unwrap(), [255; 10]);
        let late = JobId::new(Timestamp::from_millisecond(1_001).unwrap(), [0; 10]);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn an_id_knows_when_it_was_made() {
        let at = Timestamp::from_millisecond(1_767_225_600_123).unwrap();
        assert_eq!(JobId::new(at, [9; 10]).made_at(), at);
        assert_eq!(JobId::from_uuid(Uuid::nil()).made_at(), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_text_that_is_no_id_is_named() {
        assert_eq!("7".parse::<PlanId>().unwrap_err().text, "7");
    }
}
