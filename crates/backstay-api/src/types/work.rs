//! What a leased job is told and given: twins of the domain's instruction and work.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Forget, Instruction, Outcome, Reconciliation, Target, Work};
use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::domain::proof::Slice;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::domain::source::Source;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::CountsView;
use super::template::HooksView;
use super::wire::{WireError, base64, bytes, instant_some, ms, parse, parse_some, word};

/// What a job is told besides what its plan, item and repository say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InstructionWire {
    /// Make a snapshot of the item.
    Backup,
    /// Bring a snapshot to a target.
    Restore {
        /// Id of the snapshot.
        snapshot_id: String,
        /// Where to.
        target: TargetWire,
        /// What of it, and how it meets what is there.
        #[serde(flatten)]
        terms: RestoreTermsWire,
    },
    /// Read a sample of a snapshot back.
    Verify {
        /// Id of the snapshot.
        snapshot_id: String,
        /// How much of it.
        sample: SampleWire,
        /// The slice of the repository that is read whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slice: Option<SliceWire>,
    },
    /// Forget and remove.
    Prune,
    /// Find the snapshots of the repository.
    Discover {
        /// A machine whose snapshots are taken for those of the machine that looks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hostname: Option<String>,
    },
}

/// What of a snapshot is restored, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreTermsWire {
    /// How it meets what is there.
    pub reconciliation: String,
    /// A folder of the snapshot whose content comes to lie in the target; all of it when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// restic's patterns of what is restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// restic's patterns of what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether devices, setuid and setgid bits and capabilities are made.
    #[serde(default)]
    pub special: bool,
    /// Whether every file is read back at the end.
    #[serde(default)]
    pub read_back: bool,
}

impl From<&RestoreTerms> for RestoreTermsWire {
    fn from(terms: &RestoreTerms) -> Self {
        let RestoreTerms { path, include, exclude, reconciliation, special, read_back } = terms.clone();
        Self { reconciliation: reconciliation.word().to_owned(), path, include, exclude, special, read_back }
    }
}

impl RestoreTermsWire {
    /// Judges the terms.
    ///
    /// # Errors
    /// A word that is none.
    pub fn read(&self) -> Result<RestoreTerms, WireError> {
        let Self { reconciliation, path, include, exclude, special, read_back } = self.clone();
        let reconciliation = word("reconciliation", &reconciliation, Reconciliation::from_word)?;
        Ok(RestoreTerms { path, include, exclude, reconciliation, special, read_back })
    }
}

/// Where a restore goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetWire {
    /// A folder by its absolute path.
    Directory(String),
    /// A folder whose path is not UTF-8, base64.
    DirectoryBase64(String),
    /// The source that the snapshot is of.
    Source {
        /// What it is to be called there; what the kind calls it when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SampleWire {
    /// At least so many files.
    pub files_min: u64,
    /// At least this share of the bytes, in hundredths.
    pub bytes_percent: u8,
    /// The choice follows from it.
    pub seed: u64,
}

/// What the holder of a lease needs to do the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WorkWire {
    /// Make a snapshot.
    Backup {
        /// What is read.
        source: SourceWire,
        /// Which item of it.
        item: ItemWire,
        /// The item's newest snapshot in the repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<SnapshotWire>,
        /// The plan's name.
        plan_name: String,
        /// Whether the parent is confirmed, and no snapshot published, when nothing changed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        skip_if_unchanged: bool,
        /// What runs around it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hooks: Option<Box<HooksView>>,
        /// How long it may make no progress; half an hour when it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stall_limit_ms: Option<u64>,
    },
    /// Bring a snapshot to a target.
    Restore {
        /// Which snapshot.
        snapshot: SnapshotWire,
        /// Where to.
        target: TargetWire,
        /// What of it, and how it meets what is there.
        #[serde(flatten)]
        terms: RestoreTermsWire,
        /// The source that takes it back, when it goes there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Box<SourceWire>>,
        /// The item that the snapshot is of, when it goes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<Box<ItemWire>>,
    },
    /// Read back and compare.
    Verify {
        /// Which snapshot.
        snapshot: SnapshotWire,
        /// How much of it.
        sample: SampleWire,
        /// The slice of the repository that is read whole; an agent that does not know slices reads the snapshot alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slice: Option<SliceWire>,
        /// The source to compare with.
        source: SourceWire,
        /// The item that the snapshot is of.
        item: ItemWire,
    },
    /// Forget and remove.
    Prune {
        /// What goes, in this order.
        forget: Vec<ForgetWire>,
        /// Others, of which an attempt before may have removed some.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        doubtful: Vec<ForgetWire>,
    },
    /// Find the snapshots of the repository.
    Discover,
}

