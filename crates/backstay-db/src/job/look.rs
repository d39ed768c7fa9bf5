//! The queue as fairness sees it: what waits, what runs, and how long its like took.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use backstay_core::domain::fairness::{Candidate, endpoint_of, host_of};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::store::{JobFilter, Page, QueueLook, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect,
    RelationDef, Select,
};
use uuid::Uuid;

use super::list_question;
use crate::Database;
use crate::declaration::found;
use crate::dialect::{is_among, literal};
use crate::entity::{attempt, item, job, job_due, lease, repository, source};
use crate::error::store_error;
use crate::row::Row;

/// Returns a hot row as fairness sees it.
pub(super) fn candidate_of(due: &job_due::Model) -> Result<Candidate, StoreError> {
    let row = Row::of("job_due", &due.job_id);
    let kind = row.word("kind", &due.kind, JobKind::from_word)?;
    let priority = i32::try_from(due.priority).map_err(|_| row.unreadable("priority is out of its range"))?;
    Ok(Candidate {
        job_id: row.parse("job_id", &due.job_id)?,
        tenant_id: tenant_of(row, due.tenant_id.as_deref())?,
        kind,
        access: row.word("repository_access", &due.repository_access, job::access_from_word)?,
        repository_id: row.parse("repository_id", &due.repository_id)?,
        host: due.source_host.clone(),
        endpoint: due.storage_endpoint.clone().unwrap_or_default(),
        overlap: row.parse_some("overlap_key", due.overlap_key.as_deref())?,
        breach_at: row.instant("breach_at", due.breach_at)?,
        priority,
        created_at: row.instant("due_at", due.due_at)?,
    })
}

/// Returns a hot row as fairness sees it; none, and it is logged, when it cannot be read.
pub(super) fn readable(due: &job_due::Model) -> Option<Candidate> {
    match candidate_of(due) {
        Ok(candidate) => Some(candidate),
        Err(error) => {
            tracing::error!(job_id = due.job_id, error = %error, "a queued job is passed over: it cannot be read");
            None
        }
    }
}

/// Reads a tenant; what an older version wrote without one counts as nobody's.
fn tenant_of(row: Row<'_>, text: Option<&str>) -> Result<TenantId, StoreError> {
    Ok(row.parse_some("tenant_id", text)?.unwrap_or_else(|| TenantId::from_uuid(Uuid::nil())))
}

/// Returns all that runs, each with when it was leased. Its cost grows with what runs.
pub(super) async fn running(db: &impl ConnectionTrait) -> Result<Vec<(Candidate, Timestamp)>, StoreError> {
    let rows = lease::Entity::find().all(db).await.map_err(store_error)?;
    rows.iter().map(running_of).collect()
}

/// Returns a lease as fairness sees it, and when it was given.
pub(super) fn running_of(lease: &lease::Model) -> Result<(Candidate, Timestamp), StoreError> {
    let row = Row::of("lease", &lease.job_id);
    let leased_at = row.instant("leased_at", lease.leased_at)?;
    let kind = lease.kind.as_deref().map(|word| row.word("kind", word, JobKind::from_word)).transpose()?;
    let candidate = Candidate {
        job_id: row.parse("job_id", &lease.job_id)?,
        tenant_id: tenant_of(row, lease.tenant_id.as_deref())?,
        kind: kind.unwrap_or(JobKind::Backup),
        access: row.word("repository_access", &lease.repository_access, job::access_from_word)?,
        repository_id: row.parse("repository_id", &lease.repository_id)?,
        host: lease.source_host.clone(),
        endpoint: lease.storage_endpoint.clone().unwrap_or_default(),
        overlap: row.parse_some("overlap_key", lease.overlap_key.as_deref())?,
        // What runs has had its turn.
        breach_at: leased_at,
        priority: 0,
        created_at: leased_at,
    };
    Ok((candidate, leased_at))
}

/// Returns the first due jobs of the queue, whatever keeps them, in its order.
fn due_question(now: Timestamp, rows_max: u32) -> Select<job_due::Entity> {
    job_due::Entity::find()
        .filter(job_due::Column::State.eq(StateName::Queued.word()))
        .filter(job_due::Column::DueAt.lte(now.as_microsecond()))
        .order_by_asc(job_due::Column::BreachAt)
        .order_by_desc(job_due::Column::Priority)
        .order_by_asc(job_due::Column::JobId)
        .limit(u64::from(rows_max))
}

