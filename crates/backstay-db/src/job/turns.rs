//! Whose turn it is, when tenants compete or caps are set: the claim asks `domain::fairness::admit` about a window of the
//! queue, and what it answers is what is leased.
//!
//! ```text
//!  no cap, one tenant ──> the queue's own order; nothing here costs more than two looks at an index
//!  else ──> the queue's first rows + the first rows of up to LANES_MAX tenants ──admit──> the line
//! ```
//!
//! The window is bounded, whatever waits: with more tenants than lanes, each claim begins at another place among them, and
//! the most urgent jobs of all are always in it. Where caps are set, a claim locks the row of rules before it counts what
//! runs, so that two never count the same; without caps claims pass one another.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use backstay_core::domain::fairness::{Candidate, Slot, admit};
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Alias, Asterisk, LockBehavior, LockType, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
    QueryTrait as _, Statement,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::claim::{question, queue};
use super::exclusion::{Exclusions, waiting};
use super::look::{candidate_of, running_of};
use super::rules::{rules_locked, rules_of};
use crate::entity::{job_due, lease};
use crate::error::store_error;

/// Most tenants of one window.
const LANES_MAX: usize = 16;

/// Rows of each tenant at first: enough for most claims.
const LANE_ROWS: u64 = 2;

/// Rows of the queue's beginning beyond those wanted, each of which is free.
const HEAD_SPARE: u64 = 6;

/// Most rows of each tenant, when its first ones wait for what is in use: what lies behind so many waits with them.
const LANE_ROWS_MAX: u64 = 256;

/// Looks past what is held, at most: each may find jobs that wait for other repositories alone.
const LOOKS_MAX: u32 = 3;

/// How much wider each next look is.
const WIDER: u64 = 16;

/// Returns the hot rows to lease, locked, in the order of their turns; none when the queue's own order is the answer.
pub(super) async fn line(
    tx: &DatabaseTransaction,
    now: Timestamp,
    agent: AgentId,
    kinds: &[JobKind],
    count_max: u32,
) -> Result<Option<Vec<job_due::Model>>, StoreError> {
    let (mut rules, _) = rules_of(tx).await?;
    let lanes = match rules.caps.is_empty() {
        true => lanes(tx, now, agent).await?,
        false => {
            rules = rules_locked(tx).await?;
            lanes(tx, now, agent).await?
        }
    };
    if rules.caps.is_empty() && lanes.len() <= 1 {
        return Ok(None);
    }
    let leases = lease::Entity::find().all(tx).await.map_err(store_error)?;
    let running =
        leases.iter().map(running_of).map(|found| found.map(|(job, _)| job)).collect::<Result<Vec<_>, _>>()?;
    if rules.caps.of(&Slot::Global).is_some_and(|cap| running.len() >= cap as usize) {
        return Ok(Some(Vec::new()));
    }
    let mut window = Window::new(tx, now, kinds, &leases);
    window.look(&lanes, LANE_ROWS, u64::from(count_max) + HEAD_SPARE).await?;
    // A lane of which nothing that was seen is free is looked at past what is held.
    for _ in 0..LOOKS_MAX {
        let blind: Vec<String> = lanes.iter().filter(|lane| window.is_blind(lane)).cloned().collect();
        if blind.is_empty() {
            break;
        }
        window.look(&blind, LANE_ROWS, 0).await?;
    }
    let mut rows = LANE_ROWS;
    let line = loop {
        let admitted = admit(&window.candidates(), &running, &rules.caps, &rules.weights).admitted;
        let wide: Vec<String> = lanes.iter().filter(|lane| window.may_go_on(lane)).cloned().collect();
        if admitted.len() >= count_max as usize || rows >= LANE_ROWS_MAX || wide.is_empty() {
            break admitted;
        }
        rows = (rows * WIDER).min(LANE_ROWS_MAX);
        window.look(&wide, rows, 0).await?;
    };
    let ids: Vec<String> = line.iter().map(ToString::to_string).collect();
    locked(tx, &ids, count_max).await.map(Some)
}

