//! One row of work on one item or repository: its kinds, its states, and who may move it where.
//!
//! ```text
//!              rescue, wake                       ┌─> succeeded (complete, partial, unchanged)
//!           ┌───────────────┐                     ├─> failed
//!  queued ──┴──> leased ────┼──> waiting ──> queued
//!    │             │        └─────────────────────┼─> damaged
//!    │             └──> cancelling ──> cancelled  └─> parked ──> queued
//!    └──> cancelled
//! ```
//!
//! The state is written twice: [`JobState`] is data for the row, each variant with just what that state knows;
//! [`Leased`] is a type in the hand, and only a `Job<Leased>` can be finished (see `ports::job`). One table says which
//! moves exist: [`StateName::may_become`]. Who comes in: managers decide with it, `backstay-db` asks it before it writes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::attempt::{AttemptToken, LeaseKey};
use super::checkpoint::Checkpoint;
use super::disposition::Disposition;
use super::hook::Hooks;
use super::id::{AgentId, ItemId, JobId, JobSetId, PlanId, RepositoryId, SnapshotId, TenantId};
use super::item::Item;
use super::proof::Slice;
use super::repository::{Repository, RepositoryAccess, RepositoryEpoch};
use super::restore::RestoreTerms;
use super::retry::Streak;
use super::sample::SampleRule;
use super::schedule::OverlapKey;
use super::secret::Secret;
use super::snapshot::Snapshot;
use super::source::Source;
use super::storage::{AccessKey, Purpose};
use super::trace::TraceParent;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Finds what is there: the snapshots of a repository.
    Discover,
    /// Makes a snapshot of an item.
    Backup,
    /// Copies snapshots to another repository.
    Copy,
    /// Brings data of a snapshot to a target.
    Restore,
    /// Forgets, then removes data that nothing refers to.
    Prune,
    /// Reads back and compares.
    Verify,
}

/// The name of a state, without what the state knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateName {
    /// Waits for an agent.
    Queued,
    /// An agent has it.
    Leased,
    /// Another system works for it, or a back-off runs; no agent is held.
    Waiting,
    /// Done.
    Succeeded,
    /// Ended without its result.
    Failed,
    /// A verify that did its work and found harm.
    Damaged,
    /// An agent has it and is asked to stop.
    Cancelling,
    /// Ended because a person asked.
    Cancelled,
    /// Failed too often in one way: a person or a change of the plan lifts it.
    Parked,
}

/// How a success went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Everything was read.
    Complete,
    /// Some entries were not read: never shown green.
    Partial,
    /// The source is as the newest good snapshot has it.
    Unchanged,
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $type {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the word of the row and of the wire.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word of the row and of the wire; none for an unknown one.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use words;

words!(JobKind: Discover = "discover", Backup = "backup", Copy = "copy", Restore = "restore", Prune = "prune", Verify = "verify");
words!(StateName: Queued = "queued", Leased = "leased", Waiting = "waiting", Succeeded = "succeeded", Failed = "failed",
    Damaged = "damaged", Cancelling = "cancelling", Cancelled = "cancelled", Parked = "parked");
words!(Outcome: Complete = "complete", Partial = "partial", Unchanged = "unchanged");

impl JobKind {
    /// Returns how a job of this kind holds its repository.
    pub const fn repository_access(self) -> RepositoryAccess {
        match self {
            Self::Prune => RepositoryAccess::Alone,
            Self::Discover | Self::Backup | Self::Copy | Self::Restore | Self::Verify => RepositoryAccess::Shared,
        }
    }
}

impl StateName {
    /// Says whether a job in this state may move to `next`. The only table of moves.
    pub const fn may_become(self, next: Self) -> bool {
        use StateName::*;
        match self {
            Queued => matches!(next, Leased | Cancelled),
            Leased => matches!(next, Succeeded | Failed | Damaged | Waiting | Queued | Cancelling | Parked),
            Waiting => matches!(next, Queued | Cancelled),
            // What was done before the wish to cancel arrived is recorded as what it is: a published snapshot is
            // never hidden, and harm that was found is never forgotten.
            Cancelling => matches!(next, Cancelled | Succeeded | Damaged),
            Parked => matches!(next, Queued | Cancelled),
            Succeeded | Failed | Damaged | Cancelled => false,
        }
    }

    /// Says whether no move leads out of this state.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Damaged | Self::Cancelled)
    }

    /// Says whether a backup in this state keeps another one of its item from being enqueued.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Leased | Self::Waiting | Self::Cancelling)
    }
}

