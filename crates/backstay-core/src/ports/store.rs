//! The stores behind the managers: rows in, rows out, and the promises that only a store can keep.
//!
//! What a unique key can promise is promised here: one live backup an item, one job an occurrence, one record a place
//! in a chain. Expiry is decided by the store's clock. A write of a lease holder names its token and is refused when a
//! newer one exists. Who comes in: managers only.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::adoption::Adoption;
use crate::domain::anomaly::Suspicion;
use crate::domain::attempt::{Attempt, LeaseKey};
use crate::domain::backup::Confirmation;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::disposition::Disposition;
use crate::domain::event::Event;
use crate::domain::evidence::Evidence;
use crate::domain::fairness::{Candidate, Rules};
use crate::domain::id::{
    AgentId, EvidenceId, ItemId, JobId, JobSetId, PlanId, RepositoryId, SnapshotId, SourceId, StorageId, TemplateId,
    TenantId,
};
use crate::domain::item::Item;
use crate::domain::job::{Job, JobCounts, JobKind, JobState, Progress, StateName};
use crate::domain::job_set::JobSet;
use crate::domain::name::Name;
use crate::domain::plan::Plan;
use crate::domain::proof::SliceRead;
use crate::domain::quota::{Quota, Usage};
use crate::domain::repository::{Repository, RepositoryEpoch};
use crate::domain::retry::Streak;
use crate::domain::snapshot::Snapshot;
use crate::domain::source::Source;
use crate::domain::storage::{CredentialReferences, Storage};
use crate::domain::template::Template;
use crate::domain::tenant::Tenant;
use crate::domain::unread::Unread;

use super::job::{LeaseError, Standing};
use super::page::all;

pub use super::page::{NamedFilter, PAGE_ROWS_MAX, Page};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such row.
    #[error("there is no {noun} {key}")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// By which key.
        key: String,
    },
    /// A unique key is taken.
    #[error("there is already a {noun} {key}")]
    Taken {
        /// What was to be made.
        noun: &'static str,
        /// Which key.
        key: String,
    },
    /// It was retired: nothing new is made of it.
    #[error("the {noun} {key} is retired: nothing new is made of it, and what it made stays")]
    Retired {
        /// What it is.
        noun: &'static str,
        /// Which one.
        key: String,
    },
    /// Its tenant is purged.
    #[error("the tenant {tenant} is purged: its secrets are destroyed, and nothing new is made of it")]
    Purged {
        /// The tenant's name.
        tenant: String,
    },
    /// Somebody works with it; asking again helps.
    #[error("the {noun} {key} is in use: {by}")]
    Busy {
        /// What was to be changed.
        noun: &'static str,
        /// Which one.
        key: String,
        /// By whom.
        by: String,
    },
    /// A row holds what no version of ours wrote.
    #[error("the {table} row {row} cannot be read: {problem}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The job is in a state from which the asked move does not lead.
    #[error("the job {job_id} is {}: it cannot become {}", from.word(), to.word())]
    Move {
        /// The job.
        job_id: JobId,
        /// Its state.
        from: StateName,
        /// What was asked.
        to: StateName,
    },
    /// The control plane refused, and asking again would not change that: a token without the right, a request that
    /// another version made.
    #[error("the control plane refused ({code}): {detail}")]
    Refused {
        /// Stable word of the problem.
        code: String,
        /// What it says.
        detail: String,
    },
    /// The database did not answer, is locked or is full.
    #[error("the database did not do what it was asked")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable(_) | Self::Busy { .. } => Disposition::Retry { after: Duration::from_secs(1) },
            _ => Disposition::Operator,
        }
    }
}

/// What can be retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirable {
    /// A plan.
    Plan(PlanId),
    /// A source.
    Source(SourceId),
    /// A repository.
    Repository(RepositoryId),
    /// A storage.
    Storage(StorageId),
}

/// Where a backup is to be made: an item, a repository, and the plan that says how, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPlace {
    /// The item.
    pub item_id: ItemId,
    /// The repository.
    pub repository_id: RepositoryId,
    /// The plan.
    pub plan_id: Option<PlanId>,
}

/// What a backup needs of what is declared.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupFacts {
    /// The item.
    pub item: Item,
    /// The source that it belongs to.
    pub source: Source,
    /// The repository, with the credential references of the storage that it lies in.
    pub repository: Repository,
    /// The plan; none when none was named.
    pub plan: Option<Plan>,
    /// What the repository's tenant may store.
    pub quota: Quota,
}

