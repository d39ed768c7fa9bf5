//! What retention works on, in memory.

use async_trait::async_trait;
use backstay_core::domain::adoption::Adoption;
use backstay_core::domain::anomaly::Suspicion;
use backstay_core::domain::attempt::{AttemptToken, LeaseKey};
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{JobId, PlanId, RepositoryId, SnapshotId, TenantId};
use backstay_core::domain::job::{Instruction, Job, JobKind};
use backstay_core::domain::proof::{Proof, VerifyBudget};
use backstay_core::domain::quota::Usage;
use backstay_core::domain::repository::{Repository, RepositoryAccess, RepositoryEpoch};
use backstay_core::domain::snapshot::{Mark, Snapshot};
use backstay_core::ports::retention::{RetentionStore, Upkeep};
use backstay_core::ports::store::{PAGE_ROWS_MAX, Pruned, StoreError, StoredAfter};
use jiff::Timestamp;

use super::declaration::{found, free, live};
use super::{FakeStores, Rows};

impl Rows {
    /// Adds a snapshot, or makes the row of a look that found it before the row of the job that made it; returns how many
    /// more there are.
    pub(super) fn snapshot_add(&mut self, made: &Snapshot) -> Result<u64, StoreError> {
        let is_same =
            |row: &&mut Snapshot| (row.repository_id, &row.foreign_id) == (made.repository_id, &made.foreign_id);
        let Some(row) = self.snapshots.iter_mut().find(is_same) else {
            self.snapshots.push(made.clone());
            return Ok(1);
        };
        let is_found = self.jobs.get(&row.job_id).is_some_and(|job| job.kind() == JobKind::Discover);
        if !is_found || row.forgotten_at.is_some() {
            return Err(StoreError::Taken { noun: "snapshot", key: made.foreign_id.clone() });
        }
        *row = Snapshot {
            id: row.id,
            confirmed_at: row.confirmed_at,
            pinned_at: row.pinned_at,
            held_at: row.held_at,
            unwanted_at: row.unwanted_at,
            ..made.clone()
        };
        Ok(0)
    }

    /// Writes what a look through a repository found.
    pub(super) fn adopt(&mut self, repository: RepositoryId, adopted: &Adoption) -> Result<(), StoreError> {
        for (source, item) in &adopted.sources {
            free(self.sources.values().any(|row| row.name == source.name), "source", &source.name)?;
            self.sources.insert(source.id, source.clone());
            self.items.insert(item.id, item.clone());
        }
        for new in &adopted.snapshots {
            let same = |row: &Snapshot| (row.repository_id, &row.foreign_id) == (repository, &new.foreign_id);
            if !self.snapshots.iter().any(same) {
                self.snapshots.push(new.clone());
                self.usage.entry(repository).or_default().snapshots += 1;
            }
        }
        for (id, item) in &adopted.moved {
            let mut theirs = self.snapshots.iter_mut().filter(|row| row.id == *id && row.repository_id == repository);
            theirs.by_ref().for_each(|row| row.item_id = *item);
        }
        Ok(())
    }

    /// Writes what a prune removed of a repository.
    pub(super) fn pruned_put(&mut self, repository: RepositoryId, pruned: &Pruned, now: Timestamp) {
        let gone = |row: &&mut Snapshot| {
            row.repository_id == repository && row.forgotten_at.is_none() && pruned.forgotten.contains(&row.id)
        };
        let usage = self.usage.entry(repository).or_default();
        for row in self.snapshots.iter_mut().filter(gone) {
            row.forgotten_at = Some(now);
            usage.snapshots = usage.snapshots.saturating_sub(1);
        }
        usage.bytes = match pruned.stored {
            StoredAfter::Is(bytes) => bytes,
            StoredAfter::Less(bytes) => usage.bytes.saturating_sub(bytes),
        };
        if let Some(upkeep) = self.upkeep.get_mut(&repository) {
            upkeep.has_pending = pruned.has_pending;
        }
        // The prune has the repository alone, so the epoch is its own.
        let epoch = self.repositories.get(&repository).map(|row| row.epoch);
        self.settled.extend(epoch.map(|epoch| (repository, epoch)));
    }

