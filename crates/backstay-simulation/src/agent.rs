//! Simulated agents: they follow the rules of `backstay-agent`, on simulated time and with simulated bytes.
//!
//! As there: one heartbeat for all leases, counted from before it was sent, and what was not renewed in time is let go a
//! sixth before its end; a snapshot is published after a renewal that answered *held*; a result is handed in until an
//! answer comes. An agent that was frozen goes on with what it had in its hands.

use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::evidence::Findings;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{
    Failure, FailureClass, Forget, Job, JobCounts, JobKind, Leased, Outcome, Phase, Progress, PruneCounts, Work,
};
use backstay_core::domain::lease::{margin, renew_every};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseError, LeaseRequest, Standing};
use backstay_core::ports::random::ten_bytes;
use jiff::Timestamp;

use crate::mutant::Mutant;
use crate::repository::Published;
use crate::stage::{ProcessId, Stage};
use crate::wire::Wire;
use crate::world::{LOCKED, TTL, World};

/// Jobs that an agent does at once.
const SLOTS: u32 = 2;

/// How often an agent looks for work while some is due, and while there is none. With a bell beside it.
const POLL: (Duration, Duration) = (Duration::from_secs(1_200), Duration::from_secs(12 * 3_600));

/// Tries to hand in a result.
const FINISH_TRIES: u32 = 40;

/// A process of an agent.
#[derive(Clone)]
struct Agent {
    id: AgentId,
    process: ProcessId,
    machine: usize,
    world: Arc<World>,
    wire: Wire,
    held: Arc<Mutex<Held>>,
    /// Rung when a lease was taken.
    taken: u64,
}

#[derive(Default)]
struct Held {
    leases: HashMap<LeaseKey, Standing>,
    sent: Option<Timestamp>,
}

/// Starts an agent on a machine.
pub fn start(world: &Arc<World>, machine: usize) {
    let stage = &world.stage;
    let process = ProcessId(stage.serial());
    let id = AgentId::new(world.machines[machine].clock.now(), ten_bytes(&stage.dice));
    let taken = stage.serial();
    let agent =
        Agent { id, process, machine, world: Arc::clone(world), wire: world.wire(), held: Arc::default(), taken };
    world.machines[machine].runs(Some(process));
    stage.tell(|| format!("agent {id} begins on machine {machine}"));
    stage.spawn(process, agent.clone().beat());
    stage.spawn(process, agent.work());
}

impl Agent {
    async fn work(self) {
        let stage = Arc::clone(&self.world.stage);
        loop {
            let free = SLOTS.saturating_sub(u32::try_from(self.lock().leases.len()).unwrap_or(SLOTS));
            let held = self.lock().leases.keys().copied().collect();
            let kinds = vec![JobKind::Backup, JobKind::Verify, JobKind::Prune];
            let request = LeaseRequest { agent_id: self.id, kinds, held, count_max: free };
            let asked = stage.now();
            let leased = if free == 0 { Ok(Vec::new()) } else { self.wire.job_lease(&request).await };
            match leased {
                Ok(jobs) if !jobs.is_empty() => {
                    for job in jobs {
                        self.take(job.lease_key(), asked);
                        stage.spawn(self.process, self.clone().run(job));
                    }
                    continue;
                }
                Ok(_) => {}
                Err(_) => stage.sleep(stage.dice.between(Duration::from_secs(1), Duration::from_secs(60))).await,
            }
            let rest = self.world.board.lease_at.load(SeqCst).saturating_sub(stage.now().as_microsecond());
            let poll = if rest > 0 { Duration::from_micros(rest.unsigned_abs()).min(POLL.1) } else { POLL.0 };
            stage.wait(self.world.machines[self.machine].bell, poll).await;
            stage.sleep(stage.dice.between(Duration::ZERO, Duration::from_secs(30))).await;
        }
    }

    fn take(&self, key: LeaseKey, asked: Timestamp) {
        let mut held = self.lock();
        held.leases.insert(key, Standing::Held);
        held.sent = held.sent.max(Some(asked));
        drop(held);
        self.world.stage.signal(self.taken);
    }