/// Returns the queue's beginning, and all that runs.
pub(super) async fn look(db: &Database, rows_max: u32) -> Result<QueueLook, StoreError> {
    let now = db.now.read(&db.reader).await?;
    let due = due_question(now, rows_max.saturating_add(1)).all(&db.reader).await.map_err(store_error)?;
    let has_more = due.len() > rows_max as usize;
    let queued = due.iter().take(rows_max as usize).filter_map(readable).collect();
    Ok(QueueLook { queued, has_more, running: running(&db.reader).await? })
}

/// Returns the question for the newest succeeded jobs that a filter shows. The state is written out: an index that has
/// successes alone answers only what says so.
pub(crate) fn durations_question(filter: JobFilter, rows_max: u32) -> Select<job::Entity> {
    list_question(JobFilter { state: None, ..filter }, Page { before: None, rows_max })
        .filter(Expr::col(job::Column::State).eq(literal(StateName::Succeeded.word())))
}

/// Returns how long the newest succeeded jobs that a filter shows took, newest first.
pub(super) async fn durations(db: &Database, filter: JobFilter, rows_max: u32) -> Result<Vec<Duration>, StoreError> {
    let jobs = durations_question(filter, rows_max).all(&db.reader).await.map_err(store_error)?;
    let attempts = attempt::Entity::find()
        .filter(attempt::Column::JobId.is_in(jobs.iter().map(|job| &job.id)))
        .all(&db.reader)
        .await
        .map_err(store_error)?;
    let took = |job: &job::Model| {
        let last = attempts.iter().find(|row| row.job_id == job.id && row.token == job.attempt_token)?;
        let micros = last.ended_at?.saturating_sub(last.leased_at);
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    };
    Ok(jobs.iter().filter_map(took).collect())
}

/// Writes into a new job's row what it makes use of besides its repository.
pub(super) async fn place_put(tx: &DatabaseTransaction, row: &mut job::Model) -> Result<(), StoreError> {
    places_put(tx, std::slice::from_mut(row)).await
}

/// Writes into new jobs' rows what they make use of besides their repositories: their sources' hosts and their storages'
/// endpoints. Its cost is that of two questions.
///
/// # Errors
/// [`StoreError::NotFound`] when a job's repository or item is not there: no reference of the database's own says so
/// (decision 0044).
pub(crate) async fn places_put(tx: &DatabaseTransaction, rows: &mut [job::Model]) -> Result<(), StoreError> {
    let backend = tx.get_database_backend();
    let ids: BTreeSet<&String> = rows.iter().map(|row| &row.repository_id).collect();
    let repositories = repository::Entity::find()
        .select_only()
        .columns([repository::Column::Id, repository::Column::StorageKind, repository::Column::StorageSettingsJson])
        .filter(is_among(backend, repository::Column::Id, ids))
        .into_tuple::<(String, String, String)>();
    let mut endpoints = HashMap::new();
    for (id, kind, settings) in repositories.all(tx).await.map_err(store_error)? {
        let settings = Row::of("repository", &id).json("storage_settings_json", &settings)?;
        endpoints.insert(id, endpoint_of(&kind, &settings));
    }
    let ids: BTreeSet<&String> = rows.iter().filter_map(|row| row.item_id.as_ref()).collect();
    let mut hosts = HashMap::new();
    if !ids.is_empty() {
        let sources = item::Entity::find()
            .select_only()
            .columns([item::Column::Id, item::Column::SourceId])
            .column(source::Column::SettingsJson)
            .join(JoinType::InnerJoin, of_source())
            .filter(is_among(backend, item::Column::Id, ids))
            .into_tuple::<(String, String, String)>();
        for (item, source, settings) in sources.all(tx).await.map_err(store_error)? {
            let settings = Row::of("source", &source).json("settings_json", &settings)?;
            hosts.insert(item, host_of(&settings));
        }
    }
    let reading = [JobKind::Discover, JobKind::Backup, JobKind::Verify].map(JobKind::word);
    for row in rows {
        let endpoint = endpoints.get(&row.repository_id).cloned();
        row.storage_endpoint = Some(found(endpoint, "repository", &row.repository_id)?);
        if let Some(item) = &row.item_id {
            let host = found(hosts.get(item).cloned(), "item", item)?;
            row.source_host = host.filter(|_| reading.contains(&row.kind.as_str()));
        }
    }
    Ok(())
}

/// Returns the way from an item to its source.
fn of_source() -> RelationDef {
    item::Entity::belongs_to(source::Entity).from(item::Column::SourceId).to(source::Column::Id).into()
}
