//! Whose turn it is, when tenants compete or caps are set: the claim asks `domain::exclusion` about a window of the queue,
//! and what it answers is what is leased.
//!
//! ```text
//!  no cap, one tenant ──> the queue's own order; nothing here costs more than two looks at an index
//!  else ──> the queue's first rows + the first rows of up to LANES_MAX tenants ──admit──> the line
//! ```
//!
//! The window is bounded, whatever waits: with more tenants than lanes, each claim begins at another place among them, and
//! the most urgent jobs of all are always in it. Where caps are set, a claim locks the row of rules before it counts what
//! runs, so that two never count the same; without caps claims pass one another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use backstay_core::domain::exclusion::in_turn;
use backstay_core::domain::fairness::{Candidate, Slot};
use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Alias, Asterisk, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult as _, QueryFilter, QueryTrait as _, Select};

use super::claim::{Wish, behind, locked, named, question, queue};
use super::exclusion::{Exclusions, padded, waiting};
use super::hint::Low;
use super::lane::{LANE_ROWS, Lane, lanes};
use super::look::{readable, running_of};
use super::rules::{rules_locked, rules_of};
use crate::entity::{job_due, lease};
use crate::error::store_error;

/// Rows of the queue's beginning beyond those wanted: some may be held.
const HEAD_SPARE: u64 = 15;

/// Most rows of each tenant, when its first ones wait for what is in use: what lies behind so many waits with them.
const LANE_ROWS_MAX: u64 = 256;

/// Looks past what is held, at most: each may find jobs that wait for other repositories alone.
const LOOKS_MAX: u32 = 3;

/// How much wider each next look is.
const WIDER: u64 = 16;

/// Returns the hot rows to lease, locked, in the order of their turns; none when the queue's own order is the answer.
pub(super) async fn line(wish: Wish<'_>) -> Result<Option<Vec<job_due::Model>>, StoreError> {
    let Wish { db, tx, count_max, .. } = wish;
    let (mut rules, _) = rules_of(tx).await?;
    let is_capped = !rules.caps.is_empty();
    if is_capped {
        rules = rules_locked(tx).await?;
    }
    let lanes = lanes(wish).await?;
    let mut window = Window::new(wish);
    let began = Instant::now();
    let is_head_full = window.look_head(u64::from(count_max) + HEAD_SPARE).await?;
    db.looked(began.elapsed());
    window.look_lanes(&lanes).await?;
    // Without caps, what others run has no say in whose turn it is among these.
    let leases = leases(wish, (!is_capped).then(|| window.tenants(&lanes))).await?;
    let running =
        leases.iter().map(running_of).map(|found| found.map(|(job, _)| job)).collect::<Result<Vec<_>, _>>()?;
    if rules.caps.of(&Slot::Global).is_some_and(|cap| running.len() >= cap as usize) {
        return Ok(Some(Vec::new()));
    }
    window.exclude(&running).await?;
    // What is known by name may be of tenants that have nothing behind it.
    if !is_capped && window.tenants(&lanes).len() <= 1 {
        // All of them, and not only those that go beside each other: leasing judges each, and passes over what it cannot
        // read, which must hold up nobody behind it.
        let mut free = window.free();
        free.sort_by_key(|job| (job.breach_at, Reverse(job.priority), job.job_id));
        let line: Vec<String> = free.iter().map(|job| job.job_id.to_string()).collect();
        let found = locked(tx, &line, count_max as usize).await?;
        // Where the first ones are held, or taken by others, the database looks for those behind them.
        return Ok((!is_head_full || found.len() >= count_max as usize).then_some(found));
    }
    // The most urgent that are free are always seen, however many are held before them.
    if is_head_full && window.free_of_head() < count_max as usize {
        window.look_head_free(u64::from(count_max) + HEAD_SPARE).await?;
    }
    let tenants = window.tenants(&lanes).len();
    let lanes: Vec<String> = lanes.into_iter().map(|lane| lane.tenant).collect();
    // A lane of which nothing that was seen is free is looked at past what is held.
    for _ in 0..LOOKS_MAX {
        let blind: Vec<String> = lanes.iter().filter(|lane| window.is_blind(lane)).cloned().collect();
        if blind.is_empty() {
            break;
        }
        window.look_past(&blind, LANE_ROWS).await?;
    }
    let mut rows = LANE_ROWS;
    let line = loop {
        let admitted = in_turn(&window.free(), &running, &rules, tenants).admitted;
        let wide: Vec<String> = lanes.iter().filter(|lane| window.may_go_on(lane)).cloned().collect();
        if admitted.len() >= count_max as usize || rows >= LANE_ROWS_MAX || wide.is_empty() {
            break admitted;
        }
        rows = (rows * WIDER).min(LANE_ROWS_MAX);
        window.look_past(&wide, rows).await?;
    };
    let line: Vec<String> = line.iter().map(ToString::to_string).collect();
    locked(tx, &line, count_max as usize).await.map(Some)
}

