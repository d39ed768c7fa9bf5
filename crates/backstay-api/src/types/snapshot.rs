//! Snapshots, what they hold, and what can be asked of them.

use backstay_core::domain::job::Reconciliation;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::ports::snapshot::Entry;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::job::CountsView;
use super::wire::{WireError, word, wrong};

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotView {
    /// Its id here.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Id of the item that it is a state of.
    pub item_id: String,
    /// Name of that item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// Id of its repository.
    pub repository_id: String,
    /// Id of the job that made it.
    pub job_id: String,
    /// How the repository calls it: restic's 64 digits.
    pub foreign_id: String,
    /// When its data was read.
    pub taken_at: String,
    /// `complete`, `partial` or `unchanged`.
    pub outcome: String,
    /// Whether it counts for the RPO: nothing is missing, or its plan accepted all that is.
    pub is_good: bool,
    /// When a backup last found its item as it has it and published none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
    /// What it holds.
    pub counts: CountsView,
    /// Nobody may delete it before; none when it is not protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<String>,
    /// Since when a person keeps it, whatever the rules say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<String>,
    /// Since when it is under a legal hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<String>,
    /// When it was forgotten; none while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten_at: Option<String>,
}

impl SnapshotView {
    /// Makes the view of a snapshot; the item's name comes from its own row.
    pub fn new(snapshot: &Snapshot, item_name: Option<String>) -> Self {
        Self {
            id: snapshot.id.to_string(),
            tenant_id: snapshot.tenant_id.to_string(),
            item_id: snapshot.item_id.to_string(),
            item_name,
            repository_id: snapshot.repository_id.to_string(),
            job_id: snapshot.job_id.to_string(),
            foreign_id: snapshot.foreign_id.clone(),
            taken_at: snapshot.taken_at.to_string(),
            outcome: snapshot.outcome.word().to_owned(),
            is_good: snapshot.is_good,
            confirmed_at: snapshot.confirmed_at.map(|at| at.to_string()),
            counts: snapshot.counts.into(),
            protected_until: snapshot.protected_until.map(|at| at.to_string()),
            pinned_at: snapshot.pinned_at.map(|at| at.to_string()),
            held_at: snapshot.held_at.map(|at| at.to_string()),
            forgotten_at: snapshot.forgotten_at.map(|at| at.to_string()),
        }
    }
}

/// Which snapshots are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct SnapshotQuery {
    /// Only this item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Only this repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which folder of a snapshot is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct EntryQuery {
    /// Absolute path in the snapshot; the root when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// An entry of a folder in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryView {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// `file`, `dir`, `symlink` or `other`.
    pub kind: String,
    /// Bytes of a regular file.
    pub size_bytes: u64,
    /// When it was last modified.
    pub modified_at: String,
    /// Permission bits.
    pub mode: u32,
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        Self {
            name: String::from_utf8_lossy(&entry.name).into_owned(),
            kind: entry.kind.word().to_owned(),
            size_bytes: entry.size_bytes,
            modified_at: entry.modified_at.to_string(),
            mode: entry.mode,
        }
    }
}

/// A restore to ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRestore {
    /// Absolute path of a new or empty folder on the agent's machine; the tree lies below it by its absolute path. Left
    /// out with `to_source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
    /// Whether it goes back to the source that the snapshot is of, where its kind can do that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_source: bool,
    /// What it is to be called in the source, such as the name of a new database; what the kind calls it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it meets what is there: `fail` (when left out), `skip`, `overwrite`, `overwrite_if_changed`, `rename`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciliation: Option<String>,
    /// A folder of the snapshot whose content comes to lie in the target; all of it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// restic's patterns of what is restored, as `/etc/hosts` or `*.conf`; all when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// restic's patterns of what is left out, also of what `include` takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether what may lend rights is made: device nodes, setuid and setgid bits, capabilities. Left out when not said.
    #[serde(default)]
    pub special: bool,
    /// Whether every file is read back at the end and compared with the snapshot's hashes.
    #[serde(default)]
    pub read_back: bool,
}

impl SnapshotRestore {
    /// Reads what is brought back, and how.
    ///
    /// # Errors
    /// A word that is none, and what no restore can do.
    pub fn terms(&self) -> Result<RestoreTerms, WireError> {
        let Self { reconciliation, path, include, exclude, special, read_back, .. } = self.clone();
        let terms = RestoreTerms {
            path: path.unwrap_or_default(),
            include,
            exclude,
            reconciliation: match &reconciliation {
                Some(text) => word("reconciliation", text, Reconciliation::from_word)?,
                None => Reconciliation::Fail,
            },
            special,
            read_back,
        };
        terms.judge().map_err(|(field, words)| wrong(field, words))?;
        Ok(terms)
    }
}

/// A verify to ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotVerify {
    /// At least so many files; 200 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_min: Option<u64>,
    /// At least this share of the bytes, in hundredths; 1 when left out, 100 for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_percent: Option<u8>,
}
