//! Leases on the wire: what agents say to the control plane and hear from it.
//!
//! An answer to a lease is the only one of the API that carries a secret, and it is never logged or cached. Fields are
//! only ever added: agents and servers of different versions speak to each other during an upgrade.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_core::domain::attempt::{AttemptToken, LeaseKey};
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::id::{AgentId, JobId};
use backstay_core::domain::job::{FailureClass, Job, JobKind, Leased, LeasedRepository, Phase, Progress, Trigger};
use backstay_core::domain::proof::VerifyBudget;
use backstay_core::domain::repository::{Repository, RepositoryEpoch, RepositoryKind};
use backstay_core::domain::retry::Streak;
use backstay_core::domain::schedule::OverlapKey;
use backstay_core::domain::storage::{AccessKey, Purpose, StorageSettings};
use backstay_core::ports::job::{LeaseRequest, Standing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::{CountsView, ProgressView};
use super::repository::{references, words};
use super::wire::{SecretText, WireError, base64, bytes, ms, parse, parse_some, word, wrong};
use super::work::{InstructionWire, WorkWire};

/// A job and the attempt that holds it: what every write of a lease holder names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseWire {
    /// Id of the job.
    pub job_id: String,
    /// Number of the attempt.
    pub attempt: i64,
}

impl From<LeaseKey> for LeaseWire {
    fn from(key: LeaseKey) -> Self {
        Self { job_id: key.job_id.to_string(), attempt: key.token.0 }
    }
}

impl TryFrom<&LeaseWire> for LeaseKey {
    type Error = WireError;

    fn try_from(wire: &LeaseWire) -> Result<Self, WireError> {
        Ok(Self { job_id: parse("job_id", &wire.job_id)?, token: AttemptToken(wire.attempt) })
    }
}

/// An agent asks for work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseAsk {
    /// Job kinds that it has runners for.
    pub kinds: Vec<String>,
    /// All leases that it knows it holds; others that it has had for a while are taken from it.
    pub held: Vec<LeaseWire>,
    /// Most jobs that it wants now.
    pub count_max: u32,
}

impl From<&LeaseRequest> for LeaseAsk {
    fn from(request: &LeaseRequest) -> Self {
        let kinds = request.kinds.iter().map(|kind| kind.word().to_owned()).collect();
        let held = request.held.iter().copied().map(LeaseWire::from).collect();
        Self { kinds, held, count_max: request.count_max }
    }
}

impl LeaseAsk {
    /// Judges the request of an agent.
    ///
    /// # Errors
    /// A kind that is not known.
    pub fn request(&self, agent_id: AgentId) -> Result<LeaseRequest, WireError> {
        let kinds = self.kinds.iter().map(|kind| word("kinds", kind, JobKind::from_word)).collect::<Result<_, _>>()?;
        let held = self.held.iter().map(LeaseKey::try_from).collect::<Result<_, _>>()?;
        Ok(LeaseRequest { agent_id, kinds, held, count_max: self.count_max })
    }
}

/// The jobs that were leased.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseGiven {
    /// Each with all that it needs.
    pub jobs: Vec<LeasedWire>,
}

/// A job in the hand of its agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeasedWire {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Id of the plan that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Id of the item that it acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Id of its job set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<String>,
    /// Its place in that set.
    #[serde(default)]
    pub set_place: u32,
    /// What it is told.
    pub instruction: InstructionWire,
    /// Why it exists.
    pub trigger: TriggerWire,
    /// When its item breaches the RPO.
    pub breach_at: String,
    /// The queue's second order.
    pub priority: i32,
    /// What it must not run beside: `plan` or `tenant`.
    pub overlap: String,
    /// Number of the attempt that the agent now holds.
    pub attempt: i64,
    /// The work that asked for it, as W3C's `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
    /// How many attempts in a row ended without a result.
    pub failures: u32,
    /// Class of the newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_class: Option<String>,
    /// How many of this class in a row.
    #[serde(default)]
    pub failures_of_class: u32,
    /// What the attempt before did.
    pub counts: CountsView,
    /// When it was enqueued.
    pub created_at: String,
    /// Id of the agent.
    pub agent_id: String,
    /// How long after the request was sent the lease holds.
    pub ttl_ms: u64,
    /// The repository's epoch when the lease began.
    pub epoch: i64,
    /// Where the bytes lie, and what opens them.
    pub repository: LeasedRepositoryWire,
    /// What an earlier attempt stored before it died, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_base64: Option<String>,
    /// What is to be done.
    pub work: WorkWire,
}

/// Why a job exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerWire {
    /// A moment that the plan's schedule names.
    Occurrence(String),
    /// A person or a program asked.
    Request,
    /// The end of the job with this id asked.
    FollowUp(String),
}