/// Returns the leases, or those of some tenants.
async fn leases(wish: Wish<'_>, tenants: Option<BTreeSet<String>>) -> Result<Vec<lease::Model>, StoreError> {
    let found = match tenants {
        // Caps are counted, not guessed.
        None => lease::Entity::find().all(wish.tx).await,
        Some(tenants) => {
            let statement = wish.tx.get_database_backend().build(&leases_question(&tenants, wish.low));
            lease::Model::find_by_statement(statement).all(wish.tx).await
        }
    };
    found.map_err(store_error)
}

/// Returns the question for the leases of some tenants. What has no tenant was leased by an older version, and may be
/// anybody's: asked for apart, since no database goes by an index for this *or* that of a cell without more ado.
pub(crate) fn leases_question(tenants: &BTreeSet<String>, low: Option<&Low>) -> SelectStatement {
    let tenant = lease::Column::TenantId;
    let lives = lease::Column::LeasedAt.gte(low.map_or(i64::MIN, |low| low.leased_from));
    let of = |theirs| lease::Entity::find().filter(theirs).filter(lives.clone()).into_query();
    let mut all = of(tenant.is_in(padded(tenants)));
    all.union(UnionType::All, of(tenant.is_null()));
    all
}

/// What was seen of the queue.
struct Window<'a> {
    wish: Wish<'a>,
    excluded: Exclusions,
    /// The rows that were seen and can be read, each once.
    seen: BTreeMap<String, Seen>,
    /// Those of them that are the queue's first.
    head: HashSet<String>,
    /// The repositories that were asked for jobs that wait for them.
    asked: HashSet<String>,
    /// Lanes whose last look saw less than it might.
    ended: HashSet<String>,
}

/// A row that was seen.
struct Seen {
    job: Candidate,
    tenant: Option<String>,
}

impl<'a> Window<'a> {
    fn new(wish: Wish<'a>) -> Self {
        let (excluded, seen) = (Exclusions::default(), BTreeMap::new());
        Self { wish, excluded, seen, head: HashSet::new(), asked: HashSet::new(), ended: HashSet::new() }
    }

    /// Looks at the queue's first rows, free or not, and says whether there may be more of them.
    async fn look_head(&mut self, rows_max: u64) -> Result<bool, StoreError> {
        let mut rows = Vec::new();
        if let Some(low) = self.wish.low {
            // All that is known by name is looked at: lanes have what comes behind it, and a tenant may have nothing there.
            rows = named(self.wish, low).await?;
        }
        if (rows.len() as u64) < rows_max {
            rows.extend(self.ask(queue(self.wish.now, self.wish.kinds, rows_max)).await?);
        }
        let is_full = rows.len() as u64 >= rows_max;
        self.see_head(rows);
        Ok(is_full)
    }

    /// Looks at the queue's first free rows. What is known by name was seen before.
    async fn look_head_free(&mut self, rows_max: u64) -> Result<(), StoreError> {
        let rows = self.ask(question(self.wish.now, self.wish.kinds, rows_max)).await?;
        self.see_head(rows);
        self.ask_waiting().await
    }

    /// Asks for what lies behind the rows that are known by name.
    async fn ask(&self, question: Select<job_due::Entity>) -> Result<Vec<job_due::Model>, StoreError> {
        let question = match self.wish.low {
            Some(low) => behind(question, low),
            None => question,
        };
        question.all(self.wish.tx).await.map_err(store_error)
    }

    fn see_head(&mut self, rows: Vec<job_due::Model>) {
        self.head.extend(rows.iter().map(|row| row.job_id.clone()));
        self.see(rows);
    }

    fn see(&mut self, rows: Vec<job_due::Model>) {
        for row in rows {
            if let Some(job) = readable(&row) {
                self.seen.insert(row.job_id, Seen { job, tenant: row.tenant_id });
            }
        }
    }