/// Sorts rows by what tells them apart for a person.
fn sorted<T, K: Ord>(mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(key);
    rows
}

/// Tenants, sources, items, repositories, plans: what people declare. Whole lists have retired ones too; they are read page
/// by page and sorted here, not by the store: databases disagree about the order of letters and of `-`.
#[async_trait]
pub trait DeclarationStore: Send + Sync {
    /// Adds a tenant; [`StoreError::Taken`] when the name is.
    async fn tenant_add(&self, tenant: &Tenant) -> Result<(), StoreError>;
    /// Returns a tenant.
    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError>;
    /// Returns a tenant by name.
    async fn tenant_by_name(&self, name: &Name) -> Result<Tenant, StoreError>;
    /// Returns a page of tenants; a filter's tenant is the only one then.
    async fn tenant_page(&self, filter: &NamedFilter, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError>;
    /// Returns all tenants by name.
    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError> {
        let filter = NamedFilter::default();
        Ok(sorted(all(|page| self.tenant_page(&filter, page), |row| row.id).await?, |row| row.name.clone()))
    }

    /// Returns what a tenant may store; no limit when nobody set one.
    async fn quota_get(&self, tenant: TenantId) -> Result<Quota, StoreError>;
    /// Sets what a tenant may store; [`StoreError::NotFound`] when there is no such tenant. False, and nothing is set, when
    /// it is not what was seen; none puts it in the place of whatever is there.
    async fn quota_put(&self, tenant: TenantId, seen: Option<Quota>, quota: Quota) -> Result<bool, StoreError>;
    /// Returns what each of these tenants may store and stores, by id. One that has neither is left out. As many tenants as
    /// a page has, at most.
    async fn quota_list(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Quota, Usage)>, StoreError>;

    /// Adds a source with the items that its settings name; [`StoreError::Taken`] when the tenant has the name.
    async fn source_add(&self, source: &Source, items: &[Item]) -> Result<(), StoreError>;
    /// Returns a source.
    async fn source_get(&self, id: SourceId) -> Result<Source, StoreError>;
    /// Puts `settings` in the place of those of `old`, which must still be as it was seen, and adds items that they name
    /// besides, which the plans of the source watch from then on; false when it is not, or when it is retired.
    async fn source_settings_put(
        &self,
        old: &Source,
        settings: &serde_json::Value,
        added: &[Item],
    ) -> Result<bool, StoreError>;
    /// Returns a page of sources.
    async fn source_page(&self, filter: &NamedFilter, page: Page<SourceId>) -> Result<Vec<Source>, StoreError>;
    /// Returns all sources by name; of one tenant or of all.
    async fn source_list(&self, tenant: Option<TenantId>) -> Result<Vec<Source>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let rows = all(|page| self.source_page(&filter, page), |row| row.id).await?;
        Ok(sorted(rows, |row| (row.name.clone(), row.id)))
    }

    /// Returns an item.
    async fn item_get(&self, id: ItemId) -> Result<Item, StoreError>;
    /// Returns a page of a source's items.
    async fn item_page(&self, source: SourceId, page: Page<ItemId>) -> Result<Vec<Item>, StoreError>;
    /// Returns a source's items by name.
    async fn item_list(&self, source: SourceId) -> Result<Vec<Item>, StoreError> {
        let rows = all(|page| self.item_page(source, page), |row| row.id).await?;
        Ok(sorted(rows, |row| row.name.clone()))
    }

    /// Returns what a backup needs, all at once; [`StoreError::NotFound`] when any of it is not there.
    async fn backup_facts(&self, place: &BackupPlace) -> Result<BackupFacts, StoreError>;

