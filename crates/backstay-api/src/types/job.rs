//! Jobs.

use std::time::Duration;

use backstay_core::domain::job::{Instruction, Job, JobCounts, JobState, Progress, Target, Trigger};
use backstay_core::domain::unread::{UNREAD_NAMED_MAX, Unread, UnreadEntry};
use backstay_core::managers::job_log::{JobLog, Line};
use backstay_core::ports::store::Enqueued;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::wire::ms;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// `discover`, `backup`, `copy`, `restore`, `prune` or `verify`.
    pub kind: String,
    /// `queued`, `leased`, `waiting`, `succeeded`, `failed`, `damaged`, `cancelling`, `cancelled` or `parked`.
    pub state: String,
    /// How a success went: `complete`, `partial` or `unchanged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Class of a failure, such as `storage_full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_class: Option<String>,
    /// Why it failed, waits or is parked, or what harm it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Id of the plan that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Id of the job set that it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<String>,
    /// Id of the item that it acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Name of that item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// Id of the repository that it acts on.
    pub repository_id: String,
    /// Id of the snapshot that it reads, for a restore or a verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Folder that a restore writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
    /// Why it exists: `occurrence`, `request` or `follow_up`.
    pub trigger: String,
    /// Id of the job that it follows, by another plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_of: Option<String>,
    /// When its item breaches the RPO.
    pub breach_at: String,
    /// Number of its newest attempt; zero before the first.
    pub attempt: i64,
    /// What its newest attempt did.
    pub counts: CountsView,
    /// When it was enqueued.
    pub created_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// What a job did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountsView {
    /// Regular files handled.
    pub files: u64,
    /// Of them, those that were not read because nothing says that they changed.
    pub files_unmodified: u64,
    /// Folders handled.
    pub dirs: u64,
    /// Bytes of all regular files handled.
    pub bytes: u64,
    /// Bytes that the repository did not have, before compression.
    pub bytes_added: u64,
    /// Bytes that were written to storage.
    pub bytes_stored: u64,
    /// Entries that could not be read.
    pub unread: u64,
}

impl From<JobCounts> for CountsView {
    fn from(counts: JobCounts) -> Self {
        let JobCounts { files, files_unmodified, dirs, bytes, bytes_added, bytes_stored, unread } = counts;
        Self { files, files_unmodified, dirs, bytes, bytes_added, bytes_stored, unread }
    }
}

impl From<CountsView> for JobCounts {
    fn from(counts: CountsView) -> Self {
        let CountsView { files, files_unmodified, dirs, bytes, bytes_added, bytes_stored, unread } = counts;
        Self { files, files_unmodified, dirs, bytes, bytes_added, bytes_stored, unread }
    }
}

impl JobView {
    /// Makes the view of a job; the item's name comes from its own row.
    pub fn new(job: &Job, item_name: Option<String>) -> Self {
        let state = StateView::of(&job.state);
        let (snapshot_id, target_path) = match &job.instruction {
            Instruction::Backup | Instruction::Prune | Instruction::Discover { .. } => (None, None),
            Instruction::Restore { snapshot_id, target, .. } => {
                let path = match target {
                    Target::Directory(path) => Some(path.display().to_string()),
                    Target::Source { .. } => None,
                };
                (Some(snapshot_id.to_string()), path)
            }
            Instruction::Verify { snapshot_id, .. } => (Some(snapshot_id.to_string()), None),
        };
        let (trigger, follow_up_of) = match job.trigger {
            Trigger::Occurrence(_) => ("occurrence", None),
            Trigger::Request => ("request", None),
            Trigger::FollowUp(id) => ("follow_up", Some(id.to_string())),
        };
        Self {
            id: job.id.to_string(),
            tenant_id: job.tenant_id.to_string(),
            kind: job.kind().word().to_owned(),
            state: job.state.name().word().to_owned(),
            outcome: state.outcome,
            failure_class: state.failure_class.or_else(|| waits_for(job)),
            message: state.message,
            plan_id: job.plan_id.map(|id| id.to_string()),
            set_id: job.set.map(|(id, _)| id.to_string()),
            item_id: job.item_id.map(|id| id.to_string()),
            item_name,
            repository_id: job.repository_id.to_string(),
            snapshot_id,
            target_path,
            trigger: trigger.to_owned(),
            follow_up_of,
            breach_at: job.breach_at.to_string(),
            attempt: job.attempt_token.0,
            counts: job.counts.into(),
            created_at: job.created_at.to_string(),
            finished_at: state.finished_at,
        }
    }
}

/// Returns the class of the failure after which a job is tried again; none of one that is not, or did not fail.
fn waits_for(job: &Job) -> Option<String> {
    let streak = job.streak.filter(|_| matches!(job.state, JobState::Waiting { .. } | JobState::Queued { .. }))?;
    Some(streak.class.word().to_owned())
}

/// What a state knows, flat.
#[derive(Default)]
struct StateView {
    outcome: Option<String>,
    failure_class: Option<String>,
    message: Option<String>,
    finished_at: Option<String>,
}

