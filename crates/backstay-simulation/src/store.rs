//! The production database as the use cases see it here: each call is a step, and now and then one errs.
//!
//! The error comes before the statement, or after the commit: then the work is done and nobody hears of it. Between a
//! call and the next others step, and now and then much time passes. What is left out by a [`Mutant`] is left out here.

mod schedule;
mod retention;
mod notice;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::attempt::{Attempt, LeaseKey};
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::{Event, EventKind};
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::fairness::Rules;
use backstay_core::domain::id::{
    AgentId, EvidenceId, ItemId, JobId, JobSetId, PlanId, RepositoryId, SnapshotId, SourceId, StorageId, TemplateId,
    TenantId,
};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobKind, JobState, Progress};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::quota::{Quota, Usage};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::{CredentialReferences, Storage};
use backstay_core::domain::template::Template;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{
    AliveAgent, BackupFacts, BackupPlace, ChainedEvent, Claimed, DeclarationStore, Enqueued, EvidenceFilter,
    HistoryStore, JobFilter, JobStore, LostLease, NamedFilter, Page, QueueLook, Rescue, Retirable, Settlement,
    SnapshotFilter, StoreError,
};
use backstay_db::Database;
use jiff::Timestamp;

use crate::mutant::Mutant;
use crate::stage::{Stage, WrongClock};
use crate::weather::{Luck, Weather, unavailable};

/// Calls of a million before which a long time passes: the process was paused, or waited for a connection.
const SLOW: u64 = 700;

/// Successes of a million that are not told, when events are lost.
const EVENTS_LOST: u64 = 100_000;

/// The database on the stage.
#[derive(Clone)]
pub struct SteppedStore {
    /// The production adapter, in memory.
    pub database: Database,
    /// Where it plays.
    pub stage: Arc<Stage>,
    /// What happens to calls.
    pub weather: Arc<Weather>,
    /// What is left out.
    pub mutant: Option<Mutant>,
    /// The clock of the replica that asks, for the mutant who believes it.
    pub local: Option<Arc<WrongClock>>,
}

impl SteppedStore {
    async fn reads<T, E>(&self, what: &str, call: impl Future<Output = Result<T, E>> + Send) -> Result<T, E>
    where
        T: Send,
        E: From<StoreError> + Send,
    {
        self.begin().await;
        if self.weather.of_database() != Luck::Good {
            return Err(unavailable(what).into());
        }
        self.stage.block(call)
    }

    async fn writes<T, E>(&self, what: &str, call: impl Future<Output = Result<T, E>> + Send) -> Result<T, E>
    where
        T: Send,
        E: From<StoreError> + Send,
    {
        self.begin().await;
        let luck = self.weather.of_database();
        if luck == Luck::Lost {
            self.stage.tell(|| format!("the database does not answer {what}"));
            return Err(unavailable(what).into());
        }
        let answer = self.stage.block(call);
        self.stage.touch();
        if luck == Luck::AnswerLost {
            self.stage.tell(|| format!("the database did {what}, and nobody hears of it"));
            return Err(unavailable(what).into());
        }
        // What was written is looked at before anybody goes on.
        self.stage.sleep(Duration::ZERO).await;
        answer
    }