    /// Adds a storage; [`StoreError::Taken`] when the tenant has the name.
    async fn storage_add(&self, storage: &Storage) -> Result<(), StoreError>;
    /// Returns a storage.
    async fn storage_get(&self, id: StorageId) -> Result<Storage, StoreError>;
    /// Returns a page of storages.
    async fn storage_page(&self, filter: &NamedFilter, page: Page<StorageId>) -> Result<Vec<Storage>, StoreError>;
    /// Returns all storages by name; of one tenant or of all.
    async fn storage_list(&self, tenant: Option<TenantId>) -> Result<Vec<Storage>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let rows = all(|page| self.storage_page(&filter, page), |row| row.id).await?;
        Ok(sorted(rows, |row| (row.name.clone(), row.id)))
    }
    /// Puts other credential references in the place of those of `old`, which must still be as it was seen; false when it
    /// is not, or when it is retired.
    async fn storage_credentials_put(
        &self,
        old: &Storage,
        credentials: &CredentialReferences,
    ) -> Result<bool, StoreError>;

    /// Adds a repository; [`StoreError::Taken`] when the tenant has the name, [`StoreError::Retired`] when its storage is.
    async fn repository_add(&self, repository: &Repository) -> Result<(), StoreError>;
    /// Returns a repository.
    async fn repository_get(&self, id: RepositoryId) -> Result<Repository, StoreError>;
    /// Returns a page of repositories.
    async fn repository_page(
        &self,
        filter: &NamedFilter,
        page: Page<RepositoryId>,
    ) -> Result<Vec<Repository>, StoreError>;
    /// Returns all repositories by name; of one tenant or of all.
    async fn repository_list(&self, tenant: Option<TenantId>) -> Result<Vec<Repository>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let rows = all(|page| self.repository_page(&filter, page), |row| row.id).await?;
        Ok(sorted(rows, |row| (row.name.clone(), row.id)))
    }

    /// Adds a plan; [`StoreError::Taken`] when the tenant has the name, [`StoreError::Retired`] when its source or
    /// repository is, [`StoreError::Busy`] when its values are not those that hold under its template now.
    async fn plan_add(&self, plan: &Plan) -> Result<(), StoreError>;
    /// Returns a plan.
    async fn plan_get(&self, id: PlanId) -> Result<Plan, StoreError>;
    /// Returns a page of plans.
    async fn plan_page(&self, filter: &NamedFilter, page: Page<PlanId>) -> Result<Vec<Plan>, StoreError>;
    /// Returns all plans by name; of one tenant or of all.
    async fn plan_list(&self, tenant: Option<TenantId>) -> Result<Vec<Plan>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let rows = all(|page| self.plan_page(&filter, page), |row| row.id).await?;
        Ok(sorted(rows, |row| (row.name.clone(), row.id)))
    }
    /// Puts `new` in the place of `old`, which must still be as it was seen; false when it is not, or when the values of
    /// `new` are not those that hold under its template now. Id, tenant and source stay. [`StoreError::Taken`] when the tenant has the name.
    async fn plan_replace(&self, old: &Plan, new: &Plan) -> Result<bool, StoreError>;

    /// Adds a template; [`StoreError::Taken`] when the tenant has the name, [`StoreError::Busy`] when it does not stand
    /// well under what is above it now.
    async fn template_add(&self, template: &Template) -> Result<(), StoreError>;
    /// Returns a template.
    async fn template_get(&self, id: TemplateId) -> Result<Template, StoreError>;
    /// Returns a page of templates.
    async fn template_page(&self, filter: &NamedFilter, page: Page<TemplateId>) -> Result<Vec<Template>, StoreError>;
    /// Returns all templates by name; of one tenant or of all.
    async fn template_list(&self, tenant: Option<TenantId>) -> Result<Vec<Template>, StoreError> {
        let filter = NamedFilter::of(tenant);
        let rows = all(|page| self.template_page(&filter, page), |row| row.id).await?;
        Ok(sorted(rows, |row| (row.name.clone(), row.id)))
    }
    /// Puts `new` in the place of `old`, which must still be as it was seen, and the values that hold then in all plans
    /// under it that live, as [`DeclarationStore::plan_replace`] does it. Returns the plans that changed; none, and
    /// nothing is written, when it is not as it was seen. Id, tenant and name stay.
    async fn template_replace(&self, old: &Template, new: &Template) -> Result<Option<Vec<Plan>>, StoreError>;
    /// Removes a template. Returns what stands under it, each with its noun: then nothing was written.
    async fn template_remove(&self, id: TemplateId) -> Result<Vec<String>, StoreError>;

    /// Retires a row: its name may be taken again, and nothing that is new may name it ([`StoreError::Retired`]): no plan
    /// its source or repository, no backup its plan, no prune its repository. A plan's schedule rests, and its items are
    /// looked at once more. Returns what lives and needs it, by name: plans, of a storage repositories: then nothing was written. One that is
    /// retired stays as it is.
    async fn retire(&self, what: Retirable, at: Timestamp) -> Result<Vec<Name>, StoreError>;
}

/// Which snapshots a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Only this tenant's.
    pub tenant_id: Option<TenantId>,
    /// Only this item's.
    pub item_id: Option<ItemId>,
    /// Only this repository's.
    pub repository_id: Option<RepositoryId>,
}

