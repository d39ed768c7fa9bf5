//! The promises, looked at after every step that wrote: a mirror of the rows, and what they may never do.
//!
//! `log` notes every row that is written; here is what follows from two looks, the one before a step and the one after
//! it. Nothing here asks the product: rows are read as they are, and bytes from where the simulation keeps them.

mod log;
mod jobs;
mod schedule;
mod history;
mod rpo;
mod notice;
mod change;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use self::log::{Done, Written};
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
    pub(crate) repository_id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) token: i64,
    pub(crate) outcome: Option<String>,
    pub(crate) occurrence_at: Option<i64>,
    pub(crate) follow_up_of: Option<String>,
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
    log: log::Log,
    jobs: HashMap<String, JobSeen>,
    /// Jobs that had not ended at the last look.
    live: BTreeMap<String, ()>,
    leases: HashMap<String, LeaseSeen>,
    /// Until when each agent's heartbeat holds.
    agents: HashMap<String, i64>,
    /// How each attempt ended; none while it goes on.
    endings: HashMap<(String, i64), Option<String>>,
    /// Jobs that are queued or wait: in which state, until when.
    due: HashMap<String, (String, i64)>,
    /// When each plan is looked at next.
    ticks: HashMap<String, i64>,
    /// The job of each item and occurrence.
    occurrences: HashMap<(String, i64), String>,
    /// How often plans ended well that are followed.
    followed: u64,
    /// How often what follows was queued, or told not to be.
    follow_ups: u64,
    /// How often each job's end was told, by word.
    told: HashMap<String, Vec<String>>,
    /// Place and hash of each tenant's newest event.
    chains: HashMap<String, (i64, String)>,
    /// Good snapshots of each item: when they were taken.
    good: HashMap<String, Vec<i64>>,
    /// When the newest confirmation of a snapshot was read, by its item and when it was taken.
    confirmed: HashMap<(String, i64), i64>,
    /// The snapshot of each job, and the job of each snapshot.
    snapshots: HashMap<String, String>,
    /// Snapshots that are shown: their names in the repositories.
    shown: BTreeSet<String>,
    /// What was told of each occurrence: plan and second.
    occurrences_told: HashMap<(String, i64), schedule::Told>,
    /// The newest occurrence of each plan that something was told of.
    newest: HashMap<String, i64>,
    /// What is told.
    notices: notice::Notices,
    /// What people declared.
    changes: change::Changes,
    /// Leases that were looked at when they were given.
    given: HashSet<(String, i64)>,
    /// What happened, for a person.
    pub counts: Counts,
}

/// What happened in a year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs that were enqueued.
    pub jobs: u64,
    /// Of them, those that follow others.
    pub follow_ups: u64,
    /// Leases that were lost and rescued.
    pub rescued: u64,
    /// Snapshots with a row.
    pub snapshots: u64,
    /// Snapshots without one: published by attempts that were dead.
    pub orphans: u64,
    /// Backups that confirmed a snapshot in the place of publishing one.
    pub confirmed: u64,
    /// Snapshots that miss something that their plan accepts.
    pub accepted: u64,
    /// Snapshots that were forgotten.
    pub forgotten: u64,
    /// Events.
    pub events: u64,
    /// Occurrences or items of them that were skipped.
    pub skipped: u64,
    /// Alerts that began.
    pub alerts: u64,
    /// Messages to channels, digests among them.
    pub messages: u64,
    /// Digests.
    pub digests: u64,
    /// Messages that were given up.
    pub given_up: u64,
    /// Schedules that took the place of others.
    pub rescheduled: u64,
    /// Times that a cap was asked for a lease that was given.
    pub capped: u64,
    /// Leases of backups whose tenant was at its quota.
    pub over_quota: u64,
    /// Writes of snapshots that somebody keeps.
    pub marked: u64,
    /// Looks at the rows.
    pub looks: u64,
}