/// A repository as a lease brings it: with the secret that opens it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeasedRepositoryWire {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Who keeps the data.
    pub kind: String,
    /// Storage kind.
    pub storage_kind: String,
    /// Settings of that kind.
    #[schema(value_type = Object)]
    pub storage_settings: serde_json::Value,
    /// Where the password was found.
    pub password_reference: String,
    /// How often it was leased alone.
    pub epoch: i64,
    /// Opens it.
    pub password: SecretText,
    /// Where the storage's keys are found, by purpose.
    #[serde(default)]
    pub credential_references: BTreeMap<String, String>,
    /// Open its storage, by purpose: those that the job needs.
    #[serde(default)]
    pub credentials: BTreeMap<String, AccessKeyWire>,
    /// Whether a snapshot in it is known: then it must be there and is never made.
    pub has_snapshots: bool,
    /// Leases of its live jobs that are over: locks that were taken under them hold nobody back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<LeaseWire>,
}

/// An access key as S3 has it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccessKeyWire {
    /// Its public half.
    pub id: String,
    /// Its secret half.
    pub secret: SecretText,
    /// The token of a session that ends; absent: the key stands by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SecretText>,
}

impl From<&AccessKey> for AccessKeyWire {
    fn from(key: &AccessKey) -> Self {
        let session = key.session.clone().map(SecretText);
        Self { id: key.id.clone(), secret: SecretText(key.secret.clone()), session }
    }
}

impl From<AccessKeyWire> for AccessKey {
    fn from(wire: AccessKeyWire) -> Self {
        Self { id: wire.id, secret: wire.secret.0, session: wire.session.map(|session| session.0) }
    }
}

impl From<&LeasedRepository> for LeasedRepositoryWire {
    fn from(leased: &LeasedRepository) -> Self {
        let repository = &leased.repository;
        Self {
            id: repository.id.to_string(),
            tenant_id: repository.tenant_id.to_string(),
            name: repository.name.to_string(),
            kind: repository.kind.word().to_owned(),
            storage_kind: repository.storage.kind.clone(),
            storage_settings: repository.storage.settings.clone(),
            password_reference: repository.password.to_string(),
            epoch: repository.epoch.0,
            password: SecretText(leased.password.clone()),
            credential_references: words(&repository.credentials),
            credentials: leased
                .credentials
                .iter()
                .map(|(purpose, key)| (purpose.word().to_owned(), key.into()))
                .collect(),
            has_snapshots: leased.has_snapshots,
            over: leased.over.iter().copied().map(LeaseWire::from).collect(),
        }
    }
}

impl TryFrom<LeasedRepositoryWire> for LeasedRepository {
    type Error = WireError;

    fn try_from(wire: LeasedRepositoryWire) -> Result<Self, WireError> {
        let repository = Repository {
            id: parse("repository.id", &wire.id)?,
            tenant_id: parse("repository.tenant_id", &wire.tenant_id)?,
            name: parse("repository.name", &wire.name)?,
            kind: word("repository.kind", &wire.kind, RepositoryKind::from_word)?,
            storage_id: None,
            storage: StorageSettings { kind: wire.storage_kind, settings: wire.storage_settings },
            password: parse("repository.password_reference", &wire.password_reference)?,
            credentials: references(&wire.credential_references)?,
            // What the control plane enqueues by; an agent asks nothing of it.
            verify_within: VerifyBudget::Default,
            epoch: RepositoryEpoch(wire.epoch),
            retired_at: None,
        };
        let credentials = wire.credentials.into_iter();
        let credentials =
            credentials.map(|(purpose, key)| Ok((word("credentials", &purpose, Purpose::from_word)?, key.into())));
        let credentials = credentials.collect::<Result<_, WireError>>()?;
        let over = wire.over.iter().map(LeaseKey::try_from).collect::<Result<_, _>>()?;
        Ok(Self { repository, password: wire.password.0, credentials, has_snapshots: wire.has_snapshots, over })
    }
}

impl From<&Job<Leased>> for LeasedWire {
    fn from(job: &Job<Leased>) -> Self {
        let state = &job.state;
        Self {
            id: job.id.to_string(),
            tenant_id: job.tenant_id.to_string(),
            plan_id: job.plan_id.map(|id| id.to_string()),
            item_id: job.item_id.map(|id| id.to_string()),
            set_id: job.set.map(|(id, _)| id.to_string()),
            set_place: job.set.map_or(0, |(_, place)| place),
            instruction: (&job.instruction).into(),
            trigger: match job.trigger {
                Trigger::Occurrence(at) => TriggerWire::Occurrence(at.to_string()),
                Trigger::Request => TriggerWire::Request,
                Trigger::FollowUp(id) => TriggerWire::FollowUp(id.to_string()),
            },
            breach_at: job.breach_at.to_string(),
            priority: job.priority,
            overlap: job.overlap.word().to_owned(),
            attempt: job.attempt_token.0,
            trace_parent: job.trace.map(|trace| trace.to_string()),
            failures: job.streak.map_or(0, |streak| streak.attempts),
            failure_class: job.streak.map(|streak| streak.class.word().to_owned()),
            failures_of_class: job.streak.map_or(0, |streak| streak.count),
            counts: job.counts.into(),
            created_at: job.created_at.to_string(),
            agent_id: state.agent_id.to_string(),
            ttl_ms: ms(state.ttl),
            epoch: state.epoch.0,
            repository: (&state.repository).into(),
            checkpoint_base64: state.checkpoint.as_ref().map(|checkpoint| base64(checkpoint.body())),
            work: (&state.work).into(),
        }
    }
}