    /// Looks at the first rows of each lane.
    async fn look_lanes(&mut self, lanes: &[Lane]) -> Result<(), StoreError> {
        let ended = lanes.iter().filter(|lane| (lane.jobs.len() as u64) < LANE_ROWS);
        self.ended.extend(ended.map(|lane| lane.tenant.clone()));
        let new = |id: &&String| !self.seen.contains_key(*id);
        let ids: BTreeSet<String> = lanes.iter().flat_map(|lane| &lane.jobs).filter(new).cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let rows = job_due::Entity::find().filter(job_due::Column::JobId.is_in(padded(&ids)));
        let rows = rows.all(self.wish.tx).await.map_err(store_error)?;
        self.see(rows);
        Ok(())
    }

    /// Returns whose rows were seen.
    fn tenants(&self, lanes: &[Lane]) -> BTreeSet<String> {
        let seen = self.seen.values().filter_map(|row| row.tenant.clone());
        seen.chain(lanes.iter().map(|lane| lane.tenant.clone())).collect()
    }

    /// Takes note of what is held, and of who waits for a repository that was seen.
    async fn exclude(&mut self, running: &[Candidate]) -> Result<(), StoreError> {
        self.excluded = Exclusions::by(running);
        self.ask_waiting().await
    }

    async fn ask_waiting(&mut self) -> Result<(), StoreError> {
        let seen: BTreeSet<String> = self.seen.values().map(|row| row.job.repository_id.to_string()).collect();
        let repositories: BTreeSet<String> = seen.into_iter().filter(|id| !self.asked.contains(id)).collect();
        if !repositories.is_empty() {
            self.excluded.wait(waiting(self.wish.tx, self.wish.now, &repositories).await?);
            self.asked.extend(repositories);
        }
        Ok(())
    }

    /// Looks at the first rows of these lanes past what is held.
    async fn look_past(&mut self, lanes: &[String], rows_max: u64) -> Result<(), StoreError> {
        let statement = window_question(self.wish.now, self.wish.kinds, lanes, rows_max, &self.excluded);
        let statement = self.wish.tx.get_database_backend().build(&statement);
        let rows = job_due::Model::find_by_statement(statement).all(self.wish.tx).await.map_err(store_error)?;
        let of = |lane: &String| rows.iter().filter(|row| row.tenant_id.as_ref() == Some(lane)).count() as u64;
        self.ended.extend(lanes.iter().filter(|lane| of(lane) < rows_max).cloned());
        self.see(rows);
        self.ask_waiting().await
    }

    fn lets(&self) -> impl Iterator<Item = (&String, &Seen)> {
        self.seen.iter().filter(|(_, row)| self.excluded.lets(&row.job))
    }

    /// Returns how many of the queue's first rows are free.
    fn free_of_head(&self) -> usize {
        self.lets().filter(|(id, _)| self.head.contains(*id)).count()
    }

    /// Says whether rows of a tenant were seen, none of them is free, and there may be more.
    fn is_blind(&self, lane: &str) -> bool {
        self.may_go_on(lane) && !self.lets().any(|(_, row)| row.tenant.as_deref() == Some(lane))
    }

    /// Says whether a tenant may have more rows than were seen.
    fn may_go_on(&self, lane: &str) -> bool {
        !self.ended.contains(lane)
    }

    /// Returns what is free.
    fn free(&self) -> Vec<Candidate> {
        self.lets().map(|(_, row)| row.job.clone()).collect()
    }
}

/// Returns the question for the first rows of each lane past what is held.
pub(crate) fn window_question(
    now: Timestamp,
    kinds: &[JobKind],
    lanes: &[String],
    lane_rows: u64,
    excluded: &Exclusions,
) -> SelectStatement {
    // A limit within a union stands only in a query of its own, on SQLite.
    let part = |number: usize, question: SelectStatement| {
        Query::select().column(Asterisk).from_subquery(question, Alias::new(format!("part{number}"))).take()
    };
    let lanes = lanes.iter().map(|lane| {
        let lane =
            queue(now, kinds, lane_rows).filter(job_due::Column::TenantId.eq(lane)).filter(excluded.beside(lane));
        lane.into_query()
    });
    let mut parts = lanes.enumerate().map(|(number, question)| part(number, question));
    let mut all = parts.next().unwrap_or_else(|| part(0, queue(now, kinds, 0).into_query()));
    for part in parts {
        all.union(UnionType::All, part);
    }
    all
}