    fn release(&self, key: LeaseKey) {
        let mut held = self.lock();
        held.leases.remove(&key);
        if held.leases.is_empty() {
            held.sent = None;
        }
    }

    fn note(&self, key: LeaseKey, standing: Standing) {
        if let Some(known) = self.lock().leases.get_mut(&key)
            && *known != Standing::Lost
            && standing != Standing::Held
        {
            *known = standing;
        }
    }

    fn standing(&self, key: LeaseKey) -> Standing {
        self.lock().leases.get(&key).copied().unwrap_or(Standing::Lost)
    }

    /// Renews all leases, as `backstay_agent::heartbeat::beat` does.
    async fn beat(self) {
        let stage = Arc::clone(&self.world.stage);
        loop {
            let sent = self.lock().sent;
            let pause = match sent {
                None => Duration::from_secs(30 * 86_400),
                Some(sent) => {
                    let left = between(stage.now(), plus(sent, TTL - margin(TTL)));
                    // When it is over, only a new lease brings work.
                    if left.is_zero() {
                        renew_every(TTL)
                    } else {
                        renew_every(TTL).min(left.max(Duration::from_secs(1)))
                    }
                }
            };
            stage.wait(self.taken, pause).await;
            let (keys, sent) = {
                let held = self.lock();
                (held.leases.keys().copied().collect::<Vec<_>>(), held.sent)
            };
            let (Some(sent), now) = (sent, stage.now()) else { continue };
            if between(sent, now) < renew_every(TTL) {
                continue;
            }
            let stop_at = plus(sent, TTL - margin(TTL));
            if now < stop_at
                && let Ok(standings) = self.wire.job_renew(self.id, &keys).await
                && stage.now() < stop_at
            {
                keys.iter().zip(standings).for_each(|(key, standing)| self.note(*key, standing));
                let mut held = self.lock();
                held.sent = held.sent.max(Some(now));
            } else if stage.now() >= stop_at {
                keys.iter().for_each(|key| self.note(*key, Standing::Lost));
            } else {
                stage.sleep(Duration::from_secs(5)).await;
            }
        }
    }

    /// Does one job from its lease to its end.
    async fn run(self, job: Job<Leased>) {
        let (key, stage) = (job.lease_key(), Arc::clone(&self.world.stage));
        stage.tell(|| format!("{} begins job {} attempt {}", self.id, key.job_id, key.token.0));
        let result = match &job.state.work {
            Work::Verify { .. } => self.verify(&job).await,
            Work::Prune { forget, doubtful } => self.prune(key, forget, doubtful).await,
            _ => self.backup(&job).await,
        };
        let answer = match (self.standing(key), result) {
            (_, Some(result)) => self.hand_in(key, &result).await,
            (Standing::Cancelling, None) => self.hand_in(key, &JobResult::Cancelled).await,
            (_, None) => self.wire.job_wait(key, Duration::ZERO, "its agent stopped").await.map(|()| "given back"),
        };
        self.release(key);
        stage.tell(|| format!("{} ends job {} attempt {}: {answer:?}", self.id, key.job_id, key.token.0));
        stage.signal(self.world.machines[self.machine].bell);
    }

    /// Works for a while and tells progress; false when it must stop.
    async fn labour(&self, key: LeaseKey, whole: Duration) -> bool {
        let stage = &self.world.stage;
        let parts = 1 + u32::try_from(whole.as_secs() / 800).unwrap_or(0);
        for part in 0..parts {
            stage.sleep(whole / parts).await;
            if self.standing(key) != Standing::Held {
                return false;
            }
            if part + 1 == parts {
                break;
            }
            let progress = Progress { phase: Phase::Working, files_done: u64::from(part + 1), ..Progress::begun() };
            match self.wire.job_progress(key, &progress).await {
                Ok(standing) => self.note(key, standing),
                Err(LeaseError::Lost { .. }) => self.note(key, Standing::Lost),
                Err(_) => {}
            }
        }
        self.standing(key) == Standing::Held
    }

