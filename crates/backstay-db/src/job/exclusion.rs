//! What keeps queued jobs from starting: the core's rule over the leases, and the same as a condition in SQL.
//!
//! The claim's own question says the same with subqueries; this is for a window of many parts, where a database would plan
//! each of them again, and it is asked of rows in memory and, past the first look, within the question.

use std::collections::BTreeSet;

use backstay_core::domain::exclusion::{self, is_overtaken_enough};
use backstay_core::domain::fairness::Candidate;
use backstay_core::domain::id::TenantId;
use backstay_core::domain::job::JobKind;
use backstay_core::domain::repository::RepositoryAccess;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _, Select};
use uuid::Uuid;

use super::claim::is_queued;
use super::look::readable;
use crate::dialect::literal;
use crate::entity::{job, job_due};
use crate::error::store_error;
use crate::row::micros_of;

/// What is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exclusions {
    running: Vec<Candidate>,
    /// Queued jobs that have been overtaken long enough.
    waiting: Vec<Candidate>,
    rule: exclusion::Exclusions,
}

impl Exclusions {
    /// Returns what running jobs hold.
    pub(super) fn by(running: &[Candidate]) -> Self {
        Self { running: running.to_vec(), waiting: Vec::new(), rule: exclusion::Exclusions::by(running) }
    }

    /// Takes note of queued jobs that have been overtaken long enough.
    pub(super) fn wait(&mut self, waiting: Vec<Candidate>) {
        waiting.iter().for_each(|job| self.rule.wait(job));
        self.waiting.extend(waiting);
    }

    /// Says whether nothing that is held keeps a job from starting.
    pub(super) fn lets(&self, job: &Candidate) -> bool {
        self.rule.keep(job).is_none()
    }

    /// Returns [`Self::lets`] as a condition on the rows of one tenant.
    pub(super) fn beside(&self, tenant: &str) -> Condition {
        // What has no tenant was leased by an older version, and may be anybody's.
        let anybody = TenantId::from_uuid(Uuid::nil());
        let here = |owner: TenantId| owner == anybody || owner.to_string() == tenant;
        let running = || self.running.iter().filter(|job| here(job.tenant_id));
        let keys: BTreeSet<String> = running().filter_map(|job| job.overlap).map(|key| key.to_string()).collect();
        let any: BTreeSet<String> = running().map(|job| job.repository_id.to_string()).collect();
        let alone = running().filter(|job| job.access == RepositoryAccess::Alone);
        let alone: BTreeSet<String> = alone.map(|job| job.repository_id.to_string()).collect();
        let mut all = Condition::all();
        if !keys.is_empty() {
            let key = job_due::Column::OverlapKey;
            all = all.add(key.is_null().or(key.is_not_in(keys)));
        }
        if !alone.is_empty() {
            all = all.add(job_due::Column::RepositoryId.is_not_in(alone));
        }
        if !any.is_empty() {
            let shared = job_due::Column::RepositoryAccess.eq(job::access_word(RepositoryAccess::Shared));
            all = all.add(shared.or(job_due::Column::RepositoryId.is_not_in(any)));
        }
        for ahead in self.waiting.iter().filter(|ahead| here(ahead.tenant_id)) {
            let other = job_due::Column::RepositoryId.ne(ahead.repository_id.to_string());
            let itself = job_due::Column::JobId.eq(ahead.job_id.to_string());
            let restore = job_due::Column::Kind.eq(JobKind::Restore.word());
            let before = job_due::Column::BreachAt.lt(ahead.breach_at.as_microsecond());
            all = all.add(other.or(itself).or(before).or(restore));
        }
        all
    }
}

/// Returns the queued jobs that want one of these repositories alone and have been overtaken long enough.
pub(super) async fn waiting(
    tx: &DatabaseTransaction,
    now: Timestamp,
    repositories: &BTreeSet<String>,
) -> Result<Vec<Candidate>, StoreError> {
    // By repository alone: an index of states or moments would lead over all that waits.
    let rows = waiting_question(repositories).all(tx).await.map_err(store_error)?;
    let queued = rows.iter().filter(|row| is_queued(row)).filter_map(readable);
    Ok(queued.filter(|job| is_overtaken_enough(job, now)).collect())
}

/// Returns when a job that holds others back became due: after the first moment, at the second one at the latest. As
/// [`is_overtaken_enough`] says it.
pub(super) fn overtaken(now: Timestamp) -> (i64, i64) {
    let before = |by| now.as_microsecond().saturating_sub(micros_of(by));
    (before(exclusion::ALONE_HOLD_MAX), before(exclusion::ALONE_PATIENCE))
}

/// Returns the question for the jobs that want one of these repositories alone.
pub(crate) fn waiting_question(repositories: &BTreeSet<String>) -> Select<job_due::Entity> {
    job_due::Entity::find()
        .filter(job_due::Column::RepositoryId.is_in(padded(repositories)))
        .filter(Expr::col(job_due::Column::RepositoryAccess).eq(literal(job::access_word(RepositoryAccess::Alone))))
}

/// Returns ids with the last one repeated until they are as many as a power of two: few statements for a database to know.
pub(super) fn padded(ids: &BTreeSet<String>) -> impl Iterator<Item = &String> {
    ids.iter().chain(ids.last().into_iter().cycle()).take(ids.len().next_power_of_two())
}
