//! The network between agents and the control plane: it loses, delays and repeats nothing by itself.
//!
//! A request is worked on in the process of the replica that took it, as a server does it: when the agent has given up
//! waiting, or died, the replica goes on, and what it does then arrives late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobState, Leased, Progress};
use backstay_core::managers::job::JobManager;
use backstay_core::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use backstay_core::ports::store::JobStore as _;
use backstay_db::Database;
use futures::future::BoxFuture;

use crate::mutant::Mutant;
use crate::stage::{ProcessId, Stage};
use crate::weather::{Luck, Weather, unavailable};

/// How long a caller waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Messages of a million that are long on their way.
const SLOW: u64 = 2_000;

/// The replicas that answer: process and manager of each that is up.
pub type Doors = Arc<Mutex<Vec<(ProcessId, Arc<JobManager>)>>>;

/// The port `Jobs` as an agent has it.
#[derive(Clone)]
pub struct Wire {
    /// Where it plays.
    pub stage: Arc<Stage>,
    /// What happens to messages.
    pub weather: Arc<Weather>,
    /// Who answers.
    pub doors: Doors,
    /// Where a mutant without a fence looks the newest token up.
    pub database: Database,
    /// What is left out.
    pub mutant: Option<Mutant>,
}

impl Wire {
    async fn remote<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce(Arc<JobManager>) -> BoxFuture<'static, Result<T, LeaseError>> + Send,
    ) -> Result<T, LeaseError> {
        let luck = self.weather.of_network();
        self.travel().await;
        let door = {
            let doors = self.doors.lock().expect("no holder panics");
            if doors.is_empty() || luck == Luck::Lost { None } else { Some(self.stage.dice.pick(&doors).clone()) }
        };
        let Some((process, manager)) = door else {
            self.stage.sleep(TIMEOUT).await;
            return Err(unavailable(what).into());
        };
        let (answer, signal) = (Arc::new(Mutex::new(None)), self.stage.serial());
        let (call, stage, slot) = (call(manager), Arc::clone(&self.stage), Arc::clone(&answer));
        self.stage.spawn(process, async move {
            let done = call.await;
            *slot.lock().expect("no holder panics") = Some(done);
            stage.signal(signal);
        });
        self.stage.wait(signal, TIMEOUT).await;
        self.travel().await;
        let answer = answer.lock().expect("no holder panics").take();
        match answer {
            Some(answer) if luck == Luck::Good => answer,
            _ => {
                self.stage.tell(|| format!("nobody hears the answer to {what}"));
                Err(unavailable(what).into())
            }
        }
    }

    /// A message is on its way.
    async fn travel(&self) {
        let dice = &self.stage.dice;
        if dice.chance(SLOW) {
            self.stage.sleep(dice.between(Duration::from_secs(1), Duration::from_secs(1_800))).await;
        }
    }

    /// Returns the lease that a call names; without a fence, the newest of its job.
    fn fenced(&self, lease: LeaseKey) -> LeaseKey {
        if self.mutant != Some(Mutant::NoFence) {
            return lease;
        }
        let newest = self.stage.block(self.database.job_get(lease.job_id)).map(|job| job.attempt_token);
        LeaseKey { token: newest.unwrap_or(lease.token), ..lease }
    }
}

#[async_trait]
impl Jobs for Wire {
    async fn job_lease(&self, request: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError> {
        let request = request.clone();
        self.remote("job_lease", |jobs| Box::pin(async move { jobs.job_lease(&request).await })).await
    }

    async fn job_renew(&self, agent_id: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError> {
        let leases = leases.to_vec();
        self.remote("job_renew", |jobs| Box::pin(async move { jobs.job_renew(agent_id, &leases).await })).await
    }

    async fn job_progress(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        let progress = *progress;
        self.remote("job_progress", |jobs| Box::pin(async move { jobs.job_progress(lease, &progress).await })).await
    }

    async fn job_checkpoint(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let checkpoint = checkpoint.clone();
        self.remote("job_checkpoint", |jobs| Box::pin(async move { jobs.job_checkpoint(lease, &checkpoint).await }))
            .await
    }

    async fn job_wait(&self, lease: LeaseKey, delay: Duration, reason: &str) -> Result<(), LeaseError> {
        let reason = reason.to_owned();
        self.remote("job_wait", |jobs| Box::pin(async move { jobs.job_wait(lease, delay, &reason).await })).await
    }

    async fn job_finish(&self, lease: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError> {
        let (lease, result) = (self.fenced(lease), result.clone());
        self.remote("job_finish", |jobs| Box::pin(async move { jobs.job_finish(lease, &result).await })).await
    }
}
