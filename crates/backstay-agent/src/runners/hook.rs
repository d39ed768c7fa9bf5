//! Runs the hooks of a plan around an attempt: each in a process group of its own, ended as a whole.
//!
//! ```text
//!  before ──────── ended by its limit, by a cancel, by the agent's end, with the lease
//!  after ───────── ended by its limit, by a cancel, with the lease; the agent's end waits for it
//!  after_failure ─ ended by its limit and with the lease; not begun without one
//! ```
//!
//! An agent that lost its lease runs nothing more: the next attempt may have begun, and what it mounted is its own.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use backstay_core::domain::hook::{Hook, HookMoment, Hooks};
use backstay_core::domain::job::{Job, Leased, Work};
use backstay_core::ports::job::{JobResult, Standing};
use backstay_engine::EngineError;
use backstay_engine::process::Process;

use super::{RunError, Runner, published};
use crate::agent::Commands;
use crate::sources::run::closed;

/// How often it is asked whether a hook shall end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The hook that runs now, if one does.
#[derive(Debug, Default)]
pub(crate) struct HookUnderWay(Mutex<Option<HookMoment>>);

impl HookUnderWay {
    /// Returns which one it is.
    pub(crate) fn moment(&self) -> Option<HookMoment> {
        *self.0.lock().expect("no holder panics")
    }

    fn set(&self, moment: Option<HookMoment>) {
        *self.0.lock().expect("no holder panics") = moment;
    }
}

/// Why a hook did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookFailed {
    #[error(
        "this agent runs no commands that plans name as hooks: set agent.commands to true where it runs, if whoever writes plans may do anything there"
    )]
    Refused,
    #[error("the hook {} ({program}) failed", moment.word())]
    Failed { moment: HookMoment, program: String, source: std::io::Error },
}

/// The hooks of one attempt.
pub(super) struct HookRun<'a> {
    runner: &'a Runner,
    job: &'a Job<Leased>,
    hooks: &'a Hooks,
}

impl<'a> HookRun<'a> {
    /// Returns the hooks of an attempt, if this agent runs any.
    pub(super) fn permitted(runner: &'a Runner, job: &'a Job<Leased>, hooks: &'a Hooks) -> Result<Self, HookFailed> {
        match runner.options.commands {
            Commands::Allowed => Ok(Self { runner, job, hooks }),
            Commands::Refused => Err(HookFailed::Refused),
        }
    }

    fn standing(&self) -> Standing {
        self.runner.held.standing(&self.job.lease_key())
    }

    /// Runs `before`.
    pub(super) async fn before(&self) -> Result<(), RunError> {
        let stop = || self.runner.interrupt.is_raised();
        let ran = self.run(HookMoment::Before, &[], &stop).await;
        // One that was told to end has not failed by itself.
        if stop() { Err(RunError::Engine(EngineError::Interrupted)) } else { Ok(ran?) }
    }

    /// Runs `after`, and says in the result how it failed. What was published is noted first: an attempt that dies in the
    /// hook loses no snapshot.
    pub(super) async fn after(&self, result: JobResult) -> Result<JobResult, RunError> {
        if self.hooks.after.is_none() {
            return Ok(result);
        }
        published::keep(self.runner, self.job, &result).await;
        let (outcome, foreign_id) = match &result {
            JobResult::BackedUp { outcome, snapshot, .. } => (outcome.word(), snapshot.foreign_id.as_str()),
            JobResult::Confirmed { snapshot, .. } => ("unchanged", snapshot.foreign_id.as_str()),
            _ => return Ok(result),
        };
        let told = [("BACKSTAY_OUTCOME", outcome), ("BACKSTAY_SNAPSHOT_ID", foreign_id)];
        let stop = || self.standing() != Standing::Held;
        let words = self.run(HookMoment::After, &told, &stop).await.err().map(|error| words(&error));
        Ok(with_warning(result, words))
    }