/// Locks as many rows of a line as are wanted, and passes over those that another claim has.
async fn locked(tx: &DatabaseTransaction, line: &[String], count_max: u32) -> Result<Vec<job_due::Model>, StoreError> {
    // A few more: one may turn out to be excluded by another of the same claim.
    let wanted = count_max as usize + 2;
    let mut found = Vec::new();
    for some in line.chunks(wanted) {
        let rows = job_due::Entity::find()
            .filter(job_due::Column::JobId.is_in(some))
            .filter(job_due::Column::State.eq(StateName::Queued.word()))
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(tx)
            .await
            .map_err(store_error)?;
        let mut rows: HashMap<String, job_due::Model> = rows.into_iter().map(|row| (row.job_id.clone(), row)).collect();
        found.extend(some.iter().filter_map(|id| rows.remove(id)));
        if found.len() >= count_max as usize {
            break;
        }
    }
    Ok(found)
}

/// What was seen of the queue.
struct Window<'a> {
    tx: &'a DatabaseTransaction,
    now: Timestamp,
    kinds: &'a [JobKind],
    excluded: Exclusions,
    /// The rows that were seen, each once.
    seen: BTreeMap<String, job_due::Model>,
    /// The repositories that were asked for jobs that wait for them.
    asked: HashSet<String>,
    /// Lanes whose last look saw less than it might.
    ended: HashSet<String>,
}

impl<'a> Window<'a> {
    fn new(tx: &'a DatabaseTransaction, now: Timestamp, kinds: &'a [JobKind], leases: &[lease::Model]) -> Self {
        let excluded = Exclusions::by(leases);
        Self { tx, now, kinds, excluded, seen: BTreeMap::new(), asked: HashSet::new(), ended: HashSet::new() }
    }

    /// Looks at the first rows of these lanes, and, where some are wanted, at the queue's first free ones.
    async fn look(&mut self, lanes: &[String], lane_rows: u64, head_rows: u64) -> Result<(), StoreError> {
        // What is held stands in the question only from the second look on: the first one is the same statement for
        // all claims, and a database plans it once.
        let excluded = if head_rows == 0 { self.excluded.clone() } else { Exclusions::default() };
        let statement = window_question(self.now, self.kinds, lanes, (lane_rows, head_rows), &excluded);
        let statement = self.tx.get_database_backend().build(&statement);
        let rows = job_due::Model::find_by_statement(statement).all(self.tx).await.map_err(store_error)?;
        let of = |lane: &String| rows.iter().filter(|row| row.tenant_id.as_ref() == Some(lane)).count() as u64;
        self.ended.extend(lanes.iter().filter(|lane| of(lane) < lane_rows).cloned());
        let new = |row: &&job_due::Model| !self.asked.contains(&row.repository_id);
        let repositories: BTreeSet<String> = rows.iter().filter(new).map(|row| row.repository_id.clone()).collect();
        self.seen.extend(rows.into_iter().map(|row| (row.job_id.clone(), row)));
        if !repositories.is_empty() {
            self.excluded.waiting.extend(waiting(self.tx, self.now, &repositories).await?);
            self.asked.extend(repositories);
        }
        Ok(())
    }

    fn free(&self) -> impl Iterator<Item = &job_due::Model> {
        self.seen.values().filter(|row| self.excluded.lets(row))
    }

    /// Says whether rows of a tenant were seen, none of them is free, and there may be more.
    fn is_blind(&self, lane: &str) -> bool {
        self.may_go_on(lane) && !self.free().any(|row| row.tenant_id.as_deref() == Some(lane))
    }

    /// Says whether a tenant may have more rows than were seen.
    fn may_go_on(&self, lane: &str) -> bool {
        !self.ended.contains(lane)
    }

    /// Returns what is free, as fairness sees it.
    fn candidates(&self) -> Vec<Candidate> {
        let mut found = Vec::new();
        for due in self.free() {
            match candidate_of(due) {
                Ok(candidate) => found.push(candidate),
                Err(error) => tracing::error!(job_id = due.job_id, error = %error, "a queued job is passed over"),
            }
        }
        found
    }
}

