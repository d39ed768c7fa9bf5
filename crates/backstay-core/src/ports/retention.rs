//! The store behind the upkeep of repositories: what lies in one, what may not go, when it is next looked at, and how far
//! its proof is.
//!
//! Who comes in: `managers::{retention, proof}` and the doors of snapshots, plans and repositories.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreError;
use crate::domain::anomaly::Suspicion;
use crate::domain::attempt::LeaseKey;
use crate::domain::event::Event;
use crate::domain::id::{JobId, PlanId, RepositoryId, SnapshotId};
use crate::domain::job::{Job, JobKind};
use crate::domain::proof::{Proof, VerifyBudget};
use crate::domain::repository::RepositoryEpoch;
use crate::domain::snapshot::{Mark, Snapshot};

/// When a repository is next looked at for what retention does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// The repository.
    pub repository_id: RepositoryId,
    /// When.
    pub due_at: Timestamp,
    /// Whether a prune left data behind that goes with a later one, after its grace.
    pub has_pending: bool,
}

/// Snapshots as retention sees them.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Returns all snapshots of a repository that were not forgotten, oldest first.
    async fn snapshot_list_whole(&self, repository: RepositoryId) -> Result<Vec<Snapshot>, StoreError>;

    /// Returns the snapshots of a repository that jobs which have not ended are told to read.
    async fn snapshot_list_wanted(&self, repository: RepositoryId) -> Result<Vec<SnapshotId>, StoreError>;

    /// Returns the newest attempt of each job of these kinds on a repository that has not ended, was begun, and is nobody's
    /// now.
    async fn lease_list_over(&self, repository: RepositoryId, kinds: &[JobKind]) -> Result<Vec<LeaseKey>, StoreError>;

    /// Returns the epoch that a repository had under the newest prune whose end was taken in; zero when there is none.
    async fn prune_settled(&self, repository: RepositoryId) -> Result<RepositoryEpoch, StoreError>;

    /// Returns the prune of a repository that has not ended; none when there is none.
    async fn prune_live(&self, repository: RepositoryId) -> Result<Option<JobId>, StoreError>;

    /// Sets or lifts what a person says of a snapshot against all rules, and returns it. Asking twice is asking once.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while a job has the repository alone: it was told what to forget already.
    /// [`StoreError::NotFound`] when there is no such snapshot, or it was forgotten.
    async fn snapshot_mark(&self, id: SnapshotId, mark: Mark, is_set: bool) -> Result<Snapshot, StoreError>;

    /// Returns all plans that are suspected.
    async fn suspicion_list(&self) -> Result<Vec<Suspicion>, StoreError>;

    /// Lifts what a plan is suspected of, and tells it; false, and nothing is told, when it is not suspected.
    async fn suspicion_clear(&self, plan: PlanId, event: &Event) -> Result<bool, StoreError>;

    /// Returns repositories whose `due_at` is not after `now`, the longest due first.
    async fn upkeep_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Upkeep>, StoreError>;

    /// Moves the moment of a repository's next look; false, and nothing is written, when `seen` is not what is there.
    async fn upkeep_put(&self, seen: &Upkeep, due_at: Timestamp) -> Result<bool, StoreError>;

    /// Returns how far the proofs of repositories are whose `due_at` is not after `now`, the longest due first.
    async fn proof_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Proof>, StoreError>;

    /// Writes what a look led to: `due_at`, `began_at` and `drilled_item_id` of `next`, never its slices, which settlements
    /// write. False, and nothing is written, when `seen` is not due at the moment that is there.
    async fn proof_put(&self, seen: &Proof, next: &Proof) -> Result<bool, StoreError>;

    /// Returns how far the proof of a repository is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such repository.
    async fn proof_get(&self, repository: RepositoryId) -> Result<Proof, StoreError>;

    /// Returns how far the proofs of these repositories are, in the order of their ids. As many as a page has, at most.
    async fn proof_list(&self, repositories: &[RepositoryId]) -> Result<Vec<Proof>, StoreError>;

    /// Returns the verify of a slice of a repository that has not ended, a parked one too; none when there is none.
    async fn slice_open(&self, repository: RepositoryId) -> Result<Option<Job>, StoreError>;

    /// Gives a repository another budget, whose time begins with the next look; that look is due at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Retired`].
    async fn budget_put(&self, repository: RepositoryId, budget: VerifyBudget) -> Result<(), StoreError>;
}
