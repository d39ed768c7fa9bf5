//! What keeps a queued job from starting whatever its turn is, and who starts next: one rule for leases and explanations.
//!
//! Kept back is a job that no agent takes, one whose overlap key runs, one that a running job excludes from their
//! repository, and one that would overtake a job which has waited long enough to have the repository alone. `admit` says
//! which of the others go; where one tenant is alone and nothing is capped, they go in the queue's own order. Who comes in:
//! the store's leases and `domain::explain`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::fairness::{Admission, Candidate, Rules, Wait, admit};
use super::id::{JobId, RepositoryId, TenantId};
use super::job::JobKind;
use super::repository::RepositoryAccess;

/// How long a job that wants its repository alone is overtaken by jobs that share it: a prune can wait, a backup less.
pub const ALONE_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long after it was due a job that wants its repository alone keeps others waiting at most: when no agent can run it,
/// backups must not stand still for its sake.
pub const ALONE_HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Says whether a queued job has been overtaken long enough on the repository that it wants alone, and not too long.
pub fn is_overtaken_enough(job: &Candidate, now: Timestamp) -> bool {
    let waited = Duration::try_from(now.duration_since(job.created_at));
    job.access == RepositoryAccess::Alone
        && waited.is_ok_and(|waited| (ALONE_PATIENCE..ALONE_HOLD_MAX).contains(&waited))
}

/// What running jobs hold, and which queued jobs are overtaken no more.
#[derive(Debug, Clone, Default)]
pub struct Exclusions {
    keys: HashMap<TenantId, JobId>,
    /// Of each repository a job that holds it, and one that holds it alone.
    repositories: HashMap<RepositoryId, (JobId, Option<JobId>)>,
    waiting: HashMap<RepositoryId, Vec<(Timestamp, JobId)>>,
}

impl Exclusions {
    /// Returns what running jobs hold.
    pub fn by<'a>(running: impl IntoIterator<Item = &'a Candidate>) -> Self {
        let mut all = Self::default();
        running.into_iter().for_each(|job| all.enter(job));
        all
    }

    fn enter(&mut self, job: &Candidate) {
        if let Some(key) = job.overlap {
            self.keys.insert(key, job.job_id);
        }
        let alone = (job.access == RepositoryAccess::Alone).then_some(job.job_id);
        let held = self.repositories.entry(job.repository_id).or_insert((job.job_id, alone));
        held.1 = held.1.or(alone);
    }

    /// Takes note of a queued job that [`is_overtaken_enough`].
    pub fn wait(&mut self, job: &Candidate) {
        self.waiting.entry(job.repository_id).or_default().push((job.breach_at, job.job_id));
    }

    /// Returns what keeps a queued job from starting; none when it is only a matter of turns.
    pub fn keep(&self, job: &Candidate) -> Option<Wait> {
        if let Some(other) = job.overlap.and_then(|key| self.keys.get(&key)) {
            return Some(Wait::Overlap { job_id: *other });
        }
        if let Some((any, alone)) = self.repositories.get(&job.repository_id)
            && let Some(other) = alone.or_else(|| (job.access == RepositoryAccess::Alone).then_some(*any))
        {
            return Some(Wait::Repository { job_id: other });
        }
        let before = |(breach_at, job_id): &&(Timestamp, JobId)| *job_id != job.job_id && *breach_at <= job.breach_at;
        let ahead = self.waiting.get(&job.repository_id).filter(|_| job.kind != JobKind::Restore)?;
        ahead.iter().find(before).map(|(_, job_id)| Wait::Behind { job_id: *job_id })
    }
}

/// Says which of the jobs that nothing excludes start beside the running ones, when so many tenants have queued jobs.
pub fn in_turn(free: &[Candidate], running: &[Candidate], rules: &Rules, tenants: usize) -> Admission {
    if tenants > 1 || !rules.caps.is_empty() {
        return admit(free, running, &rules.caps, &rules.weights);
    }
    let mut line: Vec<&Candidate> = free.iter().collect();
    line.sort_by_key(|job| job.order());
    let mut found = Admission::default();
    let mut begun = Exclusions::default();
    for job in line {
        match begun.keep(job) {
            Some(wait) => found.waiting.push((job.job_id, wait)),
            None => {
                begun.enter(job);
                found.admitted.push(job.job_id);
            }
        }
    }
    found
}

/// Says which of the queued jobs agents that take these kinds start next beside the running ones, first ones first, and
/// why each of the others waits.
pub fn turns(
    queued: &[Candidate],
    running: &[Candidate],
    rules: &Rules,
    kinds: &[JobKind],
    now: Timestamp,
) -> Admission {
    let mut exclusions = Exclusions::by(running);
    queued.iter().filter(|job| is_overtaken_enough(job, now)).for_each(|job| exclusions.wait(job));
    let (mut free, mut kept) = (Vec::new(), Vec::new());
    for job in queued {
        let wait = match kinds.contains(&job.kind) {
            true => exclusions.keep(job),
            false => Some(Wait::Agent { kind: job.kind }),
        };
        match wait {
            Some(wait) => kept.push((job, wait)),
            None => free.push(job.clone()),
        }
    }
    let tenants: BTreeSet<TenantId> = queued.iter().map(|job| job.tenant_id).collect();
    let mut found = in_turn(&free, running, rules, tenants.len());
    kept.sort_by_key(|(job, _)| job.order());
    found.waiting = merged(found.waiting, kept, queued);
    found
}

/// Puts jobs that are kept back among those that wait for their turn, each before the first one that breaches later.
fn merged(waiting: Vec<(JobId, Wait)>, kept: Vec<(&Candidate, Wait)>, queued: &[Candidate]) -> Vec<(JobId, Wait)> {
    let orders: HashMap<JobId, _> = queued.iter().map(|job| (job.job_id, job.order())).collect();
    let mut kept = kept.into_iter().peekable();
    let mut all = Vec::new();
    for (job_id, wait) in waiting {
        while let Some((job, wait)) = kept.next_if(|(job, _)| orders.get(&job_id).is_some_and(|at| job.order() < *at)) {
            all.push((job.job_id, wait));
        }
        all.push((job_id, wait));
    }
    all.extend(kept.map(|(job, wait)| (job.job_id, wait)));
    all
}

#[cfg(test)]
mod tests;