    /// Makes a snapshot; none when it was stopped.
    async fn backup(&self, job: &Job<Leased>) -> Option<JobResult> {
        let (key, stage) = (job.lease_key(), &self.world.stage);
        let dice = &stage.dice;
        let taken_at = self.world.machines[self.machine].clock.now();
        let hours = if dice.chance(30_000) { 6 * 3_600 } else { 2_400 };
        if !self.labour(key, dice.between(Duration::from_secs(60), Duration::from_secs(hours))).await {
            return None;
        }
        if !self.world.weather.is_healed() && dice.chance(40_000) {
            return Some(JobResult::Failed(self.failure()));
        }
        if dice.chance(100_000) {
            let intent = Checkpoint::new(b"snapshot of a volume is asked for".to_vec()).ok()?;
            // Told once: an intent whose answer is lost is told again by the next attempt.
            let _ = self.wire.job_checkpoint(key, &intent).await;
        }
        if dice.chance(3_000) {
            // It hangs in a call, and its heartbeat goes on.
            stage.sleep(Duration::from_secs(3 * 3_600)).await;
        }
        if !self.fence(key).await {
            return None;
        }
        // A pause between the renewal and the storage, as a machine makes them.
        if dice.chance(20_000) {
            stage.sleep(dice.between(Duration::from_secs(1), Duration::from_secs(7_200))).await;
        }
        if let Some(confirmed) = self.unchanged(job, taken_at) {
            return Some(confirmed);
        }
        let foreign_id = foreign_id(stage);
        let (item_id, repository_id) = (job.item_id?, job.repository_id);
        let published = Published { by: key, item_id, repository_id, taken_at, published_at: stage.now() };
        self.world.repositories.publish(foreign_id.clone(), published);
        stage.tell(|| {
            format!("{} publishes {} of job {} attempt {}", self.id, &foreign_id[..8], key.job_id, key.token.0)
        });
        let (outcome, unread) = self.outcome();
        let counts = JobCounts { files: 1 + dice.below(9), unread: unread.count, ..JobCounts::default() };
        Some(JobResult::BackedUp {
            outcome,
            snapshot: PublishedSnapshot { foreign_id, taken_at },
            counts,
            unread,
            warning: None,
        })
    }

    /// Finds nothing changed, on some days, where the plan wants no snapshot then.
    fn unchanged(&self, job: &Job<Leased>, taken_at: Timestamp) -> Option<JobResult> {
        let Work::Backup { parent: Some(parent), skip_if_unchanged: true, .. } = &job.state.work else { return None };
        let snapshot = PublishedSnapshot { foreign_id: parent.foreign_id.clone(), taken_at };
        let counts = JobCounts { files: 3, files_unmodified: 3, ..JobCounts::default() };
        self.world.stage.dice.chance(500_000).then(|| {
            let moments = [taken_at, job.created_at];
            self.world.repositories.confirm(parent.foreign_id.clone(), job.lease_key(), moments);
            JobResult::Confirmed { snapshot, counts, warning: None }
        })
    }

    /// Renews now, until there is an answer or the heartbeat gives up; says whether the lease is held.
    async fn fence(&self, key: LeaseKey) -> bool {
        if self.world.mutant == Some(Mutant::NoFence) {
            return true;
        }
        loop {
            match self.wire.job_renew(self.id, &[key]).await {
                Ok(standings) => {
                    self.note(key, standings.first().copied().unwrap_or(Standing::Lost));
                    return self.standing(key) == Standing::Held;
                }
                Err(_) if self.standing(key) == Standing::Held => {
                    self.world.stage.sleep(Duration::from_secs(5)).await;
                }
                Err(_) => return false,
            }
        }
    }

