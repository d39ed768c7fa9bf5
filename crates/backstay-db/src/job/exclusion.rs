//! What keeps queued jobs from starting, as values: the leases that exclude them and the jobs that they may not overtake.
//!
//! The claim's own question says the same with subqueries; this is for a window of many parts, where a database would plan
//! each of them again, and it is asked of rows in memory and, past the first look, within the question.

use std::collections::{BTreeSet, HashMap};

use backstay_core::domain::job::JobKind;
use backstay_core::domain::repository::RepositoryAccess;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _, Select};

use super::claim::{is_queued, overtaken};
use crate::dialect::literal;
use crate::entity::{job, job_due, lease};
use crate::error::store_error;

/// What is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exclusions {
    /// Overlap keys of leases, each with its tenant.
    keys: HashMap<String, Option<String>>,
    /// Repositories of leases, each with whether it is held alone, and the lease's tenant.
    repositories: HashMap<String, (bool, Option<String>)>,
    /// Queued jobs that have been overtaken long enough.
    pub(super) waiting: Vec<job_due::Model>,
}

impl Exclusions {
    /// Returns what leases hold.
    pub(super) fn by(leases: &[lease::Model]) -> Self {
        let mut all = Self::default();
        for lease in leases {
            if let Some(key) = &lease.overlap_key {
                all.keys.insert(key.clone(), lease.tenant_id.clone());
            }
            let alone = is_alone(&lease.repository_access);
            let repository = all.repositories.entry(lease.repository_id.clone());
            repository.and_modify(|(held, _)| *held |= alone).or_insert_with(|| (alone, lease.tenant_id.clone()));
        }
        all
    }

    /// Says whether nothing that is held keeps a job from starting.
    pub(super) fn lets(&self, due: &job_due::Model) -> bool {
        let key = due.overlap_key.as_ref().is_some_and(|key| self.keys.contains_key(key));
        let held = self.repositories.get(&due.repository_id);
        let excluded = held.is_some_and(|(alone, _)| *alone || is_alone(&due.repository_access));
        let is_restore = due.kind == JobKind::Restore.word();
        let behind = self.waiting.iter().any(|ahead| {
            !is_restore
                && ahead.repository_id == due.repository_id
                && ahead.job_id != due.job_id
                && ahead.breach_at <= due.breach_at
        });
        !(key || excluded || behind)
    }

    /// Returns [`Self::lets`] as a condition on the rows of one tenant.
    pub(super) fn beside(&self, tenant: &str) -> Condition {
        // What has no tenant was leased by an older version, and may be anybody's.
        let here = |owner: &Option<String>| owner.as_deref().is_none_or(|owner| owner == tenant);
        let keys: Vec<&String> = self.keys.iter().filter(|(_, owner)| here(owner)).map(|(key, _)| key).collect();
        let held = self.repositories.iter().filter(|(_, (_, owner))| here(owner));
        let (mut any, mut alone) = (Vec::new(), Vec::new());
        for (id, (is_alone, _)) in held {
            if *is_alone {
                alone.push(id);
            }
            any.push(id);
        }
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
        for ahead in self.waiting.iter().filter(|ahead| here(&ahead.tenant_id)) {
            let other = job_due::Column::RepositoryId.ne(&ahead.repository_id);
            let itself = job_due::Column::JobId.eq(&ahead.job_id);
            let restore = job_due::Column::Kind.eq(JobKind::Restore.word());
            all = all.add(other.or(itself).or(job_due::Column::BreachAt.lt(ahead.breach_at)).or(restore));
        }
        all
    }
}

fn is_alone(word: &str) -> bool {
    word == job::access_word(RepositoryAccess::Alone)
}

/// Returns the queued jobs that want one of these repositories alone and have been overtaken long enough.
pub(super) async fn waiting(
    tx: &DatabaseTransaction,
    now: Timestamp,
    repositories: &BTreeSet<String>,
) -> Result<Vec<job_due::Model>, StoreError> {
    let (from, until) = overtaken(now);
    // By repository alone: an index of states or moments would lead over all that waits.
    let rows = waiting_question(repositories).all(tx).await.map_err(store_error)?;
    Ok(rows.into_iter().filter(|row| is_queued(row) && from < row.due_at && row.due_at <= until).collect())
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
