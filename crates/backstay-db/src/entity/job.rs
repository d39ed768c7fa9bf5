//! A job as a row: its state is a word and just the columns that this state knows.

use backstay_core::domain::attempt::AttemptToken;
use backstay_core::domain::id::{ItemId, JobSetId};
use backstay_core::domain::job::{FailureClass, Job, JobCounts, JobKind, JobState, Outcome, StateName, Trigger};
use backstay_core::domain::repository::RepositoryAccess;
use backstay_core::domain::retry::Streak;
use backstay_core::domain::schedule::OverlapKey;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::entity::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::row::{Row, count_cell, json_cell};
use crate::twin::InstructionTwin;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) plan_id: Option<String>,
    pub(crate) item_id: Option<String>,
    pub(crate) repository_id: String,
    pub(crate) set_id: Option<String>,
    pub(crate) set_place: Option<i64>,
    pub(crate) kind: String,
    pub(crate) repository_access: String,
    pub(crate) instruction_json: String,
    pub(crate) trigger_kind: String,
    pub(crate) occurrence_at: Option<i64>,
    pub(crate) follow_up_of: Option<String>,
    pub(crate) breach_at: i64,
    pub(crate) priority: i64,
    pub(crate) attempt_token: i64,
    pub(crate) failure_count: i64,
    /// Class of the newest failures; none when the newest attempt did not fail, or failed before classes were counted.
    pub(crate) streak_class: Option<String>,
    pub(crate) streak_count: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) state: String,
    pub(crate) not_before_at: Option<i64>,
    pub(crate) agent_id: Option<String>,
    pub(crate) wake_at: Option<i64>,
    pub(crate) outcome: Option<String>,
    pub(crate) failure_class: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) live_key: Option<String>,
    pub(crate) occurrence_key: Option<String>,
    /// The tenant, when its backups keep out of one another's way: of one key one lease exists.
    pub(crate) overlap_key: Option<String>,
    /// The host that its source lies on.
    pub(crate) source_host: Option<String>,
    /// Where its repository's storage answers.
    pub(crate) storage_endpoint: Option<String>,
    /// The work that asked for it, as a `traceparent`.
    pub(crate) trace_parent: Option<String>,
    pub(crate) file_count: i64,
    pub(crate) file_unmodified_count: i64,
    pub(crate) dir_count: i64,
    pub(crate) content_bytes: i64,
    pub(crate) added_bytes: i64,
    pub(crate) stored_bytes: i64,
    pub(crate) unread_count: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns that a state decides.
#[derive(Default)]
pub(crate) struct StateCells {
    pub(crate) state: String,
    pub(crate) not_before_at: Option<i64>,
    pub(crate) agent_id: Option<String>,
    pub(crate) wake_at: Option<i64>,
    pub(crate) outcome: Option<String>,
    pub(crate) failure_class: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) live_key: Option<String>,
}

impl StateCells {
    /// Returns the columns of a state of a job of this kind on this item.
    pub(crate) fn of(kind: JobKind, item: Option<ItemId>, state: &JobState) -> Self {
        let live = kind == JobKind::Backup && state.name().is_live();
        let base = Self {
            state: state.name().word().to_owned(),
            live_key: item.filter(|_| live).map(|id| id.to_string()),
            ..Self::default()
        };
        let at = |at: &Timestamp| Some(at.as_microsecond());
        let text = |text: &str| Some(text.to_owned());
        match state {
            JobState::Queued { not_before } => Self { not_before_at: at(not_before), ..base },
            JobState::Leased { agent_id } | JobState::Cancelling { agent_id } => {
                Self { agent_id: Some(agent_id.to_string()), ..base }
            }
            JobState::Waiting { wake_at, reason } => Self { wake_at: at(wake_at), message: text(reason), ..base },
            JobState::Succeeded { outcome, finished_at } => {
                Self { outcome: text(outcome.word()), finished_at: at(finished_at), ..base }
            }
            JobState::Failed { class, message, finished_at } => {
                Self { failure_class: text(class.word()), message: text(message), finished_at: at(finished_at), ..base }
            }
            JobState::Damaged { message, finished_at } => {
                Self { message: text(message), finished_at: at(finished_at), ..base }
            }
            JobState::Cancelled { finished_at } => Self { finished_at: at(finished_at), ..base },
            JobState::Parked { class, message } => {
                Self { failure_class: text(class.word()), message: text(message), ..base }
            }
        }
    }
}

/// The columns of the newest failures in a row.
pub(crate) struct StreakCells {
    pub(crate) attempts: i64,
    pub(crate) class: Option<String>,
    pub(crate) count: Option<i64>,
}

impl StreakCells {
    /// Returns the columns; none is a job whose newest attempt did not fail.
    pub(crate) fn of(streak: Option<Streak>) -> Self {
        Self {
            attempts: streak.map_or(0, |streak| i64::from(streak.attempts)),
            class: streak.map(|streak| streak.class.word().to_owned()),
            count: streak.map(|streak| i64::from(streak.count)),
        }
    }
}

