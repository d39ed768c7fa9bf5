//! What came of an attempt, and the state that it led to.

use std::time::Duration;

use backstay_core::domain::adoption::FoundSnapshot;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::evidence::{ClassCount, Difference, Drill, Findings, SliceFindings};
use backstay_core::domain::job::{Failure, FailureClass, JobState, Outcome, PruneCounts};
use backstay_core::domain::sample::SizeClass;
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::ports::job::JobResult;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::{CountsView, UnreadView};
use super::wire::{WireError, ms, parse, word};
use super::work::SliceWire;

/// A lease holder hands its result in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FinishTell {
    /// Number of the attempt.
    pub attempt: i64,
    /// What came of it.
    pub result: ResultWire,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResultWire {
    /// A snapshot was published.
    BackedUp {
        /// `complete`, `partial` or `unchanged`.
        outcome: String,
        /// How the repository calls the snapshot.
        foreign_id: String,
        /// When its data was read.
        taken_at: String,
        /// In numbers.
        counts: CountsView,
        /// What could not be read.
        unread: UnreadView,
        /// What went wrong beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// The item is as its newest snapshot has it, and none was published.
    Confirmed {
        /// How the repository calls that snapshot.
        foreign_id: String,
        /// When the reading began.
        taken_at: String,
        /// In numbers.
        counts: CountsView,
        /// What went wrong beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// Data was restored.
    Restored {
        /// `complete` or `partial`.
        outcome: String,
        /// In numbers.
        counts: CountsView,
        /// What could not be restored.
        unread: UnreadView,
    },
    /// Data was read back and compared.
    Verified {
        /// What was read and found.
        findings: FindingsWire,
        /// In numbers.
        counts: CountsView,
    },
    /// Snapshots were forgotten and data was removed.
    Pruned {
        /// Ids of the snapshots that are not in the repository any more.
        forgotten: Vec<String>,
        /// Ids of others that are not there, of those that were to be looked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
        /// Bytes of storage that are free now.
        bytes_freed: u64,
        /// Bytes that a later prune frees.
        bytes_pending: u64,
        /// Packs of an earlier prune whose grace is not over yet.
        #[serde(default)]
        packs_waiting: u64,
        /// Bytes that were copied out of packs that go.
        bytes_rewritten: u64,
        /// Bytes of all packs that are there afterwards; none from an agent that does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_left: Option<u64>,
    },
    /// The snapshots of a repository were read.
    Discovered {
        /// All that could be read.
        found: Vec<FoundSnapshotWire>,
        /// Those that could not.
        unread: UnreadView,
    },
    /// It did not work.
    Failed {
        /// Class of the failure.
        class: String,
        /// What happened.
        message: String,
        /// What it asks for.
        disposition: DispositionWire,
    },
    /// It stopped because it was asked to.
    Cancelled,
}

/// A snapshot as its own file in the repository tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundSnapshotWire {
    /// How the repository calls it.
    pub foreign_id: String,
    /// When its data was read.
    pub taken_at: String,
    /// The machine that read it.
    pub hostname: String,
    /// Whether that is the machine that found it.
    pub is_of_this_machine: bool,
    /// Whether our engine made it; an agent of before does not say it, and what it found is foreign then.
    #[serde(default)]
    pub is_of_this_program: bool,
    /// What was read, absolute paths.
    pub paths: Vec<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What it holds, as far as it says so.
    pub counts: CountsView,
}

impl From<&FoundSnapshot> for FoundSnapshotWire {
    fn from(found: &FoundSnapshot) -> Self {
        Self {
            foreign_id: found.foreign_id.clone(),
            taken_at: found.taken_at.to_string(),
            hostname: found.hostname.clone(),
            is_of_this_machine: found.is_of_this_machine,
            is_of_this_program: found.is_of_this_program,
            paths: found.paths.clone(),
            tags: found.tags.clone(),
            counts: found.counts.into(),
        }
    }
}

impl TryFrom<FoundSnapshotWire> for FoundSnapshot {
    type Error = WireError;

    fn try_from(wire: FoundSnapshotWire) -> Result<Self, WireError> {
        Ok(Self {
            foreign_id: wire.foreign_id,
            taken_at: parse("found.taken_at", &wire.taken_at)?,
            hostname: wire.hostname,
            is_of_this_machine: wire.is_of_this_machine,
            is_of_this_program: wire.is_of_this_program,
            paths: wire.paths,
            tags: wire.tags,
            counts: wire.counts.into(),
        })
    }
}

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DispositionWire {
    /// To try again, at the earliest after so many milliseconds.
    RetryAfterMs(u64),
    /// To keep what was read.
    Partial,
    /// A person.
    Operator,
}

/// What a verify read and found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingsWire {
    /// Regular files that the snapshot has.
    pub files_total: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Files read back.
    pub files_read: u64,
    /// Of them, those of which only some ranges were read.
    pub files_read_in_part: u64,
    /// Bytes read back.
    pub bytes_read: u64,
    /// Files that were also compared with the source.
    pub files_compared: u64,
    /// Files that the source has changed or lost since.
    pub files_changed_since: u64,
    /// How the files spread over the size classes.
    pub classes: Vec<ClassWire>,
    /// Packs that the index names.
    pub packs_named: u64,
    /// Bytes fetched from storage.
    pub bytes_fetched: u64,
    /// How many things are not as they were saved.
    pub difference_count: u64,
    /// The first hundred of them.
    pub differences: Vec<DifferenceWire>,
    /// When reading began.
    pub started_at: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What was read besides for the repository's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<SliceFindingsWire>,
}

