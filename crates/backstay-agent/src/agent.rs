//! The agent's loop: lease, run, finish, until told to end.
//!
//! When told to end, running jobs are interrupted and given back to the queue, so that another agent takes them at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::hook::HookMoment;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{
    Failure, FailureClass, Job, JobKind, Leased, Phase, Progress, Reconciliation, Target, Work,
};
use backstay_core::managers::job::chain;
use backstay_core::ports::clock::Clock;
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use backstay_engine::{EngineProgress, Interrupt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::heartbeat::{Held, beat};
use crate::runners::hook::HookUnderWay;
use crate::runners::{self, RunEnd, Runner};

/// Shortest wait between two looks at the queue after an error.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Tries to hand in a result before it is given up: with [`RETRY_EVERY`] between them, twice as long as a lease lives
/// without a renewal.
const FINISH_TRIES: u32 = 60;

/// Whether an agent runs commands that sources and hooks name. Whoever may write sources or plans does then what the agent's
/// user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commands {
    /// It does.
    Allowed,
    /// It does not; such a job fails and says so.
    Refused,
}

/// What an agent is and how it works.
#[derive(Clone)]
pub struct AgentOptions {
    /// Its id: one process, one id.
    pub agent_id: AgentId,
    /// The kinds that it does.
    pub kinds: Vec<JobKind>,
    /// Jobs that it does at once.
    pub slots: u32,
    /// Threads that each job may use.
    pub threads: usize,
    /// How often it looks for work when nobody wakes it.
    pub poll_every: Duration,
    /// How often a job's progress is told.
    pub progress_every: Duration,
    /// How long its leases hold.
    pub ttl: Duration,
    /// Name of the machine, for snapshots.
    pub hostname: String,
    /// Name of the user, for snapshots.
    pub username: String,
    /// What snapshots say they were made by.
    pub program_version: String,
    /// Whether it runs commands that sources and hooks name.
    pub commands: Commands,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// Wakes it when there may be work.
    pub wake: Arc<Notify>,
}

