//! The store of retention on the stage.

use async_trait::async_trait;
use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{JobId, PlanId, RepositoryId, SnapshotId};
use backstay_core::domain::job::{Job, JobKind};
use backstay_core::domain::proof::{Proof, VerifyBudget};
use backstay_core::domain::repository::RepositoryEpoch;
use backstay_core::domain::snapshot::{Mark, Snapshot};
use backstay_core::ports::retention::{RetentionStore, Upkeep};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;

use super::SteppedStore;
use crate::mutant::Mutant;

#[async_trait]
impl RetentionStore for SteppedStore {
    async fn snapshot_list_whole(&self, repository: RepositoryId) -> Result<Vec<Snapshot>, StoreError> {
        let rows = self.reads("snapshot_list_whole", self.database.snapshot_list_whole(repository)).await?;
        if !self.is(Mutant::NoMarks) {
            return Ok(rows);
        }
        let bare = |row: Snapshot| Snapshot { pinned_at: None, held_at: None, ..row };
        Ok(rows.into_iter().map(bare).collect())
    }
    async fn snapshot_list_wanted(&self, repository: RepositoryId) -> Result<Vec<SnapshotId>, StoreError> {
        self.reads("snapshot_list_wanted", self.database.snapshot_list_wanted(repository)).await
    }
    async fn lease_list_over(&self, repository: RepositoryId, kinds: &[JobKind]) -> Result<Vec<LeaseKey>, StoreError> {
        self.reads("lease_list_over", self.database.lease_list_over(repository, kinds)).await
    }

    async fn prune_settled(&self, repository: RepositoryId) -> Result<RepositoryEpoch, StoreError> {
        self.reads("prune_settled", self.database.prune_settled(repository)).await
    }

    async fn prune_live(&self, repository: RepositoryId) -> Result<Option<JobId>, StoreError> {
        self.reads("prune_live", self.database.prune_live(repository)).await
    }
    async fn snapshot_mark(&self, id: SnapshotId, mark: Mark, is_set: bool) -> Result<Snapshot, StoreError> {
        self.writes("snapshot_mark", self.database.snapshot_mark(id, mark, is_set)).await
    }
    async fn suspicion_list(&self) -> Result<Vec<Suspicion>, StoreError> {
        self.reads("suspicion_list", self.database.suspicion_list()).await
    }
    async fn suspicion_clear(&self, plan: PlanId, event: &Event) -> Result<bool, StoreError> {
        self.writes("suspicion_clear", self.database.suspicion_clear(plan, event)).await
    }
    async fn upkeep_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Upkeep>, StoreError> {
        self.reads("upkeep_list_due", self.database.upkeep_list_due(now, rows_max)).await
    }
    async fn upkeep_put(&self, seen: &Upkeep, due_at: Timestamp) -> Result<bool, StoreError> {
        self.writes("upkeep_put", self.database.upkeep_put(seen, due_at)).await
    }
    async fn proof_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Proof>, StoreError> {
        self.reads("proof_list_due", self.database.proof_list_due(now, rows_max)).await
    }
    async fn proof_put(&self, seen: &Proof, next: &Proof) -> Result<bool, StoreError> {
        self.writes("proof_put", self.database.proof_put(seen, next)).await
    }
    async fn proof_get(&self, repository: RepositoryId) -> Result<Proof, StoreError> {
        self.reads("proof_get", self.database.proof_get(repository)).await
    }
    async fn proof_list(&self, repositories: &[RepositoryId]) -> Result<Vec<Proof>, StoreError> {
        self.reads("proof_list", self.database.proof_list(repositories)).await
    }
    async fn slice_open(&self, repository: RepositoryId) -> Result<Option<Job>, StoreError> {
        self.reads("slice_open", self.database.slice_open(repository)).await
    }
    async fn budget_put(&self, repository: RepositoryId, budget: VerifyBudget) -> Result<(), StoreError> {
        self.writes("budget_put", self.database.budget_put(repository, budget)).await
    }
}