    /// Lets others step, and now and then much time pass.
    async fn begin(&self) {
        let dice = &self.stage.dice;
        let pause = if dice.chance(SLOW) {
            dice.between(Duration::from_secs(1), Duration::from_secs(3_600))
        } else {
            Duration::ZERO
        };
        self.stage.sleep(pause).await;
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

#[async_trait]
impl DeclarationStore for SteppedStore {
    async fn tenant_add(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.writes("tenant_add", self.database.tenant_add(tenant)).await
    }
    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError> {
        self.reads("tenant_get", self.database.tenant_get(id)).await
    }
    async fn tenant_by_name(&self, name: &Name) -> Result<Tenant, StoreError> {
        self.reads("tenant_by_name", self.database.tenant_by_name(name)).await
    }
    async fn tenant_page(&self, filter: &NamedFilter, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        self.reads("tenant_page", self.database.tenant_page(filter, page)).await
    }
    async fn quota_get(&self, tenant: TenantId) -> Result<Quota, StoreError> {
        self.reads("quota_get", self.database.quota_get(tenant)).await
    }
    async fn quota_put(&self, tenant: TenantId, seen: Option<Quota>, quota: Quota) -> Result<bool, StoreError> {
        self.writes("quota_put", self.database.quota_put(tenant, seen, quota)).await
    }
    async fn quota_list(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Quota, Usage)>, StoreError> {
        self.reads("quota_list", self.database.quota_list(tenants)).await
    }
    async fn backup_facts(&self, place: &BackupPlace) -> Result<BackupFacts, StoreError> {
        let facts = self.reads("backup_facts", self.database.backup_facts(place)).await?;
        let quota = if self.is(Mutant::NoQuota) { Quota::default() } else { facts.quota };
        Ok(BackupFacts { quota, ..facts })
    }
    async fn source_add(&self, source: &Source, items: &[Item]) -> Result<(), StoreError> {
        self.writes("source_add", self.database.source_add(source, items)).await
    }
    async fn source_get(&self, id: SourceId) -> Result<Source, StoreError> {
        self.reads("source_get", self.database.source_get(id)).await
    }
    async fn source_settings_put(
        &self,
        old: &Source,
        settings: &serde_json::Value,
        added: &[Item],
    ) -> Result<bool, StoreError> {
        self.writes("source_settings_put", self.database.source_settings_put(old, settings, added)).await
    }
    async fn source_page(&self, filter: &NamedFilter, page: Page<SourceId>) -> Result<Vec<Source>, StoreError> {
        self.reads("source_page", self.database.source_page(filter, page)).await
    }
    async fn item_get(&self, id: ItemId) -> Result<Item, StoreError> {
        self.reads("item_get", self.database.item_get(id)).await
    }
    async fn item_page(&self, source: SourceId, page: Page<ItemId>) -> Result<Vec<Item>, StoreError> {
        self.reads("item_page", self.database.item_page(source, page)).await
    }
    async fn storage_add(&self, storage: &Storage) -> Result<(), StoreError> {
        self.writes("storage_add", self.database.storage_add(storage)).await
    }
    async fn storage_get(&self, id: StorageId) -> Result<Storage, StoreError> {
        self.reads("storage_get", self.database.storage_get(id)).await
    }
    async fn storage_page(&self, filter: &NamedFilter, page: Page<StorageId>) -> Result<Vec<Storage>, StoreError> {
        self.reads("storage_page", self.database.storage_page(filter, page)).await
    }
    async fn storage_credentials_put(
        &self,
        old: &Storage,
        credentials: &CredentialReferences,
    ) -> Result<bool, StoreError> {
        self.writes("storage_credentials_put", self.database.storage_credentials_put(old, credentials)).await
    }
    async fn repository_add(&self, repository: &Repository) -> Result<(), StoreError> {
        self.writes("repository_add", self.database.repository_add(repository)).await
    }
    async fn repository_get(&self, id: RepositoryId) -> Result<Repository, StoreError> {
        self.reads("repository_get", self.database.repository_get(id)).await
    }
    async fn repository_page(
        &self,
        filter: &NamedFilter,
        page: Page<RepositoryId>,
    ) -> Result<Vec<Repository>, StoreError> {
        self.reads("repository_page", self.database.repository_page(filter, page)).await
    }
    async fn plan_add(&self, plan: &Plan) -> Result<(), StoreError> {
        self.writes("plan_add", self.database.plan_add(plan)).await
    }
    async fn plan_get(&self, id: PlanId) -> Result<Plan, StoreError> {
        self.reads("plan_get", self.database.plan_get(id)).await
    }
    async fn plan_page(&self, filter: &NamedFilter, page: Page<PlanId>) -> Result<Vec<Plan>, StoreError> {
        self.reads("plan_page", self.database.plan_page(filter, page)).await
    }
    async fn plan_replace(&self, old: &Plan, new: &Plan) -> Result<bool, StoreError> {
        if self.is(Mutant::LostAtChange) {
            return self.writes("plan_replace", self.forgetting(old, new)).await;
        }
        self.writes("plan_replace", self.database.plan_replace(old, new)).await
    }
    async fn template_add(&self, template: &Template) -> Result<(), StoreError> {
        self.writes("template_add", self.database.template_add(template)).await
    }
    async fn template_get(&self, id: TemplateId) -> Result<Template, StoreError> {
        self.reads("template_get", self.database.template_get(id)).await
    }
    async fn template_page(&self, filter: &NamedFilter, page: Page<TemplateId>) -> Result<Vec<Template>, StoreError> {
        self.reads("template_page", self.database.template_page(filter, page)).await
    }
    async fn template_replace(&self, old: &Template, new: &Template) -> Result<Option<Vec<Plan>>, StoreError> {
        self.writes("template_replace", self.database.template_replace(old, new)).await
    }
    async fn template_remove(&self, id: TemplateId) -> Result<Vec<String>, StoreError> {
        self.writes("template_remove", self.database.template_remove(id)).await
    }
    async fn retire(&self, what: Retirable, at: Timestamp) -> Result<Vec<Name>, StoreError> {
        self.writes("retire", self.database.retire(what, at)).await
    }
}

#[async_trait]
impl HistoryStore for SteppedStore {
    async fn snapshot_get(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        self.reads("snapshot_get", self.database.snapshot_get(id)).await
    }
    async fn snapshot_list(&self, filter: SnapshotFilter, page: Page<SnapshotId>) -> Result<Vec<Snapshot>, StoreError> {
        self.reads("snapshot_list", self.database.snapshot_list(filter, page)).await
    }
    async fn snapshot_newest_good(
        &self,
        item: ItemId,
        repository: RepositoryId,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.reads("snapshot_newest_good", self.database.snapshot_newest_good(item, repository)).await
    }
    async fn evidence_newest(&self, item: ItemId) -> Result<Option<Evidence>, StoreError> {
        self.reads("evidence_newest", self.database.evidence_newest(item)).await
    }
    async fn evidence_list(&self, item: Option<ItemId>, rows_max: u32) -> Result<Vec<Evidence>, StoreError> {
        self.reads("evidence_list", self.database.evidence_list(item, rows_max)).await
    }
    async fn evidence_get(&self, id: EvidenceId) -> Result<Evidence, StoreError> {
        self.reads("evidence_get", self.database.evidence_get(id)).await
    }
    async fn evidence_page(&self, filter: EvidenceFilter, page: Page<EvidenceId>) -> Result<Vec<Evidence>, StoreError> {
        self.reads("evidence_page", self.database.evidence_page(filter, page)).await
    }
    async fn event_page(&self, tenant: TenantId, page: Page<i64>) -> Result<Vec<ChainedEvent>, StoreError> {
        self.reads("event_page", self.database.event_page(tenant, page)).await
    }
    async fn event_list(
        &self,
        tenant: TenantId,
        from_sequence: i64,
        rows_max: u32,
    ) -> Result<Vec<ChainedEvent>, StoreError> {
        self.reads("event_list", self.database.event_list(tenant, from_sequence, rows_max)).await
    }
    async fn event_anchor(&self, tenant: TenantId) -> Result<Option<(i64, String)>, StoreError> {
        self.reads("event_anchor", self.database.event_anchor(tenant)).await
    }
    async fn attempt_list(&self, job: JobId) -> Result<Vec<Attempt>, StoreError> {
        self.reads("attempt_list", self.database.attempt_list(job)).await
    }
    async fn attempt_list_many(&self, jobs: &[JobId]) -> Result<Vec<Attempt>, StoreError> {
        self.reads("attempt_list_many", self.database.attempt_list_many(jobs)).await
    }
}

#[async_trait]
impl JobStore for SteppedStore {
    async fn job_enqueue(&self, job: &Job, enqueued: &Event, skipped: Option<&Event>) -> Result<Enqueued, StoreError> {
        self.writes("job_enqueue", self.database.job_enqueue(job, enqueued, skipped)).await
    }
    async fn set_add(&self, set: &JobSet) -> Result<(), StoreError> {
        self.writes("set_add", self.database.set_add(set)).await
    }
    async fn set_get(&self, id: JobSetId) -> Result<JobSet, StoreError> {
        self.reads("set_get", self.database.set_get(id)).await
    }
    async fn set_list(&self, tenant: Option<TenantId>, page: Page<JobSetId>) -> Result<Vec<JobSet>, StoreError> {
        self.reads("set_list", self.database.set_list(tenant, page)).await
    }
    async fn job_get(&self, id: JobId) -> Result<Job, StoreError> {
        self.reads("job_get", self.database.job_get(id)).await
    }
    async fn job_list(&self, filter: JobFilter, page: Page<JobId>) -> Result<Vec<Job>, StoreError> {
        self.reads("job_list", self.database.job_list(filter, page)).await
    }
    async fn job_list_overlapping(&self, tenant: TenantId) -> Result<Vec<(PlanId, Timestamp)>, StoreError> {
        self.reads("job_list_overlapping", self.database.job_list_overlapping(tenant)).await
    }
    async fn job_progress_get(&self, id: JobId) -> Result<Option<Progress>, StoreError> {
        self.reads("job_progress_get", self.database.job_progress_get(id)).await
    }
    async fn job_unread_get(&self, id: JobId) -> Result<Unread, StoreError> {
        self.reads("job_unread_get", self.database.job_unread_get(id)).await
    }
    async fn job_lease(
        &self,
        agent: AgentId,
        kinds: &[JobKind],
        held: &[LeaseKey],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        if self.is(Mutant::NoCaps) {
            let (rules, none) = (self.database.queue_rules_get(), Rules::default());
            return self
                .writes("job_lease", async {
                    let (rules, seen) = rules.await?;
                    self.database.queue_rules_put(seen, &none).await?;
                    let leased = self.database.job_lease(agent, kinds, held, count_max, ttl).await;
                    self.database.queue_rules_put(seen + 1, &rules).await?;
                    leased
                })
                .await;
        }
        self.writes("job_lease", self.database.job_lease(agent, kinds, held, count_max, ttl)).await
    }
    async fn job_renew(&self, agent: AgentId, leases: &[LeaseKey], ttl: Duration) -> Result<Vec<Standing>, StoreError> {
        self.writes("job_renew", self.database.job_renew(agent, leases, ttl)).await
    }
    async fn agent_retire(&self, agent: AgentId) -> Result<(), StoreError> {
        self.writes("agent_retire", self.database.agent_retire(agent)).await
    }
    async fn agent_page_alive(&self, page: Page<AgentId>) -> Result<Vec<AliveAgent>, StoreError> {
        self.reads("agent_page_alive", self.database.agent_page_alive(page)).await
    }
    async fn job_progress_put(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        self.writes("job_progress_put", self.database.job_progress_put(lease, progress)).await
    }
    async fn job_checkpoint_put(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.writes("job_checkpoint_put", self.database.job_checkpoint_put(lease, checkpoint)).await
    }
    async fn job_settle(&self, lease: LeaseKey, settlement: &Settlement) -> Result<(), LeaseError> {
        let told = settlement.event.as_ref().is_some_and(|event| event.kind == EventKind::Succeeded);
        if told && self.is(Mutant::LostEvent) && self.stage.dice.chance(EVENTS_LOST) {
            let silent = Settlement { event: None, ..settlement.clone() };
            return self.writes("job_settle", self.database.job_settle(lease, &silent)).await;
        }
        let follows = !settlement.follow_ups.is_empty();
        if follows && self.is(Mutant::LostFollowUp) && self.stage.dice.chance(EVENTS_LOST) {
            let alone = Settlement { follow_ups: Vec::new(), ..settlement.clone() };
            return self.writes("job_settle", self.database.job_settle(lease, &alone)).await;
        }
        self.writes("job_settle", self.database.job_settle(lease, settlement)).await
    }
    async fn job_list_lost(&self, stall_limit: Duration, rows_max: u32) -> Result<Vec<LostLease>, StoreError> {
        self.reads("job_list_lost", self.database.job_list_lost(stall_limit, rows_max)).await
    }
    async fn job_rescue(&self, lease: LeaseKey, stall_limit: Duration, rows: &Rescue) -> Result<bool, StoreError> {
        self.writes("job_rescue", self.database.job_rescue(lease, stall_limit, rows)).await
    }
    async fn job_wake(&self) -> Result<u64, StoreError> {
        self.writes("job_wake", self.database.job_wake()).await
    }
    async fn job_cancel(&self, id: JobId, now: Timestamp, cancelled: &Event) -> Result<JobState, StoreError> {
        self.writes("job_cancel", self.database.job_cancel(id, now, cancelled)).await
    }
    async fn job_lift(&self, id: JobId, now: Timestamp, lifted: &Event) -> Result<JobState, StoreError> {
        self.writes("job_lift", self.database.job_lift(id, now, lifted)).await
    }
    async fn job_durations(&self, filter: JobFilter, rows_max: u32) -> Result<Vec<Duration>, StoreError> {
        self.reads("job_durations", self.database.job_durations(filter, rows_max)).await
    }
    async fn queue_look(&self, rows_max: u32) -> Result<QueueLook, StoreError> {
        self.reads("queue_look", self.database.queue_look(rows_max)).await
    }
    async fn queue_rules_get(&self) -> Result<(Rules, i64), StoreError> {
        self.reads("queue_rules_get", self.database.queue_rules_get()).await
    }
    async fn queue_rules_put(&self, seen: i64, rules: &Rules) -> Result<bool, StoreError> {
        self.writes("queue_rules_put", self.database.queue_rules_put(seen, rules)).await
    }
}