/// A snapshot that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForgetWire {
    /// Its id here.
    pub snapshot_id: String,
    /// How the repository calls it.
    pub foreign_id: String,
}

/// A source, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceWire {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Source kind.
    pub kind: String,
    /// Settings of that kind.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
}

/// An item, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemWire {
    /// Its id.
    pub id: String,
    /// Id of its source.
    pub source_id: String,
    /// How the source calls it.
    pub name: String,
    /// When a discovery did not find it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vanished_at: Option<String>,
}

/// A snapshot, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotWire {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Id of the item.
    pub item_id: String,
    /// Id of the repository.
    pub repository_id: String,
    /// Id of the job that made it.
    pub job_id: String,
    /// How the repository calls it.
    pub foreign_id: String,
    /// Id of the snapshot that it cannot be restored without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// When its data was read.
    pub taken_at: String,
    /// `complete`, `partial` or `unchanged`.
    pub outcome: String,
    /// Whether it counts as good.
    #[serde(default)]
    pub is_good: bool,
    /// What it holds.
    pub counts: CountsView,
    /// Nobody may delete it before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<String>,
}

impl From<&Target> for TargetWire {
    fn from(target: &Target) -> Self {
        match target {
            Target::Directory(path) => match path.to_str() {
                Some(text) => Self::Directory(text.to_owned()),
                None => Self::DirectoryBase64(base64(path.as_os_str().as_bytes())),
            },
            Target::Source { name } => Self::Source { name: name.clone() },
        }
    }
}

impl TargetWire {
    fn read(&self) -> Result<Target, WireError> {
        Ok(match self {
            Self::Directory(text) => Target::Directory(PathBuf::from(text)),
            Self::DirectoryBase64(text) => Target::Directory(OsString::from_vec(bytes("target", text)?).into()),
            Self::Source { name } => Target::Source { name: name.clone() },
        })
    }
}

impl From<SampleRule> for SampleWire {
    fn from(SampleRule { files_min, bytes_percent, seed }: SampleRule) -> Self {
        Self { files_min, bytes_percent, seed }
    }
}

impl From<SampleWire> for SampleRule {
    fn from(SampleWire { files_min, bytes_percent, seed }: SampleWire) -> Self {
        Self { files_min, bytes_percent, seed }
    }
}

/// A part of a repository's packs, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SliceWire {
    /// Which, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl From<Slice> for SliceWire {
    fn from(Slice { number, of }: Slice) -> Self {
        Self { number, of }
    }
}

impl From<SliceWire> for Slice {
    fn from(SliceWire { number, of }: SliceWire) -> Self {
        Self { number, of }
    }
}

impl From<&Instruction> for InstructionWire {
    fn from(instruction: &Instruction) -> Self {
        match instruction {
            Instruction::Backup => Self::Backup,
            Instruction::Prune => Self::Prune,
            Instruction::Discover { hostname } => Self::Discover { hostname: hostname.clone() },
            Instruction::Restore { snapshot_id, target, terms } => {
                Self::Restore { snapshot_id: snapshot_id.to_string(), target: target.into(), terms: terms.into() }
            }
            Instruction::Verify { snapshot_id, sample, slice } => Self::Verify {
                snapshot_id: snapshot_id.to_string(),
                sample: (*sample).into(),
                slice: slice.map(Into::into),
            },
        }
    }
}