/// What kind of failure it was: retries are counted and spaced for each class by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The source as a whole could not be opened or read.
    Source,
    /// The storage refused or did not answer.
    Storage,
    /// The storage is full.
    StorageFull,
    /// The repository is not as its format demands.
    Repository,
    /// There is no repository where one should be.
    RepositoryMissing,
    /// The password opens no key of the repository, or is not where it should be.
    Password,
    /// The target of a restore refused.
    Target,
    /// The agent went away, or told nothing new within the stall limit.
    AgentLost,
    /// Ours: a state that should not exist.
    Internal,
    /// The tenant has used up what it may store: the backup was not begun.
    Quota,
    /// A hook of the plan failed, or its agent runs none.
    Hook,
    /// It made no progress within its stall limit, and its agent stopped it.
    Stalled,
}

words!(FailureClass: Source = "source", Storage = "storage", StorageFull = "storage_full", Repository = "repository",
    RepositoryMissing = "repository_missing", Password = "password", Target = "target", AgentLost = "agent_lost", Internal = "internal",
    Quota = "quota", Hook = "hook", Stalled = "stalled");

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: FailureClass,
    /// What happened, for a person: the chain of causes in one line.
    pub message: String,
    /// What it asks for.
    pub disposition: Disposition,
}

/// The state of a job's row: each variant carries just what that state knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Waits for an agent.
    Queued {
        /// Not to be leased before this moment.
        not_before: Timestamp,
    },
    /// An agent has it.
    Leased {
        /// Which agent.
        agent_id: AgentId,
    },
    /// Another system works for it, or a back-off runs.
    Waiting {
        /// When it goes back to the queue.
        wake_at: Timestamp,
        /// Why it waits, for a person.
        reason: String,
    },
    /// Done.
    Succeeded {
        /// How it went.
        outcome: Outcome,
        /// When it ended.
        finished_at: Timestamp,
    },
    /// Ended without its result.
    Failed {
        /// Class of the failure.
        class: FailureClass,
        /// What happened, for a person.
        message: String,
        /// When it ended.
        finished_at: Timestamp,
    },
    /// A verify found harm.
    Damaged {
        /// What was found, for a person.
        message: String,
        /// When it ended.
        finished_at: Timestamp,
    },
    /// An agent has it and is asked to stop.
    Cancelling {
        /// Which agent.
        agent_id: AgentId,
    },
    /// Ended because a person asked.
    Cancelled {
        /// When it ended.
        finished_at: Timestamp,
    },
    /// Failed too often in one way.
    Parked {
        /// Class of the failures.
        class: FailureClass,
        /// What happened last, for a person.
        message: String,
    },
}

impl JobState {
    /// Returns how a success went; none for any other state.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Succeeded { outcome, .. } => Some(*outcome),
            _ => None,
        }
    }

    /// Returns when it ended; none while it may go on.
    pub const fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Succeeded { finished_at, .. }
            | Self::Failed { finished_at, .. }
            | Self::Damaged { finished_at, .. }
            | Self::Cancelled { finished_at } => Some(*finished_at),
            _ => None,
        }
    }

    /// Returns the state's name.
    pub const fn name(&self) -> StateName {
        match self {
            Self::Queued { .. } => StateName::Queued,
            Self::Leased { .. } => StateName::Leased,
            Self::Waiting { .. } => StateName::Waiting,
            Self::Succeeded { .. } => StateName::Succeeded,
            Self::Failed { .. } => StateName::Failed,
            Self::Damaged { .. } => StateName::Damaged,
            Self::Cancelling { .. } => StateName::Cancelling,
            Self::Cancelled { .. } => StateName::Cancelled,
            Self::Parked { .. } => StateName::Parked,
        }
    }

    /// Says whether a job in this state may move to `next`.
    pub const fn may_become(&self, next: StateName) -> bool {
        self.name().may_become(next)
    }
}

/// Why a job exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A moment that the plan's schedule names.
    Occurrence(Timestamp),
    /// A person or a program asked.
    Request,
    /// Another job's end asked.
    FollowUp(JobId),
}

/// How a restore meets what is already at the target. Kinds say which of them they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconciliation {
    /// Anything there is an error, before a byte is written.
    Fail,
    /// What is there stays.
    Skip,
    /// What is there is replaced.
    Overwrite,
    /// What is there is replaced when it differs.
    OverwriteIfChanged,
    /// What is there and what is restored are joined, field by field.
    Merge,
    /// What is restored gets another name.
    Rename,
    /// As overwrite, and what the snapshot does not have is removed.
    Mirror,
}

words!(Reconciliation: Fail = "fail", Skip = "skip", Overwrite = "overwrite", OverwriteIfChanged = "overwrite_if_changed",
    Merge = "merge", Rename = "rename", Mirror = "mirror");

