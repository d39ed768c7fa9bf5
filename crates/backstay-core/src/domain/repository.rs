//! Where a plan's snapshots lie, and who keeps the data.

use jiff::Timestamp;

use super::id::{RepositoryId, StorageId, TenantId};
use super::name::Name;
use super::proof::VerifyBudget;
use super::secret::SecretReference;
use super::storage::{CredentialReferences, StorageSettings};

/// Who keeps a repository's data. More kinds come with their first adapter (decision record 0003).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryKind {
    /// Ours: restic format on one storage.
    Restic,
}

/// A number that grows with each exclusive lease of a repository, and only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepositoryEpoch(pub i64);

/// A repository of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its id.
    pub id: RepositoryId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant.
    pub name: Name,
    /// Who keeps the data.
    pub kind: RepositoryKind,
    /// The storage that it lies in; none for one that says itself where the bytes lie and what opens them.
    pub storage_id: Option<StorageId>,
    /// Where the bytes lie: in a storage, what its path there comes to.
    pub storage: StorageSettings,
    /// Where the password is to be found.
    pub password: SecretReference,
    /// Where that is to be found which opens the storage, by purpose; empty in a storage, which has its own.
    pub credentials: CredentialReferences,
    /// Within which time every pack of it is read back.
    pub verify_within: VerifyBudget,
    /// How often it was leased alone.
    pub epoch: RepositoryEpoch,
    /// When it was retired: nothing new is made of it then, and what it made stays; none while it lives.
    pub retired_at: Option<Timestamp>,
}

/// How a job holds its repository while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RepositoryAccess {
    /// Beside others that share it: backup, restore, verify, copy.
    Shared,
    /// Alone: prune.
    Alone,
}

impl RepositoryKind {
    /// Returns the word of the row and of the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Restic => "restic",
        }
    }

    /// Reads the word of the row and of the wire; none for an unknown one.
    pub fn from_word(word: &str) -> Option<Self> {
        (word == "restic").then_some(Self::Restic)
    }
}
