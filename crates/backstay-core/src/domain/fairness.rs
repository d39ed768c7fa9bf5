//! Which queued jobs may start, in which order.
//!
//! Tenants take turns by their weighted share of what runs; within a tenant the job goes first whose item breaches first.
//! A share that nobody uses is lent. Caps hold on every side: the installation, a tenant, a source's host, a repository,
//! a storage's endpoint, a job kind. Nothing overtakes what it overlaps: an older prune that waits for its repository
//! holds back younger jobs there, all but restores, which wait for nobody that has not begun.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::id::{JobId, RepositoryId, TenantId};
use super::job::JobKind;
use super::repository::RepositoryAccess;

/// Longest name of a host or an endpoint that is told apart from others, in letters.
const PLACE_LETTERS_MAX: usize = 255;

/// Returns the host that a source's settings name, in small letters; none for a source on the agent's own machine.
pub fn host_of(settings: &serde_json::Value) -> Option<String> {
    let host = settings.get("host").and_then(serde_json::Value::as_str)?.trim();
    (!host.is_empty()).then(|| place(host))
}

/// Returns where a storage answers: its endpoint, of a storage in parts that of its cold part, else its kind.
pub fn endpoint_of(kind: &str, settings: &serde_json::Value) -> String {
    let text = |name: &str| settings.get(name).and_then(serde_json::Value::as_str);
    if let Some(cold) = settings.get("cold") {
        let kind = cold.get("kind").and_then(serde_json::Value::as_str).unwrap_or(kind);
        return endpoint_of(kind, cold.get("settings").unwrap_or(&serde_json::Value::Null));
    }
    match (text("endpoint"), text("region")) {
        (Some(endpoint), _) => place(endpoint.trim_end_matches('/')),
        (None, Some(region)) => place(&format!("{kind} {region}")),
        (None, None) => kind.to_owned(),
    }
}

fn place(name: &str) -> String {
    name.to_lowercase().chars().take(PLACE_LETTERS_MAX).collect()
}

/// Something of which only so many jobs may make use at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The installation.
    Global,
    /// A tenant.
    Tenant(TenantId),
    /// A host that a source lies on.
    Host(String),
    /// A repository.
    Repository(RepositoryId),
    /// A storage's endpoint.
    Endpoint(String),
    /// A job kind.
    Kind(JobKind),
}

/// How many jobs may make use of what; none means without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    /// In the installation.
    pub global: Option<u32>,
    /// Of each tenant.
    pub tenant: Option<u32>,
    /// On each source's host.
    pub host: Option<u32>,
    /// On each repository.
    pub repository: Option<u32>,
    /// On each storage's endpoint.
    pub endpoint: Option<u32>,
    /// Of each kind.
    pub kind: Option<u32>,
    /// Other numbers for single ones.
    pub exceptions: HashMap<Slot, u32>,
}

impl Caps {
    /// Returns how many jobs may make use of a slot; none means without limit.
    pub fn of(&self, slot: &Slot) -> Option<u32> {
        let general = match slot {
            Slot::Global => self.global,
            Slot::Tenant(_) => self.tenant,
            Slot::Host(_) => self.host,
            Slot::Repository(_) => self.repository,
            Slot::Endpoint(_) => self.endpoint,
            Slot::Kind(_) => self.kind,
        };
        self.exceptions.get(slot).copied().or(general)
    }
}

impl Caps {
    /// Says whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// By what the queue is gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// How many may run.
    pub caps: Caps,
    /// The tenants' weights; one that is not named has 1.
    pub weights: HashMap<TenantId, u32>,
}

/// A job as fairness sees it, queued or running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it does.
    pub kind: JobKind,
    /// How it holds its repository.
    pub access: RepositoryAccess,
    /// The repository.
    pub repository_id: RepositoryId,
    /// The host that its source lies on; none when it reads no source.
    pub host: Option<String>,
    /// The endpoint of its repository's storage.
    pub endpoint: String,
    /// The tenant of whose plans that keep out of one another's way it is one; none when its plan is not.
    pub overlap: Option<TenantId>,
    /// When its item breaches the RPO.
    pub breach_at: Timestamp,
    /// Higher goes first among equals.
    pub priority: i32,
    /// When it was enqueued: nothing younger overtakes it on its repository.
    pub created_at: Timestamp,
}

