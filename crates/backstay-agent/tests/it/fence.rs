//! The fence: an agent that does not hold its lease any more publishes nothing and hands in nothing.
//!
//! A scripted control plane answers renewals as a test says. Without the check before `publish` in `runners/backup.rs` the
//! second and third test find a snapshot; without the margin in `heartbeat.rs` the fourth finds work that goes on.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backstay_agent::heartbeat::{Held, beat};
use backstay_agent::runners::RUNNER_KINDS;
use backstay_agent::{AgentOptions, Commands, run};
use backstay_core::domain::attempt::{AttemptToken, LeaseKey};
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::hook::{Hook, Hooks};
use backstay_core::domain::id::{AgentId, ItemId, JobId, PlanId, SnapshotId, SourceId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{
    Instruction, Job, JobCounts, JobState, Leased, LeasedRepository, Outcome, Progress, Reconciliation, Target,
    Trigger, Work,
};
use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::domain::repository::RepositoryEpoch;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::source::Source;
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use backstay_core::ports::store::StoreError;
use backstay_engine::Interrupt;
use backstay_testkit::fakes::clock::ManualClock;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const TTL: Duration = Duration::from_millis(600);

/// A control plane that gives one job and answers each renewal alike; none means that it does not answer.
struct Scripted {
    job: Mutex<Option<Job<Leased>>>,
    renewal: Option<Standing>,
    finished: Mutex<Vec<JobResult>>,
    given_back: Mutex<Vec<String>>,
    done: Notify,
    renewed: Notify,
    /// Ends the agent when it has got its job; none where the test does.
    end: Option<CancellationToken>,
}

impl Scripted {
    fn new(job: Option<Job<Leased>>, renewal: Option<Standing>) -> Self {
        let (job, finished, given_back) = (Mutex::new(job), Mutex::default(), Mutex::default());
        Self { job, renewal, finished, given_back, done: Notify::new(), renewed: Notify::new(), end: None }
    }
}

#[async_trait]
impl Jobs for Scripted {
    async fn job_lease(&self, _: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError> {
        if let Some(end) = &self.end {
            end.cancel();
        }
        Ok(self.job.lock().unwrap().take().into_iter().collect())
    }

    async fn job_renew(&self, _: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError> {
        self.renewed.notify_one();
        // A held lease ends with its result: an agent that is stopped between its fence and the end publishes nothing.
        if self.renewal != Some(Standing::Held) {
            self.done.notify_one();
        }
        match self.renewal {
            Some(standing) => Ok(leases.iter().map(|_| standing).collect()),
            None => Err(StoreError::Unavailable("the network is cut".into()).into()),
        }
    }

    async fn job_progress(&self, _: LeaseKey, _: &Progress) -> Result<Standing, LeaseError> {
        Ok(Standing::Held)
    }

    async fn job_checkpoint(&self, _: LeaseKey, _: &Checkpoint) -> Result<(), LeaseError> {
        Ok(())
    }

    async fn job_wait(&self, _: LeaseKey, _: Duration, reason: &str) -> Result<(), LeaseError> {
        self.given_back.lock().unwrap().push(reason.to_owned());
        Ok(())
    }

    async fn job_finish(&self, _: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError> {
        self.finished.lock().unwrap().push(result.clone());
        self.done.notify_one();
        Ok(JobState::Succeeded { outcome: Outcome::Complete, finished_at: Timestamp::UNIX_EPOCH })
    }
}

fn job(root: &Path, repository: LeasedRepository, ttl: Duration) -> Job<Leased> {
    let at = Timestamp::UNIX_EPOCH;
    let tenant_id = TenantId::new(at, [1; 10]);
    let source = Source {
        id: SourceId::new(at, [2; 10]),
        tenant_id,
        name: "home".parse().unwrap(),
        kind: "filesystem".to_owned(),
        settings: json!({ "path": root }),
        retired_at: None,
    };
    let name = root.to_str().unwrap().to_owned();
    let item = Item { id: ItemId::new(at, [3; 10]), source_id: source.id, name, vanished_at: None };
    Job {
        id: JobId::new(at, [4; 10]),
        tenant_id,
        plan_id: Some(PlanId::new(at, [5; 10])),
        item_id: Some(item.id),
        repository_id: repository.repository.id,
        set: None,
        instruction: Instruction::Backup,
        trigger: Trigger::Request,
        breach_at: at,
        priority: 0,
        attempt_token: AttemptToken(1),
        overlap: backstay_core::domain::schedule::OverlapKey::Plan,
        streak: None,
        counts: JobCounts::default(),
        created_at: at,
        trace: None,
        state: Leased {
            agent_id: AgentId::new(at, [6; 10]),
            ttl,
            epoch: RepositoryEpoch(0),
            repository,
            checkpoint: None,
            work: Work::Backup {
                source,
                item,
                parent: None,
                plan_name: "home".to_owned(),
                skip_if_unchanged: false,
                hooks: Hooks::default(),
                stall_limit: STALL_LIMIT,
            },
        },
    }
}

fn options(ttl: Duration) -> AgentOptions {
    AgentOptions {
        agent_id: AgentId::new(Timestamp::UNIX_EPOCH, [6; 10]),
        kinds: RUNNER_KINDS.to_vec(),
        slots: 1,
        threads: 2,
        poll_every: Duration::from_millis(50),
        progress_every: Duration::from_millis(50),
        ttl,
        hostname: "host".to_owned(),
        username: "ada".to_owned(),
        program_version: "test".to_owned(),
        commands: Commands::Refused,
        clock: Arc::new(ManualClock::default()),
        wake: Arc::new(Notify::new()),
    }
}

/// Runs one backup against a control plane that answers renewals so, and returns what was handed in and how many
/// snapshots were published.
async fn backup(renewal: Option<Standing>) -> (Vec<JobResult>, usize) {
    // Long enough that the backup gets to its fence before the heartbeat asks, however busy the machine is; short where
    // the fence asks until the heartbeat gives up.
    let ttl = if renewal.is_some() { Duration::from_secs(3_600) } else { 10 * TTL };
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap().join("tree");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("file"), "body").unwrap();
    let place = home.path().join("repository");
    let mut repository = super::leased(place.to_str().unwrap());
    repository.has_snapshots = false;
    let jobs = Arc::new(Scripted::new(Some(job(&root, repository, ttl)), renewal));
    let end = CancellationToken::new();
    let agent = tokio::spawn(run(jobs.clone(), options(ttl), end.clone()));
    tokio::time::timeout(Duration::from_secs(30), jobs.done.notified()).await.unwrap();
    end.cancel();
    agent.await.unwrap();
    let snapshots = std::fs::read_dir(place.join("snapshots")).map_or(0, Iterator::count);
    assert!(place.join("index").exists(), "data was written, so there was something to publish");
    let finished = jobs.finished.lock().unwrap().clone();
    (finished, snapshots)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_held_is_published() {
    let (finished, snapshots) = backup(Some(Standing::Held)).await;
    assert_eq!(snapshots, 1);
    assert!(matches!(&*finished, [JobResult::BackedUp { outcome: Outcome::Complete, .. }]), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_lost_publishes_nothing_and_says_nothing() {
    let (finished, snapshots) = backup(Some(Standing::Lost)).await;
    assert_eq!((finished, snapshots), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_does_not_answer_publishes_nothing() {
    let (finished, snapshots) = backup(None).await;
    assert_eq!((finished, snapshots), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_to_be_cancelled_publishes_nothing_and_says_so() {
    let (finished, snapshots) = backup(Some(Standing::Cancelling)).await;
    assert_eq!((finished, snapshots), (vec![JobResult::Cancelled], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_stops_by_itself_before_its_lease_ends() {
    let jobs = Arc::new(Scripted::new(None, None));
    let (held, end) = (Held::default(), CancellationToken::new());
    let key = LeaseKey { job_id: JobId::new(Timestamp::UNIX_EPOCH, [4; 10]), token: AttemptToken(1) };
    let interrupt = Interrupt::default();
    held.take(key, interrupt.clone(), Instant::now());
    // Long beside what a busy machine keeps a task waiting.
    let ttl = 10 * TTL;
    let beating =
        tokio::spawn(beat(jobs, AgentId::new(Timestamp::UNIX_EPOCH, [6; 10]), ttl, held.clone(), end.clone()));
    tokio::time::sleep(ttl / 2).await;
    assert!(!interrupt.is_raised(), "one lost renewal is no end");
    // The lease ends after its time; the agent has stopped a sixth of it before.
    tokio::time::sleep(ttl / 2 - ttl / 12).await;
    assert!(interrupt.is_raised());
    assert_eq!(held.standing(&key), Standing::Lost);
    end.cancel();
    beating.await.unwrap();
}

/// The answer to a first lease was almost a lease's time on its way: it is over before its work can begin. Red when a
/// lease counts from its arrival.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_lease_counts_from_when_it_was_asked_for() {
    let jobs = Arc::new(Scripted::new(None, Some(Standing::Held)));
    let (held, end) = (Held::default(), CancellationToken::new());
    let long = Duration::from_secs(3_600);
    let beating =
        tokio::spawn(beat(jobs.clone(), AgentId::new(Timestamp::UNIX_EPOCH, [6; 10]), long, held.clone(), end.clone()));
    let key = LeaseKey { job_id: JobId::new(Timestamp::UNIX_EPOCH, [4; 10]), token: AttemptToken(1) };
    let interrupt = Interrupt::default();
    held.take(key, interrupt.clone(), Instant::now().checked_sub(long).unwrap());
    while !interrupt.is_raised() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(held.standing(&key), Standing::Lost);
    // One that is older than a third is renewed at once, and not after another third.
    held.release(&key);
    held.take(key, Interrupt::default(), Instant::now().checked_sub(long / 2).unwrap());
    jobs.renewed.notified().await;
    assert_eq!(held.standing(&key), Standing::Held);
    end.cancel();
    beating.await.unwrap();
}

/// An agent that is stopped gives its work back. What it has begun to bring into a folder the next attempt goes on with; a
/// stream has no place to go on from, so nobody sends it a second time without being asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_a_folder_is_given_back_when_its_agent_is_stopped() {
    let home = tempfile::tempdir().unwrap();
    let folder = Target::Directory(home.path().join("out"));
    for (target, reconciliation, goes_on) in [
        (folder.clone(), Reconciliation::Fail, true),
        (folder.clone(), Reconciliation::Overwrite, true),
        (folder, Reconciliation::Rename, false),
        (Target::Source { name: Some("copy".to_owned()) }, Reconciliation::Fail, false),
    ] {
        let mut job = job(home.path(), super::leased(home.path().to_str().unwrap()), Duration::from_secs(3_600));
        let Work::Backup { source, item, .. } = job.state.work else { panic!("a backup") };
        let snapshot = Snapshot {
            id: SnapshotId::new(Timestamp::UNIX_EPOCH, [7; 10]),
            tenant_id: job.tenant_id,
            item_id: item.id,
            repository_id: job.repository_id,
            job_id: job.id,
            foreign_id: "0".repeat(64),
            parent_id: None,
            taken_at: Timestamp::UNIX_EPOCH,
            outcome: Outcome::Complete,
            is_good: true,
            confirmed_at: None,
            counts: JobCounts::default(),
            protected_until: None,
            pinned_at: None,
            held_at: None,
            unwanted_at: None,
            forgotten_at: None,
        };
        let source = Source { kind: "command".to_owned(), settings: json!({ "command": ["true"] }), ..source };
        let home = Some(Box::new((source, item)));
        let terms = RestoreTerms { reconciliation, ..RestoreTerms::default() };
        job.state.work = Work::Restore { snapshot, target, terms, home };
        let end = CancellationToken::new();
        let scripted = Scripted { end: Some(end.clone()), ..Scripted::new(Some(job), Some(Standing::Held)) };
        let jobs = Arc::new(scripted);
        let options = AgentOptions { commands: Commands::Allowed, ..options(Duration::from_secs(3_600)) };
        tokio::time::timeout(Duration::from_secs(30), run(jobs.clone(), options, end)).await.unwrap();
        let (finished, given_back) = (jobs.finished.lock().unwrap().clone(), jobs.given_back.lock().unwrap().clone());
        if goes_on {
            assert_eq!((finished, given_back), (vec![], vec!["its agent was stopped".to_owned()]));
        } else {
            let [JobResult::Failed(failure)] = &*finished else { panic!("{finished:?} {given_back:?}") };
            assert!(failure.message.contains("its agent was stopped in the middle"), "{failure:?}");
        }
    }
}

/// Says whether a process runs.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| !"ZX".contains(state))
}

/// A hook that is deaf to TERM ends with its lease, and none is begun after a lost one: the next attempt may have begun. What
/// is cancelled is tidied up, because the lease still holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_ends_with_its_lease() {
    for (renewal, tidies_up) in [(None, false), (Some(Standing::Lost), false), (Some(Standing::Cancelling), true)] {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name).display().to_string();
        let hook = |script: String| Hook { command: vec!["sh".to_owned(), "-c".to_owned(), script], time_limit: None };
        let deaf = format!("trap '' TERM; sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", place("child"));
        let mut job = job(home.path(), super::leased(&place("repository")), TTL);
        let Work::Backup { hooks, .. } = &mut job.state.work else { unreachable!("it is a backup") };
        *hooks = Hooks {
            before: Some(hook(deaf)),
            after: None,
            after_failure: Some(hook(format!("touch {}", place("mark")))),
        };
        let jobs = Arc::new(Scripted::new(Some(job), renewal));
        let end = CancellationToken::new();
        // Long enough that the hook is under way when the lease ends, however busy the machine is.
        let options = AgentOptions { commands: Commands::Allowed, ..options(10 * TTL) };
        let agent = tokio::spawn(run(jobs.clone(), options, end.clone()));
        while !home.path().join("child").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let pid = std::fs::read_to_string(place("child")).unwrap();
        for _ in 0..3_000 {
            if !runs(&pid) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!runs(&pid), "{renewal:?}");
        end.cancel();
        agent.await.unwrap();
        assert_eq!(home.path().join("mark").exists(), tidies_up, "{renewal:?}");
        assert!(!home.path().join("repository").exists(), "nothing was read");
    }
}