impl InstructionWire {
    /// Judges what a job is told.
    ///
    /// # Errors
    /// An id or a word that is none.
    pub fn read(&self) -> Result<Instruction, WireError> {
        Ok(match self {
            Self::Backup => Instruction::Backup,
            Self::Prune => Instruction::Prune,
            Self::Discover { hostname } => Instruction::Discover { hostname: hostname.clone() },
            Self::Restore { snapshot_id, target, terms } => Instruction::Restore {
                snapshot_id: parse("snapshot_id", snapshot_id)?,
                target: target.read()?,
                terms: terms.read()?,
            },
            Self::Verify { snapshot_id, sample, slice } => Instruction::Verify {
                snapshot_id: parse("snapshot_id", snapshot_id)?,
                sample: (*sample).into(),
                slice: slice.map(Into::into),
            },
        })
    }
}

impl From<&Source> for SourceWire {
    fn from(source: &Source) -> Self {
        Self {
            id: source.id.to_string(),
            tenant_id: source.tenant_id.to_string(),
            name: source.name.to_string(),
            kind: source.kind.clone(),
            settings: source.settings.clone(),
        }
    }
}

impl TryFrom<SourceWire> for Source {
    type Error = WireError;

    fn try_from(wire: SourceWire) -> Result<Self, WireError> {
        Ok(Self {
            id: parse("source.id", &wire.id)?,
            tenant_id: parse("source.tenant_id", &wire.tenant_id)?,
            name: parse("source.name", &wire.name)?,
            kind: wire.kind,
            settings: wire.settings,
            retired_at: None,
        })
    }
}

impl From<&Item> for ItemWire {
    fn from(item: &Item) -> Self {
        Self {
            id: item.id.to_string(),
            source_id: item.source_id.to_string(),
            name: item.name.clone(),
            vanished_at: instant_some(item.vanished_at),
        }
    }
}

impl TryFrom<ItemWire> for Item {
    type Error = WireError;

    fn try_from(wire: ItemWire) -> Result<Self, WireError> {
        Ok(Self {
            id: parse("item.id", &wire.id)?,
            source_id: parse("item.source_id", &wire.source_id)?,
            name: wire.name,
            vanished_at: parse_some("item.vanished_at", wire.vanished_at.as_deref())?,
        })
    }
}

impl From<&Snapshot> for SnapshotWire {
    fn from(row: &Snapshot) -> Self {
        Self {
            id: row.id.to_string(),
            tenant_id: row.tenant_id.to_string(),
            item_id: row.item_id.to_string(),
            repository_id: row.repository_id.to_string(),
            job_id: row.job_id.to_string(),
            foreign_id: row.foreign_id.clone(),
            parent_id: row.parent_id.map(|id| id.to_string()),
            taken_at: row.taken_at.to_string(),
            outcome: row.outcome.word().to_owned(),
            is_good: row.is_good,
            counts: row.counts.into(),
            protected_until: instant_some(row.protected_until),
        }
    }
}

impl TryFrom<SnapshotWire> for Snapshot {
    type Error = WireError;

    fn try_from(wire: SnapshotWire) -> Result<Self, WireError> {
        Ok(Self {
            id: parse("snapshot.id", &wire.id)?,
            tenant_id: parse("snapshot.tenant_id", &wire.tenant_id)?,
            item_id: parse("snapshot.item_id", &wire.item_id)?,
            repository_id: parse("snapshot.repository_id", &wire.repository_id)?,
            job_id: parse("snapshot.job_id", &wire.job_id)?,
            foreign_id: wire.foreign_id,
            parent_id: parse_some("snapshot.parent_id", wire.parent_id.as_deref())?,
            taken_at: parse("snapshot.taken_at", &wire.taken_at)?,
            outcome: word("snapshot.outcome", &wire.outcome, Outcome::from_word)?,
            is_good: wire.is_good,
            counts: wire.counts.into(),
            protected_until: parse_some("snapshot.protected_until", wire.protected_until.as_deref())?,
            // What keeps it is the control plane's matter: no agent looks at it.
            confirmed_at: None,
            pinned_at: None,
            held_at: None,
            unwanted_at: None,
            forgotten_at: None,
        })
    }
}

