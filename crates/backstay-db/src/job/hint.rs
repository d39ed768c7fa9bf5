//! What one process remembers of the queue from claim to claim, so that the next one looks at less. None of it decides:
//! a claim that finds too little with it looks again without it.
//!
//! - Between which tenants those with queued jobs lie, for a claim to begin at another one than the last.
//! - Where the queue begins. On a server that must keep deleted rows (somebody has a transaction open, a dump perhaps),
//!   those of the jobs that have run lie at the front of each index, where every look for the most urgent job begins. A
//!   look that took long is followed by one in the background that says which rows live there. For [`LOW_AGE_MAX`] claims
//!   ask for these by name, and pass over the rest. A more urgent job that comes meanwhile is asked for by name too where
//!   this process put it there, and is seen by the next look where another one did. Looks take one part in
//!   [`LOOK_SHARE`] of the time.
//! - Since when the oldest lease is held: rows of leases from before are gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backstay_core::domain::job::StateName;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::Now;
use crate::entity::{job_due, lease};
use crate::error::store_error;

/// A look at the queue's beginning that takes longer goes over rows that are gone.
const SLOW: Duration = Duration::from_millis(3);

/// How old what is known of the beginning may be before it is looked at anew: so many times what the look takes, between
/// these.
const LOOK_SHARE: u32 = 200;
const LOW_AGE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// How long it is believed at most.
const LOW_AGE_MAX: Duration = Duration::from_secs(15);

/// What is leased by a transaction that is older than this when it ends may be passed over by claims that count leases,
/// until the next look.
const LEASE_PATIENCE: Duration = Duration::from_secs(10);

/// Jobs at the beginning that are asked for by name: what waits there for a repository or another agent.
const LOW_ROWS: u64 = 64;

/// From so many jobs known by name on the beginning is looked at anew.
const NAMES_MANY: usize = 128;

/// More than so many are not asked for by name: where the queue begins is not known then.
const NAMES_MAX: usize = 512;

/// Where the queue begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Low {
    /// The first jobs.
    pub(crate) ids: Vec<String>,
    /// The time to breach of the next one: before it there is nobody else.
    pub(crate) from: i64,
    /// When the oldest lease began.
    pub(crate) leased_from: i64,
}

/// What a look found, when, and how long it took.
#[derive(Debug, Clone)]
struct Look {
    low: Low,
    began: Instant,
    took: Duration,
}

impl Look {
    /// Says whether the beginning is to be looked at anew.
    fn is_old(&self) -> bool {
        let rest = (self.took * LOOK_SHARE).clamp(LOW_AGE.0, LOW_AGE.1);
        self.began.elapsed() >= rest || self.low.ids.len() >= NAMES_MANY
    }
}

#[derive(Debug, Default)]
struct Known {
    tenants: Option<(String, String)>,
    low: Option<Look>,
    is_looking: bool,
    /// The jobs, with their times to breach, that this process put in the queue while it was being looked at.
    came: Vec<(String, i64)>,
}

impl Low {
    /// Takes a job in that came after the look; none when too many are known by name.
    fn with(mut self, id: &str, breach_at: i64) -> Option<Self> {
        if breach_at < self.from {
            self.ids.push(id.to_owned());
        }
        (self.ids.len() <= NAMES_MAX).then_some(self)
    }
}

/// What is remembered; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints(Arc<Mutex<Known>>);

impl Hints {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that is done with the lock can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first and the last tenant that had queued jobs when they were last looked for.
    pub(super) fn tenants(&self) -> Option<(String, String)> {
        self.known().tenants.clone()
    }

    /// Remembers them.
    pub(super) fn tenants_put(&self, ends: Option<(String, String)>) {
        self.known().tenants = ends;
    }

    /// Returns where the queue begins, if that is worth knowing and known.
    pub(super) fn low(&self) -> Option<Low> {
        let known = self.known();
        known.low.as_ref().filter(|look| look.began.elapsed() < LOW_AGE_MAX).map(|look| look.low.clone())
    }

    /// Puts what is believed of the queue's beginning in place. For tests.
    pub(crate) fn low_put(&self, low: Low) {
        self.known().low = Some(Look { low, began: Instant::now(), took: Duration::ZERO });
    }

    /// Hears of a job that this process put in the queue.
    pub(crate) fn came(&self, id: &str, breach_at: i64) {
        let mut known = self.known();
        known.low = known.low.take().and_then(|look| Some(Look { low: look.low.with(id, breach_at)?, ..look }));
        if known.is_looking {
            known.came.push((id.to_owned(), breach_at));
        }
    }

    /// Hears how long a look at the queue's beginning took, and has it looked at in the background where that was long,
    /// or what is known of it is old.
    pub(crate) fn looked(&self, took: Duration, db: &DatabaseConnection, now: &Now) {
        let mut known = self.known();
        let is_old = known.low.as_ref().map_or(took >= SLOW, Look::is_old);
        if !is_old || known.is_looking {
            return;
        }
        (known.is_looking, known.came) = (true, Vec::new());
        drop(known);
        let (hints, db, now) = (self.clone(), db.clone(), now.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let found = look(&db, &now).await;
            let took = began.elapsed();
            let mut known = hints.known();
            // Where a whole look is quick there is nothing to pass over.
            let came = std::mem::take(&mut known.came);
            let found = found.filter(|_| took >= SLOW);
            let with_all = |low: Low| came.iter().try_fold(low, |low, (id, breach_at)| low.with(id, *breach_at));
            known.low = found.and_then(with_all).map(|low| Look { low, began, took });
            known.is_looking = false;
        });
    }
}

/// Returns where the queue begins; none when it is empty, or cannot be asked.
async fn look(db: &DatabaseConnection, now: &Now) -> Option<Low> {
    let unknown = |error: StoreError| tracing::debug!(%error, "the queue's beginning is not known");
    let leased_from = oldest_lease(db, now).await.map_err(unknown).ok()?;
    let rows: Result<Vec<(String, i64)>, _> = job_due::Entity::find()
        .select_only()
        .columns([job_due::Column::JobId, job_due::Column::BreachAt])
        .filter(job_due::Column::State.eq(StateName::Queued.word()))
        .order_by_asc(job_due::Column::BreachAt)
        .order_by_desc(job_due::Column::Priority)
        .order_by_asc(job_due::Column::JobId)
        .limit(LOW_ROWS + 1)
        .into_tuple()
        .all(db)
        .await;
    let mut rows = rows.map_err(store_error).map_err(unknown).ok()?;
    let (_, from) = rows.pop()?;
    Some(Low { ids: rows.into_iter().map(|(id, _)| id).collect(), from, leased_from })
}

/// Returns a moment that no lease is older than, but for those of transactions that have long been open.
async fn oldest_lease(db: &DatabaseConnection, now: &Now) -> Result<i64, StoreError> {
    let young = now.read(db).await?.saturating_sub(LEASE_PATIENCE).unwrap_or(Timestamp::MIN).as_microsecond();
    let oldest = lease::Entity::find().select_only().column_as(lease::Column::LeasedAt.min(), "oldest_at");
    let oldest = oldest.into_tuple::<Option<i64>>().one(db).await.map_err(store_error)?;
    Ok(oldest.flatten().map_or(young, |at| at.min(young)))
}
