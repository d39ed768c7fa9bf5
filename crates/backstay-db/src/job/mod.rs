//! The queue in SQL.
//!
//! ```text
//!  enqueue ──> job row ──claim──> lease + attempt rows ──settle──> job row, history rows
//!                ^                      │ progress, checkpoint, heartbeat
//!                └──────── rescue ──────┘ when the heartbeat ended or progress stalled
//! ```
//!
//! A lease is a row of its own: it exists exactly while somebody holds the job, and a holder's writes find it by job
//! *and* token and only while the agent's heartbeat is alive by the deciding clock (`held::lease_alive`). Every move of
//! a state is asked of `StateName::may_become`, and written under the condition that state and token are still those
//! that it was asked for. Who comes in: the core's managers, through `JobStore`.

mod state;
mod due;
mod enqueue;
pub(crate) mod exclusion;
mod heartbeat;
pub(crate) mod hint;
pub(crate) mod lane;
pub(crate) mod claim;
mod held;
mod settle;
pub(crate) mod follow_up;
pub(crate) mod rescue;
mod cancel;
mod lift;
pub(crate) mod look;
mod rules;
mod set;
pub(crate) mod turns;

pub(crate) use due::due_of;
pub(crate) use hint::Hints;
pub(crate) use look::places_put;

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::Event;
use backstay_core::domain::fairness::Rules;
use backstay_core::domain::id::{AgentId, JobId, JobSetId, PlanId, TenantId};
use backstay_core::domain::job::{Job, JobKind, JobState, Progress, Trigger};
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{
    AliveAgent, Claimed, Enqueued, JobFilter, JobStore, LostLease, Page, QueueLook, Rescue, Settlement, StoreError,
};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::literal;
use crate::entity::{job, job_unread, lease};
use crate::error::store_error;
use crate::history::rows_limit;

/// Returns the question for a page of jobs.
pub(crate) fn list_question(filter: JobFilter, page: Page<JobId>) -> Select<job::Entity> {
    let mut query = job::Entity::find();
    if let Some(tenant) = filter.tenant_id {
        query = query.filter(job::Column::TenantId.eq(tenant.to_string()));
    }
    if let Some(plan) = filter.plan_id {
        query = query.filter(job::Column::PlanId.eq(plan.to_string()));
    }
    if let Some(item) = filter.item_id {
        query = query.filter(job::Column::ItemId.eq(item.to_string()));
    }
    if let Some(kind) = filter.kind {
        // Written out, so that a plan made once knows how rare the kind is.
        query = query.filter(Expr::col(job::Column::Kind).eq(literal(kind.word())));
    }
    if let Some(state) = filter.state {
        query = query.filter(job::Column::State.eq(state.word()));
    }
    if let Some(set) = filter.set_id {
        query = query.filter(job::Column::SetId.eq(set.to_string()));
    }
    if let Some(before) = page.before {
        query = query.filter(job::Column::Id.lt(before.to_string()));
    }
    query.order_by_desc(job::Column::Id).limit(rows_limit(page.rows_max))
}

/// Returns the question for the live backups of a tenant's overlap key.
pub(crate) fn overlap_question(tenant: TenantId) -> Select<job::Entity> {
    job::Entity::find()
        .filter(job::Column::OverlapKey.eq(tenant.to_string()))
        .filter(job::Column::LiveKey.is_not_null())
}