impl From<&Forget> for ForgetWire {
    fn from(forget: &Forget) -> Self {
        Self { snapshot_id: forget.snapshot_id.to_string(), foreign_id: forget.foreign_id.clone() }
    }
}

impl TryFrom<ForgetWire> for Forget {
    type Error = WireError;

    fn try_from(wire: ForgetWire) -> Result<Self, WireError> {
        Ok(Self { snapshot_id: parse("forget.snapshot_id", &wire.snapshot_id)?, foreign_id: wire.foreign_id })
    }
}

impl From<&Work> for WorkWire {
    fn from(work: &Work) -> Self {
        match work {
            Work::Backup { source, item, parent, plan_name, skip_if_unchanged, hooks, stall_limit } => Self::Backup {
                source: source.into(),
                item: item.into(),
                parent: parent.as_ref().map(Into::into),
                plan_name: plan_name.clone(),
                skip_if_unchanged: *skip_if_unchanged,
                hooks: (!hooks.is_empty()).then(|| Box::new(hooks.into())),
                stall_limit_ms: Some(ms(*stall_limit)),
            },
            Work::Discover => Self::Discover,
            Work::Prune { forget, doubtful } => Self::Prune {
                forget: forget.iter().map(Into::into).collect(),
                doubtful: doubtful.iter().map(Into::into).collect(),
            },
            Work::Restore { snapshot, target, terms, home } => Self::Restore {
                snapshot: snapshot.into(),
                target: target.into(),
                terms: terms.into(),
                source: home.as_deref().map(|(source, _)| Box::new(source.into())),
                item: home.as_deref().map(|(_, item)| Box::new(item.into())),
            },
            Work::Verify { snapshot, sample, slice, source, item } => Self::Verify {
                snapshot: snapshot.into(),
                sample: (*sample).into(),
                slice: slice.map(Into::into),
                source: source.into(),
                item: item.into(),
            },
        }
    }
}

impl WorkWire {
    /// Judges what a job is given.
    ///
    /// # Errors
    /// An id, a name, an instant or a word that is none.
    pub fn read(self) -> Result<Work, WireError> {
        Ok(match self {
            Self::Backup { source, item, parent, plan_name, skip_if_unchanged, hooks, stall_limit_ms } => {
                Work::Backup {
                    source: source.try_into()?,
                    item: item.try_into()?,
                    parent: parent.map(TryInto::try_into).transpose()?,
                    plan_name,
                    skip_if_unchanged,
                    hooks: hooks.map(|hooks| hooks.read()).unwrap_or_default(),
                    stall_limit: stall_limit_ms.map_or(STALL_LIMIT, Duration::from_millis),
                }
            }
            Self::Discover => Work::Discover,
            Self::Prune { forget, doubtful } => Work::Prune {
                forget: forget.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                doubtful: doubtful.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            },
            Self::Restore { snapshot, target, terms, source, item } => Work::Restore {
                snapshot: snapshot.try_into()?,
                target: target.read()?,
                terms: terms.read()?,
                home: match (source, item) {
                    (Some(source), Some(item)) => Some(Box::new(((*source).try_into()?, (*item).try_into()?))),
                    _ => None,
                },
            },
            Self::Verify { snapshot, sample, slice, source, item } => Work::Verify {
                snapshot: snapshot.try_into()?,
                sample: sample.into(),
                slice: slice.map(Into::into),
                source: source.try_into()?,
                item: item.try_into()?,
            },
        })
    }
}