impl Candidate {
    fn slots(&self) -> impl Iterator<Item = Slot> {
        let host = self.host.clone().map(Slot::Host);
        let fixed = [
            Slot::Global,
            Slot::Tenant(self.tenant_id),
            Slot::Repository(self.repository_id),
            Slot::Endpoint(self.endpoint.clone()),
            Slot::Kind(self.kind),
        ];
        fixed.into_iter().chain(host)
    }

    /// Returns its place in the queue's own order: by time to breach, then priority, then age.
    pub(super) fn order(&self) -> (Timestamp, Reverse<i32>, JobId) {
        (self.breach_at, Reverse(self.priority), self.job_id)
    }

    fn arrival(&self) -> (Timestamp, JobId) {
        (self.created_at, self.job_id)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let alone = self.access == RepositoryAccess::Alone || other.access == RepositoryAccess::Alone;
        self.repository_id == other.repository_id && alone
    }
}

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// So many make use of it already.
    Cap {
        /// Of what.
        slot: Slot,
        /// How many may.
        cap: u32,
    },
    /// A running job, or one that was just admitted, holds its repository in a way that excludes it.
    Repository {
        /// That job.
        job_id: JobId,
    },
    /// A job that goes before it waits for the repository and is not overtaken.
    Behind {
        /// That job.
        job_id: JobId,
    },
    /// A job of a plan that its own must not run beside is running, or was just admitted.
    Overlap {
        /// That job.
        job_id: JobId,
    },
    /// No agent that is alive takes its kind.
    Agent {
        /// The kind.
        kind: JobKind,
    },
}

/// Who may start and why the others wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Jobs that may start, first ones first.
    pub admitted: Vec<JobId>,
    /// All others in the order of their turns, each with its reason.
    pub waiting: Vec<(JobId, Wait)>,
}

/// Says which of the queued jobs may start beside the running ones. A tenant that `weights` does not name has 1.
pub fn admit(queued: &[Candidate], running: &[Candidate], caps: &Caps, weights: &HashMap<TenantId, u32>) -> Admission {
    let mut hall = Hall::new(queued, running, caps);
    let mut lines: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
    for (place, job) in queued.iter().enumerate() {
        lines.entry(job.tenant_id).or_default().push(place);
    }
    for line in lines.values_mut() {
        line.sort_by_key(|place| Reverse(queued[*place].order()));
    }
    let weight = |tenant: &TenantId| u64::from(weights.get(tenant).copied().unwrap_or(1).max(1));
    let turn = |hall: &Hall<'_>, tenant: TenantId, place: usize| {
        // Scaled, so that the share is a whole number and ties go to the job that breaches first.
        (u64::from(hall.used(&Slot::Tenant(tenant))) * 1_000_000 / weight(&tenant), queued[place].order(), tenant)
    };
    let heads = lines.iter().filter_map(|(tenant, line)| Some(turn(&hall, *tenant, *line.last()?)));
    let mut turns: BTreeSet<_> = heads.collect();
    while let Some((_, _, tenant)) = turns.pop_first() {
        let line = lines.get_mut(&tenant).expect("each turn is of a tenant with a line");
        if let Some(place) = line.pop() {
            hall.decide(place);
        }
        if let Some(next) = line.last() {
            turns.insert(turn(&hall, tenant, *next));
        }
    }
    hall.admission
}

/// What is taken while the queue is gone through.
struct Hall<'a> {
    queued: &'a [Candidate],
    caps: &'a Caps,
    used: HashMap<Slot, u32>,
    inside: HashMap<RepositoryId, Vec<&'a Candidate>>,
    keys: HashMap<TenantId, JobId>,
    /// Queued jobs of each repository, oldest first; those that want it alone by themselves.
    shared: HashMap<RepositoryId, Vec<usize>>,
    alone: HashMap<RepositoryId, Vec<usize>>,
    decided: Vec<bool>,
    /// The oldest job that waits for its repository to become empty.
    draining: HashMap<RepositoryId, usize>,
    admission: Admission,
}