#[async_trait]
impl JobStore for Database {
    async fn job_enqueue(&self, job: &Job, enqueued: &Event, skipped: Option<&Event>) -> Result<Enqueued, StoreError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let answer = enqueue::enqueue(&tx, job, enqueued, skipped).await?;
            commit(tx).await?;
            self.hints.came(&job.id.to_string(), job.breach_at.as_microsecond());
            Ok(answer)
        })
        .await
    }

    async fn set_add(&self, set: &JobSet) -> Result<(), StoreError> {
        self.retrying(|| self.set_add_once(set)).await
    }

    async fn set_get(&self, id: JobSetId) -> Result<JobSet, StoreError> {
        self.set_of(id).await
    }

    async fn set_list(&self, tenant: Option<TenantId>, page: Page<JobSetId>) -> Result<Vec<JobSet>, StoreError> {
        self.sets(tenant, page).await
    }

    async fn job_get(&self, id: JobId) -> Result<Job, StoreError> {
        let row = job::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "job", id)?.read()
    }

    async fn job_list(&self, filter: JobFilter, page: Page<JobId>) -> Result<Vec<Job>, StoreError> {
        let rows = list_question(filter, page).all(&self.reader).await.map_err(store_error)?;
        rows.into_iter().map(job::Model::read).collect()
    }

    async fn job_list_overlapping(&self, tenant: TenantId) -> Result<Vec<(PlanId, Timestamp)>, StoreError> {
        let rows = overlap_question(tenant).all(&self.reader).await.map_err(store_error)?;
        let jobs = rows.into_iter().map(job::Model::read).collect::<Result<Vec<Job>, _>>()?;
        let begun = |job: &Job| match job.trigger {
            Trigger::Occurrence(at) => at,
            Trigger::Request | Trigger::FollowUp(_) => job.created_at,
        };
        Ok(jobs.iter().filter_map(|job| Some((job.plan_id?, begun(job)))).collect())
    }

    async fn job_progress_get(&self, id: JobId) -> Result<Option<Progress>, StoreError> {
        let row = lease::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        row.map_or(Ok(None), |row| row.progress())
    }

    async fn job_unread_get(&self, id: JobId) -> Result<Unread, StoreError> {
        let row = job_unread::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        row.map_or_else(|| Ok(Unread::default()), job_unread::Model::read)
    }

    async fn job_lease(
        &self,
        agent: AgentId,
        kinds: &[JobKind],
        held: &[LeaseKey],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let Some(now) = heartbeat::begin(&tx, &self.now, (agent, kinds), ttl).await? else { return Ok(Vec::new()) };
            heartbeat::disown(&tx, &self.now, agent, held, ttl).await?;
            let claimed = claim::claim(self, &tx, now, agent, kinds, count_max).await?;
            commit(tx).await?;
            Ok(claimed)
        })
        .await
    }

    async fn job_renew(&self, agent: AgentId, leases: &[LeaseKey], ttl: Duration) -> Result<Vec<Standing>, StoreError> {
        self.retrying(|| heartbeat::renew(self, agent, leases, ttl)).await
    }

    async fn agent_retire(&self, agent: AgentId) -> Result<(), StoreError> {
        self.retrying(|| heartbeat::retire(self, agent)).await
    }

    async fn agent_page_alive(&self, page: Page<AgentId>) -> Result<Vec<AliveAgent>, StoreError> {
        heartbeat::page_alive(self, page).await
    }

    async fn job_progress_put(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let standing = held::progress_put(&tx, &self.now, lease, progress).await?;
            commit(tx).await?;
            Ok(standing)
        })
        .await
    }

    async fn job_checkpoint_put(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            held::checkpoint_put(&tx, &self.now, lease, checkpoint).await?;
            Ok(commit(tx).await?)
        })
        .await
    }

    async fn job_settle(&self, lease: LeaseKey, settlement: &Settlement) -> Result<(), LeaseError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let queued = settle::settle(&tx, &self.now, lease, settlement).await?;
            backstay_failpoint::pass("commit", "before");
            commit(tx).await?;
            backstay_failpoint::pass("commit", "after");
            let all = settlement.follow_ups.iter().flat_map(|follow_up| &follow_up.jobs);
            for next in all.filter(|next| queued.contains(&next.job.id)) {
                self.hints.came(&next.job.id.to_string(), next.job.breach_at.as_microsecond());
            }
            Ok(())
        })
        .await
    }

    async fn job_list_lost(&self, stall_limit: Duration, rows_max: u32) -> Result<Vec<LostLease>, StoreError> {
        rescue::list_lost(self, stall_limit, rows_max).await
    }

    async fn job_rescue(&self, lease: LeaseKey, stall_limit: Duration, rows: &Rescue) -> Result<bool, StoreError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let rescued = rescue::rescue(&tx, &self.now, lease, stall_limit, rows).await?;
            commit(tx).await?;
            Ok(rescued)
        })
        .await
    }

    async fn job_wake(&self) -> Result<u64, StoreError> {
        rescue::wake(self).await
    }

    async fn job_cancel(&self, id: JobId, now: Timestamp, cancelled: &Event) -> Result<JobState, StoreError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let state = cancel::cancel(&tx, id, now, cancelled).await?;
            commit(tx).await?;
            Ok(state)
        })
        .await
    }

    async fn job_lift(&self, id: JobId, now: Timestamp, lifted: &Event) -> Result<JobState, StoreError> {
        self.retrying(|| async {
            let tx = self.begin().await?;
            let state = lift::lift(&tx, id, now, lifted).await?;
            commit(tx).await?;
            Ok(state)
        })
        .await
    }

    async fn job_durations(&self, filter: JobFilter, rows_max: u32) -> Result<Vec<Duration>, StoreError> {
        look::durations(self, filter, rows_max).await
    }

    async fn queue_look(&self, rows_max: u32) -> Result<QueueLook, StoreError> {
        look::look(self, rows_max).await
    }

    async fn queue_rules_get(&self) -> Result<(Rules, i64), StoreError> {
        rules::rules_of(&self.reader).await
    }

    async fn queue_rules_put(&self, seen: i64, rules: &Rules) -> Result<bool, StoreError> {
        self.retrying(|| rules::rules_put(self, seen, rules)).await
    }
}
