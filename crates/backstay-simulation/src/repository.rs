//! Simulated bytes: what stands in the repositories, whoever put it there. A storage knows no tokens.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard};

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::id::{ItemId, RepositoryId};
use jiff::Timestamp;

/// A snapshot in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The attempt that published it.
    pub by: LeaseKey,
    /// What it is a state of.
    pub item_id: ItemId,
    /// Where it lies.
    pub repository_id: RepositoryId,
    /// When it was read, by the clock of its agent.
    pub taken_at: Timestamp,
    /// When it was published, truly.
    pub published_at: Timestamp,
}

/// All repositories of a year.
#[derive(Debug, Default)]
pub struct Repositories {
    snapshots: Mutex<HashMap<String, Published>>,
    published: AtomicUsize,
    /// What agents found as a snapshot has it: which snapshot, by which attempt, read when.
    confirmed: Mutex<Vec<(String, LeaseKey, [Timestamp; 2])>>,
}

impl Repositories {
    /// Publishes a snapshot.
    pub fn publish(&self, foreign_id: String, snapshot: Published) {
        self.published.fetch_add(1, SeqCst);
        self.lock().insert(foreign_id, snapshot);
    }

    /// Notes that an attempt found an item as a snapshot has it: when it read by its own clock, and when its job was made.
    pub fn confirm(&self, foreign_id: String, by: LeaseKey, at: [Timestamp; 2]) {
        self.confirmed.lock().expect("no holder panics").push((foreign_id, by, at));
    }

    /// Returns the attempts that found an item as a snapshot has it, at this moment.
    pub fn confirmed_by(&self, foreign_id: &str, at: Timestamp) -> Vec<LeaseKey> {
        let all = self.confirmed.lock().expect("no holder panics");
        all.iter().filter(|row| row.0 == foreign_id && row.2.contains(&at)).map(|row| row.1).collect()
    }

    /// Returns what a job found as it is: which snapshots, and the moments that may stand for it.
    pub fn confirmed_in(&self, job: &str) -> Vec<(String, [Timestamp; 2])> {
        let all = self.confirmed.lock().expect("no holder panics");
        all.iter().filter(|row| row.1.job_id.to_string() == job).map(|row| (row.0.clone(), row.2)).collect()
    }

    /// Removes a snapshot; one that is not there is removed already.
    pub fn forget(&self, foreign_id: &str) {
        self.lock().remove(foreign_id);
    }

    /// Returns a snapshot; none when no repository has it.
    pub fn get(&self, foreign_id: &str) -> Option<Published> {
        self.lock().get(foreign_id).cloned()
    }

    /// Returns how many were ever published.
    pub fn count(&self) -> usize {
        self.published.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Published>> {
        self.snapshots.lock().expect("no holder panics")
    }
}
