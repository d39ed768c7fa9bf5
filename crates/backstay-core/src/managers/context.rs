//! What the managers share: the stores, the clock, randomness, and the making of ids and events.

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::event::{Event, EventKind};
use crate::domain::id::{EventId, ItemId, JobId, TenantId};
use crate::ports::clock::Clock;
use crate::ports::notice::NoticeStore;
use crate::ports::random::{Random, ten_bytes};
use crate::ports::retention::RetentionStore;
use crate::ports::schedule::ScheduleStore;
use crate::ports::secret::SecretStore;
use crate::ports::signer::Signer;
use crate::ports::store::{DeclarationStore, HistoryStore, JobStore};

/// The ports of the control plane, as a role put them together.
#[derive(Clone)]
pub struct Context {
    /// What people declare.
    pub declarations: Arc<dyn DeclarationStore>,
    /// What happened.
    pub history: Arc<dyn HistoryStore>,
    /// The queue.
    pub jobs: Arc<dyn JobStore>,
    /// How far the plans are.
    pub schedules: Arc<dyn ScheduleStore>,
    /// What retention works on.
    pub retention: Arc<dyn RetentionStore>,
    /// What is told to people, and how far that is.
    pub notices: Arc<dyn NoticeStore>,
    /// Where secrets are kept.
    pub secrets: Arc<dyn SecretStore>,
    /// Signs evidence.
    pub signer: Arc<dyn Signer>,
    /// The present moment, for the instants that rows show; expiry is the store's own matter.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and seeds.
    pub random: Arc<dyn Random>,
}

impl Context {
    /// Returns the present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns ten random bytes, for an id.
    pub fn ten(&self) -> [u8; 10] {
        ten_bytes(&*self.random)
    }

    /// Makes an event about a job.
    pub fn event(
        &self,
        kind: EventKind,
        about: (TenantId, Option<JobId>, Option<ItemId>),
        at: Timestamp,
        message: String,
    ) -> Event {
        let (tenant_id, job_id, item_id) = about;
        Event { id: EventId::new(at, self.ten()), tenant_id, kind, job_id, item_id, at, message }
    }
}