/// Which records of evidence a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EvidenceFilter {
    /// Only this tenant's.
    pub tenant_id: Option<TenantId>,
    /// Only this item's.
    pub item_id: Option<ItemId>,
}

/// Snapshots, evidence and events: what happened. Rows are added by [`JobStore::job_settle`] alone.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Returns a snapshot, forgotten or not.
    async fn snapshot_get(&self, id: SnapshotId) -> Result<Snapshot, StoreError>;
    /// Returns a page of snapshots that were not forgotten.
    async fn snapshot_list(&self, filter: SnapshotFilter, page: Page<SnapshotId>) -> Result<Vec<Snapshot>, StoreError>;
    /// Returns the newest good (complete or unchanged) snapshot of an item in a repository; none if there is none. One
    /// that is dated in the future by the store's clock, because its agent's clock was wrong, does not count yet.
    async fn snapshot_newest_good(
        &self,
        item: ItemId,
        repository: RepositoryId,
    ) -> Result<Option<Snapshot>, StoreError>;

    /// Returns an item's newest record of evidence; none if there is none.
    async fn evidence_newest(&self, item: ItemId) -> Result<Option<Evidence>, StoreError>;
    /// Returns records of evidence, newest first; of one item or of all.
    async fn evidence_list(&self, item: Option<ItemId>, rows_max: u32) -> Result<Vec<Evidence>, StoreError>;

    /// Returns a record of evidence.
    async fn evidence_get(&self, id: EvidenceId) -> Result<Evidence, StoreError>;
    /// Returns a page of records of evidence.
    async fn evidence_page(&self, filter: EvidenceFilter, page: Page<EvidenceId>) -> Result<Vec<Evidence>, StoreError>;

    /// Returns a page of a tenant's events with their hashes: by their places in the chain, newest first.
    async fn event_page(&self, tenant: TenantId, page: Page<i64>) -> Result<Vec<ChainedEvent>, StoreError>;

    /// Returns a tenant's events with their hashes, oldest first, from a place in the chain on.
    async fn event_list(
        &self,
        tenant: TenantId,
        from_sequence: i64,
        rows_max: u32,
    ) -> Result<Vec<ChainedEvent>, StoreError>;

    /// Returns place and hash of a tenant's last event that was swept; none while all are there.
    async fn event_anchor(&self, tenant: TenantId) -> Result<Option<(i64, String)>, StoreError>;

    /// Returns a job's attempts, oldest first.
    async fn attempt_list(&self, job: JobId) -> Result<Vec<Attempt>, StoreError>;

    /// Returns the attempts of these jobs, each job's oldest first. As many jobs as a page has, at most.
    async fn attempt_list_many(&self, jobs: &[JobId]) -> Result<Vec<Attempt>, StoreError>;
}

/// An event with its place in its tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedEvent {
    /// The fact.
    pub event: Event,
    /// Its place, from 1 without a gap.
    pub sequence: i64,
    /// Its hash, as `domain::event::chain_hash` gives it.
    pub hash: String,
}

/// What became of a wish to enqueue a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The job is in the queue.
    New(JobId),
    /// Another backup of the same item is live; this one.
    Overlaps(JobId),
    /// The occurrence has its job already; this one.
    Known(JobId),
}

/// Which jobs a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only this tenant's.
    pub tenant_id: Option<TenantId>,
    /// Only this plan's.
    pub plan_id: Option<PlanId>,
    /// Only this item's.
    pub item_id: Option<ItemId>,
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Only in this state.
    pub state: Option<StateName>,
    /// Only members of this set.
    pub set_id: Option<JobSetId>,
}

/// A job that was claimed: its row as leased, and what the claim decided.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The row; its token is the new attempt's.
    pub job: Job,
    /// The repository's epoch, already grown if the job holds it alone.
    pub epoch: RepositoryEpoch,
    /// What an earlier attempt stored.
    pub checkpoint: Option<Checkpoint>,
}

/// A lease that the store's clock says is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLease {
    /// The job, in the state in which it was lost.
    pub job: Job,
    /// Why the lease is over, for a person.
    pub reason: String,
}