/// Where a restore goes. Its other shapes come with their first adapter (decision record 0003).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A folder that the agent can write, by its absolute path.
    Directory(std::path::PathBuf),
    /// The source that the snapshot is of, which takes the stream back.
    Source {
        /// What it is to be called there; none for what the source's kind calls it.
        name: Option<String>,
    },
}

/// What a job is told besides what its plan, item and repository say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Make a snapshot of the item.
    Backup,
    /// Bring a snapshot to a target.
    Restore {
        /// Which snapshot.
        snapshot_id: SnapshotId,
        /// Where to.
        target: Target,
        /// What of it, and how it meets what is there.
        terms: RestoreTerms,
    },
    /// Read a sample of a snapshot back from storage and compare it; or prove a slice of the repository.
    Verify {
        /// Which snapshot: the one that is compared, or whose restore is drilled.
        snapshot_id: SnapshotId,
        /// How much of it.
        sample: SampleRule,
        /// The slice of the repository that is read whole, for its budget; none for the snapshot alone.
        slice: Option<Slice>,
    },
    /// Forget what retention does not keep, then remove data that nothing refers to.
    Prune,
    /// Find the snapshots of the repository, so that those without a row get one.
    Discover {
        /// A machine whose snapshots are taken for those of the machine that looks; none for that one alone.
        hostname: Option<String>,
    },
}

impl Instruction {
    /// Returns the kind of the job that carries it.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Backup => JobKind::Backup,
            Self::Restore { .. } => JobKind::Restore,
            Self::Verify { .. } => JobKind::Verify,
            Self::Prune => JobKind::Prune,
            Self::Discover { .. } => JobKind::Discover,
        }
    }
}

/// What a job did, in numbers. A count that a kind does not know is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Regular files handled.
    pub files: u64,
    /// Of them, those taken from the parent snapshot without being read.
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

/// How far a running job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Regular files done.
    pub files_done: u64,
    /// Bytes of regular files done.
    pub bytes_done: u64,
    /// Regular files in all; none while unknown.
    pub files_total: Option<u64>,
    /// Bytes of regular files in all; none while unknown.
    pub bytes_total: Option<u64>,
    /// Entries that could not be read so far.
    pub unread: u64,
    /// Minutes in which its agent watched it: they keep the control plane's stall limit away from a job whose own is
    /// longer, or whose hook runs.
    pub watched: u64,
}

/// What a running job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Running the hook before it.
    Before,
    /// Opening source, repository, index.
    Opening,
    /// Moving data.
    Working,
    /// Writing the index and the snapshot.
    Publishing,
    /// Running the hook after it, or after its failure.
    After,
}

words!(Phase: Before = "before", Opening = "opening", Working = "working", Publishing = "publishing",
    After = "after");

impl Progress {
    /// Returns the progress of a job that has just begun.
    pub const fn begun() -> Self {
        Self {
            phase: Phase::Opening,
            files_done: 0,
            bytes_done: 0,
            files_total: None,
            bytes_total: None,
            unread: 0,
            watched: 0,
        }
    }
}

/// A job. `Job` alone is the row; `Job<Leased>` is a job in the hand of the agent that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<S = JobState> {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The plan that asked for it; none for a job on a repository alone.
    pub plan_id: Option<PlanId>,
    /// The item that it acts on; none for a job on a repository alone.
    pub item_id: Option<ItemId>,
    /// The repository that it acts on.
    pub repository_id: RepositoryId,
    /// The job set and its place in it; none for a job by itself.
    pub set: Option<(JobSetId, u32)>,
    /// What it is told.
    pub instruction: Instruction,
    /// Why it exists.
    pub trigger: Trigger,
    /// When its item breaches the RPO: the queue's first order.
    pub breach_at: Timestamp,
    /// The queue's second order: higher goes first.
    pub priority: i32,
    /// What it must not run beside, besides another backup of its item.
    pub overlap: OverlapKey,
    /// Token of the newest attempt; zero before the first.
    pub attempt_token: AttemptToken,
    /// How its newest attempts failed; none when the newest one did not.
    pub streak: Option<Streak>,
    /// What the newest attempt did.
    pub counts: JobCounts,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// The work that asked for it; none when nobody follows that.
    pub trace: Option<TraceParent>,
    /// Its state.
    pub state: S,
}

impl<S> Job<S> {
    /// Returns what it does.
    pub const fn kind(&self) -> JobKind {
        self.instruction.kind()
    }
}

/// A repository as a lease brings it: with the secret that opens it.
#[derive(Debug, Clone)]
pub struct LeasedRepository {
    /// The row.
    pub repository: Repository,
    /// Opens it.
    pub password: Secret,
    /// Open its storage, for what the job may do there and nothing else; none for a storage that needs none.
    pub credentials: BTreeMap<Purpose, AccessKey>,
    /// Whether a snapshot in it is known: then it must be there, and an empty place is never taken for it. Without one
    /// it may be made.
    pub has_snapshots: bool,
    /// Leases of live jobs of the repository that are over: what was locked under them holds nobody back. Asked for where a
    /// lock may be in the way: for a job that has the repository alone, and for one that is tried again.
    pub over: Vec<LeaseKey>,
}