    /// Runs `after_failure`, and returns why the attempt failed, with the hook's own failure behind it.
    pub(super) async fn after_failure(&self, failed: RunError) -> RunError {
        let class = if failed.is_interrupt() { None } else { Some(failed.failure().class.word()) };
        let outcome = match (class, self.standing()) {
            (_, Standing::Lost) => return failed,
            (None, Standing::Cancelling) => "cancelled",
            (None, Standing::Held) => "stopped",
            (Some(_), _) => "failed",
        };
        let told = [("BACKSTAY_OUTCOME", outcome), ("BACKSTAY_FAILURE", class.unwrap_or_default())];
        let stop = || self.standing() == Standing::Lost;
        match self.run(HookMoment::AfterFailure, &told, &stop).await {
            Ok(()) => failed,
            Err(hook) => RunError::Twice { failed: Box::new(failed), hook },
        }
    }

    /// Runs the hook of a moment, if there is one, to its end; ends it when `stop` says so.
    async fn run(
        &self,
        moment: HookMoment,
        told: &[(&str, &str)],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), HookFailed> {
        let Some(hook) = self.hooks.at(moment) else { return Ok(()) };
        tracing::info!(job_id = %self.job.id, moment = moment.word(), "hook begins");
        self.runner.hook.set(Some(moment));
        let ran = to_the_end(self.command(moment, hook, told), hook.limit(), stop).await;
        self.runner.hook.set(None);
        let program = hook.command.first().cloned().unwrap_or_default();
        ran.map_err(|source| HookFailed::Failed { moment, program, source })
    }

    /// Puts a hook together: in the root folder, with what it is for in its variables, and with none of ours beside.
    fn command(&self, moment: HookMoment, hook: &Hook, told: &[(&str, &str)]) -> Command {
        let mut words = hook.command.iter();
        let mut command = Command::new(words.next().map(String::as_str).unwrap_or_default());
        command.args(words).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command.env("BACKSTAY_HOOK", moment.word());
        command.env("BACKSTAY_JOB_ID", self.job.id.to_string());
        command.env("BACKSTAY_ATTEMPT", self.job.attempt_token.0.to_string());
        if let Work::Backup { source, item, plan_name, .. } = &self.job.state.work {
            command.env("BACKSTAY_PLAN", plan_name).env("BACKSTAY_SOURCE", source.name.as_str());
            command.env("BACKSTAY_ITEM", &item.name);
        }
        command.envs(told.iter().copied());
        closed(command)
    }
}

/// Returns why a hook failed, in one line.
fn words(failed: &HookFailed) -> String {
    format!("{}; the snapshot stays", backstay_core::managers::job::chain(failed))
}

/// Returns a result that warns.
fn with_warning(result: JobResult, words: Option<String>) -> JobResult {
    match result {
        JobResult::BackedUp { outcome, snapshot, counts, unread, .. } => {
            JobResult::BackedUp { outcome, snapshot, counts, unread, warning: words }
        }
        JobResult::Confirmed { snapshot, counts, .. } => JobResult::Confirmed { snapshot, counts, warning: words },
        other => other,
    }
}

/// Starts a command and waits for its end. It fails when it does not end well, and when `stop` or its limit ended it.
async fn to_the_end(
    command: Command,
    time_limit: Duration,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), std::io::Error> {
    let (process, _) = Process::start(command, Some(time_limit))?;
    let stopper = process.stopper();
    let mut ended = tokio::task::spawn_blocking(move || process.end());
    loop {
        tokio::select! {
            ended = &mut ended => return ended.unwrap_or_else(|error| Err(std::io::Error::other(error))),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if stop() {
            let stopper = stopper.clone();
            // It waits a moment for the group's end; a thread that cannot be had leaves the time limit.
            drop(tokio::task::spawn_blocking(move || stopper.stop()).await);
            return ended.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        }
    }
}