/// All rows that the end of a lease writes, in one transaction.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The job's new state.
    pub state: JobState,
    /// How the newest attempts failed, this one included; none when it did not.
    pub streak: Option<Streak>,
    /// What the attempt did.
    pub counts: JobCounts,
    /// What it could not read; replaces the job's earlier list.
    pub unread: Unread,
    /// The snapshot that it published.
    pub snapshot: Option<Snapshot>,
    /// The snapshot that it confirmed in the place of publishing one.
    pub confirmed: Option<Confirmation>,
    /// The record that it earned.
    pub evidence: Option<Evidence>,
    /// What it removed; none for a job that is no prune.
    pub pruned: Option<Pruned>,
    /// The slice of its repository that it read to the end; none for any other job.
    pub slice_read: Option<SliceRead>,
    /// What it found in its repository that had no row.
    pub adopted: Adoption,
    /// What is told before it: what wants a look.
    pub warnings: Vec<Event>,
    /// Why its plan keeps everything from now on; one that is there stays.
    pub suspicion: Option<Suspicion>,
    /// What is told.
    pub event: Option<Event>,
    /// What follows it; written when the job is in no set, or completes its own.
    pub follow_ups: Vec<FollowUp>,
}

/// What one plan does after a job of another one.
#[derive(Debug, Clone, Default)]
pub struct FollowUp {
    /// The set that its jobs make up; none for a single one.
    pub set: Option<JobSet>,
    /// A job an item.
    pub jobs: Vec<FollowUpJob>,
    /// Why there is none; none when there is.
    pub told: Option<Event>,
}

/// A job that follows another one.
#[derive(Debug, Clone)]
pub struct FollowUpJob {
    /// The job, to be queued; one of its id that is there already stays as it is.
    pub job: Job,
    /// What is told when it is queued.
    pub enqueued: Event,
    /// What is told when another backup of its item has not ended.
    pub skipped: Event,
}

/// All rows that the end of a lost lease writes, in one transaction.
#[derive(Debug, Clone)]
pub struct Rescue {
    /// The job's new state.
    pub state: JobState,
    /// How the newest attempts failed, the lost one included.
    pub streak: Streak,
    /// What is told.
    pub event: Event,
}

/// The queue as it is: its beginning, and all that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLook {
    /// Queued jobs that are due, by time to breach, then priority, then age: the first of them.
    pub queued: Vec<Candidate>,
    /// Whether more are due than were looked at.
    pub has_more: bool,
    /// Jobs that an agent has, each with when it was leased.
    pub running: Vec<(Candidate, Timestamp)>,
}

impl QueueLook {
    /// Returns the kind of each job that waits or runs.
    pub fn kinds(&self) -> impl Iterator<Item = JobKind> {
        self.queued.iter().chain(self.running.iter().map(|(job, _)| job)).map(|job| job.kind)
    }
}

/// An agent whose heartbeat has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliveAgent {
    /// Its id.
    pub id: AgentId,
    /// What it takes, as it said when it asked for work last.
    pub kinds: Vec<JobKind>,
}

/// What a prune removed of its job's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshots that are forgotten from now on; those of other repositories are left alone.
    pub forgotten: Vec<SnapshotId>,
    /// Whether a later prune is to remove what this one left behind.
    pub has_pending: bool,
    /// What the repository stores from now on.
    pub stored: StoredAfter,
}

/// What a repository stores after a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredAfter {
    /// So many bytes: the prune has seen all packs.
    Is(u64),
    /// So many bytes less than was known.
    Less(u64),
}

