//! Repositories.

use backstay_core::domain::repository::Repository;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Where the bytes lie.
    pub storage: StorageView,
    /// Where the password is found, such as `file:keys/home.key`; never the password.
    pub password_reference: String,
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
    /// Where the bytes lie.
    pub storage: StorageView,
    /// Where the password is found.
    pub password_reference: String,
    /// How often it was leased alone.
    pub epoch: i64,
}

impl From<&Repository> for RepositoryView {
    fn from(repository: &Repository) -> Self {
        let storage = &repository.storage;
        Self {
            id: repository.id.to_string(),
            tenant_id: repository.tenant_id.to_string(),
            name: repository.name.to_string(),
            kind: repository.kind.word().to_owned(),
            storage: StorageView { kind: storage.kind.clone(), settings: storage.settings.clone() },
            password_reference: repository.password.to_string(),
            epoch: repository.epoch.0,
        }
    }
}