impl Ledger {
    /// Begins with an empty mirror.
    pub fn new(world: &Arc<World>) -> Self {
        let table = Table::new(&world.stage, &world.database);
        Self {
            world: Arc::clone(world),
            log: log::Log::begin(&table),
            table,
            jobs: HashMap::new(),
            live: BTreeMap::new(),
            leases: HashMap::new(),
            agents: HashMap::new(),
            endings: HashMap::new(),
            due: HashMap::new(),
            ticks: HashMap::new(),
            occurrences: HashMap::new(),
            followed: 0,
            follow_ups: 0,
            told: HashMap::new(),
            chains: HashMap::new(),
            good: HashMap::new(),
            confirmed: HashMap::new(),
            snapshots: HashMap::new(),
            shown: BTreeSet::new(),
            occurrences_told: HashMap::new(),
            newest: HashMap::new(),
            notices: notice::Notices::default(),
            changes: change::Changes::default(),
            given: HashSet::new(),
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
        let written = self.log.since(&self.table);
        if written.is_empty() {
            return Ok(());
        }
        self.mirror(&written);
        self.declared_since(&written);
        self.told_since(&written)?;
        let changed = self.jobs_since(&written)?;
        self.leases_since(&written)?;
        self.given_since(&written)?;
        self.ends(&changed)?;
        self.within_quota(&changed)?;
        self.marked_stay(&written)?;
        self.followed(&changed)?;
        self.snapshots_since(&written)?;
        self.confirmed_since(&written)?;
        self.notices_since(&written)?;
        self.overlaps()?;
        self.hints();
        Ok(())
    }

    /// Takes in what carries no promise of its own.
    fn mirror(&mut self, written: &[Written]) {
        for row in written {
            let is_there = row.done != Done::Gone;
            match &*row.table {
                "attempt" => {
                    self.endings.insert((row.text("job_id"), row.number("token")), row.word("ending"));
                }
                "agent" if is_there => {
                    self.agents.insert(row.text("id"), row.number("expires_at"));
                }
                "job_due" if is_there => {
                    self.due.insert(row.text("job_id"), (row.text("state"), row.number("due_at")));
                }
                "job_due" => {
                    self.due.remove(&row.text("job_id"));
                }
                "plan_schedule" => {
                    self.ticks.insert(row.text("plan_id"), row.count("next_due_at").unwrap_or(i64::MAX));
                }
                _ => {}
            }
        }
    }

    /// Looks at what must not take too long, and at what ages.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn look_at_time(&self) -> Result<(), Broken> {
        self.rescued_in_time()?;
        self.shown_is_there()?;
        self.told_in_time()?;
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
        let (board, stage) = (&self.world.board, self.stage());
        let next = |state: &str| {
            let of = self.due.values().filter(|(is, _)| is == state).map(|(_, at)| *at);
            of.min().unwrap_or(i64::MAX)
        };
        let over = self.leases.values().map(|lease| self.over_at(lease)).min().unwrap_or(i64::MAX);
        let rescue = next("waiting").min(over);
        let tick = self.ticks.values().copied().min().unwrap_or(i64::MAX);
        let lease = next("queued");
        if board.tick_at.swap(tick, SeqCst) > tick {
            self.world.servers.iter().for_each(|server| stage.signal(server.tick_bell()));
        }
        if board.rescue_at.swap(rescue, SeqCst) > rescue {
            self.world.servers.iter().for_each(|server| stage.signal(server.bell));
        }
        let (watch, notify) = (self.notices.watch_at(), self.notices.notify_at());
        if board.watch_at.swap(watch, SeqCst) > watch {
            self.world.servers.iter().for_each(|server| stage.signal(server.watch_bell()));
        }
        if board.notify_at.swap(notify, SeqCst) > notify {
            self.world.servers.iter().for_each(|server| stage.signal(server.notify_bell()));
        }
        if board.lease_at.swap(lease, SeqCst) > lease {
            self.world.machines.iter().for_each(|machine| stage.signal(machine.bell));
        }
    }
}
