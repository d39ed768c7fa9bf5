//! Append-only facts about what happened, chained by hash for each tenant.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::id::{EventId, ItemId, JobId, TenantId};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A job was put in the queue.
    Enqueued,
    /// A job was not enqueued, because another one does the same.
    Skipped,
    /// A job succeeded, with whatever outcome.
    Succeeded,
    /// A job ended without its result.
    Failed,
    /// A verify found harm.
    Damaged,
    /// A job ended because a person asked.
    Cancelled,
    /// A job failed too often in one way.
    Parked,
    /// A job whose lease ended was put back in the queue.
    Rescued,
    /// A person holds a plan back.
    Paused,
    /// A person lets a plan go on.
    Resumed,
    /// A job did its work, and something about it wants a look: a hook that failed, a figure unlike those before.
    Warned,
    /// So much changed at once that what is older must not go: prunes keep it until a person has looked.
    Suspected,
    /// A person has looked: prunes go on.
    Cleared,
}

super::job::words!(EventKind: Enqueued = "enqueued", Skipped = "skipped", Succeeded = "succeeded", Failed = "failed",
    Damaged = "damaged", Cancelled = "cancelled", Parked = "parked", Rescued = "rescued",
    Paused = "paused", Resumed = "resumed", Warned = "warned",
    Suspected = "suspected", Cleared = "cleared");

/// One fact, before the store gives it its place in the tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What happened.
    pub kind: EventKind,
    /// The job that it is about; none when it is about no job.
    pub job_id: Option<JobId>,
    /// The item that it is about; none when it is about no item.
    pub item_id: Option<ItemId>,
    /// When.
    pub at: Timestamp,
    /// In words, for a person; never a secret.
    pub message: String,
}

/// Returns the hash that chains an event to the one before it in the same tenant: SHA-256 over a versioned text.
/// `previous` is the hash of the event before; none for a tenant's first.
pub fn chain_hash(event: &Event, sequence: i64, previous: Option<&str>) -> String {
    let id = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
    let text = format!(
        "backstay-event 1\nsequence {sequence}\nprevious {}\nid {}\ntenant {}\nkind {}\njob {}\nitem {}\nat {}\n{}\n",
        previous.unwrap_or("-"),
        event.id,
        event.tenant_id,
        event.kind.word(),
        id(event.job_id.map(|id| id.to_string())),
        id(event.item_id.map(|id| id.to_string())),
        event.at.as_microsecond(),
        event.message,
    );
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

/// What is wrong with a tenant's chain of events at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// The next event has a later place.
    #[error("there is no event at this place")]
    Missing,
    /// It says something else than was written, or was written behind another event.
    #[error("its hash is not of its text and of the event before it")]
    Hash,
    /// Its row holds what was never written.
    #[error("it cannot be read: {problem}")]
    Unreadable {
        /// What is wrong with it.
        problem: String,
    },
}

/// Returns what is wrong with an event that stands at a place with a hash, when another one was to be expected there; none
/// when nothing is. `previous` is the hash of the event before it.
pub fn fault_of(event: (&Event, i64, &str), expected: i64, previous: Option<&str>) -> Option<EventFault> {
    let (event, sequence, hash) = event;
    match sequence == expected {
        false => Some(EventFault::Missing),
        true => (chain_hash(event, sequence, previous) != hash).then_some(EventFault::Hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_in_the_chain() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let event = Event {
            id: EventId::new(at, [1; 10]),
            tenant_id: TenantId::new(at, [2; 10]),
            kind: EventKind::Enqueued,
            job_id: None,
            item_id: None,
            at,
            message: "backup of /home was enqueued".to_owned(),
        };
        let hash = chain_hash(&event, 1, None);
        let others = [
            chain_hash(&event, 2, None),
            chain_hash(&event, 1, Some("00")),
            chain_hash(&Event { kind: EventKind::Skipped, ..event.clone() }, 1, None),
            chain_hash(&Event { job_id: Some(JobId::new(at, [3; 10])), ..event.clone() }, 1, None),
            chain_hash(&Event { item_id: Some(ItemId::new(at, [3; 10])), ..event.clone() }, 1, None),
            chain_hash(&Event { message: "x".to_owned(), ..event.clone() }, 1, None),
        ];
        assert!(others.iter().all(|other| *other != hash));
        assert_eq!(chain_hash(&event, 1, None), hash);
    }
}
