//! Repositories.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_core::domain::proof::{Proof, Standing};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::rto::rate;
use backstay_core::domain::storage::{CredentialReferences, Purpose};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::{WireError, ms, parse, word};

/// A storage: its kind and the kind's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageView {
    /// Storage kind.
    pub kind: String,
    /// Settings of that kind; never a secret.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
}

/// A repository to declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryCreate {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant.
    pub name: String,
    /// Where the bytes lie, for a repository that says it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageView>,
    /// Id of the storage that it lies in: that one says where, and what opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_id: Option<String>,
    /// Where in that storage, such as `team/web`; the repository's name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where the password is found, such as `sealed:home` or `file:keys/home.key`; never the password. Who sees to the whole
    /// installation may also name `env:BACKSTAY_SECRET_HOME` or `credential:secret-home` of the server.
    pub password_reference: String,
    /// Where the storage's keys are found, by purpose (`watch`, `read`, `write`, `delete`), such as `sealed:s3-read`; a
    /// lease brings those that its job needs. Left out for a storage that needs none, and for a declared one: it has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, String>,
    /// Within which time every pack of it is read back: from a day to ten years, 0 for never; 30 days when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_within_ms: Option<u64>,
}

/// A change of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryUpdate {
    /// Within which time every pack of it is read back: from a day to ten years, 0 for never; null for the default of 30
    /// days. It must be said: what is left out changes nothing elsewhere, and would be taken for the default here. The time
    /// begins anew.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    pub verify_within_ms: Option<u64>,
}

impl RepositoryCreate {
    /// Judges where the storage's keys are found.
    ///
    /// # Errors
    /// A purpose that is not known, or what is no reference.
    pub fn credentials(&self) -> Result<CredentialReferences, WireError> {
        references(&self.credentials)
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Who keeps the data: `restic`.
    pub kind: String,
    /// Id of the storage that it lies in; none for one that says itself where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_id: Option<String>,
    /// Where the bytes lie.
    pub storage: StorageView,
    /// Where the password is found.
    pub password_reference: String,
    /// Where the storage's keys are found, by purpose; a declared storage has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, String>,
    /// Within which time every pack of it is read back, 0 for never; none when nobody says it, which is 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_within_ms: Option<u64>,
    /// How far that is; none for never, and where a repository was just declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofView>,
    /// How often it was leased alone.
    pub epoch: i64,
    /// When it was retired; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
}

/// How far a repository is proved within its budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofView {
    /// The budget.
    pub within_ms: u64,
    /// Slices that were proved within it.
    pub proved: u32,
    /// Slices in all.
    pub of: u32,
    /// When the slice was proved whose proof is oldest; none while one never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<String>,
    /// Since when a slice waits for its proof beyond the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<String>,
    /// Restore drills whose rates are kept.
    pub drills: u64,
    /// The slowest of those rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_bytes_per_second: Option<u64>,
}

impl ProofView {
    /// Says how far a proof is.
    pub fn new(proof: &Proof, within: Duration, now: Timestamp) -> Self {
        let Standing { proved, of, oldest_at, overdue_since, .. } = proof.standing(within, now);
        Self {
            within_ms: ms(within),
            proved,
            of,
            oldest_at: oldest_at.map(|at| at.to_string()),
            overdue_since: overdue_since.map(|at| at.to_string()),
            drills: proof.drills.len() as u64,
            restore_bytes_per_second: proof.drills.iter().map(rate).min(),
        }
    }
}

impl RepositoryView {
    /// Returns the view of a repository with how far its proof is.
    pub fn proved(repository: &Repository, proof: Option<&Proof>, now: Timestamp) -> Self {
        let within = repository.verify_within.within().filter(|_| repository.retired_at.is_none());
        let proof = proof.zip(within).map(|(proof, within)| ProofView::new(proof, within, now));
        Self { proof, ..repository.into() }
    }
}

impl From<&Repository> for RepositoryView {
    fn from(repository: &Repository) -> Self {
        let storage = &repository.storage;
        Self {
            id: repository.id.to_string(),
            tenant_id: repository.tenant_id.to_string(),
            name: repository.name.to_string(),
            kind: repository.kind.word().to_owned(),
            storage_id: repository.storage_id.map(|id| id.to_string()),
            storage: StorageView { kind: storage.kind.clone(), settings: storage.settings.clone() },
            password_reference: repository.password.to_string(),
            credentials: words(&repository.credentials),
            verify_within_ms: repository.verify_within.ms(),
            proof: None,
            epoch: repository.epoch.0,
            retired_at: repository.retired_at.map(|at| at.to_string()),
        }
    }
}

/// Returns references by the words of their purposes.
pub(crate) fn words(references: &CredentialReferences) -> BTreeMap<String, String> {
    references.iter().map(|(purpose, reference)| (purpose.word().to_owned(), reference.to_string())).collect()
}

/// Reads references by the words of their purposes.
pub(crate) fn references(given: &BTreeMap<String, String>) -> Result<CredentialReferences, WireError> {
    let one = |(purpose, reference): (&String, &String)| {
        Ok((word("credentials", purpose, Purpose::from_word)?, parse("credentials", reference)?))
    };
    given.iter().map(one).collect()
}

/// A look through a repository to ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryAdopt {
    /// A machine whose snapshots are taken for those of the machine that looks, such as one that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}