/// What the holder of a lease needs to do the job.
#[derive(Debug, Clone)]
pub enum Work {
    /// Make a snapshot.
    Backup {
        /// What is read.
        source: Source,
        /// Which item of it.
        item: Item,
        /// The newest snapshot of the item in this repository, partial or not; none for a first backup.
        parent: Option<Snapshot>,
        /// The plan's name, which the snapshot carries as a tag.
        plan_name: String,
        /// Whether the parent is confirmed, and no snapshot published, when nothing changed; the parent is a good one
        /// then.
        skip_if_unchanged: bool,
        /// What runs around it.
        hooks: Hooks,
        /// How long it may make no progress.
        stall_limit: Duration,
    },
    /// Bring a snapshot to a target.
    Restore {
        /// Which snapshot.
        snapshot: Snapshot,
        /// Where to.
        target: Target,
        /// What of it, and how it meets what is there.
        terms: RestoreTerms,
        /// The source and the item that the snapshot is of, for [`Target::Source`]; none for other targets.
        home: Option<Box<(Source, Item)>>,
    },
    /// Read back and compare.
    Verify {
        /// Which snapshot.
        snapshot: Snapshot,
        /// How much of it.
        sample: SampleRule,
        /// The slice of the repository that is read whole; none for the snapshot alone.
        slice: Option<Slice>,
        /// The source to compare with.
        source: Source,
        /// The item that the snapshot is of.
        item: Item,
    },
    /// Forget, then remove.
    Prune {
        /// What goes, children before the parents that they need. Decided when the job was leased, by the store's clock.
        forget: Vec<Forget>,
        /// All others, when an attempt before, of this job or another one, did not tell its end and may have removed some of
        /// them that the rules keep now: those that are not there are told with what went. Else empty.
        doubtful: Vec<Forget>,
    },
    /// Find the snapshots of the repository.
    Discover,
}

/// A snapshot that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// Its id here.
    pub snapshot_id: SnapshotId,
    /// How the repository calls it.
    pub foreign_id: String,
}

/// What a prune did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneCounts {
    /// Bytes of storage that are free now.
    pub bytes_freed: u64,
    /// Bytes that a later prune frees, after the grace: until then a writer may need them.
    pub bytes_pending: u64,
    /// Packs that an earlier prune left behind, whose grace is not over yet.
    pub packs_waiting: u64,
    /// Bytes that were needed and were copied out of packs that go.
    pub bytes_rewritten: u64,
    /// Bytes of all packs that are there afterwards, those that wait for their grace too; none when the agent cannot say.
    pub bytes_left: Option<u64>,
}

/// The state of a job in the hand of its agent.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The agent.
    pub agent_id: AgentId,
    /// How long after each renewal the lease holds.
    pub ttl: Duration,
    /// The repository's epoch when the lease began.
    pub epoch: RepositoryEpoch,
    /// Where the bytes lie, and what opens them.
    pub repository: LeasedRepository,
    /// What an earlier attempt stored before it died; none if it stored nothing.
    pub checkpoint: Option<Checkpoint>,
    /// What is to be done.
    pub work: Work,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pairs_of_states() {
        let allowed = "queued>leased queued>cancelled \
            leased>queued leased>waiting leased>succeeded leased>failed leased>damaged leased>cancelling leased>parked \
            waiting>queued waiting>cancelled \
            cancelling>succeeded cancelling>damaged cancelling>cancelled \
            parked>queued parked>cancelled";
        let mut seen = Vec::new();
        for from in StateName::ALL {
            for to in StateName::ALL {
                if from.may_become(*to) {
                    seen.push(format!("{}>{}", from.word(), to.word()));
                }
            }
        }
        assert_eq!(seen.join(" "), allowed.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn final_states_lead_nowhere_and_every_other_leads_to_an_end() {
        for from in StateName::ALL {
            let leads_on = StateName::ALL.iter().any(|to| from.may_become(*to));
            assert_eq!(from.is_final(), !leads_on, "{}", from.word());
        }
    }

    #[test]
    fn words_are_read_back() {
        for kind in JobKind::ALL {
            assert_eq!(JobKind::from_word(kind.word()), Some(*kind));
        }
        for state in StateName::ALL {
            assert_eq!(StateName::from_word(state.word()), Some(*state));
        }
        assert_eq!(StateName::from_word("Queued"), None);
    }
}