    /// Returns what a tenant stores.
    pub(super) fn usage_of(&self, tenant: TenantId) -> Usage {
        let own = |id: &RepositoryId| self.repositories.get(id).is_some_and(|row| row.tenant_id == tenant);
        let own = self.usage.iter().filter(|(id, _)| own(id));
        own.fold(Usage::default(), |sum, (_, usage)| Usage {
            bytes: sum.bytes.saturating_add(usage.bytes),
            snapshots: sum.snapshots + usage.snapshots,
        })
    }

    fn alone(&self, repository: RepositoryId) -> Option<JobId> {
        let holds = |id: &&JobId| {
            let job = self.jobs.get(id);
            job.is_some_and(|job| {
                job.repository_id == repository && job.kind().repository_access() == RepositoryAccess::Alone
            })
        };
        self.leases.keys().find(holds).copied()
    }
}

#[async_trait]
impl RetentionStore for FakeStores {
    async fn snapshot_list_whole(&self, repository: RepositoryId) -> Result<Vec<Snapshot>, StoreError> {
        let there = |row: &&Snapshot| row.repository_id == repository && row.forgotten_at.is_none();
        let mut rows: Vec<Snapshot> = self.read(|rows| rows.snapshots.iter().filter(there).cloned().collect());
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    async fn snapshot_list_wanted(&self, repository: RepositoryId) -> Result<Vec<SnapshotId>, StoreError> {
        let wanted = |job: &Job| match job.instruction {
            Instruction::Restore { snapshot_id, .. } | Instruction::Verify { snapshot_id, .. } => Some(snapshot_id),
            Instruction::Backup | Instruction::Prune | Instruction::Discover { .. } => None,
        };
        let live = |job: &&Job| job.repository_id == repository && !job.state.name().is_final();
        Ok(self.read(|rows| rows.jobs.values().filter(live).filter_map(wanted).collect()))
    }

    async fn lease_list_over(&self, repository: RepositoryId, kinds: &[JobKind]) -> Result<Vec<LeaseKey>, StoreError> {
        Ok(self.read(|rows| {
            let is_over = |job: &&Job| {
                let is_begun = job.attempt_token > AttemptToken(0) && !rows.leases.contains_key(&job.id);
                job.repository_id == repository
                    && kinds.contains(&job.kind())
                    && !job.state.name().is_final()
                    && is_begun
            };
            let jobs = rows.jobs.values().filter(is_over);
            jobs.map(|job| LeaseKey { job_id: job.id, token: job.attempt_token }).collect()
        }))
    }

    async fn prune_settled(&self, repository: RepositoryId) -> Result<RepositoryEpoch, StoreError> {
        Ok(self.read(|rows| rows.settled.get(&repository).copied().unwrap_or(RepositoryEpoch(0))))
    }

    async fn prune_live(&self, repository: RepositoryId) -> Result<Option<JobId>, StoreError> {
        let live =
            |job: &&Job| job.repository_id == repository && job.kind() == JobKind::Prune && job.state.name().is_live();
        Ok(self.read(|rows| rows.jobs.values().find(live).map(|job| job.id)))
    }

    async fn snapshot_mark(&self, id: SnapshotId, mark: Mark, is_set: bool) -> Result<Snapshot, StoreError> {
        self.write(|rows, now| {
            let row = found(rows.snapshots.iter().find(|row| row.id == id), "snapshot", id)?;
            if let Some(job) = rows.alone(row.repository_id) {
                let by = format!("job {job} has its repository alone and may be removing it");
                return Err(StoreError::Busy { noun: "snapshot", key: id.to_string(), by });
            }
            if row.forgotten_at.is_some() {
                return Err(StoreError::NotFound { noun: "snapshot", key: format!("{id} any more: it was forgotten") });
            }
            let row = rows.snapshots.iter_mut().find(|row| row.id == id).expect("it was found above");
            let at = match mark {
                Mark::Pin => &mut row.pinned_at,
                Mark::Hold => &mut row.held_at,
                Mark::Unwanted => &mut row.unwanted_at,
            };
            *at = is_set.then(|| at.unwrap_or(now));
            Ok(row.clone())
        })
    }

    async fn suspicion_list(&self) -> Result<Vec<Suspicion>, StoreError> {
        Ok(self.read(|rows| rows.suspicions.values().cloned().collect()))
    }

    async fn suspicion_clear(&self, plan: PlanId, event: &Event) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let was = rows.suspicions.remove(&plan).is_some();
            if was {
                rows.event_append(event);
            }
            Ok(was)
        })
    }

    async fn upkeep_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Upkeep>, StoreError> {
        let mut due: Vec<Upkeep> =
            self.read(|rows| rows.upkeep.values().filter(|row| row.due_at <= now).copied().collect());
        due.sort_by_key(|row| row.due_at);
        due.truncate(rows_max.min(PAGE_ROWS_MAX) as usize);
        Ok(due)
    }

    async fn upkeep_put(&self, seen: &Upkeep, due_at: Timestamp) -> Result<bool, StoreError> {
        self.write(|rows, _| match rows.upkeep.get_mut(&seen.repository_id).filter(|row| row.due_at == seen.due_at) {
            Some(row) => {
                row.due_at = due_at;
                Ok(true)
            }
            None => Ok(false),
        })
    }

    async fn proof_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<Proof>, StoreError> {
        let mut due: Vec<Proof> =
            self.read(|rows| rows.proofs.values().filter(|row| row.due_at <= now).cloned().collect());
        due.sort_by_key(|row| row.due_at);
        due.truncate(rows_max.min(PAGE_ROWS_MAX) as usize);
        Ok(due)
    }

    async fn proof_put(&self, seen: &Proof, next: &Proof) -> Result<bool, StoreError> {
        self.write(|rows, _| match rows.proofs.get_mut(&seen.repository_id).filter(|row| row.due_at == seen.due_at) {
            Some(row) => {
                let Proof { due_at, began_at, drilled_item_id, .. } = next.clone();
                *row = Proof { due_at, began_at, drilled_item_id, ..row.clone() };
                Ok(true)
            }
            None => Ok(false),
        })
    }

    async fn proof_get(&self, repository: RepositoryId) -> Result<Proof, StoreError> {
        self.read(|rows| found(rows.proofs.get(&repository), "repository", repository))
    }

    async fn proof_list(&self, repositories: &[RepositoryId]) -> Result<Vec<Proof>, StoreError> {
        let wanted = |row: &&Proof| repositories.contains(&row.repository_id);
        Ok(self.read(|rows| rows.proofs.values().filter(wanted).cloned().collect()))
    }

    async fn slice_open(&self, repository: RepositoryId) -> Result<Option<Job>, StoreError> {
        let is_slice = |job: &Job| matches!(job.instruction, Instruction::Verify { slice: Some(_), .. });
        let open = |job: &&Job| job.repository_id == repository && is_slice(job) && !job.state.name().is_final();
        Ok(self.read(|rows| rows.jobs.values().find(open).cloned()))
    }

    async fn budget_put(&self, repository: RepositoryId, budget: VerifyBudget) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let row = found(rows.repositories.get(&repository), "repository", repository)?;
            live(row.retired_at, "repository", &row.name)?;
            rows.repositories.insert(repository, Repository { verify_within: budget, ..row });
            if let Some(proof) = rows.proofs.get_mut(&repository) {
                (proof.due_at, proof.began_at) = (Timestamp::UNIX_EPOCH, None);
            }
            Ok(())
        })
    }
}