impl TryFrom<LeasedWire> for Job<Leased> {
    type Error = WireError;

    fn try_from(wire: LeasedWire) -> Result<Self, WireError> {
        let checkpoint = wire.checkpoint_base64.as_deref().map(checkpoint).transpose()?;
        let repository = LeasedRepository::try_from(wire.repository)?;
        let set_id = parse_some("set_id", wire.set_id.as_deref())?;
        Ok(Self {
            id: parse("id", &wire.id)?,
            tenant_id: parse("tenant_id", &wire.tenant_id)?,
            plan_id: parse_some("plan_id", wire.plan_id.as_deref())?,
            item_id: parse_some("item_id", wire.item_id.as_deref())?,
            repository_id: repository.repository.id,
            set: set_id.map(|id| (id, wire.set_place)),
            instruction: wire.instruction.read()?,
            trigger: match &wire.trigger {
                TriggerWire::Occurrence(at) => Trigger::Occurrence(parse("trigger", at)?),
                TriggerWire::Request => Trigger::Request,
                TriggerWire::FollowUp(id) => Trigger::FollowUp(parse("trigger", id)?),
            },
            breach_at: parse("breach_at", &wire.breach_at)?,
            priority: wire.priority,
            overlap: word("overlap", &wire.overlap, OverlapKey::from_word)?,
            attempt_token: AttemptToken(wire.attempt),
            trace: wire.trace_parent.as_deref().and_then(|text| text.parse().ok()),
            streak: match &wire.failure_class {
                Some(class) => Some(Streak {
                    class: word("failure_class", class, FailureClass::from_word)?,
                    count: wire.failures_of_class,
                    attempts: wire.failures,
                }),
                None => None,
            },
            counts: wire.counts.into(),
            created_at: parse("created_at", &wire.created_at)?,
            state: Leased {
                agent_id: parse("agent_id", &wire.agent_id)?,
                ttl: Duration::from_millis(wire.ttl_ms),
                epoch: RepositoryEpoch(wire.epoch),
                repository,
                checkpoint,
                work: wire.work.read()?,
            },
        })
    }
}

/// Reads a checkpoint.
fn checkpoint(text: &str) -> Result<Checkpoint, WireError> {
    Checkpoint::new(bytes("checkpoint_base64", text)?).map_err(|error| wrong("checkpoint_base64", error))
}

/// An agent's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenewAsk {
    /// The leases that it holds.
    pub leases: Vec<LeaseWire>,
}

/// What the control plane thinks of each lease, in the order asked: `held`, `cancelling` or `lost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Renewed {
    /// One word a lease.
    pub standings: Vec<String>,
}

/// What the control plane thinks of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingView {
    /// `held`, `cancelling` or `lost`.
    pub standing: String,
}

/// Returns the word of a standing.
pub const fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "held",
        Standing::Cancelling => "cancelling",
        Standing::Lost => "lost",
    }
}

/// Reads the word of a standing.
///
/// # Errors
/// A word that is not known.
pub fn standing(text: &str) -> Result<Standing, WireError> {
    let read = |text: &str| match text {
        "held" => Some(Standing::Held),
        "cancelling" => Some(Standing::Cancelling),
        "lost" => Some(Standing::Lost),
        _ => None,
    };
    word("standing", text, read)
}

/// A lease holder tells how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressTell {
    /// Number of the attempt.
    pub attempt: i64,
    /// How far it is.
    pub progress: ProgressView,
}

/// A lease holder stores an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointTell {
    /// Number of the attempt.
    pub attempt: i64,
    /// The checkpoint, base64.
    pub checkpoint_base64: String,
}

impl CheckpointTell {
    /// Makes the request of a lease holder.
    pub fn new(token: AttemptToken, checkpoint: &Checkpoint) -> Self {
        Self { attempt: token.0, checkpoint_base64: base64(checkpoint.body()) }
    }

    /// Judges the checkpoint.
    ///
    /// # Errors
    /// Bytes that are no base64, or too many of them.
    pub fn read(&self) -> Result<Checkpoint, WireError> {
        checkpoint(&self.checkpoint_base64)
    }
}

/// A lease holder gives the job back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitTell {
    /// Number of the attempt.
    pub attempt: i64,
    /// When it may be leased again, counted from now.
    pub delay_ms: u64,
    /// Why it waits.
    pub reason: String,
}

impl ProgressView {
    /// Judges what a lease holder tells.
    ///
    /// # Errors
    /// A phase that is not known.
    pub fn read(&self) -> Result<Progress, WireError> {
        Ok(Progress {
            phase: word("phase", &self.phase, Phase::from_word)?,
            files_done: self.files_done,
            bytes_done: self.bytes_done,
            files_total: self.files_total,
            bytes_total: self.bytes_total,
            unread: self.unread,
            watched: self.watched,
        })
    }
}

/// Returns the lease that a request on a job's path names.
pub const fn key(job_id: JobId, attempt: i64) -> LeaseKey {
    LeaseKey { job_id, token: AttemptToken(attempt) }
}
