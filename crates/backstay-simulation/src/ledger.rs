//! The promises, looked at after every step that wrote: a mirror of the rows, and what they may never do.
//!
//! `ledger/rows` holds what was seen; here is what follows from two looks, the one before a step and the one after it.
//! Nothing here asks the product: rows are read as they are, and bytes from where the simulation keeps them.

mod jobs;
mod schedule;
mod history;
mod rpo;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::stage::Stage;
use crate::table::Table;
use crate::world::World;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

/// Says that a promise was broken, unless it is kept.
pub(crate) fn keep(kept: bool, promise: &'static str, seen: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken { promise, seen: seen() }) }
}

/// A job as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobSeen {
    pub(crate) tenant_id: String,
    pub(crate) plan_id: Option<String>,
    pub(crate) item_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) token: i64,
    pub(crate) outcome: Option<String>,
    pub(crate) occurrence_at: Option<i64>,
    pub(crate) created_at: i64,
}

impl JobSeen {
    pub(crate) fn is_final(&self) -> bool {
        matches!(&*self.state, "succeeded" | "failed" | "damaged" | "cancelled")
    }
}

/// A lease as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseSeen {
    pub(crate) token: i64,
    pub(crate) agent_id: String,
    pub(crate) progressed_at: i64,
    pub(crate) disowned_at: Option<i64>,
    pub(crate) expires_at: i64,
}

/// What was seen so far.
pub struct Ledger {
    world: Arc<World>,
    table: Table,
    jobs: HashMap<String, JobSeen>,
    /// Jobs that had not ended at the last look.
    live: BTreeMap<String, ()>,
    leases: HashMap<String, LeaseSeen>,
    /// The job of each item and occurrence.
    occurrences: HashMap<(String, i64), String>,
    /// How often each job's end was told, by word.
    told: HashMap<String, Vec<String>>,
    /// Place and hash of each tenant's newest event.
    chains: HashMap<String, (i64, String)>,
    /// Good snapshots of each item: when they were taken.
    good: HashMap<String, Vec<i64>>,
    /// The snapshot of each job, and the job of each snapshot.
    snapshots: HashMap<String, String>,
    /// What was told of each occurrence: plan and second.
    occurrences_told: HashMap<(String, i64), schedule::Told>,
    /// The newest occurrence of each plan that something was told of.
    newest: HashMap<String, i64>,
    seen_event: i64,
    seen_snapshot: i64,
    seen_job: i64,
    /// What happened, for a person.
    pub counts: Counts,
}

/// What happened in a year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs that were enqueued.
    pub jobs: u64,
    /// Leases that were lost and rescued.
    pub rescued: u64,
    /// Snapshots with a row.
    pub snapshots: u64,
    /// Snapshots without one: published by attempts that were dead.
    pub orphans: u64,
    /// Events.
    pub events: u64,
    /// Occurrences or items of them that were skipped.
    pub skipped: u64,
    /// Looks at the rows.
    pub looks: u64,
}

impl Ledger {
    /// Begins with an empty mirror.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            table: Table::new(&world.stage, &world.database),
            jobs: HashMap::new(),
            live: BTreeMap::new(),
            leases: HashMap::new(),
            occurrences: HashMap::new(),
            told: HashMap::new(),
            chains: HashMap::new(),
            good: HashMap::new(),
            snapshots: HashMap::new(),
            occurrences_told: HashMap::new(),
            newest: HashMap::new(),
            seen_event: 0,
            seen_snapshot: 0,
            seen_job: 0,
            counts: Counts::default(),
        }
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.world.stage
    }

    /// Returns the tables.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Looks at what the last step wrote.
    ///
    /// # Errors
    /// [`Broken`]: the first promise that does not hold.
    pub fn look(&mut self) -> Result<(), Broken> {
        self.counts.looks += 1;
        self.told_since()?;
        let changed = self.jobs_since()?;
        self.leases_since()?;
        self.ends(&changed)?;
        self.snapshots_since()?;
        self.overlaps()?;
        self.hints();
        Ok(())
    }

    /// Looks at what must not take too long, and at what ages.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn look_at_time(&self) -> Result<(), Broken> {
        self.rescued_in_time()?;
        self.overdue()
    }

    /// Looks at every occurrence that there was.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn look_at_occurrences(&self) -> Result<(), Broken> {
        self.accounted()
    }

    /// Tells those who wait what they would see if they looked all the time.
    fn hints(&self) {
        let board = &self.world.board;
        let was_queued = board.is_queued.load(SeqCst);
        let sql = "SELECT state, count(*) AS n, min(due_at) AS at FROM job_due GROUP BY state \
                   UNION ALL SELECT 'plan', count(*), min(next_due_at) FROM plan_schedule WHERE next_due_at IS NOT NULL";
        let due = self.table.rows(sql.to_owned());
        let of = |state: &str| due.iter().find(|row| row.text("state") == state);
        let queued = of("queued").map_or(0, |row| row.number("n"));
        board.is_queued.store(queued > 0, SeqCst);
        let now = self.stage().now().as_microsecond();
        let wake = of("waiting").map_or(i64::MAX, |row| row.number("at"));
        let over = self.leases.values().map(|lease| self.over_at(lease)).min().unwrap_or(i64::MAX);
        let next = wake.min(over);
        let tick = of("plan").map_or(i64::MAX, |row| row.get::<Option<i64>>("at").unwrap_or(i64::MAX));
        if board.tick_at.swap(tick, SeqCst) > tick {
            self.world.servers.iter().for_each(|server| self.stage().signal(server.tick_bell()));
        }
        if board.rescue_at.swap(next, SeqCst) > next {
            self.world.servers.iter().for_each(|server| self.stage().signal(server.bell));
        }
        if queued > 0 && !was_queued && of("queued").is_some_and(|row| row.number("at") <= now) {
            self.world.machines.iter().for_each(|machine| self.stage().signal(machine.bell));
        }
    }
}
