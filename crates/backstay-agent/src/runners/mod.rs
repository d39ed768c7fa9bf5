//! What is done for each job kind: one file a kind, its table of contents on top.
//!
//! A runner gets a job in the hand and returns what came of it. It decides nothing about states: that is the control
//! plane's. Engine calls block, so they run on threads of their own.

mod backup;
mod open;
mod restore;
mod back;
mod verify;
mod verify_slice;
mod prune;
mod discover;
mod fence;
pub(crate) mod hook;
mod published;
mod stall;

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::adoption::FOUND_MAX;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::job::{Failure, FailureClass, Job, JobKind, Leased, Target, Work};
use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::managers::job::chain;
use backstay_core::ports::job::{JobResult, Jobs};
use backstay_core::ports::source::SourceError;
use backstay_engine::pattern::PatternError;
use backstay_engine::{EngineError, EngineProgress, Interrupt};

use crate::agent::AgentOptions;
use crate::heartbeat::Held;

/// The job kinds that there is a runner for.
pub const RUNNER_KINDS: &[JobKind] =
    &[JobKind::Backup, JobKind::Restore, JobKind::Prune, JobKind::Verify, JobKind::Discover];

/// What a runner works with.
pub(crate) struct Runner {
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) options: AgentOptions,
    pub(crate) held: Held,
    pub(crate) interrupt: Interrupt,
    pub(crate) progress: Arc<EngineProgress>,
    pub(crate) hook: Arc<hook::HookUnderWay>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum RunEnd {
    /// With a result to hand in.
    Result(JobResult),
    /// Because it was interrupted: the lease's standing says why.
    Interrupted,
}

/// Why a run ended without its result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the job asks for {what}, which this agent does not do")]
    Unsupported { what: String },
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("nothing in the snapshot matches what was asked for; `backstay snapshot ls` shows what is there")]
    NothingFits,
    #[error("{target} lies in the folder of this installation, which no restore writes into; name another target")]
    Own { target: String },
    #[error(
        "the repository has {count} snapshots, and {FOUND_MAX} can be taken in; forget some with plain restic first"
    )]
    Many { count: usize },
    #[error(transparent)]
    Hook(#[from] hook::HookFailed),
    #[error("it made no progress for {} s and was stopped: its source or its storage hangs, or its stall limit is too short", limit.as_secs())]
    Stalled { limit: Duration },
    #[error("{failed}; and {hook}")]
    Twice { failed: Box<RunError>, hook: hook::HookFailed },
    #[error("the job's thread died")]
    Thread(#[from] tokio::task::JoinError),
}

impl RunError {
    /// Says whether the run was stopped: the lease's standing says why.
    fn is_interrupt(&self) -> bool {
        match self {
            Self::Engine(EngineError::Interrupted) => true,
            Self::Twice { failed, .. } => failed.is_interrupt(),
            _ => false,
        }
    }

    fn failure(&self) -> Failure {
        let (class, disposition) = match self {
            Self::Engine(error) => (error.class(), error.disposition()),
            Self::Source(error) => (FailureClass::Source, error.disposition()),
            Self::Many { .. } => (FailureClass::Repository, Disposition::Operator),
            Self::Unsupported { .. } | Self::Pattern(_) | Self::NothingFits | Self::Own { .. } => {
                (FailureClass::Target, Disposition::Operator)
            }
            Self::Hook(_) => (FailureClass::Hook, Disposition::Operator),
            Self::Stalled { .. } => (FailureClass::Stalled, Disposition::Retry { after: Duration::ZERO }),
            Self::Twice { failed, .. } => {
                let Failure { class, disposition, .. } = failed.failure();
                (class, disposition)
            }
            Self::Thread(_) => (FailureClass::Internal, Disposition::Operator),
        };
        let message = match self {
            Self::Twice { failed, hook } => format!("{}; and {}", chain(&**failed), chain(hook)),
            failed => chain(failed),
        };
        Failure { class, message, disposition }
    }
}

/// How long a restore to its source may count nothing: a database that has taken all bytes builds its indexes in silence.
const STALL_LIMIT_BACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a job to its end.
pub(crate) async fn run(runner: &Runner, job: &Job<Leased>) -> RunEnd {
    let result = match &job.state.work {
        Work::Backup { .. } => backup::run(runner, job).await,
        Work::Restore { target, .. } => {
            let limit = if matches!(target, Target::Source { .. }) { STALL_LIMIT_BACK } else { STALL_LIMIT };
            stall::within(runner, limit, restore::run(runner, job)).await
        }
        Work::Verify { .. } => stall::within(runner, STALL_LIMIT, verify::run(runner, job)).await,
        Work::Prune { .. } => stall::within(runner, STALL_LIMIT, prune::run(runner, job)).await,
        Work::Discover => stall::within(runner, STALL_LIMIT, discover::run(runner, job)).await,
    };
    match result {
        Ok(result) => RunEnd::Result(result),
        Err(error) if error.is_interrupt() => {
            if let RunError::Twice { hook, .. } = error {
                tracing::warn!(job_id = %job.id, error = chain(&hook), "a hook failed after its job was stopped");
            }
            RunEnd::Interrupted
        }
        Err(error) => RunEnd::Result(JobResult::Failed(error.failure())),
    }
}