    fn outcome(&self) -> (Outcome, Unread) {
        let mut unread = Unread::default();
        if self.world.weather.is_healed() {
            return (Outcome::Complete, unread);
        }
        match self.world.stage.dice.below(20) {
            0 => {
                unread.push(LOCKED.to_owned(), "permission denied".to_owned());
                (Outcome::Partial, unread)
            }
            1 => (Outcome::Unchanged, unread),
            _ => (Outcome::Complete, unread),
        }
    }

    fn failure(&self) -> Failure {
        let (class, disposition) = match self.world.stage.dice.below(8) {
            0 => (FailureClass::Source, Disposition::Operator),
            1 => (FailureClass::StorageFull, Disposition::Retry { after: Duration::from_secs(900) }),
            _ => (FailureClass::Storage, Disposition::Retry { after: Duration::from_secs(1) }),
        };
        Failure { class, message: "the simulated storage refused".to_owned(), disposition }
    }

    /// Reads a snapshot back.
    async fn verify(&self, job: &Job<Leased>) -> Option<JobResult> {
        let Work::Verify { snapshot, .. } = &job.state.work else { return None };
        let stage = &self.world.stage;
        if !self.labour(job.lease_key(), stage.dice.between(Duration::from_secs(30), Duration::from_secs(900))).await {
            return None;
        }
        let mut findings = Findings {
            files_total: 1,
            bytes_total: 1,
            files_read: 1,
            files_read_in_part: 0,
            bytes_read: 1,
            files_compared: 1,
            files_changed_since: 0,
            classes: Vec::new(),
            packs_named: 1,
            bytes_fetched: 1,
            difference_count: 0,
            differences: Vec::new(),
            started_at: stage.now(),
            took: Duration::from_secs(30),
            slice: None,
        };
        if self.world.repositories.get(&snapshot.foreign_id).is_none() {
            findings.differs(snapshot.foreign_id.clone(), "it is not there".to_owned());
        }
        Some(JobResult::Verified { findings: Box::new(findings), counts: JobCounts::default() })
    }

    /// Forgets snapshots, each after a renewal that answered *held*; none when it was stopped. Data is not simulated.
    async fn prune(&self, key: LeaseKey, forget: &[Forget], doubtful: &[Forget]) -> Option<JobResult> {
        let stage = &self.world.stage;
        if !self.labour(key, stage.dice.between(Duration::from_secs(60), Duration::from_secs(1_800))).await {
            return None;
        }
        for one in forget {
            if !self.fence(key).await {
                return None;
            }
            self.world.repositories.forget(&one.foreign_id);
            stage.tell(|| format!("{} forgets {}", self.id, &one.foreign_id[..8]));
            stage.sleep(stage.dice.between(Duration::ZERO, Duration::from_secs(60))).await;
        }
        let gone = doubtful.iter().filter(|one| self.world.repositories.get(&one.foreign_id).is_none());
        let missing = gone.map(|one| one.snapshot_id).collect();
        let forgotten = forget.iter().map(|one| one.snapshot_id).collect();
        Some(JobResult::Pruned { forgotten, missing, counts: PruneCounts::default() })
    }

    /// Hands a result in, and tries again while nobody answers.
    async fn hand_in(&self, key: LeaseKey, result: &JobResult) -> Result<&'static str, LeaseError> {
        let mut tries_left = FINISH_TRIES;
        loop {
            match self.wire.job_finish(key, result).await {
                Err(LeaseError::Store(_)) if tries_left > 0 => {
                    tries_left -= 1;
                    self.world.stage.sleep(Duration::from_secs(20)).await;
                }
                answer => return answer.map(|state| state.name().word()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no holder panics")
    }
}

/// Returns 64 digits that no other snapshot has.
fn foreign_id(stage: &Stage) -> String {
    format!("{:016x}{:048x}", stage.dice.below(u64::MAX), stage.serial())
}

fn plus(at: Timestamp, length: Duration) -> Timestamp {
    at.saturating_add(length).unwrap_or(Timestamp::MAX)
}

fn between(from: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(from)).unwrap_or(Duration::ZERO)
}