impl StateView {
    fn of(state: &JobState) -> Self {
        let none = Self::default();
        match state {
            JobState::Queued { .. } | JobState::Leased { .. } | JobState::Cancelling { .. } => none,
            JobState::Waiting { reason, .. } => Self { message: Some(reason.clone()), ..none },
            JobState::Succeeded { outcome, finished_at } => {
                let outcome = Some(outcome.word().to_owned());
                Self { outcome, finished_at: Some(finished_at.to_string()), ..none }
            }
            JobState::Failed { class, message, finished_at } => Self {
                failure_class: Some(class.word().to_owned()),
                message: Some(message.clone()),
                finished_at: Some(finished_at.to_string()),
                ..none
            },
            JobState::Damaged { message, finished_at } => {
                Self { message: Some(message.clone()), finished_at: Some(finished_at.to_string()), ..none }
            }
            JobState::Cancelled { finished_at } => Self { finished_at: Some(finished_at.to_string()), ..none },
            JobState::Parked { class, message } => {
                Self { failure_class: Some(class.word().to_owned()), message: Some(message.clone()), ..none }
            }
        }
    }
}

/// A job with what only one job's page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The job.
    pub job: JobView,
    /// How far it is; none when nobody has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// What its newest attempt could not read.
    pub unread: UnreadView,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// How long jobs of its kind on its item usually take; none for one that has ended, and before the first success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<u64>,
    /// What it warned of, when it has ended: what went wrong beside its work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Ids of the jobs that follow it, by other plans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed_by: Vec<String>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressView {
    /// `before`, `opening`, `working`, `publishing` or `after`.
    pub phase: String,
    /// Regular files done.
    pub files_done: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Regular files in all; none while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_total: Option<u64>,
    /// Bytes in all; none while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Entries that could not be read so far.
    pub unread: u64,
    /// Minutes in which its agent watched it.
    #[serde(default)]
    pub watched: u64,
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        Self {
            phase: progress.phase.word().to_owned(),
            files_done: progress.files_done,
            bytes_done: progress.bytes_done,
            files_total: progress.files_total,
            bytes_total: progress.bytes_total,
            unread: progress.unread,
            watched: progress.watched,
        }
    }
}

/// What could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreadView {
    /// How many entries, named or not.
    pub count: u64,
    /// The first thousand of them.
    pub entries: Vec<UnreadEntryView>,
}

/// One entry that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreadEntryView {
    /// Its path.
    pub path: String,
    /// What the system said.
    pub reason: String,
}

impl From<&Unread> for UnreadView {
    fn from(unread: &Unread) -> Self {
        let entries = unread.entries.iter();
        let entries = entries.map(|entry| UnreadEntryView { path: entry.path.clone(), reason: entry.reason.clone() });
        Self { count: unread.count, entries: entries.collect() }
    }
}

impl From<UnreadView> for Unread {
    fn from(view: UnreadView) -> Self {
        let entries = view.entries.into_iter().take(UNREAD_NAMED_MAX);
        let entries: Vec<_> = entries.map(|entry| UnreadEntry { path: entry.path, reason: entry.reason }).collect();
        // What is named is counted, whatever the number says: nothing unread is lost on the way.
        Self { count: view.count.max(entries.len() as u64), entries }
    }
}

/// One agent's try at a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Its number.
    pub attempt: i64,
    /// Id of the agent.
    pub agent_id: String,
    /// When it began.
    pub leased_at: String,
    /// When it ended; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How it ended: `finished`, `waited` or `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

/// What is stored of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobLogView {
    /// In the order of time.
    pub lines: Vec<JobLogLine>,
    /// Entries that could not be read beside those that are named.
    pub unread_unnamed: u64,
    /// Whether there were more events than are looked at.
    pub has_more: bool,
}

/// One line of what is stored of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct JobLogLine {
    /// When.
    pub at: String,
    /// What it is about: `event`, `attempt` or `unread`.
    pub kind: String,
    /// In words.
    pub text: String,
}

impl From<&JobLog> for JobLogView {
    fn from(log: &JobLog) -> Self {
        let line = |line: &Line| JobLogLine {
            at: line.at.to_string(),
            kind: line.kind.word().to_owned(),
            text: line.text.clone(),
        };
        let lines = log.lines.iter().map(line).collect();
        Self { lines, unread_unnamed: log.unread_unnamed, has_more: log.has_more }
    }
}

/// What became of a wish to enqueue a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnqueuedView {
    /// Name of the item.
    pub item_name: String,
    /// `new`, `overlaps` (another backup of the item is not finished) or `known`.
    pub answer: String,
    /// The job: the new one, or the one that is there already.
    pub job_id: String,
    /// How long such a job usually takes; none before the first success, and for the later ones of many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<u64>,
}

impl EnqueuedView {
    /// Makes the view of one item's answer.
    pub fn new(item_name: String, enqueued: Enqueued, usual: Option<Duration>) -> Self {
        let (answer, job_id) = match enqueued {
            Enqueued::New(id) => ("new", id),
            Enqueued::Overlaps(id) => ("overlaps", id),
            Enqueued::Known(id) => ("known", id),
        };
        let usual_ms = usual.map(ms);
        Self { item_name, answer: answer.to_owned(), job_id: job_id.to_string(), usual_ms }
    }
}

/// A job that was enqueued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobAccepted {
    /// Its id.
    pub job_id: String,
}

/// Which jobs are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct JobQuery {
    /// Only this plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Only this item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Only of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only members of the job set with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