/// Returns the question for a window: the queue's first free rows, and the first rows of each lane past what is held.
pub(crate) fn window_question(
    now: Timestamp,
    kinds: &[JobKind],
    lanes: &[String],
    (lane_rows, head_rows): (u64, u64),
    excluded: &Exclusions,
) -> SelectStatement {
    // A limit within a union stands only in a query of its own, on SQLite.
    let part = |number: usize, question: SelectStatement| {
        Query::select().column(Asterisk).from_subquery(question, Alias::new(format!("part{number}"))).take()
    };
    let head = (head_rows > 0).then(|| question(now, kinds, head_rows).into_query());
    let lanes = lanes.iter().map(|lane| {
        let lane =
            queue(now, kinds, lane_rows).filter(job_due::Column::TenantId.eq(lane)).filter(excluded.beside(lane));
        lane.into_query()
    });
    let mut parts = head.into_iter().chain(lanes).enumerate().map(|(number, question)| part(number, question));
    let mut all = parts.next().unwrap_or_else(|| part(0, queue(now, kinds, 0).into_query()));
    for part in parts {
        all.union(UnionType::All, part);
    }
    all
}

/// Returns tenants that have queued jobs, at most [`LANES_MAX`] of them: with more, another claim begins elsewhere.
async fn lanes(tx: &DatabaseTransaction, now: Timestamp, agent: AgentId) -> Result<Vec<String>, StoreError> {
    let (mut first, last) = lanes_from(tx, "", LANES_MAX + 1).await?;
    if first.len() <= LANES_MAX {
        return Ok(first);
    }
    let start = between(&first[0], last.as_deref().unwrap_or(&first[0]), now, agent);
    let (mut found, _) = lanes_from(tx, &start, LANES_MAX).await?;
    first.truncate(LANES_MAX - found.len());
    first.retain(|lane| !found.contains(lane));
    found.extend(first);
    Ok(found)
}

/// Returns a place between two ids that looks random and is another one for another claim. Ids begin with their moment.
fn between(first: &str, last: &str, now: Timestamp, agent: AgentId) -> String {
    let number = |text: &str| text.parse::<Uuid>().map_or(0, |id| id.as_u128());
    let (first, last) = (number(first), number(last));
    let hash =
        Sha256::new().chain_update(agent.to_string()).chain_update(now.as_microsecond().to_be_bytes()).finalize();
    let share = u128::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    let at = first + ((last.saturating_sub(first)) >> 32) * share;
    Uuid::from_u128(at).to_string()
}

#[derive(FromQueryResult)]
struct Lane {
    tenant_id: String,
    /// Zero for the last tenant of all.
    place: i32,
}

/// Returns tenants with queued jobs after one, by their ids, and the last one of all: each costs one look at the index,
/// whatever it has queued.
async fn lanes_from(
    tx: &DatabaseTransaction,
    after: &str,
    lanes_max: usize,
) -> Result<(Vec<String>, Option<String>), StoreError> {
    let statement = lanes_question(tx.get_database_backend(), after, lanes_max);
    let rows = Lane::find_by_statement(statement).all(tx).await.map_err(store_error)?;
    let (last, lanes): (Vec<Lane>, Vec<Lane>) = rows.into_iter().partition(|row| row.place == 0);
    let last = last.into_iter().next().map(|row| row.tenant_id);
    Ok((lanes.into_iter().map(|row| row.tenant_id).collect(), last))
}

/// Returns the question for tenants with queued jobs, each with its place, and for the last one with none.
pub(crate) fn lanes_question(backend: sea_orm::DbBackend, after: &str, lanes_max: usize) -> Statement {
    let hold = match backend {
        sea_orm::DbBackend::Postgres => "$1",
        _ => "?",
    };
    let next = |after: &str| {
        format!(
            "SELECT tenant_id FROM job_due WHERE state = 'queued' AND tenant_id > {after} ORDER BY tenant_id LIMIT 1"
        )
    };
    let (first, following) = (next(hold), next("lane.tenant_id"));
    let last = "SELECT tenant_id FROM job_due WHERE state = 'queued' AND tenant_id IS NOT NULL ORDER BY tenant_id DESC \
                LIMIT 1";
    let sql = format!(
        "WITH RECURSIVE lane (tenant_id, place) AS (SELECT tenant_id, 1 FROM ({first}) AS head UNION ALL \
         SELECT ({following}), place + 1 FROM lane WHERE tenant_id IS NOT NULL AND place < {lanes_max}) \
         SELECT tenant_id, place FROM lane WHERE tenant_id IS NOT NULL UNION ALL SELECT tenant_id, 0 FROM ({last}) AS tail"
    );
    Statement::from_sql_and_values(backend, sql, [after.into()])
}