/// What a verify of a slice read besides its snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SliceFindingsWire {
    /// Id of the repository.
    pub repository_id: String,
    /// Which slice.
    pub slice: SliceWire,
    /// Packs that were read whole.
    pub packs_read: u64,
    /// Snapshots of which every tree was looked at.
    pub snapshots_walked: u64,
    /// Different trees that were read.
    pub trees_read: u64,
    /// Files that were restored to try it.
    pub drill_files: u64,
    /// Of them, those that were read back and compared by hash.
    pub drill_files_compared: u64,
    /// Files that are too large to be restored to try it.
    pub drill_files_too_large: u64,
    /// Bytes that were restored.
    pub drill_bytes: u64,
    /// How long restoring took, in microseconds.
    pub drill_took_us: u64,
}

impl From<&SliceFindings> for SliceFindingsWire {
    fn from(read: &SliceFindings) -> Self {
        Self {
            repository_id: read.repository_id.to_string(),
            slice: read.slice.into(),
            packs_read: read.packs_read,
            snapshots_walked: read.snapshots_walked,
            trees_read: read.trees_read,
            drill_files: read.drill.files,
            drill_files_compared: read.drill.files_compared,
            drill_files_too_large: read.drill.files_too_large,
            drill_bytes: read.drill.bytes,
            drill_took_us: u64::try_from(read.drill.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl TryFrom<SliceFindingsWire> for SliceFindings {
    type Error = WireError;

    fn try_from(wire: SliceFindingsWire) -> Result<Self, WireError> {
        Ok(Self {
            repository_id: parse("slice.repository_id", &wire.repository_id)?,
            slice: wire.slice.into(),
            packs_read: wire.packs_read,
            snapshots_walked: wire.snapshots_walked,
            trees_read: wire.trees_read,
            drill: Drill {
                files: wire.drill_files,
                files_compared: wire.drill_files_compared,
                files_too_large: wire.drill_files_too_large,
                bytes: wire.drill_bytes,
                took: Duration::from_micros(wire.drill_took_us),
            },
        })
    }
}

/// Files of one size class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassWire {
    /// The class.
    pub class: String,
    /// How many the snapshot has.
    pub total: u64,
    /// How many were read back.
    pub compared: u64,
}

/// One thing that is not as it was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceWire {
    /// The path in the snapshot, or the name of the object.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

/// A job's state with all that it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StateWire {
    /// Waits for an agent.
    Queued {
        /// Not to be leased before this moment.
        not_before: String,
    },
    /// An agent has it.
    Leased {
        /// Which agent.
        agent_id: String,
    },
    /// Another system works for it, or a back-off runs.
    Waiting {
        /// When it goes back to the queue.
        wake_at: String,
        /// Why it waits.
        reason: String,
    },
    /// Done.
    Succeeded {
        /// How it went.
        outcome: String,
        /// When it ended.
        finished_at: String,
    },
    /// Ended without its result.
    Failed {
        /// Class of the failure.
        class: String,
        /// What happened.
        message: String,
        /// When it ended.
        finished_at: String,
    },
    /// A verify found harm.
    Damaged {
        /// What was found.
        message: String,
        /// When it ended.
        finished_at: String,
    },
    /// An agent has it and is asked to stop.
    Cancelling {
        /// Which agent.
        agent_id: String,
    },
    /// Ended because a person asked.
    Cancelled {
        /// When it ended.
        finished_at: String,
    },
    /// Failed too often in one way.
    Parked {
        /// Class of the failures.
        class: String,
        /// What happened last.
        message: String,
    },
}

impl From<&Findings> for FindingsWire {
    fn from(found: &Findings) -> Self {
        let class = |row: &ClassCount| ClassWire {
            class: row.class.word().to_owned(),
            total: row.total,
            compared: row.compared,
        };
        let difference = |row: &Difference| DifferenceWire { place: row.place.clone(), problem: row.problem.clone() };
        Self {
            files_total: found.files_total,
            bytes_total: found.bytes_total,
            files_read: found.files_read,
            files_read_in_part: found.files_read_in_part,
            bytes_read: found.bytes_read,
            files_compared: found.files_compared,
            files_changed_since: found.files_changed_since,
            classes: found.classes.iter().map(class).collect(),
            packs_named: found.packs_named,
            bytes_fetched: found.bytes_fetched,
            difference_count: found.difference_count,
            differences: found.differences.iter().map(difference).collect(),
            started_at: found.started_at.to_string(),
            took_us: u64::try_from(found.took.as_micros()).unwrap_or(u64::MAX),
            slice: found.slice.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<FindingsWire> for Findings {
    type Error = WireError;

    fn try_from(wire: FindingsWire) -> Result<Self, WireError> {
        let class = |row: &ClassWire| {
            let class = word("classes", &row.class, SizeClass::from_word)?;
            Ok(ClassCount { class, total: row.total, compared: row.compared })
        };
        let difference = |row: DifferenceWire| Difference { place: row.place, problem: row.problem };
        Ok(Self {
            files_total: wire.files_total,
            bytes_total: wire.bytes_total,
            files_read: wire.files_read,
            files_read_in_part: wire.files_read_in_part,
            bytes_read: wire.bytes_read,
            files_compared: wire.files_compared,
            files_changed_since: wire.files_changed_since,
            classes: wire.classes.iter().map(class).collect::<Result<_, _>>()?,
            packs_named: wire.packs_named,
            bytes_fetched: wire.bytes_fetched,
            // Harm is never counted smaller than what is named of it.
            difference_count: wire.difference_count.max(wire.differences.len() as u64),
            differences: wire.differences.into_iter().map(difference).collect(),
            started_at: parse("started_at", &wire.started_at)?,
            took: Duration::from_micros(wire.took_us),
            slice: wire.slice.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&JobResult> for ResultWire {
    fn from(result: &JobResult) -> Self {
        match result {
            JobResult::BackedUp { outcome, snapshot, counts, unread, warning } => Self::BackedUp {
                outcome: outcome.word().to_owned(),
                foreign_id: snapshot.foreign_id.clone(),
                taken_at: snapshot.taken_at.to_string(),
                counts: (*counts).into(),
                unread: unread.into(),
                warning: warning.clone(),
            },
            JobResult::Confirmed { snapshot, counts, warning } => Self::Confirmed {
                foreign_id: snapshot.foreign_id.clone(),
                taken_at: snapshot.taken_at.to_string(),
                counts: (*counts).into(),
                warning: warning.clone(),
            },
            JobResult::Restored { outcome, counts, unread } => {
                Self::Restored { outcome: outcome.word().to_owned(), counts: (*counts).into(), unread: unread.into() }
            }
            JobResult::Verified { findings, counts } => {
                Self::Verified { findings: (&**findings).into(), counts: (*counts).into() }
            }
            JobResult::Pruned { forgotten, missing, counts } => Self::Pruned {
                forgotten: forgotten.iter().map(ToString::to_string).collect(),
                missing: missing.iter().map(ToString::to_string).collect(),
                bytes_freed: counts.bytes_freed,
                bytes_pending: counts.bytes_pending,
                packs_waiting: counts.packs_waiting,
                bytes_rewritten: counts.bytes_rewritten,
                bytes_left: counts.bytes_left,
            },
            JobResult::Discovered { found, unread } => {
                Self::Discovered { found: found.iter().map(Into::into).collect(), unread: unread.into() }
            }
            JobResult::Failed(failure) => Self::Failed {
                class: failure.class.word().to_owned(),
                message: failure.message.clone(),
                disposition: match failure.disposition {
                    Disposition::Retry { after } => DispositionWire::RetryAfterMs(ms(after)),
                    Disposition::Partial => DispositionWire::Partial,
                    Disposition::Operator => DispositionWire::Operator,
                },
            },
            JobResult::Cancelled => Self::Cancelled,
        }
    }
}

impl ResultWire {
    /// Judges a result.
    ///
    /// # Errors
    /// An instant or a word that is none.
    pub fn read(self) -> Result<JobResult, WireError> {
        let outcome = |text: &str| word("outcome", text, Outcome::from_word);
        Ok(match self {
            Self::BackedUp { outcome: how, foreign_id, taken_at, counts, unread, warning } => JobResult::BackedUp {
                outcome: outcome(&how)?,
                snapshot: PublishedSnapshot { foreign_id, taken_at: parse("taken_at", &taken_at)? },
                counts: counts.into(),
                unread: unread.into(),
                warning,
            },
            Self::Confirmed { foreign_id, taken_at, counts, warning } => JobResult::Confirmed {
                snapshot: PublishedSnapshot { foreign_id, taken_at: parse("taken_at", &taken_at)? },
                counts: counts.into(),
                warning,
            },
            Self::Restored { outcome: how, counts, unread } => {
                JobResult::Restored { outcome: outcome(&how)?, counts: counts.into(), unread: unread.into() }
            }
            Self::Verified { findings, counts } => {
                JobResult::Verified { findings: Box::new(findings.try_into()?), counts: counts.into() }
            }
            Self::Pruned {
                forgotten,
                missing,
                bytes_freed,
                bytes_pending,
                packs_waiting,
                bytes_rewritten,
                bytes_left,
            } => JobResult::Pruned {
                forgotten: forgotten.iter().map(|id| parse("forgotten", id)).collect::<Result<_, _>>()?,
                missing: missing.iter().map(|id| parse("missing", id)).collect::<Result<_, _>>()?,
                counts: PruneCounts { bytes_freed, bytes_pending, packs_waiting, bytes_rewritten, bytes_left },
            },
            Self::Discovered { found, unread } => JobResult::Discovered {
                found: found.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                unread: unread.into(),
            },
            Self::Failed { class, message, disposition } => JobResult::Failed(Failure {
                class: word("class", &class, FailureClass::from_word)?,
                message,
                disposition: match disposition {
                    DispositionWire::RetryAfterMs(after) => Disposition::Retry { after: Duration::from_millis(after) },
                    DispositionWire::Partial => Disposition::Partial,
                    DispositionWire::Operator => Disposition::Operator,
                },
            }),
            Self::Cancelled => JobResult::Cancelled,
        })
    }
}

impl From<&JobState> for StateWire {
    fn from(state: &JobState) -> Self {
        let class_word = |class: &FailureClass| class.word().to_owned();
        match state {
            JobState::Queued { not_before } => Self::Queued { not_before: not_before.to_string() },
            JobState::Leased { agent_id } => Self::Leased { agent_id: agent_id.to_string() },
            JobState::Waiting { wake_at, reason } => {
                Self::Waiting { wake_at: wake_at.to_string(), reason: reason.clone() }
            }
            JobState::Succeeded { outcome, finished_at } => {
                Self::Succeeded { outcome: outcome.word().to_owned(), finished_at: finished_at.to_string() }
            }
            JobState::Failed { class, message, finished_at } => Self::Failed {
                class: class_word(class),
                message: message.clone(),
                finished_at: finished_at.to_string(),
            },
            JobState::Damaged { message, finished_at } => {
                Self::Damaged { message: message.clone(), finished_at: finished_at.to_string() }
            }
            JobState::Cancelling { agent_id } => Self::Cancelling { agent_id: agent_id.to_string() },
            JobState::Cancelled { finished_at } => Self::Cancelled { finished_at: finished_at.to_string() },
            JobState::Parked { class, message } => Self::Parked { class: class_word(class), message: message.clone() },
        }
    }
}

impl StateWire {
    /// Judges a state.
    ///
    /// # Errors
    /// An id, an instant or a word that is none.
    pub fn read(self) -> Result<JobState, WireError> {
        let class = |text: &str| word("class", text, FailureClass::from_word);
        let ended = |text: &str| parse("finished_at", text);
        Ok(match self {
            Self::Queued { not_before } => JobState::Queued { not_before: parse("not_before", &not_before)? },
            Self::Leased { agent_id } => JobState::Leased { agent_id: parse("agent_id", &agent_id)? },
            Self::Waiting { wake_at, reason } => JobState::Waiting { wake_at: parse("wake_at", &wake_at)?, reason },
            Self::Succeeded { outcome, finished_at } => JobState::Succeeded {
                outcome: word("outcome", &outcome, Outcome::from_word)?,
                finished_at: ended(&finished_at)?,
            },
            Self::Failed { class: kind, message, finished_at } => {
                JobState::Failed { class: class(&kind)?, message, finished_at: ended(&finished_at)? }
            }
            Self::Damaged { message, finished_at } => JobState::Damaged { message, finished_at: ended(&finished_at)? },
            Self::Cancelling { agent_id } => JobState::Cancelling { agent_id: parse("agent_id", &agent_id)? },
            Self::Cancelled { finished_at } => JobState::Cancelled { finished_at: ended(&finished_at)? },
            Self::Parked { class: kind, message } => JobState::Parked { class: class(&kind)?, message },
        })
    }
}