/// Returns the word for how a job holds its repository.
pub(crate) const fn access_word(access: RepositoryAccess) -> &'static str {
    match access {
        RepositoryAccess::Shared => "shared",
        RepositoryAccess::Alone => "alone",
    }
}

/// Reads the word for how a job holds its repository.
pub(crate) fn access_from_word(word: &str) -> Option<RepositoryAccess> {
    [RepositoryAccess::Shared, RepositoryAccess::Alone].into_iter().find(|access| access_word(*access) == word)
}

/// Returns the key that an occurrence of a plan has on an item for ever; none for a job without either. Two plans may
/// name the same moment: to another repository is another backup.
fn occurrence_key(job: &Job) -> Option<String> {
    match (&job.trigger, job.item_id) {
        (Trigger::Occurrence(at), Some(item)) => {
            // Written out it would be longer than the key's column.
            let plan = job.plan_id.map_or_else(String::new, |plan| plan.to_string());
            let words = format!("{plan} {item} {}", at.as_microsecond());
            Some(data_encoding::HEXLOWER.encode(&Sha256::digest(words)))
        }
        _ => None,
    }
}

impl Model {
    pub(crate) fn of(job: &Job) -> Self {
        let cells = StateCells::of(job.kind(), job.item_id, &job.state);
        let streak = StreakCells::of(job.streak);
        let (trigger_kind, occurrence_at, follow_up_of) = match &job.trigger {
            Trigger::Occurrence(at) => ("occurrence", Some(at.as_microsecond()), None),
            Trigger::Request => ("request", None, None),
            Trigger::FollowUp(id) => ("follow_up", None, Some(id.to_string())),
        };
        Self {
            id: job.id.to_string(),
            tenant_id: job.tenant_id.to_string(),
            plan_id: job.plan_id.map(|id| id.to_string()),
            item_id: job.item_id.map(|id| id.to_string()),
            repository_id: job.repository_id.to_string(),
            set_id: job.set.map(|(id, _)| id.to_string()),
            set_place: job.set.map(|(_, place)| i64::from(place)),
            kind: job.kind().word().to_owned(),
            repository_access: access_word(job.kind().repository_access()).to_owned(),
            instruction_json: json_cell(&InstructionTwin::of(&job.instruction)),
            trigger_kind: trigger_kind.to_owned(),
            occurrence_at,
            follow_up_of,
            breach_at: job.breach_at.as_microsecond(),
            priority: i64::from(job.priority),
            attempt_token: job.attempt_token.0,
            failure_count: streak.attempts,
            streak_class: streak.class,
            streak_count: streak.count,
            created_at: job.created_at.as_microsecond(),
            state: cells.state,
            not_before_at: cells.not_before_at,
            agent_id: cells.agent_id,
            wake_at: cells.wake_at,
            outcome: cells.outcome,
            failure_class: cells.failure_class,
            message: cells.message,
            finished_at: cells.finished_at,
            live_key: cells.live_key,
            occurrence_key: occurrence_key(job),
            overlap_key: (job.overlap == OverlapKey::Tenant).then(|| job.tenant_id.to_string()),
            source_host: None,
            storage_endpoint: None,
            trace_parent: job.trace.map(|trace| trace.to_string()),
            file_count: count_cell(job.counts.files),
            file_unmodified_count: count_cell(job.counts.files_unmodified),
            dir_count: count_cell(job.counts.dirs),
            content_bytes: count_cell(job.counts.bytes),
            added_bytes: count_cell(job.counts.bytes_added),
            stored_bytes: count_cell(job.counts.bytes_stored),
            unread_count: count_cell(job.counts.unread),
        }
    }

    /// Says whether this is the row that was enqueued as `other`, whatever became of it since.
    pub(crate) fn is_as_enqueued(&self, other: &Self) -> bool {
        let never_changed = |row: &Self| {
            let owners = (row.tenant_id.clone(), row.plan_id.clone(), row.item_id.clone(), row.repository_id.clone());
            let why = (row.trigger_kind.clone(), row.occurrence_at, row.follow_up_of.clone(), row.created_at);
            (owners, why, row.set_id.clone(), row.set_place, row.instruction_json.clone())
        };
        self.id == other.id && never_changed(self) == never_changed(other)
    }

