//! What one process remembers of the queue from claim to claim, so that the next one looks at less. None of it decides:
//! a claim that finds too little with it looks again without it.
//!
//! - Between which tenants those with queued jobs lie, for a claim to begin at another one than the last.
//! - Where the queue begins. On a server that must keep deleted rows (somebody has a transaction open, a dump perhaps),
//!   those of the jobs that have run lie at the front of each index, where every look for the most urgent job begins. A
//!   look that took long is followed by one in the background that says which rows live there. For [`LOW_AGE_MAX`] claims
//!   ask for these by name, and pass over the rest. A more urgent job that comes meanwhile is asked for by name too where
//!   this process put it there, and is seen after [`LOW_AGE`] where another one did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backstay_core::domain::job::StateName;
use sea_orm::{
    ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::entity::job_due;

/// A look at the queue's beginning that takes longer goes over rows that are gone.
const SLOW: Duration = Duration::from_millis(3);

/// How old what is known of the beginning may be before it is looked at anew.
const LOW_AGE: Duration = Duration::from_secs(2);

/// How long it is believed at most.
const LOW_AGE_MAX: Duration = Duration::from_secs(15);

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
}

#[derive(Debug, Default)]
struct Known {
    tenants: Option<(String, String)>,
    low: Option<(Low, Instant)>,
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
        known.low.as_ref().filter(|(_, at)| at.elapsed() < LOW_AGE_MAX).map(|(low, _)| low.clone())
    }

    /// Puts what is believed of the queue's beginning in place. For tests.
    pub(crate) fn low_put(&self, low: Low) {
        self.known().low = Some((low, Instant::now()));
    }

    /// Hears of a job that this process put in the queue.
    pub(crate) fn came(&self, id: &str, breach_at: i64) {
        let mut known = self.known();
        known.low = known.low.take().and_then(|(low, at)| Some((low.with(id, breach_at)?, at)));
        if known.is_looking {
            known.came.push((id.to_owned(), breach_at));
        }
    }

    /// Hears how long a look at the queue's beginning took, and has it looked at in the background where that was long,
    /// or what is known of it is old.
    pub(crate) fn looked(&self, took: Duration, db: &DatabaseConnection) {
        let mut known = self.known();
        let is_old = match &known.low {
            Some((low, at)) => at.elapsed() >= LOW_AGE || low.ids.len() >= NAMES_MANY,
            None => took >= SLOW,
        };
        if !is_old || known.is_looking {
            return;
        }
        (known.is_looking, known.came) = (true, Vec::new());
        drop(known);
        let (hints, db) = (self.clone(), db.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let found = look(&db).await;
            let mut known = hints.known();
            // Where a whole look is quick there is nothing to pass over.
            let came = std::mem::take(&mut known.came);
            let found = found.filter(|_| began.elapsed() >= SLOW);
            let with_all = |low: Low| came.iter().try_fold(low, |low, (id, breach_at)| low.with(id, *breach_at));
            known.low = found.and_then(with_all).map(|low| (low, began));
            known.is_looking = false;
        });
    }
}

/// Returns where the queue begins; none when it is empty, or cannot be asked.
async fn look(db: &DatabaseConnection) -> Option<Low> {
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
    let mut rows = rows.inspect_err(|error| tracing::debug!(%error, "the queue's beginning is not known")).ok()?;
    let (_, from) = rows.pop()?;
    Some(Low { ids: rows.into_iter().map(|(id, _)| id).collect(), from })
}