/// Works until `end`.
pub async fn run(jobs: Arc<dyn Jobs>, options: AgentOptions, end: CancellationToken) {
    let held = Held::default();
    let beating = CancellationToken::new();
    let heart = tokio::spawn(beat(Arc::clone(&jobs), options.agent_id, options.ttl, held.clone(), beating.clone()));
    let running = TaskTracker::new();
    while !end.is_cancelled() {
        let free = options.slots.saturating_sub(u32::try_from(running.len()).unwrap_or(u32::MAX));
        let request = LeaseRequest {
            agent_id: options.agent_id,
            kinds: options.kinds.clone(),
            held: held.keys(),
            count_max: free,
        };
        // Counted from before the request: how long its answer takes is time of the lease.
        let asked = Instant::now();
        let leased = if free == 0 { Ok(Vec::new()) } else { jobs.job_lease(&request).await };
        match leased {
            Ok(leased) if !leased.is_empty() => {
                for job in leased {
                    let (jobs, options, held) = (Arc::clone(&jobs), options.clone(), held.clone());
                    let wake = Arc::clone(&options.wake);
                    let interrupt = Interrupt::default();
                    held.take(job.lease_key(), interrupt.clone(), asked);
                    let ended = end.clone();
                    let span = span_of(&job);
                    let work = async move {
                        run_one(jobs, options, held, job, interrupt, ended).await;
                        wake.notify_one();
                    };
                    running.spawn(work.instrument(span));
                }
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(agent = %options.agent_id, error = %error, "no lease could be asked for");
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = options.wake.notified() => {}
            () = tokio::time::sleep(options.poll_every) => {}
        }
    }
    held.interrupt_all();
    running.close();
    running.wait().await;
    beating.cancel();
    // The heart does nothing but wait and renew; if it was ended from outside there is nothing to add.
    let _ = heart.await;
}

/// Returns the span of a job, under the work that asked for it.
fn span_of(job: &Job<Leased>) -> Span {
    let kind = job.kind().word();
    let span = backstay_trace::span!(
        "job",
        otel.name = format!("job {kind}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        backstay.job.id = %job.id,
        backstay.job.kind = kind,
        backstay.job.attempt = job.lease_key().token.0,
        backstay.job.state = Empty,
    );
    backstay_trace::adopt(&span, job.trace);
    span
}

/// Does one job from its lease to its end.
async fn run_one(
    jobs: Arc<dyn Jobs>,
    options: AgentOptions,
    held: Held,
    job: Job<Leased>,
    interrupt: Interrupt,
    end: CancellationToken,
) {
    let key = job.lease_key();
    let (job_id, kind) = (job.id, job.kind().word());
    if end.is_cancelled() {
        interrupt.raise();
    }
    tracing::info!(%job_id, kind, attempt = key.token.0, "job begins");
    let progress = Arc::new(EngineProgress::default());
    let runner = Runner {
        jobs: Arc::clone(&jobs),
        options: options.clone(),
        held: held.clone(),
        interrupt,
        progress: Arc::clone(&progress),
        hook: Arc::default(),
    };
    let telling = tell(&*jobs, &options, &held, &job, (&progress, &runner.hook));
    let ended = tokio::select! {
        ended = runners::run(&runner, &job) => ended,
        () = telling => unreachable!("telling never ends by itself"),
    };
    let answer = match (held.standing(&key), ended) {
        (Standing::Lost, RunEnd::Interrupted) => {
            // The control plane may think that the lease is held, because the agent lives: it is given back. If somebody
            // else has the job by now, the token is refused, which is right.
            let given_back = jobs.job_wait(key, Duration::ZERO, "its agent could not renew the lease in time").await;
            given_back.map(|()| "given back")
        }
        (Standing::Cancelling, RunEnd::Interrupted) => hand_in(&*jobs, job, &JobResult::Cancelled).await,
        (Standing::Held, RunEnd::Interrupted) if cannot_go_on(&job) => {
            hand_in(&*jobs, job, &JobResult::Failed(half_restored())).await
        }
        (Standing::Held, RunEnd::Interrupted) => {
            jobs.job_wait(key, Duration::ZERO, "its agent was stopped").await.map(|()| "given back")
        }
        (_, RunEnd::Result(result)) => hand_in(&*jobs, job, &result).await,
    };
    held.release(&key);
    match answer {
        Ok(state) => {
            let span = Span::current();
            span.record("backstay.job.state", state);
            if matches!(state, "failed" | "damaged" | "parked") {
                span.record("otel.status_code", "ERROR");
            }
            tracing::info!(%job_id, kind, state, "job ended");
        }
        Err(error) => tracing::error!(%job_id, kind, error = chain(&error), "the job's end could not be handed in"),
    }
}

/// Says whether nobody goes on with a job that was stopped in the middle: a stream that is brought back into its source has
/// no place to go on from, and what was restored under other names would be restored once more. Any other folder is filled
/// by the next attempt.
fn cannot_go_on(job: &Job<Leased>) -> bool {
    let Work::Restore { target, terms, .. } = &job.state.work else { return false };
    matches!(target, Target::Source { .. }) || terms.reconciliation == Reconciliation::Rename
}

/// Says why a restore that was stopped is not tried again.
fn half_restored() -> Failure {
    Failure {
        class: FailureClass::Target,
        message:
            "its agent was stopped in the middle: see what it has left in the target, and ask for the restore again"
                .to_owned(),
        disposition: Disposition::Operator,
    }
}

/// Hands a result in, and tries again while the store does not answer.
async fn hand_in(jobs: &dyn Jobs, job: Job<Leased>, result: &JobResult) -> Result<&'static str, LeaseError> {
    let key = job.lease_key();
    let mut tries_left = FINISH_TRIES;
    backstay_failpoint::pass("commit", "unasked");
    let mut answer = job.finish(jobs, result).await;
    while let Err(LeaseError::Store(error)) = &answer
        && tries_left > 0
    {
        tracing::error!(job_id = %key.job_id, error = chain(error), "the store does not take a result; trying again");
        tries_left -= 1;
        tokio::time::sleep(RETRY_EVERY).await;
        answer = jobs.job_finish(key, result).await;
    }
    backstay_failpoint::pass("commit", "answered");
    answer.map(|state| state.name().word())
}

/// Tells how far a job is, again and again.
async fn tell(
    jobs: &dyn Jobs,
    options: &AgentOptions,
    held: &Held,
    job: &Job<Leased>,
    (progress, hook): (&EngineProgress, &HookUnderWay),
) {
    use std::sync::atomic::Ordering::Relaxed;
    let began = Instant::now();
    loop {
        tokio::time::sleep(options.progress_every).await;
        let totals = progress.totals();
        // What was looked into is told until it is known how much there is: a job that moves is never taken for stalled.
        let looked = if totals.is_none() { progress.looked.load(Relaxed) } else { 0 };
        let begun = totals.is_some() || looked + progress.files_done.load(Relaxed) > 0;
        let told = Progress {
            phase: match (hook.moment(), progress.publishing.load(Relaxed), begun) {
                (Some(HookMoment::Before), ..) => Phase::Before,
                (Some(HookMoment::After | HookMoment::AfterFailure), ..) => Phase::After,
                (None, true, _) => Phase::Publishing,
                (None, false, true) => Phase::Working,
                (None, false, false) => Phase::Opening,
            },
            files_done: looked + progress.files_done.load(Relaxed),
            bytes_done: progress.bytes_done.load(Relaxed),
            files_total: totals.map(|(files, _)| files),
            bytes_total: totals.map(|(_, bytes)| bytes),
            unread: progress.unread.load(Relaxed),
            watched: began.elapsed().as_secs() / 60,
        };
        let key = job.lease_key();
        match jobs.job_progress(key, &told).await {
            Ok(standing) => held.note(&key, standing),
            Err(LeaseError::Lost { .. }) => held.note(&key, Standing::Lost),
            Err(error) => tracing::warn!(job_id = %job.id, error = %error, "progress could not be told"),
        }
    }
}