impl<'a> Hall<'a> {
    fn new(queued: &'a [Candidate], running: &'a [Candidate], caps: &'a Caps) -> Self {
        let (mut shared, mut alone): (HashMap<_, Vec<usize>>, HashMap<_, Vec<usize>>) = Default::default();
        let mut by_age: Vec<usize> = (0..queued.len()).collect();
        by_age.sort_by_key(|place| queued[*place].arrival());
        for place in by_age {
            let lists = if queued[place].access == RepositoryAccess::Alone { &mut alone } else { &mut shared };
            lists.entry(queued[place].repository_id).or_default().push(place);
        }
        let (decided, admission) = (vec![false; queued.len()], Admission::default());
        let (used, inside, keys, draining) = Default::default();
        let mut hall = Self { queued, caps, used, inside, keys, shared, alone, decided, draining, admission };
        running.iter().for_each(|job| hall.enter(job));
        hall
    }

    fn used(&self, slot: &Slot) -> u32 {
        self.used.get(slot).copied().unwrap_or(0)
    }

    fn enter(&mut self, job: &'a Candidate) {
        for slot in job.slots() {
            *self.used.entry(slot).or_default() += 1;
        }
        self.inside.entry(job.repository_id).or_default().push(job);
        if let Some(key) = job.overlap {
            self.keys.insert(key, job.job_id);
        }
    }

    /// Decides about a job whose turn it is; an older one that it overlaps takes the turn first.
    fn decide(&mut self, place: usize) {
        if self.decided[place] {
            return;
        }
        for older in self.older_overlapping(place) {
            self.settle(older);
        }
        self.settle(place);
    }

    fn older_overlapping(&self, place: usize) -> Vec<usize> {
        let job = &self.queued[place];
        // Somebody waits for a restore: it waits for what runs, and for nobody who waits too.
        if job.kind == JobKind::Restore {
            return Vec::new();
        }
        let older = |other: &&usize| !self.decided[**other] && self.queued[**other].arrival() < job.arrival();
        let list = |lists: &HashMap<RepositoryId, Vec<usize>>| -> Vec<usize> {
            lists.get(&job.repository_id).into_iter().flatten().filter(older).copied().collect()
        };
        let mut found = list(&self.alone);
        if job.access == RepositoryAccess::Alone || !found.is_empty() {
            found.extend(list(&self.shared));
            found.sort_by_key(|place| self.queued[*place].arrival());
        }
        found
    }

    fn settle(&mut self, place: usize) {
        self.decided[place] = true;
        let job = &self.queued[place];
        match self.wait(job) {
            None => {
                self.enter(job);
                self.admission.admitted.push(job.job_id);
            }
            Some(wait) => {
                if matches!(wait, Wait::Repository { .. }) && job.access == RepositoryAccess::Alone {
                    // It has its turn now and keeps it: the kind's slot is set aside while the repository empties. All
                    // its other slots are those of the jobs that it holds back.
                    *self.used.entry(Slot::Kind(job.kind)).or_default() += 1;
                    self.draining.entry(job.repository_id).or_insert(place);
                }
                self.admission.waiting.push((job.job_id, wait));
            }
        }
    }

    fn wait(&self, job: &Candidate) -> Option<Wait> {
        let full = |slot: Slot| {
            let cap = self.caps.of(&slot)?;
            (self.used(&slot) >= cap).then_some(Wait::Cap { slot, cap })
        };
        if let Some(wait) = job.slots().find_map(full) {
            return Some(wait);
        }
        if let Some(other) = job.overlap.and_then(|key| self.keys.get(&key)) {
            return Some(Wait::Overlap { job_id: *other });
        }
        let inside = self.inside.get(&job.repository_id);
        if let Some(other) = inside.into_iter().flatten().find(|other| job.overlaps(other)) {
            return Some(Wait::Repository { job_id: other.job_id });
        }
        let ahead = self.draining.get(&job.repository_id).map(|place| &self.queued[*place]);
        let ahead = ahead.filter(|ahead| job.kind != JobKind::Restore && ahead.arrival() < job.arrival());
        ahead.map(|ahead| Wait::Behind { job_id: ahead.job_id })
    }
}

#[cfg(test)]
pub(super) mod tests;