    fn row(&self) -> Row<'_> {
        Row::of("job", &self.id)
    }

    /// Returns the name of the job's state.
    pub(crate) fn state_name(&self) -> Result<StateName, StoreError> {
        self.row().word("state", &self.state, StateName::from_word)
    }

    /// Returns how the job holds its repository while it runs.
    pub(crate) fn access(&self) -> Result<RepositoryAccess, StoreError> {
        self.row().word("repository_access", &self.repository_access, access_from_word)
    }

    pub(crate) fn read(self) -> Result<Job, StoreError> {
        let row = self.row();
        let kind = row.word("kind", &self.kind, JobKind::from_word)?;
        let set_id = row.parse_some::<JobSetId>("set_id", self.set_id.as_deref())?;
        let set_place = self.set_place.map(|place| row.count_small("set_place", place)).transpose()?;
        Ok(Job {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            plan_id: row.parse_some("plan_id", self.plan_id.as_deref())?,
            item_id: row.parse_some("item_id", self.item_id.as_deref())?,
            repository_id: row.parse("repository_id", &self.repository_id)?,
            set: set_id.zip(set_place),
            instruction: row.json::<InstructionTwin>("instruction_json", &self.instruction_json)?.read(row, kind)?,
            trigger: self.trigger(row)?,
            breach_at: row.instant("breach_at", self.breach_at)?,
            priority: i32::try_from(self.priority).map_err(|_| row.unreadable("priority is out of its range"))?,
            overlap: if self.overlap_key.is_some() { OverlapKey::Tenant } else { OverlapKey::Plan },
            attempt_token: AttemptToken(self.attempt_token),
            streak: self.streak(row)?,
            counts: self.counts(row)?,
            created_at: row.instant("created_at", self.created_at)?,
            // A place that cannot be read is worth no job.
            trace: self.trace_parent.as_deref().and_then(|text| text.parse().ok()),
            state: self.state(row)?,
        })
    }

    /// Returns the failures in a row. What an older version counted without its class begins anew.
    fn streak(&self, row: Row<'_>) -> Result<Option<Streak>, StoreError> {
        let attempts = row.count_small("failure_count", self.failure_count)?;
        let Some(word) = self.streak_class.as_deref().filter(|_| attempts > 0) else { return Ok(None) };
        let class = row.word("streak_class", word, FailureClass::from_word)?;
        let count = row.count_small("streak_count", row.demanded("streak_count", self.streak_count)?)?;
        Ok(Some(Streak { class, count, attempts }))
    }

    fn trigger(&self, row: Row<'_>) -> Result<Trigger, StoreError> {
        match self.trigger_kind.as_str() {
            "occurrence" => {
                let at = row.demanded("occurrence_at", self.occurrence_at)?;
                Ok(Trigger::Occurrence(row.instant("occurrence_at", at)?))
            }
            "request" => Ok(Trigger::Request),
            "follow_up" => {
                let id = row.demanded("follow_up_of", self.follow_up_of.as_deref())?;
                Ok(Trigger::FollowUp(row.parse("follow_up_of", id)?))
            }
            other => Err(row.unreadable(format!("trigger_kind is `{other}`, a word that is not known"))),
        }
    }

    fn counts(&self, row: Row<'_>) -> Result<JobCounts, StoreError> {
        Ok(JobCounts {
            files: row.count("file_count", self.file_count)?,
            files_unmodified: row.count("file_unmodified_count", self.file_unmodified_count)?,
            dirs: row.count("dir_count", self.dir_count)?,
            bytes: row.count("content_bytes", self.content_bytes)?,
            bytes_added: row.count("added_bytes", self.added_bytes)?,
            bytes_stored: row.count("stored_bytes", self.stored_bytes)?,
            unread: row.count("unread_count", self.unread_count)?,
        })
    }

    fn state(&self, row: Row<'_>) -> Result<JobState, StoreError> {
        let at = |column: &str, cell: Option<i64>| row.instant(column, row.demanded(column, cell)?);
        let finished_at = || at("finished_at", self.finished_at);
        let agent_id = || row.parse("agent_id", row.demanded("agent_id", self.agent_id.as_deref())?);
        let message = || row.demanded("message", self.message.clone());
        let class = || {
            let word = row.demanded("failure_class", self.failure_class.as_deref())?;
            row.word("failure_class", word, FailureClass::from_word)
        };
        Ok(match self.state_name()? {
            StateName::Queued => JobState::Queued { not_before: at("not_before_at", self.not_before_at)? },
            StateName::Leased => JobState::Leased { agent_id: agent_id()? },
            StateName::Waiting => JobState::Waiting { wake_at: at("wake_at", self.wake_at)?, reason: message()? },
            StateName::Succeeded => {
                let outcome = row.demanded("outcome", self.outcome.as_deref())?;
                let outcome = row.word("outcome", outcome, Outcome::from_word)?;
                JobState::Succeeded { outcome, finished_at: finished_at()? }
            }
            StateName::Failed => JobState::Failed { class: class()?, message: message()?, finished_at: finished_at()? },
            StateName::Damaged => JobState::Damaged { message: message()?, finished_at: finished_at()? },
            StateName::Cancelling => JobState::Cancelling { agent_id: agent_id()? },
            StateName::Cancelled => JobState::Cancelled { finished_at: finished_at()? },
            StateName::Parked => JobState::Parked { class: class()?, message: message()? },
        })
    }
}