/// The queue, its leases and their ends.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Puts a queued job in, with its event; for an overlap or a known occurrence only the event `skipped`, when given.
    /// The same job again is [`Enqueued::New`] again, and nothing is told.
    async fn job_enqueue(&self, job: &Job, enqueued: &Event, skipped: Option<&Event>) -> Result<Enqueued, StoreError>;

    /// Adds a job set, before its members. The same again changes nothing.
    async fn set_add(&self, set: &JobSet) -> Result<(), StoreError>;
    /// Returns a job set.
    async fn set_get(&self, id: JobSetId) -> Result<JobSet, StoreError>;
    /// Returns a page of job sets; of one tenant or of all.
    async fn set_list(&self, tenant: Option<TenantId>, page: Page<JobSetId>) -> Result<Vec<JobSet>, StoreError>;

    /// Returns a job.
    async fn job_get(&self, id: JobId) -> Result<Job, StoreError>;

    /// Returns a page of jobs.
    async fn job_list(&self, filter: JobFilter, page: Page<JobId>) -> Result<Vec<Job>, StoreError>;

    /// Returns the live backups of a tenant whose plans keep out of one another's way: their plan, and the planned instant,
    /// or when they were asked for.
    async fn job_list_overlapping(&self, tenant: TenantId) -> Result<Vec<(PlanId, Timestamp)>, StoreError>;

    /// Returns a leased job's progress; none when it is not leased or has told none.
    async fn job_progress_get(&self, id: JobId) -> Result<Option<Progress>, StoreError>;

    /// Returns what a job's newest attempt could not read.
    async fn job_unread_get(&self, id: JobId) -> Result<Unread, StoreError>;

    /// Leases up to `count_max` due jobs of these kinds to an agent, by time to breach, then priority, then age, and
    /// extends its heartbeat by `ttl`. When jobs of several tenants are due, or caps are set, it is
    /// [`crate::domain::fairness::admit`] that says which, over the first ones of each tenant. What
    /// [`crate::domain::exclusion`] keeps back is passed over: a job whose repository is held in a way that excludes it, or
    /// that shares one which an earlier job of the queue has waited ten minutes to hold alone.
    /// Leases that the agent has had for a `ttl` and that are not among `held` are lost from now on.
    async fn job_lease(
        &self,
        agent: AgentId,
        kinds: &[JobKind],
        held: &[LeaseKey],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Extends an agent's heartbeat by `ttl` and returns the standing of each lease. One write, whatever the number.
    /// A heartbeat that came after its end is not revived: all its leases are lost.
    async fn job_renew(&self, agent: AgentId, leases: &[LeaseKey], ttl: Duration) -> Result<Vec<Standing>, StoreError>;

    /// Ends an agent's heartbeat at once, because its process is known to be gone.
    async fn agent_retire(&self, agent: AgentId) -> Result<(), StoreError>;

    /// Returns a page of the agents whose heartbeat has not ended.
    async fn agent_page_alive(&self, page: Page<AgentId>) -> Result<Vec<AliveAgent>, StoreError>;
    /// Returns the agents whose heartbeat has not ended, by id.
    async fn agent_list_alive(&self) -> Result<Vec<AliveAgent>, StoreError> {
        Ok(sorted(all(|page| self.agent_page_alive(page), |row| row.id).await?, |row| row.id))
    }

    /// Stores progress; moves the stall limit only when it differs from what was stored.
    async fn job_progress_put(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError>;

    /// Stores a checkpoint.
    async fn job_checkpoint_put(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError>;

    /// Ends a live lease with its rows. Refused with [`LeaseError::Lost`] when the token is not the job's newest, when
    /// nobody holds the job, or when the lease is over by the store's clock. `state` must be a move from the job's state.
    async fn job_settle(&self, lease: LeaseKey, settlement: &Settlement) -> Result<(), LeaseError>;

    /// Returns leases that are over: the agent's heartbeat ended, or no progress came within `stall_limit`.
    async fn job_list_lost(&self, stall_limit: Duration, rows_max: u32) -> Result<Vec<LostLease>, StoreError>;

    /// Ends a lost lease; false when the lease was settled or is alive again in the meantime.
    async fn job_rescue(&self, lease: LeaseKey, stall_limit: Duration, rescue: &Rescue) -> Result<bool, StoreError>;

    /// Puts waiting jobs whose time has come back in the queue, and returns how many.
    async fn job_wake(&self) -> Result<u64, StoreError>;

    /// Asks for a job's end: a job that nobody holds is cancelled with its event, a leased one becomes cancelling.
    /// Returns the new state. A job that is cancelling or cancelled already stays so.
    ///
    /// # Errors
    /// [`StoreError::Move`] when the job has ended otherwise.
    async fn job_cancel(&self, id: JobId, now: Timestamp, cancelled: &Event) -> Result<JobState, StoreError>;

    /// Puts a parked job back in the queue, with its event and without the failures before.
    ///
    /// # Errors
    /// [`StoreError::Move`] when it is not parked; [`StoreError::Taken`] when another backup of its item is live.
    async fn job_lift(&self, id: JobId, now: Timestamp, lifted: &Event) -> Result<JobState, StoreError>;

    /// Returns how long the newest succeeded jobs that a filter shows took, newest first; it names no state.
    async fn job_durations(&self, filter: JobFilter, rows_max: u32) -> Result<Vec<Duration>, StoreError>;

    /// Returns the first `rows_max` jobs of the queue, and all that run.
    async fn queue_look(&self, rows_max: u32) -> Result<QueueLook, StoreError>;

    /// Returns by what the queue is gone through, and its revision.
    async fn queue_rules_get(&self) -> Result<(Rules, i64), StoreError>;

    /// Puts rules in the place of those with a revision, which grows; false, and nothing is written, when another one is
    /// there. Jobs that run go on.
    async fn queue_rules_put(&self, seen: i64, rules: &Rules) -> Result<bool, StoreError>;
}
