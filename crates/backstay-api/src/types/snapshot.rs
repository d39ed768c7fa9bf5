//! Snapshots, what they hold, and what can be asked of them.

use backstay_core::domain::job::Reconciliation;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::managers::browse::Piece;
use backstay_core::ports::snapshot::{Difference, Differences, Entry, FoundEntries, OneSide};
use data_encoding::{BASE64, BASE64URL_NOPAD};
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
    /// Since when a person wants it forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwanted_at: Option<String>,
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
            unwanted_at: snapshot.unwanted_at.map(|at| at.to_string()),
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
    /// Where the page begins: what `next_before` of the one before said. Entries come in the order of the bytes of their
    /// names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl EntryQuery {
    /// Returns the query for the entries of a folder.
    pub fn of(path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..Self::default() }
    }

    /// Returns where a page begins whose predecessor ends with an entry. Names may be any bytes, and texts may not.
    pub fn place(entry: &Entry) -> String {
        BASE64URL_NOPAD.encode(&entry.name)
    }

    /// Returns the name after which the page begins.
    ///
    /// # Errors
    /// [`WireError`] for what is no place.
    pub fn after(&self) -> Result<Option<Vec<u8>>, WireError> {
        let read = |text: &String| BASE64URL_NOPAD.decode(text.as_bytes());
        self.before.as_ref().map(read).transpose().map_err(|_| wrong("before", "it is not what `next_before` said"))
    }
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

/// Which bytes of a snapshot are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct ReadQuery {
    /// Absolute path of a file in the snapshot.
    pub path: String,
    /// How many of its bytes were read already; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_bytes: Option<u64>,
}

/// A piece of a file in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PieceView {
    /// Its bytes, at most 4 MiB, in base64.
    pub base64: String,
    /// Whether the file ends with it; else the next piece begins where this one ends.
    pub is_end: bool,
}

impl From<&Piece> for PieceView {
    fn from(piece: &Piece) -> Self {
        Self { base64: BASE64.encode(&piece.bytes), is_end: piece.is_end }
    }
}

impl PieceView {
    /// Returns its bytes; none when they are no base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.base64.as_bytes()).ok()
    }
}

/// What is looked for in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct FindQuery {
    /// A pattern as restic has them, such as `*.conf` or `/etc/hosts`.
    pub pattern: String,
    /// How many rows were seen already; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What was found in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundView {
    /// In the order of names.
    pub rows: Vec<FoundEntryView>,
    /// Folders that cannot be read: what is in them was not looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Give it as `from` to get the next page; none when there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_from: Option<u64>,
}

/// An entry that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundEntryView {
    /// From the root on; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// `file`, `dir`, `symlink` or `other`.
    pub kind: String,
    /// Bytes of a regular file.
    pub size_bytes: u64,
    /// When it was last modified.
    pub modified_at: String,
    /// Permission bits.
    pub mode: u32,
}

impl FoundView {
    /// Makes a page of what was found; `from` rows were seen before.
    pub fn new(found: &FoundEntries, from: u64) -> Self {
        let row = |(path, entry): &(Vec<u8>, Entry)| {
            let EntryView { name: _, kind, size_bytes, modified_at, mode } = entry.into();
            FoundEntryView { path: shown(path), kind, size_bytes, modified_at, mode }
        };
        let next_from = found.has_more.then(|| from + found.rows.len() as u64);
        let unreadable = found.unreadable.iter().map(|path| shown(path)).collect();
        Self { rows: found.rows.iter().map(row).collect(), unreadable, next_from }
    }
}

/// With what a snapshot is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct DiffQuery {
    /// Id of the second snapshot, in the same repository.
    pub with: String,
    /// Also entries that differ in metadata alone; left out when not said.
    #[serde(default)]
    pub metadata: bool,
    /// How many rows were seen already; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What differs between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// In the order of names.
    pub rows: Vec<DifferenceView>,
    /// Files with other bytes, in all.
    pub changed_files: u64,
    /// What only the second has, in all.
    pub added: OneSideView,
    /// What only the first has, in all.
    pub removed: OneSideView,
    /// Give it as `from` to get the next page; none when there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_from: Option<u64>,
}

/// An entry that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceView {
    /// From the root on, a folder's with `/` at its end; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// `added`, `removed`, `modified`, `modified_unseen` (other bytes, and nothing else says so), `retyped`, `metadata`.
    pub difference: String,
}

/// What one of two snapshots has and the other has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OneSideView {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub dirs: u64,
    /// Links, devices and the like.
    pub others: u64,
    /// Bytes of blobs, before compression.
    pub bytes: u64,
}

impl From<OneSide> for OneSideView {
    fn from(side: OneSide) -> Self {
        let OneSide { files, dirs, others, bytes } = side;
        Self { files, dirs, others, bytes }
    }
}

impl DiffView {
    /// Makes a page of what differs; `from` rows were seen before.
    pub fn new(told: &Differences, from: u64) -> Self {
        let row = |(path, difference): &(Vec<u8>, Difference)| DifferenceView {
            path: shown(path),
            difference: difference.word().to_owned(),
        };
        Self {
            rows: told.rows.iter().map(row).collect(),
            changed_files: told.changed_files,
            added: told.added.into(),
            removed: told.removed.into(),
            next_from: told.has_more.then(|| from + told.rows.len() as u64),
        }
    }
}

/// Returns a path as JSON can have it.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
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
